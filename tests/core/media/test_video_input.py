"""When the frames of a video are shown."""

from fractions import Fraction
from types import SimpleNamespace

import pytest

from gpen_core.errors import MediaError
from gpen_core.media.video_input import presentation_times

STREAM = SimpleNamespace(
    time_base=Fraction(1, 1000),
    average_rate=Fraction(30),
    guessed_rate=None,
    container=SimpleNamespace(name="folder/clip.avi"),
)


def test_times_that_increase_are_kept():
    assert presentation_times([0, 33, 100], STREAM) == [0, 33, 100]


def test_a_video_without_times_is_shown_at_its_rate():
    assert presentation_times([None] * 4, STREAM) == [0, 33, 67, 100]


@pytest.mark.parametrize("times", [[0, 33, 33], [0, 66, 33], [0, None, 66]])
def test_times_out_of_order_or_missing_are_refused(times):
    with pytest.raises(MediaError, match=r"^clip\.avi: expected frames at increasing times"):
        presentation_times(times, STREAM)
