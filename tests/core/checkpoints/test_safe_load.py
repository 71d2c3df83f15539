import contextlib
import io
import os
import pickle
import random
import tarfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from gpen_core.checkpoints.safe_load import read_tensors
from gpen_core.errors import (
    CheckpointNotFoundError,
    CheckpointReadError,
    GpenError,
    UnsafeCheckpointError,
)


@pytest.fixture
def tensors():
    return OrderedDict(
        {
            "conv.weight": torch.arange(24, dtype=torch.float32).view(2, 3, 2, 2),
            "conv.bias": torch.tensor([0.5, -0.5], dtype=torch.float16),
            "steps": torch.tensor(7),
        }
    )


def save_zip(content, path):
    torch.save(content, path)


def save_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_safetensors(content, path):
    save_file(dict(content), path)


def save_compressed_zip(content, path):
    """What a general zip tool makes of a PyTorch file that was unpacked and packed again."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with (
        zipfile.ZipFile(buffer) as source,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))


SAVERS = [save_zip, save_legacy, save_safetensors, save_compressed_zip]


def assert_same(found, expected):
    assert type(found) is dict
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert type(found[key]) is torch.Tensor
        assert found[key].dtype == value.dtype
        assert torch.equal(found[key], value)
        assert not found[key].requires_grad


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ""])
@pytest.mark.parametrize("save", SAVERS)
def test_read_tensors_goes_by_content_not_by_name(save, suffix, tensors, tmp_path, recwarn):
    path = tmp_path / f"file{suffix}"
    save(tensors, path)
    found = read_tensors(path)
    assert_same({key: found[key] for key in tensors}, tensors)
    assert len(found) == len(tensors)
    assert_same(read_tensors(str(path)), found)
    assert not recwarn.list


def test_read_tensors_returns_plain_tensors_for_parameters(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"weight": torch.nn.Parameter(torch.ones(3))}, path)
    assert_same(read_tensors(path), {"weight": torch.ones(3)})


@pytest.mark.parametrize(
    "content",
    [
        lambda s, o: {"g_ema": s, "params_ema": o, "params": o, "state_dict": o, "model": o},
        lambda s, o: {"model": o, "state_dict": o, "params": o, "params_ema": s},
        lambda s, o: {"state_dict": o, "params": s},
        lambda s, o: {"optimizer": {"lr": 0.1}, "model": o, "state_dict": s, "epoch": 3},
        lambda s, _: {"model": s, "args": None},
        lambda s, _: {"state_dict": {"params_ema": s}},
        lambda s, _: {f"module.{k}": v for k, v in s.items()},
        lambda s, _: {f"module.module.{k}": v for k, v in s.items()},
        lambda s, _: {f"generator_ema.{k}": v for k, v in s.items()},
        lambda s, _: {f"module.generator_ema.module.{k}": v for k, v in s.items()},
        lambda s, o: {
            "state_dict": {
                **{f"generator.{k}": v for k, v in o.items()},
                **{f"generator_ema.{k}": v for k, v in s.items()},
                "step_counter": torch.zeros(1),
            }
        },
    ],
)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
def test_read_tensors_takes_off_wrappers_and_prefixes(content, save, tensors, tmp_path):
    path = tmp_path / "file.pth"
    other = {key: torch.zeros(1) for key in tensors}
    save(content(dict(tensors), other), path)
    assert_same(read_tensors(path), tensors)


def test_read_tensors_leaves_a_tensor_named_like_a_wrapper(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"params": torch.ones(1), "generator.x": torch.ones(2)}, path)
    assert list(read_tensors(path)) == ["params", "generator.x"]


def test_read_tensors_refuses_names_that_collide_without_prefix(tmp_path):
    path = tmp_path / "file.pth"
    torch.save({"module.a": torch.ones(1), "a": torch.ones(2)}, path)
    with pytest.raises(CheckpointReadError, match=r"file\.pth: .* with and without 'module\.'"):
        read_tensors(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "got none"),
        ({"state_dict": {}}, "got none"),
        ({"a": torch.ones(1), "epoch": 3}, "got int 3 under 'epoch'"),
        ({"a": torch.ones(1), "b": None}, "got NoneType None under 'b'"),
        ({"weights": {"a": torch.ones(1)}}, "got a dict of 1 under 'weights'"),
        ({3: torch.ones(1)}, "under 3"),
        ([torch.ones(1)], "got a list"),
        (torch.ones(1), "got a Tensor"),
        (5, "got int 5"),
        ({"a": torch.ones(3).to_sparse()}, "dense tensors, got .*sparse.* under 'a'"),
        ({"a": torch.ones(3, device="meta")}, "dense tensors, got a meta tensor"),
        (
            {"a": torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)},
            "dense tensors, got .*qint8",
        ),
    ],
)
@pytest.mark.parametrize("save", [save_zip, save_legacy])
@pytest.mark.filterwarnings("ignore")
def test_read_tensors_refuses_what_is_not_a_state_dict(content, message, save, tmp_path):
    path = tmp_path / "file.pth"
    save(content, path)
    with pytest.raises(CheckpointReadError, match=rf"^file\.pth: expected .*{message}.*\. [A-Z]"):
        read_tensors(path)


class Marker:
    """Unpickled in earnest, makes a file."""

    def __init__(self, path, function=os.mkdir):
        self.path, self.function = str(path), function

    def __reduce__(self):
        return self.function, (self.path,)


def hostile_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


def hostile_pickle_2(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def hostile_pickle_5(content, path):
    path.write_bytes(pickle.dumps(content, protocol=5))


def hostile_zip_5(content, path):
    torch.save(content, path, pickle_protocol=5)


def hostile_compressed(content, path):
    save_compressed_zip(content, path)


@pytest.mark.parametrize(
    "save",
    [
        save_zip,
        hostile_legacy,
        hostile_pickle_2,
        hostile_pickle_5,
        hostile_zip_5,
        hostile_compressed,
    ],
)
@pytest.mark.parametrize(
    ("function", "name"),
    [(os.mkdir, f"{os.mkdir.__module__}.mkdir"), (eval, "eval"), (io.FileIO, "io.FileIO")],
)
def test_read_tensors_runs_nothing_of_a_hostile_pickle(save, function, name, tmp_path, tensors):
    marker, path = tmp_path / "marker", tmp_path / "file.pth"
    argument = f"__import__('os').mkdir({str(marker)!r})" if function is eval else marker
    if function is io.FileIO:  # opens without complaint only what exists: prove it another way
        marker.mkdir()
        (marker / "x").touch()
        argument = marker / "x"
    content = {"evil": Marker(argument, function)}
    # Outside of torch.save a pickled tensor asks for a function of its own.
    is_plain = save in (hostile_pickle_2, hostile_pickle_5)
    save(content if is_plain else {**tensors, **content}, path)
    with pytest.raises(UnsafeCheckpointError) as caught:
        read_tensors(path)
    message = str(caught.value)
    assert name in message
    assert "nothing in it was run" in message
    assert "weights_only" not in message
    assert "add_safe_globals" not in message
    if function is not io.FileIO:
        assert not marker.exists()


@pytest.mark.parametrize("save", [save_zip, hostile_pickle_2])
def test_the_hostile_pickle_is_hostile(save, tmp_path):
    """Without protection the marker appears, so the test above can fail."""
    marker, path = tmp_path / "marker", tmp_path / "file.pth"
    save({"evil": Marker(marker)}, path)
    if save is save_zip:
        torch.load(path, weights_only=False)
    else:
        pickle.loads(path.read_bytes())  # noqa: S301
    assert marker.exists()


def test_read_tensors_refuses_a_tar_that_begins_like_a_pickle(tmp_path):
    path = tmp_path / "file.pth"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as archive:
        archive.addfile(tarfile.TarInfo("\x80\x02storages"))
    assert path.read_bytes().startswith(b"\x80\x02")
    with pytest.raises(UnsafeCheckpointError, match="a tar archive"):
        read_tensors(path)


def test_read_tensors_refuses_a_torchscript_program(tmp_path, recwarn):
    path = tmp_path / "file.pt"
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)
    recwarn.clear()
    with pytest.raises(UnsafeCheckpointError, match="a TorchScript program"):
        read_tensors(path)
    assert not recwarn.list


def test_read_tensors_of_another_pickle_protocol_is_not_called_unsafe(tensors, tmp_path, recwarn):
    path = tmp_path / "file.pth"
    torch.save(tensors, path, pickle_protocol=4)
    recwarn.clear()
    with pytest.raises(
        CheckpointReadError, match=r"cannot be read \(Unsupported operand"
    ) as caught:
        read_tensors(path)
    assert not isinstance(caught.value, UnsafeCheckpointError)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "got an empty file.*download it again"),
        (b"<!DOCTYPE html>\n<html><body>Not found", "got a web page"),
        (b"\n  <HTML lang=en>" + b"x" * 1000, "got a web page"),
        ("<html><title>caf\xe9".encode() + "\u65e5".encode() * 500, "got a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "got a web page"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 284085738\n",
            "got a Git LFS pointer.*git lfs pull",
        ),
        (b'{"error": "Repository not found"}', "got a text file beginning with '{\"error"),
        (b"Entry not found", "got a text file beginning with 'Entry not found'"),
        (b"\x08\x07\x12\x07pytorch\x00\xff" * 20, r"got 260 bytes beginning with 08 07 12 07"),
        (b"\x1f\x8b\x08\x00aaaaaaaaaaaa", "got a gzip archive"),
        (b"7z\xbc\xaf\x27\x1caaaaaaaa", "got a 7z archive"),
        (b"\x80", "cannot be read"),
        (b"\x80\x02garbage", "cannot be read"),
        (b"PK\x03\x04garbage", "end is missing"),
        ((1000).to_bytes(8, "little") + b'{"a":', "at least 1008 bytes, got 13.*truncated"),
        ((5).to_bytes(8, "little") + b"{oops" + b"\0" * 99, "a safetensors file, got one that"),
        (
            (60).to_bytes(8, "little")
            + b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}      ',
            "truncated",
        ),
    ],
)
def test_read_tensors_says_what_is_wrong_with_the_file(content, message, tmp_path):
    path = tmp_path / "GPEN.pth"
    path.write_bytes(content)
    with pytest.raises(
        CheckpointReadError, match=rf"(?s)^GPEN\.pth: expected .*{message}"
    ) as caught:
        read_tensors(path)
    assert not isinstance(caught.value, UnsafeCheckpointError)


def test_read_tensors_of_a_foreign_zip_names_its_contents(tmp_path):
    path = tmp_path / "file.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("GPEN-BFR-512.pth", b"weights")
    with pytest.raises(CheckpointReadError, match=r"a zip archive with GPEN-BFR-512\.pth.*Unpack"):
        read_tensors(path)


def test_read_tensors_of_a_missing_file_names_the_path(tmp_path):
    path = tmp_path / "models" / "GPEN.pth"
    with pytest.raises(CheckpointNotFoundError, match=str(path)) as caught:
        read_tensors(path)
    assert isinstance(caught.value, FileNotFoundError)


def test_read_tensors_of_a_folder_says_so(tmp_path):
    with pytest.raises(CheckpointReadError, match="expected a file, got a folder"):
        read_tensors(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_read_tensors_of_a_pipe_does_not_wait(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CheckpointReadError, match="got a pipe"):
        read_tensors(tmp_path / "pipe")


def test_read_tensors_without_permission_says_so(tensors, tmp_path, monkeypatch):
    path = tmp_path / "file.pth"
    save_zip(tensors, path)

    def refuse(*_args, **_kwargs):  # chmod does not stop the superuser, who may run this
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CheckpointReadError, match=r"Permission denied.*Check its permissions"):
        read_tensors(path)


@pytest.mark.parametrize("save", SAVERS)
def test_read_tensors_of_a_truncated_file_raises(save, tensors, tmp_path):
    path = tmp_path / "file.pth"
    save(tensors, path)
    whole = path.read_bytes()
    for length in range(4, len(whole), max(1, len(whole) // 60)):
        path.unlink()
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointReadError, match=r"cut off|truncated|damaged|asks for"):
            read_tensors(path)


@pytest.mark.parametrize("save", SAVERS)
def test_read_tensors_of_a_damaged_file_raises_only_our_errors(save, tensors, tmp_path):
    path = tmp_path / "file.pth"
    save(tensors, path)
    whole = path.read_bytes()
    chance = random.Random(1)  # noqa: S311
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 3))):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.unlink()
        path.write_bytes(damaged)
        with contextlib.suppress(GpenError):
            for value in read_tensors(path).values():
                value.sum().item()  # what was accepted can be read
