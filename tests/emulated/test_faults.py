"""Faults of the line and of the board, real at both ends: an emulated Uno, the real `gateway run` process, HTTP.

The cases are those of PROTOCOL.md, "Fault cases". Whether a command ran is read from the board's pin, never from the
gateway. What is shown here with a bootloader needs one; the rest runs on a bare board, which starts sooner.
"""

import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.protocol.framing import encode
from gateway.protocol.messages import (
    ErrorCode,
    Hello,
    HelloFlag,
    Ping,
    PingReply,
    SetEpoch,
    SetEpochReply,
    Stats,
    StatsReply,
    Stream,
    StreamReply,
)
from tests.emulated.board import BoardOptions, EmulatedBoard
from tests.emulated.images import Bench
from tests.emulated.pulses import (
    LAMP,
    POLL_BYTES,
    REPLY_BYTES,
    REQUEST_BYTES,
    Held,
    PulseBoard,
    counters,
    end_of,
    ports_of,
    post_pulse,
    serving,
    wait_no_more_held,
    wait_resets,
)
from tests.emulated.raw_host import EPOCH, SESSION, RawHost, Refused
from tests.running import GatewayProcess

pytestmark = [pytest.mark.needs("simavr", "avr-gcc", "make"), pytest.mark.process]

LED, PWM9 = "B5", "B1"
NOISE_BYTES = 65_536
STOPPED_S = 5.0
HELLO_REPLY_BYTES = 39
BEHIND_S = 0.5
"""How much later than the test's request the board may learn of it, on a busy machine."""


@pytest.fixture
def image(sketch: Callable[[str, str], Path]) -> Path:
    return sketch("pulses", "uno")


@pytest.fixture
def board(bench: Bench, image: Path) -> Iterator[PulseBoard]:
    with PulseBoard(bench, image) as board:
        yield board


@pytest.fixture
def through_optiboot(bench: Bench, image: Path) -> Iterator[PulseBoard]:
    with PulseBoard(bench, image, bootloader=bench.optiboot_uno) as board:
        yield board


def pulse_once_more(gateway: GatewayProcess, board: PulseBoard) -> None:
    """The fault is over: the next command runs, once."""
    before = board.pulses
    assert end_of(gateway, post_pulse(gateway))["state"] == "done"
    assert board.pulses == before + 1


# ---- noise, as the board receives it ----


