"""The gateway and its boards: info, board resources, log, SAFE and CLEAR, health, and what problems mean."""

from concurrent.futures import Future
from dataclasses import asdict

from flask import Request, Response

from gateway.board.names import unknown
from gateway.errors import BoardOffline
from gateway.model import BoardState, BoardStatus, BoardVitals, ClockEstimate, LogEntry, Schema
from gateway.web.answers import json_answer, rfc3339
from gateway.web.problems import RETRY_OFFLINE_S, Kind, Problem, ProblemError, retry_after
from gateway.web.routing import Scope, route
from gateway.web.schemas import (
    BoardAnswer,
    BoardsAnswer,
    DiagnosisAnswer,
    HealthAnswer,
    InfoAnswer,
    LogAnswer,
    ProblemKindAnswer,
    ReadyAnswer,
    Release,
)
from gateway.web.services import Services

CONFIRM_S = 5.0  # for the board to confirm SAFE or CLEAR; a lost link is found out within 2 s by default
_READY = (BoardState.ONLINE, BoardState.DEGRADED)
_AWAY_ON_PURPOSE = (BoardState.RELEASED, BoardState.FLASHING)


@route(
    "GET",
    "/api/v1/info",
    summary="Version, start time and features of the gateway",
    scope=Scope.READ,
    answers={200: InfoAnswer},
)
def info(services: Services, _request: Request) -> Response:
    """`start_id` tells one life of the gateway from the next."""
    return json_answer(
        {
            "version": services.version,
            "start_id": services.start_id,
            "started_at": rfc3339(services.started_at),
            "features": list(services.features),
        }
    )


@route(
    "GET",
    "/api/v1/boards",
    summary="All boards",
    scope=Scope.READ,
    answers={200: BoardsAnswer},
)
def boards(services: Services, _request: Request) -> Response:
    """In the order of the configuration."""
    statuses = [services.snapshot(name).status for name in services.latest.boards()]
    return json_answer({"items": [_board_document(status) for status in statuses], "next_cursor": None})


@route(
    "GET",
    "/api/v1/boards/{board}",
    summary="One board: link state, identity, sketch, failsafe, counters",
    scope=Scope.READ,
    answers={200: BoardAnswer},
    problems=(Kind.UNKNOWN_BOARD,),
)
def one_board(services: Services, _request: Request, *, board: str) -> Response:
    """As it stands now."""
    return json_answer(_board_document(services.snapshot(board).status))


@route(
    "POST",
    "/api/v1/boards/{board}/safe",
    summary="All outputs to their safe values now, past every queue; no body needed",
    scope=Scope.COMMAND,
    answers={200: BoardAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.BOARD_OFFLINE),
)
def safe(services: Services, _request: Request, *, board: str) -> Response:
    """Answers once the board confirmed; the outputs stay latched until `clear`."""
    services.queue(board).safe(timeout_s=CONFIRM_S)
    return json_answer(_board_document(services.snapshot(board).status))


@route(
    "POST",
    "/api/v1/boards/{board}/clear",
    summary="Leave the failsafe; no body needed",
    scope=Scope.COMMAND,
    answers={200: BoardAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.BOARD_OFFLINE, Kind.JOURNAL_FAILED),
)
def clear(services: Services, _request: Request, *, board: str) -> Response:
    """Answers once the board confirmed. Nothing moves before a new command; those of `on_connect` that waited come at
    once."""
    services.queue(board).clear(timeout_s=CONFIRM_S)
    return json_answer(_board_document(services.snapshot(board).status))


@route(
    "POST",
    "/api/v1/boards/{board}/release",
    summary="Let go of the board's port, for an upload by another program; no body needed",
    scope=Scope.ADMIN,
    answers={200: BoardAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.BOARD_OFFLINE),
    query=Release,
)
def release(services: Services, _request: Request, *, board: str, query: Release) -> Response:
    """Answers once the port is closed. Commands get 409 until it is taken back; those that are queued wait."""
    closed = services.absence(board).begin(BoardState(query.state), for_s=query.for_s)
    return _once_done(services, board, closed, what="let go of its port")


@route(
    "POST",
    "/api/v1/boards/{board}/resume",
    summary="Take the board's port back; no body needed",
    scope=Scope.ADMIN,
    answers={200: BoardAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.BOARD_OFFLINE),
)
def resume(services: Services, _request: Request, *, board: str) -> Response:
    """Answers once the board thread sets out to connect."""
    return _once_done(services, board, services.absence(board).end(), what="take its port back")


@route(
    "GET",
    "/api/v1/boards/{board}/log",
    summary="What the board printed and what befell its link, the last 500 entries",
    scope=Scope.READ,
    answers={200: LogAnswer},
    problems=(Kind.UNKNOWN_BOARD,),
)
def log(services: Services, _request: Request, *, board: str) -> Response:
    """Oldest first."""
    services.snapshot(board)
    return json_answer({"items": [_entry_document(entry) for entry in services.latest.log(board)], "next_cursor": None})


