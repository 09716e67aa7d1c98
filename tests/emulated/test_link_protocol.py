"""The board's side of the link protocol, on the image that users flash: the rules that a real reset, a real bootloader
and a real clock take part in. The rules of the wire alone are tested by tests/vectors and tests/firmware.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.model import Schema
from gateway.protocol.messages import (
    ACTION_TARGET,
    Boot,
    Clear,
    ClearReply,
    ErrorCode,
    HelloFlag,
    HelloReply,
    Log,
    Outcome,
    Ping,
    PingReply,
    Poll,
    PollReply,
    PollStatus,
    RunCommand,
    Safe,
    SafeReply,
    SetEpoch,
    SetEpochReply,
    SetId,
    SetIdReply,
)
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import Bench
from tests.emulated.raw_host import EPOCH, SESSION, RawHost, Refused

pytestmark = pytest.mark.needs("simavr", "avr-gcc", "make")

LED_PIN, PWM9_PIN, D2_PIN = "B5", "B1", "D2"
ON, OFF = b"\x01", b"\x00"
bare = pytest.mark.parametrize("uno", ["bare"], indirect=True)
"""Without a bootloader, where a test needs neither its 1.4 s nor what it does to SRAM."""


@dataclass
class Link:
    """A board that has said who it is, in an open session with the host's epoch."""

    board: EmulatedBoard
    host: RawHost
    schema: Schema

    def target(self, name: str) -> int:
        if channel := self.schema.channel(name):
            return channel.index
        action = self.schema.action(name)
        assert action is not None, name
        return ACTION_TARGET | action.index

    def reset(self) -> HelloReply:
        """Press the button, wait for the sketch, and open a new session; the one before is gone."""
        self.board.reset()
        self.host.wait_boot()
        return self.host.hello(session=SESSION + 1)


def open_link(board: EmulatedBoard, host: RawHost) -> Link:
    board.wait_event("reset", reason="dtr-open")
    host.forget()  # a BOOT from before that reset; should the one after it go too, it is repeated
    host.wait_boot()
    schema = host.describe(host.hello())
    assert host.ask(SetEpoch(EPOCH), SetEpochReply).epoch == EPOCH
    return Link(board, host, schema)


@pytest.fixture
def link(uno: EmulatedBoard) -> Iterator[Link]:
    with RawHost(uno.port) as host:
        yield open_link(uno, host)


# Connecting


def test_boot_is_announced_through_the_bootloader_and_repeated_until_hello(uno: EmulatedBoard) -> None:
    with RawHost(uno.port) as host:
        assert host.wait_boot().version == 1
        assert host.wait_boot().uptime_ms >= 200


def test_the_board_says_who_it_is(link: Link, shipped_image: Path) -> None:
    manifest = json.loads((shipped_image.parent / "manifest.json").read_text())
    (image,) = [image for image in manifest["images"] if image["file"] == shipped_image.name]
    assert link.schema.model == "Arduino Uno"
    assert (link.schema.sketch.name, link.schema.sketch.version) == (image["sketch"], image["version"])
    assert f"{link.schema.sketch.schema_hash:08x}" == image["schema_hash"]


@bare
def test_a_request_without_a_session_is_refused(uno: EmulatedBoard) -> None:
    with RawHost(uno.port) as host:
        host.wait_boot()
        with pytest.raises(Refused) as refusal:
            host.ask(Ping(1), PingReply)
        assert refusal.value.code is ErrorCode.NO_SESSION


# Readings and commands, seen from both sides


@bare
def test_readings_follow_what_is_wired_to_the_board(link: Link) -> None:
    link.board.adc(0, 2500)
    link.board.adc(5, 1000)
    link.board.drive(D2_PIN, 1)
    readings = link.host.poll(link.schema)
    assert readings["a0"] == pytest.approx(2.5, abs=0.02)
    assert readings["a5"] == pytest.approx(1.0, abs=0.02)
    assert readings["supply_mv"] == pytest.approx(5000, abs=50)
    assert readings["d2"] is True
    link.board.drive(D2_PIN, 0)
    assert link.host.poll(link.schema)["d2"] is False


@bare
def test_commands_move_the_pins(link: Link) -> None:
    reply = link.host.run(1, link.target("led"), arguments=ON)
    assert (reply.id, reply.outcome, reply.code) == (1, Outcome.EXECUTED, 0)
    assert link.board.pin(LED_PIN).level == 1
    link.host.run(2, link.target("pwm9"), arguments=bytes([77]))
    assert link.board.pin(PWM9_PIN).duty == 77
    readings = link.host.poll(link.schema)
    assert (readings["led"], readings["pwm9"]) == (True, 77)


# At most once, across resets through the bootloader


