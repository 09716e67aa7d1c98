"""Exactly once, or an honest word: a state machine over the real session, queue, lane and journal.

Hypothesis does to a gateway and its board whatever a laboratory does to them, at every step in the life of a command;
after each step, and once more after all faults have ended, the promises are held against what the board's handlers
really ran. Then the same machine is let loose on variants that keep them nearly always, and must catch each.

What is promised, and what is not:
- A line may lose, garble, repeat and delay frames, but does not play back a session gone by, its HELLO first.
- A SIGKILL loses what was not committed. A power cut of the host is the same as long as `synchronous` is `full`.
- A journal restored from a backup knows nothing of what came after it: commands, ends and the latch are forgotten. What
  runs then carries no id that the board might take for one of before, and what was queued in it is `unknown` on a board
  that remembers more. But a command that had not ended in the backup may run again if the board has forgotten it too:
  its power was cut since.
"""

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.board import commands, lane
from gateway.board.commands import CommandRequest
from gateway.board.procedure import Procedure
from gateway.errors import GatewayError
from gateway.link import virtual_commands, virtual_session
from gateway.link.virtual_record import NO_RESULT
from gateway.link.virtual_table import Refused
from gateway.model import BoardState, Command, CommandState, IdempotencyKey
from gateway.protocol.messages import CommandReply, Hello, HelloReply, RunCommand
from tests.board.fates import LINE_MISHAPS, POSSIBLE, Mishap, Moment
from tests.board.rough_world import REFUSED_CODE, RoughWorld, SteppedJournal
from tests.board.world import NAME

FUZZ_EXAMPLES = os.environ.get("FUZZ_EXAMPLES")  # of the frames that `make fuzz` makes; a world takes as long as 20
EXAMPLES = 60 if FUZZ_EXAMPLES is None else int(FUZZ_EXAMPLES) // 20
VARIANT_EXAMPLES = 300  # at most; the first that breaks a promise ends the search
STEPS = 30
TAIL_S = 120.0  # simulated; by then everything has ended: the longest deadline and `settle_within` lie far below
SLICE_S = 1.0
LATE_FRAMES_S = 2.5  # simulated; no frame is on its way for longer
SHARED_MEMORY = Path("/dev/shm")  # thousands of journals are no work for a disk
COMMAND_MOMENTS = (
    *(Moment.COMMAND, Moment.HANDLER_BEGINS, Moment.HANDLER_ENDS, Moment.COMMAND_REPLY),
    *(Moment.HELLO_REPLY, Moment.KEEP_SENT, Moment.KEPT_SENT, Moment.KEEP_FINAL),
)
KINDS = ("run", "dial", "lamp", "refuse")

pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(600 if FUZZ_EXAMPLES is None else 0)]


def request(kind: str, number: int, **options: Any) -> CommandRequest:
    """What a client asks for; the lamp requires a hold."""
    match kind:
        case "dial":
            return CommandRequest(channel="dial", value=number, **options)
        case "lamp":
            return CommandRequest(channel="lamp", value=number, hold_ms=3000, **options)
    return CommandRequest(action=kind, arguments={"number": number}, **options)


def number_of(asked: Command | CommandRequest) -> int:
    """What `request` was called with."""
    number = (asked.arguments or {}).get("number", asked.value)
    assert isinstance(number, int)
    return number


def befalling(moments: tuple[Moment, ...]) -> st.SearchStrategy[tuple[Moment, Mishap]]:
    """A moment, and what comes at it; each moment is as likely as any other."""
    return st.sampled_from(moments).flatmap(
        lambda moment: st.tuples(st.just(moment), st.sampled_from(POSSIBLE[moment]))
    )


