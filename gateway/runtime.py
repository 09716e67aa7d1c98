"""Builds the gateway from its configuration, starts it and stops it: the only place that knows every part.

Everything here runs in the main thread. The board threads belong to their workers, the request threads to the server.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from gateway import __version__
from gateway.board.absence import Absence
from gateway.board.commands import CommandIds, CommandQueue, CommandRequest, finished
from gateway.board.worker import BoardSettings, BoardWorker, initial_status
from gateway.config import Address, BoardConfig, Config, OnConnectConfig
from gateway.errors import GatewayError
from gateway.link.arbiter import PortArbiter
from gateway.link.discovery import PortLister, plugged_in
from gateway.link.recorder import Recorder
from gateway.link.recording import Description, Header
from gateway.link.serial_port import is_virtual, open_port
from gateway.link.traffic import Traffic
from gateway.link.wake import Wake
from gateway.link.wanted import Match, Wanted
from gateway.model import BoardState, BoardStatus, Clock, CommandError, CommandState, Diagnosis, FailsafeCause, Mode
from gateway.notify import Supervisor
from gateway.protocol.messages import BoardRecord, schema_hash
from gateway.server import Limits, Server
from gateway.store.database import Database, JournalRefused
from gateway.store.journal import Journal
from gateway.store.latest import Latest
from gateway.store.schemas import SchemaCache
from gateway.tools.client import url_of
from gateway.tools.doctor import diagnose
from gateway.tools.evidence import gather
from gateway.web.app import Services, create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

STOP_BOARDS_S = 0.25  # beside the 0.5 s that the server gives its views: stopping takes less than a second
STOP_JOURNAL_S = 0.2
STOP_RECORDERS_S = 0.2
RECORDINGS = "recordings"  # in state_dir, a directory for each board
STATE_DIR_MODE = 0o700
START_ID_BYTES = 8
FEATURES = (
    "readings",
    "history",
    "stream",
    "commands",
    "hold",
    "idempotency",
    "when_offline",
    "on_connect",
    "safe",
    "release",
    "diagnosis",
    "log",
)
"""What clients may count on beside the board resources themselves; grows with the gateway."""
SERVING = (BoardState.ONLINE, BoardState.DEGRADED)

logger = logging.getLogger(__name__)


class HostClock:
    """The clock of this host. Its monotonic seconds go on while the host sleeps, where the system can tell: after a
    suspend no reading is fresh and no deadline is still ahead."""

    def __init__(self) -> None:
        boottime = getattr(time, "CLOCK_BOOTTIME", None)
        self.monotonic: Callable[[], float] = (
            time.monotonic if boottime is None else partial(time.clock_gettime, boottime)
        )

    def time(self) -> float:
        """Unix time."""
        return time.time()


class StartError(GatewayError):
    """The gateway can't start; the text names what is in the way and the cure."""


@dataclass(frozen=True, slots=True)
class _Stores:
    """What all boards share."""

    latest: Latest
    journal: Journal
    schemas: SchemaCache
    ids: CommandIds
    arbiter: PortArbiter


@dataclass(frozen=True, slots=True)
class _Board:
    """One board's parts that outlive a link."""

    queue: CommandQueue
    absence: Absence
    worker: BoardWorker
    wake: Wake
    traffic: Traffic
    recorder: Recorder | None


