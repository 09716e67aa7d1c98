"""The newest state of every board: what views read and the board threads write.

Each board has one immutable `Snapshot`, swapped in whole; reading takes no lock, so a view can neither be held up by a
writer nor see half a publication. Age and quality are never stored: they are worked out from the reader's clock at the
moment of reading, so that nothing looks fresh because its writer stopped. Fulfils the worker's `Sink`.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from gateway.model import BoardStatus, Channel, LogEntry, Quality, Sample, Schema, Value
from gateway.store.feed import ChangeFeed
from gateway.store.history import History

LOG_ENTRIES = 500  # kept per board; the oldest go first
_NO_SAMPLES: Mapping[str, Sample] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reading:
    """One channel as it may be shown now. `value` is None exactly while `quality` is bad; `time_s` (Unix) and
    `age_s` tell when it was sampled, None for never."""

    value: Value | None
    unit: str
    quality: Quality
    time_s: float | None
    age_s: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One board at one publication. As long as (`sequence`, `generation`) is the same, so are its status and every
    value and quality; only ages differ. `history` alone goes on: it is that of the schema, not of the publication."""

    sequence: int
    status: BoardStatus
    samples: Mapping[str, Sample]
    stale_after_s: float
    history: History

    def readings(self, now_s: float) -> dict[str, Reading]:
        """Every readable channel in index order, judged at the monotonic second `now_s`; none while the schema is
        not known."""
        return {channel.name: self._reading(channel, now_s) for channel in self._readable()}

    def generation(self, now_s: float) -> int:
        """How many readings are stale at `now_s`. Within one snapshot it only rises, and does so exactly when time
        alone changes a quality."""
        return sum(
            self._quality(self.samples.get(channel.name), now_s) is Quality.STALE for channel in self._readable()
        )

    def _readable(self) -> Iterator[Channel]:
        channels = self.status.schema.channels if self.status.schema else ()
        return (channel for channel in channels if channel.readable)

    def _reading(self, channel: Channel, now_s: float) -> Reading:
        sample = self.samples.get(channel.name)
        quality = self._quality(sample, now_s)
        if sample is None:
            return Reading(None, channel.unit, quality, None, None)
        return Reading(sample.value, channel.unit, quality, sample.time_s, _age_s(sample, now_s))

    def _quality(self, sample: Sample | None, now_s: float) -> Quality:
        if sample is None or sample.value is None:
            return Quality.BAD
        return Quality.STALE if _age_s(sample, now_s) > self.stale_after_s else Quality.GOOD


class Latest:
    """One snapshot and one log per board."""

    def __init__(self, statuses: Iterable[BoardStatus], *, stale_after_s: Mapping[str, float]) -> None:
        self.feed = ChangeFeed()
        self._snapshots = {
            status.board: Snapshot(
                0, _frozen(status), _NO_SAMPLES, stale_after_s[status.board], _new_history(status.schema)
            )
            for status in statuses
        }
        self._logs: dict[str, tuple[LogEntry, ...]] = dict.fromkeys(self._snapshots, ())
        self._log_lock = threading.Lock()

    # ---- board threads ----

    def publish_status(self, status: BoardStatus) -> None:
        """Replaces the board's status. Values read under another schema are withdrawn: they may mean another thing."""
        self._publish(_frozen(status), _NO_SAMPLES)

    def publish_samples(self, board: str, samples: Mapping[str, Sample], *, status: BoardStatus | None = None) -> None:
        """Merges new samples by channel name; the other channels keep theirs. A `status` that came with them is
        published in the same step."""
        self._publish(_frozen(status) if status else self._snapshots[board].status, samples)

    def append_log(self, board: str, entry: LogEntry) -> None:
        """Adds one entry. The feed stays as it is: a log line changes no resource that anyone waits for."""
        with self._log_lock:
            self._logs[board] = (*self._logs[board][-LOG_ENTRIES + 1 :], entry)

    def _publish(self, status: BoardStatus, samples: Mapping[str, Sample]) -> None:
        with self.feed.change() as sequence:
            former = self._snapshots[status.board]
            same = _schema_hash(former.status.schema) == _schema_hash(status.schema)
            merged = MappingProxyType({**(former.samples if same else _NO_SAMPLES), **samples})
            history = former.history if same else _new_history(status.schema)
            history.append(samples)
            self._snapshots[status.board] = replace(
                former, sequence=sequence, status=status, samples=merged, history=history
            )

    # ---- any thread, without a lock ----

    def boards(self) -> tuple[str, ...]:
        """The names of all boards, as configured."""
        return tuple(self._snapshots)

    def snapshot(self, board: str) -> Snapshot:
        """The board as last published. Raises KeyError for an unknown one."""
        return self._snapshots[board]

    def log(self, board: str) -> tuple[LogEntry, ...]:
        """The last entries, oldest first. Raises KeyError for an unknown board."""
        return self._logs[board]


def _age_s(sample: Sample, now_s: float) -> float:
    """Never negative: a reader may have looked at its clock just before the sample came."""
    return max(0.0, now_s - sample.monotonic_s)


def _schema_hash(schema: Schema | None) -> int | None:
    return schema.sketch.schema_hash if schema else None


def _new_history(schema: Schema | None) -> History:
    return History(schema.channels if schema else ())


def _frozen(status: BoardStatus) -> BoardStatus:
    """A copy whose counters no longer follow the writer's."""
    return replace(status, counters=MappingProxyType(dict(status.counters)))
