"""The README tells all that users can touch, and nothing that is not there.

What has to be in it comes from the code: keys from the configuration's models, endpoints and problems from the routes,
commands and options from click, states and reasons from the model. A failure names what to write, and how.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gateway.cli import main
from gateway.config import KEYS
from gateway.model import BoardState, CommandState, FailsafeCause, Quality, Reason
from gateway.web.app import ROUTES
from gateway.web.problems import Kind

README = Path(__file__).parent.parent / "README.md"
API = "/api/v1"
KEY = re.compile(r"(?:http|boards|state_dir)(?:\.\w+)*")
ENDPOINT = re.compile(r"(GET|PUT|POST|DELETE|PATCH) (/\S*)")


def keys() -> Iterator[str]:
    """`boards.NAME.port`, `http.listen`, ..."""
    return (".".join(path) for path in KEYS)


def endpoints() -> Iterator[str]:
    """`GET /api/v1/boards/{board}`, ..."""
    return (f"{route.method} {route.path}" for route in ROUTES)


def commands(command: click.Command = main, name: str = "gateway") -> Iterator[tuple[str, list[str]]]:
    """Every command that does something, with its long options."""
    if not isinstance(command, click.Group):
        yield name, [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        return
    context = click.Context(command)
    for inner in command.list_commands(context):
        found = command.get_command(context, inner)
        assert found is not None
        yield from commands(found, f"{name} {inner}")


@pytest.fixture(scope="module")
def readme() -> str:
    assert README.is_file(), "write README.md"
    return README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def spans(readme: str) -> set[str]:
    """What stands between backticks in running text and tables."""
    prose = re.sub(r"^```.*?^```", "", readme, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`\n]+)`", prose))


@pytest.fixture(scope="module")
def documented_endpoints(spans: set[str]) -> set[str]:
    """Endpoints as `GET /boards/{board}`, with or without /api/v1."""
    return {
        f"{match[1]} {match[2].split('?')[0].removeprefix(API)}" for match in map(ENDPOINT.fullmatch, spans) if match
    }


@pytest.mark.parametrize("key", list(keys()))
def test_every_key_is_told(spans: set[str], key: str) -> None:
    assert key in spans, f"README.md, table of the configuration: add `{key}`"


def test_no_key_is_told_that_is_not_there(spans: set[str]) -> None:
    known = {*keys(), "http", "boards", "boards.NAME"}
    assert {span for span in spans if KEY.fullmatch(span)} <= known


@pytest.mark.parametrize("endpoint", list(endpoints()))
def test_every_endpoint_is_told(documented_endpoints: set[str], endpoint: str) -> None:
    short = endpoint.replace(API, "")
    assert short in documented_endpoints, f"README.md, HTTP reference: add a row with `{short}`"


def test_no_endpoint_is_told_that_is_not_there(documented_endpoints: set[str]) -> None:
    assert documented_endpoints <= {endpoint.replace(API, "") for endpoint in endpoints()}


@pytest.mark.parametrize(("command", "options"), list(commands()))
def test_every_command_is_told_with_its_options(readme: str, command: str, options: list[str]) -> None:
    lines = [line for line in readme.splitlines() if re.search(rf"\b{command}\b", line)]
    synopsis = " ".join([command, *options])
    assert any(all(option in line for option in options) for line in lines), (
        f"README.md, command line: add one line with `{synopsis}`"
    )


@pytest.mark.parametrize("option", ["--version"])
def test_the_options_of_the_gateway_itself_are_told(readme: str, option: str) -> None:
    assert f"gateway {option}" in readme, f"README.md, command line: add `gateway {option}`"


@pytest.mark.parametrize("status", sorted({status for route in ROUTES for status in route.statuses()}))
def test_every_status_is_told(spans: set[str], status: int) -> None:
    assert str(status) in spans, f"README.md, HTTP reference: say when `{status}` comes"


@pytest.mark.parametrize("problem", [kind.code for kind in Kind])
def test_every_problem_is_told(spans: set[str], problem: str) -> None:
    assert problem in spans, f"README.md, table of errors: add a row with `{problem}`"


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (words.__name__, word.value)
        for words in (BoardState, Reason, Quality, CommandState, FailsafeCause)
        for word in words
    ],
)
def test_every_state_is_told(spans: set[str], of: str, word: str) -> None:
    assert word in spans, f"README.md: say what {of} `{word}` means"
