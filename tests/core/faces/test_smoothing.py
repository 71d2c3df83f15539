"""Faces held steady in clips whose true motion is known."""

import math

import pytest
import torch

from gpen_core.errors import SettingError, TensorSpecError
from gpen_core.faces.clip import DEFAULT_SMOOTHING
from gpen_core.faces.faces import Faces
from gpen_core.faces.smoothing import kernel_sigma, smooth_faces
from gpen_core.faces.tracking import bridge_gaps, track_faces
from gpen_core.geometry.alignment import Template, align_faces
from gpen_core.geometry.warping import crop_image
from support.clips import BOX, FACE, clip, line, n_images, noisy, with_ids, with_landmarks

STRONG = 1.0


def smooth(faces: Faces, strength=STRONG) -> Faces:
    """One face, smoothed."""
    return smooth_faces(with_ids(faces), strength, n_images(faces))


def error(faces: Faces, truth: Faces) -> torch.Tensor:
    """(N, 5) distances of landmarks in pixels."""
    return (faces.landmarks - truth.landmarks).norm(dim=-1)


def gain(strength, seed, common=False) -> float:
    """By how much the temporal standard deviation of a still face's landmarks falls."""
    faces = noisy(clip(torch.full((48, 2), 250.0)), seed, common=common)
    return float(faces.landmarks.std(0).mean() / smooth(faces, strength).landmarks.std(0).mean())


def test_jitter_of_a_still_face_falls_more_than_fourfold():
    strong = torch.tensor([gain(STRONG, seed) for seed in range(8)])
    default = torch.tensor([gain(DEFAULT_SMOOTHING, seed) for seed in range(8)])
    assert strong.min() > 4  # mean 6.5
    assert strong.mean() > 5.8
    assert default.mean() > 4
    assert default.min() > 3.2


def test_jitter_that_all_points_share_falls_too():
    assert torch.tensor([gain(STRONG, seed, common=True) for seed in range(8)]).mean() > 5


def test_the_aligned_picture_of_a_still_face_stands_still(astronaut):
    # Where RetinaFace finds them in this photo.
    truth = clip(torch.zeros(48, 2))
    eyes_nose_mouth = [[202.7, 101.0], [248.4, 102.3], [225.6, 130.2], [202.5, 140.0], [247, 141.1]]
    landmarks = torch.tensor(eyes_nose_mouth).expand(48, 5, 2).clone()
    boxes = torch.tensor([178.1, 55.5, 271.9, 177.9]).expand(48, 4).clone()
    faces = noisy(Faces(truth.image_index, boxes, landmarks, truth.scores))

    def flicker(faces):
        matrices = align_faces(faces.landmarks, Template.FFHQ, 256)
        crops = torch.stack([crop_image(astronaut[0], matrix, 256, "cpu") for matrix in matrices])
        return float(crops[..., 64:224, 64:192].std(0).mean())  # from brows to chin

    assert flicker(faces) > 4 * flicker(smooth(faces))


T = torch.arange(48, dtype=torch.float64)
STEADY = {
    "pan": (clip(line(48, (300, 200), (3.7, 1.1))), 0.001),
    "fast pan": (clip(line(48, (300, 200), (40, -25))), 0.005),
    "zoom by factors": (clip(torch.full((48, 2), 300.0), zoom=1.02**T), 0.3),
    "zoom by steps": (clip(torch.full((48, 2), 300.0), zoom=1 + 0.01 * T), 0.3),
    "turn": (clip(torch.full((48, 2), 300.0), degrees=9 * T), 0.001),
    "all at once": (clip(line(48, (300, 200), (3.7, 1)), zoom=1.01**T, degrees=3 * T), 0.1),
}


@pytest.mark.parametrize("strength", [0.1, DEFAULT_SMOOTHING, STRONG])
@pytest.mark.parametrize("motion", STEADY)
def test_steady_motion_is_followed_exactly_and_without_lag_up_to_the_ends(motion, strength):
    truth, bound = STEADY[motion]
    smoothed = smooth(truth, strength)
    assert error(smoothed, truth).max() <= bound
    if motion.endswith("pan"):
        torch.testing.assert_close(smoothed.boxes, truth.boxes, rtol=0, atol=0.005)


@pytest.mark.parametrize("motion", STEADY)
def test_steady_motion_with_noise_is_followed_within_a_bound(motion):
    truth, _ = STEADY[motion]
    for seed in range(4):
        errors = error(smooth(noisy(truth, seed)), truth)
        assert errors.square().mean().sqrt() < 0.6  # of 1.41 before
        assert errors.max() < 2  # of 4.4 before


@pytest.mark.parametrize("at", [0, 1, 24, 46, 47])
@pytest.mark.parametrize("points", [slice(None), slice(2, 3)])
@pytest.mark.parametrize("sigma", [0.0, 1.0])
def test_a_jump_in_a_single_frame_is_suppressed(at, points, sigma):
    truth, _ = STEADY["pan"]
    landmarks = noisy(truth, sigma=sigma).landmarks.clone()
    landmarks[at, points] += torch.tensor([16.0, -12.0])
    for strength in (0.1, DEFAULT_SMOOTHING, STRONG):
        errors = error(smooth(with_landmarks(truth, landmarks), strength), truth)
        assert errors.max() < (0.01 if sigma == 0 else 2.2 if strength > 0.1 else 3.5)


def swinging(amplitude, period):
    path = torch.full((96, 2), 300.0)
    path[:, 0] += amplitude * torch.sin(2 * math.pi * torch.arange(96) / period)
    return clip(path)


