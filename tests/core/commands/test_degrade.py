"""``gpen degrade``: every picture its own damage, whatever else is damaged beside it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gpen_core import DEGRADE_PRESETS, DegradeSettings
from gpen_core.__main__ import main
from gpen_core.commands import degrade as command
from gpen_core.degradation import draw_steps
from gpen_core.degradation.settings import setting_paths
from gpen_core.errors import DegradeSettingsError
from gpen_core.media import degrade_picture, read_picture
from support.media import picture_samples, png_file, write_video


def run(*arguments):
    return main(["degrade", *map(str, arguments)])


def png(path: Path, seed: int = 0, dtype=np.uint8, channels: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_file(picture_samples(dtype, channels, seed)))
    return path


def pixels(path: Path) -> torch.Tensor:
    return read_picture(path).pixels


def test_a_folder_with_a_broken_file_in_the_middle_is_damaged_around_it(tmp_path, capsys):
    folder, output = tmp_path / "in", tmp_path / "out"
    png(folder / "a.png"), png(folder / "s" / "c.png", 1)
    (folder / "b.png").write_bytes(b"broken")
    (folder / "notes.txt").write_text("words")
    write_video(folder / "d.mp4")
    assert run(folder, "--output", output, "--recursive", "--preset", "webcam") == 1
    written = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert written == ["a.png", "s/c.png"]
    assert not torch.equal(pixels(output / "a.png"), pixels(folder / "a.png"))
    printed = capsys.readouterr()
    assert "b.png: expected a whole picture file" in printed.err
    assert "d.mp4: expected a picture, got a video. Write its frames as pictures" in printed.err
    assert "a.png: gaussian blur" in printed.out
    assert "2 files degraded; 1 file of other kinds skipped (1 .txt); 2 failed." in printed.out


def test_a_picture_is_damaged_the_same_whatever_stands_beside_it(tmp_path):
    folder = tmp_path / "in"
    source = png(folder / "b.png")
    png(folder / "a.png"), png(folder / "c.png")
    assert run(folder, "--output", tmp_path / "together", "--seed", 3) == 0
    assert run(source, "--output", tmp_path / "alone", "--seed", 3) == 0
    alone = (tmp_path / "alone" / "b.png").read_bytes()
    assert (tmp_path / "together" / "b.png").read_bytes() == alone
    # Equal pictures of other names get damage of their own.
    assert (tmp_path / "together" / "a.png").read_bytes() != alone
    assert run(source, "--output", tmp_path / "other", "--seed", 4) == 0
    assert (tmp_path / "other" / "b.png").read_bytes() != alone


def test_json_tells_what_was_done_step_by_step(tmp_path, capsys):
    (tmp_path / "b.png").write_bytes(b"broken")
    source = png(tmp_path / "a.png")
    arguments = (source, tmp_path / "b.png", "--output", tmp_path / "out", "--json")
    changes = ("--preset", "custom", "--set", "jpeg.quality=20", "--set", "color.grey = 1")
    assert run(*arguments, *changes, "--seed", 9) == 1
    summary = json.loads(capsys.readouterr().out)
    (done,) = summary["degraded"]
    assert done["output"] == str(tmp_path / "out" / "a.png")
    assert done["steps"] == ["grey", "JPEG 20"]
    assert done["height_width"] == list(pixels(source).shape[2:])
    assert (summary["preset"], summary["seed"], summary["strength"]) == ("custom", 9, 1.0)
    assert summary["failed"][0]["input"] == str(tmp_path / "b.png")


def test_frames_can_be_damaged_alike(tmp_path, capsys):
    for i in range(4):
        png(tmp_path / "in" / f"{i}.png")
    arguments = (tmp_path / "in", "--preset", "gpen", "--set", "noise.sigma=5-20", "--json")
    assert run(*arguments, "--output", tmp_path / "clip", "--same-for-all") == 0
    steps = [done["steps"] for done in json.loads(capsys.readouterr().out)["degraded"]]
    assert all(of_one == steps[0] for of_one in steps)
    files = {(tmp_path / "clip" / f"{i}.png").read_bytes() for i in range(4)}
    assert len(files) == 4  # the noise is not the same
    assert run(*arguments, "--output", tmp_path / "pictures") == 0
    steps = [done["steps"] for done in json.loads(capsys.readouterr().out)["degraded"]]
    assert len({tuple(of_one) for of_one in steps}) == 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_at_strength_0_the_samples_stay_as_they_were(tmp_path, dtype):
    source = png(tmp_path / "a.png", dtype=dtype, channels=4)
    arguments = ("--output", tmp_path / "out", "--preset", "old-photo", "--strength", 0)
    assert run(source, *arguments) == 0
    assert torch.equal(pixels(tmp_path / "out" / "a.png"), pixels(source))


def test_alpha_and_the_bits_of_samples_are_kept(tmp_path):
    source = png(tmp_path / "a.png", dtype=np.uint16, channels=4)
    assert run(source, "--output", tmp_path / "out", "--preset", "old-photo") == 0
    degraded, given = pixels(tmp_path / "out" / "a.png"), pixels(source)
    assert torch.equal(degraded[:, 3], given[:, 3])
    assert not torch.equal(degraded[:, :3], given[:, :3])
    assert read_picture(tmp_path / "out" / "a.png").bits == 16


def test_an_input_is_never_overwritten(tmp_path, capsys):
    source = png(tmp_path / "a.png")
    before = source.read_bytes()
    assert run(source, "--output", tmp_path, "--overwrite") == 1
    assert source.read_bytes() == before
    assert "it would overwrite the input" in capsys.readouterr().err


def test_resume_damages_only_what_is_missing(tmp_path):
    folder, output = tmp_path / "in", tmp_path / "out"
    png(folder / "a.png"), png(folder / "b.png")
    output.mkdir()
    (output / "a.png").write_bytes(b"done before")
    assert run(folder, "--output", output) == 1
    assert run(folder, "--output", output, "--resume") == 0
    assert (output / "a.png").read_bytes() == b"done before"
    assert run(folder, "--output", output, "--overwrite") == 0
    assert Image.open(output / "a.png").size == Image.open(folder / "a.png").size


def test_an_interruption_ends_with_130_and_keeps_what_is_whole(tmp_path, monkeypatch, capsys):
    folder, output = tmp_path / "in", tmp_path / "out"
    for name in ("a", "b", "c"):
        png(folder / f"{name}.png")
    degrade_one = command.degrade_picture

    def interrupted(source, *arguments, **options):
        if source.name == "b.png":
            raise KeyboardInterrupt
        return degrade_one(source, *arguments, **options)

    monkeypatch.setattr(command, "degrade_picture", interrupted)
    assert run(folder, "--output", output) == 130
    assert [path.name for path in output.iterdir()] == ["a.png"]
    assert "--resume continues" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("--preset", "star"),
        ("--strength", "2"),
        ("--strength", "much"),
        ("--seed", "-1"),
        ("--seed", "one"),
        ("--set", "jpeg.quality"),
        ("--set", "jpeg.quality=60-30"),
        ("--set", "jpeg.star=1"),
        ("--resume", "--overwrite"),
    ],
)
def test_wrong_arguments_end_with_2_and_start_nothing(tmp_path, capsys, arguments):
    source = png(tmp_path / "a.png")
    try:
        status = run(source, "--output", tmp_path / "out", *arguments)
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    assert capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_help_names_every_preset_and_setting(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert all(name.replace(" ", "-") in text for name in DEGRADE_PRESETS)
    assert all(path in text for path in setting_paths())


def test_what_is_reported_is_what_was_done(tmp_path):
    source, target = png(tmp_path / "a.png"), tmp_path / "b.png"
    settings = DegradeSettings().changed({"jpeg.quality": "10-90"})
    report = degrade_picture(source, target, settings, seed=1)
    (step,) = report.steps
    expected = draw_steps(settings.changed({"jpeg.quality": step[5:]}), report.size, seed=0)
    patterns = torch.Generator()
    jpeg = expected[0].apply(pixels(source)[0], patterns)
    torch.testing.assert_close(pixels(target)[0], jpeg, atol=1e-6, rtol=0)
    with pytest.raises(DegradeSettingsError, match="seed"):
        degrade_picture(source, target, settings, seed=-1)
