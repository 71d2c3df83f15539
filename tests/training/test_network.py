"""The network that is trained, against the plain published one and against the one that is used."""

import pytest
import torch

from gpen_core.network.build import build_model
from gpen_core.network.config import GpenConfig
from support.networks import random_crops
from support.reference_gpen import ReferenceGpen, moved_state_dict
from training.network import restore

CONFIGS = [
    GpenConfig(256, 1, 1 / 32, n_mlp=2, style_dim=12),
    GpenConfig(256, 1, 1 / 32, n_mlp=2, style_dim=12, concat=False),
    GpenConfig(512, 2, 1 / 64, n_mlp=1, style_dim=8),
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("count", [1, 2])
def test_output_equals_that_of_the_published_formulation(config, count):
    weights, crops = moved_state_dict(config), random_crops(config, count)
    reference = ReferenceGpen(config)
    reference.load_state_dict(weights)

    with torch.no_grad():
        wanted, actual = reference(crops), restore(weights, config, crops)

    assert (actual - wanted).norm() <= 5e-6 * wanted.norm()


@pytest.mark.parametrize("config", CONFIGS[:2])
@pytest.mark.parametrize("count", [1, 2])
def test_gradients_equal_those_of_the_published_formulation(config, count):
    # Doubled precision: gradients of biases are sums over whole maps.
    weights = {name: w.double() for name, w in moved_state_dict(config).items()}
    crops = random_crops(config, count).double()
    target = random_crops(config, count, seed=2).double()
    reference = ReferenceGpen(config).double()
    reference.load_state_dict(weights)
    trained = {name: w.clone().requires_grad_() for name, w in weights.items()}

    (reference(crops) - target).square().sum().backward()
    (restore(trained, config, crops) - target).square().sum().backward()

    for name, parameter in reference.named_parameters():
        difference = (trained[name].grad - parameter.grad).norm()
        # The training network computes its linear layers in float32.
        assert difference <= 1e-4 * parameter.grad.norm(), name


def test_what_is_trained_is_what_is_used():
    config = CONFIGS[0]
    weights, crops = moved_state_dict(config), random_crops(config, 2)

    with torch.no_grad():
        trained = restore(weights, config, crops)
        used = build_model(weights)(crops)

    assert (trained - used).norm() <= 5e-6 * used.norm()