class ExactlyOnce(RuleBasedStateMachine):
    """One gateway, one board, and what was promised of every command."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
        self._number = 0
        self._keyed: dict[str, int] = {}
        self._accepted: set[str] = set()
        self._refused: set[int] = set()
        self._ended: dict[str, Command] = {}
        self._backup: tuple[set[str], dict[str, Command]] | None = None
        self._power_cuts = 0
        self._broken = False

    @initialize(resets_on_open=st.booleans())
    def begin(self, resets_on_open: bool) -> None:
        self.world = RoughWorld(Path(self._folder.name), resets_on_open=resets_on_open)
        self.world.go(1.0)

    # ---- what people do ----

    @rule(
        kind=st.sampled_from(KINDS),
        expires_in_ms=st.sampled_from((20_000, 2_000, 300)),
        waits_offline=st.sampled_from((True, True, False)),
        fates=st.lists(befalling(COMMAND_MOMENTS), max_size=3),
        then_s=st.sampled_from((1.0, 0.05, 0.0)),
    )
    def submit(
        self, kind: str, expires_in_ms: int, waits_offline: bool, fates: list[tuple[Moment, Mishap]], then_s: float
    ) -> None:
        """Troubles of a command come in company."""
        for moment, mishap in fates:
            self.world.fates.add(moment, mishap)
        self._ask(request(kind, self._next(), expires_in_ms=expires_in_ms, waits_offline=waits_offline))
        self.world.go(then_s)

    @rule(kind=st.sampled_from(KINDS), fates=st.lists(befalling(COMMAND_MOMENTS), min_size=2, max_size=3))
    def submit_into_trouble(self, kind: str, fates: list[tuple[Moment, Mishap]]) -> None:
        """As it comes to a command that has time, from a disk that has none."""
        self.world.disk_delay_s = 0.02
        self.submit(kind, expires_in_ms=20_000, waits_offline=True, fates=fates, then_s=1.0)

    @rule(name=st.sampled_from(("a", "b")), then_s=st.sampled_from((1.0, 0.05, 0.0)))
    def submit_with_key(self, name: str, then_s: float) -> None:
        """The same key asks for the same thing, again and again."""
        number = self._keyed[name] = self._keyed.get(name) or self._next()
        key = IdempotencyKey("client", f"{name}{number}", fingerprint=name)
        self._ask(request("run", number, waits_offline=True, key=key))
        self.world.go(then_s)

    @rule(nth=st.integers(0, 3))
    def cancel(self, nth: int) -> None:
        """One of the newest, whatever has become of it."""
        rows = self._rows()
        with self.world.view(), suppress(GatewayError):
            if nth < len(rows):
                self.world.queue.cancel(rows[nth].id)

    @rule(cleared_after_s=st.sampled_from((0.01, 1.0, 30.0)))
    def safe(self, cleared_after_s: float) -> None:
        self.world.safe(cleared_after_s=cleared_after_s)

    @rule(seconds=st.sampled_from((1.0, 0.01, 0.1, 5.0, 15.0)))
    def wait(self, seconds: float) -> None:
        self.world.go(seconds)

    # ---- what befalls them ----

    @rule(fate=befalling(tuple(Moment)), times=st.sampled_from((1, 2, 7)))
    def befall(self, fate: tuple[Moment, Mishap], times: int) -> None:
        """The next so many such moments, or one where it is no small thing."""
        moment, mishap = fate
        self.world.fates.add(moment, mishap, times=times if mishap in LINE_MISHAPS else 1)

    @rule(dead_for_s=st.sampled_from((0.0, 0.0, 3.0, 40.0)))
    def kill(self, dead_for_s: float) -> None:
        self.world.die(dead_for_s=dead_for_s)

    @rule(kind=st.sampled_from(("reset", "power cut")))
    def lose_board(self, kind: str) -> None:
        if kind == "reset":
            self.world.reset()
        else:
            self.world.cut_power()

    @rule(
        kind=st.sampled_from(("unplugged", "line dead", "sketch busy", "disk full")),
        for_s=st.sampled_from((0.1, 1.0, 5.0, 40.0)),
    )
    def outage(self, kind: str, for_s: float) -> None:
        """It ends by itself, but life goes on meanwhile."""
        world = self.world
        match kind:
            case "unplugged":
                world.unplug()
                world.soon(for_s, world.plug)
            case "line dead":
                world.line.dead = True
                world.soon(for_s, lambda: setattr(world.line, "dead", False))
            case "sketch busy":
                world.board.freeze()
                world.soon(for_s, world.thaw)
            case "disk full":
                world.fill_disk()
                world.soon(for_s, world.mend_disk)

    @rule(delay_s=st.sampled_from((0.0, 0.02, 0.5, 3.0)))
    def slow_disk(self, delay_s: float) -> None:
        self.world.disk_delay_s = delay_s

    @precondition(lambda self: self._backup is None)
    @rule()
    def back_up(self) -> None:
        self.world.back_up(self._backup_path)
        self._backup = {row.id for row in self._rows()}, dict(self._ended)
        self._power_cuts = self.world.power_cuts

    @precondition(lambda self: self._backup is not None and self._may_restore())
    @rule()
    def restore(self) -> None:
        assert self._backup is not None
        self._accepted, self._ended = self._backup
        self._backup = None
        self._keyed.clear()  # the journal may have forgotten them
        self.world.restore(self._backup_path)

    def _may_restore(self) -> bool:
        """It would tell of another past, and the board can tell what became of its open commands."""
        assert self._backup is not None
        known, ended = self._backup
        open_ones_known = known == ended.keys() or self._power_cuts == self.world.power_cuts
        return len(self._ended) > len(ended) and open_ones_known

    # ---- the promises ----

    @invariant()
    def promises_hold(self) -> None:
        try:
            self._check()
        except AssertionError:
            self._broken = True
            raise

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if not self._broken:
                self._quiet_tail()
        finally:
            self.world.end()
            self._folder.cleanup()

    def _check(self) -> None:
        ran = self.world.numbers.ran
        twice = [number for number, times in ran.items() if times > 1]
        assert not twice, f"the handler ran more than once for {twice}"
        assert not self.world.reused, f"epoch and wire id were given to two commands: {self.world.reused}"
        wrongly = sorted(self._refused & ran.keys())
        assert not wrongly, f"refused, and ran all the same: {wrongly}"
        rows = {row.id: row for row in self._rows()}
        for command_id in self._accepted:
            assert command_id in rows, f"command {command_id} was accepted and is not in the journal"
        for command_id, ended in self._ended.items():
            now = replace(rows[command_id], deadline_s=ended.deadline_s)
            assert now == ended, f"a final state changed: {ended} is {now}"
        for row in rows.values():
            self._check_row(row, ran=number_of(row) in ran)
            if row.state.final:
                self._ended[row.id] = row
        assert not self.world.unexpected, f"the board thread had an unexpected error: {self.world.unexpected[0]}"

    def _check_row(self, row: Command, *, ran: bool) -> None:
        refused_by_handler = row.error is not None and row.error.code == f"code_{REFUSED_CODE}"
        if row.state is CommandState.DONE or refused_by_handler:
            assert ran, f"{row.state}, and the handler never ran: {row}"
        elif row.state.final and row.state is not CommandState.UNKNOWN:
            assert not ran, f"{row.state}, and the handler ran: {row}"

    def _quiet_tail(self) -> None:
        """All faults end, and a person clears the failsafe: then everything comes to its end, and stays there."""
        world = self.world
        world.fates.clear()
        world.line.dead = False
        world.plug()
        world.thaw()
        world.mend_disk()
        world.disk_delay_s = 0.0
        end_s = world.clock.now + TAIL_S
        world.go(SLICE_S)
        while world.clock.now < end_s and (self._open_rows() or world.status.state is not BoardState.ONLINE):
            world.go(SLICE_S)
            self._check()
        assert not self._open_rows(), f"after {TAIL_S:g} s of peace still without an end: {self._open_rows()}"
        assert world.status.state is BoardState.ONLINE, f"after {TAIL_S:g} s of peace still {world.status}"
        world.safe(cleared_after_s=0.5)
        world.go(LATE_FRAMES_S)
        last = self._ask(request("run", self._next()))
        world.go(SLICE_S)
        self._check()
        assert last is not None, f"a board at peace takes no command: {world.status}"
        assert world.now_is(last).state is CommandState.DONE, f"a board at peace does not run it: {world.now_is(last)}"

    # ---- inside ----

    def _ask(self, asked: CommandRequest) -> Command | None:
        """None where it was refused, or the gateway was killed before it could answer."""
        command, number = None, number_of(asked)
        self._refused.discard(number)
        with self.world.view():
            try:
                command = self.world.ask(asked)
            except GatewayError:
                self._refused.add(number)
            else:
                self._accepted.add(command.id)
        return command

    def _rows(self) -> list[Command]:
        """Newest first."""
        return self.world.journal.page(NAME, limit=10_000)[0]

    def _open_rows(self) -> list[Command]:
        return [row for row in self._rows() if not row.state.final]

    def _next(self) -> int:
        self._number += 1
        return self._number

    @property
    def _backup_path(self) -> Path:
        return Path(self._folder.name) / "backup.db"


SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=STEPS,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),  # a world is slow to make, and it may be slower on a busy machine
)


@pytest.fixture(autouse=True)
def _views_wait_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this world time stands still while a view waits: the journal has answered at once, or it won't."""
    monkeypatch.setattr(commands, "JOURNAL_TIMEOUT_S", 0)


