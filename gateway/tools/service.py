"""The texts of the service: a systemd unit and a udev rule, where they go, and the commands that put them in force.

Pure: looks at nothing, writes nothing, runs nothing; `gateway service` does.
"""

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.link.usb import KINDS

SERVICE = "gateway.service"
STATE_DIRECTORY = "gateway"  # in /var/lib, or in the user's own place for such things
RULES = Path("/etc/udev/rules.d/90-gateway.rules")  # after 60-serial and 85-brltty, whose findings it uses
SYSTEM_UNITS = Path("/etc/systemd/system")
WRITTEN_BY = "# Written by `gateway service install`"
"""How a file of ours begins; others are left alone."""

WATCHDOG = "2min"
"""Longer than a thread may rightly take for one thing: looking up a host name, with three name servers that do not
answer, one search domain and resolv.conf's defaults (5 s, 2 attempts), takes 60 s."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the unit runs: this interpreter, on this configuration, for a user's own service manager or the system's.
    `ports` are those of the boards, `group` is the one that may open serial ports, `exposed` is what of the home
    directories it has to see."""

    python: Path
    config: Path
    user: bool = False
    ports: tuple[str, ...] = ()
    group: str | None = None
    exposed: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """One file to be written."""

    path: Path
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What an installation writes, and runs afterwards."""

    files: tuple[File, ...]
    commands: tuple[tuple[str, ...], ...]


def install_plan(service: Service, *, units: Path, rules: Path) -> Plan:
    """The unit goes into `units`, the rule is the file `rules`; a user's own service manager has no say over udev, and
    gets none. Raises ValueError for a path that no unit can hold."""
    manager = systemctl(user=service.user)
    unit = File(units / SERVICE, unit_text(service))
    start = ((*manager, "daemon-reload"), (*manager, "enable", SERVICE), (*manager, "restart", SERVICE))
    if service.user:
        return Plan((unit,), (*start, ("loginctl", "enable-linger")))
    reload = (
        ("udevadm", "control", "--reload"),
        ("udevadm", "trigger", "--subsystem-match=usb", "--subsystem-match=tty"),
    )
    return Plan((unit, File(rules, rules_text())), (*reload, *start))


def systemctl(*, user: bool) -> tuple[str, ...]:
    """The command that speaks to that service manager."""
    return ("systemctl", "--user") if user else ("systemctl",)


# ---- the unit ----

UNIT = """\
{written_by}, which writes it anew the next time.
# Changes of your own: {edit}
[Unit]
Description=Arduino HTTP gateway
{order}
RequiresMountsFor={mounts}
# For years, whatever happens: a port or an address that is taken today may be free tomorrow.
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart={python} -I -m gateway run --config {config}
Restart=on-failure
RestartSec=5s
# A configuration that is wrong stays so until it is mended.
RestartPreventExitStatus=2
# Fed while the main thread, the journal and every board's thread move.
WatchdogSec={watchdog}
TimeoutStopSec=10s
StateDirectory={state}
StateDirectoryMode=0700
UMask=0077
{user}
{sandbox}

