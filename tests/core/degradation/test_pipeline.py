"""Whole degradations: the same on every run, device and split, and nothing changed by mistake."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpen_core import DEGRADE_PRESETS, DegradeSettings, degrade
from gpen_core.degradation import draw_steps
from gpen_core.degradation.noise import NoiseSettings
from gpen_core.errors import DegradeSettingsError, TensorSpecError
from gpen_core.monitor import Monitor
from support.geometry import smooth
from support.stand_in_gpu import DEVICE, stand_in_gpu

PRESETS = pytest.mark.parametrize("preset", DEGRADE_PRESETS)
NOISE = DegradeSettings(noise=NoiseSettings(sigma=(5, 30)))


def batch(n=4, height=96, width=120):
    """Parts of one picture, with some texture."""
    pixels = smooth(height + width)
    pixels[:, ::7] *= 0.8
    return torch.stack([pixels[:, i : i + height, i : i + width] for i in range(n)])


@PRESETS
def test_a_batch_is_its_images_one_by_one_and_its_parts_together(preset):
    images = batch(4)
    run = partial(degrade, settings=DEGRADE_PRESETS[preset], seed=7)
    whole = run(images)
    one_by_one = [run(images[i : i + 1], first_index=i) for i in range(4)]
    assert torch.equal(whole, torch.cat(one_by_one))
    assert torch.equal(whole, torch.cat([run(images[:3]), run(images[3:], first_index=3)]))
    assert not torch.equal(whole[1:2], run(images[1:2]))


@PRESETS
def test_a_seed_decides_everything(preset):
    images = batch(2)
    state = torch.random.get_rng_state()
    first = degrade(images, DEGRADE_PRESETS[preset], seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)  # nobody else's draws are touched
    torch.manual_seed(99)
    assert torch.equal(first, degrade(images, DEGRADE_PRESETS[preset], seed=1))
    assert not torch.equal(first, degrade(images, DEGRADE_PRESETS[preset], seed=2))


def test_large_seeds_do_not_run_into_those_of_other_images():
    draws = [
        draw_steps(NOISE, (512, 512), seed=seed, index=index)
        for seed, index in ((5, 1), (5 + 2**32, 0), (2**64 - 1, 0), (2**64 - 1, 2**32))
    ]
    assert all(draws.count(steps) == 1 for steps in draws)


def test_frames_share_parameters_and_have_their_own_noise():
    frames = batch(1).expand(4, -1, -1, -1)
    same = degrade(frames, NOISE, seed=3, same_for_all=True)
    sigmas = (same - frames).std(dim=(1, 2, 3))
    assert sigmas.max() / sigmas.min() < 1.05
    assert not torch.equal(same[0], same[1])
    different = (degrade(frames, NOISE, seed=3) - frames).std(dim=(1, 2, 3))
    assert different.max() / different.min() > 1.3
    parts = [
        degrade(frames[i : i + 2], NOISE, seed=3, same_for_all=True, first_index=i) for i in (0, 2)
    ]
    assert torch.equal(same, torch.cat(parts))


@PRESETS
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_with_strength_0_the_images_come_back_bit_for_bit(preset, dtype):
    images = batch(2).to(dtype)
    unchanged = degrade(images, DEGRADE_PRESETS[preset], seed=0, strength=0.0)
    assert torch.equal(unchanged, images)
    assert unchanged.dtype == dtype
    assert torch.equal(degrade(images, DegradeSettings(), seed=0), images)


@PRESETS
def test_more_strength_takes_the_images_further_from_what_they_were(preset):
    images = batch(6, 128, 128)
    distances = [
        float(
            (degrade(images, DEGRADE_PRESETS[preset], seed=4, strength=s) - images).square().mean()
        )
        for s in (0.0, 0.1, 0.4, 0.7, 1.0)
    ]
    assert distances[0] == 0
    assert distances == sorted(distances)
    assert len(set(distances)) == 5


@PRESETS
@pytest.mark.parametrize("is_apple", [False, True], ids=["nvidia", "apple"])
def test_on_a_device_the_same_comes_out(preset, is_apple):
    images = torch.cat([batch(3), torch.rand(3, 1, 96, 120)], dim=1)
    expected = degrade(images, DEGRADE_PRESETS[preset], seed=11)
    with stand_in_gpu(is_apple=is_apple):
        degraded = degrade(images.to(DEVICE), DEGRADE_PRESETS[preset], seed=11)
        assert degraded.device == DEVICE
        torch.testing.assert_close(degraded.cpu(), expected, rtol=0, atol=1e-6)


@settings(max_examples=60)
@given(
    preset=st.sampled_from(sorted(DEGRADE_PRESETS)),
    shape=st.tuples(
        st.integers(0, 2), st.sampled_from([3, 4]), st.integers(1, 40), st.integers(1, 40)
    ),
    dtype=st.sampled_from([torch.float16, torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 2**64 - 1),
    strength=st.floats(0, 1),
    same_for_all=st.booleans(),
    is_channels_last=st.booleans(),
)
def test_any_images_keep_their_shape_kind_and_alpha(
    preset, shape, dtype, seed, strength, same_for_all, is_channels_last
):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    if is_channels_last:
        images = images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    before = images.clone()
    degraded = degrade(
        images, DEGRADE_PRESETS[preset], seed=seed, strength=strength, same_for_all=same_for_all
    )
    assert torch.equal(images, before)
    assert (degraded.shape, degraded.dtype) == (images.shape, dtype)
    assert degraded.isfinite().all()
    assert ((degraded >= 0) & (degraded <= 1)).all()
    assert torch.equal(degraded[:, 3:], images[:, 3:])


def test_progress_is_told_and_a_cancellation_ends_the_work():
    told = []
    monitor = Monitor(on_progress=lambda *done: told.append(done))
    degrade(batch(3), NOISE, seed=0, monitor=monitor)
    assert told == [(1, 3), (2, 3), (3, 3)]
    told.clear()

    def cancel():
        if told:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        degrade(batch(3), NOISE, seed=0, monitor=replace(monitor, check_interrupt=cancel))
    assert told == [(1, 3)]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(3, 8, 8), "Add the batch axis"),
        (torch.rand(1, 8, 8, 3), "Put the channels first"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "expected floating point"),
        (torch.full((1, 3, 8, 8), float("nan")), "expected finite values"),
        (torch.full((1, 3, 8, 8), float("inf")), "expected finite values"),
    ],
)
def test_images_of_another_kind_are_refused(images, message):
    with pytest.raises(TensorSpecError, match=message):
        degrade(images, NOISE, seed=0)


@pytest.mark.parametrize(
    "options", [{"seed": -1}, {"seed": 0, "strength": 1.5}, {"seed": 0, "first_index": -1},
                {"seed": 0, "strength": float("nan")}],
)  # fmt: skip
def test_draws_out_of_range_are_refused(options):
    with pytest.raises(DegradeSettingsError, match=r"expected 0"):
        degrade(batch(1), NOISE, **options)


def test_what_is_said_to_be_done_is_what_is_done():
    images = batch(2)
    expected = images[1]
    patterns = torch.Generator().manual_seed(0)
    for step in draw_steps(DEGRADE_PRESETS["swap-128"], (96, 120), seed=5, index=1):
        expected = step.apply(expected, patterns)  # draws nothing for single pixels
    torch.testing.assert_close(degrade(images, DEGRADE_PRESETS["swap-128"], seed=5)[1], expected)
