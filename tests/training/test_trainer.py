"""The training loop."""

import pytest
import torch

from training.damage import damage
from training.start import start_from_identity
from training.trainer import Recipe, Trainer

from .conftest import CONFIG

RECIPE = Recipe(pictures=16, batch=2, detail_from=0.5, cooldown=0.5)


def trainer(faces, recipe=RECIPE):
    return Trainer(start_from_identity(CONFIG, seed=0), CONFIG, recipe, faces, damage)


def test_a_run_that_was_interrupted_goes_on_as_if_it_had_not_been(faces, tmp_path):
    whole, first, rest = trainer(faces), trainer(faces), trainer(faces)
    for _ in range(6):
        whole.step()

    for _ in range(5):  # into the part with the discriminator
        first.step()
    first.save(tmp_path / "state.pt")
    rest.resume(tmp_path / "state.pt")
    rest.step()

    assert rest.done == whole.done == 12
    for name, weight in whole.weights.items():
        assert torch.equal(weight, rest.weights[name]), name
        assert torch.equal(whole.average[name], rest.average[name]), name


def test_discriminator_takes_part_from_its_share_of_the_run_on(faces):
    training = trainer(faces)

    losses = [set(training.step()) for _ in range(5)]

    assert losses[3] == {"fidelity"}
    assert losses[4] == {"fidelity", "energy", "texture", "critic"}


def test_pace_falls_to_zero_over_the_end(faces):
    training, paces = trainer(faces), []
    for training.done in (0, 8, 12, 16):
        paces.append(training.pace)

    assert paces == pytest.approx([1.0, 1.0, 0.5, 0.0])
    before = {name: weight.detach().clone() for name, weight in training.trained.items()}
    training.step()
    assert all(torch.equal(before[name], weight) for name, weight in training.trained.items())


def test_training_learns_to_undo_the_damage(faces):
    def darken(views, seed):
        return 0.8 * views

    training = Trainer(
        start_from_identity(CONFIG, seed=0), CONFIG, Recipe(1000, texture=0.0), faces, darken
    )

    losses = [training.step()["fidelity"] for _ in range(24)]

    assert losses[-1] < 0.5 * losses[0]


def test_average_follows_the_weights(faces):
    training = trainer(faces)
    before = {name: weight.clone() for name, weight in training.average.items()}
    for _ in range(2):
        training.step()

    moved = 0
    for name in training.trained:
        weight = training.weights[name].detach()
        low, high = torch.minimum(before[name], weight), torch.maximum(before[name], weight)
        low, high = low - 0.05, high + 0.05  # it lies on the way, which is not straight
        assert ((training.average[name] >= low) & (training.average[name] <= high)).all(), name
        moved += not torch.equal(training.average[name], before[name])
    assert moved > 0.9 * len(training.trained)


def test_damage_is_the_same_for_the_same_seed_and_leaves_some_faces_alone(faces):
    views = (faces[:1, :, ::5, ::5].float() / 255).expand(40, -1, -1, -1)

    first, again, other = damage(views, 1), damage(views, 1), damage(views, 2)

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    untouched = sum(torch.equal(a, b) for a, b in zip(first, views, strict=True))
    assert 0 < untouched < 12
