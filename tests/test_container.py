"""The Dockerfile, without Docker: what it copies is there and enough, what it sets means something, and its health
check tells the living from the dead."""

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.config import DEFAULT_FILE, load
from gateway.config.load import variables
from gateway.errors import ConfigError
from tests.running import GatewayProcess

ROOT = Path(__file__).parent.parent
ALLOWED = "GATEWAY_HTTP__ALLOW_ANONYMOUS"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Every instruction with the rest of its line, continuation lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


@pytest.fixture(scope="module")
def settings(instructions: list[tuple[str, str]]) -> dict[str, str]:
    """The variables that the image sets."""
    (line,) = (rest for name, rest in instructions if name == "ENV")
    return dict(setting.split("=", 1) for setting in shlex.split(line))


def copied(instructions: list[tuple[str, str]]) -> list[tuple[Path, str]]:
    """What comes from the checkout, and where it goes."""
    found = []
    for rest in (rest for name, rest in instructions if name == "COPY" and not rest.startswith("--from")):
        *sources, target = rest.split()
        found += [(Path(source), target) for source in sources]
    return found


def in_context(path: Path) -> bool:
    """Whether .dockerignore lets it through; the last pattern that matches counts."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    included = True
    for line in (line for line in lines if line and not line.startswith("#")):
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [str(part) for part in (path, *path.parents)][:-1]
        if any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(Path(name).name, pattern) for name in names):
            included = line.startswith("!")
    return included


def test_what_is_copied_is_there_and_nothing_else_is_sent(instructions: list[tuple[str, str]]) -> None:
    sources = [source for source, _ in copied(instructions)]
    assert [source for source in sources if not (ROOT / source).exists() or not in_context(source)] == []
    unwanted = [
        ".git",
        ".gateway",
        ".venv",
        "build",
        "tests",
        "firmware/build",
        "gateway/__pycache__",
        "firmware/Makefile",
    ]
    assert [path for path in unwanted if in_context(Path(path))] == []


@pytest.mark.process
def test_what_is_copied_is_enough_to_install_it(instructions: list[tuple[str, str]], tmp_path: Path) -> None:
    for source, target in copied(instructions):
        if target.startswith("/"):
            continue
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, tmp_path / target)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_serves_to_all_only_once_that_is_allowed(settings: dict[str, str]) -> None:
    """-p decides who reaches a container, and whoever writes it has to say so to the gateway, too."""
    environ = {name: value for name, value in settings.items() if name != "PATH"}
    assert {name for name in environ if name.startswith("GATEWAY_")} <= set(variables(["uno"]))
    with pytest.raises(ConfigError, match=r"Set http\.allow_anonymous: true if you mean that"):
        load(ROOT / DEFAULT_FILE, environ=environ)
    config = load(ROOT / DEFAULT_FILE, environ={**environ, ALLOWED: "true"})
    assert str(config.http.listen) == "0.0.0.0:8080"
    assert str(config.state_dir) == settings["STATE_DIRECTORY"]


def test_it_is_nobody_who_keeps_things_where_the_volume_is(
    instructions: list[tuple[str, str]], settings: dict[str, str]
) -> None:
    told = dict(instructions)  # the last of each
    assert told["USER"] not in ("root", "0")
    assert told["VOLUME"] == settings["STATE_DIRECTORY"]
    assert told["EXPOSE"] == settings["GATEWAY_HTTP__LISTEN"].rpartition(":")[2]
    assert ("COPY", f"{DEFAULT_FILE} {told['WORKDIR']}/{DEFAULT_FILE}") in instructions
    (program,) = json.loads(told["ENTRYPOINT"])
    (command,) = json.loads(told["CMD"])
    assert program == "gateway"
    assert command in main.list_commands(None)  # type: ignore[arg-type]


@pytest.mark.process
def test_the_health_check_tells_the_living_from_the_dead(instructions: list[tuple[str, str]]) -> None:
    (check,) = (rest.partition(" CMD ")[2] for name, rest in instructions if name == "HEALTHCHECK")
    python, option, program = json.loads(check)
    assert (python, "http://127.0.0.1:8080/" in program) == ("python", True)

    def healthy(url: str) -> bool:
        asked = program.replace("http://127.0.0.1:8080", url)
        return subprocess.run([sys.executable, option, asked], capture_output=True, check=False).returncode == 0

    with GatewayProcess("--port", "/dev/does-not-exist") as gateway:
        gateway.until(lambda: healthy(gateway.url), bool)  # whatever the boards do
        gateway.stop()
        assert not healthy(gateway.url)
