"""The guard: whose host names are ours, who may write, and what a body must be."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import Client, TestResponse

from gateway.web.guard import MAX_BODY_BYTES, Guard, own_names
from gateway.web.problems import Kind
from tests.web.helpers import Desk, refused

UNO = "/api/v1/boards/uno"
LED = {"channel": "led", "value": True}


def at(desk: Desk, host: str) -> TestResponse:
    return desk.client.get("/healthz", headers={"Host": host})


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8080",
        "LocalHost:8080",
        "localhost.",
        "127.0.0.1",
        "127.0.0.1:8080",
        "192.168.1.7:80",
        "[::1]",
        "[::1]:8080",
        "[fe80::1%25eth0]:8080",
        "[2001:db8::1]:",
        "gateway.example",
        "GATEWAY.example:443",
    ],
)
def test_our_own_names_and_any_address_are_let_in(host: str, desk: Desk) -> None:
    assert at(desk, host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "gateway.example.evil.example",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#localhost",
        "localhost:8080:8080",
        "localhost:99999999",
        "[::1",
        "::1",
        "[evil.example]",
        "[::g]",
        "127.1",
        "0x7f000001",
        "2130706433",
        "lo calhost",
        "",
        ":80",
        "\xff",
    ],
)
def test_any_other_name_is_refused_with_the_key_that_would_allow_it(host: str, desk: Desk) -> None:
    assert "http.allowed_hosts" in refused(at(desk, host), Kind.HOST_NOT_ALLOWED)["detail"]


@pytest.mark.parametrize("host", ["localhost, evil.example", "localhost,localhost", "evil.example, evil.example"])
def test_more_than_one_host_is_a_bad_request(host: str, desk: Desk) -> None:
    assert "more than one Host" in refused(at(desk, host), Kind.BAD_REQUEST)["detail"]


@given(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n")))
def test_no_host_breaks_the_guard(host: str) -> None:
    guard = Client(Guard(answer_ok, allowed_hosts=[], bodiless=lambda _path: False))
    assert guard.get("/", environ_overrides={"HTTP_HOST": host}).status_code in (200, 400, 421)


def answer_ok(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [b""]


@pytest.mark.parametrize(
    ("hostname", "names"),
    [
        ("Pi", {"localhost", "pi", "pi.local"}),
        ("pi.lan", {"localhost", "pi", "pi.lan", "pi.local"}),
        ("pi.local", {"localhost", "pi", "pi.local"}),
    ],
)
def test_a_machine_answers_to_its_names(hostname: str, names: set[str]) -> None:
    assert own_names(hostname) == names


def test_the_machine_has_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Workshop")
    client = Client(Guard(answer_ok, allowed_hosts=[], bodiless=lambda _path: False))
    assert client.get("/", headers={"Host": "workshop.local:8080"}).status_code == 200
    assert client.get("/", headers={"Host": "gateway.example"}).status_code == 421


@pytest.mark.parametrize(("protocol", "status"), [("HTTP/1.0", "200 OK"), ("HTTP/1.1", "400 Bad Request")])
def test_only_http_1_0_may_leave_the_host_out(protocol: str, status: str) -> None:
    guard = Guard(answer_ok, allowed_hosts=[], bodiless=lambda _path: False)
    environ = {"REQUEST_METHOD": "GET", "SERVER_PROTOCOL": protocol, "wsgi.input": io.BytesIO()}
    statuses: list[str] = []
    b"".join(guard(environ, lambda status, *_: statuses.append(status) or (lambda _data: None)))
    assert statuses == [status]


def test_no_host_is_not_the_same_as_no_origin() -> None:
    guard = Guard(answer_ok, allowed_hosts=[], bodiless=lambda _path: True)
    environ = {"REQUEST_METHOD": "POST", "SERVER_PROTOCOL": "HTTP/1.0", "HTTP_ORIGIN": "null"}
    statuses: list[str] = []
    b"".join(guard(environ, lambda status, *_: statuses.append(status) or (lambda _data: None)))
    assert statuses == ["403 Forbidden"]


# ---- writes of other sites ----


WRITES = (("POST", f"{UNO}/safe"), ("POST", f"{UNO}/commands"), ("PUT", f"{UNO}/channels/led/value"), ("DELETE", "/x"))


@pytest.mark.parametrize(("method", "path"), WRITES)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    ],
    ids=str,
)
def test_a_page_of_another_site_changes_nothing(method: str, path: str, headers: dict[str, str], desk: Desk) -> None:
    desk.obedient = True
    for data, content_type in ((b"", ""), (b"a=b", "text/plain"), (b"{}", "application/json")):
        response = desk.client.open(path, method=method, data=data, content_type=content_type, headers=headers)
        refused(response, Kind.CROSS_SITE)


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost:8080", {"Origin": "http://localhost:8080"}),
        ("localhost:8080", {"Origin": "http://LOCALHOST:8080", "Sec-Fetch-Site": "same-origin"}),
        ("gateway.example", {"Origin": "https://gateway.example"}),
        ("[::1]:8080", {"Origin": "http://[::1]:8080"}),
        ("localhost", {"Sec-Fetch-Site": "none"}),
        ("localhost", {}),
    ],
)
def test_our_own_pages_and_programs_may_write(host: str, headers: dict[str, str], desk: Desk) -> None:
    response = desk.client.post(f"{UNO}/commands", json=LED, headers={"Host": host, **headers})
    assert response.status_code == 202


def test_reading_is_not_writing(desk: Desk) -> None:
    assert desk.get("/api/v1/info", Origin="http://evil.example", Sec_Fetch_Site="cross-site").status_code == 200


def test_a_preflight_is_given_nothing(desk: Desk) -> None:
    response = desk.client.options(
        f"{UNO}/commands", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert not any(name.lower().startswith("access-control") for name, _ in response.headers)


# ---- bodies ----


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON", "application/json; charset=utf-8"])
def test_json_is_json(content_type: str, desk: Desk) -> None:
    response = desk.client.post(f"{UNO}/commands", data=json.dumps(LED), content_type=content_type)
    assert response.status_code == 202


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "text/json", ";"]
)
def test_anything_else_is_refused_with_the_curl_that_works(content_type: str, desk: Desk) -> None:
    response = desk.client.put(
        f"{UNO}/channels/led/value?wait=2s",
        data=b"true",
        content_type=content_type,
        headers={"Host": "127.0.0.1:8080"},
    )
    detail = refused(response, Kind.NOT_JSON)["detail"]
    assert "curl -X PUT --json true 'http://127.0.0.1:8080/api/v1/boards/uno/channels/led/value?wait=2s'" in detail


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"channel": "led", "value": true}', """'{"channel": "led", "value": true}'"""),
        (b"channel=led", "'{...}'"),
        (b"\xff\xfe", "'{...}'"),
        (b"[" * 200, "'{...}'"),
        (b'"' + b"x" * 300 + b'"', "'{...}'"),
        (b'"it\'s"', """'"it'"'"'s"'"""),
    ],
)
def test_the_mended_command_can_be_pasted(body: bytes, shown: str, desk: Desk) -> None:
    detail = refused(desk.client.post(f"{UNO}/commands", data=body), Kind.NOT_JSON)["detail"]
    assert f"curl --json {shown} http://localhost/api/v1/boards/uno/commands" in detail


def test_a_path_in_the_mended_command_is_quoted(desk: Desk) -> None:
    detail = refused(desk.client.post("/a%20b/'\u00e9", data=b"1"), Kind.NOT_JSON)["detail"]
    assert "http://localhost/a%20b/%27%C3%A9" in detail


def test_safe_and_clear_take_any_body_or_none(desk: Desk) -> None:
    desk.obedient = True
    for name in ("safe", "clear"):
        for data, content_type in ((None, None), (b"", "text/plain"), (b"x=1", "application/x-www-form-urlencoded")):
            response = desk.client.post(f"{UNO}/{name}", data=data, content_type=content_type)
            assert response.status_code == 200


def test_a_body_may_have_64_kib_and_no_byte_more(desk: Desk) -> None:
    fitting = json.dumps(LED).encode().ljust(MAX_BODY_BYTES)
    assert desk.raw(fitting).status_code == 202
    refused(desk.raw(fitting + b" "), Kind.TOO_LARGE)
    refused(desk.raw(bytes(10_000_000)), Kind.TOO_LARGE)


def test_a_body_without_a_length_is_counted_too(desk: Desk) -> None:
    def post(body: bytes) -> TestResponse:
        return desk.client.post(
            f"{UNO}/commands",
            content_type="application/json",
            environ_overrides={"wsgi.input": io.BytesIO(body), "wsgi.input_terminated": True},
        )

    fitting = json.dumps(LED).encode().ljust(MAX_BODY_BYTES)
    assert post(fitting).status_code == 202
    refused(post(fitting + b" "), Kind.TOO_LARGE)


@pytest.mark.parametrize("length", ["-1", "x", "1.5", "9" * 5_000, "\u00b2"])
def test_a_length_that_is_none_is_a_bad_request(length: str, desk: Desk) -> None:
    response = desk.client.post(f"{UNO}/safe", environ_overrides={"CONTENT_LENGTH": length})
    refused(response, Kind.BAD_REQUEST)


def test_a_body_shorter_than_its_length_is_a_bad_request(desk: Desk) -> None:
    environ = {"CONTENT_LENGTH": "100", "CONTENT_TYPE": "application/json"}
    response = desk.client.post(f"{UNO}/commands", data=b"{}", environ_overrides=environ)
    refused(response, Kind.BAD_REQUEST)


def test_head_gets_no_body_with_a_refusal(desk: Desk) -> None:
    response = desk.client.head("/healthz", headers={"Host": "evil.example"})
    assert (response.status_code, response.data) == (421, b"")
