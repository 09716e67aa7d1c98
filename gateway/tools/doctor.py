"""What is wrong with a board, what that means, and the command that mends it. Pure: a table over what others gathered.

Each rule looks at the evidence and gives a finding or None. Their order is that of the report: what keeps the board
from working first.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.link.discovery import PluggedPort
from gateway.link.holders import Holder
from gateway.model import BoardState, BoardStatus, Diagnosis, FailsafeCause, Finding, Reason, Severity

DAY_S = 86_400.0
MANY_RESETS = 3  # in a day; one or two are a plug, or somebody's finger
NOISY_SHARE = 0.001  # of frames; a sound USB line loses none
FEWEST_REJECTS = 5
BLOCKED_LOOP_S = 0.1  # between two looks at the line
SLOW_LATENCY_MS = 4  # of an FTDI chip; its driver begins with 16
LOW_RAM = 150  # bytes between heap and stack on a board of 2 KB; an interrupt alone takes some 40
LOW_DISK_BYTES = 50_000_000
LISTED_PORTS = 5
MODEM_MANAGER, BRLTTY = "ModemManager", "brltty"
BRLTTY_IDS = ("1a86:7523", "10c4:ea60")
"""Chips that brltty takes for Braille displays: CH340 and CP2102."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was gathered about one board at `now_s` (Unix). `holders` and `may_open` are None where the system can't
    tell, `latency_timer_ms` where the chip has none; `meddlers` are programs that run here and try serial ports."""

    status: BoardStatus
    now_s: float
    plugged: tuple[PluggedPort, ...] = ()
    holders: tuple[Holder, ...] | None = None
    may_open: bool | None = None
    permission_cure: str = ""
    latency_timer_ms: int | None = None
    meddlers: tuple[str, ...] = ()
    journal_fault: str | None = None
    state_dir: str = ""
    free_bytes: int | None = None

    @property
    def name(self) -> str:
        """The board's."""
        return self.status.board

    @property
    def usb_ids(self) -> str | None:
        """Of the device that the port is, where it is plugged in."""
        return next((each.usb_ids for each in self.plugged if each.port == self.status.port), None)

    @property
    def is_device(self) -> bool:
        """The port is a serial port of this machine."""
        return "://" not in self.status.port


Rule = Callable[[Evidence], Finding | None]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Every finding, worst first."""
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    order = list(Severity)
    return Diagnosis(
        evidence.name, _summary(evidence.status), tuple(sorted(found, key=lambda each: order.index(each.severity)))
    )


def _summary(status: BoardStatus) -> str:
    counters = status.counters
    received, rejected = counters.get("frames_received", 0), counters.get("frames_rejected", 0)
    facts = [
        f"board {status.board} is {status.state}",
        f"on {status.port}",
        f"{status.schema.sketch.name} {status.schema.sketch.version}" if status.schema else "its sketch is not known",
        f"{received} frames taken and {rejected} rejected",
        f"{status.resets} resets",
    ]
    if status.round_trip_s is not None:
        facts.append(f"a round trip takes {status.round_trip_s * 1000:.1f} ms")
    if status.vitals is not None:
        facts.append(
            f"its loop takes {status.vitals.loop_max_s * 1000:.1f} ms at most, {status.vitals.free_ram} bytes are free"
        )
    return ", ".join(facts)


# ---- it does not work ----

REASONS: dict[Reason, tuple[str, str]] = {
    Reason.PORT_MISSING: (
        "There is no such port now: the board is not plugged in, by a cable that only charges, or the system calls it "
        "something else.",
        "gateway ports",
    ),
    Reason.PORT_BUSY: (
        "Two programs on one port take bytes from each other, so the gateway stays away.",
        "close the Arduino IDE's serial monitor, or the program named above",
    ),
    Reason.PERMISSION_DENIED: ("This user may not open serial ports.", "sudo usermod -aG dialout $USER"),
    Reason.PORT_AMBIGUOUS: (
        "More boards are plugged in than are configured, and opening one resets it, so none is opened.",
        "gateway ports, then write a `match:` line for the board into config.yaml",
    ),
    Reason.NO_ANSWER: (
        "Nothing that can be understood comes from the board: no sketch with the bridge is on it, it hangs, or it is "
        "held in its bootloader.",
        "press its reset button; if that does not help: gateway flash --board {board}",
    ),
    Reason.WRONG_BAUD: (
        "The board talks, at another rate than the gateway listens.",
        "write `baud: auto`, or the rate of the sketch's bridge.begin(), into config.yaml",
    ),
    Reason.WRONG_SKETCH: (
        "Another sketch is on the board.",
        "gateway flash --board {board}, or add the bridge to that sketch: gateway sketch new NAME",
    ),
    Reason.WRONG_VERSION: (
        "Sketch and gateway speak different versions of the link protocol.",
        "gateway flash --board {board}",
    ),
    Reason.WRONG_BOARD: (
        "The board that answers is not the one that the configuration means.",
        "gateway ports, then mend `match:` in config.yaml, or swap the plugs",
    ),
    Reason.SCHEMA_REFUSED: (
        "The sketch describes itself in a way that can't be published.",
        "mend the line of its table that is named above, and upload it again",
    ),
}
"""What a board's `reason` means, and the cure."""


