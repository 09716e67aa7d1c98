"""The house keeps its shape: who may import whom, which library stays behind which fence, and no sleeping.

Reads the sources and imports nothing of them. Each rule is a function over parsed modules; the last tests hand every
rule a small program that breaks it.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
Modules = Mapping[str, ast.Module]

OPEN_TO_ALL = {"gateway", "model", "errors", "duration", "text", "heartbeat"}
"""Values, exceptions, two small formats and a sign of life: every package may know them; `gateway` is its version."""

MAY_IMPORT: Mapping[str, frozenset[str]] = {
    "gateway": frozenset(),
    "model": frozenset(),
    "errors": frozenset(),
    "duration": frozenset(),
    "text": frozenset(),
    "heartbeat": frozenset(),
    "notify": frozenset(),
    "resources": frozenset(),
    "protocol": frozenset(),
    "link": frozenset({"protocol"}),
    "store": frozenset(),
    "board": frozenset({"link", "protocol"}),
    # how a board describes itself and what its values are, and nothing of a board's thread
    "tools": frozenset(
        {"link", "protocol", "board.describe", "board.procedure", "board.schema", "board.values", "resources"}
    ),
    "web": frozenset({"board", "store", "link.tap", "link.traffic", "link.recording"}),  # what passed on a link
    "integrations": frozenset({"board", "store"}),
    "server": frozenset({"web.problems", "web.environ"}),  # what it shares with the app; neither knows Flask
    "config": frozenset(),
    "runtime": frozenset(
        {
            *("protocol", "link", "store", "board", "tools", "web", "integrations"),
            *("server", "config", "resources", "notify"),
        }
    ),
    # the version of the protocol, what the URLs of boards in software may say, and the files of recordings
    "cli": frozenset(
        {
            *("config", "runtime", "tools", "resources", "protocol.messages"),
            *("link.software_url", "link.recording", "link.recorder"),
        }
    ),
    "__main__": frozenset({"cli"}),
}
"""What of the gateway each of its packages may import beside itself: a package, or one module of it."""

FENCES: Mapping[str, frozenset[str]] = {
    "serial": frozenset({"link", "tools"}),
    "flask": frozenset({"web"}),
    "werkzeug": frozenset({"web"}),
    "waitress": frozenset({"server"}),
    "sqlalchemy": frozenset({"store"}),
    "yaml": frozenset({"config"}),
    "click": frozenset({"cli"}),
    "pydantic": frozenset({"config", "web"}),
    "pydantic_core": frozenset({"config", "web"}),
}
"""Every library from outside, and the packages that may know it."""

TYPING_ONLY = {"_typeshed"}
STANDARD_LIBRARY_ONLY = {
    *("protocol", "model", "errors", "duration", "text", "heartbeat", "notify", "board", "resources", "runtime"),
}


def parsed(folder: Path) -> Modules:
    """Every module of a folder by its dotted name."""
    modules = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        modules[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return modules


def package_of(module: str) -> str:
    """`board` for `gateway.board.worker`, `runtime` for `gateway.runtime`."""
    return module.split(".")[1] if "." in module else module


def imports(module: str, modules: Modules) -> Iterator[tuple[str, int]]:
    """What a module imports anywhere in it, as absolute names, and in which line."""
    for node in ast.walk(modules[module]):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno}: imports are absolute here"
            source = node.module or ""
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner if inner in modules else source), node.lineno


# ---- the rules: each gives what breaks it ----


def forbidden_imports(modules: Modules) -> list[str]:
    """Imports that the table does not allow."""
    found = []
    for module in modules:
        package = package_of(module)
        for target, line in imports(module, modules):
            if target.split(".")[0] != "gateway" or package_of(target) in {package, *OPEN_TO_ALL}:
                continue
            inner = target.removeprefix("gateway.")
            if not any(inner == name or inner.startswith(f"{name}.") for name in MAY_IMPORT[package]):
                found.append(f"{module}:{line} imports {target}; {package} may import {sorted(MAY_IMPORT[package])}")
    return found


def breached_fences(modules: Modules) -> list[str]:
    """Libraries from outside where they don't belong, or that have no fence at all."""
    found = []
    for module in modules:
        package = package_of(module)
        for target, line in imports(module, modules):
            library = target.split(".")[0]
            if library == "gateway" or library in sys.stdlib_module_names or library in TYPING_ONLY:
                continue
            if package in STANDARD_LIBRARY_ONLY or package not in FENCES.get(library, frozenset()):
                found.append(
                    f"{module}:{line} imports {library}; allowed in {sorted(FENCES.get(library, frozenset()))}"
                )
    return found


