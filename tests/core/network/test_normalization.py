import math

import torch

from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.generator import GpenGenerator
from gpen_core.network.normalization import encoder_scales
from gpen_core.network.synthetic import random_state_dict

CONFIG = GpenConfig(256, 1, 0.125)
ORDINARY = math.sqrt(2.0)


def strengths(network: GpenGenerator) -> list[float]:
    return [conv.injection_strength for conv in network.convs]


def test_filters_are_stored_with_unit_norm():
    network = build_model(random_state_dict(CONFIG))
    for conv in network.convs:
        out_axis = 1 if conv.upsample else 0
        norms = conv.weight.movedim(out_axis, 0).flatten(1).norm(dim=1)
        torch.testing.assert_close(norms, torch.ones_like(norms))


def test_filters_of_zeros_stay_zeros():
    published = random_state_dict(CONFIG)
    published["generator.conv1.conv.weight"][:, 0] = 0
    conv = build_model(published).convs[0]
    assert not conv.weight[0].any()
    assert conv.epsilon.isfinite().all()


def test_encoder_scales_follow_filters_and_biases_in_powers_of_two():
    layers = [
        (ORDINARY * 1000, 0.0),  # 1024 is nearest
        (ORDINARY, 0.0),
        (ORDINARY / 8, 0.0),
        (0.0, 5.0),  # nothing but the bias
        (0.0, 0.0),
    ]
    assert encoder_scales(layers) == [1024.0, 1024.0, 128.0, 4.0, 1.0]


def test_scaled_encoder_weights_are_stored_as_ordinary_ones_and_undone_where_read():
    published = random_state_dict(CONFIG)
    expected = build_model(published)
    published["ecd0.0.0.weight"] = published["ecd0.0.0.weight"] * 2**20
    published["ecd0.0.1.bias"] = published["ecd0.0.1.bias"] * 2**20
    published["ecd1.0.1.weight"] = published["ecd1.0.1.weight"] / 2**20
    scaled = build_model(published)
    for (name, weight), wanted in zip(
        scaled.named_parameters(), expected.parameters(), strict=True
    ):
        torch.testing.assert_close(weight, wanted, rtol=1e-6, atol=0, msg=name)
    # Only the last two layers read the map of full resolution.
    wanted = strengths(expected)
    assert strengths(scaled) == [*wanted[:-2], *(math.ldexp(s, 20) for s in wanted[-2:])]