def _why_offline(evidence: Evidence) -> Finding | None:
    status = evidence.status
    if status.reason is None:
        return None
    meaning, cure = REASONS[status.reason]
    seen = status.detail or f"the board is {status.state}"
    match status.reason:
        case Reason.PORT_BUSY if evidence.holders:
            named = ", ".join(map(str, evidence.holders))
            seen, cure = f"{seen}. Held by {named}", f"close it: kill {evidence.holders[0].pid}"
        case Reason.PERMISSION_DENIED if evidence.permission_cure:
            cure = evidence.permission_cure
        case Reason.PORT_MISSING if boards := [each for each in evidence.plugged if each.may_be_board]:
            named = "; ".join(map(str, boards[:LISTED_PORTS]))
            cure = f"write the right port into config.yaml, or `port: auto`. Plugged in: {named}"
        case _:
            pass
    return Finding(status.reason, Severity.PROBLEM, seen, meaning, cure.format(board=status.board))


def _degraded(evidence: Evidence) -> Finding | None:
    if evidence.status.state is not BoardState.DEGRADED:
        return None
    return Finding(
        "degraded",
        Severity.PROBLEM,
        evidence.status.detail or "readings do not come",
        "The link stands, but the sketch does not answer in time: its loop is blocked, or the line is noisy.",
        "let the sketch call bridge.poll() often, and wait in delay() rather than in loops of its own",
    )


def _journal(evidence: Evidence) -> Finding | None:
    if evidence.journal_fault is None:
        return None
    return Finding(
        "journal_failing",
        Severity.PROBLEM,
        evidence.journal_fault,
        "Commands are refused, since nobody could tell later what became of them. Readings go on.",
        f"df -h {evidence.state_dir or '.'}",
    )


def _failsafe(evidence: Evidence) -> Finding | None:
    cause, clear = evidence.status.failsafe, f"POST /api/v1/boards/{evidence.name}/clear"
    if cause is None:
        return None
    by_safe = cause is FailsafeCause.SAFE
    return Finding(
        "failsafe_latched",
        Severity.PROBLEM,
        "outputs are latched at their safe values, " + ("by SAFE" if by_safe else "since the host was silent"),
        "Commands are refused until somebody clears that."
        + (
            ""
            if by_safe
            else " The configuration says `failsafe_latch: true`; without it the gateway does that itself."
        ),
        f"see that nothing can be harmed, then: curl -X POST http://localhost:8080{clear.removeprefix('POST ')}",
    )


# ---- it may not work for long ----


def _modem_manager(evidence: Evidence) -> Finding | None:
    if MODEM_MANAGER not in evidence.meddlers or not evidence.is_device:
        return None
    return Finding(
        "modem_manager",
        Severity.WARNING if evidence.status.reason else Severity.NOTE,
        "ModemManager runs on this machine",
        "It opens each port that is plugged in and sends AT commands to it for some seconds.",
        "gateway service install (its udev rule keeps it away), or: sudo systemctl disable --now ModemManager",
    )


def _brltty(evidence: Evidence) -> Finding | None:
    threatened = evidence.usb_ids in BRLTTY_IDS or evidence.status.reason is Reason.PORT_MISSING
    if BRLTTY not in evidence.meddlers or not evidence.is_device or not threatened:
        return None
    return Finding(
        "brltty",
        Severity.WARNING,
        "brltty runs on this machine",
        "It takes boards with a CH340 or CP2102 for Braille displays; their port vanishes right after it came.",
        "sudo apt remove brltty (unless a Braille display is in use), then plug the board in again",
    )


def _resets(evidence: Evidence) -> Finding | None:
    today = [at_s for at_s in evidence.status.resets_at if evidence.now_s - at_s <= DAY_S]
    if not today:
        return None
    last = datetime.fromtimestamp(today[-1], UTC).strftime("%H:%M:%S")
    times = "once" if len(today) == 1 else f"{len(today)} times"
    return Finding(
        "resets",
        Severity.WARNING if len(today) >= MANY_RESETS else Severity.NOTE,
        f"the board was reset {times} in the last 24 hours, last at {last} UTC",
        "Apart from its button and from uploads that is a brown-out: what it drives draws more than its supply gives. "
        "Outputs were at their safe values each time.",
        "give motors, relays and servos a supply of their own; try another cable, or a hub with its own power",
    )


def _noise(evidence: Evidence) -> Finding | None:
    counters, vitals = evidence.status.counters, evidence.status.vitals
    rejected, taken = counters.get("frames_rejected", 0), counters.get("frames_received", 0)
    if vitals is not None:
        rejected, taken = rejected + vitals.frames_rejected, taken + vitals.frames_received
    if rejected < FEWEST_REJECTS or rejected < NOISY_SHARE * (taken + rejected):
        return None
    return Finding(
        "noise",
        Severity.WARNING,
        f"{rejected} of {taken + rejected} frames were damaged on their way, both ways counted",
        "No damaged frame is ever taken for a value, but each costs a reading or a repeat.",
        "a shorter, shielded cable away from motors and mains; a common ground; or `baud: 115200` at both ends",
    )


