import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_core import BUNDLED_DETECTOR, BlendSettings
from gpen_core.__main__ import main
from gpen_core.checkpoints.checkpoint import NOTICE_KEY, save_checkpoint
from gpen_core.commands import restore
from gpen_core.commands.restore_arguments import BLEND_HELP
from gpen_core.media import VideoCodec
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import identity_state_dict
from gpen_core.restorer import Restorer
from support.media import KnownFaces, picture_samples, png_file, read_frames, write_video
from support.networks import IDENTITY_NOTICE
from support.stand_in_gpu import stand_in_gpu

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "identity.safetensors"
    state_dict = identity_state_dict(GpenConfig(256, 1, 0.0625))
    save_checkpoint(state_dict, path, {NOTICE_KEY: IDENTITY_NOTICE})
    return path


@pytest.fixture
def known_faces(monkeypatch):
    """The command with faces that are known."""
    used = []

    def remember(**settings) -> Restorer:
        used.append(KnownFaces(**settings))
        return used[-1]

    monkeypatch.setattr(restore, "Restorer", remember)
    return used


def run(checkpoint, *arguments):
    return main(["restore", *map(str, arguments), "--model", str(checkpoint)])


def png(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_file(picture_samples(np.uint8, 3, seed)))
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_folder_with_a_broken_file_in_the_middle_is_restored_around_it(
    tmp_path, checkpoint, known_faces, capsys
):
    folder, output = tmp_path / "in", tmp_path / "out"
    png(folder / "a.png"), png(folder / "s" / "c.png", 1)
    (folder / "b.png").write_bytes(b"broken")
    (folder / "notes.txt").write_text("words")
    write_video(folder / "d.mp4")
    assert run(checkpoint, folder, "--output", output, "--recursive") == 1
    written = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert written == ["a.png", "d.mp4", "s/c.png"]
    np.testing.assert_array_equal(pixels(output / "s/c.png"), pixels(folder / "s/c.png"))
    assert len(read_frames(output / "d.mp4")) == 6
    printed = capsys.readouterr()
    assert "b.png: expected a whole picture file" in printed.err
    assert f"Restoring with identity.safetensors. {IDENTITY_NOTICE}" in printed.err
    assert "3 files, 3 with faces; 1 file of other kinds skipped (1 .txt); 1 failed." in printed.out
    assert "d.mp4: 6 faces in 6 frames" in printed.out


def test_json_tells_the_same_and_nothing_else_is_on_stdout(
    tmp_path, checkpoint, known_faces, capsys
):
    (tmp_path / "b.png").write_bytes(b"broken")
    source = png(tmp_path / "a.png")
    arguments = (source, tmp_path / "b.png", "--output", tmp_path / "out", "--json")
    assert run(checkpoint, *arguments) == 1
    summary = json.loads(capsys.readouterr().out)
    assert [done["output"] for done in summary["restored"]] == [str(tmp_path / "out" / "a.png")]
    assert summary["restored"][0]["faces"] == 1
    assert summary["failed"][0]["input"] == str(tmp_path / "b.png")
    assert summary["notice"] == IDENTITY_NOTICE
    assert not summary["interrupted"]