def stepping():
    return clip(torch.cat((line(48, (300, 300), (0, 0)), line(48, (320, 300), (0, 0)))))


@pytest.mark.parametrize("truth", [swinging(20, 16), swinging(20, 48), swinging(5, 30), stepping()])
@pytest.mark.parametrize("strength", [DEFAULT_SMOOTHING, STRONG])
def test_real_motion_is_kept_within_twice_the_noise(truth, strength):
    # The noise is taken for at least 0.2 % of the face.
    assert error(smooth(truth, strength), truth).max() < 2 * 0.002 * BOX * math.sqrt(5) * 1.2
    faces = noisy(truth)
    moved = (smooth(faces, strength).landmarks - faces.landmarks).square().mean(dim=(1, 2)).sqrt()
    assert moved.max() < 2 * 1.15  # a measured noise of 1


def test_missing_frames_do_no_harm():
    frames = [*range(12), 15, 16, *range(25, 48)]
    truth = clip(line(48, (300, 200), (3.7, 1.1))[frames], frames=frames)
    assert error(smooth(truth), truth).max() < 0.001
    assert error(smooth(noisy(truth)), truth).max() < 2


def test_strength_0_changes_no_bit_and_more_strength_smooths_more():
    faces = noisy(clip(torch.full((48, 2), 250.0)))
    unchanged = smooth(faces, 0.0)
    assert torch.equal(unchanged.landmarks, faces.landmarks)
    assert torch.equal(unchanged.boxes, faces.boxes)
    gains = [gain(strength, seed=1) for strength in (0.05, 0.1, 0.25, 0.5, 1)]
    assert gains == sorted(gains)
    assert gains[0] > 1.05
    assert [kernel_sigma(strength) for strength in (0, 0.5, 1)] == [0, 6, 12]


def test_tracks_do_not_touch_each_other_whatever_their_order():
    one, two = (
        noisy(clip(line(30, (200, 200), (2, 0)))),
        noisy(clip(line(30, (220, 190), (-2, 1))), 5),
    )
    ids = [3] * 30 + [1] * 30
    both = with_ids(Faces.concatenate([one, two]), ids)
    rows = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    smoothed = smooth_faces(both.select(rows), STRONG, 30)
    back = smoothed.select(torch.argsort(rows))
    torch.testing.assert_close(back.landmarks[:30], smooth(one).landmarks)
    torch.testing.assert_close(back.landmarks[30:], smooth(two).landmarks)
    assert back.track_ids.tolist() == ids


@pytest.mark.parametrize("count", [1, 2])
def test_tracks_of_one_or_two_faces_come_back_unchanged(count):
    faces = noisy(clip(line(count, (200, 200), (2, 0))))
    assert torch.equal(smooth(faces).landmarks, faces.landmarks)
    assert torch.equal(smooth(faces).boxes, faces.boxes)


def test_smoothing_turns_through_half_a_circle_without_a_jump():
    truth = clip(torch.full((60, 2), 300.0), degrees=torch.linspace(150, 210, 60))
    assert error(smooth(truth), truth).max() < 0.001


def test_smoothing_points_that_are_no_face_is_finite():
    faces = clip(line(20, (200, 200), (2, 0)))
    same = with_landmarks(faces, faces.landmarks.mean(dim=1, keepdim=True).repeat(1, 5, 1))
    assert error(smooth(same), same).max() < 0.001
    # Points without an angle: what they have of a face's shape passes through zero.
    other = torch.tensor([1, 1j, -1, -1j, 0], dtype=torch.complex128)
    other = other - FACE * (FACE.conj() @ other) / FACE.abs().square().sum()
    shapes = 30 * other + FACE * torch.linspace(-0.1, 0.1, 20)[:, None]
    odd = with_landmarks(faces, torch.view_as_real(shapes).float() + 200)
    assert error(smooth(odd), odd).max() < 0.001
    assert len(smooth_faces(Faces.empty(), 1.0, 3)) == 0


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_smoothing_with_a_wrong_strength_raises(strength):
    with pytest.raises(SettingError, match="strength: expected"):
        smooth(clip(torch.zeros(3, 2)), strength)


def test_smoothing_and_bridging_need_proper_tracks():
    faces = clip(torch.zeros(3, 2))
    twice = with_ids(clip(torch.zeros(3, 2), frames=[0, 1, 1]))
    for function in (lambda f, n: smooth_faces(f, 0.5, n), lambda f, n: bridge_gaps(f, 3, n)):
        with pytest.raises(TensorSpecError, match="Call track_faces first"):
            function(faces, 3)
        with pytest.raises(TensorSpecError, match="two of track 0 in image 1"):
            function(twice, 3)
        with pytest.raises(TensorSpecError, match="image indices below"):
            function(with_ids(faces), 2)


def test_a_long_clip_takes_a_bounded_number_of_values():
    # 2,000 frames of three faces; a dense matrix of frames by frames would be 32 MB a track.
    people = [noisy(clip(line(2000, (200 + 400 * i, 300), (0.1, 0))), i) for i in range(3)]
    tracked = track_faces(Faces.concatenate(people), 2000)
    assert tracked.track_ids.view(3, 2000).tolist() == [[i] * 2000 for i in range(3)]
    smoothed = smooth_faces(tracked, STRONG, 2000)
    again = smooth_faces(tracked, STRONG, 2000)
    assert torch.equal(smoothed.landmarks, again.landmarks)
    truth = clip(line(2000, (200, 300), (0.1, 0)))
    assert error(smoothed.select(range(2000)), truth).square().mean().sqrt() < 0.3
