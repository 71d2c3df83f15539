import math

import torch

from gpen_core.network.config import GpenConfig
from gpen_core.network.folding import fold_state_dict
from gpen_core.network.normalization import encoder_scales, unit_filters
from gpen_core.network.synthetic import random_state_dict


def test_unit_filters_are_of_norm_one_and_give_the_weight_back():
    weight = torch.randn(4, 3, 3, 3) * torch.tensor([1e-6, 1.0, 1e6, 0.0])[:, None, None, None]
    filters, norms = unit_filters(weight)
    torch.testing.assert_close(filters.flatten(1).norm(dim=1), torch.tensor([1.0, 1.0, 1.0, 0.0]))
    torch.testing.assert_close(filters * norms[:, None, None, None], weight)


def test_encoder_scales_of_ordinary_weights_are_one():
    folded, _ = fold_state_dict(*_ordinary())
    names = [f"encoder.{k}" for k in range(7)]
    layers = [(folded[f"{name}.weight"], folded[f"{name}.bias"]) for name in names]
    assert encoder_scales(layers) == [1.0] * 7


def test_encoder_scales_are_powers_of_two_that_follow_weights_and_biases():
    weight, bias = torch.full((2, 2, 1, 1), 1.0), torch.zeros(2)  # norm sqrt(2): ordinary
    layers = [
        (weight * 1000, bias),  # x 1000: 1024 is nearest
        (weight, bias),
        (weight / 8, bias),
        (weight * 0, bias + 5),  # nothing but the bias
        (weight * 0, bias),
    ]
    assert encoder_scales(layers) == [1024.0, 1024.0, 128.0, 4.0, 1.0]


def test_folding_of_scaled_encoder_weights_gives_the_same_weights_by_powers_of_two():
    published, config = _ordinary()
    expected, strengths = fold_state_dict(published, config)
    published["ecd0.0.0.weight"] = published["ecd0.0.0.weight"] * 2**20
    published["ecd0.0.1.bias"] = published["ecd0.0.1.bias"] * 2**20
    published["ecd1.0.1.weight"] = published["ecd1.0.1.weight"] / 2**20
    folded, scaled_strengths = fold_state_dict(published, config)
    assert all(torch.equal(folded[name], expected[name]) for name in expected)
    at_full_size = {name: math.ldexp(strengths[name], 20) for name in ("convs.11", "convs.12")}
    assert scaled_strengths == {**strengths, **at_full_size}


def _ordinary():
    config = GpenConfig(256, 1, 0.125)
    return random_state_dict(config), config