def test_quiet_prints_nothing_but_errors(tmp_path, checkpoint, known_faces, capsys):
    assert run(checkpoint, png(tmp_path / "a.png"), "--output", tmp_path / "out", "--quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_resume_restores_only_what_is_missing(tmp_path, checkpoint, known_faces):
    folder, output = tmp_path / "in", tmp_path / "out"
    png(folder / "a.png"), png(folder / "b.png")
    output.mkdir()
    (output / "a.png").write_bytes(b"done before")
    (output / ".b.partial.png").write_bytes(b"half of one, from a killed run")
    assert run(checkpoint, folder, "--output", output) == 1  # neither kept nor overwritten
    assert (output / "a.png").read_bytes() == b"done before"
    (output / "b.png").unlink()
    assert run(checkpoint, folder, "--output", output, "--resume") == 0
    assert (output / "a.png").read_bytes() == b"done before"
    np.testing.assert_array_equal(pixels(output / "b.png"), pixels(folder / "b.png"))
    assert sorted(path.name for path in output.iterdir()) == ["a.png", "b.png"]
    assert run(checkpoint, folder, "--output", output, "--overwrite") == 0
    np.testing.assert_array_equal(pixels(output / "a.png"), pixels(folder / "a.png"))


def test_an_interruption_ends_with_130_and_keeps_what_is_whole(
    tmp_path, checkpoint, known_faces, monkeypatch, capsys
):
    folder, output = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b", "c"):
        png(folder / f"{name}.png")
    restore_one = restore.restore_picture

    def interrupted(source, target, restorer):
        if source.name == "b.png":
            raise KeyboardInterrupt
        return restore_one(source, target, restorer)

    monkeypatch.setattr(restore, "restore_picture", interrupted)
    assert run(checkpoint, folder, "--output", output) == 130
    assert [path.name for path in output.iterdir()] == ["a.png"]
    assert "--resume continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--faces", "one"),
        ("--blend", "2"),
        ("--blend", "much"),
        ("--shape", "star"),
        ("--threshold", "2"),
        ("--smoothing", "-1"),
        ("--batch", "0"),
        ("--crf", "99"),
        ("--resume", "--overwrite"),
        ("--model", "absent.onnx"),
        ("--device", "mps"),
    ],
)
def test_wrong_arguments_end_with_2_and_start_nothing(
    tmp_path, checkpoint, known_faces, capsys, arguments
):
    source = png(tmp_path / "a.png")
    try:
        status = main(
            ["restore", str(source), "--model", str(checkpoint), "--output",
             str(tmp_path / "out"), *arguments]
        )  # fmt: skip
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_detector_that_is_chosen_and_missing_is_named_with_its_address(
    tmp_path, checkpoint, monkeypatch, capsys
):
    monkeypatch.delenv("GPEN_MODELS_DIR", raising=False)
    arguments = (png(tmp_path / "a.png"), "--output", tmp_path / "out")
    assert run(checkpoint, *arguments, "--detector", "retinaface_resnet50") == 2
    error = capsys.readouterr().err
    assert "detection_Resnet50_Final.pth" in error
    assert "https://" in error


def test_a_detector_whose_file_holds_another_is_refused(tmp_path, checkpoint, capsys):
    arguments = (png(tmp_path / "a.png"), "--output", tmp_path / "out")
    chosen = ("--detector", "retinaface_resnet50", "--detector-file", BUNDLED_DETECTOR)
    assert run(checkpoint, *arguments, *chosen) == 2
    message = "expected the weights of retinaface_resnet50, got those of retinaface_mobile0.25"
    assert message in capsys.readouterr().err


def test_every_blend_setting_has_an_argument_that_reaches_the_restorer(
    tmp_path, checkpoint, known_faces
):
    values = {
        "template": "gpen", "blend": 0.9, "shape": "ellipse", "padding": 0.1, "feather": 0.2,
        "fine_grain": "replace", "color": 0.3, "detail": 0.4, "detail_size": 0.2, "grain": 0.6,
    }  # fmt: skip
    names = {field.name for field in dataclasses.fields(BlendSettings)}
    assert set(values) == names == set(BLEND_HELP)
    arguments = [a for k, v in values.items() for a in ("--" + k.replace("_", "-"), v)]
    source = png(tmp_path / "a.png")
    assert run(checkpoint, source, "--output", tmp_path / "out", *arguments) == 0
    assert known_faces[0].blending == BlendSettings(**values)
    assert run(checkpoint, source, "--output", tmp_path / "other") == 0
    assert known_faces[1].blending == BlendSettings()


