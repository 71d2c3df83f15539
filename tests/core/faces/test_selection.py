import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpen_core.errors import GpenError
from gpen_core.faces.faces import Faces
from gpen_core.faces.selection import (
    FaceOrder,
    SelectionError,
    number_faces,
    parse_indices,
    select_faces,
)
from support.faces import make_faces

# The page's own parser is tested against these too, in tests/js/.
CASES = json.loads((Path(__file__).parents[2] / "cases/face_indices.json").read_text("utf-8"))
ORDERS = [order.value for order in FaceOrder]


def numbers(faces: Faces) -> list[int]:
    return [int(x) // 100 for x in faces.landmarks[:, 0, 0].tolist()]


# Left edges 30, 10, 20; upper edges 5, 9, 1; areas 400, 100, 1000; the right and lower edges, the
# centres and the longer sides would all order them differently.
BOXES = [[30, 5, 50, 25], [10, 9, 60, 11], [20, 1, 45, 41]]


def reactor_order(boxes, order):
    """The orders as ReActor computes them, written down independently."""

    def area(i):
        x0, y0, x1, y1 = boxes[i]
        return (x1 - x0) * (y1 - y0)

    key = {
        "left-right": lambda i: boxes[i][0],
        "right-left": lambda i: -boxes[i][0],
        "top-bottom": lambda i: boxes[i][1],
        "bottom-top": lambda i: -boxes[i][1],
        "small-large": area,
        "large-small": lambda i: -area(i),
    }[order]
    return sorted(range(len(boxes)), key=key)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("left-right", [1, 2, 0]),
        ("right-left", [0, 2, 1]),
        ("top-bottom", [2, 0, 1]),
        ("bottom-top", [1, 0, 2]),
        ("small-large", [1, 0, 2]),
        ("large-small", [2, 0, 1]),
    ],
)
def test_select_faces_orders_as_reactor_does(order, expected):
    assert reactor_order(BOXES, order) == expected
    assert numbers(select_faces(make_faces([0, 0, 0], BOXES), order=order)) == expected
    assert numbers(select_faces(make_faces([0, 0, 0], BOXES), order=FaceOrder(order))) == expected


def test_the_default_order_and_the_first_choice_are_reactors():
    assert ORDERS[0] == "large-small"
    assert numbers(select_faces(make_faces([0, 0, 0], BOXES))) == [2, 0, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_of_faces_that_tie_the_surer_comes_first_and_then_the_earlier(order):
    faces = make_faces([0] * 4, [[1, 2, 11, 12]] * 4, [0.8, 0.9, 0.8, 0.95])
    assert numbers(select_faces(faces, order=order)) == [3, 1, 0, 2]
    crowd = make_faces([0] * 300, [[1, 2, 11, 12]] * 300, [0.8, 0.9, 0.7] * 100)
    expected = sorted(range(300), key=lambda i: (1, 0, 2)[i % 3])
    assert numbers(select_faces(crowd, order=order)) == expected


@st.composite
def some_faces(draw):
    count = draw(st.integers(0, 9))
    corner = st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 9), st.integers(0, 9))
    corners = draw(st.lists(corner, min_size=count, max_size=count))
    boxes = [[x, y, x + w, y + h] for x, y, w, h in corners]
    images = draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
    return make_faces(images, boxes, [0.9] * len(images))


@given(some_faces(), st.sampled_from(ORDERS), st.sets(st.integers(0, 4)), st.integers(0, 9))
def test_select_faces_agrees_with_the_same_thing_done_face_by_face(faces, order, wanted, min_size):
    expected = []
    for image in range(4):
        part = faces.of_image(image)
        part = part.select(
            [max(x1 - x0, y1 - y0) >= min_size for x0, y0, x1, y1 in part.boxes.tolist()]
        )
        part = part.select(reactor_order(part.boxes.tolist(), order))
        kept = [i for i in range(len(part)) if i in wanted or not wanted]
        expected += numbers(part.select(kept))
    text = ",".join(map(str, wanted))
    assert numbers(select_faces(faces, order=order, indices=text, min_size=min_size)) == expected


def test_indices_count_after_small_and_unsure_faces_are_gone():
    boxes = [[0, 0, 100, 100], [0, 0, 90, 90], [0, 0, 50, 80], [0, 0, 70, 20]]
    faces = make_faces([0] * 4, boxes, [0.5, 0.9, 0.9, 0.9])
    assert numbers(select_faces(faces, min_score=0.6, indices="0")) == [1]
    assert numbers(select_faces(faces, min_size=80)) == [0, 1, 2]  # 50 x 80 has a size of 80
    assert numbers(select_faces(faces, min_size=81)) == [0, 1]
    assert numbers(select_faces(faces, min_score=0.5)) == [0, 1, 2, 3]


def test_an_index_beyond_the_faces_of_an_image_picks_nothing_there():
    faces = make_faces([1, 0, 1, 1], [[0, 0, s, s] for s in (10, 20, 30, 40)])
    assert numbers(select_faces(faces, indices="2,0")) == [1, 3, 0]
    assert numbers(select_faces(faces, indices="2")) == [0]
    assert len(select_faces(faces, indices="7")) == 0
    assert len(select_faces(Faces.empty(), indices="0")) == 0


def test_largest_only_takes_one_of_those_picked_in_each_image():
    faces = make_faces([1, 0, 1, 1], [[0, 0, s, s] for s in (10, 20, 30, 40)])
    assert numbers(select_faces(faces, largest_only=True, order="small-large")) == [1, 3]
    assert numbers(select_faces(faces, largest_only=True, indices="1-2")) == [2]


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["text"]))
def test_parse_indices_reads_lists_and_ranges_and_refuses_anything_else(case):
    text, expected = case["text"], case["indices"]
    if expected is not None:
        assert parse_indices(text) == (tuple(expected) or None)
        return
    with pytest.raises(SelectionError, match="'0,2'") as raised:
        parse_indices(text)
    assert repr(text) in str(raised.value)
    assert isinstance(raised.value, ValueError)
    assert isinstance(raised.value, GpenError)


@given(st.sets(st.integers(0, 9999), min_size=1, max_size=20))
def test_parse_indices_reads_back_what_was_written(indices):
    text = ", ".join(str(i) for i in sorted(indices, reverse=True))
    assert parse_indices(text) == tuple(sorted(indices))


def test_select_faces_keeps_track_ids():
    faces = make_faces([0, 0, 0], BOXES)
    tracked = Faces(
        faces.image_index, faces.boxes, faces.landmarks, faces.scores, torch.tensor([7, 8, 9])
    )
    selected = select_faces(tracked, order="left-right", indices="1-2")
    assert selected.track_ids.tolist() == [9, 7]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 5), st.integers(1, 5), st.sampled_from([0.5, 0.8])
        ),
        max_size=8,
    ),
    st.sampled_from(ORDERS),
    st.sampled_from([0, 3]),
    st.sampled_from([0.0, 0.6]),
)
def test_number_faces_gives_the_numbers_that_select_faces_goes_by(rows, order, min_size, min_score):
    boxes = [[x, x, x + size, x + size] for _, x, size, _ in rows]
    faces = make_faces([row[0] for row in rows], boxes, [row[3] for row in rows])
    limits = {"order": order, "min_size": min_size, "min_score": min_score}
    known = number_faces(faces, **limits).tolist()
    for number in range(len(rows)):
        selected = select_faces(faces, indices=str(number), **limits)
        assert sorted(numbers(selected)) == [i for i, k in enumerate(known) if k == number]
    kept = {i for i, k in enumerate(known) if k >= 0}
    assert kept == set(numbers(select_faces(faces, **limits)))
