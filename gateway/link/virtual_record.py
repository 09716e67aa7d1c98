"""At most once: what a virtual board remembers of its commands across a reset. Twin of the firmware's Record.

A command is entered as started before its handler runs and as done after it. A reset in between leaves
started != done: nobody can tell whether the handler ran, and the board says so instead of running it again.
"""

from dataclasses import dataclass

RESULT_BYTES = 4
NO_RESULT = bytes(RESULT_BYTES)


@dataclass(slots=True)
class Record:
    """Memory that a reset leaves alone; a board that was just powered on has a new one, with no epoch."""

    epoch: int = 0
    """Identity of the journal whose ids these are; 0 = none."""
    started: int = 0
    """The last command taken up; ids rise, 0 = none."""
    done: int = 0
    code: int = 0
    """Of the command done: 0, an error code or the handler's own."""
    result: bytes = NO_RESULT
    """Of the command done, four bytes."""
    resets: int = 0
    """Since power-on, modulo 256."""
    latched: bool = False
    """SAFE was asked for and nobody cleared it."""

    @property
    def interrupted(self) -> bool:
        """A command was started and not finished."""
        return self.started != self.done

    def adopt(self, epoch: int) -> None:
        """A journal's identity: another journal's ids mean nothing. The latch stays."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.refuse(0, 0)

    def start(self, command_id: int) -> None:
        """Its handler runs next."""
        self.started, self.code, self.result = command_id, 0, NO_RESULT

    def finish(self, code: int, result: bytes) -> None:
        """The handler of the started command returned."""
        self.done, self.code, self.result = self.started, code, result.ljust(RESULT_BYTES, b"\0")

    def refuse(self, command_id: int, code: int) -> None:
        """Final, without its handler."""
        self.started = command_id
        self.finish(code, NO_RESULT)

    def count_reset(self) -> None:
        """The reset button."""
        self.resets = (self.resets + 1) & 0xFF
