"""What a service under a user of its own can reach: where the interpreter finds the gateway, and whether strangers may
read that.

The caller's thread. Asks the interpreter and looks at permissions; changes nothing.
"""

import json
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import GatewayError
from gateway.link.discovery import device_of

HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
"""What a service sees of only where it is told to; the directories above that are then its own, with any permission."""
EMPTIED = (Path("/tmp"), Path("/var/tmp"))
"""What a service has of its own, and what is gone after the next start."""

PROBE_TIMEOUT_S = 60.0
PROBE = """\
import json, os, sys, gateway.cli
found = [sys.prefix, sys.base_prefix, os.path.realpath(sys.executable), gateway.cli.__file__, *sys.path]
print(json.dumps([path for path in found if os.path.exists(path)]))
"""


class ServiceError(GatewayError):
    """The service can't be installed so; the text says why, and the cure."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a service has to see: `needed` all of it, `exposed` the trees of it that lie in home directories."""

    needed: tuple[Path, ...]
    exposed: tuple[Path, ...]


def reach_of(python: Path, *files: Path) -> Reach:
    """What a service needs that has this interpreter run the gateway on these files. Raises ServiceError where that
    works from here only."""
    named = (*_asked(python), *files)
    needed = tuple(dict.fromkeys((*named, *(path.resolve() for path in named))))
    trees = sorted({path for path in needed if _within(path, HOMES)})
    outermost = tuple(path for path in trees if not _within(path, [other for other in trees if other != path]))
    return Reach(needed, outermost)


def check_reach(reach: Reach) -> None:
    """Raises ServiceError for the first thing that a user of its own could not read."""
    for path in reach.needed:
        if root := _within(path, EMPTIED):
            raise ServiceError(
                f"{path} lies in {root}, which no service sees and which does not last: install the gateway, and keep "
                "its configuration, elsewhere, in /opt for instance"
            )
        if (closed := _closed(path, reach.exposed)) is not None:
            cure = f"sudo chmod o+r{'x' if closed.is_dir() else ''} {closed}"
            raise ServiceError(
                f"the service runs under a user of its own, which may not read {closed}: {cure} (or --user, to run it "
                "under yours)"
            )


def devices_of(ports: Iterable[str]) -> tuple[str, ...]:
    """The ports, by the names of their drivers' device files where they are known by another."""
    return tuple(device_of(port) for port in ports)


def _asked(python: Path) -> tuple[Path, ...]:
    command = [str(python), "-I", "-c", PROBE]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=PROBE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise ServiceError(
            f"{python} finds the gateway from here only ({why}): install it into a virtual environment first, as "
            "`make run` does"
        )
    return tuple(Path(path) for path in json.loads(done.stdout))


def _within(path: Path, roots: Iterable[Path]) -> Path | None:
    """The root that the path is or lies in."""
    return next((root for root in roots if path.is_relative_to(root)), None)


def _closed(path: Path, exposed: Iterable[Path]) -> Path | None:
    """What of the way to the path strangers may not read or enter. What lies above an exposed tree does not count."""
    tree = _within(path, exposed)
    way = [path, *path.parents]
    counting = way if tree is None else [each for each in way if each.is_relative_to(tree)]
    return next((each for each in reversed(counting) if not _open_to_all(each, last=each == path)), None)


def _open_to_all(path: Path, *, last: bool) -> bool:
    mode = path.stat().st_mode
    wanted = stat.S_IXOTH if stat.S_ISDIR(mode) else 0
    if last:
        wanted |= stat.S_IROTH
    return mode & wanted == wanted
