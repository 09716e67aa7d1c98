"""Which port is whose: finds the boards that the configuration names by identity, one port for one board.

One `PortArbiter` serves all board threads of the process and is thread-safe; each thread has its `Finder`. Nothing here
opens a port: opening resets most boards, so a port is given out only where it can be meant. No lock is held while ports
are listed.
"""

import os
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import inf

from gateway.errors import LinkError
from gateway.link.discovery import PluggedPort, PortLister, device_of, find_port, plugged_in
from gateway.link.wanted import ANY, AUTO, Wanted, ambiguous, missing
from gateway.model import Clock, Reason

SILENT_S = 300.0  # how long a port is left alone that kept silent when a board id was looked for: opening may reset it
UNOPENED_S = 5.0  # the same for one that could not be opened, which harms nobody
ASKED_BY_ANOTHER = "a port that it may be at is being asked on behalf of another board"
UNOPENED = (Reason.PORT_MISSING, Reason.PORT_BUSY, Reason.PERMISSION_DENIED)


@dataclass(frozen=True, slots=True)
class Found:
    """The port to open now, and for the log what it was found by; "" where the configuration names it, or where the
    board never left."""

    port: str
    told: str = ""


class StillLooking(LinkError):
    """The board may be at a port that is just being asked on behalf of another one."""


@dataclass(frozen=True, slots=True)
class _InVain:
    """What came of asking a port for a board id, and the monotonic second until which it is not asked again."""

    error: LinkError
    until_s: float


