import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.errors import TensorSpecError
from gpen_core.faces.faces import Faces
from support.faces import make_faces


def numbers(faces: Faces) -> list[int]:
    """Which of ``make_faces``'s faces these are, checked in every tensor."""
    result = [round(score * 100) for score in faces.scores.tolist()]
    assert [int(x) // 100 for x in faces.boxes[:, 0].tolist()] == result
    assert [int(x) // 100 for x in faces.landmarks[:, 0, 0].tolist()] == result
    if faces.track_ids is not None:
        assert [i - 7 for i in faces.track_ids.tolist()] == result
    return result


def test_faces_of_right_tensors_have_a_length():
    assert len(make_faces([0, 0, 3])) == 3
    assert len(make_faces([])) == 0
    assert make_faces([0]).device == torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("image_index", torch.zeros(2, dtype=torch.int32)),
        ("image_index", torch.zeros(3, dtype=torch.int64)),
        ("image_index", torch.zeros(2, 1, dtype=torch.int64)),
        ("image_index", torch.zeros((), dtype=torch.int64)),
        ("boxes", torch.zeros(2, 5)),
        ("boxes", torch.zeros(2, 4, dtype=torch.float64)),
        ("boxes", torch.zeros(1, 4)),
        ("landmarks", torch.zeros(2, 10)),
        ("landmarks", torch.zeros(2, 5, 2, dtype=torch.float16)),
        ("scores", torch.zeros(2, 1)),
        ("scores", torch.zeros(2, dtype=torch.int64)),
        ("track_ids", torch.zeros(2)),
        ("track_ids", torch.zeros(3, dtype=torch.int64)),
        ("boxes", torch.zeros(2, 4, device="meta")),
        ("track_ids", torch.zeros(2, dtype=torch.int64, device="meta")),
        ("boxes", torch.tensor([[0, 0, 1, 1], [0, 0, torch.nan, 1]])),
        ("landmarks", torch.full((2, 5, 2), torch.inf)),
        ("scores", torch.tensor([0.5, torch.nan])),
        ("boxes", torch.tensor([[0.0, 0, 1, 1], [5, 0, 4, 9]])),
        ("boxes", torch.tensor([[0.0, 0, 1, 1], [0, 5, 9, 4]])),
        ("image_index", torch.tensor([0, -1])),
    ],
)
def test_faces_with_a_wrong_tensor_raise(name, value):
    # Where image_index is the odd one out, the others may be blamed for its length.
    with pytest.raises(TensorSpecError, match=r"expected .*, got .*\. "):
        dataclasses.replace(make_faces([0, 1]), **{name: value})


def test_faces_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_faces([0]).scores = torch.zeros(1)


def test_faces_are_compared_and_hashed_by_identity():
    faces = make_faces([0, 1])
    assert faces == faces
    assert faces != make_faces([0, 1])
    assert {faces: 1}[faces] == 1


@pytest.mark.parametrize("tracked", [False, True])
@pytest.mark.parametrize(
    ("which", "expected"),
    [
        (torch.tensor([2, 0]), [2, 0]),
        (torch.tensor([-1]), [2]),
        (torch.tensor([1, 1]), [1, 1]),
        (torch.tensor([True, False, True]), [0, 2]),
        ([2, 1], [2, 1]),
        ([False, True, False], [1]),
        ([], []),
        (torch.tensor([], dtype=torch.int64), []),
    ],
)
def test_select_returns_those_faces_in_that_order(which, expected, tracked):
    faces = make_faces([0, 0, 1], tracked=tracked)
    selected = faces.select(which)
    assert numbers(selected) == expected
    assert (selected.track_ids is not None) == tracked
    assert numbers(faces) == [0, 1, 2]


@pytest.mark.parametrize(
    "which",
    [
        torch.tensor([3]),
        torch.tensor([-4]),
        torch.tensor([True, False]),
        torch.tensor([0.0, 1.0]),
        torch.tensor([[0], [1]]),
        torch.tensor([0], dtype=torch.int32),
    ],
)
def test_select_with_a_wrong_index_raises(which):
    with pytest.raises(TensorSpecError, match="which: expected"):
        make_faces([0, 0, 1]).select(which)


def test_of_image_keeps_the_image_index():
    faces = make_faces([4, 2, 4])
    assert numbers(faces.of_image(4)) == [0, 2]
    assert faces.of_image(4).image_index.tolist() == [4, 4]
    assert len(faces.of_image(0)) == 0


def test_sorted_by_image_is_stable():
    faces = make_faces([2, 0, 2, 1, 0] * 10, tracked=True)
    expected = sorted(range(50), key=lambda i: [2, 0, 2, 1, 0][i % 5])
    assert numbers(faces.sorted_by_image()) == expected


def test_count_per_image_counts_images_without_faces():
    assert make_faces([2, 0, 2]).count_per_image(5).tolist() == [1, 0, 2, 0, 0]
    assert make_faces([]).count_per_image(2).tolist() == [0, 0]
    with pytest.raises(TensorSpecError, match="faces: expected image indices below 2, got 2"):
        make_faces([2, 0, 2]).count_per_image(2)


def test_empty_has_no_faces_of_the_right_shapes():
    faces = Faces.empty("cpu")
    assert len(faces) == 0
    assert faces.boxes.shape == (0, 4)
    assert faces.landmarks.shape == (0, 5, 2)
    assert faces.track_ids is None
    assert len(faces.sorted_by_image()) == 0


def test_concatenate_keeps_order_and_image_index():
    faces = make_faces([3, 1, 3, 0], tracked=True)
    parts = [faces.select([0, 1]), Faces.empty(), faces.select([2, 3])]
    joined = Faces.concatenate(parts)
    assert numbers(joined) == [0, 1, 2, 3]
    assert joined.image_index.tolist() == [3, 1, 3, 0]
    assert joined.track_ids is not None
    assert len(Faces.concatenate([Faces.empty(), Faces.empty()])) == 0


def test_concatenate_of_what_does_not_fit_raises():
    with pytest.raises(TensorSpecError, match="at least one"):
        Faces.concatenate([])
    with pytest.raises(TensorSpecError, match="all or in none"):
        Faces.concatenate([make_faces([0], tracked=True), make_faces([0])])


def test_to_keeps_everything():
    faces = make_faces([1, 0], tracked=True).to("cpu")
    assert numbers(faces) == [0, 1]
    assert faces.image_index.tolist() == [1, 0]


@given(st.lists(st.integers(0, 5), max_size=12), st.booleans())
def test_images_taken_one_by_one_make_the_whole(image_index, tracked):
    faces = make_faces(image_index, tracked=tracked)
    joined = Faces.concatenate([Faces.empty(), *(faces.of_image(i) for i in range(6))])
    assert numbers(joined) == numbers(faces.sorted_by_image())
    counts = [len(faces.of_image(i)) for i in range(6)]
    assert faces.count_per_image(6).tolist() == counts


def test_faces_are_shown_as_counts():
    faces = Faces.empty()
    assert repr(faces) == "<no faces, cpu>"
    one = make_faces([2])
    assert repr(one) == "<1 face in image 2, not tracked, cpu>"
    tracked = dataclasses.replace(make_faces([0, 0, 3]), track_ids=torch.tensor([4, 5, 4]))
    assert repr(tracked) == "<3 faces in images 0 to 3, 2 tracks, cpu>"
