"""A board's port on loan from the gateway that runs: released before, resumed after, whatever comes between.

The caller's thread. The gateway takes the port back by itself when the loan ends, so a killed command leaves nothing
behind.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from gateway.errors import GatewayError
from gateway.model import BoardState, Clock, Reason
from gateway.tools.boot_port import pause
from gateway.tools.client import GatewayClient

LOAN = "2m"  # writing and verifying a full Mega takes 50 s
BACK_S = 30.0  # a board that is searched for its rate takes 15 s
LOOK_AGAIN_S = 0.1
BACK = (BoardState.ONLINE, BoardState.DEGRADED)
PASSING = (Reason.PORT_MISSING, Reason.PORT_BUSY)
"""Reasons to be offline that may be gone in a moment: a native USB port comes back late."""


@contextmanager
def lent(client: GatewayClient, board: str, *, state: BoardState = BoardState.FLASHING) -> Iterator[None]:
    """Within it the port is ours; `state` is what the board shows meanwhile. Raises what the client raises."""
    client.post(f"boards/{board}/release", query={"state": state, "for": LOAN})
    try:
        yield
    except BaseException:
        with suppress(GatewayError):  # what went wrong first is what counts, and the loan ends by itself
            client.post(f"boards/{board}/resume")
        raise
    client.post(f"boards/{board}/resume")


def wait_back(client: GatewayClient, board: str, *, clock: Clock = time) -> Any:
    """The board's resource once the gateway knows what became of it. Raises GatewayError if that takes too long."""
    deadline_s = clock.monotonic() + BACK_S
    while not _known(seen := client.board(board)):
        if clock.monotonic() >= deadline_s:
            raise GatewayError(
                f"the sketch was written, and the gateway has not found the board for {BACK_S:g} s; gateway doctor "
                f"{board} looks why"
            )
        pause(LOOK_AGAIN_S)
    return seen


def _known(board: Any) -> bool:
    return board["state"] in BACK or (board["state"] == BoardState.OFFLINE and board["reason"] not in PASSING)
