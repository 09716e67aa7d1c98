"""URLs of virtual boards: the good ones, and for the others a sentence with the right one."""

import re

import pytest

from gateway.link import virtual_url
from gateway.link.faulty_line import LineFaults
from gateway.link.virtual_url import VirtualUrl


@pytest.mark.parametrize(
    ("url", "faults"),
    [
        ("virtual://uno", None),
        ("VIRTUAL://UNO", None),
        ("virtual://uno?", LineFaults()),
        ("virtual://uno?drop=0.01", LineFaults(drop=0.01)),
        (
            "virtual://uno?drop=0.01&corrupt=0.02&delay=20ms&seed=7",
            LineFaults(drop=0.01, corrupt=0.02, delay_s=0.02, seed=7),
        ),
        ("virtual://uno?seed=0&delay=0ms&drop=1&corrupt=1", LineFaults(drop=1, corrupt=1, delay_s=0, seed=0)),
        ("virtual://uno?delay=10s", LineFaults(delay_s=10)),
    ],
)
def test_what_it_says(url: str, faults: LineFaults | None) -> None:
    assert virtual_url.parse(url) == VirtualUrl("uno", faults)


CHANCE = "must be a chance from 0 to 1, such as 0.01 for one byte in a hundred"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("virtual://due", 'there is no virtual board "due"; known: virtual://uno'),
        ("virtual://", 'there is no virtual board ""; known: virtual://uno'),
        ("virtual://uno/", 'there is no virtual board "uno/"; known: virtual://uno'),
        ("virtual://uno?drp=0.1", 'a virtual board has no parameter "drp"; did you mean drop?'),
        ("virtual://uno?Drop=0.1", 'a virtual board has no parameter "Drop"; did you mean drop?'),
        ("virtual://uno?x=1", 'a virtual board has no parameter "x"; known: drop, corrupt, delay, seed'),
        ("virtual://uno?drop=0.1&seed=1&drop=0.1", "drop stands there twice; leave one"),
        ("virtual://uno?drop", f"drop=: {CHANCE}"),
        ("virtual://uno?drop=1.1", f"drop=1.1: {CHANCE}"),
        ("virtual://uno?drop=-0.1", f"drop=-0.1: {CHANCE}"),
        ("virtual://uno?corrupt=nan", f"corrupt=nan: {CHANCE}"),
        ("virtual://uno?corrupt=1%", f"corrupt=1%: {CHANCE}"),
        ("virtual://uno?delay=20", "delay=20: a duration is a number and ms, s, m, h or d, such as 500ms or 1.5s"),
        ("virtual://uno?delay=11s", "delay=11s: must be at most 10s"),
        ("virtual://uno?seed=-1", "seed=-1: must be a whole number of at most 18 digits, such as 7"),
        ("virtual://uno?seed=" + "1" * 19, "must be a whole number of at most 18 digits"),
    ],
)
def test_what_it_can_not_say(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        virtual_url.parse(url)
