"""Every step of a restoration, where the network really changes the face.

Each limit lies between what is measured with a step and without it, and both are held to it.
"""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.color
import skimage.data
import torch

import gpen_core
from gpen_core import BlendSettings, DegradeSettings, Faces, SwapPairs
from gpen_core.bundled import BUNDLED_RESTORER
from gpen_core.comparison import compare_images, flicker, seam
from gpen_core.faces.clip import stabilize_faces
from gpen_core.network.build import build_model
from gpen_core.swaps.blend import blend_swap
from gpen_core.swaps.settings import SwapSettings
from support.geometric_swap import swap_face

CAST = (0.1, 0.0, -0.15)  # warm, in the network's range of 2


def damage(images, *, blur="1", reduce="2", noise="7", quality="60", **options):
    settings = DegradeSettings().changed(
        {
            "blur.sigma": blur,
            "resize.factor": reduce,
            "noise.sigma": noise,
            "jpeg.quality": quality,
        }
    )
    return gpen_core.degrade(images, settings, **options)


def repeated(faces, n_images):
    """The faces of the first image, in each of several."""
    return Faces.concatenate(
        [replace(faces, image_index=faces.image_index + i) for i in range(n_images)]
    )


def blurred(image, sigma):
    """(3, H, W) to (H, W, 3): without noise and detail."""
    return cv2.GaussianBlur(image.movedim(0, 2).numpy(), (0, 0), sigma)


@pytest.fixture(scope="module")
def network():
    return gpen_core.load_model()


@pytest.fixture(scope="module")
def warm_network(network):
    """The same with a cast, as published networks have on some faces."""
    weights = dict(gpen_core.load_state_dict(BUNDLED_RESTORER))
    bias = f"generator.to_rgbs.{len(network.config.resolutions) - 2}.bias"
    weights[bias] = weights[bias].float() + torch.tensor(CAST).view(1, 3, 1, 1)
    return build_model(weights)


@pytest.fixture(scope="module")
def faces(astronaut, detector):
    faces = gpen_core.detect_faces(astronaut, detector)
    assert len(faces) == 1
    return faces


@pytest.fixture(scope="module")
def damaged(astronaut):
    return damage(astronaut, seed=0)


# ---- restoration


def test_a_damaged_face_comes_nearer_to_the_original(astronaut, faces, network, detector):
    originals = astronaut.expand(4, -1, -1, -1)
    damaged = damage(originals, blur="2", reduce="4", seed=0)
    result = gpen_core.restore_faces(damaged, repeated(faces, 4), network)
    before, after = (
        compare_images(originals, images, result.masks, detector=detector)
        for images in (damaged, result.images)
    )
    assert after.region.psnr > before.region.psnr + 0.6
    assert after.region.ssim > before.region.ssim + 0.03
    assert after.landmark_error < 0.95 * before.landmark_error
    assert after.region.sharpness > 2 * before.region.sharpness


@pytest.mark.parametrize("setting", [{}, {"color": 1.0}, {"detail": 1.0}, {"grain": 1.0}])
def test_pixels_outside_the_mask_keep_every_bit(damaged, faces, network, setting):
    result = gpen_core.restore_faces(damaged, faces, network, settings=BlendSettings(**setting))
    outside = (result.masks == 0)[:, None].expand_as(damaged)
    assert torch.equal(result.images[outside], damaged[outside])
    inside = (result.masks == 1)[:, None].expand_as(damaged)
    assert (result.images[inside] - damaged[inside]).abs().mean() > 0.005


def test_a_face_that_is_not_damaged_is_left_nearly_as_it_is(astronaut, damaged, faces, network):
    result = gpen_core.restore_faces(astronaut, faces, network)
    changed = gpen_core.restore_faces(damaged, faces, network)
    assert compare_images(astronaut, result.images, result.masks).region.psnr > 38
    assert compare_images(damaged, changed.images, changed.masks).region.psnr < 36


# ---- seam


@pytest.mark.parametrize("shape", ["box", "ellipse"])
def test_a_soft_edge_leaves_no_seam_and_a_hard_one_does(damaged, faces, network, shape):
    def restored_seam(feather):
        # So far inside that the edge runs through what is restored.
        settings = BlendSettings(feather=feather, padding=0.15, shape=shape)
        result = gpen_core.restore_faces(damaged, faces, network, settings=settings)
        return seam(result.images, result.masks), seam(damaged, result.masks)

    (soft, soft_before), (hard, hard_before) = restored_seam(0.12), restored_seam(0)
    assert soft < 1.05 < 1.15 < hard
    assert soft < 1.1 * soft_before
    assert hard > 1.2 * hard_before


# ---- colour


def test_color_takes_the_cast_of_the_network_off_the_face(damaged, faces, warm_network):
    sunset = damaged * torch.tensor([1.0, 0.85, 0.7]).view(3, 1, 1)

    def difference(color):
        settings = BlendSettings(color=color)
        result = gpen_core.restore_faces(sunset, faces, warm_network, settings=settings)
        inside = (result.masks[0] == 1).numpy()
        labs = [
            skimage.color.rgb2lab(blurred(images[0], 4)[inside])
            for images in (result.images, sunset)
        ]
        return skimage.color.deltaE_ciede2000(*labs).mean()

    assert difference(1.0) < 1.5 < 3.5 < difference(0.0)


# ---- detail


