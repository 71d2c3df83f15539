import math

import pytest
import torch
from torch.nn import functional as F

from gpen_core.blending.detail import blend_detail_, remove_coarse_
from gpen_core.errors import TensorSpecError
from support.geometry import noise

SIZE = 256


def blend_detail(restored, original, cutoff, strength):
    blended = restored.clone()
    blend_detail_(blended, original, cutoff, strength)
    return blended


def wave(length, size=SIZE):
    """(1, 3, size, size), a cosine along x that its mirror image continues."""
    x = (torch.arange(size) + 0.5) / size
    return torch.cos(2 * math.pi * x / length).expand(1, 3, size, size).contiguous()


def share(result, picture):
    """How much of a picture is in the result."""
    return float((result * picture).sum() / picture.square().sum())


# Lengths and cut-offs as fractions of the size; 2 / length is whole.
@pytest.mark.parametrize(
    ("length", "cutoff", "from_original"),
    [(0.1, 0.1, 0.5), (0.4, 0.4, 0.5), (0.2, 0.1, 0.8409), (0.1, 0.2, 0.0625), (2, 0.1, 0.9983)],
)
def test_waves_come_from_the_original_as_far_as_they_are_longer(length, cutoff, from_original):
    silent = torch.zeros(1, 3, SIZE, SIZE)
    coarse = blend_detail(silent, wave(length), cutoff, 1.0)
    fine = blend_detail(wave(length), silent, cutoff, 1.0)
    assert share(coarse, wave(length)) == pytest.approx(from_original, abs=1e-4)
    assert share(fine, wave(length)) == pytest.approx(1 - from_original, abs=1e-4)
    torch.testing.assert_close(
        coarse, wave(length) * share(coarse, wave(length)), rtol=0, atol=1e-5
    )


def test_the_low_pass_is_the_gaussian_it_claims_to_be():
    size, cutoff = 96, 0.25
    sigma = cutoff * size * math.sqrt(math.log(2) / 2) / math.pi
    x = torch.arange(-size, size + 1).double()
    taps = torch.exp(-0.5 * (x / sigma) ** 2)
    taps /= taps.sum()
    original, restored = noise(size)[None], noise(size, 1)[None]
    change = (original - restored).double()
    mirrored = torch.cat([change.flip(-1), change, change.flip(-1)], dim=-1)
    mirrored = torch.cat([mirrored.flip(-2), mirrored, mirrored.flip(-2)], dim=-2)
    planes = F.conv2d(mirrored[0][:, None], taps.view(1, 1, 1, -1))
    low = F.conv2d(planes, taps.view(1, 1, -1, 1))[None, :, 0]
    expected = restored + low[..., :size, :size].float()
    torch.testing.assert_close(
        blend_detail(restored, original, cutoff, 1.0), expected, rtol=0, atol=2e-6
    )


@pytest.mark.parametrize("cutoff", [0.005, 0.1, 1.0, 3.0])
def test_a_constant_shift_of_the_restoration_is_removed_up_to_the_border(cutoff):
    original = noise(SIZE)[None] * 0.5
    result = blend_detail(original + 0.2, original, cutoff, 1.0)
    torch.testing.assert_close(result, original, rtol=0, atol=1e-6)


def test_an_unchanged_face_keeps_every_bit():
    original = noise(SIZE)[None]
    assert torch.equal(blend_detail(original.clone(), original, 0.1, 0.7), original)


def test_strength_is_linear_and_off_at_zero():
    original, restored = noise(SIZE)[None], noise(SIZE, 1)[None]
    whole = blend_detail(restored, original, 0.05, 1.0)
    third = blend_detail(restored, original, 0.05, 0.3)
    torch.testing.assert_close(third, restored + 0.3 * (whole - restored), rtol=0, atol=1e-6)
    assert torch.equal(blend_detail(restored, original, 0.05, 0.0), restored)


def test_a_cutoff_towards_zero_gives_the_original():
    original, restored = noise(64)[None], noise(64, 1)[None]
    for cutoff in (0.0, 1e-6):
        torch.testing.assert_close(blend_detail(restored, original, cutoff, 1.0), original)


def test_a_picture_looks_the_same_at_512_and_2048():
    small = [
        F.interpolate(noise(32, seed)[None], size=(512, 512), mode="bicubic") for seed in (0, 1)
    ]
    large = [F.interpolate(x, size=(2048, 2048), mode="bilinear") for x in small]
    result = F.avg_pool2d(blend_detail(*large, 0.1, 1.0), 4)
    # What averages of a bilinear enlargement lose themselves.
    reduced = [F.avg_pool2d(x, 4) for x in large]
    expected = blend_detail(*reduced, 0.1, 1.0)
    torch.testing.assert_close(result, expected, rtol=0, atol=5e-4)


def test_each_face_of_a_batch_is_handled_alone():
    original = torch.stack([noise(64, i) for i in range(3)])
    restored = torch.stack([noise(64, i + 9) for i in range(3)])
    together = blend_detail(restored, original, 0.2, 0.8)
    for i in range(3):
        alone = blend_detail(restored[i : i + 1], original[i : i + 1], 0.2, 0.8)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-6)
    assert together.dtype == torch.float32


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(TensorSpecError, match="expected restored and original"):
        blend_detail(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 9, 9), 0.1, 1.0)


@pytest.mark.parametrize("wavelength", [1.5, 30.0])
def test_a_change_of_any_shape_and_memory_order_loses_the_same(wavelength):
    square = noise(SIZE)
    expected = square[None].clone()
    blend_detail_(expected, torch.zeros(1, 3, SIZE, SIZE), wavelength / SIZE, 0.7)
    # Away from the border the rest of the picture makes no difference.
    margin = 100
    change = square[:, :, : SIZE - 31].permute(1, 2, 0).contiguous().permute(2, 0, 1)
    remove_coarse_(change[None], wavelength, 0.7)
    inner = (slice(None), slice(None), slice(0, SIZE - 31 - margin))
    torch.testing.assert_close(change[inner], expected[0][inner], rtol=0, atol=2e-6)
