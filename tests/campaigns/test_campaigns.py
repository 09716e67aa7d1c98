"""The campaigns with small numbers: the real process, the emulated Uno, and what the board's pins say of it all.

Which points are hit is drawn from a seed and depends on the machine; what must hold is the same at every point.
"""

import pytest

from benchmarks.campaigns import crash, failsafe, noise, unplug
from benchmarks.campaigns.__main__ import QUICK
from benchmarks.campaigns.account import Account, settle
from benchmarks.campaigns.clients import Crew, Door, final_states
from benchmarks.campaigns.ledger import LedgerBoard
from gateway.protocol import framing
from tests.emulated.images import Bench, build_bench
from tests.running import GatewayProcess

SEED = 1


@pytest.fixture(scope="module")
def bench() -> Bench:
    return build_bench()


def assert_kept(account: Account) -> None:
    """No promise was broken."""
    assert {name: count for name, count in account.broken.items() if count} == {}


@pytest.mark.process
@pytest.mark.needs("simavr", "avr-gcc")
@pytest.mark.timeout(180)
def test_killed_at_random_points_the_gateway_runs_nothing_twice_and_forgets_nothing(bench: Bench) -> None:
    report = QUICK["crash"](bench, SEED)
    assert isinstance(report, crash.CrashReport)
    print(report.table().markdown())
    assert_kept(report.account)
    assert (report.rounds, report.stalled) == (30, 0)
    assert report.kills_amid_a_command >= 3
    assert report.taken_all_the_same >= 1
    assert report.account.accepted >= 100
    assert report.account.states["done"] >= 100


@pytest.mark.process
@pytest.mark.needs("simavr", "avr-gcc")
@pytest.mark.timeout(120)
def test_a_bad_line_costs_time_and_nothing_else(bench: Bench) -> None:
    report = QUICK["noise"](bench, SEED)
    assert isinstance(report, noise.NoiseReport)
    assert_line_was_survived(report, commands=150, readings=20)


def test_a_bad_line_costs_time_and_nothing_else_simulated() -> None:
    report = noise.run_simulated(rates=(1e-3, 1e-2), commands=500, seed=SEED)
    assert_line_was_survived(report, commands=500, readings=20)


def test_ends_that_believe_every_frame_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The campaign can fail: without the checksum wrong values get through, and it says so."""

    def gullible(segment: bytes) -> framing.Frame | None:
        frame = framing.cobs_decode(segment)
        if frame is None or len(frame) < framing.MIN_FRAME:
            return None
        return framing.Frame(frame[0], frame[1], frame[2], frame[framing.HEADER_BYTES : -framing.FCS_BYTES])

    monkeypatch.setattr(framing, "decode", gullible)
    clean, noisy = noise.run_simulated(rates=(1e-2,), commands=500, seed=SEED).cells
    assert_kept(clean.account)
    assert clean.wrong_readings == 0
    assert noisy.wrong_readings > 0
    assert sum(noisy.account.broken.values()) > 0


def assert_line_was_survived(report: noise.NoiseReport, *, commands: int, readings: int) -> None:
    print(report.table().markdown())
    clean, *noisy = report.cells
    assert (clean.faults, clean.account.states["done"]) == (0, commands)
    for cell in report.cells:
        assert_kept(cell.account)
        assert cell.wrong_readings == 0
        assert cell.readings >= readings
        assert cell.account.accepted == commands
    assert noisy[-1].account.states["done"] >= 0.9 * commands
    assert noisy[-1].faults > 20
    assert sum(noisy[-1].counters.values()) > 0


@pytest.mark.process
@pytest.mark.needs("simavr", "avr-gcc")
@pytest.mark.timeout(120)
def test_outputs_are_safe_in_time_whoever_fell_silent(bench: Bench) -> None:
    report = QUICK["failsafe"](bench, SEED)
    assert isinstance(report, failsafe.FailsafeReport)
    print(report.table().markdown())
    for silence in report.silences:
        assert silence.too_late == 0, silence
        assert all(trial.safe_after_ms > 0.2 * silence.limit_ms - trial.certain_within_ms for trial in silence.trials)
    assert [len(silence.trials) for silence in report.silences] == [2, 3, 3]


@pytest.mark.process
@pytest.mark.needs("simavr", "avr-gcc")
@pytest.mark.timeout(120)
def test_a_plug_pulled_in_the_middle_of_traffic_costs_what_was_under_way_and_no_more(bench: Bench) -> None:
    report = QUICK["unplug"](bench, SEED)
    assert isinstance(report, unplug.UnplugReport)
    print(report.table().markdown())
    assert_kept(report.account)
    assert len(report.online_after_s) == 10
    assert report.names_repeated == 0
    assert report.too_late == 0
    assert report.descriptors[1] <= report.descriptors[0]
    assert report.threads[1] <= report.threads[0]
    assert report.queued_commands == report.kept > 10
    assert report.account.states["unknown"] <= 11, "the one under way at each pull, the first for warming up"


@pytest.mark.process
@pytest.mark.needs("simavr", "avr-gcc")
def test_a_command_that_is_sent_twice_is_seen_at_the_pins(bench: Bench) -> None:
    """The campaigns' eyes are open: numbers that were asked for twice, and one that nobody owned up to."""
    with (
        LedgerBoard(bench, bootloader=False, seed=SEED) as ledger,
        GatewayProcess("--port", str(ledger.board.port)) as gateway,
    ):
        gateway.wait_state("online")
        door = Door()
        door.open(gateway.url)

        def body(number: int) -> dict[str, object]:
            return {"action": "mark", "arguments": {"number": (7, 7, 9)[number - 1], "ms": 5}}

        with Crew(door, clients=1, body=body, numbers=range(1, 4)) as crew:
            assert crew.wait_accepted(3, timeout_s=10)
            told = final_states(gateway.url, crew.accepted)
        runs = ledger.executions()
    assert [(run.number, run.finished) for run in runs] == [(7, True), (7, True), (9, True)]
    account = settle(told, runs)
    assert account.broken == {
        "duplicates": 1,
        "false_done": 3,
        "false_not_run": 0,
        "wrong_results": 3,
        "not_asked_for": 3,
        "changed_final_states": 0,
        "without_final_state": 0,
    }