@route(
    "GET",
    "/api/v1/boards/{board}/diagnosis",
    summary="What is wrong with a board, what that means, and the command that mends it",
    scope=Scope.READ,
    answers={200: DiagnosisAnswer},
    problems=(Kind.UNKNOWN_BOARD,),
)
def diagnosis(services: Services, _request: Request, *, board: str) -> Response:
    """Worst first; looks at what is known, and disturbs neither board nor port."""
    found = services.diagnose(services.snapshot(board).status)
    return json_answer({**asdict(found), "healthy": found.healthy})


@route(
    "GET",
    "/healthz",
    summary="The process is alive; depends on no board",
    scope=Scope.NONE,
    answers={200: HealthAnswer},
)
def healthz(_services: Services, _request: Request) -> Response:
    """For supervisors."""
    return json_answer({"status": "ok"})


@route(
    "GET",
    "/readyz",
    summary="Every board that is not released or flashing is online or degraded",
    scope=Scope.READ,
    answers={200: ReadyAnswer},
    problems=(Kind.NOT_READY,),
)
def readyz(services: Services, _request: Request) -> Response:
    """The problem names the boards that are not."""
    statuses = [services.snapshot(name).status for name in services.latest.boards()]
    missing = [status for status in statuses if status.state not in (*_READY, *_AWAY_ON_PURPOSE)]
    if missing:
        detail = "; ".join(_whereabouts(status) for status in missing)
        raise ProblemError(Problem(Kind.NOT_READY, detail, headers=retry_after(RETRY_OFFLINE_S)))
    return json_answer({"status": "ready", "boards": {status.board: status.state for status in statuses}})


@route(
    "GET",
    "/problems/{code}",
    summary="What a problem's `type` means",
    scope=Scope.NONE,
    answers={200: ProblemKindAnswer},
    problems=(Kind.NOT_FOUND,),
)
def problem_kind(_services: Services, _request: Request, *, code: str) -> Response:
    """The page behind the address in `type`."""
    kinds = {kind.code: kind for kind in Kind}
    kind = kinds.get(code)
    if kind is None:
        raise ProblemError(Problem(Kind.NOT_FOUND, unknown("problem", code, known=kinds)))
    return json_answer({"type": kind.uri, "title": kind.title, "status": kind.status, "detail": kind.meaning})


def _once_done(services: Services, board: str, done: Future[None], *, what: str) -> Response:
    try:
        done.result(CONFIRM_S)
    except TimeoutError:
        raise BoardOffline(f"board {board} did not {what} within {CONFIRM_S:g} s; try again") from None
    return json_answer(_board_document(services.snapshot(board).status))


def _board_document(status: BoardStatus) -> dict[str, object]:
    schema = status.schema
    return {
        "name": status.board,
        "virtual": status.virtual,
        "state": status.state,
        "reason": status.reason,
        "detail": status.detail,
        "mode": status.mode,
        "port": status.port,
        "model": schema.model if schema else None,
        "board_id": (schema.unique_id or None) if schema else None,
        "sketch": _sketch_document(schema) if schema else None,
        "failsafe": {"latched": status.failsafe is not None, "cause": status.failsafe},
        "resets": status.resets,
        "round_trip_ms": None if status.round_trip_s is None else round(status.round_trip_s * 1000, 3),
        "clock": _clock_document(status.clock) if status.clock else None,
        "vitals": _vitals_document(status.vitals) if status.vitals else None,
        "counters": dict(status.counters),
    }


def _sketch_document(schema: Schema) -> dict[str, object]:
    sketch = schema.sketch
    return {"name": sketch.name, "version": sketch.version, "schema": f"{sketch.schema_hash:08x}"}


def _clock_document(clock: ClockEstimate) -> dict[str, object]:
    return {
        "rate_ppm": round(clock.rate_ppm, 1),
        "rate_error_ppm": round(clock.rate_error_ppm, 1),
        "error_ms": round(clock.error_s * 1000, 3),
    }


def _vitals_document(vitals: BoardVitals) -> dict[str, object]:
    return {
        "frames_received": vitals.frames_received,
        "frames_rejected": vitals.frames_rejected,
        "overruns": vitals.overruns,
        "loop_max_ms": round(vitals.loop_max_s * 1000, 3),
        "free_ram": vitals.free_ram,
    }


def _entry_document(entry: LogEntry) -> dict[str, object]:
    return {"time": rfc3339(entry.time_s), "kind": entry.kind, "message": entry.message}


def _whereabouts(status: BoardStatus) -> str:
    reason = f" ({status.reason})" if status.reason else ""
    return f"board {status.board} is {status.state}{reason}"