@pytest.mark.fault(12)
def test_a_command_that_ran_before_a_reset_is_not_run_again(link: Link) -> None:
    link.host.run(7, link.target("led"), arguments=ON)
    hello = link.reset()
    assert hello.flags & HelloFlag.EPOCH_MATCH
    assert not hello.flags & HelloFlag.COLD
    assert (hello.stored_epoch, hello.started, hello.done, hello.result) == (EPOCH, 7, 7, 0)
    assert link.board.wait_pin(LED_PIN, 0)
    since = link.board.mark()
    assert link.host.run(7, link.target("led"), arguments=ON).outcome == Outcome.DUPLICATE
    assert link.board.events("pin", since=since) == []
    with pytest.raises(Refused) as refusal:
        link.host.run(6, link.target("led"), arguments=ON)
    assert refusal.value.code is ErrorCode.STALE_ID
    assert link.host.run(8, link.target("led"), arguments=ON).outcome == Outcome.EXECUTED
    assert link.board.pin(LED_PIN).level == 1


@pytest.mark.fault(13)
def test_a_power_cycle_forgets_every_command_and_says_so(link: Link) -> None:
    link.host.run(7, link.target("led"), arguments=ON)
    link.board.power_cycle()
    link.host.wait_boot()
    hello = link.host.hello(session=SESSION + 1)
    assert hello.flags & HelloFlag.COLD
    assert not hello.flags & HelloFlag.EPOCH_MATCH
    assert (hello.stored_epoch, hello.started, hello.done) == (0, 0, 0)
    with pytest.raises(Refused) as refusal:
        link.host.run(8, link.target("led"), arguments=ON)
    assert refusal.value.code is ErrorCode.EPOCH
    assert link.board.pin(LED_PIN).level == 0


@pytest.mark.fault(14)
def test_a_command_that_a_reset_interrupted_is_reported_so_and_not_run_again(
    bench: Bench, sketch: Callable[[str, str], Path]
) -> None:
    options = BoardOptions(flash=(sketch("blocking", "uno"),), bootloader=bench.optiboot_uno)
    with EmulatedBoard(bench.binary, options) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        host.send(RunCommand(3, link.target("work"), 0, (60_000).to_bytes(2, "little")))
        board.wait_pin(LED_PIN, 1)
        hello = link.reset()
        assert (hello.started, hello.done) == (3, 0)
        board.wait_pin(LED_PIN, 0)
        since = board.mark()
        reply = host.run(3, link.target("work"), arguments=(60_000).to_bytes(2, "little"))
        assert reply.outcome == Outcome.INTERRUPTED
        assert board.events("pin", since=since) == []


# Failsafe


def test_safe_stays_latched_through_a_reset_until_cleared(link: Link) -> None:
    link.host.run(1, link.target("led"), arguments=ON)
    link.host.without_session()
    link.host.ask(Safe(), SafeReply)
    assert link.board.pin(LED_PIN).level == 0
    hello = link.reset()
    assert hello.flags & HelloFlag.LATCHED
    assert hello.flags & HelloFlag.LATCHED_BY_SAFE
    with pytest.raises(Refused) as refusal:
        link.host.run(2, link.target("led"), arguments=ON)
    assert refusal.value.code is ErrorCode.FAILSAFE
    assert link.board.pin(LED_PIN).level == 0
    link.host.ask(Clear(), ClearReply)
    assert link.host.run(3, link.target("led"), arguments=ON).outcome == Outcome.EXECUTED
    assert link.board.pin(LED_PIN).level == 1


@bare
@pytest.mark.parametrize(("asked_ms", "granted_ms"), [(1000, 1000), (5000, 2000)])
@pytest.mark.fault(22)
def test_a_silent_host_makes_the_outputs_safe_in_time(link: Link, asked_ms: int, granted_ms: int) -> None:
    link.board.watch(LED_PIN)
    link.host.hello(session=SESSION + 1, failsafe_ms=asked_ms)
    link.host.run(1, link.target("led"), arguments=ON)
    rise = link.board.wait_event("pin", pin=LED_PIN, level=1)
    fall = link.board.wait_event("pin", since=rise.index, pin=LED_PIN, level=0)
    lit_ms = (fall.time_us - rise.time_us) / 1000  # by the board's clock, so no busy machine can spoil it
    assert lit_ms == pytest.approx(granted_ms, abs=5)
    status = link.host.ask(Poll(0), PollReply).status
    assert status & PollStatus.FAILSAFE
    assert not status & PollStatus.FAILSAFE_BY_SAFE
    with pytest.raises(Refused) as refusal:
        link.host.run(2, link.target("led"), arguments=ON)
    assert refusal.value.code is ErrorCode.FAILSAFE


@bare
def test_a_pin_that_an_action_drove_is_let_go_in_the_failsafe(link: Link) -> None:
    link.host.run(1, link.target("digital_write"), arguments=bytes([7, 1]))
    assert link.board.pin("D7").mode == "output"
    link.host.ask(Safe(), SafeReply)
    assert link.board.pin("D7").mode == "input"