def cycles(modules: Modules) -> list[str]:
    """Modules that import each other in a circle, wherever in them the imports stand."""
    graph = {
        module: {target for target, _ in imports(module, modules) if target in modules and target != module}
        for module in modules
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            found.append(" -> ".join((*trail[trail.index(module) :], module)))
        elif module not in done:
            for target in sorted(graph[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in graph:
        visit(module, ())
    return found


def sleeps(modules: Modules) -> list[str]:
    """Calls of a `sleep`: wait on an event, a condition or a real signal, with a timeout."""
    return [
        f"{module}:{node.lineno} sleeps"
        for module, tree in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) == "sleep"
    ]


def undocumented(modules: Modules) -> list[str]:
    """Modules without a docstring: what it owns, which thread runs it, what it must not do."""
    return [module for module, tree in modules.items() if not ast.get_docstring(tree)]


# ---- the project ----


@pytest.fixture(scope="module")
def gateway() -> Modules:
    modules = parsed(ROOT / "gateway")
    assert len(modules) > 30
    return modules


@pytest.fixture(scope="module")
def everything(gateway: Modules) -> Modules:
    return {**gateway, **parsed(ROOT / "tests"), **parsed(ROOT / "scripts")}


def test_imports_point_down(gateway: Modules) -> None:
    assert forbidden_imports(gateway) == []


def test_libraries_stay_behind_their_fences(gateway: Modules) -> None:
    assert breached_fences(gateway) == []


def test_the_server_serves_any_application(gateway: Modules) -> None:
    reached, waiting = set[str](), ["gateway.server"]
    while waiting:
        module = waiting.pop()
        if module in gateway and module not in reached:
            waiting += [target for target, _ in imports(module, gateway)]
        reached.add(module)
    assert "gateway.web.problems" in reached
    assert {module for module in reached if module.split(".")[0] in {"flask", "werkzeug", "click", "serial"}} == set()


def test_nothing_imports_in_a_circle(gateway: Modules) -> None:
    assert cycles(gateway) == []


def test_nothing_sleeps(everything: Modules) -> None:
    assert sleeps(everything) == []


def test_every_module_says_what_it_owns(everything: Modules) -> None:
    assert undocumented(everything) == []


def test_the_table_itself_points_down() -> None:
    order: list[str] = []
    waiting = {name: {target.split(".")[0] for target in targets} for name, targets in MAY_IMPORT.items()}
    while waiting:
        ready = [name for name, targets in waiting.items() if targets <= set(order)]
        assert ready, f"these import each other: {sorted(waiting)}"
        order += ready
        waiting = {name: targets for name, targets in waiting.items() if name not in ready}


# ---- every rule can fail ----


def program(**sources: str) -> Modules:
    """Modules of a made-up gateway; `_` in a name stands for a dot."""
    return {f"gateway.{name.replace('_', '.')}": ast.parse(source) for name, source in sources.items()}


@pytest.mark.parametrize(
    ("rule", "modules", "finding"),
    [
        (
            forbidden_imports,
            program(protocol_framing="import gateway.link"),
            "gateway.protocol.framing:1 imports gateway.link",
        ),
        (forbidden_imports, program(store_latest="\nfrom gateway.board import worker"), "gateway.store.latest:2"),
        (
            forbidden_imports,
            program(board_worker="def f():\n  from gateway.web.app import x"),
            "gateway.board.worker:2",
        ),
        (
            forbidden_imports,
            program(web="from gateway import config", config=""),
            "gateway.web:1 imports gateway.config",
        ),
        (
            forbidden_imports,
            program(server="from gateway.web.app import x"),
            "gateway.server:1 imports gateway.web.app",
        ),
        (forbidden_imports, program(cli_run="import gateway.protocol.session"), "gateway.cli.run:1"),
        (breached_fences, program(board_worker="import serial"), "gateway.board.worker:1 imports serial"),
        (breached_fences, program(config="from flask.globals import g"), "gateway.config:1 imports flask"),
        (breached_fences, program(protocol_messages="import pydantic"), "gateway.protocol.messages:1 imports pydantic"),
        (breached_fences, program(web_app="import requests"), "gateway.web.app:1 imports requests; allowed in []"),
        (
            cycles,
            program(a="import gateway.b", b="def f():\n  import gateway.c", c="from gateway import a"),
            "gateway.a -> gateway.b -> gateway.c -> ",
        ),
        (sleeps, program(board_worker="import time\ntime.sleep(1)"), "gateway.board.worker:2 sleeps"),
        (sleeps, program(board_worker="from time import sleep\nsleep(1)"), "gateway.board.worker:2 sleeps"),
        (undocumented, program(web="x = 1"), "gateway.web"),
    ],
)
def test_every_rule_finds_what_breaks_it(rule: Callable[[Modules], list[str]], modules: Modules, finding: str) -> None:
    (found,) = rule(modules)
    assert found.startswith(finding)
    innocent = program(web_app='"""Doc."""\nimport time, flask\nfrom gateway.model import Clock\ntime.monotonic()')
    assert rule(innocent) == []
