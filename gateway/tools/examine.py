"""Looks at a board by its own port: for a doctor without a running gateway, or with its leave. The caller's thread.

Opening may reset the board, and one that does not speak our protocol is asked for the name of its firmware.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gateway.errors import LinkError
from gateway.link.arbiter import UNOPENED, Finder, PortArbiter
from gateway.link.serial_port import is_virtual
from gateway.link.wanted import Wanted
from gateway.model import BoardState, BoardStatus, Clock, Diagnosis, Reason
from gateway.tools.client import GatewayClient
from gateway.tools.doctor import diagnose, explain
from gateway.tools.evidence import gather
from gateway.tools.hello import introduce
from gateway.tools.lease import lent

UNSURE = (Reason.NO_ANSWER, Reason.WRONG_BAUD, Reason.WRONG_SKETCH)
"""Of these the board itself can tell more."""

Document = dict[str, Any]
"""A diagnosis as the gateway answers it."""


def examine(
    wanted: Sequence[Wanted],
    board: str,
    *,
    baud: int | None,
    state_dir: Path,
    clock: Clock,
    flash: str | None = None,
) -> Document:
    """A diagnosis of one of these boards, without a gateway; `flash` is the command that flashes it, for one that is
    not configured."""
    port = next(each.port for each in wanted if each.board == board)
    status = BoardStatus(board, is_virtual(port), port, state=BoardState.OFFLINE)
    seen = _met(PortArbiter(wanted, clock=clock).finder(board), baud, clock)
    return document(diagnose(gather(replace(status, **seen), clock=clock, state_dir=state_dir, flash=flash)))


def ask_gateway(client: GatewayClient, board: str, *, closely: bool, clock: Clock) -> Document:
    """The diagnosis of a running gateway; with `closely` a board that does not answer it is asked what it is instead.
    Raises RequestRefused and GatewayGone."""
    found: Document = client.get(f"boards/{board}/diagnosis")
    resource = client.board(board)
    if not closely or resource["reason"] not in UNSURE or resource["virtual"]:
        return found
    finder = PortArbiter([Wanted(each["name"], each["port"]) for each in client.boards()], clock=clock).finder(board)
    with lent(client, board, state=BoardState.RELEASED):
        heard = _met(finder, None, clock)
    reason = heard["reason"]
    if reason in UNOPENED:  # and so nothing was learnt
        return found
    if reason is None:  # it answers after all: its reset, by our opening, may have helped
        return dict(client.get(f"boards/{board}/diagnosis"))
    told = asdict(explain(reason, heard["detail"], flash=f"gateway flash --board {board}"))
    return found | {"findings": [told if each["code"] in UNSURE else each for each in found["findings"]]}


def document(found: Diagnosis) -> Document:
    """As the gateway answers it."""
    return {**asdict(found), "healthy": found.healthy}


def _met(finder: Finder, baud: int | None, clock: Clock) -> Mapping[str, Any]:
    """What to change in the status of the board that is meant, from what comes out of its port. One that is known by
    its id alone is looked for at all of them."""
    while True:
        try:
            port = finder.find().port
        except LinkError as error:
            return _failed(error)
        heard = _heard(port, baud, clock)
        board_id, schema = finder.match.board_id, heard.get("schema")
        if schema is not None:
            finder.answered(schema.unique_id)
            if board_id not in (None, schema.unique_id):
                heard = _failed(LinkError(Reason.WRONG_BOARD, _another(port, schema.unique_id, board_id)))
        if heard["reason"] is None or not finder.in_vain(LinkError(heard["reason"], heard["detail"])):
            return {"port": port, **heard}


def _another(port: str, has: str, wanted: str | None) -> str:
    return f"the board at {port} has {f'the id {has}' if has else 'no id'}, the configuration asks for {wanted}"


def _heard(port: str, baud: int | None, clock: Clock) -> Mapping[str, Any]:
    try:
        heard = introduce(port, baud=baud, clock=clock, curious=True)
    except LinkError as error:
        return _failed(error)
    state = BoardState.OFFLINE if heard.schema is None else BoardState.ONLINE
    return {"state": state, "reason": heard.reason, "detail": heard.detail, "schema": heard.schema}


def _failed(error: LinkError) -> Mapping[str, Any]:
    return {"reason": error.reason, "detail": str(error)}