class Gateway:
    """The running system: one worker per board, the stores between, the server in front."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        environ: Mapping[str, str] = MappingProxyType({}),
        list_ports: PortLister = plugged_in,
    ) -> None:
        """Opens the journal, builds everything and binds the address; starts nothing. Raises StartError. `environ`
        names the service manager, where there is one that wants to hear of it."""
        clock = clock or HostClock()
        self._clock = clock
        stores = _stores(config, clock, list_ports=list_ports)
        self._journal = stores.journal
        self._boards = {name: _board(name, config, stores=stores, clock=clock) for name in config.boards}
        services = Services(
            latest=stores.latest,
            journal=stores.journal,
            queues={name: board.queue for name, board in self._boards.items()},
            diagnose=partial(self._diagnose, config),
            absences={name: board.absence for name, board in self._boards.items()},
            traffic={name: board.traffic for name, board in self._boards.items()},
            describe=partial(_description, stores),
            clock=clock,
            version=__version__,
            start_id=secrets.token_hex(START_ID_BYTES),
            started_at=clock.time(),
            features=FEATURES,
            max_waiting=config.http.threads // 2,
        )
        app = create_app(services, allowed_hosts=config.http.allowed_hosts)
        self._supervisor = Supervisor(
            environ,
            heartbeats=[stores.journal.heartbeat, *(board.worker.heartbeat for board in self._boards.values())],
            status=lambda: f"Serving on {self.url}; {_summary(stores.latest)}",
            clock=clock,
        )
        self._server = self._bind(app, config.http.listen, threads=config.http.threads)
        self.url = f"http://{Address(config.http.listen.host, self._server.port)}"

    def run(self) -> None:
        """Serves in the calling thread until `stop`, then stops all in reverse order within a second."""
        try:
            self._journal.start()
            for board in self._boards.values():
                if board.recorder is not None:
                    board.recorder.start()
                board.worker.start()
            self._supervisor.ready()
            self._server.run(between=self._supervisor.tick)
        finally:
            self._supervisor.stopping()
            self._server.close()
            self._stop_boards()
            self._stop_recorders()
            self._journal.close(timeout_s=STOP_JOURNAL_S)

    def stop(self) -> None:
        """Makes `run` return, or keeps it from serving. Any thread, a signal handler too, any number of times."""
        self._server.close()

    def _diagnose(self, config: Config, status: BoardStatus) -> Diagnosis:
        url, fault = url_of(config.http.listen.host, self._server.port), self._journal.fault
        return diagnose(gather(status, clock=self._clock, state_dir=config.state_dir, url=url, journal_fault=fault))

    def _bind(self, app: "WSGIApplication", listen: Address, *, threads: int) -> Server:
        try:
            limits = Limits(sweep_interval_s=self._supervisor.tick_interval_s)
            return Server(app, host=listen.host, port=listen.port, threads=threads, limits=limits)
        except OSError as error:
            for board in self._boards.values():
                board.wake.close()
            self._journal.close()
            why = str(error.strerror or error).partition(" (while")[0]  # Python adds the address to some
            cure = "name another address with --listen HOST:PORT (port 0 takes a free one)"
            raise StartError(f"can't listen on {listen}: {why}; {cure}") from error

    def _stop_boards(self) -> None:
        deadline_s = self._clock.monotonic() + STOP_BOARDS_S
        for board in self._boards.values():
            board.worker.stop()
        for name, board in self._boards.items():
            if board.worker.join(max(0.0, deadline_s - self._clock.monotonic())):
                board.wake.close()
            else:
                logger.warning("%s: its thread did not end in time", name)

    def _stop_recorders(self) -> None:
        """After the boards: the last that passed is recorded, too."""
        recorders = [board.recorder for board in self._boards.values() if board.recorder is not None]
        deadline_s = self._clock.monotonic() + STOP_RECORDERS_S
        for recorder in recorders:
            recorder.stop()
        for recorder in recorders:
            recorder.join(max(0.0, deadline_s - self._clock.monotonic()))


def _stores(config: Config, clock: Clock, *, list_ports: PortLister) -> _Stores:
    schemas = SchemaCache(_private(config.state_dir), hash_of=schema_hash)
    journal = _journal(config, clock)
    latest = Latest(
        [initial_status(_settings(name, board), latched=journal.latch(name)) for name, board in config.boards.items()],
        stale_after_s={name: board.stale_after_s for name, board in config.boards.items()},
    )
    arbiter = PortArbiter(
        wanted_boards(config),
        list_ports=list_ports,
        clock=clock,
    )
    return _Stores(latest, journal, schemas, CommandIds(clock, newest=journal.newest_id()), arbiter)


def _journal(config: Config, clock: Clock) -> Journal:
    """The journal, in which nothing waits for a board that is not configured any more. Raises StartError."""
    database = Database(config.state_dir / config.journal.path, synchronous=config.journal.synchronous)
    try:
        journal = Journal(database, boards=config.boards.keys(), clock=clock, keep_s=config.journal.keep_s)
    except JournalRefused as refusal:
        raise StartError(str(refusal)) from refusal
    for command in journal.open_elsewhere(config.boards.keys()):
        state = CommandState.UNKNOWN if command.state is CommandState.SENT else CommandState.CANCELLED
        error = CommandError("board_removed", f"board {command.board} is not configured any more")
        journal.record(finished(command, state, clock=clock, error=error))
    return journal


def _board(name: str, config: Config, *, stores: _Stores, clock: Clock) -> _Board:
    """A board, ready to go on with what the journal holds of it."""
    board = config.boards[name]
    traffic = Traffic()
    latched = stores.journal.latch(name)
    wake = Wake()
    queue = CommandQueue(
        name,
        virtual=is_virtual(board.port),
        journal=stores.journal,
        clock=clock,
        wake=wake.set,
        ids=stores.ids,
        limit=board.queue_limit,
        safe_stands=latched is FailsafeCause.SAFE,
    )
    absence = Absence(wake=wake.set, clock=clock)
    under_way = queue.restore(stores.journal.open_commands(name))
    worker = BoardWorker(
        _settings(name, board),
        queue=queue,
        sink=stores.latest,
        journal=stores.journal,
        schemas=stores.schemas,
        wake=wake,
        under_way=under_way,
        latched=latched,
        absence=absence,
        finder=stores.arbiter.finder(name),
        clock=clock,
        open_link=partial(open_port, tap=traffic),
    )
    recorder = _recorder(name, config, traffic=traffic, stores=stores, clock=clock)
    return _Board(queue, absence, worker, wake, traffic, recorder)


def _recorder(name: str, config: Config, *, traffic: Traffic, stores: _Stores, clock: Clock) -> Recorder | None:
    board = config.boards[name]
    if board.record_bytes is None:
        return None
    return Recorder(
        traffic,
        config.state_dir / RECORDINGS / name,
        header=Header(name, board.port, gateway=__version__),
        keep_bytes=board.record_bytes,
        describe=partial(_description, stores, name),
        clock=clock,
    )


def _description(stores: _Stores, board: str) -> Description | None:
    """What a board last said of itself, as it said it."""
    schema = stores.latest.snapshot(board).status.schema
    records = None if schema is None else stores.schemas.get(schema.sketch.schema_hash)
    if schema is None or records is None:
        return None
    record = BoardRecord(schema.model, schema.sketch.name, schema.sketch.version, schema.unique_id)
    return Description(record.to_bytes(), len(schema.channels), len(schema.actions), records)


def _settings(name: str, board: BoardConfig) -> BoardSettings:
    return BoardSettings(
        name=name,
        port=board.port,
        baud=board.baud,
        mode=Mode(board.mode),
        poll_interval_s=board.poll_interval_s,
        failsafe_after_s=board.failsafe_after_s,
        failsafe_latch=board.failsafe_latch,
        link_timeout_s=board.link_timeout_s,
        settle_within_s=board.settle_within_s,
        on_connect=tuple(_request(command) for command in board.on_connect),
    )


def wanted_boards(config: Config) -> list[Wanted]:
    """What ports are to be found for."""
    return [Wanted(name, board.port, _match(board)) for name, board in config.boards.items()]


def _match(board: BoardConfig) -> Match:
    if board.match is None:
        return Match()
    return Match(board.match.board_id, usb_serial=board.match.usb_serial, location=board.match.location)


def _request(command: OnConnectConfig) -> CommandRequest:
    return CommandRequest(
        channel=command.channel,
        value=command.value,
        action=command.action,
        arguments=command.arguments or {},
        hold_ms=round((command.hold_s or 0.0) * 1000),
    )


def _summary(latest: Latest) -> str:
    """How many boards serve, and which do not, in one line."""
    statuses = [latest.snapshot(board).status for board in latest.boards()]
    missing = [
        f"{status.board} {status.state}" + (f" ({status.reason})" if status.reason else "")
        for status in statuses
        if status.state not in SERVING
    ]
    return ", ".join([f"{len(statuses) - len(missing)} of {len(statuses)} boards online", *missing])


def _private(directory: Path) -> Path:
    """Makes the directory, for its owner only, where it is not there yet. Raises StartError."""
    try:
        directory.mkdir(mode=STATE_DIR_MODE, parents=True, exist_ok=True)
    except OSError as error:
        raise StartError(f"can't make state_dir {directory}: {error.strerror or error}") from error
    return directory
