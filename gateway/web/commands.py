"""Commands: put one, wait for its end, look at it, take it back. The board's queue decides what fits the board."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import ceil
from types import MappingProxyType
from typing import Any

from flask import Request, Response

from gateway.board.commands import CommandQueue, CommandRequest
from gateway.errors import InvalidCommand, KeyTaken, UnknownCommand
from gateway.model import Command, CommandState, IdempotencyKey
from gateway.web.answers import json_answer, rfc3339, rfc3339_or_none
from gateway.web.environ import CLOSING
from gateway.web.inputs import idempotency_key, preferred_wait_s
from gateway.web.problems import InputError, Kind, invalid
from gateway.web.routing import Scope, route
from gateway.web.schemas import (
    CommandAnswer,
    CommandBody,
    CommandsAnswer,
    Page,
    RunCommand,
    Wait,
    Write,
    WriteCommand,
)
from gateway.web.services import Services

ANONYMOUS = "anonymous"  # whose keys those of clients without a name are
CLOSING_CHECK_S = 0.2  # how often a waiting view looks whether the server is about to stop

_SUBMIT_PROBLEMS = (
    Kind.UNKNOWN_BOARD,
    Kind.UNKNOWN_TARGET,
    Kind.WRONG_STATE,
    Kind.NOT_WRITABLE,
    Kind.KEY_REUSED,
    Kind.QUEUE_FULL,
    Kind.BOARD_OFFLINE,
    Kind.JOURNAL_FAILED,
)

PLACES: Mapping[tuple[str | int, ...], tuple[str, ...]] = MappingProxyType(
    {("value",): ("body",), ("hold_ms",): ("query", "hold")}
)
"""Where a PUT has what a POST's body would have."""


@route(
    "POST",
    "/api/v1/boards/{board}/commands",
    summary="Write an output or run an action; 202 at once, 200 with the end when asked to wait for it",
    scope=Scope.COMMAND,
    answers={200: CommandAnswer, 202: CommandAnswer},
    problems=_SUBMIT_PROBLEMS,
    query=Wait,
    body=CommandBody,
)
def submit(
    services: Services, request: Request, *, board: str, query: Wait, body: WriteCommand | RunCommand
) -> Response:
    """`Prefer: wait=2` does the same as `?wait=2s`. Sent again under the same `Idempotency-Key`, it gives the same
    command back."""
    command, headers = _command_of(services.queue(board), _request_of(body), request)
    return _submitted(services, request, command, query.wait, headers)


@route(
    "PUT",
    "/api/v1/boards/{board}/channels/{channel}/value",
    summary="Write an output with a bare JSON value; a command like any other",
    scope=Scope.COMMAND,
    answers={200: CommandAnswer, 202: CommandAnswer},
    problems=_SUBMIT_PROBLEMS,
    query=Write,
    body=Any,
)
def put_value(
    services: Services, request: Request, *, board: str, channel: str, query: Write, body: object
) -> Response:
    """Answered as POST is."""
    hold_ms = ceil((query.hold or 0.0) * 1000)  # up: a hold that rounds to 0 would be none at all
    asked = CommandRequest(channel=channel, value=body, hold_ms=hold_ms)
    try:
        command, headers = _command_of(services.queue(board), asked, request)
    except InvalidCommand as error:
        faults = [InputError(PLACES[fault.location], fault.message.removeprefix("hold_ms: ")) for fault in error.faults]
        raise invalid(faults) from None
    return _submitted(services, request, command, query.wait, headers)


@route(
    "GET",
    "/api/v1/boards/{board}/commands",
    summary="The commands of a board, queued, under way and ended, newest first",
    scope=Scope.READ,
    answers={200: CommandsAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.JOURNAL_FAILED),
    query=Page,
)
def commands(services: Services, _request: Request, *, board: str, query: Page) -> Response:
    """Page by page: `next_cursor` is null on the last."""
    services.snapshot(board)
    page, cursor = services.journal.page(board, before=query.cursor, limit=query.limit, states=query.state)
    return json_answer({"items": [_document(command) for command in page], "next_cursor": cursor})


@route(
    "GET",
    "/api/v1/commands/{command_id}",
    summary="One command as it stands",
    scope=Scope.READ,
    answers={200: CommandAnswer},
    problems=(Kind.UNKNOWN_COMMAND, Kind.JOURNAL_FAILED),
)
def one_command(services: Services, _request: Request, *, command_id: str) -> Response:
    """Ids are unique over all boards."""
    return json_answer(_document(_find(services, command_id)))


