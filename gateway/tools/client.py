"""Talks to a gateway that runs, over its own HTTP: for commands that need its board, its port or its knowledge.

The caller's thread; standard library only. That no gateway runs is a value (`find` gives None); what a running one
refuses is an exception with its own words.
"""

import contextlib
import http.client
import ipaddress
import json
import socket
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit

from gateway.errors import GatewayError

API = "/api/v1"
TIMEOUT_S = 10.0  # longer than any answer that does not wait; SAFE and release take 5 s at most
FIND_TIMEOUT_S = 3.0
MAX_ANSWER_BYTES = 16 * 1024 * 1024
_NONE: Mapping[str, str] = {}


class GatewayGone(GatewayError):
    """The gateway answered before and does not any more, or with something that is no gateway's."""


class RequestRefused(GatewayError):
    """The gateway answered with a problem: its HTTP status, its code (`wrong-state`) and its detail as the text."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code


class GatewayClient:
    """A running gateway at `url`. Paths stand under /api/v1: `boards/uno`."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        # A proxy in the environment is for other machines; here it would hand our commands to a stranger.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str, *, query: Mapping[str, str] = _NONE, timeout_s: float = TIMEOUT_S) -> Any:
        """The JSON of an answer. Raises RequestRefused and GatewayGone."""
        return self._ask("GET", path, query=query, body=None, timeout_s=timeout_s)

    def post(
        self, path: str, *, query: Mapping[str, str] = _NONE, body: object = None, timeout_s: float = TIMEOUT_S
    ) -> Any:
        """As `get`; a `body` that is not None goes out as JSON."""
        return self._ask("POST", path, query=query, body=body, timeout_s=timeout_s)

    @property
    def on_this_machine(self) -> bool:
        """Whether a port that it names is a port here: its address is one of this machine's own."""
        host = urlsplit(self.url).hostname or ""
        try:
            found = socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
        except OSError:
            return False
        return any(_is_own(family, address) for family, _, _, _, address in found)

    def board(self, name: str) -> Any:
        """The resource of one board."""
        return self.get(f"boards/{quote(name, safe='')}")

    def boards(self) -> list[Any]:
        """The resources of all boards."""
        return list(self.get("boards")["items"])

    def _ask(self, method: str, path: str, *, query: Mapping[str, str], body: object, timeout_s: float) -> Any:
        address = f"{self.url}{API}/{path}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(address, data=data, headers=headers, method=method)
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                return json.loads(answer.read(MAX_ANSWER_BYTES))
        except HTTPError as error:
            with error:
                raise _refusal(error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise GatewayGone(f"the gateway at {self.url} does not answer: {reason}; does it still run?") from error
        except ValueError as error:
            raise GatewayGone(f"what answers at {self.url} is no gateway: {error}") from error


def find(url: str) -> GatewayClient | None:
    """The gateway that runs at an address, None where none does: nobody answers, or something else."""
    client = GatewayClient(url)
    with contextlib.suppress(GatewayError):
        info = client.get("info", timeout_s=FIND_TIMEOUT_S)
        if isinstance(info, dict) and "start_id" in info:
            return client
    return None


def url_of(host: str, port: int) -> str:
    """Where to reach a gateway on this machine that listens there; one that listens on all addresses by the
    loopback."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host)
        if address.is_unspecified:
            host = "::1" if address.version == 6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def checked_url(text: str) -> str:
    """An address as people write it, `localhost:8080` too. ValueError, with the cure, for what is none."""
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in text or parts.query or parts.fragment:
        raise ValueError(f"{text} is no address of a gateway; write http://127.0.0.1:8080")
    return url.rstrip("/")


def _is_own(family: int, address: Any) -> bool:
    """Only its own addresses can be bound; nothing is sent."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(address)
    except OSError:
        return False
    return True


def _refusal(error: HTTPError) -> GatewayError:
    try:
        problem = json.loads(error.read(MAX_ANSWER_BYTES))
        return RequestRefused(error.code, problem["type"].rpartition("/")[2], problem["detail"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return GatewayGone(f"{error.url} answers {error.code} {error.reason}, and not as a gateway does")
