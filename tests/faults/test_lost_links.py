"""Ports that die in the middle of any use, and boards that fall silent: one link loss each, the port closed before
anyone is told, queued commands kept. PROTOCOL.md, "Fault cases".
"""

import errno
from collections.abc import Callable
from dataclasses import replace

import pytest
import serial

from gateway.errors import LinkError
from gateway.link import faults
from gateway.link.serial_port import PortTraits, SerialPort
from gateway.link.virtual_board import VirtualBoard
from gateway.link.waits import SlicedWait
from gateway.link.wake import Wake
from gateway.model import BoardState, Command, CommandState, Reason
from tests.board.world import FakeClock, FakeLink, Line, World

GONE = "device reports readiness to read but returned no data (device disconnected or multiple access on port?)"
TERMINAL_ERROR: type[Exception] = next(iter(faults.TERMINAL_ERRORS), OSError)
DEATHS = (
    serial.SerialException(GONE),
    OSError(errno.EIO, "Input/output error"),
    PermissionError(13, "The device does not recognize the command"),  # Windows
    TERMINAL_ERROR(errno.EIO, "Input/output error"),
    TypeError("'NoneType' object cannot be interpreted as an integer"),  # pyserial, closed under its feet
)
"""What pyserial is known to raise from a port that is pulled."""


class DyingPort:
    """A pyserial port that is pulled in the middle of one of its members."""

    def __init__(self, member: str, death: Exception) -> None:
        self._member = member
        self._death = death
        self.story: list[str] = []

    def _use(self, member: str) -> None:
        self.story.append(member)
        if member == self._member:
            raise self._death

    @property
    def in_waiting(self) -> int:
        self._use("in_waiting")
        return 0

    @property
    def baudrate(self) -> int:
        return 250_000

    @baudrate.setter
    def baudrate(self, _baud: int) -> None:
        self._use("baudrate")

    def read(self, _size: int) -> bytes:
        self._use("read")
        return b"x"

    def write(self, _data: bytes) -> None:
        self._use("write")

    def close(self) -> None:
        self.story.append("close")


USES: dict[str, Callable[[SerialPort], object]] = {
    "read": SerialPort.read,
    "in_waiting": lambda port: port.wait(1.0),
    "write": lambda port: port.write(b"x"),
    "baudrate": lambda port: port.set_baud(57_600),
}


@pytest.mark.fault(18)
@pytest.mark.parametrize("death", DEATHS, ids=lambda death: type(death).__name__)
@pytest.mark.parametrize("member", USES)
def test_a_port_pulled_within_a_call_is_closed_before_anyone_is_told(member: str, death: Exception) -> None:
    """The next thing that happens to the port is its end: no time passes between."""
    wake = Wake()
    pulled = DyingPort(member, death)
    traits = PortTraits(virtual=False, answers_at_once=True, fixed_baud=False)
    wait = SlicedWait(pulled, wake=wake, clock=FakeClock())  # type: ignore[arg-type]
    port = SerialPort(pulled, url="/dev/ttyACM0", traits=traits, wait=wait)  # type: ignore[arg-type]
    with pytest.raises(LinkError) as caught:
        USES[member](port)
    wake.close()
    assert caught.value.reason is Reason.PORT_MISSING
    assert pulled.story[-2:] == [member, "close"]


# ---- what the board thread makes of it ----


def beep(world: World, times: int) -> Command:
    return world.submit(action="beep", arguments={"times": times}, expires_in_ms=60_000)


@pytest.mark.fault(18)
@pytest.mark.parametrize("use", ["read", "write", "wait"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "a command under way"])
def test_a_port_pulled_in_any_use_is_one_link_loss_and_keeps_what_is_queued(
    use: str, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    commands: list[Command] = []
    honest = getattr(FakeLink, use)
    pulled: list[FakeLink] = []

    def die(link: FakeLink, *arguments: object) -> object:
        if world.clock.now < 1005 or pulled:
            return honest(link, *arguments)
        pulled.append(link)
        world.line.failing = world.line.missing = Reason.PORT_MISSING
        raise LinkError(Reason.PORT_MISSING, "the port is gone")

    def replug() -> None:
        world.line.failing = world.line.missing = None

    monkeypatch.setattr(FakeLink, use, die)
    if busy:
        world.at(4.9, lambda: setattr(world.line, "lose_replies", 1))
        world.at(4.99, lambda: commands.extend(beep(world, times) for times in (1, 2, 3)))
    world.at(8, replug)
    world.run(12)
    lost = next(status for status in world.sink.statuses if status.state is BoardState.OFFLINE)
    assert lost.reason is Reason.PORT_MISSING
    assert sum(entry.message.startswith("offline") for entry in world.sink.entries) == 1
    assert all(link.closed for link in world.links)
    assert len(world.links) == 2
    assert world.status.state is BoardState.ONLINE
    assert [world.now_is(command).state for command in commands] == [CommandState.DONE] * len(commands)
    assert world.pins.beeps == [1, 2, 3][: len(commands)]


@pytest.mark.fault(21)
@pytest.mark.parametrize("loses_memory", [False, True], ids=["goes on", "is reset"])
def test_a_board_that_blocks_for_ten_seconds_is_lost_found_again_and_ran_nothing_twice(loses_memory: bool) -> None:
    world = World(Line(wrong_baud=250_000))  # at any other rate its answers are garbage
    commands: list[Command] = []
    world.at(5, world.board.freeze)
    world.at(5.05, lambda: commands.extend(beep(world, times) for times in (1, 2)))
    world.at(9, lambda: seen.append(world.status.state))
    world.at(15, world.board.power_cycle if loses_memory else world.board.thaw)

    seen: list[BoardState] = []
    world.run(40)
    assert seen[0] is BoardState.OFFLINE
    first, second = (world.now_is(command).state for command in commands)
    assert first is (CommandState.UNKNOWN if loses_memory else CommandState.DONE)
    assert second is CommandState.DONE
    assert world.pins.beeps == ([2] if loses_memory else [1, 2])
    assert world.status.state is BoardState.ONLINE
    assert all(link.closed for link in world.links)


@pytest.mark.fault(24)
def test_another_sketch_under_a_standing_session_withdraws_the_old_one() -> None:
    """As an upload through a programmer, past the serial port: the port stays, the board says BOOT."""
    world = World()
    commands: list[Command] = []
    former = world.pins.table()
    kept = [row for row in former.channels if row.record.name != "fan"]

    def lose() -> None:
        world.line.dead = True
        commands.append(world.submit(channel="fan", value=100, hold_ms=5000, expires_in_ms=60_000))

    def upload() -> None:
        world.line.dead = False
        world.board = VirtualBoard(clock=world.clock, table=replace(former, channels=kept))

    world.at(3, lose)
    world.at(3.1, upload)
    world.run(8)
    assert world.status.schema is not None
    assert [channel.name for channel in world.status.schema.channels] == ["temperature", "uptime_ms", "led"]
    assert "fan" not in world.sink.samples[-1]
    assert world.now_is(commands[0]).state is CommandState.UNKNOWN, "a new sketch remembers nothing"
    assert world.pins.fan == 0
    assert world.opened_at == [1000.0]
