"""Reads the configuration: the file, over it the environment, over that the command line.

Every fault of all three is reported at once. Runs in the main thread before anything is started, and opens nothing but
the file.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError

from gateway.config import source as yaml_source
from gateway.config.model import KEYS, NAME, STATE_DIR, Config
from gateway.config.report import Report, nearest
from gateway.config.source import KeyPath, Source
from gateway.errors import ConfigError

DEFAULT_FILE = "config.yaml"
ONLY_BOARD = "board"  # what `--port` names its board where no file names one
VARIABLE_PREFIX = "GATEWAY_"
STATE_VARIABLE = "STATE_DIRECTORY"  # set by systemd; several are separated by colons

VIRTUAL = ("virtual://", "replay://")
AUTO = "auto"  # any number of boards may be looked for

VirtualCheck = Callable[[str], object]
"""Raises ValueError, saying what would be right, for a URL that means no board in software."""


def load(
    path: Path | None,
    *,
    environ: Mapping[str, str],
    port: str | None = None,
    listen: str | None = None,
    check_virtual: VirtualCheck = str,  # takes any
) -> Config:
    """The configuration of `path` (None: there is no file) under `environ` and the two options of the command line.

    ConfigError lists everything that is wrong. Only the variables `GATEWAY_*` and `STATE_DIRECTORY` are looked at.
    Which virtual boards there are is known where they are made: `check_virtual` asks there.
    """
    if path is None and port is None:
        cures = (
            "write one, name one with --config FILE, or give a port: gateway run --port auto "
            "(or /dev/ttyACM0, or virtual://uno)"
        )
        raise ConfigError([f"there is no {DEFAULT_FILE} here: {cures}"])
    source = _read(path) if path else Source()
    draft = _Draft(str(path) if path else "", source)
    if not source.readable:
        raise ConfigError(draft.problems())
    if port is not None:
        draft.override_port(port)
    if listen is not None:
        draft.override("--listen", ("http", "listen"), listen)
    draft.override_from_environment(environ)
    draft.values.setdefault("state_dir", environ.get(STATE_VARIABLE, "").split(":")[0] or STATE_DIR)
    draft.check_virtual_ports(check_virtual)
    config = draft.check()
    return config.model_copy(update={"state_dir": (path.parent if path else Path()) / config.state_dir})


def variables(boards: Iterable[str]) -> dict[str, KeyPath]:
    """Every environment variable that overrides a key, for a configuration with these boards."""
    named = [tuple(board if key == NAME else key for key in path) for board in boards for path in KEYS if NAME in path]
    paths = [path for path in KEYS if NAME not in path]
    return {VARIABLE_PREFIX + "__".join(path).upper(): path for path in (*paths, *named)}


def _read(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            data = file.read(yaml_source.MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([f"{path}: {error.strerror or error}; --config names another file"]) from error
    if len(data) > yaml_source.MAX_BYTES:
        raise ConfigError([f"{path}: larger than {yaml_source.MAX_BYTES // 1024} KiB"])
    try:
        return yaml_source.read(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"{path}:{line}: not UTF-8; save the file in that encoding"]) from error


class _Draft:
    """The values before they are checked, and the report of what is wrong with them."""

    def __init__(self, file: str, source: Source) -> None:
        self.values = source.values
        self._report = Report(file, source)

    def override(self, origin: str, path: KeyPath, value: object) -> None:
        """Lay a value over what stands there; a faulty section in the way is left, to be reported."""
        section: object = self.values
        for key in path[:-1]:
            if not isinstance(section, dict):
                return
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
        if isinstance(section, dict):
            section[path[-1]] = value
            self._report.origins[path] = origin

    def override_port(self, port: str) -> None:
        """`--port` means the only board; where there is none it makes one."""
        names = list(self._boards()) or [ONLY_BOARD]
        if len(names) == 1:
            self.override("--port", ("boards", names[0], "port"), port)
            return
        cure = f"set {VARIABLE_PREFIX}BOARDS__{names[0].upper()}__PORT for one of them, or edit the file"
        self._report.add("--port", f"the file has {len(names)} boards ({', '.join(names)}); {cure}")

    def override_from_environment(self, environ: Mapping[str, str]) -> None:
        """`GATEWAY_*` variables; one that means no key is a problem. The options of the command line win over them."""
        known = variables(self._boards())
        for variable in sorted(name for name in environ if name.startswith(VARIABLE_PREFIX)):
            if variable not in known:
                self._report.add(variable, f"overrides no key; {nearest(variable, known)}")
            elif known[variable] not in self._report.origins:
                self._override_by(variable, known[variable], environ[variable])

    def problems(self) -> list[str]:
        """What is wrong so far."""
        return self._report.problems()

    def check_virtual_ports(self, check: VirtualCheck) -> None:
        """Reports the ports of virtual boards that there are not."""
        for name, port in self._ports():
            if port.startswith(VIRTUAL):
                try:
                    check(port)
                except ValueError as error:
                    self._report.add_at(("boards", name, "port"), str(error))

    def check(self) -> Config:
        """The values as a `Config`, or a ConfigError with every problem."""
        self._check_shared_ports()
        self._check_shared_matches()
        try:
            config = Config.model_validate(self.values)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                self._report.add_fault(fault)
            raise ConfigError(self.problems()) from None
        if problems := self.problems():
            raise ConfigError(problems)
        return config

    def _override_by(self, variable: str, path: KeyPath, text: str) -> None:
        try:
            value = yaml_source.scalar(text)
        except ValueError:
            self._report.add(variable, "neither text nor a number that can be read")
        else:
            self.override(variable, path, value)

    def _boards(self) -> Mapping[str, object]:
        boards = self.values.get("boards")
        return boards if isinstance(boards, dict) else {}

    def _ports(self) -> Iterator[tuple[str, str]]:
        """The port of each board by its name, where it is a text at least."""
        for name, board in self._boards().items():
            port = board.get("port") if isinstance(board, dict) else None
            if isinstance(port, str):
                yield name, port

    def _check_shared_ports(self) -> None:
        """A serial port has one owner. Virtual boards are made anew for each."""
        owners: dict[str, str] = {}
        for name, port in self._ports():
            if port != AUTO and not port.startswith(VIRTUAL) and owners.setdefault(port, name) != name:
                self._report.add_at(("boards", name, "port"), f"{port} is the port of board {owners[port]} already")

    def _check_shared_matches(self) -> None:
        """What tells one board can't tell another."""
        owners: dict[tuple[str, str], str] = {}
        for name, board in self._boards().items():
            match = board.get("match") if isinstance(board, dict) else None
            for key, value in match.items() if isinstance(match, dict) else ():
                owner = owners.setdefault((key, str(value).lower()), name)
                if value is not None and owner != name:
                    self._report.add_at(("boards", name, "match", key), f"{value} is told of board {owner} already")
