"""What each stage of a degradation does: exactly where it can be said, else on the average."""

import io
import math

import cv2
import numpy as np
import pytest
import scipy.stats
import torch
import torchvision
from PIL import Image

from gpen_core.degradation.age import AgeSettings, Dust, Fade, Mark, Scratches, Sepia
from gpen_core.degradation.blur import SharpenSettings, SincSettings
from gpen_core.degradation.color import Adjust, Grey, Shift
from gpen_core.degradation.jpeg import Jpeg
from gpen_core.degradation.noise import Noise, NoiseKind, poisson_noise
from gpen_core.degradation.pipeline import draw_steps
from gpen_core.degradation.resize import Interpolation, Resize, ResizeSettings, Tilt
from gpen_core.degradation.settings import DegradeSettings
from gpen_core.errors import TensorSpecError
from support.geometry import smooth


def apply(step, pixels, seed=0):
    before = pixels.clone()
    result = step.apply(pixels, torch.Generator().manual_seed(seed))
    assert torch.equal(pixels, before)
    return result


def even(value, height=200, width=300):
    return torch.full((3, height, width), value)


def picture(height=48, width=64):
    return smooth(max(height, width))[:, :height, :width].clone()


def bytes_of(pixels):
    return (pixels * 255).round().to(torch.uint8)


# Colour


def test_a_shift_moves_each_channel_by_steps_of_8_bits_and_stops_at_the_ends():
    shifted = apply(Shift((51.0, -51.0, 0.0)), torch.tensor([0.9, 0.5, 0.25]).view(3, 1, 1))
    torch.testing.assert_close(shifted.flatten(), torch.tensor([1.0, 0.3, 0.25]))


def test_grey_is_the_luma_of_bt_601():
    grey = apply(Grey(), torch.eye(3).view(3, 1, 3))
    torch.testing.assert_close(grey, torch.tensor([0.299, 0.587, 0.114]).expand(3, 1, 3))
    half = apply(Grey(0.5), torch.eye(3).view(3, 1, 3))
    torch.testing.assert_close(half, (grey + torch.eye(3).view(3, 1, 3)) / 2)


def test_adjustments_do_what_their_names_say():
    red = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    torch.testing.assert_close(apply(Adjust("hue", 1 / 3), red), red.roll(1, 0), atol=0.01, rtol=0)
    pixels = picture()
    torch.testing.assert_close(apply(Adjust("brightness", 0.5), pixels), pixels / 2)
    assert apply(Adjust("contrast", 0.0), pixels).std() < 1e-6
    assert apply(Adjust("saturation", 0.0), pixels).std(dim=0).max() < 1e-6


# Sizes


@pytest.mark.parametrize("size", [(20, 31), (96, 100)])
def test_resizing_is_opencvs_without_smoothing(size):
    pixels = picture()
    expected = cv2.resize(pixels.permute(1, 2, 0).numpy(), size[::-1])
    actual = apply(Resize(size, Interpolation.BILINEAR), pixels).permute(1, 2, 0)
    torch.testing.assert_close(actual, torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_resizing_by_area_keeps_the_mean():
    pixels = torch.rand(3, 48, 64, generator=torch.Generator().manual_seed(0))
    shrunk = apply(Resize((12, 16), Interpolation.AREA), pixels)
    torch.testing.assert_close(shrunk[:, 0, 0], pixels[:, :4, :4].mean(dim=(1, 2)))


def test_a_face_for_swappers_has_one_size_whatever_the_picture_has():
    settings = DegradeSettings(resize=ResizeSettings(short_side=(143, 143)))
    for side in (256, 512, 1024):
        assert draw_steps(settings, (side, 2 * side), seed=0)[0].size == (143, 286)
    assert draw_steps(settings, (100, 120), seed=0) == []


def test_tilting_to_and_fro_moves_nothing_and_loses_detail():
    pixels = picture(60, 90)
    there_and_back = apply(Tilt(12.0), pixels)
    middle = (slice(None), slice(15, 45), slice(20, 70))
    assert (there_and_back - pixels)[middle].abs().max() < 0.02
    noise = torch.rand(3, 60, 90, generator=torch.Generator().manual_seed(0))
    assert apply(Tilt(12.0), noise)[middle].std() < 0.8 * noise[middle].std()
    torch.testing.assert_close(apply(Tilt(30.0), even(0.25)), even(0.25))  # nothing comes in


# Noise


@pytest.mark.parametrize("is_grey", [False, True])
def test_gaussian_noise_has_its_sigma_and_grey_noise_equal_channels(is_grey):
    noise = apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, is_grey), even(0.5)) - 0.5
    assert noise.std() * 255 == pytest.approx(10, rel=0.02)
    assert abs(noise.mean()) * 255 < 0.15
    correlation = torch.corrcoef(noise.flatten(1))[0, 1]
    assert correlation == pytest.approx(1.0 if is_grey else 0.0, abs=0.02)


