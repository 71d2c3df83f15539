"""Networks from published state dicts."""

import pytest
import torch

from gpen_core.errors import CheckpointMismatchError
from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict
from support.metrics import relative_l2
from support.networks import random_crops


def test_build_model_does_not_modify_its_input():
    state_dict = random_state_dict(GpenConfig(256, 1, 0.125))
    before = {key: value.clone() for key, value in state_dict.items()}
    build_model(state_dict)
    assert all(torch.equal(state_dict[key], before[key]) for key in before)


def test_build_model_reads_half_precision_checkpoints():
    config = GpenConfig(256, 1, 0.125)
    state_dict = random_state_dict(config)
    halves = {key: value.half() for key, value in state_dict.items()}
    crops = random_crops(config)
    expected = build_model(state_dict)(crops)
    assert relative_l2(build_model(halves)(crops), expected) <= 3e-3


def test_build_model_refuses_weights_that_are_not_finite():
    state_dict = random_state_dict(GpenConfig(256, 1, 0.125))
    state_dict["generator.convs.4.conv.weight"][0, 0, 0, 0, 0] = float("nan")
    with pytest.raises(CheckpointMismatchError, match=r"generator\.convs\.4\.conv\.weight"):
        build_model(state_dict, name="x.pth")


def test_build_model_takes_finite_weights_whose_sum_overflows():
    state_dict = random_state_dict(GpenConfig(256, 1, 0.125))
    state_dict["generator.to_rgbs.0.bias"].fill_(3e38)
    build_model(state_dict)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_build_model_rounds_weights_once(dtype):
    state_dict = random_state_dict(GpenConfig(256, 1, 0.125))
    exact = dict(build_model(state_dict).named_parameters())
    for name, weight in build_model(state_dict, dtype).named_parameters():
        assert torch.equal(weight, exact[name].to(weight.dtype)), name


def test_build_model_refuses_another_filter():
    state_dict = random_state_dict(GpenConfig(256, 1, 0.125))
    state_dict["ecd3.0.0.kernel"] = torch.ones(4, 4) / 16
    with pytest.raises(CheckpointMismatchError, match=r"ecd3\.0\.0\.kernel"):
        build_model(state_dict)
