"""The last samples of one board's channels, kept lean: 24 bytes a sample, text apart.

One board thread appends, any thread reads. The lock is held for no longer than it takes to append one poll, or to copy
one channel. What was not sampled is not here: a gap stays a gap.
"""

import threading
from array import array
from collections.abc import Callable, Iterable, Mapping, MutableSequence
from dataclasses import dataclass
from itertools import chain
from math import isnan, nan
from typing import Any

from gateway.model import Channel, Sample, Value, ValueType

LENGTH = 3_600  # samples per channel: six minutes at ten polls a second
NO_WHOLE = -(2**63)  # stands for null among whole numbers; published ones stay below 2**63


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a channel's values are kept: an empty column, and the way into it and out again."""

    column: Callable[[], MutableSequence[Any]]
    pack: Callable[[Value | None], Any]
    unpack: Callable[[Any], Value | None]


def _same(value: Any) -> Any:
    return value


_BOOL = _Kind(
    lambda: array("b"),
    lambda value: -1 if value is None else value,
    lambda kept: None if kept < 0 else bool(kept),
)
_WHOLE = _Kind(
    lambda: array("q"),
    lambda value: NO_WHOLE if value is None else value,
    lambda kept: None if kept == NO_WHOLE else kept,
)
_FRACTION = _Kind(
    lambda: array("d"),
    lambda value: nan if value is None else value,
    lambda kept: None if isnan(kept) else kept,
)
_TEXT = _Kind(list, _same, _same)


def _kind(channel: Channel) -> _Kind:
    match channel.type:
        case ValueType.BOOL:
            return _BOOL
        case ValueType.TEXT:
            return _TEXT
        case ValueType.F32:
            return _FRACTION
        case _:
            return _WHOLE if channel.scale >= 0 else _FRACTION


class _Ring:
    """One channel's samples: three columns that grow to their length and then begin again at their start."""

    def __init__(self, kind: _Kind, length: int) -> None:
        self.kind = kind
        self._length = length
        # Values first: where one does not fit its column, no column has grown.
        self._columns: tuple[MutableSequence[Any], ...] = (kind.column(), array("d"), array("d"))
        self._oldest = 0

    def append(self, sample: Sample) -> None:
        row = (self.kind.pack(sample.value), sample.monotonic_s, sample.time_s)
        if len(self._columns[-1]) < self._length:
            for column, item in zip(self._columns, row, strict=True):
                column.append(item)
            return
        for column, item in zip(self._columns, row, strict=True):
            column[self._oldest] = item
        self._oldest = (self._oldest + 1) % self._length

    def copy(self) -> tuple[Iterable[Any], ...]:
        """The columns, each from the oldest on."""
        return tuple(chain(column[self._oldest :], column[: self._oldest]) for column in self._columns)


class History:
    """What was sampled while one schema was in force."""

    def __init__(self, channels: Iterable[Channel] = (), *, length: int = LENGTH) -> None:
        self._lock = threading.Lock()
        self._rings = {channel.name: _Ring(_kind(channel), length) for channel in channels if channel.readable}

    def append(self, samples: Mapping[str, Sample]) -> None:
        """The samples of one poll; those of channels that can't be read are left out."""
        with self._lock:
            for name, sample in samples.items():
                if ring := self._rings.get(name):
                    ring.append(sample)

    def samples(
        self, channel: str, *, after_s: float = float("-inf"), after_time_s: float = float("-inf")
    ) -> list[Sample]:
        """A channel's samples, oldest first: those taken after the monotonic second `after_s` and stamped later than
        `after_time_s` (Unix). Raises KeyError for a channel that can't be read."""
        ring = self._rings[channel]
        with self._lock:
            values, monotonic_s, time_s = ring.copy()
        unpack = ring.kind.unpack
        return [
            Sample(unpack(kept), at_s, unix_s)
            for kept, at_s, unix_s in zip(values, monotonic_s, time_s, strict=True)
            if at_s > after_s and unix_s > after_time_s
        ]
