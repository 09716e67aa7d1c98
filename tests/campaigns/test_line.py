"""The bad line: each kind of fault occurs, as often as was asked for, and none where none was."""

import os
from pathlib import Path

import pytest

from benchmarks.campaigns.line import BadLine, Spoiler

DATA = bytes(range(256)) * 400


def test_a_clean_line_changes_nothing() -> None:
    spoiler = Spoiler(0.0, seed=1)
    assert spoiler.spoil(DATA) == DATA
    assert spoiler.faults == 0


def test_faults_come_at_the_rate_that_was_asked_for() -> None:
    spoiler = Spoiler(0.01, seed=1)
    assert spoiler.spoil(DATA) != DATA
    assert 0.8 < spoiler.faults / (0.01 * len(DATA)) < 1.2


def test_the_same_seed_spoils_alike_however_the_bytes_are_cut() -> None:
    whole, piecewise = Spoiler(0.05, seed=7), Spoiler(0.05, seed=7)
    assert whole.spoil(DATA) == b"".join(piecewise.spoil(DATA[at : at + 7]) for at in range(0, len(DATA), 7))
    assert whole.spoil(DATA) != Spoiler(0.05, seed=8).spoil(DATA)


def test_bytes_are_lost_changed_in_one_bit_doubled_and_inserted() -> None:
    spoiler = Spoiler(1.0, seed=3)
    seen = [spoiler.spoil(b"\x55") for _ in range(200)]
    assert b"" in seen
    assert b"\x55\x55" in seen
    assert any(len(each) == 2 and each[0] != 0x55 and each[1] == 0x55 for each in seen)
    changed = [each[0] ^ 0x55 for each in seen if len(each) == 1]
    assert changed
    assert all(bits.bit_count() == 1 for bits in changed)


@pytest.mark.needs("posix")
@pytest.mark.process
def test_the_line_stands_between_two_ends_of_their_own() -> None:
    import tty

    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        with BadLine(Path(os.ttyname(slave)), rate=0.0, seed=1) as line:
            host = os.open(line.path, os.O_RDWR | os.O_NOCTTY)
            try:
                os.write(host, b"to the board")
                assert os.read(master, 100) == b"to the board"
                os.write(master, b"to the host")
                assert os.read(host, 100) == b"to the host"
            finally:
                os.close(host)
            assert line.faults == 0
    finally:
        os.close(master)
        os.close(slave)
