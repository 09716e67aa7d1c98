"""On PYTHONPATH, this takes from the gateway and its tests every module that only POSIX systems have, in this process
and all that it starts. Other packages keep theirs: on Windows they have their own ways."""

import builtins
from collections.abc import Mapping
from types import ModuleType

HIDDEN = frozenset({"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"})
HIDDEN_FROM = frozenset({"gateway", "tests"})

import_anything = builtins.__import__


def import_as_on_windows(
    name: str, globals: Mapping[str, object] | None = None, *arguments: object, **named: object
) -> ModuleType:
    importer = str((globals or {}).get("__name__")).partition(".")[0]
    if name in HIDDEN and importer in HIDDEN_FROM:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return import_anything(name, globals, *arguments, **named)  # type: ignore[arg-type]


builtins.__import__ = import_as_on_windows
