from types import SimpleNamespace

import pytest

from gpen_core.blending.settings import MaskShape
from gpen_core.errors import CheckpointError, CheckpointNotFoundError, GpenError, SettingError
from gpen_core.settings import Choice, check_limits


class TwoWords(Choice):
    FIRST = "first"
    SECOND = "second one"


def test_a_choice_is_its_word():
    assert TwoWords("second one") is TwoWords.SECOND
    assert TwoWords(TwoWords.FIRST) is TwoWords.FIRST
    assert TwoWords.FIRST == "first"


def test_a_word_that_is_no_choice_is_answered_with_those_that_are():
    message = r"two words: expected one of 'first', 'second one', got 'third'\. Choose one\."
    with pytest.raises(SettingError, match=message):
        TwoWords("third")
    with pytest.raises(
        SettingError, match="mask shape: expected one of 'box', 'ellipse', got None"
    ):
        MaskShape(None)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_number_beyond_its_limits_is_refused(value):
    with pytest.raises(SettingError, match=rf"share: expected 0 to 1, got {value}\. "):
        check_limits(SimpleNamespace(share=value), {"share": (0, 1)})


@pytest.mark.parametrize("value", [0, 0.5, 1])
def test_limits_belong_to_their_range(value):
    check_limits(SimpleNamespace(share=value), {"share": (0, 1)})


def test_a_missing_file_is_an_error_of_checkpoints_and_of_files():
    with pytest.raises(FileNotFoundError, match="gone"):
        raise CheckpointNotFoundError("gone")
    assert issubclass(CheckpointNotFoundError, CheckpointError)
    assert issubclass(SettingError, (GpenError, ValueError))