def test_every_promise_holds_whatever_happens() -> None:
    run_state_machine_as_test(ExactlyOnce, settings=SETTINGS)


# ---- what the machine has found ----


def test_a_board_ahead_of_a_journal_that_can_not_be_written_takes_commands_once_it_can(tmp_path: Path) -> None:
    """The new epoch could not be kept at once, was given up, and nothing asked for it again before the next HELLO."""
    world = RoughWorld(tmp_path)
    world.go(1.0)
    world.back_up(tmp_path / "backup.db")
    with world.view():
        world.ask(request("run", 1))
    world.go(1.0)
    world.fill_disk()
    world.restore(tmp_path / "backup.db")
    world.go(3.0)
    world.mend_disk()
    world.go(3.0)
    with world.view():
        asked = world.ask(request("run", 2))
    world.go(1.0)
    assert world.now_is(asked).state is CommandState.DONE
    assert world.numbers.ran == {1: 1, 2: 1}
    world.end()


# ---- variants that break a promise, seldom enough to look right ----

Patch = Callable[[pytest.MonkeyPatch], None]


def hello_adopts_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """Board: the second HELLO reports a match that is none, and `started` 0: the host takes it for "never ran"."""
    honest = virtual_session.Session._hello

    def hello(self: virtual_session.Session, asked: Hello, *, sid: int) -> HelloReply:
        reply = honest(self, asked, sid=sid)
        self._record.adopt(asked.epoch)
        return reply

    patch.setattr(virtual_session.Session, "_hello", hello)


