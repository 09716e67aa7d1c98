"""The connect procedure: from an open port to a board's answer, or to the reason why there is none.

The steps are data (`connect_plan`); `Connecting` walks them. Pure; owned by its session. PROTOCOL.md, "Connect".
"""

import enum
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from gateway.model import Reason
from gateway.protocol.events import Opened, SetBaud, Unanswered, Write
from gateway.protocol.lookalikes import FIRMATA_ASK, FIRMATA_BAUD, G_CODE_ASK, G_CODE_BAUDS, looks_like
from gateway.protocol.messages import VERSION, HelloReply

DEFAULT_BAUD = 250_000  # 0 % error on 8 and 16 MHz AVRs
SEARCH_BAUDS = (250_000, 115_200, 500_000, 1_000_000, 57_600)  # never 1200: that resets native USB boards
LEAVE_BAUD = 115_200
LEAVE_BOOTLOADER = bytes.fromhex("1b 01 00 01 0e 11 04")  # stk500v2 "leave programming mode", for a stock Mega
BOOT_SILENCE_S = 2.5  # BOOT comes within 1.41 s through the stock bootloaders; one byte earlier may delay it by 9 s
LEAVE_S = 0.25  # a Mega's sketch begins 0.03 s after it was told
HELLO_INTERVAL_S = 0.5
HELLO_TRIES = 8
SEARCH_INTERVAL_S = 0.3
SEARCH_ROUNDS = 2
SHOWN_TEXT = 60  # characters of a board's text quoted in a diagnosis
STRAY_BYTES = 8  # which a bootloader sends back for our frames at its own rate
HEARD_BYTES = 1024  # kept of what came while connecting


