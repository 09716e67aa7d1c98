"""What passes on a board's link, and the board's own description: raw, for monitors and recorders."""

from flask import Request, Response

from gateway.link.tap import Trace, TraceKind
from gateway.link.traffic import Page, Traffic
from gateway.web.answers import json_answer, rfc3339
from gateway.web.environ import CLOSING
from gateway.web.problems import RETRY_OFFLINE_S, Kind, Problem, ProblemError, retry_after
from gateway.web.routing import Scope, route
from gateway.web.schemas import DescriptionAnswer, Passed, TrafficAnswer
from gateway.web.services import Services

CLOSING_CHECK_S = 0.2  # how often a waiting view looks whether the server is about to stop
_BYTES = (TraceKind.SENT, TraceKind.RECEIVED)


@route(
    "GET",
    "/api/v1/boards/{board}/traffic",
    summary="The bytes that passed on a board's link, both ways, with their times; the newest few minutes",
    scope=Scope.ADMIN,
    answers={200: TrafficAnswer},
    problems=(Kind.UNKNOWN_BOARD,),
    query=Passed,
)
def traffic(services: Services, request: Request, *, board: str, query: Passed) -> Response:
    """Ask again with `?after=` the `next_after` of the answer before."""
    status = services.snapshot(board).status
    page = _page(services, request, services.traffic[board], query)
    return json_answer(
        {
            "board": board,
            "virtual": status.virtual,
            "items": [_trace_document(trace) for trace in page.traces],
            "next_after": page.next_after,
            "missed": page.missed,
        }
    )


@route(
    "GET",
    "/api/v1/boards/{board}/description",
    summary="What a board said of itself, as it came over its link",
    scope=Scope.READ,
    answers={200: DescriptionAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.SCHEMA_UNKNOWN),
)
def description(services: Services, _request: Request, *, board: str) -> Response:
    """For who decodes its link; everyone else wants `channels` and `actions`."""
    status = services.snapshot(board).status
    found = services.describe(board)
    if found is None:
        detail = f"what it offers is not known yet: board {board} is {status.state}"
        raise ProblemError(Problem(Kind.SCHEMA_UNKNOWN, detail, headers=retry_after(RETRY_OFFLINE_S)))
    return json_answer(
        {
            "board": found.board.hex(),
            "channels": found.channels,
            "actions": found.actions,
            "records": [record.hex() for record in found.records],
        }
    )


def _page(services: Services, request: Request, passing: Traffic, query: Passed) -> Page:
    """At most half the workers wait; whoever comes besides is answered at once."""
    if not query.wait or not services.waiting.acquire(blocking=False):
        return passing.after(query.after, limit=query.limit)
    try:
        closing = request.environ.get(CLOSING, bool)
        deadline_s = services.clock.monotonic() + query.wait
        while True:
            left_s = deadline_s - services.clock.monotonic()
            page = passing.after(query.after, limit=query.limit, wait_s=max(0.0, min(left_s, CLOSING_CHECK_S)))
            if page.traces or left_s <= 0 or closing():
                return page
    finally:
        services.waiting.release()


def _trace_document(trace: Trace) -> dict[str, object]:
    is_bytes = trace.kind in _BYTES
    return {
        "kind": trace.kind,
        "time": rfc3339(trace.time_s),
        "monotonic_us": round(trace.monotonic_s * 1e6),
        "bytes": trace.data.hex() if is_bytes else None,
        "text": None if is_bytes else trace.text,
    }