@pytest.mark.parametrize("name", ["network", "warm_network"])
def test_detail_leaves_the_coarse_structure_as_it_was(damaged, faces, name, request):
    def restore(detail):
        settings = BlendSettings(detail=detail)
        model = request.getfixturevalue(name)
        return gpen_core.restore_faces(damaged, faces, model, settings=settings)

    def coarse_difference(result):
        inside = (result.masks[0] == 1).numpy()
        difference = blurred(result.images[0], 8) - blurred(damaged[0], 8)
        return np.sqrt(np.square(difference[inside]).mean())

    own, whole = restore(1.0), restore(0.0)
    assert coarse_difference(own) < 0.4 * coarse_difference(whole)
    # What is fine is the restoration's.
    fine = compare_images(whole.images, own.images, own.masks).region.sharpness
    assert fine == pytest.approx(1, abs=0.15)
    assert compare_images(damaged, own.images, own.masks).region.sharpness > 2


# ---- grain


def test_grain_gives_the_face_the_noise_around_it(astronaut, faces, network):
    # The noise is what changes from one picture to the next, where nothing is but noise: on edges
    # the network redraws a little of the face with it.
    pictures = damage(
        astronaut.expand(3, -1, -1, -1),
        blur="1.5",
        reduce="1",
        noise="8",
        quality="75",
        seed=1,
        same_for_all=True,
    )
    pixels = astronaut[0].movedim(0, 2).numpy()
    mean = cv2.blur(pixels, (9, 9))
    deviation = np.sqrt((cv2.blur(pixels**2, (9, 9)) - mean**2).clip(0)).max(axis=2)
    is_clipped = (mean < 0.12).any(axis=2) | (mean > 0.88).any(axis=2)
    flat = torch.from_numpy((deviation < 0.03) & ~is_clipped)

    def noise_ratio(grain):
        settings = BlendSettings(grain=grain)
        result = gpen_core.restore_faces(pictures, repeated(faces, 3), network, settings=settings)
        inside, outside = flat & (result.masks[0] == 1), flat & (result.masks[0] == 0)
        assert min(inside.sum(), outside.sum()) > 500
        return flicker(result.images, inside) / flicker(result.images, outside)

    assert noise_ratio(0.0) < 0.6
    assert 0.8 < noise_ratio(1.0) < 1.35


# ---- smoothing


def test_smoothing_holds_a_still_face_still(damaged, faces, network):
    n_frames, corner = 12, torch.tensor([75.0, 0.0])
    clip = damaged[..., :250, 75:375].expand(n_frames, -1, -1, -1)
    noise = torch.randn(n_frames, 5, 2, generator=torch.Generator().manual_seed(0))
    still = repeated(faces, n_frames)
    jittered = replace(
        still,
        boxes=still.boxes - corner.repeat(2),
        landmarks=still.landmarks - corner + noise,
    )

    def restored_flicker(strength):
        steady = stabilize_faces(jittered, n_frames, strength)
        result = gpen_core.restore_faces(clip, steady, network)
        return flicker(result.images, (result.masks == 1).all(dim=0))

    jitter = restored_flicker(0)
    assert jitter > 0.001  # the network draws the face anew wherever its crop lies
    assert restored_flicker(0.5) < 0.75 * jitter


# ---- swap


@pytest.fixture(scope="module")
def pair(astronaut):
    """Two people side by side."""
    return astronaut[..., :256, 96:352].repeat(1, 1, 1, 2)


@pytest.fixture(scope="module")
def pair_faces(pair, detector):
    """From left to right."""
    faces = gpen_core.detect_faces(pair, detector)
    assert len(faces) == 2
    return faces.select(faces.boxes[:, 0].argsort())


@pytest.fixture(scope="module")
def swapped(pair, pair_faces, astronaut, detector):
    """The left one with the face of somebody else, as soft as swappers make it."""
    source = astronaut.flip(3)
    source_face = gpen_core.detect_faces(source, detector)
    target, face = ((x[0] * 255).round().byte().movedim(0, 2).numpy() for x in (pair, source))
    places = ((faces.landmarks[0] - 0.5).numpy() for faces in (pair_faces, source_face))
    swap = swap_face(target, next(places), face, next(places))
    return torch.from_numpy(swap.round().clip(0, 255)).float().movedim(2, 0)[None] / 255


def blend(pair, swapped, network, faces, **influences):
    settings = SwapSettings(**{"color": 0, "grain": 0, "keep": 0, **influences})
    return blend_swap(SwapPairs(pair, swapped), faces, network, settings=settings)


def test_a_restored_swap_is_sharper_and_the_other_face_untouched(
    pair, swapped, pair_faces, network
):
    result = blend(pair, swapped, network, pair_faces)
    off = blend(pair, swapped, network, pair_faces, restore=0)
    assert torch.equal(off.images, swapped)
    inside = (result.masks == 1).float()
    assert compare_images(swapped, result.images, inside).region.sharpness > 1.2
    outside = (result.masks == 0)[:, None].expand_as(swapped)
    assert torch.equal(result.images[outside], swapped[outside])
    # Restoring every face would change the one that nobody swapped.
    everyone = gpen_core.restore_faces(swapped, pair_faces, network)
    right = slice(pair.shape[3] // 2, None)
    assert torch.equal(result.images[..., right], swapped[..., right])
    assert not torch.equal(everyone.images[..., right], swapped[..., right])
