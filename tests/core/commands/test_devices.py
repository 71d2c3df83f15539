"""Devices and dtypes by their names."""

import pytest
import torch

from gpen_core.commands.devices import AUTO, choose_device, choose_dtype
from gpen_core.errors import SettingError


@pytest.fixture
def available(monkeypatch):
    """Sets which devices PyTorch finds."""

    def find(*names):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: "cuda" in names)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: "mps" in names)

    return find


@pytest.mark.parametrize(
    ("names", "chosen"), [((), "cpu"), (("mps",), "mps"), (("cuda", "mps"), "cuda")]
)
def test_auto_is_the_fastest_that_is_there(available, names, chosen):
    available(*names)
    assert choose_device(AUTO) == torch.device(chosen)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_is_taken_by_name_and_refused_where_it_is_not(available, name):
    available(name)
    assert choose_device(name).type == name
    available()
    with pytest.raises(SettingError, match=f"got {name}. Use --device auto"):
        choose_device(name)


def test_auto_is_half_precision_on_cuda_alone():
    assert choose_dtype(AUTO, torch.device("cuda")) == torch.float16
    assert choose_dtype(AUTO, torch.device("mps")) == torch.float32
    assert choose_dtype("bf16", torch.device("cpu")) == torch.bfloat16
