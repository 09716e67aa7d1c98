"""The WSGI application: declared routes on Flask, one table of error answers, the guard in front.

Runs in the worker threads and keeps nothing between requests. Makes no decision about boards.
"""

import logging
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from gateway.errors import GatewayError
from gateway.web import boards, commands, offers, readings, traffic
from gateway.web.answers import empty_answer
from gateway.web.guard import Guard
from gateway.web.problems import Kind, Problem, ProblemError, problem_of
from gateway.web.routing import Route, routes_in
from gateway.web.services import Services

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

__all__ = ["ROUTES", "Services", "create_app"]

API = "/api/v1"
MAX_GUESSED = 200  # characters of an address that is no route; comparing takes time by the square

ROUTES: tuple[Route, ...] = routes_in((boards, readings, offers, commands, traffic))
"""Every route, as declared."""

logger = logging.getLogger(__name__)


def create_app(services: Services, *, allowed_hosts: Sequence[str]) -> "WSGIApplication":
    """The application with its guard; `allowed_hosts` are names beside those this machine has anyway."""
    app = _App("gateway", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False  # it would answer with a redirect to text/html
    for route in ROUTES:
        app.add_url_rule(
            route.flask_rule,
            endpoint=f"{route.method} {route.path}",
            view_func=_view(route, services),
            methods=[route.method],
        )
    app.register_error_handler(Exception, _error_answer)
    bodiless = re.compile("|".join(route.pattern for route in ROUTES if route.writes and route.body is None))
    return Guard(app, allowed_hosts=allowed_hosts, bodiless=lambda path: bool(bodiless.fullmatch(path)))


class _App(Flask):
    def make_default_options_response(self) -> Response:
        """OPTIONS: what may be done here, and nothing more; no other site is let in by it."""
        adapter = request_ctx.url_adapter
        assert adapter is not None, "the request was routed"
        return empty_answer(204, headers={"Allow": ", ".join(sorted(adapter.allowed_methods()))})


def _view(route: Route, services: Services) -> Callable[..., Response]:
    def view(**parameters: str) -> Response:
        return route.answer(services, request, parameters)

    return view


def _error_answer(error: Exception) -> Response:
    problem = _problem(error)
    body = problem.body()
    return Response(body, problem.kind.status_line, problem.all_headers(body))


def _problem(error: Exception) -> Problem:
    match error:
        case ProblemError():
            return error.problem
        case GatewayError() if problem := problem_of(error):
            return problem
        case MethodNotAllowed():
            allow = ", ".join(sorted(error.valid_methods or ()))
            detail = f"{request.method} can't be done here; there are {allow}"
            return Problem(Kind.METHOD_NOT_ALLOWED, detail, headers={"Allow": allow})
        case NotFound():
            return Problem(Kind.NOT_FOUND, f'nothing is served at "{request.path}"; {_signpost(request.path)}')
        case HTTPException():
            return Problem(Kind.BAD_REQUEST, error.description or Kind.BAD_REQUEST.meaning)
        case _:
            logger.error("%s %r failed", request.method, request.path, exc_info=error)
            return Problem(Kind.INTERNAL, Kind.INTERNAL.meaning)


def _signpost(path: str) -> str:
    """The address that was meant, with the names that were given in it; else where to start."""
    asked = re.sub("/+", "/", path).rstrip("/").removeprefix(API)
    if len(asked) <= MAX_GUESSED:
        addresses = dict(_like(asked, route.path) for route in ROUTES)
        if near := get_close_matches(asked, addresses, n=1):
            return f"did you mean {addresses[near[0]]}?"
    return f"start at {API}/boards or {API}/info"


def _like(asked: str, template: str) -> tuple[str, str]:
    """A route's address with what the asked one has in place of its parameters: as it compares, and in full."""
    prefix = API if template.startswith(API) else ""
    given = asked.split("/")
    parts = template.removeprefix(prefix).split("/")
    filled = "/".join(given[at] if part.startswith("{") and at < len(given) else part for at, part in enumerate(parts))
    return filled, prefix + filled