class StepKind(enum.Enum):
    """What a step of the connect procedure does."""

    LISTEN = "say nothing until the sketch says BOOT: a bootloader must not hear a byte"
    LEAVE = "tell an stk500v2 bootloader to start the sketch"
    HELLO = "HELLO, the same bytes each time"
    ASK = "what makes firmwares that are not ours tell their name"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `tries` times `interval_s` at `baud` (None: as it is). An answer to a `probe` only tells the cause;
    `data` is what an ASK sends."""

    kind: StepKind
    interval_s: float
    tries: int = 1
    baud: int | None = None
    probe: bool = False
    data: bytes = b""


QUESTIONS = tuple(
    Step(StepKind.ASK, HELLO_INTERVAL_S, baud=baud, data=data)
    for baud, data in ((FIRMATA_BAUD, FIRMATA_ASK), *((baud, G_CODE_ASK) for baud in G_CODE_BAUDS))
)
"""Only for who wants to know what a strange board is: to a printer or a mill these are commands, if harmless ones."""


def connect_plan(
    *, baud: int | None, answers_at_once: bool, fixed_baud: bool, curious: bool = False
) -> tuple[Step, ...]:
    """The steps from an open port to a session, in order; `baud` None asks for the usual rates in turn.

    A board that opening did not reset gets HELLO at once; if it does not answer, a reset meanwhile may have left it in
    a bootloader that our own bytes hold there, and it is told to leave. Any other is left in silence until its BOOT,
    since a byte in a bootloader's window delays the sketch; then it is told to leave too. Only a UART board needs that.
    The last steps, at the rates not configured, are there to tell a wrong rate from silence. With `curious` it is asked
    for the name of another firmware at the end.
    """
    rate = baud or DEFAULT_BAUD
    greeting = Step(StepKind.HELLO, HELLO_INTERVAL_S, baud=rate)
    leaving = [] if fixed_baud else [Step(StepKind.LEAVE, LEAVE_S, baud=LEAVE_BAUD)]
    plan = [greeting, *leaving, greeting] if answers_at_once else []
    plan += [Step(StepKind.LISTEN, BOOT_SILENCE_S, baud=rate), *leaving]
    if baud is None and not fixed_baud:
        plan += [Step(StepKind.HELLO, SEARCH_INTERVAL_S, baud=each) for each in SEARCH_BAUDS] * SEARCH_ROUNDS
    else:
        plan.append(Step(StepKind.HELLO, HELLO_INTERVAL_S, tries=HELLO_TRIES, baud=rate))
    if baud is not None and not fixed_baud:
        others = (each for each in SEARCH_BAUDS if each != baud)
        plan += [Step(StepKind.HELLO, SEARCH_INTERVAL_S, baud=each, probe=True) for each in others]
    return (*plan, *QUESTIONS) if curious else tuple(plan)


def renewal_plan(patience_s: float) -> tuple[Step, ...]:
    """After a reset or a lost session: the sketch is known and the rate is right, but its setup() may block."""
    return (Step(StepKind.HELLO, HELLO_INTERVAL_S, tries=max(HELLO_TRIES, math.ceil(patience_s / HELLO_INTERVAL_S))),)


class Connecting:
    """One walk through the plan. `heard`, `received`, `sound` and `lines` gather what was seen, for the diagnosis; on a
    link where a session stood before (`known`), silence is all that can be wrong."""

    def __init__(self, plan: tuple[Step, ...], *, hello: bytes, baud: int, known: bool, now_s: float) -> None:
        self.due_s = now_s
        self.baud = baud
        self.received = 0
        self.heard = bytearray()
        self.sound = 0
        self.lines: list[str] = []
        self._hello = hello
        self._known = known
        self._steps = deque(plan)
        self._step = self._steps.popleft()
        self._tries = 0

    def advance(self, now_s: float) -> Iterator[SetBaud | Write | Unanswered]:
        """The next try of the step, or of the next step; Unanswered after the last. To be called when `due_s` is
        past."""
        if self._tries == self._step.tries:
            if not self._steps:
                yield self._diagnosis()
                return
            self._step, self._tries = self._steps.popleft(), 0
        self._tries += 1
        self.due_s = now_s + self._step.interval_s
        if self._step.baud not in (None, self.baud):
            self.baud = self._step.baud
            yield SetBaud(self.baud)
        if self._step.kind is StepKind.LEAVE:
            yield Write(LEAVE_BOOTLOADER)
        elif self._step.kind is StepKind.HELLO:
            yield Write(self._hello)
        elif self._step.kind is StepKind.ASK:
            yield Write(self._step.data)

    def hear(self, data: bytes) -> None:
        """These bytes came: the first and the latest of each attempt tell most."""
        self.received += len(data)
        self.heard += data
        del self.heard[HEARD_BYTES // 2 : -HEARD_BYTES // 2]

    def sketch_heard(self, now_s: float) -> None:
        """BOOT came: the sketch runs, so nothing is gained by further silence."""
        if self._step.kind is StepKind.LISTEN:
            while self._steps[0].kind is not StepKind.HELLO:
                self._steps.popleft()
            self._tries = self._step.tries
            self.due_s = now_s

    def answered(self, hello: HelloReply) -> Opened | Unanswered:
        """What the board's answer to HELLO means at this step."""
        if not self._step.probe:
            return Opened(hello, self.baud)
        detail = (
            f"the board answers at {self.baud} baud: set `baud: {self.baud}` or `baud: auto` for it, "
            "or change the rate in the sketch's bridge.begin()"
        )
        return Unanswered(Reason.WRONG_BAUD, detail)

    def _diagnosis(self) -> Unanswered:
        if self._known:
            detail = "the board was reset, or its session was lost, and it has not answered since; trying again"
            return Unanswered(Reason.NO_ANSWER, detail)
        look = looks_like(bytes(self.heard))
        if look is not None:
            detail = f"the board runs something else: it looks like {look}. Upload the sketch in firmware/gateway"
            return Unanswered(Reason.WRONG_SKETCH, detail)
        if self.received <= STRAY_BYTES and not self.sound:
            heard = f"no more than {self.received} stray bytes came" if self.received else "not a byte came"
            detail = (
                f"{heard}: a new board has nothing but its bootloader, `gateway flash` puts the sketch on it; if it is "
                "there, is the rate in its bridge.begin() the configured `baud`?"
            )
            return Unanswered(Reason.NO_ANSWER, detail)
        if self.lines:
            detail = (
                f"the board prints text but does not answer, {self.lines[0][:SHOWN_TEXT]!r} for instance: "
                "upload the sketch in firmware/gateway, or add the bridge library to yours"
            )
            return Unanswered(Reason.WRONG_SKETCH, detail)
        if self.sound:
            detail = (
                "frames come back but none answers HELLO: an echo, or a sketch with another link protocol? "
                "Upload the sketch in firmware/gateway"
            )
            return Unanswered(Reason.WRONG_SKETCH, detail)
        detail = (
            f"{self.received} bytes came, none of them a frame: set `baud: auto`, or the rate of the sketch's "
            "bridge.begin(); if that is right, another sketch is on the board: `gateway flash` puts ours on it"
        )
        return Unanswered(Reason.WRONG_BAUD, detail)


def wrong_version(board_version: int) -> Unanswered:
    """The board refuses our protocol version."""
    detail = (
        f"the sketch speaks protocol version {board_version}, this gateway version {VERSION}: "
        "upload the sketch in this gateway's firmware/gateway, or install the gateway that came with the sketch"
    )
    return Unanswered(Reason.WRONG_VERSION, detail)
