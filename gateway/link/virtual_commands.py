"""COMMAND: writes an output or runs an action, at most once. Twin of the firmware's Commands.

The id is looked at before all that may be wrong with a command: what was done once is answered from the record,
whatever the repetition says. A refusal is final too, and recorded like a result.
"""

from collections.abc import Callable
from functools import partial

from gateway.link.virtual_outputs import Outputs
from gateway.link.virtual_record import NO_RESULT, Record
from gateway.link.virtual_table import ActionRow, BoardTable, Core, Raw, Refused, unpack_values
from gateway.protocol.messages import ACTION_TARGET, ChannelFlag, CommandReply, ErrorCode, Outcome, RunCommand


class Commands:
    """What the host may ask of a table's outputs and actions."""

    def __init__(self, table: BoardTable, *, record: Record, outputs: Outputs, core: Core) -> None:
        self._table = table
        self._record = record
        self._outputs = outputs
        self._core = core

    def answer(self, request: RunCommand, *, latched: bool) -> CommandReply:
        """Runs it, or tells what became of it. Raises Refused."""
        record = self._record
        if request.id == 0 or request.id < record.started:
            raise Refused(ErrorCode.STALE_ID)
        if request.id > record.started:
            self._execute(request, latched=latched)
            outcome = Outcome.EXECUTED
        else:
            outcome = Outcome.INTERRUPTED if record.interrupted else Outcome.DUPLICATE
        result = record.result[: self._result_size(request.target)]
        return CommandReply(request.id, outcome, record.code, self._core.micros() & 0xFFFF_FFFF, result)

    def _execute(self, request: RunCommand, *, latched: bool) -> None:
        try:
            run = self._permitted(request, latched=latched)
        except Refused as refused:
            self._record.refuse(request.id, refused.code)
            raise
        self._record.start(request.id)
        try:
            self._record.finish(0, run())
        except Refused as refused:  # by the handler itself
            self._record.finish(refused.code, NO_RESULT)

    def _permitted(self, request: RunCommand, *, latched: bool) -> Callable[[], bytes]:
        """What the command does. Raises Refused by the first of: target, read-only, length, range, hold, failsafe."""
        check = self._check_action if request.target & ACTION_TARGET else self._check_output
        run = check(request)
        if latched:
            raise Refused(ErrorCode.FAILSAFE)
        return run

    def _check_output(self, request: RunCommand) -> Callable[[], bytes]:
        if request.target >= len(self._table.channels):
            raise Refused(ErrorCode.BAD_TARGET, request.target)
        row = self._table.channels[request.target]
        if row.write is None:
            raise Refused(ErrorCode.READ_ONLY)
        [value] = unpack_values(request.arguments, [row.record])
        if not request.hold_ms and row.record.flags & ChannelFlag.HOLD_REQUIRED:
            raise Refused(ErrorCode.HOLD_REQUIRED)
        if request.hold_ms and row.safe is None:
            raise Refused(ErrorCode.UNSUPPORTED)
        return partial(self._write, request.target, value, hold_ms=request.hold_ms)

    def _write(self, index: int, value: Raw, *, hold_ms: int) -> bytes:
        self._outputs.write(index, value, hold_ms=hold_ms)
        return NO_RESULT

    def _check_action(self, request: RunCommand) -> Callable[[], bytes]:
        row = self._action(request.target)
        if row is None:
            raise Refused(ErrorCode.BAD_TARGET, request.target)
        arguments = unpack_values(request.arguments, row.arguments)
        if request.hold_ms:
            raise Refused(ErrorCode.UNSUPPORTED)
        return partial(self._run, row, arguments)

    def _run(self, row: ActionRow, arguments: list[Raw]) -> bytes:
        result = row.run(self._core, *arguments)
        return NO_RESULT if result is None or row.result_layout is None else row.result_layout.pack(result)

    def _action(self, target: int) -> ActionRow | None:
        index = target & ~ACTION_TARGET
        return self._table.actions[index] if index < len(self._table.actions) else None

    def _result_size(self, target: int) -> int:
        """Bytes that the target returns, whatever the record holds; none for a channel."""
        row = self._action(target) if target & ACTION_TARGET else None
        return row.result_layout.size if row and row.result_layout else 0
