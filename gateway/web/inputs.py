"""What clients send, made into checked values or into a problem: JSON bodies, queries, preferences.

Whatever the bytes, the outcome is a value or a ProblemError: 400 for what is no JSON, 422 for what does not fit. Pure
but for reading the request's body.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from types import MappingProxyType
from typing import Annotated, Any, NoReturn, Self, TypeVar, get_args
from urllib.parse import parse_qsl

from flask import Request
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import ErrorDetails

from gateway import duration
from gateway.board.names import unknown
from gateway.web.problems import InputError, Kind, Problem, ProblemError, invalid

MAX_DEPTH = 16  # of arrays and objects in one another; no command needs more than 2
MAX_DIGITS = 309  # of an integer; larger ones are beyond a double
MAX_WAIT_S = 30.0
MAX_ERRORS = 20  # listed in one problem
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_IDEMPOTENCY_KEY = re.compile(r'"?([!#-+\--~]{1,255})"?')  # quoted as a structured field, or bare; no comma, no space

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


NO_ALTERNATIVE = "no_alternative"
"""The kind of fault, beside those of pydantic, of a body that is none of its alternatives; it brings its message."""

MESSAGES: Mapping[str, str] = MappingProxyType(
    {
        "missing": "missing",
        "model_type": "an object is expected",
        "dict_type": "an object is expected",
        "string_type": "must be text",
        "int_type": "must be a whole number",
        "greater_than_equal": "must be at least {ge}",
        "less_than_equal": "must be at most {le}",
        "literal_error": "must be {expected}",
        "too_long": "at most {max_length} are allowed",
        "value_error": "{error}",
    }
)
"""The kinds of fault that pydantic finds here, in our words."""


def _seconds(value: object) -> float:
    text = str(value)
    if _NUMBER.fullmatch(text):
        raise ValueError(f"needs a unit: write {text}s or {text}ms")
    return duration.parse(text)


def _since(value: object) -> float | datetime:
    text = str(value)
    if _NUMBER.fullmatch(text) or re.fullmatch(duration.PATTERN, text):
        return _seconds(text)
    if _RFC3339.fullmatch(text.replace(" ", "+")) and " " in text:
        raise ValueError("has a space where + was meant: in an address + is written %2B")
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text} is no date and time that there is") from None
    raise ValueError("must be a time such as 2026-01-02T03:04:05Z, or a duration such as 10m: that long ago")


def at_most(limit_s: float) -> Callable[[float], float]:
    """A validator of durations."""

    def check(value_s: float) -> float:
        if value_s > limit_s:
            raise ValueError(f"must be at most {duration.write(limit_s)}")
        return value_s

    return check


def at_least(limit_s: float) -> Callable[[float], float]:
    """A validator of durations."""

    def check(value_s: float) -> float:
        if value_s < limit_s:
            raise ValueError(f"must be at least {duration.write(limit_s)}")
        return value_s

    return check


def _whole(value: object) -> object:
    """JSON has one kind of number: 5000.0 is an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _decimal(value: object) -> int:
    if not re.fullmatch("[0-9]{1,9}", str(value)):
        raise ValueError("must be a whole number")
    return int(str(value))


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "string", "pattern": duration.PATTERN, "examples": ["500ms", "1.5s"]}),
]
"""A duration in a query: `500ms`, `1.5s`."""

Since = Annotated[
    float | datetime,
    BeforeValidator(_since),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"format": "date-time"}, {"pattern": duration.PATTERN}],
            "examples": ["10m", "2026-01-02T03:04:05.678Z"],
        }
    ),
]
"""From when on, in a query: a moment as RFC 3339 with its offset, as a time in UTC; or so many seconds ago."""

WaitSeconds = Annotated[Seconds, AfterValidator(at_most(MAX_WAIT_S))]
"""How long a request may wait for its command."""

Whole = Annotated[int, BeforeValidator(_whole)]
"""An integer in a body."""

Count = Annotated[int, BeforeValidator(_decimal)]
"""An integer in a query."""


class Input(BaseModel):
    """Unknown fields refused, nothing bent into another type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NoQuery(Input):
    """No query parameters at all."""


@dataclass(frozen=True, slots=True)
class Body:
    """What a route's body must be. `alternatives` are those of a tagged union, the fields of each by its tag."""

    adapter: TypeAdapter[Any]
    alternatives: Mapping[str, Sequence[str]]

    @classmethod
    def of(cls, annotation: Any) -> Self:
        """From Any or a tagged union of models."""
        return cls(TypeAdapter(annotation), MappingProxyType(dict(_alternatives(annotation))))


def read_query(model: type[Model], request: Request) -> Model:
    """The query as a checked value; raises a 422 problem with everything wrong with it."""
    pairs = parse_qsl(request.query_string.decode("latin-1"), keep_blank_values=True) if request.query_string else []
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise invalid([InputError(("query", name), "given more than once") for name in values if names.count(name) > 1])
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _refused(
            error,
            "query",
            _Words("query parameter", [field.alias or name for name, field in model.model_fields.items()]),
        ) from None


