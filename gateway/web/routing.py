"""One decorator declares a route: address, models, answers, problems and scope.

The declaration is the only place that knows them; Flask's rules, the guard's exceptions, the documentation and its test
all follow from it. Pure: declarations are immutable values, made at import.
"""

import enum
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType, ModuleType
from typing import Any

from flask import Request, Response
from pydantic import BaseModel

from gateway.web.inputs import Body, NoQuery, read_body, read_query
from gateway.web.problems import Kind
from gateway.web.services import Services

View = Callable[..., Response]
"""Called with services and request, then by name: what stands in the address, `query` and `body` where declared."""

PROBLEMS_OF_ALL = (
    Kind.BAD_REQUEST,
    Kind.TOO_LARGE,
    Kind.HOST_NOT_ALLOWED,
    Kind.HEADERS_TOO_LARGE,
    Kind.INTERNAL,
    Kind.NOT_IMPLEMENTED,
)
"""What any request can be answered with; 404 and 405 for an address or method that no route has come on top."""

_PARAMETER = re.compile(r"{(\w+)}")


class Scope(enum.StrEnum):
    """What a client must be allowed in order to use a route."""

    NONE = "none"
    READ = "read"
    COMMAND = "command"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Route:
    """One declared route. `answers` holds the model of each status that is no problem (None: no body); `problems` are
    those that this route adds to `PROBLEMS_OF_ALL`."""

    method: str
    path: str
    summary: str
    scope: Scope
    answers: Mapping[int, Any]
    problems: tuple[Kind, ...]
    query: type[BaseModel]
    body: Body | None
    view: View = field(repr=False)

    @property
    def flask_rule(self) -> str:
        """The address in Flask's notation."""
        return _PARAMETER.sub(r"<\1>", self.path)

    @property
    def pattern(self) -> str:
        """The address as a regular expression."""
        return _PARAMETER.sub("[^/]+", self.path)

    @property
    def writes(self) -> bool:
        """True where it changes something."""
        return self.method != "GET"

    def statuses(self) -> list[int]:
        """Every status it can answer with."""
        return sorted({*self.answers, *(kind.status for kind in (*self.problems, *PROBLEMS_OF_ALL))})

    def answer(self, services: Services, request: Request, parameters: Mapping[str, str]) -> Response:
        """Reads what the route declares from the request and calls its view."""
        inputs: dict[str, Any] = {}
        query = read_query(self.query, request)
        if self.query is not NoQuery:
            inputs["query"] = query
        if self.body is not None:
            inputs["body"] = read_body(self.body, request)
        return self.view(services, request, **parameters, **inputs)


def route(
    method: str,
    path: str,
    *,
    summary: str,
    scope: Scope,
    answers: Mapping[int, Any],
    problems: Iterable[Kind] = (),
    query: type[BaseModel] = NoQuery,
    body: Any = None,
) -> Callable[[View], Route]:
    """Declares the decorated view as a route. What the inputs imply is added by itself: 422 for the query, 400 and
    415 for a body, 403 for a write."""
    implied: list[Kind] = [Kind.INVALID]
    if body is not None:
        implied += [Kind.BAD_JSON, Kind.NOT_JSON]
    if method != "GET":
        implied.append(Kind.CROSS_SITE)

    def declare(view: View) -> Route:
        return Route(
            method=method,
            path=path,
            summary=summary,
            scope=scope,
            answers=MappingProxyType(dict(answers)),
            problems=(*implied, *problems),
            query=query,
            body=None if body is None else Body.of(body),
            view=view,
        )

    return declare


def routes_in(modules: Sequence[ModuleType]) -> tuple[Route, ...]:
    """Every route declared in these modules, in order."""
    return tuple(found for module in modules for found in vars(module).values() if isinstance(found, Route))
