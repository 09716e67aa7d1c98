"""The README tells all that users can touch, and nothing that is not there.

What has to be in it comes from the code: keys from the configuration's models, endpoints and problems from the routes,
commands and options from click, states and reasons from the model. A failure names what to write, and how.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path

import click
import pytest

from gateway.cli import main
from gateway.config import KEYS
from gateway.model import BoardState, CommandState, FailsafeCause, Mode, Quality, Reason
from gateway.tools.doctor import CODES
from gateway.web.app import ROUTES
from gateway.web.problems import Kind

README = Path(__file__).parent.parent / "README.md"
API = "/api/v1"
KEY = re.compile(r"(?:http|boards|journal|state_dir)(?:\.\w+)*")
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


def missing(words: Iterable[str], told: set[str]) -> list[str]:
    """Those of the words that are not told, as they have to be written."""
    return [f"`{word}`" for word in words if word not in told]


def test_every_key_is_told(spans: set[str]) -> None:
    assert not (add := missing(keys(), spans)), f"README.md, table of the configuration: add {', '.join(add)}"


def test_no_key_is_told_that_is_not_there(spans: set[str]) -> None:
    known = {*keys(), "http", "boards", "boards.NAME", "journal", "journal.db"}
    unknown = {span for span in spans if KEY.fullmatch(span)} - known
    assert not unknown, f"README.md tells of keys that are not there: {sorted(unknown)}"


def test_every_endpoint_is_told(documented_endpoints: set[str]) -> None:
    short = (endpoint.replace(API, "") for endpoint in endpoints())
    assert not (add := missing(short, documented_endpoints)), f"README.md, HTTP reference: add {', '.join(add)}"


def test_no_endpoint_is_told_that_is_not_there(documented_endpoints: set[str]) -> None:
    unknown = documented_endpoints - {endpoint.replace(API, "") for endpoint in endpoints()}
    assert not unknown, f"README.md tells of endpoints that are not there: {sorted(unknown)}"


def test_every_command_is_told_with_its_options(readme: str) -> None:
    """One line, as in a synopsis, has the command and all its long options."""
    lines = readme.splitlines()
    add = [
        f"`{' '.join([command, *options])}`"
        for command, options in commands()
        if not any(re.search(rf"\b{command}\b", line) and all(option in line for option in options) for line in lines)
    ]
    assert not add, f"README.md, command line: add a line with {', a line with '.join(add)}"


def test_the_options_of_the_gateway_itself_are_told(readme: str) -> None:
    options = [option for parameter in main.params for option in parameter.opts]
    add = [f"`gateway {option}`" for option in options if f"gateway {option}" not in readme]
    assert options == ["--version"]
    assert not add, f"README.md, command line: add {', '.join(add)}"


def test_every_status_is_told(spans: set[str]) -> None:
    statuses = sorted({status for route in ROUTES for status in route.statuses()})
    assert not (add := missing(map(str, statuses), spans)), (
        f"README.md, HTTP reference: say when {', '.join(add)} comes"
    )


def test_every_problem_is_told(spans: set[str]) -> None:
    add = missing((kind.code for kind in Kind), spans)
    assert not add, f"README.md, table of errors: add {', '.join(add)}"


@pytest.mark.parametrize("words", [BoardState, Mode, Reason, Quality, CommandState, FailsafeCause])
def test_every_state_is_told(spans: set[str], words: type[StrEnum]) -> None:
    add = missing((word.value for word in words), spans)
    assert not add, f"README.md: say what {words.__name__} {', '.join(add)} means"


def test_every_finding_of_the_doctor_is_told(spans: set[str]) -> None:
    add = missing(CODES, spans)
    assert not add, f"README.md, when something is wrong: add {', '.join(add)}"