def read_body(body: Body, request: Request) -> Any:
    """The JSON body as a checked value; raises a 400 or a 422 problem."""
    document = parse_json(request.get_data(cache=False))
    try:
        return body.adapter.validate_python(document)
    except ValidationError as error:
        fields = list(dict.fromkeys(name for fields in body.alternatives.values() for name in fields))
        raise _refused(error, "body", _Words("field", fields, body.alternatives)) from None


def preferred_wait_s(header: str) -> int | None:
    """The seconds in `Prefer: wait=2` (RFC 7240), cut to what the gateway grants; None for anything else, since a
    preference that is not understood is to be ignored."""
    match = re.search(r'(?:^|[,\s])wait\s*=\s*"?([0-9]{1,9})"?\s*(?:$|[,;])', header, re.IGNORECASE)
    return min(int(match[1]), int(MAX_WAIT_S)) if match else None


def idempotency_key(header: str | None) -> str | None:
    """What `Idempotency-Key` holds, quoted or bare; raises a 422 problem for what is no key."""
    if header is None:
        return None
    match = _IDEMPOTENCY_KEY.fullmatch(header.strip())
    if match is None:
        message = "must be 1 to 255 visible ASCII characters without comma or space, such as a UUID"
        raise invalid([InputError(("header", "Idempotency-Key"), message)])
    return match[1]


def parse_json(data: bytes) -> object:
    """One JSON document. Refuses, as a 400 problem, what Python's parser would let pass: NaN, numbers beyond a double,
    a key given twice, half a surrogate pair, and nesting that would exhaust the stack later."""
    if not data.strip():
        raise _bad_json("the body is empty; a JSON document is expected")
    try:
        document = json.loads(
            data.decode(),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_bounded,
            object_pairs_hook=_unique,
        )
        _check_tree(document)
    except UnicodeDecodeError as error:
        raise _bad_json(f"byte {error.start} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise _bad_json(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _bad_json(f"nested more than {MAX_DEPTH} deep") from None
    return document


def _bad_json(detail: str) -> ProblemError:
    return ProblemError(Problem(Kind.BAD_JSON, detail))


def _refuse_constant(text: str) -> NoReturn:
    raise _bad_json(f"{text} is no JSON; null stands for unknown")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _bad_json("a number is too large")
    return number


def _bounded(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise _bad_json("a number is too large")
    return int(text)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document: dict[str, object] = {}
    for key, value in pairs:
        if key in document:
            raise _bad_json(f"the key {json.dumps(key)} is given twice")
        document[key] = value
    return document


def _check_tree(document: object) -> None:
    level, depth = [document], 0
    while level:
        if depth == MAX_DEPTH and any(isinstance(node, dict | list) for node in level):
            raise _bad_json(f"nested more than {MAX_DEPTH} deep")
        if not all(_is_sound(node) for node in level if isinstance(node, str)):
            raise _bad_json("a string holds half a surrogate pair")
        level, depth = [child for parent in level for child in _children(parent)], depth + 1


def _children(node: object) -> Iterator[object]:
    if isinstance(node, dict):
        yield from node.keys()
        yield from node.values()
    elif isinstance(node, list):
        yield from node


def _is_sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refused(error: ValidationError, place: str, words: "_Words") -> ProblemError:
    found = (each for detail in error.errors(include_url=False) for each in words.say(detail))
    return invalid([InputError((place, *location), message) for location, message in islice(found, MAX_ERRORS)])


@dataclass(frozen=True, slots=True)
class _Words:
    """Tells pydantic's errors in the words of users. `kind` is what a name that can be given is called."""

    kind: str
    known: Sequence[str]
    alternatives: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def say(self, detail: ErrorDetails) -> Iterator[tuple[Location, str]]:
        """Where it is and what is wrong; several where a body is none of the alternatives."""
        tag, location = (detail["loc"][:1], detail["loc"][1:]) if self.alternatives else ((), detail["loc"])
        if detail["type"] == NO_ALTERNATIVE:
            yield location, detail["msg"]
            yield from (((name,), self._unknown(name)) for name in detail["input"] if name not in self.known)
        elif detail["type"] != "extra_forbidden":
            yield location, MESSAGES.get(detail["type"], "does not fit").format(**detail.get("ctx", {}))
        elif location[-1] in self.known:
            yield location, f"does not go with {' and '.join(self._own_fields(str(tag[0])))}"
        else:
            yield location, self._unknown(str(location[-1]))

    def _unknown(self, name: str) -> str:
        return unknown(self.kind, name, known=self.known)

    def _own_fields(self, tag: str) -> list[str]:
        """The fields that only this alternative has."""
        others = {name for other, names in self.alternatives.items() if other != tag for name in names}
        return [name for name in self.alternatives[tag] if name not in others]


def _alternatives(annotation: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Tag and fields of each part of `Annotated[Annotated[Model, Tag("a")] | ..., Discriminator(...)]`."""
    for union in get_args(annotation)[:1]:
        for part in get_args(union):
            model, tag = get_args(part)
            yield tag.tag, tuple(model.model_fields)
