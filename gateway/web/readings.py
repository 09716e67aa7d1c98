"""Readings: the snapshot of a board, one reading, its bare value, and its recent samples.

Nothing here may look fresher than it is: age and quality are worked out at the moment of the request, and an answer
that can't carry them (a bare value) is given for a reading fit for use only.
"""

from datetime import datetime

from flask import Request, Response

from gateway.board.names import unknown
from gateway.errors import UnknownTarget
from gateway.model import Quality, Sample, Schema, Value
from gateway.store.history import History
from gateway.store.latest import Reading, Snapshot
from gateway.web.answers import (
    JSON,
    TEXT,
    empty_answer,
    json_answer,
    milliseconds,
    rfc3339,
    rfc3339_or_none,
    text_answer,
    written,
)
from gateway.web.offers import known_schema
from gateway.web.problems import RETRY_SOON_S, Kind, Problem, ProblemError, retry_after
from gateway.web.routing import Scope, route
from gateway.web.schemas import HistoryAnswer, MaxAge, OneReadingAnswer, Recent, Scalar, SnapshotAnswer
from gateway.web.services import Services

_ONE_READING_PROBLEMS = (Kind.UNKNOWN_BOARD, Kind.UNKNOWN_TARGET, Kind.SCHEMA_UNKNOWN, Kind.READING_UNFIT)
MILLISECOND_S = 0.001  # of which times are written in whole ones, cut
NEVER_SAMPLED = Reading(value=None, unit="", quality=Quality.BAD, time_s=None, age_s=None)


@route(
    "GET",
    "/api/v1/boards/{board}/readings",
    summary="All readings of a board, one snapshot; answers If-None-Match with 304",
    scope=Scope.READ,
    answers={200: SnapshotAnswer, 304: None},
    problems=(Kind.UNKNOWN_BOARD,),
)
def readings(services: Services, request: Request, *, board: str) -> Response:
    """The tag changes with every value and every quality; `age_ms` is no part of it."""
    snapshot = services.snapshot(board)
    now_s = services.clock.monotonic()
    tag = f"{services.start_id}-{snapshot.sequence}-{snapshot.generation(now_s)}"
    headers = {"ETag": f'W/"{tag}"', "Cache-Control": "no-cache"}
    if request.if_none_match.contains_weak(tag):
        return empty_answer(304, headers=headers)
    return json_answer(_snapshot_document(snapshot, now_s), headers=headers)


@route(
    "GET",
    "/api/v1/boards/{board}/readings/{channel}",
    summary="One reading; as text/plain its bare value",
    scope=Scope.READ,
    answers={200: OneReadingAnswer},
    problems=_ONE_READING_PROBLEMS,
    query=MaxAge,
)
def one_reading(services: Services, request: Request, *, board: str, channel: str, query: MaxAge) -> Response:
    """As text a reading must be fit for use, as JSON only where `max_age` asks for that."""
    snapshot = services.snapshot(board)
    reading = _find(snapshot, channel, services.clock.monotonic())
    headers = {"Vary": "Accept"}
    if request.accept_mimetypes.best_match((JSON, TEXT)) == TEXT:
        return text_answer(_as_text(_fit_value(reading, channel, query)), headers=headers)
    if query.max_age is not None:
        _fit_value(reading, channel, query)
    name = {"board": board, "virtual": snapshot.status.virtual, "channel": channel}
    return json_answer(name | _reading_document(reading, rfc3339_or_none(reading.time_s)), headers=headers)


@route(
    "GET",
    "/api/v1/boards/{board}/readings/{channel}/history",
    summary="Recent samples of a channel, oldest first",
    scope=Scope.READ,
    answers={200: HistoryAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.UNKNOWN_TARGET, Kind.SCHEMA_UNKNOWN),
    query=Recent,
)
def recent_samples(services: Services, _request: Request, *, board: str, channel: str, query: Recent) -> Response:
    """The samples of this schema's history; the next schema begins another one."""
    snapshot = services.snapshot(board)
    now_s = services.clock.monotonic()
    unit = _find(snapshot, channel, now_s).unit
    items = _items(snapshot.history, channel, since=query.since, now_s=now_s)
    return json_answer(
        {
            "board": board,
            "virtual": snapshot.status.virtual,
            "channel": channel,
            "unit": unit,
            "items": items[-query.limit :],
            "next_cursor": None,
        }
    )


