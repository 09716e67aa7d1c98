"""Fixtures of the link's tests."""

from collections.abc import Iterator

import pytest

from gateway.link.wake import Wake
from tests.link.fakes import FakeClock, Pty, pseudo_terminal


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wake() -> Iterator[Wake]:
    wake = Wake()
    yield wake
    wake.close()


@pytest.fixture
def pty() -> Iterator[Pty]:
    with pseudo_terminal() as pty:
        yield pty
