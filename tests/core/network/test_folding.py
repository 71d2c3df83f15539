"""Constant factors in the weights, as published networks apply them at run time."""

import math

import torch

from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from gpen_core.network.synthetic import random_state_dict

CONFIG = GpenConfig(256, 1, 0.125)


def folded():
    published = random_state_dict(CONFIG)
    return published, dict(build_model(published).named_parameters())


def test_the_style_network_holds_its_learning_rate_and_the_gain_of_leaky_relu():
    published, weights = folded()
    factor = 0.01 * math.sqrt(2)
    expected = published["generator.style.1.weight"] * factor / math.sqrt(512)
    torch.testing.assert_close(weights["style.0.weight"], expected)
    torch.testing.assert_close(
        weights["style.0.bias"], published["generator.style.1.bias"] * factor
    )


def test_modulations_hold_the_equalised_learning_rate_alone():
    published, weights = folded()
    source = published["generator.conv1.conv.modulation.weight"]
    torch.testing.assert_close(weights["convs.0.modulation_weight"], source / math.sqrt(512))


def test_rgb_layers_hold_the_equalised_learning_rate_alone():
    published, weights = folded()
    source = published["generator.to_rgb1.conv.weight"][0, :, :, 0, 0]
    expected = source / math.sqrt(source.shape[1])
    torch.testing.assert_close(weights["to_rgbs.0.weight"].reshape(expected.shape), expected)


def test_biases_of_decoder_and_injection_are_the_halves_of_the_published_one():
    published, weights = folded()
    bias = math.sqrt(2) * published["generator.conv1.activate.bias"]
    found = torch.cat((weights["convs.0.bias"], weights["convs.0.injected_bias"]))
    torch.testing.assert_close(found, bias)
