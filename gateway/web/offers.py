"""What a board offers: its channels and actions, each value and argument with its JSON Schema (2020-12)."""

from typing import Any

from flask import Request, Response

from gateway.model import Action, Argument, Channel, Schema, ValueType
from gateway.store.latest import Snapshot
from gateway.web.answers import json_answer
from gateway.web.problems import RETRY_OFFLINE_S, Kind, Problem, ProblemError, retry_after
from gateway.web.routing import Scope, route
from gateway.web.schemas import ActionsAnswer, ChannelsAnswer
from gateway.web.services import Services

INTEGER_RANGES = {
    ValueType.U8: (0, 2**8 - 1),
    ValueType.I8: (-(2**7), 2**7 - 1),
    ValueType.U16: (0, 2**16 - 1),
    ValueType.I16: (-(2**15), 2**15 - 1),
    ValueType.U32: (0, 2**32 - 1),
    ValueType.I32: (-(2**31), 2**31 - 1),
}
"""What a result of these types can be: results declare no range of their own."""


@route(
    "GET",
    "/api/v1/boards/{board}/channels",
    summary="What can be read and written, with the JSON Schema of each value",
    scope=Scope.READ,
    answers={200: ChannelsAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.SCHEMA_UNKNOWN),
)
def channels(services: Services, _request: Request, *, board: str) -> Response:
    """In the order of the sketch's table."""
    schema = known_schema(services.snapshot(board))
    return json_answer({"items": [_channel_document(channel) for channel in schema.channels], "next_cursor": None})


@route(
    "GET",
    "/api/v1/boards/{board}/actions",
    summary="What can be run, with the JSON Schema of arguments and result",
    scope=Scope.READ,
    answers={200: ActionsAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.SCHEMA_UNKNOWN),
)
def actions(services: Services, _request: Request, *, board: str) -> Response:
    """In the order of the sketch's table."""
    schema = known_schema(services.snapshot(board))
    return json_answer({"items": [_action_document(action) for action in schema.actions], "next_cursor": None})


def known_schema(snapshot: Snapshot) -> Schema:
    """The board's schema; raises a 503 problem while it is not known. Never 404: the name may well be right."""
    status = snapshot.status
    if status.schema is None:
        reason = f", {status.reason}" if status.reason else ""
        cure = f": {status.detail}" if status.detail else ""
        detail = f"what it offers is not known yet: board {status.board} is {status.state}{reason}{cure}"
        raise ProblemError(Problem(Kind.SCHEMA_UNKNOWN, detail, headers=retry_after(RETRY_OFFLINE_S)))
    return status.schema


def _channel_document(channel: Channel) -> dict[str, object]:
    return {
        "name": channel.name,
        "unit": channel.unit,
        "type": channel.type.name.lower(),
        "readable": channel.readable,
        "writable": channel.writable,
        "idempotent": channel.idempotent,
        "hold_required": channel.hold_required,
        "safe": channel.safe,
        "schema": value_schema(channel),
    }


def _action_document(action: Action) -> dict[str, object]:
    return {
        "name": action.name,
        "doc": action.doc,
        "arguments": {
            "type": "object",
            "properties": {argument.name: value_schema(argument) for argument in action.arguments},
            "required": [argument.name for argument in action.arguments],
            "additionalProperties": False,
        },
        "returns": _result_schema(action.returns),
    }


def value_schema(declared: Channel | Argument) -> dict[str, Any]:
    """The JSON Schema of a value that can be written or read; a reading may be null besides."""
    unit = {"unit": declared.unit} if declared.unit else {}
    match declared.type:
        case ValueType.BOOL:
            return {"type": "boolean", **unit}
        case ValueType.TEXT:
            description = f"at most {declared.maximum} bytes of UTF-8 without NUL"
            return {"type": "string", "maxLength": declared.maximum, "description": description, **unit}
        case _:
            limits = {"minimum": declared.minimum, "maximum": declared.maximum}
            return {**_number_schema(declared.type, declared.scale), **limits, **unit}


def _number_schema(value_type: ValueType, scale: int) -> dict[str, Any]:
    """Steps: powers of ten as the float nearest to them, 0.01 for a scale of -2."""
    if value_type is ValueType.F32:
        return {"type": "number"}
    if scale < 0:
        return {"type": "number", "multipleOf": float(f"1e{scale}")}
    return {"type": "integer", "multipleOf": 10**scale} if scale else {"type": "integer"}


def _result_schema(returns: ValueType) -> dict[str, Any] | None:
    match returns:
        case ValueType.NONE:
            return None
        case ValueType.BOOL:
            return {"type": "boolean"}
        case ValueType.TEXT:
            return {"type": "string"}
        case ValueType.F32:
            return {"type": "number"}
        case _:
            minimum, maximum = INTEGER_RANGES[returns]
            return {"type": "integer", "minimum": minimum, "maximum": maximum}
