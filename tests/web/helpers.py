"""What the web tests share: a desk with two boards in every state a test wants, and no thread and no port behind it.

The real stores and the real command queue are used; the part of the board thread is played by `Desk.work`, which runs
in the view's own thread when the queue wakes its board.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Never, cast

from werkzeug.test import Client, TestResponse

from gateway.board.absence import Absence
from gateway.board.commands import CommandIds, CommandQueue
from gateway.errors import BoardOffline, JournalError, WrongState
from gateway.link.recording import Description
from gateway.link.traffic import Traffic
from gateway.model import (
    Action,
    Argument,
    BoardState,
    BoardStatus,
    BoardVitals,
    Channel,
    ClockEstimate,
    Command,
    CommandError,
    CommandState,
    Diagnosis,
    FailsafeCause,
    Finding,
    IdempotencyKey,
    LogEntry,
    Reason,
    Sample,
    Schema,
    Severity,
    Sketch,
    Value,
    ValueType,
)
from gateway.store.feed import ChangeFeed
from gateway.store.latest import Latest
from gateway.web.app import Services, create_app
from gateway.web.problems import MEDIA_TYPE, Kind
from tests.memory_journal import MemoryJournal

QUEUE_LIMIT = 3
STALE_AFTER_S = 1.0
STARTED_AT = 1_780_000_000.25
DESCRIPTION = Description(b"\x03Uno", 1, 0, (b"\x01\x02",))


class FakeClock:
    """Both clocks, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.unix_s = STARTED_AT

    def monotonic(self) -> float:
        return self.now_s

    def time(self) -> float:
        return self.unix_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
        self.unix_s += seconds


