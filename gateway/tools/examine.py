"""Looks at a board by its own port: for a doctor without a running gateway, or with its leave. The caller's thread.

Opening may reset the board, and one that does not speak our protocol is asked for the name of its firmware.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.errors import LinkError
from gateway.link.serial_port import is_virtual
from gateway.model import BoardState, BoardStatus, Clock, Diagnosis, Reason
from gateway.tools.client import GatewayClient
from gateway.tools.doctor import diagnose
from gateway.tools.evidence import gather
from gateway.tools.hello import introduce
from gateway.tools.lease import lent

UNSURE = (Reason.NO_ANSWER, Reason.WRONG_BAUD, Reason.WRONG_SKETCH)
"""Of these the board itself can tell more."""

Document = dict[str, Any]
"""A diagnosis as the gateway answers it."""


def examine(board: str, port: str, *, baud: int | None, state_dir: Path, clock: Clock) -> Document:
    """A diagnosis of the board on this port, without a gateway."""
    status = BoardStatus(board, is_virtual(port), port, state=BoardState.OFFLINE)
    found = diagnose(gather(replace(status, **_heard(port, baud, clock)), clock=clock, state_dir=state_dir))
    return document(found)


def ask_gateway(client: GatewayClient, board: str, *, closely: bool, clock: Clock) -> Document:
    """The diagnosis of a running gateway; with `closely` a board that does not answer it is asked what it is instead.
    Raises RequestRefused and GatewayGone."""
    found: Document = client.get(f"boards/{board}/diagnosis")
    resource = client.board(board)
    if closely and resource["reason"] in UNSURE and not resource["virtual"]:
        with lent(client, board, state=BoardState.RELEASED):
            heard = _heard(resource["port"], None, clock)
        for finding in found["findings"]:
            if finding["code"] in UNSURE and heard["reason"] is not None:
                finding |= {"code": heard["reason"], "seen": heard["detail"]}
    return found


def document(found: Diagnosis) -> Document:
    """As the gateway answers it."""
    return {**asdict(found), "healthy": found.healthy}


def _heard(port: str, baud: int | None, clock: Clock) -> Mapping[str, Any]:
    """What to change in the status of a board, from what comes out of its port."""
    try:
        heard = introduce(port, baud=baud, clock=clock, curious=True)
    except LinkError as error:
        return {"reason": error.reason, "detail": str(error)}
    state = BoardState.OFFLINE if heard.schema is None else BoardState.ONLINE
    return {"state": state, "reason": heard.reason, "detail": heard.detail, "schema": heard.schema}