class PortArbiter:
    """Who has which port, and which board id answered where."""

    def __init__(self, wanted: Iterable[Wanted], *, list_ports: PortLister = plugged_in, clock: Clock = time) -> None:
        self._wanted = {each.board: each for each in wanted}
        self._list_ports = list_ports
        self._clock = clock
        self._lock = threading.Lock()
        self._claims: dict[str, str] = {}
        """The device that each board has, or had last: it keeps it while its port is released for an upload."""
        self._homes: dict[str, PluggedPort] = {}
        """Where each board was accepted, for as long as it stays plugged in."""
        self._bearers: dict[str, str] = {}
        """The board id that each board had when it was last accepted."""
        self._ids: dict[PluggedPort, str] = {}
        """The board id that answered at each port, "" for none, for as long as it stays plugged in."""
        self._in_vain: dict[tuple[str, PluggedPort], _InVain] = {}

    def finder(self, board: str) -> "Finder":
        """The view of one configured board."""
        return Finder(self, self._wanted[board])

    def boards(self) -> tuple[str, ...]:
        """The names of all configured boards."""
        return tuple(self._wanted)

    def find(self, wanted: Wanted) -> Found:
        """As `Finder.find`."""
        if wanted.port != AUTO and not wanted.match.by_usb:
            with self._lock:
                self._claims[wanted.board] = device_of(wanted.port)
            return Found(wanted.port)
        ports = self._list_ports()
        with self._lock:
            self._forget_unplugged(ports)
            self._claims.pop(wanted.board, None)
            found = self._fixed(wanted, ports) if wanted.port != AUTO else self._free(wanted, ports)
            self._claims[wanted.board] = device_of(found.port)
            return found

    def answered(self, wanted: Wanted, board_id: str) -> None:
        """As `Finder.answered`."""
        ports = self._list_ports() if wanted.port == AUTO else ()
        with self._lock:
            plugged = self._claimed(wanted, ports)
            if plugged is not None:  # and so this id is nowhere else, whatever answered there before
                elsewhere = {each: known for each, known in self._ids.items() if not known or known != board_id}
                self._ids = elsewhere | {plugged: board_id}

    def accept(self, wanted: Wanted, board_id: str) -> None:
        """As `Finder.accept`."""
        ports = self._list_ports() if wanted.port == AUTO else ()
        with self._lock:
            self._bearers[wanted.board] = board_id
            plugged = self._claimed(wanted, ports)
            if plugged is not None:
                self._homes[wanted.board] = plugged

    def in_vain(self, wanted: Wanted, error: LinkError) -> bool:
        """As `Finder.in_vain`."""
        ports = self._list_ports() if wanted.port == AUTO else ()
        with self._lock:
            plugged = self._claimed(wanted, ports)
            self._claims.pop(wanted.board, None)
            if wanted.port != AUTO or wanted.match.board_id is None:
                return False
            if plugged is not None and self._ids.get(plugged) == wanted.match.board_id:
                return False
            if plugged is not None and plugged not in self._ids:
                until_s = self._clock.monotonic() + _left_alone_s(error.reason)
                self._in_vain[wanted.board, plugged] = _InVain(error, until_s)
            return True

    def owner(self, board_id: str, *, besides: str) -> str | None:
        """As `Finder.owner`."""
        with self._lock:
            named = (each.board for each in self._wanted.values() if each.match.board_id == board_id)
            seen = (board for board, bearer in self._bearers.items() if bearer == board_id)
            return next((board for board in (*named, *seen) if board != besides), None)

    def whereabouts(self, board_id: str) -> str | None:
        """As `Finder.whereabouts`."""
        with self._lock:
            return next((plugged.port for plugged, known in self._ids.items() if known == board_id), None)

    # ---- with the lock held ----

    def _forget_unplugged(self, ports: Sequence[PluggedPort]) -> None:
        here = set(ports)
        self._ids = {plugged: known for plugged, known in self._ids.items() if plugged in here}
        self._homes = {board: plugged for board, plugged in self._homes.items() if plugged in here}
        self._in_vain = {key: tried for key, tried in self._in_vain.items() if key[1] in here}

    def _claimed(self, wanted: Wanted, ports: Sequence[PluggedPort]) -> PluggedPort | None:
        device = self._claims.get(wanted.board)
        return None if device is None else find_port(device, ports)

    def _fixed(self, wanted: Wanted, ports: Sequence[PluggedPort]) -> Found:
        """The named port, if what shows of it fits. One that is not there is for the opening to tell."""
        plugged = find_port(wanted.port, ports)
        if plugged is None and not os.path.exists(wanted.port):
            return Found(wanted.port)
        if plugged is None:
            raise LinkError(Reason.WRONG_BOARD, f"{wanted.port} is no USB port, so it can't be told by {wanted.match}")
        if wanted.match.fits(plugged):
            return Found(wanted.port)
        fitting = [each.port for each in ports if wanted.match.fits(each)]
        where = f"which is at {fitting[0]} now" if fitting else "which is not plugged in"
        raise LinkError(
            Reason.WRONG_BOARD,
            f"another board is at {plugged}: the configuration asks for {wanted.match}, {where}; "
            "mend `port:` or `match:`, or write `port: auto`",
        )

    def _free(self, wanted: Wanted, ports: Sequence[PluggedPort]) -> Found:
        home = self._homes.get(wanted.board)
        if home is not None and self._id_fits(wanted, home) and not self._is_others(home, wanted):
            return Found(home.port)
        choices = [plugged for plugged in ports if plugged.may_be_board and not self._is_others(plugged, wanted)]
        if wanted.match == ANY:
            if self._being_asked(wanted, ports):
                raise StillLooking(Reason.PORT_MISSING, ASKED_BY_ANOTHER)
            return self._only_one(wanted, choices, ports)
        fitting = [plugged for plugged in choices if wanted.match.fits(plugged)]
        if wanted.match.board_id is not None:
            return self._by_id(wanted, fitting, ports)
        if len(fitting) > 1:
            raise ambiguous(wanted, fitting)
        if not fitting:
            raise missing(wanted, ports)
        return Found(fitting[0].port, _told(fitting[0], f"by its {wanted.match}"))

    def _only_one(self, wanted: Wanted, choices: Sequence[PluggedPort], ports: Sequence[PluggedPort]) -> Found:
        """Without an identity `auto` means the only board that it can mean."""
        if not choices:
            raise missing(wanted, ports)
        rivals = [
            each.board
            for each in self._wanted.values()
            if each.board != wanted.board and each.port == AUTO and each.match == ANY
        ]
        if len(choices) > 1 or rivals:
            raise ambiguous(wanted, choices, rivals=rivals)
        return Found(choices[0].port, _told(choices[0], "the only board that is plugged in and not another's"))

    def _by_id(self, wanted: Wanted, fitting: Sequence[PluggedPort], ports: Sequence[PluggedPort]) -> Found:
        """Where that id answered; else the next port that has not been asked yet."""
        for plugged in fitting:
            if self._ids.get(plugged) == wanted.match.board_id:
                return Found(plugged.port, _told(plugged, f"by its {wanted.match}"))
        now_s = self._clock.monotonic()
        for plugged in fitting:
            tried = self._in_vain.get((wanted.board, plugged))
            if plugged not in self._ids and (tried is None or tried.until_s <= now_s):
                return Found(plugged.port, f"looking for board id {wanted.match.board_id} at {plugged}")
        if any(wanted.match.fits(plugged) for plugged in self._being_asked(wanted, ports)):
            raise StillLooking(Reason.PORT_MISSING, ASKED_BY_ANOTHER)
        if not fitting:
            raise missing(wanted, ports)
        raise self._none_fits(wanted, fitting)

    def _none_fits(self, wanted: Wanted, fitting: Sequence[PluggedPort]) -> LinkError:
        seen, reasons = [], set()
        for plugged in fitting:
            tried = self._in_vain.get((wanted.board, plugged))
            if tried is not None:
                seen.append(f"{plugged}: {tried.error.reason}, {tried.error}")
                reasons.add(tried.error.reason)
            else:
                seen.append(f"{plugged} has {f'id {self._ids[plugged]}' if self._ids.get(plugged) else 'no id'}")
                reasons.add(Reason.WRONG_BOARD)
        reason = reasons.pop() if len(reasons) == 1 else Reason.WRONG_BOARD
        return LinkError(
            reason,
            f"no board that is plugged in answered with board id {wanted.match.board_id}: {'; '.join(seen)}. "
            "One that was asked is asked again when it is plugged in anew",
        )

    def _id_fits(self, wanted: Wanted, plugged: PluggedPort) -> bool:
        return wanted.match.board_id in (None, self._ids.get(plugged))

    def _is_others(self, plugged: PluggedPort, wanted: Wanted) -> bool:
        """Another board has it, is configured to have it, or is known to be it."""
        return any(self._is_of(plugged, each) for each in self._wanted.values() if each.board != wanted.board)

    def _is_of(self, plugged: PluggedPort, other: Wanted) -> bool:
        device = device_of(plugged.port)
        if device == self._claims.get(other.board) or (other.port != AUTO and device == device_of(other.port)):
            return True
        known = self._ids.get(plugged)
        if other.match.by_usb:
            return other.match.fits(plugged) and (known is None or self._id_fits(other, plugged))
        return other.match.board_id is not None and known == other.match.board_id

    def _being_asked(self, wanted: Wanted, ports: Sequence[PluggedPort]) -> list[PluggedPort]:
        """Ports that others have only to learn their ids, or will give back since the id is not theirs."""
        asking = {
            self._claims[each.board]: each.match.board_id
            for each in self._wanted.values()
            if each.board in self._claims and each.board != wanted.board and each.match.board_id and each.port == AUTO
        }
        asked = [(plugged, asking.get(device_of(plugged.port))) for plugged in ports]
        return [plugged for plugged, wanted_id in asked if wanted_id and self._ids.get(plugged) != wanted_id]


