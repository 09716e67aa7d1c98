"""Every declared route with every answer it declares: nothing more and nothing less than the table says."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter
from werkzeug.test import TestResponse

from gateway.errors import GatewayError
from gateway.web.app import ROUTES
from gateway.web.guard import MAX_BODY_BYTES
from gateway.web.problems import Kind, problem_of
from gateway.web.routing import Route, Scope
from tests.web.helpers import Desk, problem, refused

BOARD = "/api/v1/boards/{board}"
COMMANDS = f"{BOARD}/commands"
COMMAND = "/api/v1/commands/{command_id}"
READING = f"{BOARD}/readings/{{channel}}"
HISTORY = f"{READING}/history"
VALUE = f"{BOARD}/channels/{{channel}}/value"
UNO, MEGA = "/api/v1/boards/uno", "/api/v1/boards/mega"
LED = {"channel": "led", "value": True}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Case:
    """A request that must be answered with `expect`: a status, or a problem of that kind."""

    route: str
    expect: int | Kind
    ask: Callable[[Desk], TestResponse]


def get(path: str) -> Callable[[Desk], TestResponse]:
    return lambda desk: desk.get(path)


def late(path: str) -> Callable[[Desk], TestResponse]:
    """Asked long after the last poll."""

    def ask(desk: Desk) -> TestResponse:
        desk.clock.advance(5)
        return desk.get(path)

    return ask


def put(body: bytes, path: str, **headers: str) -> Callable[[Desk], TestResponse]:
    return lambda desk: desk.client.put(path, data=body, content_type="application/json", headers=headers)


def obeying(ask: Callable[[Desk], TestResponse]) -> Callable[[Desk], TestResponse]:
    def asked(desk: Desk) -> TestResponse:
        desk.obedient = True
        return ask(desk)

    return asked


def form(path: str, method: str = "POST") -> Callable[[Desk], TestResponse]:
    return lambda desk: desk.client.open(path, method=method, data={"channel": "led"})


def cross_site(method: str, path: str) -> Callable[[Desk], TestResponse]:
    return lambda desk: desk.client.open(path, method=method, headers={"Origin": "http://evil.example"})


def if_none_match(desk: Desk) -> TestResponse:
    return desk.get(f"{UNO}/readings", If_None_Match=desk.get(f"{UNO}/readings").headers["ETag"])


CASES = (
    Case("GET /api/v1/info", 200, get("/api/v1/info")),
    Case("GET /api/v1/info", Kind.INVALID, get("/api/v1/info?verbose=1")),
    Case("GET /api/v1/boards", 200, get("/api/v1/boards")),
    Case("GET /api/v1/boards", Kind.INVALID, get("/api/v1/boards?limit=1")),
    Case(f"GET {BOARD}", 200, get(UNO)),
    Case(f"GET {BOARD}", 200, get(MEGA)),
    Case(f"GET {BOARD}", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one")),
    Case(f"GET {BOARD}", Kind.INVALID, get(f"{UNO}?x")),
    Case(f"GET {BOARD}/readings", 200, get(f"{UNO}/readings")),
    Case(f"GET {BOARD}/readings", 200, get(f"{MEGA}/readings")),
    Case(f"GET {BOARD}/readings", 200, lambda desk: desk.go_offline().get(f"{UNO}/readings")),
    Case(f"GET {BOARD}/readings", 304, if_none_match),
    Case(f"GET {BOARD}/readings", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/readings")),
    Case(f"GET {BOARD}/readings", Kind.INVALID, get(f"{UNO}/readings?max_age=1s")),
    Case(f"GET {READING}", 200, get(f"{UNO}/readings/a0")),
    Case(f"GET {READING}", 200, late(f"{UNO}/readings/a0")),
    Case(f"GET {READING}", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/readings/a0")),
    Case(f"GET {READING}", Kind.UNKNOWN_TARGET, get(f"{UNO}/readings/a1")),
    Case(f"GET {READING}", Kind.UNKNOWN_TARGET, get(f"{UNO}/readings/trigger")),
    Case(f"GET {READING}", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/readings/a0")),
    Case(f"GET {READING}", Kind.READING_UNFIT, late(f"{UNO}/readings/a0?max_age=4s")),
    Case(f"GET {READING}", Kind.INVALID, get(f"{UNO}/readings/a0?max_age=500")),
    Case(f"GET {HISTORY}", 200, get(f"{UNO}/readings/a0/history")),
    Case(f"GET {HISTORY}", 200, late(f"{UNO}/readings/label/history?since=1s&limit=5")),
    Case(f"GET {HISTORY}", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/readings/a0/history")),
    Case(f"GET {HISTORY}", Kind.UNKNOWN_TARGET, get(f"{UNO}/readings/trigger/history")),
    Case(f"GET {HISTORY}", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/readings/a0/history")),
    Case(f"GET {HISTORY}", Kind.INVALID, get(f"{UNO}/readings/a0/history?since=yesterday")),
    Case(f"GET {VALUE}", 200, get(f"{UNO}/channels/a0/value")),
    Case(f"GET {VALUE}", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/channels/a0/value")),
    Case(f"GET {VALUE}", Kind.UNKNOWN_TARGET, get(f"{UNO}/channels/a1/value")),
    Case(f"GET {VALUE}", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/channels/a0/value")),
    Case(f"GET {VALUE}", Kind.READING_UNFIT, late(f"{UNO}/channels/a0/value")),
    Case(f"GET {VALUE}", Kind.INVALID, get(f"{UNO}/channels/a0/value?wait=1s")),
    Case(f"GET {BOARD}/channels", 200, get(f"{UNO}/channels")),
    Case(f"GET {BOARD}/channels", 200, lambda desk: desk.go_offline().get(f"{UNO}/channels")),
    Case(f"GET {BOARD}/channels", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/channels")),
    Case(f"GET {BOARD}/channels", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/channels")),
    Case(f"GET {BOARD}/channels", Kind.INVALID, get(f"{UNO}/channels?x=1")),
    Case(f"GET {BOARD}/actions", 200, get(f"{UNO}/actions")),
    Case(f"GET {BOARD}/actions", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/actions")),
    Case(f"GET {BOARD}/actions", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/actions")),
    Case(f"GET {BOARD}/actions", Kind.INVALID, get(f"{UNO}/actions?x=1")),
    Case(f"GET {BOARD}/traffic", 200, get(f"{UNO}/traffic?after=0&limit=5")),
    Case(f"GET {BOARD}/traffic", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/traffic")),
    Case(f"GET {BOARD}/traffic", Kind.INVALID, get(f"{UNO}/traffic?wait=31s")),
    Case(f"GET {BOARD}/description", 200, get(f"{UNO}/description")),
    Case(f"GET {BOARD}/description", Kind.SCHEMA_UNKNOWN, get(f"{MEGA}/description")),
    Case(f"GET {BOARD}/description", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/description")),
    Case(f"GET {BOARD}/description", Kind.INVALID, get(f"{UNO}/description?x=1")),
    Case(f"GET {BOARD}/log", 200, get(f"{UNO}/log")),
    Case(f"GET {BOARD}/log", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/log")),
    Case(f"GET {BOARD}/log", Kind.INVALID, get(f"{UNO}/log?limit=1")),
    Case(f"POST {COMMANDS}", 202, lambda desk: desk.post(LED)),
    Case(f"POST {COMMANDS}", 202, lambda desk: desk.post({"action": "measure"})),
    Case(f"POST {COMMANDS}", 200, obeying(lambda desk: desk.post(LED, f"{UNO}/commands?wait=2s"))),
    Case(f"POST {COMMANDS}", Kind.UNKNOWN_BOARD, lambda desk: desk.post(LED, "/api/v1/boards/one/commands")),
    Case(f"POST {COMMANDS}", Kind.UNKNOWN_TARGET, lambda desk: desk.post({"channel": "lamp", "value": True})),
    Case(f"POST {COMMANDS}", Kind.UNKNOWN_TARGET, lambda desk: desk.post({"action": "tune"})),
    Case(f"POST {COMMANDS}", Kind.NOT_WRITABLE, lambda desk: desk.post({"channel": "a0", "value": 1})),
    Case(f"POST {COMMANDS}", Kind.INVALID, lambda desk: desk.post({"channel": "led", "value": 1})),
    Case(f"POST {COMMANDS}", Kind.WRONG_STATE, lambda desk: desk.latch().post(LED)),
    Case(f"POST {COMMANDS}", Kind.QUEUE_FULL, lambda desk: desk.fill_queue().post(LED)),
    Case(f"POST {COMMANDS}", Kind.BOARD_OFFLINE, lambda desk: desk.go_offline().post(LED)),
    Case(f"POST {COMMANDS}", Kind.BOARD_OFFLINE, lambda desk: desk.post(LED, f"{MEGA}/commands")),
    Case(f"POST {COMMANDS}", Kind.KEY_REUSED, lambda desk: desk.take_key("k").post(LED, Idempotency_Key="k")),
    Case(f"POST {COMMANDS}", Kind.INVALID, lambda desk: desk.post(LED, Idempotency_Key="two words")),
    Case(f"POST {COMMANDS}", Kind.JOURNAL_FAILED, lambda desk: desk.break_journal().post(LED)),
    Case(f"POST {COMMANDS}", Kind.BAD_JSON, lambda desk: desk.raw(b"{")),
    Case(f"POST {COMMANDS}", Kind.NOT_JSON, form(f"{UNO}/commands")),
    Case(f"POST {COMMANDS}", Kind.CROSS_SITE, cross_site("POST", f"{UNO}/commands")),
    Case(f"PUT {VALUE}", 202, put(b"true", f"{UNO}/channels/led/value")),
    Case(f"PUT {VALUE}", 200, obeying(put(b"50", f"{UNO}/channels/fan/value?hold=5s&wait=2s"))),
    Case(f"PUT {VALUE}", Kind.UNKNOWN_BOARD, put(b"true", "/api/v1/boards/one/channels/led/value")),
    Case(f"PUT {VALUE}", Kind.UNKNOWN_TARGET, put(b"true", f"{UNO}/channels/lamp/value")),
    Case(f"PUT {VALUE}", Kind.NOT_WRITABLE, put(b"1", f"{UNO}/channels/a0/value")),
    Case(f"PUT {VALUE}", Kind.INVALID, put(b"1", f"{UNO}/channels/led/value")),
    Case(f"PUT {VALUE}", Kind.WRONG_STATE, lambda desk: put(b"true", f"{UNO}/channels/led/value")(desk.latch())),
    Case(f"PUT {VALUE}", Kind.QUEUE_FULL, lambda desk: put(b"true", f"{UNO}/channels/led/value")(desk.fill_queue())),
    Case(f"PUT {VALUE}", Kind.BOARD_OFFLINE, put(b"true", f"{MEGA}/channels/led/value")),
    Case(
        f"PUT {VALUE}",
        Kind.KEY_REUSED,
        lambda desk: put(b"true", f"{UNO}/channels/led/value", **{"Idempotency-Key": "k"})(desk.take_key("k")),
    ),
    Case(
        f"PUT {VALUE}",
        Kind.JOURNAL_FAILED,
        lambda desk: put(b"true", f"{UNO}/channels/led/value")(desk.break_journal()),
    ),
    Case(f"PUT {VALUE}", Kind.BAD_JSON, put(b"on", f"{UNO}/channels/led/value")),
    Case(f"PUT {VALUE}", Kind.NOT_JSON, form(f"{UNO}/channels/led/value", "PUT")),
    Case(f"PUT {VALUE}", Kind.CROSS_SITE, cross_site("PUT", f"{UNO}/channels/led/value")),
    Case(f"GET {COMMANDS}", 200, lambda desk: desk.fill_queue().get(f"{UNO}/commands")),
    Case(f"GET {COMMANDS}", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/commands")),
    Case(f"GET {COMMANDS}", 200, lambda desk: desk.fill_queue().get(f"{UNO}/commands?state=queued,sent")),
    Case(f"GET {COMMANDS}", Kind.JOURNAL_FAILED, lambda desk: desk.break_journal().get(f"{UNO}/commands")),
    Case(f"GET {COMMANDS}", Kind.INVALID, get(f"{UNO}/commands?limit=0")),
    Case(f"GET {COMMANDS}", Kind.INVALID, get(f"{UNO}/commands?state=waiting")),
    Case(f"GET {COMMANDS}", Kind.INVALID, get(f"{UNO}/commands?cursor=%2A")),
    Case(f"GET {COMMAND}", 200, lambda desk: desk.get(f"/api/v1/commands/{desk.queued_command()}")),
    Case(f"GET {COMMAND}", Kind.UNKNOWN_COMMAND, get("/api/v1/commands/none")),
    Case(f"GET {COMMAND}", Kind.JOURNAL_FAILED, lambda desk: desk.break_journal().get("/api/v1/commands/none")),
    Case(f"GET {COMMAND}", Kind.INVALID, get("/api/v1/commands/none?wait=1s")),
    Case(f"DELETE {COMMAND}", 200, lambda desk: desk.client.delete(f"/api/v1/commands/{desk.queued_command()}")),
    Case(f"DELETE {COMMAND}", Kind.UNKNOWN_COMMAND, lambda desk: desk.client.delete("/api/v1/commands/none")),
    Case(
        f"DELETE {COMMAND}",
        Kind.WRONG_STATE,
        lambda desk: desk.client.delete(f"/api/v1/commands/{desk.sent_command()}"),
    ),
    Case(
        f"DELETE {COMMAND}",
        Kind.UNKNOWN_BOARD,
        lambda desk: desk.client.delete(f"/api/v1/commands/{desk.command_of_former_board()}"),
    ),
    Case(
        f"DELETE {COMMAND}",
        Kind.JOURNAL_FAILED,
        lambda desk: desk.client.delete(f"/api/v1/commands/{desk.queued_command(then_break=True)}"),
    ),
    Case(f"DELETE {COMMAND}", Kind.INVALID, lambda desk: desk.client.delete("/api/v1/commands/none?force=1")),
    Case(f"DELETE {COMMAND}", Kind.CROSS_SITE, cross_site("DELETE", "/api/v1/commands/none")),
    *(
        case
        for name in ("safe", "clear")
        for case in (
            Case(f"POST {BOARD}/{name}", 200, obeying(lambda desk, name=name: desk.client.post(f"{UNO}/{name}"))),
            Case(f"POST {BOARD}/{name}", 200, obeying(form(f"{UNO}/{name}"))),
            Case(
                f"POST {BOARD}/{name}",
                Kind.UNKNOWN_BOARD,
                lambda desk, name=name: desk.client.post(f"/api/v1/boards/one/{name}"),
            ),
            Case(
                f"POST {BOARD}/{name}",
                Kind.BOARD_OFFLINE,
                lambda desk, name=name: desk.go_offline().client.post(f"{UNO}/{name}"),
            ),
            Case(f"POST {BOARD}/{name}", Kind.INVALID, lambda desk, name=name: desk.client.post(f"{UNO}/{name}?now=1")),
            Case(f"POST {BOARD}/{name}", Kind.CROSS_SITE, cross_site("POST", f"{UNO}/{name}")),
        )
    ),
    Case(f"POST {BOARD}/clear", Kind.JOURNAL_FAILED, lambda desk: desk.stall_journal().client.post(f"{UNO}/clear")),
    *(
        case
        for name in ("release", "resume")
        for case in (
            Case(f"POST {BOARD}/{name}", 200, obeying(lambda desk, name=name: desk.client.post(f"{UNO}/{name}"))),
            Case(
                f"POST {BOARD}/{name}",
                Kind.UNKNOWN_BOARD,
                lambda desk, name=name: desk.client.post(f"/api/v1/boards/one/{name}"),
            ),
            Case(
                f"POST {BOARD}/{name}",
                Kind.BOARD_OFFLINE,
                lambda desk, name=name: desk.stuck_away().client.post(f"{UNO}/{name}"),
            ),
            Case(f"POST {BOARD}/{name}", Kind.INVALID, lambda desk, name=name: desk.client.post(f"{UNO}/{name}?now=1")),
            Case(f"POST {BOARD}/{name}", Kind.CROSS_SITE, cross_site("POST", f"{UNO}/{name}")),
        )
    ),
    Case(
        f"POST {BOARD}/release",
        200,
        obeying(lambda desk: desk.client.post(f"{UNO}/release?state=flashing&for=2m")),
    ),
    Case(f"POST {BOARD}/release", Kind.INVALID, lambda desk: desk.client.post(f"{UNO}/release?state=online")),
    Case(f"POST {BOARD}/release", Kind.INVALID, lambda desk: desk.client.post(f"{UNO}/release?for=2d")),
    Case(f"POST {BOARD}/release", Kind.INVALID, lambda desk: desk.client.post(f"{UNO}/release?for=5ms")),
    Case(f"GET {BOARD}/diagnosis", 200, get(f"{UNO}/diagnosis")),
    Case(f"GET {BOARD}/diagnosis", 200, lambda desk: desk.go_offline().get(f"{UNO}/diagnosis")),
    Case(f"GET {BOARD}/diagnosis", Kind.UNKNOWN_BOARD, get("/api/v1/boards/one/diagnosis")),
    Case(f"GET {BOARD}/diagnosis", Kind.INVALID, get(f"{UNO}/diagnosis?x=1")),
    Case("GET /healthz", 200, get("/healthz")),
    Case("GET /healthz", 200, lambda desk: desk.go_offline().get("/healthz")),
    Case("GET /healthz", Kind.INVALID, get("/healthz?x=1")),
    Case("GET /readyz", 200, lambda desk: desk.with_mega().get("/readyz")),
    Case("GET /readyz", Kind.NOT_READY, get("/readyz")),
    Case("GET /readyz", Kind.INVALID, get("/readyz?x=1")),
    Case("GET /problems/{code}", 200, get("/problems/queue-full")),
    Case("GET /problems/{code}", Kind.NOT_FOUND, get("/problems/queue-empty")),
    Case("GET /problems/{code}", Kind.INVALID, get("/problems/queue-full?x=1")),
)


def key(route: Route) -> str:
    return f"{route.method} {route.path}"


BY_KEY = {key(route): route for route in ROUTES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.route} {case.expect}")
def test_a_route_answers_as_declared(case: Case, desk: Desk) -> None:
    response = case.ask(desk)
    if isinstance(case.expect, Kind):
        refused(response, case.expect)
        return
    assert response.status_code == case.expect, response.text
    model = BY_KEY[case.route].answers[case.expect]
    if model is None:
        assert response.data == b""
        return
    assert response.headers["Content-Type"] == "application/json"
    TypeAdapter(model).validate_json(response.data)
    assert all(TIME.fullmatch(time) for time in times_in(response.json))


def times_in(document: Any) -> list[str]:
    """Every text that stands where a time should."""
    match document:
        case dict():
            own = [value for name, value in document.items() if name.endswith("_at") or name == "time"]
            return [value for value in own if value] + [time for each in document.values() for time in times_in(each)]
        case list():
            return [time for each in document for time in times_in(each)]
        case _:
            return []


def test_every_declared_answer_of_every_route_is_tried() -> None:
    declared = {(key(route), answer) for route in ROUTES for answer in (*route.answers, *route.problems)}
    assert declared == {(case.route, case.expect) for case in CASES}


def path_of(route: Route) -> str:
    return re.sub(r"{(\w+)}", lambda name: {"board": "uno", "channel": "led"}.get(name[1], "x"), route.path)


@pytest.mark.parametrize("route", ROUTES, ids=key)
def test_the_guard_stands_before_every_route(route: Route, desk: Desk) -> None:
    path = path_of(route)
    foreign = desk.client.open(path, method=route.method, headers={"Host": "evil.example"})
    assert "http.allowed_hosts" in refused(foreign, Kind.HOST_NOT_ALLOWED)["detail"]
    too_large = desk.client.open(path, method=route.method, data=bytes(MAX_BODY_BYTES + 1))
    refused(too_large, Kind.TOO_LARGE)
    hostless = desk.client.open(path, method=route.method, environ_overrides={"HTTP_HOST": None})
    assert hostless.status_code in (400, 421)


@pytest.mark.parametrize("route", ROUTES, ids=key)
def test_a_method_that_an_address_lacks_is_a_405_with_allow(route: Route, desk: Desk) -> None:
    path = path_of(route)
    response = desk.client.open(path, method="PATCH")
    refused(response, Kind.METHOD_NOT_ALLOWED)
    of_this_path = {other.method for other in ROUTES if other.path == route.path}
    allowed = of_this_path | {"OPTIONS"} | ({"HEAD"} if "GET" in of_this_path else set())
    assert set(response.headers["Allow"].split(", ")) == allowed
    options = desk.client.options(path)
    assert options.status_code == 204
    assert set(options.headers["Allow"].split(", ")) == allowed
    assert "Content-Type" not in options.headers
    assert not any(name.startswith("Access-Control") for name, _ in options.headers)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "GET"], ids=key)
def test_head_answers_as_get_without_the_body(route: Route, desk: Desk) -> None:
    path = path_of(route)
    got, head = desk.client.get(path), desk.client.head(path)
    assert (head.status_code, head.data) == (got.status_code, b"")
    assert head.headers.get("Content-Type") == got.headers.get("Content-Type")
    assert head.headers.get("Content-Length") == got.headers.get("Content-Length")


@pytest.mark.parametrize(
    "path", ["/", "/api/v1", "/api/v1/", "/api/v1//info", "/api/v1/boards/", "/x%0ay", "/%ff", "*"]
)
def test_an_unknown_address_is_a_404_that_shows_the_way(path: str, desk: Desk) -> None:
    document = refused(desk.client.open(path), Kind.NOT_FOUND)
    assert "/api/v1/" in document["detail"]


@pytest.mark.parametrize("path", ["/", "/nowhere", "*", "/" + "boards/" * 2_000])
def test_an_address_like_no_other_is_told_where_to_start(path: str, desk: Desk) -> None:
    detail = refused(desk.get(path), Kind.NOT_FOUND)["detail"]
    assert detail.endswith("start at /api/v1/boards or /api/v1/info")


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/boards", "/api/v1/boards"),
        ("/boards/", "/api/v1/boards"),
        ("/boards/uno/", "/api/v1/boards/uno"),
        ("/boards/uno", "/api/v1/boards/uno"),
        ("/api/v1/boards/uno/", "/api/v1/boards/uno"),
        ("/api/v1/boards//uno", "/api/v1/boards/uno"),
        ("/api/v1/board", "/api/v1/boards"),
        ("/api/v1/boards/uno/reading", "/api/v1/boards/uno/readings"),
        ("/api/v1/boards/uno/reading/a0", "/api/v1/boards/uno/readings/a0"),
        ("/api/v1/boards/uno/channels/led/valu", "/api/v1/boards/uno/channels/led/value"),
        ("/api/v1/command/x", "/api/v1/commands/x"),
        ("/health", "/healthz"),
        ("/api/v1/healthz", "/healthz"),
        ("/problem/invalid", "/problems/invalid"),
    ],
)
def test_an_address_nearly_right_is_mended_with_the_names_in_it(path: str, meant: str, desk: Desk) -> None:
    assert refused(desk.get(path), Kind.NOT_FOUND)["detail"].endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("ask", "status"),
    [
        (lambda desk: desk.get("/api/v1/info"), "200 OK"),
        (lambda desk: desk.get(f"{UNO}/readings/a0", Accept="text/plain"), "200 OK"),
        (lambda desk: desk.post(LED), "202 Accepted"),
        (lambda desk: desk.client.options(UNO), "204 No Content"),
        (if_none_match, "304 Not Modified"),
        (lambda desk: desk.get("/nowhere"), "404 Not Found"),
    ],
)
def test_the_reason_phrase_is_that_of_http(ask: Callable[[Desk], TestResponse], status: str, desk: Desk) -> None:
    assert ask(desk).status == status


def test_every_problem_type_can_be_looked_up(desk: Desk) -> None:
    for kind in Kind:
        assert desk.get(kind.uri).json == {
            "type": kind.uri,
            "title": kind.title,
            "status": kind.status,
            "detail": kind.meaning,
        }


def test_what_nobody_foresaw_is_a_500_that_reveals_nothing(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_board: str) -> None:
        raise RuntimeError("secret /etc/path")

    desk.latest.snapshot = fail  # type: ignore[method-assign, assignment]
    response = desk.get("/api/v1/boards/forged%0aline/readings")
    document = refused(response, Kind.INTERNAL)
    assert "secret" not in response.text
    assert document["detail"] == Kind.INTERNAL.meaning
    assert "secret /etc/path" in caplog.text
    assert "forged\nline" not in caplog.text


def test_an_exception_without_a_row_in_the_table_is_a_500(desk: Desk) -> None:
    assert problem_of(GatewayError("?")) is None

    def fail(_board: str) -> None:
        raise GatewayError("secret")

    desk.latest.snapshot = fail  # type: ignore[method-assign, assignment]
    assert "secret" not in str(refused(desk.get(UNO), Kind.INTERNAL))


def test_writes_need_the_command_scope_and_health_needs_none() -> None:
    for route in ROUTES:
        if route.writes:
            lets_go = route.path.endswith(("/release", "/resume"))
            assert route.scope is (Scope.ADMIN if lets_go else Scope.COMMAND)
    assert BY_KEY["GET /healthz"].scope is Scope.NONE
    assert BY_KEY["GET /readyz"].scope is Scope.READ


def test_a_route_knows_its_statuses() -> None:
    assert BY_KEY["GET /healthz"].statuses() == [200, 400, 413, 421, 422, 431, 500, 501]


def test_a_problem_says_no_more_than_it_should(desk: Desk) -> None:
    assert problem(desk.get("/api/v1/boards/un")) == {
        "type": "/problems/unknown-board",
        "title": "No such board",
        "status": 404,
        "detail": 'no board "un", did you mean uno? Boards are: uno, mega',
    }