def test_the_other_settings_reach_the_restorer(tmp_path, checkpoint, known_faces):
    arguments = (
        "--faces", "0, 2-3", "--order", "left-right", "--detection-size", "480",
        "--threshold", "0.5", "--scales", "also-small", "--rotations", "always",
        "--min-face-size", "20", "--output-size", "fit-faces", "--scale", "3",
        "--max-megapixels", "0.05", "--batch", "3", "--dtype", "bf16", "--device", "cpu",
    )  # fmt: skip
    source = png(tmp_path / "a.png")
    assert run(checkpoint, source, "--output", tmp_path / "out", *arguments) == 0
    used = known_faces[0]
    assert (used.indices, used.order.value) == ("0, 2-3", "left-right")
    search = used.search
    assert (search.detection_size, search.threshold, search.min_face_size) == (480, 0.5, 20)
    assert (search.scales.value, search.rotations.value) == ("also small", "always")
    assert dataclasses.astuple(used.canvas) == ("fit faces", 3.0, 0.05)
    assert used.max_batch == 3
    assert str(used.model.dtype) == "torch.bfloat16"
    assert Image.open(tmp_path / "out" / "a.png").width > Image.open(source).width


def test_the_encoder_and_smoothing_reach_the_video(tmp_path, checkpoint, known_faces, monkeypatch):
    calls = []

    def note(source, target, restorer, **options):
        calls.append(options)
        raise KeyboardInterrupt

    monkeypatch.setattr(restore, "restore_video", note)
    source = write_video(tmp_path / "a.mp4")
    arguments = ("--codec", "libx265", "--crf", "20", "--smoothing", "0.25")
    assert run(checkpoint, source, "--output", tmp_path / "out", *arguments) == 130
    assert calls[0]["smoothing"] == 0.25
    assert calls[0]["encoding"].codec is VideoCodec.H265
    assert calls[0]["encoding"].crf == 20


def test_a_real_face_is_found_and_nothing_else_is_touched(tmp_path, checkpoint):
    skimage_data = pytest.importorskip("skimage.data")
    source = tmp_path / "astronaut.png"
    Image.fromarray(skimage_data.astronaut()).save(source)
    models = tmp_path / "models"
    (models / "facerestore_models").mkdir(parents=True)
    shutil.copy(checkpoint, models / "facerestore_models" / "by_name.safetensors")
    arguments = ("--output", tmp_path / "out", "--models", models, "--rotations", "off")
    assert run("by_name.safetensors", source, *arguments) == 0
    np.testing.assert_array_equal(pixels(tmp_path / "out" / source.name), pixels(source))


@pytest.mark.parametrize("is_apple", [False, True], ids=["nvidia", "apple"])
def test_a_face_is_restored_on_a_device(tmp_path, checkpoint, monkeypatch, is_apple):
    skimage_data = pytest.importorskip("skimage.data")
    source = tmp_path / "astronaut.png"
    Image.fromarray(skimage_data.astronaut()).save(source)
    memory = (2**33, 2**33)  # free and all
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: memory)
    arguments = ("--output", tmp_path / "out", "--dtype", "fp32")
    with stand_in_gpu(is_apple=is_apple) as crossings:
        assert run(checkpoint, source, *arguments, "--device", "cuda", "--color", "1") == 0
    assert crossings.to_host
    restored, given = (
        pixels(path).astype(int) for path in (tmp_path / "out" / source.name, source)
    )
    assert abs(restored - given).max() <= 1


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT to a process")
def test_ctrl_c_in_a_real_process_ends_with_130_and_leaves_no_half_file(tmp_path, checkpoint):
    source = write_video(tmp_path / "a.mp4", times=tuple(range(0, 3600 * 500, 3600)))
    png(tmp_path / "b.png")
    output = tmp_path / "out"
    command = [sys.executable, "-m", "gpen_core", "restore", tmp_path / "b.png", source]
    command += ["--model", checkpoint, "--output", output]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(  # noqa: S603
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "b.png" in process.stdout.readline()  # the picture is done, the video is in work
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "--resume continues" in errors
    assert [path.name for path in output.iterdir()] == ["b.png"]
