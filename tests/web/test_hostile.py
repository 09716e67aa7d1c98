"""What comes from outside never makes a 5xx other than an honest 503, and never anything but a problem document."""

import json
import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from gateway.board.names import unknown
from gateway.web.inputs import MAX_DEPTH, parse_json
from gateway.web.problems import Kind, ProblemError, to_json
from tests.web.helpers import SCHEMA, Desk, problem, refused

BAD_JSON = [
    b"",
    b"   ",
    b"{",
    b"[1,]",
    b"{'a': 1}",
    b'{"channel": "led", "value": true} x',
    b'{"channel": "led", "value": true}{}',
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b'{"channel": "ratio", "value": NaN}',
    b'{"channel": "ratio", "value": 1e999}',
    b'{"channel": "ratio", "value": -1e999}',
    b'{"channel": "led", "channel": "fan", "value": true}',
    b'{"channel": "led", "value": {"a": 1, "a": 2}}',
    b"[" * 1_500,
    b"[" * 1_500 + b"]" * 1_500,
    b'{"a":' * 1_500 + b"1" + b"}" * 1_500,
    b"[" * 60_000,
    b'{"channel": "led", "value": ' + b"[" * 1_500 + b"]" * 1_500 + b"}",
    b"\xff\xfe",
    b'{"channel": "\xff", "value": 1}',
    '{"channel": "led"}'.encode("utf-16"),
    '{"channel": "led"}'.encode("utf-32"),
    b"\xef\xbb\xbf" + b'{"channel": "led", "value": true}',
    b'{"channel": "\\ud800", "value": true}',
    b'{"\\udfff": 1}',
    b'{"channel": "label", "value": "\\ud800"}',
    b"1" * 60_000,
    b"-" + b"9" * 310,
    b'{"channel": "fan", "value": ' + b"1" * 5_000 + b"}",
    b'"unterminated',
    b'"a\nb"',
    b"\x00",
    b"nul",
    b"+1",
    b"0x10",
    b"01",
]


@pytest.mark.parametrize("body", BAD_JSON, ids=lambda body: repr(body[:24]))
@pytest.mark.parametrize("path", ["/api/v1/boards/uno/commands", "/api/v1/boards/uno/channels/ratio/value"])
def test_what_is_no_json_is_a_400(body: bytes, path: str, desk: Desk) -> None:
    method = "POST" if path.endswith("commands") else "PUT"
    refused(desk.raw(body, method, path), Kind.BAD_JSON)
    assert desk.queue.take() is None


@pytest.mark.parametrize(
    "value", [b"1e308", b"-0", b"-0.0", b"1E-400", b"1" * 300, b"1e30", b'"\\u0000"', b'"\\ud83d\\ude00"', b"[[[[1]]]]"]
)
def test_a_strange_value_is_taken_or_a_422(value: bytes, desk: Desk) -> None:
    for name in ("ratio", "dose", "label", "led"):
        response = desk.raw(value, "PUT", f"/api/v1/boards/uno/channels/{name}/value")
        assert response.status_code in (202, 422, 429)


def test_the_place_of_a_syntax_error_is_told(desk: Desk) -> None:
    detail = refused(desk.raw(b'{"channel": "led",\n "value": on}'), Kind.BAD_JSON)["detail"]
    assert "line 2, column 11" in detail


def test_nesting_is_bounded_exactly() -> None:
    def nested(depth: int) -> bytes:
        return b"[" * depth + b"]" * depth

    parse_json(nested(MAX_DEPTH))
    with pytest.raises(ProblemError, match="nested"):
        parse_json(nested(MAX_DEPTH + 1))


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
names = st.sampled_from([each.name for each in (*SCHEMA.channels, *SCHEMA.actions)]) | st.text(max_size=8)
numbers = st.sampled_from([0, 1, 5000, 65_535, 86_400_000]) | values
nearly = st.fixed_dictionaries(
    {},
    optional={
        "channel": names | scalars,
        "value": values,
        "action": names | scalars,
        "arguments": st.dictionaries(st.sampled_from(["hz", "seconds", "x"]), values, max_size=3) | values,
        "hold_ms": numbers,
        "expires_in_ms": numbers,
        "chanel": scalars,
    },
)
SHARED = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def busy() -> Desk:
    """A desk whose queue is never full for long: its board obeys."""
    return Desk(obedient=True, queue_limit=100_000)


VOICE_OF_A_LIBRARY = re.compile("Input should|should be|valid |Extra inputs|dictionary|instance|does not fit$")


def check(response: TestResponse) -> None:
    if response.status_code in (200, 202):
        assert response.headers["Content-Type"] == "application/json"
        return
    assert 400 <= response.status_code < 500 or response.status_code == 503
    document = problem(response)
    assert not [error for error in document.get("errors", ()) if VOICE_OF_A_LIBRARY.search(error["msg"])]


@SHARED
@given(body=nearly | values)
@example(body={"channel": "label", "value": "\ud800"})
@example(body={"channel": "\udfff" * 10_000, "value": 1})
def test_no_json_makes_it_fail(busy: Desk, body: object) -> None:
    check(busy.raw(json.dumps(body).encode()))


@SHARED
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_bytes_make_it_fail(busy: Desk, body: bytes) -> None:
    check(busy.raw(body))
    check(busy.raw(body, "PUT", "/api/v1/boards/uno/channels/label/value"))


latin = st.text(st.characters(max_codepoint=255), max_size=20)


@SHARED
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND", "X"]),
    environ=st.fixed_dictionaries(
        {
            "PATH_INFO": st.tuples(
                st.sampled_from(["", "/api/v1/boards/uno/", "/api/v1/commands/", "/problems/"]), latin
            ).map("".join),
            "QUERY_STRING": latin,
        },
        optional=dict.fromkeys(
            ["HTTP_ACCEPT", "HTTP_IF_NONE_MATCH", "HTTP_PREFER", "HTTP_ORIGIN", "HTTP_RANGE", "HTTP_COOKIE"], latin
        ),
    ),
)
@example(method="GET", environ={"PATH_INFO": "/healthz", "QUERY_STRING": "\x80=1"})
def test_no_request_makes_it_fail(busy: Desk, method: str, environ: dict[str, str]) -> None:
    response = busy.client.open("/", method=method, environ_overrides=environ)
    if method == "HEAD" or response.status_code in (204, 304):
        assert response.status_code < 500 or response.status_code == 503
    else:
        check(response)


def test_what_utf_8_can_not_hold_is_replaced() -> None:
    assert to_json({"a": "x\ud800y\u00e9"}) == '{"a":"x?y\u00e9"}\n'.encode()


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})


def test_an_unknown_name_is_told_the_nearest_and_all_there_are() -> None:
    known = ["temperature", "led"]
    near = 'no reading "tempreature", did you mean temperature? Readings are: temperature, led'
    assert unknown("reading", "tempreature", known=known) == near
    assert unknown("board", "x", known=known) == 'no board "x". Boards are: temperature, led'
    assert unknown("board", "x", known=[]) == 'no board "x". There are no boards'
