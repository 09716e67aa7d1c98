"""The outputs of a virtual board together: values in force, safe values, holds. Twin of the firmware's Outputs."""

from collections.abc import Sequence

from gateway.link.virtual_table import ChannelRow, Core, Raw


class Outputs:
    """Times are microseconds since the sketch began."""

    def __init__(self, rows: Sequence[ChannelRow], core: Core) -> None:
        self._rows = rows
        self._core = core
        self._values = [bytes(row.layout.size) for row in rows]
        self._holds: dict[int, int] = {}  # channel index: when its hold is over

    def value(self, index: int) -> bytes:
        """Of any channel, packed: a reading is taken now, an output has the value last applied."""
        row = self._rows[index]
        return self._values[index] if row.read is None else row.layout.pack(row.read(self._core))

    def write(self, index: int, value: Raw, *, hold_ms: int) -> None:
        """Runs the sketch's function and keeps what it took; the hold counts from its return, 0 ends it.

        Raises Refused where the sketch says no: value and hold then stay as they were.
        """
        self._apply(index, value)
        self._holds.pop(index, None)
        if hold_ms:
            self._holds[index] = self._core.micros() + hold_ms * 1000

    def make_safe(self) -> None:
        """All holds end, all declared safe values are applied."""
        for index in range(len(self._rows)):
            self._make_safe(index)

    def lapse_holds(self, now_us: int) -> bool:
        """Outputs whose hold is over go to their safe values. True if there was one."""
        lapsed = sorted(index for index, until_us in self._holds.items() if now_us >= until_us)
        for index in lapsed:
            self._make_safe(index)
        return bool(lapsed)

    @property
    def next_lapse_us(self) -> int | None:
        """When the next hold is over."""
        return min(self._holds.values(), default=None)

    def _make_safe(self, index: int) -> None:
        self._holds.pop(index, None)
        safe = self._rows[index].safe
        if safe is not None:
            self._apply(index, safe)

    def _apply(self, index: int, value: Raw) -> None:
        row = self._rows[index]
        if row.write is not None:
            row.write(self._core, value)
            self._values[index] = row.layout.pack(value)
