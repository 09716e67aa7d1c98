"""What may go wrong, and when: moments in the life of a command, the mishaps that each may bring, and what is due."""

import enum
from collections import deque

from gateway.model import CommandState
from gateway.protocol import messages as m


class Moment(enum.StrEnum):
    """A step in the life of a command, or of the session it needs."""

    HELLO = "HELLO is sent"
    HELLO_REPLY = "HELLO is answered"
    COMMAND = "COMMAND is sent"
    COMMAND_REPLY = "COMMAND is answered"
    EPOCH = "EPOCH is sent"
    EPOCH_REPLY = "EPOCH is answered"
    SAFE = "SAFE is sent"
    SAFE_REPLY = "SAFE is answered"
    CLEAR = "CLEAR is sent"
    CLEAR_REPLY = "CLEAR is answered"
    OTHER = "another request is sent"
    OTHER_REPLY = "another request is answered"
    HANDLER_BEGINS = "the handler has done nothing yet"
    HANDLER_ENDS = "the handler has done its work"
    KEEP_QUEUED = "a row is about to be committed as queued"
    KEPT_QUEUED = "a row was committed as queued"
    KEEP_SENT = "a row is about to be committed as sent"
    KEPT_SENT = "a row was committed as sent"
    KEEP_FINAL = "a row's end is about to be committed"
    KEPT_FINAL = "a row's end was committed"


REQUEST_MOMENTS = {
    m.Hello.TYPE: Moment.HELLO,
    m.RunCommand.TYPE: Moment.COMMAND,
    m.SetEpoch.TYPE: Moment.EPOCH,
    m.Safe.TYPE: Moment.SAFE,
    m.Clear.TYPE: Moment.CLEAR,
}
REPLY_MOMENTS = {
    m.Hello.TYPE: Moment.HELLO_REPLY,
    m.RunCommand.TYPE: Moment.COMMAND_REPLY,
    m.SetEpoch.TYPE: Moment.EPOCH_REPLY,
    m.Safe.TYPE: Moment.SAFE_REPLY,
    m.Clear.TYPE: Moment.CLEAR_REPLY,
}
KEEP_MOMENTS = {
    CommandState.QUEUED: (Moment.KEEP_QUEUED, Moment.KEPT_QUEUED),
    CommandState.SENT: (Moment.KEEP_SENT, Moment.KEPT_SENT),
}
"""Before and after the commit; every other state is final."""


class Mishap(enum.StrEnum):
    """What may come at a moment."""

    LOSE = "the frame is lost"
    GARBLE = "a bit of it is flipped"
    TWICE = "it comes twice"
    LATE = "it comes late, and others overtake it"
    ECHO = "it comes, and a copy of it later"
    KILL = "SIGKILL before it"
    KILL_AFTER = "SIGKILL after it"
    RESET = "the board is reset before it"
    RESET_AFTER = "the board is reset after it, its answer is lost"
    POWER = "the board's power is cut before it"
    POWER_AFTER = "the board's power is cut after it, its answer is lost"
    SAFE = "a person asks for SAFE, and soon after for CLEAR"


LINE_MISHAPS = (Mishap.LOSE, Mishap.GARBLE, Mishap.TWICE, Mishap.LATE, Mishap.ECHO)
POSSIBLE: dict[Moment, tuple[Mishap, ...]] = {
    **dict.fromkeys((*REQUEST_MOMENTS.values(), Moment.OTHER), tuple(Mishap)),
    **dict.fromkeys((*REPLY_MOMENTS.values(), Moment.OTHER_REPLY), (*LINE_MISHAPS, Mishap.SAFE)),
    **dict.fromkeys((Moment.HANDLER_BEGINS, Moment.HANDLER_ENDS), (Mishap.RESET, Mishap.POWER)),
    **dict.fromkeys([moment for moment in Moment if moment.name.startswith(("KEEP", "KEPT"))], (Mishap.KILL,)),
}


class Fates:
    """What is to come at the next moments of each kind, in order."""

    def __init__(self) -> None:
        self._due: dict[Moment, deque[Mishap]] = {}

    def add(self, moment: Moment, mishap: Mishap, *, times: int = 1) -> None:
        self._due.setdefault(moment, deque()).extend([mishap] * times)

    def take(self, moment: Moment) -> Mishap | None:
        """What comes at this moment, which is now."""
        due = self._due.get(moment)
        return due.popleft() if due else None

    def clear(self) -> None:
        self._due.clear()
