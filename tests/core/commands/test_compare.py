import json

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image

from gpen_core.__main__ import main


@pytest.fixture
def pictures(tmp_path):
    """The astronaut, a darker one of half the size, and flat grey."""
    astronaut = skimage.data.astronaut()
    half = np.asarray(Image.fromarray(astronaut).resize((256, 256), Image.Resampling.BOX)) // 2
    named = {"a.png": astronaut, "half.png": half, "grey.png": np.full((40, 50), 128, np.uint8)}
    for name, pixels in named.items():
        Image.fromarray(pixels).save(tmp_path / name)
    return {name: str(tmp_path / name) for name in named}


def test_compare_prints_the_measures_of_two_pictures(pictures, capsys):
    assert main(["compare", pictures["half.png"], pictures["a.png"], "--faces"]) == 0
    resized, text, legend = capsys.readouterr().out.splitlines()
    assert resized == f"{pictures['half.png']} was resized to 512 x 512, the size of the other."
    assert text.startswith("Whole image: PSNR ")
    assert "Inside mask or faces: PSNR " in text
    assert "Landmarks are off by " in text
    assert legend.endswith("less is softer.")


def test_compare_prints_json_that_any_reader_takes(pictures, capsys):
    assert main(["compare", pictures["a.png"], pictures["half.png"], "--json"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["height_width"] == [256, 256]
    assert found["before_was_resized"] is True
    assert found["inside_faces"] is None
    assert 5 < found["whole"]["psnr"] < 20
    assert 0 <= found["landmark_error"] < 10
    assert main(["compare", pictures["a.png"], pictures["a.png"], "--json", "--faces"]) == 0
    found = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert found["before_was_resized"] is False
    for figures in (found["whole"], found["inside_faces"]):
        assert figures["psnr"] is None  # infinite
        assert figures["ms_ssim"] == pytest.approx(1)
    assert found["landmark_error"] == 0


def test_compare_says_when_there_is_no_face(pictures, capsys):
    assert main(["compare", pictures["grey.png"], pictures["grey.png"], "--faces"]) == 0
    text = "Whole image: equal, bit for bit. There is nothing inside: no face, or an empty mask."
    assert capsys.readouterr().out.strip() == text


def test_compare_a_file_that_is_no_picture_is_an_error_on_stderr(pictures, tmp_path, capsys):
    (tmp_path / "not.png").write_text("text")
    for name in ("not.png", "absent.png"):
        assert main(["compare", pictures["a.png"], str(tmp_path / name)]) == 1
        captured = capsys.readouterr()
        assert name in captured.err
        assert captured.out == ""


def test_what_is_better_is_said_unless_the_pictures_are_equal(pictures, capsys):
    for after, is_said in (("half.png", True), ("a.png", False)):
        assert main(["compare", pictures["a.png"], pictures[after]]) == 0
        assert ("The higher PSNR, SSIM and MS-SSIM" in capsys.readouterr().out) is is_said


def test_compare_measures_transparent_pictures_of_16_bits_by_their_colours(tmp_path, capsys):
    pixels = torch.randint(0, 65536, (40, 40, 4), generator=torch.Generator().manual_seed(0))
    for name, alpha in (("a.png", 0), ("b.png", 65535)):
        pixels[..., 3] = alpha
        cv2.imwrite(str(tmp_path / name), pixels.numpy().astype(np.uint16))
    assert main(["compare", str(tmp_path / "a.png"), str(tmp_path / "b.png")]) == 0
    assert capsys.readouterr().out.strip() == "Whole image: equal, bit for bit."