[Install]
WantedBy={target}
"""

USER_ORDER = "After=basic.target"

SYSTEM_ORDER = """\
# A kind of tty can be allowed, below, only once its driver is there.
Wants=modprobe@cdc_acm.service modprobe@usbserial.service
After=network.target modprobe@cdc_acm.service modprobe@usbserial.service"""

SANDBOX = """\
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM"""
"""What a service manager without privileges can hold a service to, as well as one with them."""

SYSTEM_SANDBOX = """\
CapabilityBoundingSet=
KeyringMode=private
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=strict
RemoveIPC=yes
# Serial ports and nothing else. /proc stays visible: the gateway names the program that holds a port.
DevicePolicy=closed"""

USUAL_TTYS = ("ttyACM", "ttyAMA", "ttyS", "ttyUSB")
TTY = re.compile(r"/dev/([A-Za-z]+)\d+")
"""A device file whose driver has the name that its files begin with, as in /proc/devices."""


def unit_text(service: Service) -> str:
    """The whole unit. It needs no editing."""
    sandbox = [SANDBOX] if service.user else [SANDBOX, SYSTEM_SANDBOX, *_ttys(service.ports), *_homes(service.exposed)]
    return UNIT.format(
        written_by=WRITTEN_BY,
        edit=" ".join((*systemctl(user=service.user), "edit", SERVICE)),
        order=USER_ORDER if service.user else SYSTEM_ORDER,
        mounts=f"{quoted(service.config)} {quoted(service.python)}",
        python=quoted(service.python, special="$"),
        config=quoted(service.config, special="$"),
        watchdog=WATCHDOG,
        state=STATE_DIRECTORY,
        user="\n".join(_identity(service)),
        sandbox="\n".join(sandbox),
        target="default.target" if service.user else "multi-user.target",
    )


def _identity(service: Service) -> Iterator[str]:
    if service.user:
        yield "# You have to be in the group of the serial ports yourself: sudo usermod -aG dialout $USER"
        return
    yield "# A user of its own, made at the start, that may open serial ports."
    yield "DynamicUser=yes"
    if service.group:
        yield f"SupplementaryGroups={service.group}"


def _ttys(ports: Sequence[str]) -> list[str]:
    """The usual kinds, whatever is configured later, and those of the ports."""
    kinds = {*USUAL_TTYS, *(found[1] for found in map(TTY.fullmatch, ports) if found)}
    return [f"DeviceAllow=char-{kind} rw" for kind in sorted(kinds)]


def _homes(exposed: Sequence[Path]) -> Iterator[str]:
    if not exposed:
        yield "ProtectHome=yes"
        return
    yield "# Of the home directories it sees what it runs, and that read-only."
    yield "ProtectHome=tmpfs"
    for path in exposed:
        yield f"BindReadOnlyPaths={quoted(path, special=':')}"


SPECIAL = {"$": "$$", ":": "\\:"}
"""What some settings expand or split at, and how it is written there: in commands, and in mounts."""


def quoted(path: Path, *, special: str = "") -> str:
    """The path as a setting has to write it in which one more character is `special`. Raises ValueError for a path that
    no unit can hold."""
    text = str(path)
    if not text.isprintable():
        raise ValueError(f"{text!r} can't stand in a unit; move it to a path without control characters")
    for character, written in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), *((each, SPECIAL[each]) for each in special)):
        text = text.replace(character, written)
    return f'"{text}"' if any(each in text for each in " '\"\\;") else text


# ---- the rule ----

RULES_TEXT = """\
{written_by}, which writes it anew the next time.
# For boards and the chips on them, by their USB ids.
ACTION=="remove", GOTO="gateway_end"
SUBSYSTEM!="usb|tty", GOTO="gateway_end"
{ids}
GOTO="gateway_end"

LABEL="gateway_board"
# ModemManager talks to each new port to find out whether it is a modem, to a board in its bootloader too.
SUBSYSTEM=="usb", ENV{{ID_MM_DEVICE_IGNORE}}="1"
SUBSYSTEM=="tty", ENV{{ID_MM_PORT_IGNORE}}="1"
# brltty takes a CH340 or CP2102 for a Braille display and keeps its port. Remove this line if you have such a display.
SUBSYSTEM=="usb", ENV{{BRLTTY_BRAILLE_DRIVER}}=="?*", ENV{{BRLTTY_BRAILLE_DRIVER}}="", ENV{{SYSTEMD_WANTS}}=""
# Names that stay: by what the board says of itself, where that is a serial number, and by where it is plugged in.
SUBSYSTEM=="tty", ENV{{ID_SERIAL_SHORT}}=="?*", SYMLINK+="gateway-id-$env{{ID_SERIAL_SHORT}}"
SUBSYSTEM=="tty", ENV{{ID_PATH_TAG}}=="?*", SYMLINK+="gateway-at-$env{{ID_PATH_TAG}}"
LABEL="gateway_end"
"""


def rules_text() -> str:
    """The rule for all boards that the gateway knows, those in their bootloader too."""
    ids = [
        f'ATTRS{{idVendor}}=="{vendor:04x}", '
        f'ATTRS{{idProduct}}=="{"|".join(f"{product:04x}" for _, product in products)}", GOTO="gateway_board"'
        for vendor, products in itertools.groupby(sorted(KINDS), key=lambda each: each[0])
    ]
    return RULES_TEXT.format(written_by=WRITTEN_BY, ids="\n".join(ids))
