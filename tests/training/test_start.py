"""The weights that training starts from."""

import torch

from gpen_core.network.build import build_model
from gpen_core.network.detect import detect_config
from support.networks import random_crops
from training.network import restore
from training.start import start_from_identity

from .conftest import CONFIG


def test_first_network_returns_its_input():
    network = build_model(start_from_identity(CONFIG, seed=0))
    crops = random_crops(CONFIG)

    assert (network(crops) - crops).abs().max() < 1e-5


def test_first_weights_are_those_of_a_published_network_and_follow_from_the_seed():
    first, again, other = (start_from_identity(CONFIG, seed) for seed in (0, 0, 1))

    assert detect_config(first) == CONFIG
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["ecd1.0.1.weight"], other["ecd1.0.1.weight"])


def test_every_decoder_level_has_something_to_learn_from_the_first_two_steps_on():
    """The RGB layers look at nothing at first; once they do, the layers before them learn too."""
    weights = start_from_identity(CONFIG, seed=0)
    trained = {n: w.requires_grad_() for n, w in weights.items() if not n.endswith(".kernel")}
    crops, target = random_crops(CONFIG), random_crops(CONFIG, seed=2)
    for _ in range(2):
        for weight in trained.values():
            weight.grad = None
        (restore(weights, CONFIG, crops) - target).abs().mean().backward()
        with torch.no_grad():
            for weight in trained.values():
                weight -= 1e-2 * weight.grad.sign()

    still = [name for name, weight in trained.items() if not weight.grad.any()]
    assert not still
