import torch

from gpen_core import Faces
from gpen_core.faces.clip import stabilize_faces
from support.faces import faces_at

N_FRAMES = 24


def clip(noise: float = 0.0, missing: tuple[int, ...] = ()) -> Faces:
    """One face that moves three pixels a frame."""
    frames = [i for i in range(N_FRAMES) if i not in missing]
    faces = faces_at(*[(i, 20.0 + 3 * i, 40.0, 120.0) for i in frames])
    shift = noise * torch.randn(len(frames), 5, 2, generator=torch.Generator().manual_seed(0))
    return Faces(faces.image_index, faces.boxes, faces.landmarks + shift, faces.scores)


def test_stabilized_faces_of_strength_zero_are_the_faces():
    faces = clip(1.0)
    assert stabilize_faces(faces, N_FRAMES, 0) is faces


def test_stabilized_faces_of_a_single_image_or_none_are_the_faces():
    faces = faces_at((0, 0.0, 0.0, 50.0))
    assert stabilize_faces(faces, 1, 1.0) is faces
    assert len(stabilize_faces(Faces.empty(), 5, 1.0)) == 0


def test_stabilized_faces_shake_less_and_do_not_lag():
    truth, noisy = clip().landmarks, clip(1.0)
    steady = stabilize_faces(noisy, N_FRAMES, 1.0).landmarks
    before, after = ((x - truth).square().mean().sqrt() for x in (noisy.landmarks, steady))
    assert after < before / 2
    torch.testing.assert_close(
        stabilize_faces(clip(), N_FRAMES, 1.0).landmarks, truth, rtol=0, atol=0.05
    )


def test_stabilized_faces_are_found_again_in_short_gaps_where_the_smoothed_ones_are():
    gap = (10, 11)
    steady = stabilize_faces(clip(1.0, gap), N_FRAMES, 1.0)
    assert steady.image_index.tolist() == list(range(N_FRAMES))
    assert steady.track_ids.unique().numel() == 1
    error = (steady.landmarks - clip().landmarks).norm(dim=2)
    assert error[10:12].max() < 1.0  # as near as smoothed ones, nearer than the noise of three
    second = steady.landmarks.diff(dim=0).diff(dim=0).norm(dim=2)
    assert second.max() < 0.5  # no jump into or out of the gap
