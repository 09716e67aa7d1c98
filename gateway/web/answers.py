"""How answers are written: JSON in one form, times as RFC 3339. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil

from flask import Response

from gateway.web.problems import status_line, to_json

JSON = "application/json"
TEXT = "text/plain"
_ALWAYS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def json_answer(document: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, not to be cached unless `headers` say otherwise."""
    return Response(to_json(document), status_line(status), {**_ALWAYS, **(headers or {})}, content_type=JSON)


def text_answer(text: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """A line of plain text."""
    content_type = f"{TEXT}; charset=utf-8"
    return Response(f"{text}\n".encode(), status_line(200), {**_ALWAYS, **(headers or {})}, content_type=content_type)


def empty_answer(status: int, *, headers: Mapping[str, str]) -> Response:
    """An answer without a body, and so without a type of one."""
    response = Response(status=status_line(status), headers=headers)
    del response.headers["Content-Type"]  # Flask's default is text/html, even for no body
    return response


def rfc3339(time_s: float) -> str:
    """Unix time as `2026-01-02T03:04:05.678Z`."""
    return written(datetime.fromtimestamp(time_s, UTC))


def written(moment: datetime) -> str:
    """A moment in UTC in the same form. What is written so sorts as text."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def rfc3339_or_none(time_s: float | None) -> str | None:
    """As `rfc3339`; null for unknown."""
    return None if time_s is None else rfc3339(time_s)


def milliseconds(age_s: float | None) -> int | None:
    """Whole milliseconds, rounded up: an age never looks younger than it is."""
    return None if age_s is None else ceil(age_s * 1000)
