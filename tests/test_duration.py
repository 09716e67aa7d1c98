"""Durations as people write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("100ms", 0.1), ("1.5s", 1.5), ("2m", 120.0), ("0.5h", 1800.0), ("1d", 86_400.0), ("0s", 0.0), ("0.1ms", 0.0001)],
)
def test_a_number_and_its_unit(text: str, seconds: float) -> None:
    assert duration.parse(text) == seconds
    assert re.search(duration.PATTERN, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "ms",
        "1 s",
        " 1s",
        "1s ",
        "1s\n",
        "-1s",
        "+1s",
        "1,5s",
        ".5s",
        "1.s",
        "1e3s",
        "1S",
        "infs",
        "٣s",
        "1" * 10 + "s",
    ],
)
def test_anything_else_is_refused_with_the_cure(text: str) -> None:
    with pytest.raises(ValueError, match=r"a duration is a number and ms, s, m, h or d, such as 500ms"):
        duration.parse(text)
    assert not re.search(duration.PATTERN.replace("$", r"\Z"), text)


@given(st.integers(min_value=0, max_value=10**9))
def test_what_is_written_reads_back(milliseconds: int) -> None:
    assert duration.parse(duration.write(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
