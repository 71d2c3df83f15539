"""Numbers as they are typed."""

from argparse import ArgumentTypeError

import pytest

from gpen_core.commands.argument_types import share, whole


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("12", 12), ("0012", 12)])
def test_whole_numbers_from_the_lowest_on_are_read(text, number):
    assert whole(1)(text) == number


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "one", "1e3"])
def test_anything_else_is_refused_with_the_lowest_number(text):
    with pytest.raises(ArgumentTypeError, match=f"at least 1, got '{text}'"):
        whole(1)(text)


@pytest.mark.parametrize(("text", "number"), [("0", 0), ("1", 1), ("0.25", 0.25), ("1e-1", 0.1)])
def test_shares_are_read(text, number):
    assert share(text) == number


@pytest.mark.parametrize("text", ["-0.1", "1.01", "nan", "inf", "half", ""])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ArgumentTypeError, match=f"from 0 to 1, got '{text}'"):
        share(text)