class SteppingFeed(ChangeFeed):
    """Waiting makes the fake clock go on, so that a wait runs out without any time passing."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def wait(self, *, after: int, timeout_s: float) -> int:
        if self.sequence <= after:
            self._clock.advance(timeout_s)
        return self.sequence


def channel(index: int, name: str, value_type: ValueType, **changes: Any) -> Channel:
    """A readable and writable channel; text holds 8 bytes, numbers go from 0 to 100."""
    limits: dict[ValueType, tuple[Value, Value]] = {ValueType.BOOL: (False, True), ValueType.TEXT: (0, 8)}
    minimum, maximum = limits.get(value_type, (0, 100))
    plain = Channel(
        index=index,
        name=name,
        unit="",
        type=value_type,
        scale=0,
        minimum=minimum,
        maximum=maximum,
        safe=None,
        readable=True,
        writable=True,
        idempotent=True,
        hold_required=False,
    )
    return replace(plain, **changes)


SCHEMA = Schema(
    model="Uno",
    unique_id="0badcafe",
    sketch=Sketch("gateway", "1.2", 0x00C0FFEE),
    channels=(
        channel(0, "a0", ValueType.U16, unit="V", scale=-3, maximum=5.0, minimum=0.0, writable=False),
        channel(1, "temperature", ValueType.F32, unit="degC", minimum=-40.0, maximum=125.0, writable=False),
        channel(2, "led", ValueType.BOOL, safe=False),
        channel(3, "fan", ValueType.U8, unit="%", safe=0, hold_required=True),
        channel(4, "label", ValueType.TEXT),
        channel(5, "dose", ValueType.U16, scale=2, maximum=6_553_500, minimum=0),
        channel(6, "trigger", ValueType.BOOL, readable=False),
        channel(7, "ratio", ValueType.F32, minimum=-3.4e38, maximum=3.4e38),
    ),
    actions=(
        Action(
            0,
            "tone",
            "Sound the buzzer",
            (
                Argument("hz", "Hz", ValueType.U16, 0, 31, 5_000),
                Argument("seconds", "s", ValueType.U16, -1, 0.0, 10.0),
            ),
            ValueType.NONE,
        ),
        Action(1, "measure", "Take a sample", (), ValueType.I16),
        Action(2, "probe", "", (), ValueType.F32),
        Action(3, "ready", "", (), ValueType.BOOL),
    ),
)
VALUES: dict[str, Value | None] = {
    "a0": 2.5,
    "temperature": 21.3,
    "led": True,
    "fan": 0,
    "label": "hello",
    "dose": 1_200,
    "ratio": 0.5,
}
ONLINE = BoardStatus(
    board="uno",
    virtual=True,
    port="virtual://uno",
    state=BoardState.ONLINE,
    schema=SCHEMA,
    resets=2,
    round_trip_s=0.0021234,
    clock=ClockEstimate(rate_ppm=2020.5049, rate_error_ppm=66.8846, error_s=0.0025158),
    vitals=BoardVitals(frames_received=70, frames_rejected=1, overruns=2, loop_max_s=0.00325, free_ram=1234),
    counters={"frames_in": 7},
)
UNSEEN = BoardStatus(board="mega", virtual=False, port="/dev/ttyACM0")


class _Stage:
    """Stands for the services of whichever desk asks: building an application takes longer than most tests."""

    services: Services

    def __getattr__(self, name: str) -> Any:
        return getattr(self.services, name)


@cache
def _shared_client() -> tuple[_Stage, Client]:
    stage = _Stage()
    return stage, Client(create_app(cast("Services", stage), allowed_hosts=["gateway.example"]))


@dataclass
class Desk:
    """Board `uno` is online and obeys at once if `obedient`; board `mega` was never seen."""

    clock: FakeClock = field(default_factory=FakeClock)
    obedient: bool = False
    outcome: CommandState = CommandState.DONE
    result: Value | None = None
    max_waiting: int = 4
    queue_limit: int = QUEUE_LIMIT

    def __post_init__(self) -> None:
        self.latest = Latest((ONLINE, UNSEEN), stale_after_s={"uno": STALE_AFTER_S, "mega": STALE_AFTER_S})
        self.journal = MemoryJournal(clock=self.clock)
        self.journal.feed = SteppingFeed(self.clock)
        self.queue = self._queue("uno", wake=self.work)
        self.queue.open(SCHEMA)
        self.traffic = {"uno": Traffic(), "mega": Traffic()}
        self.services = Services(
            latest=self.latest,
            journal=self.journal,
            queues={"uno": self.queue, "mega": self._queue("mega", wake=lambda: None)},
            absences={name: Absence(wake=self.work, clock=self.clock) for name in ("uno", "mega")},
            diagnose=self.diagnose,
            traffic=self.traffic,
            describe=lambda board: DESCRIPTION if self.latest.snapshot(board).status.schema else None,
            clock=self.clock,
            version="9.8.7",
            start_id="5eed",
            started_at=STARTED_AT,
            features=("virtual",),
            max_waiting=self.max_waiting,
        )
        self.sample(VALUES)
        self.latest.append_log("uno", LogEntry(STARTED_AT, "text", "temperature \\x1b[31m high"))

    def diagnose(self, status: BoardStatus) -> Diagnosis:
        """By what stands in the status alone."""
        if status.reason is None:
            return Diagnosis(status.board, "all is well", ())
        finding = Finding(status.reason, Severity.PROBLEM, status.detail or "", "it is gone", "plug it in")
        return Diagnosis(status.board, "it is offline", (finding,))

    def _queue(self, board: str, *, wake: Callable[[], None]) -> CommandQueue:
        return CommandQueue(
            board,
            virtual=board == "uno",
            journal=self.journal,
            clock=self.clock,
            wake=wake,
            ids=CommandIds(self.clock),
            limit=self.queue_limit,
        )

    # ---- requests ----

    @property
    def client(self) -> Client:
        """A client of the guarded application, with this desk behind it."""
        stage, client = _shared_client()
        stage.services = self.services
        return client

    def get(self, path: str, **headers: str) -> TestResponse:
        """A GET; keywords are headers with underscores for dashes."""
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, body: object, path: str = "/api/v1/boards/uno/commands", **headers: str) -> TestResponse:
        """A POST of a JSON document, to the commands of `uno` unless told otherwise."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, json=body, headers=names)

    def raw(self, body: bytes, method: str = "POST", path: str = "/api/v1/boards/uno/commands") -> TestResponse:
        """A write of these very bytes, called JSON."""
        return self.client.open(path, method=method, data=body, content_type="application/json")

    # ---- the board ----

    def sample(self, values: dict[str, Value | None]) -> None:
        """The board was polled just now."""
        now = {name: Sample(value, self.clock.monotonic(), self.clock.time()) for name, value in values.items()}
        self.latest.publish_samples("uno", now)

    def work(self) -> None:
        """The board thread's part, when it is obedient: confirms what was asked, ends what was queued."""
        if not self.obedient:
            return
        orders = self.queue.orders
        if orders.safe_due:
            self.latest.publish_status(replace(ONLINE, failsafe=FailsafeCause.SAFE))
            orders.safe_ended()
        if orders.clear_due:
            self.latest.publish_status(ONLINE)
            orders.clear_found()
            orders.clear_ended()
        absence = self.services.absences["uno"]
        away = absence.state(self.clock.monotonic())
        if away is not None:
            self.latest.publish_status(replace(ONLINE, state=away))
        absence.port_closed()
        absence.port_taken()
        while command := self.queue.take():
            self.finish(command)

    def send(self, command: Command) -> Command:
        """The command has left for the board."""
        sent = replace(command, state=CommandState.SENT, wire_id=1, sent_at=self.clock.time())
        self.journal.record(sent)
        return sent

    def finish(self, command: Command) -> None:
        """The command has come to its end."""
        error = None if self.outcome is CommandState.DONE else CommandError("out_of_range", "the board refused it")
        self.journal.record(
            replace(
                self.send(command),
                state=self.outcome,
                result=self.result,
                error=error,
                finished_at=self.clock.time(),
            )
        )

    # ---- mishaps ----

    def go_offline(self) -> "Desk":
        """The port has gone; what the board offers stays known."""
        detail = "/dev/ttyACM0 is gone: plug the board in"
        self.latest.publish_status(replace(ONLINE, state=BoardState.OFFLINE, reason=Reason.PORT_MISSING, detail=detail))
        why = f"board uno is offline, port_missing: {detail}"
        self.queue.refuse(BoardOffline(why))
        self.queue.orders.went_offline(why)
        return self

    def with_mega(self, state: BoardState = BoardState.DEGRADED) -> "Desk":
        """The other board has come up as well, or is in another state."""
        self.latest.publish_status(replace(UNSEEN, state=state))
        return self

    def stuck_away(self) -> "Desk":
        """The board thread does not get round to its port."""
        absence = self.services.absences["uno"]
        late: Future[None] = Future()
        late.set_exception(TimeoutError())
        absence.begin = lambda _state, **_until: late  # type: ignore[method-assign]
        absence.end = lambda: late  # type: ignore[method-assign]
        return self

    def latch(self) -> "Desk":
        """A person asked for SAFE."""
        self.queue.refuse(WrongState("outputs are latched by SAFE; POST /api/v1/boards/uno/clear leaves that state"))
        return self

    def fill_queue(self) -> "Desk":
        """As many commands wait as may."""
        for _ in range(self.queue_limit):
            assert self.post({"channel": "led", "value": True}).status_code == 202
        return self

    def stall_journal(self) -> "Desk":
        """What became of the board's last command is not kept."""
        self.queue.refuse(JournalError("mend its disk"))
        return self

    def break_journal(self) -> "Desk":
        """Nothing can be kept any more."""

        def record(_command: Command, *, key: IdempotencyKey | None = None) -> Future[None]:
            refused: Future[None] = Future()
            refused.set_exception(JournalError("the disk is full"))
            return refused

        def unread(*_asked: object, **_how: object) -> Never:
            raise JournalError("the disk can't be read")

        self.journal.record = record  # type: ignore[method-assign]
        self.journal.page = unread  # type: ignore[method-assign]
        get = self.journal.get
        self.journal.get = lambda command_id: get(command_id) or unread()  # type: ignore[method-assign]
        return self

    def sent_command(self) -> str:
        """The id of a command that is under way."""
        command_id: str = self.post({"channel": "led", "value": True}).json["id"]
        command = self.queue.take()
        assert command is not None
        self.send(command)
        return command_id

    def queued_command(self, *, then_break: bool = False) -> str:
        """The id of a command that waits; the journal may break afterwards."""
        command_id: str = self.post({"channel": "led", "value": True}).json["id"]
        if then_break:
            self.break_journal()
        return command_id

    def command_of_former_board(self) -> str:
        """The id of a command for a board that the configuration no longer has; it ran."""
        command = self.journal.get(self.queued_command())
        assert command is not None
        former = replace(command, id=f"{0:024x}", board="former", state=CommandState.DONE)
        self.journal.record(former)
        return former.id

    def take_key(self, key: str) -> "Desk":
        """Another command came under this key."""
        self.post({"channel": "led", "value": False}, Idempotency_Key=key)
        return self


def problem(response: TestResponse) -> dict[str, Any]:
    """The problem document of an error answer, held against RFC 9457 and our own rules."""
    assert response.headers["Content-Type"] == MEDIA_TYPE, response.text
    document: dict[str, Any] = response.json
    kinds = {kind.uri: kind for kind in Kind}
    kind = kinds[document["type"]]
    assert document["status"] == response.status_code == kind.status
    assert document["title"] == kind.title
    assert document["detail"]
    assert document.keys() <= {"type", "title", "status", "detail", "errors"}
    for error in document.get("errors", ()):
        assert error["loc"][0] in ("body", "query", "header")
        assert error["msg"]
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    if kind.status in (429, 503):
        assert int(response.headers["Retry-After"]) > 0
    return document


def refused(response: TestResponse, kind: Kind) -> dict[str, Any]:
    """The problem document, which must be of that kind."""
    document = problem(response)
    assert document["type"] == kind.uri, document
    return document
