"""The examples of docs/api.md run as they stand, one after the other."""

import re

import numpy as np
import pytest
import skimage.data
import torch
from facexlib.parsing.bisenet import BiSeNet
from PIL import Image

import gpen_core
from environment import REPOSITORY
from gpen_core import errors
from support.media import write_video

PAGE = (REPOSITORY / "docs/api.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The files that the examples read."""
    folder = tmp_path_factory.mktemp("api")
    photo = skimage.data.astronaut()[:288, 96:352]
    Image.fromarray(photo).save(folder / "photo.jpg", quality=95)
    swapped = np.array(Image.open(folder / "photo.jpg"))
    swapped[70:170, 80:170] = np.clip(swapped[70:170, 80:170] * 0.8 + 30, 0, 255)
    Image.fromarray(swapped).save(folder / "swapped.png")
    write_video(folder / "clip.mp4")
    torch.manual_seed(0)
    torch.save(BiSeNet(num_class=19).state_dict(), folder / "parsing_bisenet.pth")
    return folder


def test_the_examples_run(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    names = {}
    for number, example in enumerate(EXAMPLES):
        exec(compile(example, f"docs/api.md, example {number}", "exec"), names)  # noqa: S102
    printed = capsys.readouterr().out
    assert "GPEN-BFR-4096.pth: expected a file" in printed
    assert len(names["blended"].faces) == 1
    assert Image.open("restored.png").size == Image.open("photo.jpg").size
    assert not torch.equal(names["result"].images, names["frames"])


def test_the_examples_use_public_names_only():
    used = set(re.findall(r"\bgpen_core\.(\w+)", "".join(EXAMPLES)))
    used |= {
        name
        for names in re.findall(r"from gpen_core import (.+)", "".join(EXAMPLES))
        for name in names.split(", ")
    }
    assert used <= set(gpen_core.__all__)


def test_the_page_lists_every_error():
    rows = re.findall(r"^\| (`\w+Error`.*?) \|", PAGE, re.MULTILINE)
    listed = set(re.findall(r"\w+", " ".join(rows)))
    kinds = {name for name, value in vars(errors).items() if isinstance(value, type)}
    assert listed == {name for name in kinds if name.endswith("Error")} - {"GpenError"}