def _latency_timer(evidence: Evidence) -> Finding | None:
    timer_ms, port = evidence.latency_timer_ms, evidence.status.port.rpartition("/")[2]
    if timer_ms is None or timer_ms <= SLOW_LATENCY_MS:
        return None
    return Finding(
        "latency_timer",
        Severity.WARNING,
        f"the USB chip of {evidence.status.port} keeps what it received for {timer_ms} ms",
        "Each exchange with the board takes that much longer.",
        f"echo 1 | sudo tee /sys/bus/usb-serial/devices/{port}/latency_timer",
    )


def _blocked_loop(evidence: Evidence) -> Finding | None:
    vitals = evidence.status.vitals
    if vitals is None or vitals.loop_max_s <= BLOCKED_LOOP_S:
        return None
    return Finding(
        "blocked_loop",
        Severity.WARNING,
        f"the sketch once took {vitals.loop_max_s * 1000:.0f} ms from one look at the line to the next",
        "Readings and commands wait that long, and so do holds and the failsafe: outputs may be safe that much later.",
        "wait in delay(), within which the bridge answers, or by millis(); no loops that only wait for a sensor",
    )


def _overruns(evidence: Evidence) -> Finding | None:
    vitals = evidence.status.vitals
    if vitals is None or not vitals.overruns:
        return None
    return Finding(
        "overruns",
        Severity.WARNING,
        f"the board's receive buffer overflowed {vitals.overruns} times",
        "Interrupts were off for too long (NeoPixel and SoftwareSerial do that), so that bytes were lost.",
        "a lower `baud` at both ends, 115200, or a library that leaves interrupts on",
    )


def _low_ram(evidence: Evidence) -> Finding | None:
    vitals = evidence.status.vitals
    if vitals is None or vitals.free_ram >= LOW_RAM:
        return None
    return Finding(
        "low_ram",
        Severity.WARNING,
        f"{vitals.free_ram} bytes are free between heap and stack",
        "A deeper call writes over other values: boards that restart or misbehave at random look just like this.",
        'put texts into flash with F("..."), make buffers smaller, avoid String; or take a Mega',
    )


def _skipped(evidence: Evidence) -> Finding | None:
    counters = evidence.status.counters
    skipped, taken = counters.get("samples_skipped", 0), counters.get("frames_received", 0)
    if skipped < FEWEST_REJECTS or skipped < NOISY_SHARE * 10 * taken:
        return None
    return Finding(
        "samples_skipped",
        Severity.WARNING,
        f"{skipped} samples of the stream did not come",
        "The board is asked for more than the line or its loop can give; history has gaps there.",
        "a longer `poll_interval`, or a higher `baud` at both ends",
    )


def _on_connect(evidence: Evidence) -> Finding | None:
    failed = evidence.status.counters.get("on_connect_failed", 0)
    if not failed:
        return None
    return Finding(
        "on_connect_failed",
        Severity.WARNING,
        f"{failed} commands of `on_connect` did not end as done",
        "The board does not have all the settings that the configuration wants it to have.",
        f"curl http://localhost:8080/api/v1/boards/{evidence.name}/log tells which, and why",
    )


def _disk(evidence: Evidence) -> Finding | None:
    if evidence.free_bytes is None or evidence.free_bytes >= LOW_DISK_BYTES:
        return None
    return Finding(
        "disk_nearly_full",
        Severity.WARNING,
        f"{evidence.free_bytes // 1_000_000} MB are left on the disk of {evidence.state_dir}",
        "Once it is full, commands are refused.",
        f"df -h {evidence.state_dir}",
    )


def _away(evidence: Evidence) -> Finding | None:
    if evidence.status.state not in (BoardState.RELEASED, BoardState.FLASHING):
        return None
    return Finding(
        "released",
        Severity.NOTE,
        evidence.status.detail or "its port is let go",
        "Another program may use the port meanwhile, for an upload for instance.",
        f"curl -X POST http://localhost:8080/api/v1/boards/{evidence.name}/resume",
    )


RULES: tuple[Rule, ...] = (
    _why_offline,
    _degraded,
    _journal,
    _failsafe,
    _modem_manager,
    _brltty,
    _resets,
    _noise,
    _latency_timer,
    _blocked_loop,
    _overruns,
    _low_ram,
    _skipped,
    _on_connect,
    _disk,
    _away,
)
CODES = (
    *Reason,
    "degraded",
    "journal_failing",
    "failsafe_latched",
    "modem_manager",
    "brltty",
    "resets",
    "noise",
    "latency_timer",
    "blocked_loop",
    "overruns",
    "low_ram",
    "samples_skipped",
    "on_connect_failed",
    "disk_nearly_full",
    "released",
)
"""Every code that a finding can have."""
