"""Faces followed through clips, and found again where they were missed for a few frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpen_core.errors import TensorSpecError
from gpen_core.faces.faces import Faces
from gpen_core.faces.smoothing import smooth_faces
from gpen_core.faces.tracking import MAX_GAP, bridge_gaps, track_faces
from support.clips import clip, line, n_images, noisy, with_ids


def tracks_of(*clips, shuffle=0, length=None):
    """Track several people in one clip; the ids of each, frame by frame."""
    faces = Faces.concatenate(clips)
    people = torch.cat([torch.full((len(part),), i) for i, part in enumerate(clips)])
    rows = torch.randperm(len(faces), generator=torch.Generator().manual_seed(shuffle))
    tracked = track_faces(faces.select(rows), length or n_images(faces))
    assert torch.equal(tracked.landmarks, faces.landmarks[rows])  # neither order nor values change
    ids = torch.empty_like(rows)
    ids[rows] = tracked.track_ids
    return [ids[people == person].tolist() for person in range(len(clips))]


def test_people_keep_their_ids_and_ids_count_by_first_appearance():
    first = clip(line(30, (200, 200), (3.7, 0)))
    second = clip(line(20, (700, 200), (-1, 1)), frames=range(10, 30))
    assert tracks_of(first, second) == [[0] * 30, [1] * 20]


@pytest.mark.parametrize("seed", range(3))
def test_faces_that_cross_keep_their_ids(seed):
    right = noisy(clip(line(60, (200, 300), (8, 0))), seed)
    left = noisy(clip(line(60, (680, 310), (-8, 0))), seed + 10)
    ids = tracks_of(right, left, shuffle=seed)
    assert [len(set(part)) for part in ids] == [1, 1]
    assert ids[0][0] != ids[1][0]


@pytest.mark.parametrize("seed", range(3))
def test_a_face_hidden_by_the_one_it_crosses_comes_back_as_itself(seed):
    front = noisy(clip(line(60, (200, 300), (8, 0))), seed)
    path = line(60, (680, 310), (-8, 0))
    seen = [i for i in range(60) if not 27 <= i <= 33]
    behind = noisy(clip(path[seen], frames=seen), seed + 10)
    ids = tracks_of(front, behind, shuffle=seed)
    assert [len(set(part)) for part in ids] == [1, 1]
    assert ids[0][0] != ids[1][0]


@pytest.mark.parametrize(("missing", "n_ids"), [(0, 1), (MAX_GAP, 1), (MAX_GAP + 1, 2)])
def test_a_gap_of_the_longest_kind_is_the_same_face_and_a_longer_one_is_not(missing, n_ids):
    frames = [*range(10), *range(10 + missing, 20 + missing)]
    path = line(40, (200, 200), (6, 2))[frames]
    (ids,) = tracks_of(clip(path, frames=frames))
    assert len(set(ids)) == n_ids


def test_a_missing_face_is_expected_where_it_was_going():
    frames = [*range(10), *range(18, 28)]
    (ids,) = tracks_of(clip(line(30, (200, 200), (20, 0))[frames], frames=frames))
    assert set(ids) == {0}  # 180 pixels on: more than the face itself


def test_faces_are_assigned_to_tracks_together_not_one_by_one():
    # Everybody steps 0.6 of the way to the neighbour's place: each is nearest to where the
    # neighbour was, but moving all in step costs least.
    people = [clip([[200.0 + 100 * i, 300], [260.0 + 100 * i, 300]]) for i in range(3)]
    ids = tracks_of(*people)
    assert [a for a, _ in ids] == [b for _, b in ids]


@pytest.mark.parametrize(
    ("move", "zoom"), [((130, 0), 1.0), ((0, -130), 1.0), ((0, 0), 1.6), ((0, 0), 0.6)]
)
def test_a_cut_that_moves_or_resizes_the_face_starts_a_new_id(move, zoom):
    after = torch.tensor([300.0, 300.0]) + torch.tensor(move)
    path = torch.cat((torch.full((10, 2), 300.0), after.expand(10, 2)))
    (ids,) = tracks_of(clip(path, zoom=[1.0] * 10 + [zoom] * 10))
    assert ids == [0] * 10 + [1] * 10


def test_tracking_no_faces_or_faces_beyond_the_clip():
    assert track_faces(Faces.empty(), 5).track_ids.shape == (0,)
    with pytest.raises(TensorSpecError, match="image indices below"):
        track_faces(clip(torch.zeros(4, 2)), 3)


@settings(max_examples=15)
@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 400), st.integers(0, 400), st.integers(0, 90)),
        max_size=25,
    )
)
def test_tracking_any_faces_gives_each_one_track_and_each_image_one_face_of_it(rows):
    boxes = torch.tensor([[x, y, x + s, y + s] for _, x, y, s in rows]).float().view(-1, 4)
    images = torch.tensor([row[0] for row in rows], dtype=torch.int64)
    landmarks = boxes[:, None, :2].repeat(1, 5, 1)
    faces = Faces(images, boxes, landmarks, torch.ones(len(rows)))
    tracked = track_faces(faces, 9)
    ids = tracked.track_ids.tolist()
    assert len(set(zip(images.tolist(), ids, strict=True))) == len(rows)
    assert sorted(set(ids)) == list(range(len(set(ids))))
    smoothed = smooth_faces(tracked, 0.7, 9)  # whatever they are, the result is a valid Faces
    assert len(bridge_gaps(smoothed, 3, 9)) >= len(faces)


def test_bridge_gaps_puts_faces_on_the_line_between_their_neighbours():
    frames = [0, 1, 4, 5, 10]
    whole = clip(line(11, (200, 100), (3, -2)))
    faces = with_ids(whole.select(frames), [7] * 5)
    faces = Faces(
        faces.image_index,
        faces.boxes,
        faces.landmarks,
        torch.tensor([0.9, 0.8, 0.7, 0.95, 0.9]),
        faces.track_ids,
    )
    bridged = bridge_gaps(faces, 2, 11)
    assert bridged.image_index.tolist() == [0, 1, 2, 3, 4, 5, 10]
    torch.testing.assert_close(bridged.landmarks, whole.landmarks[bridged.image_index])
    torch.testing.assert_close(bridged.boxes, whole.boxes[bridged.image_index])
    assert bridged.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.7, 0.7, 0.95, 0.9])
    assert bridged.track_ids.tolist() == [7] * 7
    assert bridge_gaps(faces, 4, 11).image_index.tolist() == list(range(11))
    assert bridge_gaps(faces, 0, 11).image_index.tolist() == frames
    assert len(bridge_gaps(Faces.empty(), 4, 11)) == 0


def test_bridge_gaps_keeps_tracks_apart():
    first = with_ids(clip(line(2, (200, 100), (3, 0)), frames=[0, 1]), [0, 0])
    second = with_ids(clip(line(2, (200, 100), (3, 0)), frames=[3, 5]), [1, 1])
    bridged = bridge_gaps(Faces.concatenate([first, second]), 4, 6)
    assert bridged.image_index.tolist() == [0, 1, 3, 4, 5]
    assert bridged.track_ids.tolist() == [0, 0, 1, 1, 1]
