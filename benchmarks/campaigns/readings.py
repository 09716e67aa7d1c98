"""Every published reading of the sketch `ledger` held against what the board had. Pure but for `Collector`.

Its three readings follow from one number, so a wrong bit in any of them shows; and the numbers came in one order, so an
old value that looks new shows as well.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.campaigns.clients import BOARD, get
from benchmarks.campaigns.ledger import proof

CHANNELS = ("last", "proof", "half")
BEFORE_THE_FIRST = 0  # what `last` is after a reset


@dataclass(frozen=True, slots=True)
class Published:
    """One poll's readings, None for those that were published as unknown."""

    last: object
    proof: object
    half: object

    @property
    def agrees(self) -> bool:
        """All follow from one number. A bool is no number, though Python has it equal 1."""
        if type(self.last) is not int:
            return False
        return self.proof == proof(self.last) and self.half == self.last / 2


class Judge:
    """Counts what was published and what of it is wrong: the board never had it, or had it no longer.

    `places` says when each number was told, as `places_of` makes it, and may grow meanwhile. The board is not reset.
    """

    def __init__(self, places: Mapping[int, int]) -> None:
        self._places = places
        self._newest = 0
        self.judged = 0
        self.wrong = 0

    def take(self, published: Published) -> None:
        """The next one."""
        self.judged += 1
        place = self._places.get(published.last) if published.agrees else None  # type: ignore[call-overload]
        if place is None or place < self._newest:
            self.wrong += 1
        else:
            self._newest = place


def places_of(told: Iterable[int]) -> dict[int, int]:
    """The numbers that the board told, in order, after the one that it begins with."""
    return {number: place for place, number in enumerate((BEFORE_THE_FIRST, *told))}


class Collector:
    """All that the gateway publishes, from its histories; `collect` often enough that none runs over."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._values: dict[str, dict[str, object]] = {channel: {} for channel in CHANNELS}

    def collect(self) -> None:
        """Takes what is new."""
        for channel in CHANNELS:
            known = self._values[channel]
            since = f"?since={next(reversed(known))}" if known else ""
            status, answer = get(self._url, f"boards/{BOARD}/readings/{channel}/history{since}")
            if status == 200:
                known.update(_by_time(answer["items"]))

    @property
    def published(self) -> list[Published]:
        """What came of all three channels, oldest first."""
        last, proofs, halves = (self._values[channel] for channel in CHANNELS)
        return [Published(last[at], proofs[at], halves[at]) for at in last if at in proofs and at in halves]


def _by_time(items: Iterable[Mapping[str, Any]]) -> Mapping[str, object]:
    return {item["sampled_at"]: item["value"] for item in items}
