"""From the answer to HELLO to `online`: schema, identity, settlement, epoch, latch, first readings.

Runs in the board thread.
"""

from gateway.board.commands import Journal
from gateway.board.describe import SchemaRecords, describe
from gateway.board.identity import Identity
from gateway.board.lane import CommandLane
from gateway.board.latch import Latch, cause_in_hello
from gateway.board.poller import Poller
from gateway.board.procedure import Procedure, ProcedureFailed, answer_to
from gateway.board.report import Reporter
from gateway.board.streamer import Streamer
from gateway.model import Clock, FailsafeCause, Schema
from gateway.protocol.messages import HelloFlag, HelloReply, SetEpoch

POLL_TRIES = 3  # of each group of readings, before the board is not called online


class BringUp:
    """The procedure that every session of a board begins with."""

    def __init__(
        self,
        *,
        reporter: Reporter,
        identity: Identity,
        lane: CommandLane,
        latch: Latch,
        poller: Poller | Streamer,
        journal: Journal,
        schemas: SchemaRecords,
        clock: Clock,
    ) -> None:
        self._reporter = reporter
        self._identity = identity
        self._lane = lane
        self._latch = latch
        self._poller = poller
        self._journal = journal
        self._schemas = schemas
        self._clock = clock

    def run(self, hello: HelloReply) -> Procedure[None]:
        """Brings the board up that gave this answer. Raises SchemaError, ProcedureFailed, and LinkError for another
        board than the one that is meant."""
        schema = yield from describe(hello, self._schemas)
        schema = yield from self._identity.confirm(hello, schema)
        self._reporter.update(schema=schema)
        settled = yield from self._settle(hello, schema)
        if settled:
            yield from self._adopt_epoch(hello)
        yield from self._latch.take_over(cause_in_hello(hello.flags))
        yield from self._first_readings(schema)
        self._latch.set_gate()
        self._reporter.came_online()

    def _settle(self, hello: HelloReply, schema: Schema) -> Procedure[bool]:
        if cause_in_hello(hello.flags) is FailsafeCause.SAFE:
            self._lane.safe_came()
        settled = yield from self._lane.settle(hello, schema.sketch.schema_hash)
        if self._lane.needs_hello:
            raise ProcedureFailed("the command under way is still not settled")
        return settled

    def _adopt_epoch(self, hello: HelloReply) -> Procedure[None]:
        epoch = self._journal.epoch(self._reporter.status.board)
        if hello.stored_epoch != epoch or not hello.flags & HelloFlag.EPOCH_MATCH:
            yield from answer_to(SetEpoch(epoch))

    def _first_readings(self, schema: Schema) -> Procedure[None]:
        """Nobody sees `online` before there is something to read."""
        self._poller.begin(schema, self._clock.monotonic())
        for _ in range(self._poller.group_count):
            for _ in range(POLL_TRIES):
                if (yield from self._poller.poll()):
                    break
            else:
                raise ProcedureFailed("readings are not answered, or not as the board described them")