def bad_after_noise(uno: EmulatedBoard, alphabet: range) -> tuple[int, int]:
    """What the board counted of 64 KB of such bytes, behind which it answers at once: segments that are no frame, and
    segments too long for one."""
    with RawHost(uno.port) as host:
        host.wait_boot()
        host.hello()
        before = host.ask(Stats(), StatsReply)
        uno.set_speed(0)
        host.write(bytes(alphabet[(7 * at + at // 251) % len(alphabet)] for at in range(NOISE_BYTES)))
        assert host.ask(Ping(1), PingReply).token == 1, "all that a sound frame needs is its own delimiter"
        after = host.ask(Stats(), StatsReply)
    assert after.free_ram == before.free_ram
    return after.rx_bad - before.rx_bad, after.overruns - before.overruns


@pytest.mark.fault(4)
@pytest.mark.parametrize("uno", ["bare"], indirect=True)
def test_a_board_takes_64_kb_of_noise_and_then_a_frame(uno: EmulatedBoard) -> None:
    bad, too_long = bad_after_noise(uno, range(256))
    assert bad + too_long > 100


@pytest.mark.fault(5)
@pytest.mark.parametrize("uno", ["bare"], indirect=True)
def test_a_board_counts_endless_bytes_without_a_zero_once(uno: EmulatedBoard) -> None:
    assert bad_after_noise(uno, range(1, 256)) == (0, 1)


@pytest.mark.fault(6)
def test_a_sketch_that_prints_between_all_frames_is_heard_and_understood(
    bench: Bench, sketch: Callable[[str, str], Path]
) -> None:
    with (
        EmulatedBoard(bench.binary, BoardOptions(flash=(sketch("chatty", "uno"),))) as chatty,
        serving(chatty) as gateway,
    ):
        first = gateway.reading("lines")["value"]
        gateway.until(lambda: gateway.reading("lines"), lambda seen: seen["value"] > first + 150)
        assert gateway.reading("lines")["quality"] == "good"
        texts = [entry["message"] for entry in gateway.get("boards/board/log").json["items"]]
        whole = [int(text.removeprefix("line ")) for text in texts if text.startswith("line ")]
        assert len(whole) > 50
        assert whole == sorted(whole)
        assert gateway.state() == "online"
        assert counters(gateway)["polls_missed"] == 0


# ---- replies and requests that are lost ----


@pytest.mark.fault(7)
def test_replies_lost_after_the_command_ran(board: PulseBoard) -> None:
    with serving(board) as gateway:
        board.noise(transmit_drop=1.0)
        sent = board.bytes("sent")
        command = post_pulse(gateway)
        board.wait_bytes("sent", sent + 3 * REPLY_BYTES)
        board.noise()
        ended = end_of(gateway, command)
        assert (ended["state"], ended["result"], board.pulses) == ("done", 1, 1)
        pulse_once_more(gateway, board)


@pytest.mark.fault(8)
def test_requests_lost_four_times_then_delivered(board: PulseBoard) -> None:
    with serving(board) as gateway:
        board.noise(receive_drop=1.0)
        received = board.bytes("received")
        command = post_pulse(gateway)
        board.wait_bytes("received", received + 4 * REQUEST_BYTES + POLL_BYTES)
        assert board.begun == 0
        board.noise()
        ended = end_of(gateway, command)
        assert (ended["state"], ended["result"], board.pulses) == ("done", 1, 1)
        pulse_once_more(gateway, board)


# ---- resets and power loss with a command under way ----


@pytest.mark.fault(14)
@pytest.mark.parametrize(
    ("before_ms", "after_ms", "ran"),
    [(60_000, 0, 0), (0, 60_000, 1)],
    ids=["started, nothing done yet", "all done, not yet finished"],
)
def test_a_reset_while_the_handler_runs_is_unknown(
    through_optiboot: PulseBoard, before_ms: int, after_ms: int, ran: int
) -> None:
    board = through_optiboot
    with serving(board) as gateway:
        command = post_pulse(gateway, before_ms=before_ms, after_ms=after_ms)
        board.wait_pulse() if ran else board.wait_begun()
        board.reset()
        assert end_of(gateway, command)["state"] == "unknown"
        wait_resets(gateway, 1)
        assert (board.begun, board.pulses) == (1, ran), "entered once, and never again"
        pulse_once_more(gateway, board)


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    ("lost", "ran"), [("receive_drop", 0), ("transmit_drop", 1)], ids=["never arrived", "ran, and nobody heard"]
)
def test_power_loss_with_a_command_sent_is_unknown(board: PulseBoard, lost: str, ran: int) -> None:
    with serving(board) as gateway:
        board.noise(**{lost: 1.0})
        received = board.bytes("received")
        command = post_pulse(gateway)
        board.wait_bytes("received", received + REQUEST_BYTES + POLL_BYTES)
        if ran:
            board.wait_pulse()
        board.power_cycle()
        board.noise()
        assert end_of(gateway, command)["state"] == "unknown"
        assert board.pulses == ran
        pulse_once_more(gateway, board)
        assert board.pulses == ran + 1


@pytest.mark.fault(15)
def test_a_cold_board_whose_answers_to_hello_are_lost_is_still_told_from_one_that_remembers(board: PulseBoard) -> None:
    with serving(board) as gateway:
        board.noise(transmit_drop=1.0)
        command = post_pulse(gateway)
        board.wait_pulse()
        log = gateway.mark()
        board.power_cycle()
        gateway.wait_line("offline, no_answer", since=log)  # nobody heard BOOT either
        board.wait_bytes("sent", board.bytes("sent") + HELLO_REPLY_BYTES)  # for the next opening says HELLO
        board.noise()
        assert end_of(gateway, command)["state"] == "unknown"
        assert board.pulses == 1
        pulse_once_more(gateway, board)


@pytest.mark.fault(15)
def test_a_second_hello_to_a_cold_board_says_what_the_first_said(through_optiboot: PulseBoard) -> None:
    """A HELLO that adopted the epoch would report a match the second time."""
    uno = through_optiboot
    with RawHost(uno.port) as host:
        host.wait_boot()
        host.hello()
        assert host.ask(SetEpoch(EPOCH), SetEpochReply).epoch == EPOCH
        uno.power_cycle()
        host.wait_boot()
        uno.noise(transmit_drop=1.0)
        sent = uno.bytes("sent")
        host.hello_unheard(session=SESSION + 1)
        uno.wait_bytes("sent", sent + HELLO_REPLY_BYTES)
        uno.noise()
        host.forget()
        again = host.hello(session=SESSION + 1)
        assert again.flags & HelloFlag.COLD
        assert not again.flags & HelloFlag.EPOCH_MATCH
        assert (again.stored_epoch, again.started, again.done) == (0, 0, 0)
        with pytest.raises(Refused) as refusal:
            host.run(1, 0x80, arguments=bytes(4))
        assert refusal.value.code is ErrorCode.EPOCH


# ---- ports that go away ----


@pytest.mark.fault(18)
def test_unplugged_amid_traffic(board: PulseBoard) -> None:
    """One command under way, others queued: one link loss, nothing leaked, and what was queued runs once."""
    with serving(board) as gateway:
        before = Held.by(gateway)
        assert len(ports_of(gateway)) == 1
        under_way = post_pulse(gateway, before_ms=60_000)
        queued = [post_pulse(gateway) for _ in range(5)]
        board.wait_begun()
        log = gateway.mark()
        board.unplug()
        gateway.wait_line("offline, port_missing", since=log)
        assert ports_of(gateway) == [], "it is closed before it is told"
        assert {gateway.get(f"commands/{command}").json["state"] for command in queued} == {"queued"}
        board.plug()
        assert end_of(gateway, under_way)["state"] == "unknown", "its board lost its memory with its power"
        assert [end_of(gateway, command)["state"] for command in queued] == ["done"] * 5
        assert board.pulses == 5
        gateway.wait_state("online")
        assert len([line for line in gateway.lines(since=log) if "offline" in line]) == 1
        wait_no_more_held(gateway, before)


@pytest.mark.fault(19)
def test_replugged_as_another_tty_behind_a_stable_name(board: PulseBoard, tmp_path: Path) -> None:
    """As the links in /dev/serial/by-id do it."""
    stable = tmp_path / "by-id"
    stable.symlink_to(board.port)
    with serving(board, port=stable) as gateway:
        pulse_once_more(gateway, board)
        (former,) = ports_of(gateway)
        board.unplug()
        gateway.wait_state("offline")
        stable.unlink()
        taken, other_end = os.openpty()  # the number that just became free, so that the board gets another
        try:
            board.plug(tmp_path / "ttyACM1")
            stable.symlink_to(board.port)
            gateway.wait_state("online")
            assert [port for port in ports_of(gateway) if port != former]
        finally:
            os.close(taken)
            os.close(other_end)
        pulse_once_more(gateway, board)
        assert board.pulses == 2


def open_past_its_owner(port: Path) -> int | None:
    """A descriptor of the port that the gateway holds; None where the system refuses it, to all but root."""
    try:
        return os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return None


@pytest.mark.fault(20)
def test_another_program_that_writes_into_the_port(board: PulseBoard) -> None:
    """Only root gets that far. Its garbage costs frames at most; its HELLO takes the session away, and is told."""
    with serving(board) as gateway:
        intruder = open_past_its_owner(board.port)
        if intruder is None:
            return
        try:
            for number in range(10):
                os.write(intruder, bytes((number * at + at) % 256 for at in range(90)) + b"\0")
                pulse_once_more(gateway, board)
            assert gateway.state() in ("online", "degraded")
            log = gateway.mark()
            foreign = Hello(1, 1, 0, 0x999999F0, 1, 0)
            while not any("port_busy" in line for line in gateway.lines(since=log)):
                os.write(intruder, encode(Hello.TYPE, 0, 0xF0, payload=foreign.to_bytes()))
                sessions = counters(gateway)["sessions"]
                gateway.until(
                    lambda: (counters(gateway)["sessions"], gateway.state()),
                    lambda seen, former=sessions: seen[0] > former or seen[1] == "offline",  # type: ignore[misc]
                )
            assert "another program" in gateway.wait_line("port_busy", since=log)
        finally:
            os.close(intruder)
        gateway.wait_state("online")
        pulse_once_more(gateway, board)


# ---- ends that stand still ----


@pytest.mark.fault(21)
@pytest.mark.parametrize("uno", ["bare"], indirect=True)
def test_a_host_that_does_not_read_delays_no_timer_of_the_board(uno: EmulatedBoard) -> None:
    """The board streams into a port that nobody empties: hold and failsafe are on time all the same."""
    hold_ms, silence_ms = 600, 1500
    uno.watch(LED)
    uno.watch(PWM9)
    with RawHost(uno.port) as host:
        host.wait_boot()
        schema = host.describe(host.hello(failsafe_ms=silence_ms))
        host.ask(SetEpoch(EPOCH), SetEpochReply)
        led, pwm9 = schema.channel("led"), schema.channel("pwm9")
        assert led is not None
        assert pwm9 is not None
        host.ask(Stream(0, 5, 255), StreamReply)
        since = uno.mark()
        host.run(1, pwm9.index, arguments=b"\xff", hold_ms=hold_ms)
        host.run(2, led.index, arguments=b"\1")
        lit = uno.wait_event("pin", since=since, pin=LED, level=1)
        held = uno.wait_event("pin", since=since, pin=PWM9, level=1)
        let_go = uno.wait_event("pin", since=held.index, pin=PWM9, level=0)
        dark = uno.wait_event("pin", since=lit.index, pin=LED, level=0)
        assert uno.stats()["lost"] > 0, "nobody read, and the port was full"
        assert (let_go.time_us - held.time_us) / 1000 == pytest.approx(hold_ms, abs=5)
        assert (dark.time_us - lit.time_us) / 1000 == pytest.approx(silence_ms, abs=5)


@pytest.mark.fault(21)
def test_a_sketch_that_is_deaf_for_seconds_runs_the_command_once(board: PulseBoard) -> None:
    """Longer than the link timeout: the link is lost and found again, the command waits."""
    with serving(board, more=", link_timeout: 500ms") as gateway:
        before = Held.by(gateway)
        log = gateway.mark()
        deaf = gateway.request(
            "POST", "boards/board/commands", {"action": "compute", "arguments": {"ms": 2500}, "expires_in_ms": 60_000}
        ).json["id"]
        command = post_pulse(gateway)
        gateway.wait_line("offline, no_answer", since=log)
        assert gateway.get(f"commands/{command}").json["state"] == "queued"
        assert board.pulses == 0
        assert [end_of(gateway, each)["state"] for each in (deaf, command)] == ["done", "done"]
        assert board.pulses == 1
        wait_no_more_held(gateway, before)


@pytest.mark.fault(22)
@pytest.mark.parametrize("uno", ["bare"], indirect=True)
def test_a_gateway_that_is_stopped_for_five_seconds(uno: EmulatedBoard) -> None:
    """The board lets go by itself; the gateway then goes on in the same session, and nothing moves by itself."""
    with GatewayProcess("--port", str(uno.port)) as gateway:
        gateway.wait_state("online")
        uno.watch(LED)
        uno.watch(PWM9)
        since = uno.mark()
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert gateway.command({"channel": "pwm9", "value": 255, "hold_ms": 500})["state"] == "done"
        gateway.process.send_signal(signal.SIGSTOP)
        try:
            stopped_s = float(uno.stats()["board_s"])
            held = uno.wait_event("pin", since=since, pin=PWM9, level=1)
            let_go = uno.wait_event("pin", since=held.index, pin=PWM9, level=0)
            dark = uno.wait_event("pin", since=since, pin=LED, level=0)
            assert (let_go.time_us - held.time_us) / 1e6 == pytest.approx(0.5, abs=0.005)
            assert dark.time_us / 1e6 - stopped_s < 2.0 + BEHIND_S
            gateway.until(lambda: float(uno.stats()["board_s"]), lambda now_s: now_s > stopped_s + STOPPED_S)
        finally:
            gateway.process.send_signal(signal.SIGCONT)
        gateway.until(
            lambda: gateway.get("boards/board").json,
            lambda seen: (seen["state"], seen["failsafe"]["latched"]) == ("online", False),
        )
        board = gateway.get("boards/board").json
        assert (board["resets"], board["counters"]["sessions"]) == (0, 1)
        assert uno.pin(LED).level == 0
        assert gateway.until(lambda: gateway.reading("led")["value"], lambda value: value is False) is False
        assert gateway.command({"channel": "led", "value": True})["state"] == "done"
        assert uno.pin(LED).level == 1


# ---- another sketch ----


@pytest.mark.fault(24)
def test_a_sketch_with_other_channels_withdraws_the_old_values(
    bench: Bench, shipped_image: Path, image: Path, tmp_path: Path
) -> None:
    """The same port, the same running gateway; another image on the board behind it."""
    port = tmp_path / "tty"
    with EmulatedBoard(bench.binary, BoardOptions(flash=(shipped_image,))) as former, PulseBoard(bench, image) as board:
        port.symlink_to(former.port)
        with serving(former, port=port) as gateway:
            schema = gateway.get("boards/board").json["sketch"]["schema"]
            etag = gateway.get("boards/board/readings").headers["Etag"]
            assert gateway.reading("a0")["quality"] == "good"
            former.unplug()
            gateway.wait_state("offline")
            port.unlink()
            port.symlink_to(board.port)
            gateway.wait_state("online")
            assert gateway.get("boards/board").json["sketch"]["schema"] != schema
            assert gateway.get("boards/board/readings", {"If-None-Match": etag}).status == 200
            assert set(gateway.get("boards/board/readings").json["readings"]) == {"pulses", "lamp"}
            for path in ("readings/a0", "readings/a0/history", "channels/a0/value"):
                assert gateway.get(f"boards/board/{path}").status == 404
            refused = gateway.request("POST", "boards/board/commands", {"channel": "led", "value": True})
            assert refused.status == 404
            assert "lamp" in refused.json["detail"]
            pulse_once_more(gateway, board)
            assert gateway.command({"channel": "lamp", "value": True})["state"] == "done"
            assert board.pin(LAMP).level == 1
