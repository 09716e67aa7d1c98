"""The client of a running gateway: against the real one, and against everything else that may answer there."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import click
import pytest

from gateway.cli.options import running_gateway
from gateway.tools.client import GatewayClient, GatewayGone, RequestRefused, checked_url, find, url_of
from tests.running import GatewayProcess

INFO = b'{"start_id": "abc"}'


@contextlib.contextmanager
def answering(status: int, body: bytes, *, seen: list[str] | None = None) -> Iterator[str]:
    """The address of a server that answers everything alike; `seen` collects what was asked."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            if seen is not None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                seen.append(" ".join([self.command, self.path, content]).strip())
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer  # noqa: N815 (the standard library's names)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def nobody() -> str:
    """An address where nothing listens any more."""
    with answering(200, b"") as url:
        return url


@pytest.mark.process
def test_a_running_gateway_is_found_asked_and_told() -> None:
    with GatewayProcess("--port", "virtual://uno") as gateway:
        gateway.wait_state("online")
        client = find(gateway.url)
        assert client is not None
        assert client.board("board")["sketch"]["name"] == "gateway"
        assert [board["name"] for board in client.boards()] == ["board"]
        assert client.get("boards/board/commands", query={"limit": "1"})["items"] == []
        assert client.post("boards/board/safe")["failsafe"] == {"latched": True, "cause": "safe"}
        with pytest.raises(RequestRefused, match="SAFE") as caught:
            client.post("boards/board/commands", body={"channel": "led", "value": True})
        assert (caught.value.status, caught.value.code) == (409, "wrong-state")
        with pytest.raises(RequestRefused, match="board"):
            client.board("a/b?c")


def test_queries_and_bodies_go_out_as_they_are() -> None:
    seen: list[str] = []
    with answering(200, b"{}", seen=seen) as url:
        client = GatewayClient(url + "/")
        client.post("boards/uno/release", query={"state": "flashing", "for": "2m"})
        client.post("x", body={"value": True})
    assert seen == ["POST /api/v1/boards/uno/release?state=flashing&for=2m", 'POST /api/v1/x {"value": true}']


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, b"<html>"), (200, b"[]"), (200, b"{}"), (404, b"no such page"), (404, b'{"type": 1}'), (500, b"null")],
)
def test_what_is_no_gateway_is_none(status: int, body: bytes) -> None:
    with answering(status, body) as url:
        assert find(url) is None


def test_that_no_gateway_runs_is_a_value() -> None:
    assert find(nobody()) is None


def test_a_gateway_that_has_gone_is_told_with_its_address() -> None:
    url = nobody()
    with pytest.raises(GatewayGone, match=f"the gateway at {url} does not answer: .*does it still run"):
        GatewayClient(url).board("uno")


def test_no_proxy_comes_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", nobody())
    with answering(200, INFO) as url:
        assert find(url) is not None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost:8080", True),
        ("http://192.0.2.1:8080", False),  # of the addresses that are nobody's (RFC 5737)
        ("http://no.such.host.invalid:8080", False),
    ],
)
def test_whether_a_gateways_ports_are_ours(url: str, expected: bool) -> None:
    assert GatewayClient(url).on_this_machine is expected


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("fe80::1", "http://[fe80::1]:8080"),
        ("lab.local", "http://lab.local:8080"),
    ],
)
def test_where_to_reach_a_gateway_that_listens_there(host: str, url: str) -> None:
    assert url_of(host, 8080) == url


def test_an_address_may_be_written_short_and_must_be_one() -> None:
    assert checked_url("localhost:8080") == "http://localhost:8080"
    assert checked_url("https://lab.local/") == "https://lab.local"
    for wrong in ("ftp://x", "http://", "http://x?y=1", ""):
        with pytest.raises(ValueError, match=r"write http://127\.0\.0\.1:8080"):
            checked_url(wrong)


def test_commands_find_it_by_option_or_configuration(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    with answering(200, INFO) as url:
        file.write_text(f"http: {{listen: {url.removeprefix('http://')}}}\nboards: {{uno: {{port: COM3}}}}")
        for client in (running_gateway(file, None), running_gateway(None, url)):
            assert client is not None
            assert client.url == url
        monkeypatch.setenv("GATEWAY_HTTP__LISTEN", url.removeprefix("http://"))
        assert running_gateway(None, None) is not None
    assert running_gateway(file, None) is None
    with pytest.raises(click.UsageError, match="no gateway runs at"):
        running_gateway(None, url)
    file.write_text("http: {listen: 127.0.0.1:0}\nboards: {uno: {port: COM3}}")
    monkeypatch.delenv("GATEWAY_HTTP__LISTEN")
    assert running_gateway(file, None) is None