class Finder:
    """What one board's thread asks the arbiter; every method may look at what is plugged in, and opens nothing."""

    def __init__(self, arbiter: PortArbiter, wanted: Wanted) -> None:
        self._arbiter = arbiter
        self._wanted = wanted
        self.match = wanted.match
        self.others: Collection[str] = [board for board in arbiter.boards() if board != wanted.board]

    def find(self) -> Found:
        """The port to open now; until the next call, or `in_vain`, no other board gets it. Raises LinkError that says
        why there is none (`port_missing`, `port_ambiguous`, `wrong_board`), and StillLooking."""
        return self._arbiter.find(self._wanted)

    def answered(self, board_id: str) -> None:
        """The board at the port that was found bears this id, "" for none."""
        self._arbiter.answered(self._wanted, board_id)

    def accept(self, board_id: str) -> None:
        """The board at the port that was found is the one that was meant, and bears this id."""
        self._arbiter.accept(self._wanted, board_id)

    def in_vain(self, error: LinkError) -> bool:
        """Nothing came of the port that was found; other boards may have it. True where it was no more than asked for
        its id: another port may be the board's, so `find` has to be called before anything is said."""
        return self._arbiter.in_vain(self._wanted, error)

    def owner(self, board_id: str) -> str | None:
        """The other configured board that bears this id: by its `match`, or as it was last seen in this process."""
        return self._arbiter.owner(board_id, besides=self._wanted.board)

    def whereabouts(self, board_id: str) -> str | None:
        """The port where this id has answered, and that is still plugged in."""
        return self._arbiter.whereabouts(board_id)


def _left_alone_s(reason: Reason) -> float:
    """One that talks and is no board of ours is left alone until it is plugged in anew: a printer at work, perhaps."""
    if reason in UNOPENED:
        return UNOPENED_S
    return SILENT_S if reason is Reason.NO_ANSWER else inf


def _told(plugged: PluggedPort, why: str) -> str:
    return f"found {plugged}: {why}"