@bare
@pytest.mark.fault(22)
def test_a_hold_that_is_not_renewed_ends_while_the_host_goes_on_polling(link: Link) -> None:
    hold_ms = 300
    link.board.watch(LED_PIN)
    link.host.run(1, link.target("led"), arguments=ON, hold_ms=hold_ms)
    rise = link.board.wait_event("pin", pin=LED_PIN, level=1)
    status = 0
    while not status & PollStatus.HOLD_LAPSED:
        status = link.host.ask(Poll(0), PollReply).status
    fall = link.board.wait_event("pin", since=rise.index, pin=LED_PIN, level=0)
    assert (fall.time_us - rise.time_us) / 1000 == pytest.approx(hold_ms, abs=5)
    assert not status & PollStatus.FAILSAFE
    assert link.host.poll(link.schema)["led"] is False


# Identity


@bare
def test_an_id_is_given_once_and_outlives_a_power_cycle(link: Link) -> None:
    given = 0xC0FFEE42
    assert link.host.ask(SetId(given), SetIdReply).id == given
    assert link.host.ask(SetId(1), SetIdReply).id == given
    link.board.power_cycle()
    link.host.wait_boot()
    schema = link.host.describe(link.host.hello(session=SESSION + 1))
    assert schema.unique_id == f"{given:08x}"


EEPROM_BYTES = 1024
ID_BYTES = 6
SOMEBODY_S = b"a logger's data: 21.5"
CUT_SHORT = b"\xff\xee\xff\xc0\x5a\xa5"  # an id is written from its last byte to its first; the power went before that


@pytest.mark.parametrize(
    ("end_of_eeprom", "takes_id"),
    [(b"\xff" * ID_BYTES, True), (b"\0" * ID_BYTES, False), (SOMEBODY_S, False), (CUT_SHORT, True)],
    ids=["blank", "zeros", "a sketch's own data", "an id that was cut short"],
)
def test_only_a_blank_place_takes_an_id(
    bench: Bench, shipped_image: Path, tmp_path: Path, end_of_eeprom: bytes, takes_id: bool
) -> None:
    memory = tmp_path / "eeprom.bin"
    before = end_of_eeprom.rjust(EEPROM_BYTES, b"\xff")
    memory.write_bytes(before)
    given = 0xC0FFEE42
    options = BoardOptions(flash=(shipped_image,), eeprom_image=memory)
    with EmulatedBoard(bench.binary, options) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        assert link.schema.unique_id == ""
        assert host.ask(SetId(given), SetIdReply).id == (given if takes_id else 0)
    after = memory.read_bytes()
    assert after[:-ID_BYTES] == before[:-ID_BYTES]
    assert (after == before) is not takes_id


# What a user's sketch may do


def start_sketch(bench: Bench, image: Path) -> EmulatedBoard:
    return EmulatedBoard(bench.binary, BoardOptions(flash=(image,)))


def test_a_sketch_that_delays_still_answers(bench: Bench, sketch: Callable[[str, str], Path]) -> None:
    with start_sketch(bench, sketch("blocking", "uno")) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        answers_by_turn: dict[object, int] = {}
        while len(answers_by_turn) < 3:  # the first and the last turn of the loop may be seen in part
            turn = host.poll(link.schema)["turns"]
            answers_by_turn[turn] = answers_by_turn.get(turn, 0) + 1
        assert max(answers_by_turn.values()) > 10  # in one delay(3000)


@pytest.mark.fault(6)
def test_a_sketch_that_prints_is_still_understood(bench: Bench, sketch: Callable[[str, str], Path]) -> None:
    with start_sketch(bench, sketch("chatty", "uno")) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        for _ in range(50):
            host.poll(link.schema)
    whole = [line for line in host.texts if line.startswith("line ")]
    assert len(whole) > 10
    assert not any(isinstance(event, Boot) for event in host.events)


def test_a_sketch_that_printed_before_it_opened_the_bridge_says_boot_all_the_same(
    bench: Bench, sketch: Callable[[str, str], Path]
) -> None:
    """Its banner may be cut by the second `begin`, but both BOOTs come, and the output's own log line later."""
    with start_sketch(bench, sketch("banner", "uno")) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        link.board.reset()
        host.wait_boot()
        assert host.wait_boot().uptime_ms >= 200
        host.hello(session=SESSION + 1)
        assert host.run(1, link.target("pump"), arguments=ON).code == 0
        host.poll(link.schema)
    logged = [event.text for event in host.events if isinstance(event, Log)]
    assert logged == [b"pump is switched"], "nothing before the bridge was open"


def test_a_handler_longer_than_the_failsafe_limit_does_not_end_in_the_failsafe_while_the_host_speaks(
    bench: Bench, sketch: Callable[[str, str], Path]
) -> None:
    with start_sketch(bench, sketch("blocking", "uno")) as board, RawHost(board.port) as host:
        link = open_link(board, host)
        arguments = (2500).to_bytes(2, "little")
        request = RunCommand(1, link.target("work"), 0, arguments)
        host.send(request)
        board.wait_pin(LED_PIN, 1)
        host.send(Ping(7))  # waits in the board's ring until the handler returns
        board.wait_pin(LED_PIN, 0)
        assert host.run(1, link.target("work"), arguments=arguments).outcome == Outcome.DUPLICATE
        assert not host.ask(Poll(0), PollReply).status & PollStatus.FAILSAFE
