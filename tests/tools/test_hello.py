"""Asking a board who it is, without a gateway: virtual boards here, emulated ones in tests/emulated/test_flash.py."""

from dataclasses import replace

import pytest

from gateway.errors import LinkError
from gateway.link.virtual_sketch import MODELS
from gateway.model import Reason
from gateway.tools.hello import introduce
from tests.link.fakes import open_descriptors
from tests.ports.pty_board import PtyBoard


def test_a_board_says_who_it_is_and_what_it_offers() -> None:
    said = introduce("virtual://uno", baud=None)
    assert said.schema is not None
    assert said.schema.sketch.name == "gateway"
    assert said.schema.channel("led") is not None
    assert said.schema.action("tone") is not None
    assert (said.reason, said.detail) == (None, None)


def test_a_bad_line_only_takes_longer() -> None:
    said = introduce("virtual://uno?drop=0.002&corrupt=0.002&seed=7", baud=250_000)
    assert said.schema is not None
    assert len(said.schema.channels) > 20


@pytest.mark.process
@pytest.mark.needs("posix")
def test_a_board_that_describes_itself_wrongly_is_told_so() -> None:
    table = MODELS["uno"]()
    twice = (*table.channels, table.channels[0])
    with PtyBoard(replace(table, channels=twice)) as board:
        said = introduce(board.path, baud=250_000)
    assert (said.schema, said.reason) == (None, Reason.SCHEMA_REFUSED)
    assert "have the same name" in (said.detail or "")


def test_a_missing_port_is_an_error_and_nothing_stays_open() -> None:
    before = open_descriptors()
    with pytest.raises(LinkError, match="there is no /dev/ttyNONE"):
        introduce("/dev/ttyNONE", baud=None)
    introduce("virtual://uno", baud=None)
    assert open_descriptors() == before
