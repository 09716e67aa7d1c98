"""What is wrong with a board, what that means, and the command that mends it. Pure: a table over what others gathered.

Each rule looks at the evidence and gives a finding or None. Their order is that of the report: what keeps the board
from working first.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath

from gateway.link.discovery import PluggedPort
from gateway.link.holders import Holder
from gateway.model import BoardState, BoardStatus, Diagnosis, FailsafeCause, Finding, Reason, Severity

DAY_S = 86_400.0
MANY_RESETS = 3  # in a day; one or two are a plug, or somebody's finger
NOISY_SHARE = 0.001  # of frames; a sound USB line loses none
SKIPPED_SHARE = 0.01  # of samples; a busy machine loses some
FEWEST_REJECTS = 5
BLOCKED_LOOP_S = 0.1  # between two looks at the line
SLOW_LATENCY_MS = 4  # of an FTDI chip; its driver begins with 16
LOW_RAM = 150  # bytes between heap and stack on a board of 2 KB; an interrupt alone takes some 40
LOW_DISK_BYTES = 50_000_000
LISTED_PORTS = 5
MODEM_MANAGER, BRLTTY = "ModemManager", "brltty"
BRLTTY_IDS = ("1a86:7523", "10c4:ea60")
"""Chips that brltty takes for Braille displays: CH340 and CP2102."""
BANISHED = {
    MODEM_MANAGER: "sudo systemctl disable --now ModemManager",
    BRLTTY: "sudo apt remove brltty",
}
"""How to be rid of programs that the system starts again when they are killed."""
SERVER_SCHEMES = ("socket://", "rfc2217://")


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was gathered about one board at `now_s` (Unix). `device` is its port as the system lists it, None where it
    does not; `holders` is None where the system can't tell, `latency_timer_ms` where the chip has none; `meddlers` are
    programs that run here and try serial ports. `url` is where the gateway serves, `flash` what flashes this board."""

    status: BoardStatus
    now_s: float
    flash: str
    url: str
    plugged: tuple[PluggedPort, ...] = ()
    device: PluggedPort | None = None
    holders: tuple[Holder, ...] | None = None
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
    def is_device(self) -> bool:
        """The port is a serial port of this machine."""
        return "://" not in self.status.port

    def post(self, what: str) -> str:
        """The command that has the gateway do that to the board: `clear`, `resume`."""
        return f"curl -X POST {self.url}/api/v1/boards/{self.name}/{what}"


Rule = Callable[[Evidence], Finding | None]


def diagnose(evidence: Evidence) -> Diagnosis:
    """Every finding, worst first."""
    found = [finding for rule in RULES if (finding := rule(evidence)) is not None]
    order = list(Severity)
    return Diagnosis(
        evidence.name, _summary(evidence.status), tuple(sorted(found, key=lambda each: order.index(each.severity)))
    )


def explain(reason: Reason, seen: str, *, flash: str) -> Finding:
    """What a reason to be offline means, and what mends it."""
    meaning, cure = REASONS[reason]
    return Finding(reason, Severity.PROBLEM, seen, meaning, cure.format(flash=flash))


def _summary(status: BoardStatus) -> str:
    counters = status.counters
    facts = [
        f"board {status.board} is {status.state}",
        f"on {status.port}",
        f"{status.schema.sketch.name} {status.schema.sketch.version}" if status.schema else "its sketch is not known",
    ]
    if counters:  # none where no gateway runs
        facts.append(f"{counters['frames_received']} frames taken and {counters['frames_rejected']} rejected")
        facts.append("never reset" if not status.resets else f"reset {_times(status.resets)}")
    if status.round_trip_s is not None:
        facts.append(f"a round trip takes {status.round_trip_s * 1000:.1f} ms")
    if status.vitals is not None:
        facts.append(
            f"its loop takes {status.vitals.loop_max_s * 1000:.1f} ms at most, {status.vitals.free_ram} bytes are free"
        )
    return ", ".join(facts)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# ---- it does not work ----