@route(
    "GET",
    "/api/v1/boards/{board}/channels/{channel}/value",
    summary="The bare JSON value of a reading fit for use",
    scope=Scope.READ,
    answers={200: Scalar},
    problems=_ONE_READING_PROBLEMS,
    query=MaxAge,
)
def channel_value(services: Services, _request: Request, *, board: str, channel: str, query: MaxAge) -> Response:
    """Twin of the PUT at the same address."""
    reading = _find(services.snapshot(board), channel, services.clock.monotonic())
    return json_answer(_fit_value(reading, channel, query))


def _snapshot_document(snapshot: Snapshot, now_s: float) -> dict[str, object]:
    found = snapshot.readings(now_s)
    oldest = max(found.values(), key=lambda reading: reading.age_s or 0.0, default=NEVER_SAMPLED)
    # Readings of one poll share their time, and writing a time is dear.
    times = {time_s: rfc3339_or_none(time_s) for time_s in {reading.time_s for reading in found.values()}}
    return {
        "board": snapshot.status.board,
        "virtual": snapshot.status.virtual,
        "state": snapshot.status.state,
        "sequence": snapshot.sequence,
        "sampled_at": rfc3339_or_none(oldest.time_s),
        "age_ms": milliseconds(oldest.age_s),
        "readings": {name: _reading_document(reading, times[reading.time_s]) for name, reading in found.items()},
    }


def _reading_document(reading: Reading, sampled_at: str | None) -> dict[str, object]:
    return {
        "value": reading.value,
        "unit": reading.unit,
        "quality": reading.quality,
        "sampled_at": sampled_at,
        "age_ms": milliseconds(reading.age_s),
    }


def _find(snapshot: Snapshot, channel: str, now_s: float) -> Reading:
    schema = known_schema(snapshot)
    reading = snapshot.readings(now_s).get(channel)
    if reading is None:
        raise UnknownTarget(_no_reading(schema, channel))
    return reading


def _no_reading(schema: Schema, channel: str) -> str:
    if schema.channel(channel):
        return f"channel {channel} is an output that the board can't read back"
    return unknown("reading", channel, known=[each.name for each in schema.channels if each.readable])


def _fit_value(reading: Reading, channel: str, query: MaxAge) -> Value:
    """The value, if it is good, or no older than `max_age` where that is given; else raises the 503 that says why."""
    if reading.value is None or reading.age_s is None:
        detail = f"{channel} has no value: never sampled, or the board gave none in its declared range"
    elif query.max_age is not None and reading.age_s > query.max_age:
        detail = f"{channel} was sampled {reading.age_s:.3f} s ago, max_age is {query.max_age:g} s"
    elif query.max_age is None and reading.quality is not Quality.GOOD:
        detail = f"{channel} is stale, sampled {reading.age_s:.3f} s ago; with ?max_age= you may take it all the same"
    else:
        return reading.value
    raise ProblemError(Problem(Kind.READING_UNFIT, detail, headers=retry_after(RETRY_SOON_S)))


def _items(history: History, channel: str, *, since: float | datetime | None, now_s: float) -> list[dict[str, object]]:
    """A time is compared as it is written, in milliseconds, so that the `sampled_at` of the last item that a client
    has asks for exactly those that it has not."""
    if isinstance(since, datetime):
        after = written(since)
        near = history.samples(channel, after_time_s=since.timestamp() - MILLISECOND_S)
        return [_item(sample) for sample in near if rfc3339(sample.time_s) > after]
    after_s = float("-inf") if since is None else now_s - since
    return [_item(sample) for sample in history.samples(channel, after_s=after_s)]


def _item(sample: Sample) -> dict[str, object]:
    return {"sampled_at": rfc3339(sample.time_s), "value": sample.value}


def _as_text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
