"""The guard: WSGI middleware in front of Flask that refuses what no view should ever see.

Hosts that are not ours (DNS rebinding), writes from pages of other sites, bodies too large or not JSON. Runs in the
worker threads, holds no state, and answers with problem documents of its own.
"""

import io
import ipaddress
import json
import re
import shlex
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from gateway.web.problems import Kind, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_BODY_BYTES = 64 * 1024
MAX_SHOWN_BODY = 200  # bytes of a body that the mended curl command repeats
READS = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)(?:%25[\w.~-]+)?\]|([a-z0-9._-]+))(?::[0-9]{0,5})?", re.IGNORECASE)


class Guard:
    """Wraps a WSGI application. `bodiless` says of a path that its writes take no body, so none need be JSON."""

    def __init__(
        self, app: "WSGIApplication", *, allowed_hosts: Sequence[str], bodiless: Callable[[str], bool]
    ) -> None:
        self._app = app
        self._hosts = frozenset(own_names(socket.gethostname()) | {host.lower() for host in allowed_hosts})
        self._bodiless = bodiless

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        problem = self._problem(environ)
        if problem is None:
            return self._app(environ, start_response)
        body = problem.body()
        start_response(problem.kind.status_line, problem.all_headers(body))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _problem(self, environ: "WSGIEnvironment") -> Problem | None:
        problem = self._foreign_host(environ)
        if problem is None and environ["REQUEST_METHOD"] not in READS:
            problem = _cross_site(environ)
        if problem is None:
            problem = _too_large(environ)
        if problem is None and environ["REQUEST_METHOD"] not in READS:
            problem = self._not_json(environ)
        return problem

    def _foreign_host(self, environ: "WSGIEnvironment") -> Problem | None:
        host = environ.get("HTTP_HOST")
        if host is None:  # every browser names one, and so must every HTTP/1.1 client
            if environ.get("SERVER_PROTOCOL") == "HTTP/1.0":
                return None
            return Problem(Kind.BAD_REQUEST, "the request has no Host header")
        if "," in host:  # how servers hand on a header that came twice; no name holds a comma
            return Problem(Kind.BAD_REQUEST, "the request has more than one Host")
        if self._allowed(host):
            return None
        detail = f'the host "{host}" is not allowed; if it is a name of this gateway, add it to http.allowed_hosts'
        return Problem(Kind.HOST_NOT_ALLOWED, detail)

    def _allowed(self, host: str) -> bool:
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        literal, name = match.groups()
        return (name or "").lower().rstrip(".") in self._hosts or _is_address(literal or name)

    def _not_json(self, environ: "WSGIEnvironment") -> Problem | None:
        if not environ.get("CONTENT_LENGTH") or environ["CONTENT_LENGTH"] == "0":
            return None
        media_type = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
        if media_type == "application/json" or self._bodiless(environ.get("PATH_INFO", "")):
            return None
        given = f'as "{media_type}"' if media_type else "without a Content-Type"
        detail = f"the body came {given}; it must be application/json, for instance: {_curl(environ)}"
        return Problem(Kind.NOT_JSON, detail)


def own_names(hostname: str) -> set[str]:
    """The names that this machine answers to: localhost, its host name, and that under .local."""
    full = hostname.lower()
    short = full.partition(".")[0]
    return {"localhost", full, short, f"{short}.local"}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _cross_site(environ: "WSGIEnvironment") -> Problem | None:
    """Browsers tell where a write comes from in Origin, newer ones in Sec-Fetch-Site as well; programs send neither."""
    origin = environ.get("HTTP_ORIGIN")
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    if origin is not None and not _same_host(origin, environ.get("HTTP_HOST", "")):
        return Problem(Kind.CROSS_SITE, f'a page of the origin "{origin}" may change nothing here')
    if site not in ("none", "same-origin"):
        return Problem(Kind.CROSS_SITE, f"a {site} request may change nothing here")
    return None


def _same_host(origin: str, host: str) -> bool:
    """The scheme may differ: a proxy may have taken the TLS off."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(netloc) and netloc.lower() == host.lower()


def _too_large(environ: "WSGIEnvironment") -> Problem | None:
    """Looks at the length where there is one; else reads the body up to the limit and puts it back."""
    length = environ.get("CONTENT_LENGTH")
    if not length:
        if not environ.get("wsgi.input_terminated"):
            return None  # WSGI: no length, no body
        body = environ["wsgi.input"].read(MAX_BODY_BYTES + 1)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = length = str(len(body))
    if not re.fullmatch("[0-9]{1,18}", length):
        return Problem(Kind.BAD_REQUEST, "Content-Length is invalid")
    if int(length) > MAX_BODY_BYTES:
        return Problem(Kind.TOO_LARGE, Kind.TOO_LARGE.meaning)
    return None


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _curl(environ: "WSGIEnvironment") -> str:
    """The request as curl would send it right (7.82 and later), with its own body where that is short and JSON."""
    text = environ["wsgi.input"].read(MAX_SHOWN_BODY + 1).decode(errors="replace")
    shown = shlex.quote(text) if len(text) <= MAX_SHOWN_BODY and text.isprintable() and _is_json(text) else "'{...}'"
    method = "" if environ["REQUEST_METHOD"] == "POST" else f"-X {environ['REQUEST_METHOD']} "
    path = quote(environ.get("PATH_INFO", "").encode("latin-1"))
    query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
    url = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', 'localhost')}{path}{query}"
    return f"curl {method}--json {shown} {shlex.quote(url)}"