REASONS: dict[Reason, tuple[str, str]] = {
    Reason.PORT_MISSING: (
        "There is no such port now: the board is not plugged in, by a cable that only charges, or the system calls it "
        "something else.",
        "gateway ports",
    ),
    Reason.PORT_BUSY: (
        "Two programs on one port take bytes from each other, so the gateway stays away.",
        "close the program that has it open, often the Arduino IDE's serial monitor",
    ),
    Reason.PERMISSION_DENIED: ("This user may not open that port.", "sudo usermod -aG dialout $USER"),
    Reason.PORT_AMBIGUOUS: (
        "More boards are plugged in than are configured, and opening one resets it, so none is opened.",
        "gateway ports, then write a `match:` line for the board into config.yaml",
    ),
    Reason.NO_ANSWER: (
        "Nothing that can be understood comes from the board: no sketch with the bridge is on it, it hangs, or it is "
        "held in its bootloader.",
        "press its reset button; if that does not help: {flash}",
    ),
    Reason.WRONG_BAUD: (
        "The board talks, at another rate than the gateway listens.",
        "write `baud: auto`, or the rate of the sketch's bridge.begin(), into config.yaml",
    ),
    Reason.WRONG_SKETCH: (
        "Another sketch is on the board.",
        "{flash} (it replaces that sketch); or add the bridge to it: gateway sketch new NAME shows how",
    ),
    Reason.WRONG_VERSION: (
        "Sketch and gateway speak different versions of the link protocol.",
        "{flash}; or give your own sketch the library that gateway sketch new NAME lays down, and upload it",
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
    found = explain(status.reason, status.detail or f"the board is {status.state}", flash=evidence.flash)
    match status.reason:
        case Reason.PORT_BUSY if evidence.is_device:
            return _held(found, evidence)
        case Reason.PERMISSION_DENIED if evidence.permission_cure:
            return replace(found, cure=evidence.permission_cure)
        case Reason.PORT_MISSING if evidence.status.port.startswith(SERVER_SCHEMES):
            meaning = "The board's port is on another machine, and nobody there gives it."
            return replace(found, meaning=meaning, cure="on that machine: systemctl status ser2net")
        case Reason.PORT_MISSING if boards := [each for each in evidence.plugged if each.may_be_board]:
            named = "; ".join(map(str, boards[:LISTED_PORTS]))
            return replace(found, cure=f"write the right port into config.yaml, or `port: auto`. Plugged in: {named}")
        case _:
            return found


def _held(found: Finding, evidence: Evidence) -> Finding:
    if not evidence.holders:  # those of other users can't be seen
        return replace(found, cure=f"sudo fuser -v {evidence.status.port} names the program; close it")
    holder = evidence.holders[0]
    cure = BANISHED.get(holder.program) or f"close {holder.program}, or: kill {holder.pid}"
    return replace(found, seen=f"{found.seen}. Held by {', '.join(map(str, evidence.holders))}", cure=cure)


def _connecting(evidence: Evidence) -> Finding | None:
    if evidence.status.state is not BoardState.CONNECTING:
        return None
    return Finding(
        "connecting",
        Severity.NOTE,
        evidence.status.detail or "the board is being connected",
        "That takes 2 s, and some 8 s where its rate has to be searched for.",
        f"wait a moment, then again: gateway doctor {evidence.name}",
    )


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
        f"free some space, or mend the disk: df -h {evidence.state_dir} shows which; the gateway tries again by itself",
    )


def _failsafe(evidence: Evidence) -> Finding | None:
    cause = evidence.status.failsafe
    if cause is None:
        return None
    seen, meaning = FAILSAFES[cause]
    return Finding(
        "failsafe_latched",
        Severity.PROBLEM,
        f"outputs are latched at their safe values, {seen}",
        meaning,
        f"see that nothing can be harmed, then: {evidence.post('clear')}",
    )


FAILSAFES = {
    FailsafeCause.SAFE: ("by SAFE", "Commands are refused until somebody clears that."),
    FailsafeCause.LINK: (
        "since the host was silent",
        "Commands are refused. With `failsafe_latch: true` that stays until somebody clears it; without, the gateway "
        "does so itself, as soon as it knows what became of the command that was under way.",
    ),
}
"""How a cause shows, and what it means."""


# ---- it may not work for long ----


def _modem_manager(evidence: Evidence) -> Finding | None:
    if MODEM_MANAGER not in evidence.meddlers or not evidence.is_device:
        return None
    return Finding(
        "modem_manager",
        Severity.WARNING if evidence.status.reason else Severity.NOTE,
        "ModemManager runs on this machine",
        "It may open a port that is just plugged in, and send AT commands to it for some seconds.",
        f"gateway service install (its udev rule keeps it away), or: {BANISHED[MODEM_MANAGER]}",
    )


def _brltty(evidence: Evidence) -> Finding | None:
    usb_ids = evidence.device.usb_ids if evidence.device else None
    threatened = usb_ids in BRLTTY_IDS or evidence.status.reason is Reason.PORT_MISSING
    if BRLTTY not in evidence.meddlers or not evidence.is_device or not threatened:
        return None
    return Finding(
        "brltty",
        Severity.WARNING,
        "brltty runs on this machine",
        "It takes boards with a CH340 or CP2102 for Braille displays; their port vanishes right after it came.",
        f"{BANISHED[BRLTTY]} (unless a Braille display is in use), then plug the board in again",
    )


def _resets(evidence: Evidence) -> Finding | None:
    today = [at_s for at_s in evidence.status.resets_at if evidence.now_s - at_s <= DAY_S]
    if not today:
        return None
    last = datetime.fromtimestamp(today[-1], UTC).strftime("%Y-%m-%d %H:%M:%S")
    kept = evidence.status.resets_at
    least = "at least " if len(today) == len(kept) < evidence.status.resets else ""  # of many only the last are kept
    return Finding(
        "resets",
        Severity.WARNING if len(today) >= MANY_RESETS else Severity.NOTE,
        f"the board was reset {least}{_times(len(today))} in the last 24 hours, last at {last} UTC",
        "Apart from its button and from uploads that is a brown-out: what it drives draws more than its supply gives. "
        "Outputs were at their safe values each time.",
        "give motors, relays and servos a supply of their own; try another cable, or a hub with its own power",
    )


def _noise(evidence: Evidence) -> Finding | None:
    line = evidence.status.vitals.line if evidence.status.vitals else None
    if line is None or line.rejected < FEWEST_REJECTS or line.rejected < NOISY_SHARE * line.frames:
        return None
    return Finding(
        "noise",
        Severity.WARNING,
        f"{line.rejected_here} of {line.frames_here} frames from the board and {line.rejected_there} of "
        f"{line.frames_there} to it were damaged in the last {line.span_s / 60:.1f} minutes",
        "No damaged frame is ever taken for a value, but each costs a reading or a repeat. Where those to the board "
        "are the most, interrupts may be off in it for too long: NeoPixel and SoftwareSerial do that.",
        "a shorter, shielded cable away from motors and mains; a common ground; or 115200 as `baud`, and in the "
        "sketch's bridge.begin()",
    )


def _latency_timer(evidence: Evidence) -> Finding | None:
    timer_ms = evidence.latency_timer_ms
    if timer_ms is None or timer_ms <= SLOW_LATENCY_MS or evidence.device is None:
        return None
    return Finding(
        "latency_timer",
        Severity.WARNING,
        f"the USB chip of {evidence.status.port} keeps what it received for {timer_ms} ms",
        "Each exchange with the board takes that much longer.",
        f"echo 1 | sudo tee /sys/bus/usb-serial/devices/{PurePosixPath(evidence.device.port).name}/latency_timer, "
        "after each plugging in",
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
        f"the board received more bytes in one piece than any frame has, {_times(vitals.overruns)}",
        "Another program writes to the port; or many bytes in a row are lost on the way, since interrupts are off in "
        "the sketch for long (NeoPixel and SoftwareSerial do that).",
        f"see who else has the port open: sudo fuser -v {evidence.status.port}; or a library that leaves interrupts on"
        if evidence.is_device
        else "see who else writes to that port; or a library that leaves interrupts on",
    )


def _low_ram(evidence: Evidence) -> Finding | None:
    vitals = evidence.status.vitals
    if vitals is None or not 0 < vitals.free_ram < LOW_RAM:  # 0: this kind of board can't tell
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
    if skipped < FEWEST_REJECTS or skipped < SKIPPED_SHARE * (taken + skipped):
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
        f"commands of `on_connect` did not end as done, {_times(failed)} since the gateway started",
        "The board does not have all the settings that the configuration wants it to have.",
        f"curl {evidence.url}/api/v1/boards/{evidence.name}/log tells which, and why; mend `on_connect` in "
        "config.yaml, or the sketch",
    )


def _disk(evidence: Evidence) -> Finding | None:
    if evidence.free_bytes is None or evidence.free_bytes >= LOW_DISK_BYTES:
        return None
    return Finding(
        "disk_nearly_full",
        Severity.WARNING,
        f"{evidence.free_bytes // 1_000_000} MB are left on the disk of {evidence.state_dir}",
        "Once it is full, commands are refused.",
        f"free some space: df -h {evidence.state_dir} shows which disk it is",
    )


def _away(evidence: Evidence) -> Finding | None:
    if evidence.status.state not in AWAY:
        return None
    meaning, cure = AWAY[evidence.status.state]
    seen = evidence.status.detail or "its port is let go"
    return Finding("released", Severity.NOTE, seen, meaning, cure.format(resume=evidence.post("resume")))


AWAY = {
    BoardState.RELEASED: ("Another program may use the port meanwhile, for an upload for instance.", "{resume}"),
    BoardState.FLASHING: (
        "A sketch is being written to the board. The gateway takes the port back by itself afterwards.",
        "wait for that; if it was given up: {resume}",
    ),
}
"""What it means that a port was let go on purpose, and the way back."""


RULES: tuple[Rule, ...] = (
    _why_offline,
    _connecting,
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
    "connecting",
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
