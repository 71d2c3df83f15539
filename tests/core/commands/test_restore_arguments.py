"""What the arguments of ``gpen restore`` stand for."""

import argparse
from pathlib import Path

from gpen_core.commands.restore_arguments import add_arguments, find_detector


def chosen_detector(*arguments, models=None):
    """What ``load_detector`` is called with, for a model that lies alone in a folder."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    options = ["in", "--output", "out", "--model", "m", *arguments]
    if models is not None:
        options += ["--models", models]
    return find_detector(parser.parse_args(list(map(str, options))), Path("nowhere/m"))


def test_the_detector_is_resnet50_if_its_file_is_there_else_the_bundled_one(tmp_path, monkeypatch):
    monkeypatch.delenv("GPEN_MODELS_DIR", raising=False)
    mobile, resnet = "retinaface_mobile0.25", "retinaface_resnet50"
    assert chosen_detector() == (None, None)
    assert chosen_detector("--detector", mobile) == (mobile, None)
    folder = tmp_path / "facedetection"
    folder.mkdir()
    mobile_file, resnet_file = (
        folder / f"detection_{name}_Final.pth" for name in ("mobilenet0.25", "Resnet50")
    )
    mobile_file.touch()
    assert chosen_detector(models=tmp_path) == (None, None)
    assert chosen_detector("--detector", mobile, models=tmp_path) == (mobile, mobile_file)
    resnet_file.touch()
    assert chosen_detector(models=tmp_path) == (None, resnet_file)
    assert chosen_detector("--detector", resnet, models=tmp_path) == (resnet, resnet_file)
    assert chosen_detector("--detector-file", "my.pth", models=tmp_path) == (None, Path("my.pth"))