@route(
    "DELETE",
    "/api/v1/commands/{command_id}",
    summary="Take a queued command back; again: the same answer",
    scope=Scope.COMMAND,
    answers={200: CommandAnswer},
    problems=(Kind.UNKNOWN_BOARD, Kind.UNKNOWN_COMMAND, Kind.WRONG_STATE, Kind.JOURNAL_FAILED),
)
def cancel(services: Services, _request: Request, *, command_id: str) -> Response:
    """A command that was sent can't be taken back."""
    command = _find(services, command_id)
    if command.state is CommandState.CANCELLED:
        return json_answer(_document(command))
    return json_answer(_document(services.queue(command.board).cancel(command_id)))


def _request_of(body: WriteCommand | RunCommand) -> CommandRequest:
    if isinstance(body, WriteCommand):
        asked = CommandRequest(channel=body.channel, value=body.value)
    else:
        asked = CommandRequest(action=body.action, arguments=body.arguments)
    waits_offline = body.when_offline == "queue"
    return replace(asked, hold_ms=body.hold_ms, expires_in_ms=body.expires_in_ms, waits_offline=waits_offline)


def _command_of(queue: CommandQueue, asked: CommandRequest, request: Request) -> tuple[Command, dict[str, str]]:
    """The command that this request brings, or brought before under the same key, and what its answer tells of that."""
    text = idempotency_key(request.headers.get("Idempotency-Key"))
    if text is None:
        return queue.submit(asked), {}
    key = IdempotencyKey(ANONYMOUS, text, _fingerprint(queue.board, asked))
    command = queue.former(key)
    if command is None:
        try:
            return queue.submit(replace(asked, key=key)), {}
        except KeyTaken:  # the same request came in twice at once
            command = queue.former(key)
            assert command is not None, "a key that is taken has a command"
    return command, {"Idempotent-Replayed": "true"}


def _fingerprint(board: str, asked: CommandRequest) -> str:
    """The same for the same request, whatever the order of its keys."""
    return hashlib.sha256(json.dumps([board, asdict(asked)], sort_keys=True).encode()).hexdigest()


def _submitted(
    services: Services, request: Request, command: Command, wait_s: float | None, headers: dict[str, str]
) -> Response:
    """The command and where it can be found: 200 if it has ended, 202 if not yet."""
    headers["Location"] = f"/api/v1/commands/{command.id}"
    preferred_s = preferred_wait_s(request.headers.get("Prefer", "")) if wait_s is None else None
    granted_s = preferred_s if wait_s is None else wait_s
    if granted_s and services.waiting.acquire(blocking=False):
        try:
            command = _await_end(services, request, command, granted_s)
        finally:
            services.waiting.release()
        if preferred_s is not None:
            headers["Preference-Applied"] = f"wait={preferred_s}"
    return json_answer(_document(command), status=200 if command.state.final else 202, headers=headers)


def _await_end(services: Services, request: Request, command: Command, timeout_s: float) -> Command:
    """The command once it has ended, or as it stands when the time is over or the server is about to stop."""
    closing = request.environ.get(CLOSING, bool)
    deadline_s = services.clock.monotonic() + timeout_s
    while True:
        seen = services.journal.feed.sequence
        command = services.journal.get(command.id) or command
        left_s = deadline_s - services.clock.monotonic()
        if command.state.final or left_s <= 0 or closing():
            return command
        services.journal.feed.wait(after=seen, timeout_s=min(left_s, CLOSING_CHECK_S))


def _find(services: Services, command_id: str) -> Command:
    command = services.journal.get(command_id)
    if command is None:
        raise UnknownCommand(f'no command "{command_id}"')
    return command


def _document(command: Command) -> dict[str, object]:
    return {
        "id": command.id,
        "board": command.board,
        "virtual": command.virtual,
        **_asked(command),
        "hold_ms": command.hold_ms,
        "origin": command.origin,
        "state": command.state,
        "result": command.result,
        "error": {"code": command.error.code, "detail": command.error.detail} if command.error else None,
        "created_at": rfc3339(command.created_at),
        "sent_at": rfc3339_or_none(command.sent_at),
        "finished_at": rfc3339_or_none(command.finished_at),
        "expires_at": rfc3339(command.expires_at),
    }


def _asked(command: Command) -> dict[str, object]:
    if command.channel is not None:
        return {"channel": command.channel, "value": command.value}
    return {"action": command.action, "arguments": dict(command.arguments or {})}