def recorded_only_after_executing(patch: pytest.MonkeyPatch) -> None:
    """Board: a reset between the handler and the record leaves no trace of it."""

    def execute(self: virtual_commands.Commands, asked: RunCommand, *, latched: bool) -> None:
        try:
            code, result = 0, self._permitted(asked, latched=latched)()
        except Refused as refused:
            code, result = refused.code, NO_RESULT
        self._record.start(asked.id)
        self._record.finish(code, result)

    patch.setattr(virtual_commands.Commands, "_execute", execute)


def validated_before_the_record_is_looked_at(patch: pytest.MonkeyPatch) -> None:
    """Board: a repetition is refused for a reason that came up after the command ran; the host calls it failed."""
    honest = virtual_commands.Commands.answer

    def answer(self: virtual_commands.Commands, asked: RunCommand, *, latched: bool) -> CommandReply:
        self._permitted(asked, latched=latched)
        return honest(self, asked, latched=latched)

    patch.setattr(virtual_commands.Commands, "answer", answer)


def resent_without_asking(patch: pytest.MonkeyPatch) -> None:
    """Host: what HELLO tells of the record is not looked at before the command goes out again."""

    def settle(self: lane.CommandLane, hello: HelloReply, schema_hash: int) -> Procedure[bool]:
        self._needs_hello, self._barred, self._schema_hash = False, None, schema_hash
        yield from ()
        return True

    patch.setattr(lane.CommandLane, "settle", settle)


def epoch_sent_before_the_end_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Host: the board forgets its record while a crash may still make the host ask for it."""

    def kept(future: Future[Any], *, within_s: float) -> Procedure[bool]:
        yield from ()
        return True

    patch.setattr(lane, "kept", kept)


def first_byte_before_the_row_is_committed(patch: pytest.MonkeyPatch) -> None:
    """Host: a crash leaves a command queued that the board has run."""
    honest = lane.CommandLane._take_next

    def take_next(self: lane.CommandLane, now_s: float) -> None:
        honest(self, now_s)
        if self._under_way is not None:
            self._under_way.commit = lane._done()

    patch.setattr(lane.CommandLane, "_take_next", take_next)


def epoch_kept_on_a_journal_older_than_the_board(patch: pytest.MonkeyPatch) -> None:
    """Host: ids come again that the board knows, so a new command is answered with the result of another."""
    patch.setattr(SteppedJournal, "rotate_epoch", lambda *_given: lane._done())


VARIANTS: tuple[tuple[Patch, int], ...] = (
    (hello_adopts_the_epoch, 1),
    (recorded_only_after_executing, 2),
    (resent_without_asking, 1),
    (validated_before_the_record_is_looked_at, 5),
    (epoch_sent_before_the_end_is_kept, 1),
    (first_byte_before_the_row_is_committed, 3),
    (epoch_kept_on_a_journal_older_than_the_board, 19),
)
"""Each with a seed that finds its flaw within ten examples, which saves time: others need up to two hundred. Another
Hypothesis makes other examples of a seed; there are enough of them."""


@pytest.mark.parametrize(("variant", "found_by"), VARIANTS, ids=[variant.__name__ for variant, _ in VARIANTS])
def test_the_same_machine_catches(variant: Patch, found_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
    variant(monkeypatch)
    search = settings(SETTINGS, max_examples=VARIANT_EXAMPLES, phases=[Phase.generate], print_blob=False)
    machine = seed(found_by)(type("Seeded", (ExactlyOnce,), {}))
    with pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(machine, settings=search)
    assert "the board thread" not in str(caught.value), "its thread broke, and not its promise"
