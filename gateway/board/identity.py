"""Who answered: the board that is meant, or another one. A blank board is given its id here.

A part of the bring-up, so it runs in the board thread and before anything of the board is published or sent to it.
"""

import logging
import secrets
from collections.abc import Callable

from gateway.board.commands import Journal
from gateway.board.describe import SchemaRecords, describe
from gateway.board.procedure import Procedure, ProcedureFailed, Request
from gateway.board.report import Reporter
from gateway.errors import LinkError
from gateway.link.arbiter import Finder
from gateway.model import Reason, Schema
from gateway.protocol.events import Answered, Refused
from gateway.protocol.messages import HelloReply, SetId, SetIdReply


def random_id() -> int:
    """32 bits, not 0. That two of a thousand boards share one has a chance of 1 in 8 600."""
    return 1 + secrets.randbelow(0xFFFF_FFFF)


class Identity:
    """Holds what a board says of itself against what the configuration, the journal and the other boards say."""

    def __init__(
        self,
        finder: Finder,
        *,
        reporter: Reporter,
        journal: Journal,
        schemas: SchemaRecords,
        new_id: Callable[[], int] = random_id,
    ) -> None:
        self._finder = finder
        self._reporter = reporter
        self._journal = journal
        self._schemas = schemas
        self._new_id = new_id
        self._keeps_none = False

    def confirm(self, hello: HelloReply, schema: Schema) -> Procedure[Schema]:
        """The schema, with an id in it if the board can have one. Raises LinkError (`wrong_board`) for another board
        than the one that is meant."""
        if self._reporter.status.virtual:  # made for this port, or a recording of whatever board it was
            return schema
        self._finder.answered(schema.unique_id)
        self._check(hello, schema.unique_id)
        if not schema.unique_id:
            schema = yield from self._give_id(hello, schema)
        self._finder.accept(schema.unique_id)
        return schema

    def _check(self, hello: HelloReply, board_id: str) -> None:
        wanted_id = self._finder.match.board_id
        if wanted_id is not None and board_id != wanted_id:
            raise LinkError(Reason.WRONG_BOARD, self._not_meant(wanted_id, board_id))
        if wanted_id is not None or self._finder.match.usb_serial is not None:
            return  # the configuration says whose it is, whatever it was before
        owner = (self._finder.owner(board_id) if board_id else None) or self._owner_of_epoch(hello.stored_epoch)
        if owner is not None:
            raise LinkError(Reason.WRONG_BOARD, self._swapped(owner, board_id))

    def _owner_of_epoch(self, epoch: int) -> str | None:
        """The other configured board whose commands this one remembers."""
        if epoch == 0:
            return None
        return next((board for board in self._finder.others if self._journal.epoch(board) == epoch), None)

    def _not_meant(self, wanted_id: str, board_id: str) -> str:
        has = f"has the id {board_id}" if board_id else "has no id"
        where = self._finder.whereabouts(wanted_id)
        found = f", which is at {where} now" if where else ""
        return f"the board here {has}, the configuration asks for board id {wanted_id}{found}: mend `match:` or `port:`"

    def _swapped(self, owner: str, board_id: str) -> str:
        called = f"board {owner} (id {board_id})" if board_id else f"board {owner}"
        return (
            f"this is {called}: were two boards swapped? Swap their plugs or their `port:` lines, or tell boards by "
            f"`match:`. If it is to be board {self._reporter.status.board} from now on, unplug it for a moment and "
            "restart the gateway"
        )

    def _give_id(self, hello: HelloReply, schema: Schema) -> Procedure[Schema]:
        """Has the board keep an id, and reads again what it says of itself. A board that can't goes without."""
        exchange = yield Request(SetId(self._new_id()))
        if isinstance(exchange, Answered) and isinstance(exchange.reply, SetIdReply) and exchange.reply.id:
            self._reporter.event(f"it was blank: its id is {exchange.reply.id:08x} now", level=logging.INFO)
            return (yield from describe(hello, self._schemas))
        if not isinstance(exchange, Answered | Refused):
            raise ProcedureFailed("SetId: no answer")
        if not self._keeps_none:
            self._keeps_none = True
            self._reporter.event(
                "it has no id and keeps none: no EEPROM, or other data in its last bytes", level=logging.INFO
            )
        return schema