def test_chroma_is_a_factor_of_the_colour_in_noise_and_not_of_its_luma():
    weights = torch.tensor([0.299, 0.587, 0.114])
    plain, colorful = (
        apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, chroma=chroma), even(0.5)) - 0.5
        for chroma in (1.0, 1.5)
    )
    lumas = [torch.einsum("c,chw->hw", weights, noise) for noise in (plain, colorful)]
    torch.testing.assert_close(lumas[0], lumas[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(colorful - lumas[1], 1.5 * (plain - lumas[0]), atol=1e-6, rtol=0)


def test_grains_have_the_sigma_of_noise_and_the_size_asked_for():
    noise = apply(Noise(NoiseKind.GAUSSIAN, 10 / 255, grain_px=1.5), even(0.5, 400, 400)) - 0.5
    assert noise.std() * 255 == pytest.approx(10, rel=0.03)
    neighbours = torch.corrcoef(
        torch.stack([noise[:, :, 3:].flatten(), noise[:, :, :-3].flatten()])
    )
    assert neighbours[0, 1] == pytest.approx(math.exp(-(3**2) / (4 * 1.5**2)), abs=0.03)


def test_speckle_is_in_proportion_to_the_picture():
    for value in (0.2, 0.4):
        noise = apply(Noise(NoiseKind.SPECKLE, 20 / 255), even(value)) - value
        assert noise.std() * 255 == pytest.approx(20 * value, rel=0.02)


@pytest.mark.parametrize("is_grey", [False, True])
def test_salt_and_pepper_fall_on_their_shares(is_grey):
    noisy = apply(Noise(NoiseKind.SALT_AND_PEPPER, 0.1, is_grey, salt=0.3), even(0.5))
    assert (noisy == 1).float().mean() == pytest.approx(0.03, abs=0.003)
    assert (noisy == 0).float().mean() == pytest.approx(0.07, abs=0.004)
    assert ((noisy == 0.5) | (noisy == 0) | (noisy == 1)).all()
    assert torch.equal(noisy[0], noisy[1]) == is_grey


def test_poisson_noise_is_the_quantile_of_each_value():
    random = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 40, 50, generator=random)
    uniform = torch.rand(3, 40, 50, generator=random)
    rounded = (pixels * 255).round() / 255
    assert len(rounded.unique()) > 128  # so 256 counts
    counts = scipy.stats.poisson.ppf(uniform.double().numpy(), rounded.double().numpy() * 256)
    expected = torch.from_numpy(counts / 256).float() - rounded
    torch.testing.assert_close(poisson_noise(pixels, uniform), expected, atol=1e-6, rtol=0)


def test_the_lowest_quantile_of_poisson_noise_is_no_negative_count():
    pixels = picture()
    counts = poisson_noise(pixels, torch.zeros_like(pixels)) + (pixels * 255).round() / 255
    assert counts.min() >= 0
    assert (counts < pixels).all()


def test_poisson_noise_grows_with_the_light_and_with_its_factor():
    ramp = torch.linspace(0.1, 0.5, 256).view(1, 256, 1).expand(3, 256, 400).contiguous()
    rounded = (ramp * 255).round() / 255
    n_counts = 2 ** math.ceil(math.log2(len(rounded.unique())))
    noise = apply(Noise(NoiseKind.POISSON, 0.5), ramp) - ramp
    for rows in (slice(0, 8), slice(248, 256)):
        expected = 0.5 * math.sqrt(float(rounded[:, rows].mean()) / n_counts)
        assert noise[:, rows].std() == pytest.approx(expected, rel=0.05)
    assert abs(noise.mean()) < 1e-3


def test_grey_poisson_noise_is_added_to_all_channels_alike():
    ramp = picture(100, 100) * 0.5 + 0.2
    noise = apply(Noise(NoiseKind.POISSON, 0.5, is_grey=True), ramp) - ramp
    torch.testing.assert_close(noise[0], noise[2], atol=1e-6, rtol=0)
    assert noise[0].std() > 0.005


# JPEG


def _pillow(samples, quality):
    file = io.BytesIO()
    Image.fromarray(samples.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


@pytest.mark.parametrize("quality", [5, 40, 95])
def test_jpeg_is_pillows_and_torchvisions_at_the_same_quality(quality):
    pixels = picture(45, 61)  # not whole blocks
    compressed = apply(Jpeg(quality), pixels)
    assert torch.equal(bytes_of(compressed), _pillow(bytes_of(pixels), quality))
    encoded = torchvision.io.encode_jpeg(bytes_of(pixels), quality)
    assert torch.equal(bytes_of(compressed), torchvision.io.decode_jpeg(encoded))


def test_the_grid_of_blocks_can_be_moved():
    pixels = picture(48, 64)
    shifted = apply(Jpeg(20, shift=4), pixels)
    padded = torch.nn.functional.pad(pixels[None], (4, 0, 4, 0), "replicate")[0]
    assert torch.equal(bytes_of(shifted), _pillow(bytes_of(padded), 20)[:, 4:, 4:])
    assert not torch.equal(shifted, apply(Jpeg(20), pixels))


def test_a_picture_too_long_for_jpeg_is_refused():
    with pytest.raises(TensorSpecError, match="at most 65500 pixels for JPEG"):
        apply(Jpeg(50), torch.zeros(3, 1, 65501))


# Filters


def test_sharpening_adds_what_a_gaussian_takes_away():
    step = draw_steps(
        DegradeSettings(sharpen=SharpenSettings(amount=(0.5, 0.5))), (512, 512), seed=0
    )[0]
    pixels = picture() * 0.5 + 0.25
    smoothed = cv2.GaussianBlur(pixels.permute(1, 2, 0).numpy(), (9, 9), 1.0)
    expected = 1.5 * pixels - 0.5 * torch.from_numpy(smoothed).permute(2, 0, 1)
    torch.testing.assert_close(apply(step, pixels), expected.clamp(0, 1), atol=1e-5, rtol=0)


def test_a_sinc_filter_rings_beside_an_edge():
    settings = DegradeSettings(sinc=SincSettings(1.0, size=(21, 21), cutoff=(1.5, 1.5)))
    step = draw_steps(settings, (512, 512), seed=0)[0]
    pixels = even(0.25, 40, 40)
    pixels[:, :, 20:] = 0.75
    ringing = apply(step, pixels)
    assert ringing.max() > 0.77
    assert ringing.min() < 0.23
    torch.testing.assert_close(ringing.mean(), torch.tensor(0.5), atol=0.01, rtol=0)


# Age


def test_sepia_turns_white_into_brown_light_and_keeps_black():
    brown = apply(Sepia(), torch.tensor([0.0, 0.5]).expand(3, 1, 2).contiguous())
    torch.testing.assert_close(brown[:, 0, 1], torch.tensor([1.351, 1.203, 0.937]) / 2)
    assert not brown[:, 0, 0].any()


def test_fading_brings_black_and_white_nearer():
    faded = apply(Fade(0.6, 0.1), torch.tensor([0.0, 0.5, 1.0]).expand(3, 1, 3).contiguous())
    torch.testing.assert_close(faded[0, 0], torch.tensor([0.28, 0.55, 0.82]))


@pytest.mark.parametrize("width", [0.4, 1.0, 3.0])
def test_a_scratch_covers_its_width_at_its_opacity(width):
    mark = Mark((0.513, -1.0), (0.513, 2.0), width, 0.8, is_white=True)
    scratched = apply(Scratches((mark,)), even(0.0, 512, 600))
    rows = scratched.sum(dim=2)
    torch.testing.assert_close(rows, torch.full_like(rows, 0.8 * width), atol=1e-4, rtol=0)
    columns = scratched[0].sum(dim=0).nonzero().flatten() + 0.5
    assert columns.mean() == pytest.approx(0.513 * 600, abs=0.5)


def test_a_black_scratch_lets_through_what_it_does_not_cover():
    mark = Mark((0.5, -1.0), (0.5, 2.0), 2.0, 0.8, is_white=False)
    scratched = apply(Scratches((mark,)), even(0.5, 512, 512))
    torch.testing.assert_close(scratched[:, :, 255:257], even(0.1, 512, 2))
    assert torch.equal(scratched[:, :, 257:], even(0.5, 512, 255))


def test_marks_scale_with_the_picture_and_may_lie_outside():
    mark = Mark((-0.5, 0.3), (1.5, 0.3), 4.0, 1.0, is_white=True)
    covered = [apply(Scratches((mark,)), even(0.0, n, n)).mean() for n in (256, 512, 1024)]
    torch.testing.assert_close(covered[1:], covered[:1] * 2, atol=1e-4, rtol=0)
    outside = Mark((2.0, 2.0), (3.0, 3.0), 4.0, 1.0, is_white=True)
    before = Mark((-3.0, -3.0), (-2.0, -2.0), 4.0, 1.0, is_white=True)
    assert not apply(Scratches((outside, before)), even(0.0)).any()


def test_dust_is_white_and_black_and_covers_little():
    dusty = apply(Dust(60, (1.0, 4.0)), even(0.5, 512, 512))
    changed = (dusty != 0.5)[0].float().mean()
    assert 0.0005 < changed < 0.01
    assert dusty.max() > 0.7
    assert dusty.min() < 0.3


def test_scratches_stay_on_all_frames_and_dust_does_not():
    settings = DegradeSettings(age=AgeSettings(scratches=(3, 3), dust=(20, 20)))
    scratches, dust = draw_steps(settings, (512, 512), seed=0)
    assert len(scratches.marks) == 3
    pixels = even(0.5)
    assert torch.equal(apply(scratches, pixels, seed=1), apply(scratches, pixels, seed=2))
    assert not torch.equal(apply(dust, pixels, seed=1), apply(dust, pixels, seed=2))
