"""The doctor's rules at their thresholds, both sides of each; and that every finding is complete."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from gateway.link.discovery import PluggedPort
from gateway.link.holders import Holder
from gateway.model import (
    BoardState,
    BoardStatus,
    BoardVitals,
    FailsafeCause,
    Finding,
    LineHealth,
    Reason,
    Schema,
    Severity,
    Sketch,
)
from gateway.tools.doctor import CODES, RULES, Evidence, diagnose

NOW_S = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
HOUR_S = 3600.0
MB = 1_000_000
URL = "http://127.0.0.1:8080"
VITALS = BoardVitals(1000, 0, overruns=0, loop_max_s=0.002, free_ram=1200)
COUNTERS = {"frames_received": 10_000, "frames_rejected": 2, "samples_skipped": 0, "on_connect_failed": 0}
SCHEMA = Schema("Arduino Uno", "", Sketch("greenhouse", "1.2.0", 0), (), ())
UNO = PluggedPort("/dev/ttyACM0", vendor=0x2341, product=0x43, serial_number="7", location="1-1.4")
CLONE = PluggedPort("/dev/ttyUSB0", vendor=0x1A86, product=0x7523, location="1-1.2")
FTDI = PluggedPort("/dev/ttyUSB1", vendor=0x0403, product=0x6001, serial_number="A5")

Change = Callable[[Evidence], Evidence]


def healthy() -> Evidence:
    status = BoardStatus(
        "uno",
        False,
        "/dev/ttyACM0",
        state=BoardState.ONLINE,
        schema=SCHEMA,
        round_trip_s=0.0041,
        vitals=VITALS,
        counters=COUNTERS,
    )
    return Evidence(
        status,
        now_s=NOW_S,
        flash="gateway flash --board uno",
        url=URL,
        plugged=(UNO,),
        device=UNO,
        holders=(),
        latency_timer_ms=1,
        state_dir="/var/lib/gateway",
        free_bytes=10_000 * MB,
    )


def status(**changes: object) -> Change:
    return lambda evidence: replace(evidence, status=replace(evidence.status, **changes))  # type: ignore[arg-type]


def vitals(**changes: object) -> Change:
    return status(vitals=replace(VITALS, **changes))  # type: ignore[arg-type]


def counters(**changes: int) -> Change:
    return status(counters={**COUNTERS, **changes})


def around(**changes: object) -> Change:
    return lambda evidence: replace(evidence, **changes)  # type: ignore[arg-type]


def both(first: Change, second: Change) -> Change:
    return lambda evidence: second(first(evidence))


def line(frames: int, rejected: int) -> Change:
    return vitals(line=LineHealth(frames, rejected, 0, 0, span_s=600.0))


def offline(reason: Reason) -> Change:
    return status(state=BoardState.OFFLINE, reason=reason, detail="what was seen", vitals=None)


def only(change: Change) -> Finding:
    """What this change alone makes of a healthy board."""
    (finding,) = diagnose(change(healthy())).findings
    return finding


def test_a_healthy_board_is_told_with_its_figures() -> None:
    found = diagnose(healthy())
    assert found.findings == ()
    assert found.healthy
    assert found.summary == (
        "board uno is online, on /dev/ttyACM0, greenhouse 1.2.0, 10000 frames taken and 2 rejected, never reset, "
        "a round trip takes 4.1 ms, its loop takes 2.0 ms at most, 1200 bytes are free"
    )


def test_what_is_not_known_is_not_told() -> None:
    bare = Evidence(BoardStatus("uno", False, "/dev/ttyACM0", state=BoardState.ONLINE), now_s=NOW_S, flash="", url="")
    found = diagnose(bare)
    assert found.findings == ()
    assert found.summary == "board uno is online, on /dev/ttyACM0, its sketch is not known"


MODEM_MANAGER_HERE = around(meddlers=("ModemManager",))
BRLTTY_HERE = around(meddlers=("brltty",))

THRESHOLDS: list[tuple[str, Change, Change]] = [
    ("connecting", status(state=BoardState.ONLINE), status(state=BoardState.CONNECTING)),
    ("degraded", status(state=BoardState.ONLINE), status(state=BoardState.DEGRADED)),
    ("journal_failing", around(journal_fault=None), around(journal_fault="the disk is full")),
    ("failsafe_latched", status(failsafe=None), status(failsafe=FailsafeCause.LINK)),
    ("failsafe_latched", status(failsafe=None), status(failsafe=FailsafeCause.SAFE)),
    ("modem_manager", around(meddlers=()), MODEM_MANAGER_HERE),
    ("modem_manager", both(MODEM_MANAGER_HERE, status(port="socket://pi:2000")), MODEM_MANAGER_HERE),
    ("brltty", BRLTTY_HERE, both(BRLTTY_HERE, around(device=CLONE))),
    ("brltty", around(device=CLONE), both(BRLTTY_HERE, around(device=replace(CLONE, vendor=0x10C4, product=0xEA60)))),
    ("resets", status(resets_at=(NOW_S - 24.1 * HOUR_S,)), status(resets_at=(NOW_S - 23.9 * HOUR_S,))),
    ("noise", line(100, 4), line(100, 5)),
    ("noise", line(10_001, 10), line(10_000, 10)),
    ("latency_timer", around(latency_timer_ms=4), around(latency_timer_ms=5, device=FTDI)),
    ("latency_timer", around(latency_timer_ms=16, device=None), around(latency_timer_ms=16, device=FTDI)),
    ("blocked_loop", vitals(loop_max_s=0.1), vitals(loop_max_s=0.100001)),
    ("overruns", vitals(overruns=0), vitals(overruns=1)),
    ("low_ram", vitals(free_ram=150), vitals(free_ram=149)),
    ("low_ram", vitals(free_ram=0), vitals(free_ram=1)),  # 0: the board can't tell
    ("samples_skipped", counters(samples_skipped=101), counters(samples_skipped=102)),
    ("samples_skipped", counters(samples_skipped=4, frames_received=9), counters(samples_skipped=5, frames_received=9)),
    ("on_connect_failed", counters(on_connect_failed=0), counters(on_connect_failed=1)),
    ("disk_nearly_full", around(free_bytes=50 * MB), around(free_bytes=50 * MB - 1)),
    ("released", status(state=BoardState.ONLINE), status(state=BoardState.RELEASED)),
    ("released", status(state=BoardState.ONLINE), status(state=BoardState.FLASHING)),
    *((reason.value, status(reason=None), offline(reason)) for reason in Reason),
]
"""The last that is well, and the first that is not."""


@pytest.mark.parametrize(("code", "well", "ill"), THRESHOLDS)
def test_each_rule_at_its_threshold(code: str, well: Change, ill: Change) -> None:
    assert code not in [finding.code for finding in diagnose(well(healthy())).findings]
    assert only(ill).code == code


def test_every_code_has_its_threshold() -> None:
    assert {code for code, _well, _ill in THRESHOLDS} == set(CODES)
    assert len(CODES) == len(set(CODES))


@pytest.mark.parametrize(("code", "ill"), [(code, ill) for code, _well, ill in THRESHOLDS])
def test_every_finding_is_complete(code: str, ill: Change) -> None:
    finding = only(ill)
    for text in (finding.seen, finding.meaning, finding.cure):
        assert len(text) > 9
        assert "{" not in text, "a blank that nobody filled in"
        assert "None" not in text
        assert text.isprintable()
        assert "$USER" not in text or code == Reason.PERMISSION_DENIED
    assert finding.meaning.endswith(".")


def test_the_worst_comes_first() -> None:
    ill = healthy()
    for _code, _well, change in THRESHOLDS:
        ill = change(ill)
    found = diagnose(replace(ill, status=replace(ill.status, vitals=replace(VITALS, free_ram=20, overruns=3))))
    severities = [finding.severity for finding in found.findings]
    assert severities == sorted(severities, key=list(Severity).index)
    assert set(severities) == set(Severity)
    assert found.findings[0].code in Reason, "why there is no board comes before all that follows from it"
    assert not found.healthy


def test_no_rule_gives_a_code_that_is_not_told() -> None:
    found = {finding.code for _code, _well, ill in THRESHOLDS for rule in RULES if (finding := rule(ill(healthy())))}
    assert found == set(CODES)


@pytest.mark.parametrize(
    ("ill", "is_healthy"),
    [
        (status(state=BoardState.CONNECTING), True),
        (status(state=BoardState.RELEASED), True),
        (MODEM_MANAGER_HERE, True),
        (both(MODEM_MANAGER_HERE, offline(Reason.PORT_BUSY)), False),
        (status(resets_at=(NOW_S - 60,) * 2), True),
        (status(resets_at=(NOW_S - 60,) * 3), False),
        (vitals(overruns=1), False),
    ],
)
def test_notes_alone_are_healthy(ill: Change, *, is_healthy: bool) -> None:
    assert diagnose(ill(healthy())).healthy is is_healthy


# ---- what a finding says ----


def test_who_holds_the_port_is_named_with_the_way_to_be_rid_of_it() -> None:
    held = offline(Reason.PORT_BUSY)
    finding = only(both(held, around(holders=(Holder(4711, "arduino-ide"), Holder(4712, "cat")))))
    assert finding.seen == "what was seen. Held by arduino-ide (pid 4711), cat (pid 4712)"
    assert finding.cure == "close arduino-ide, or: kill 4711"
    assert only(both(held, around(holders=(Holder(9, "ModemManager"),)))).cure == (
        "sudo systemctl disable --now ModemManager"
    ), "it would only be started again"


@pytest.mark.parametrize("holders", [(), None])
def test_a_holder_that_cannot_be_seen_is_asked_for(holders: tuple[Holder, ...] | None) -> None:
    finding = only(both(offline(Reason.PORT_BUSY), around(holders=holders)))
    assert finding.cure == "sudo fuser -v /dev/ttyACM0 names the program; close it"


def test_a_missing_port_names_the_boards_that_are_there() -> None:
    missing = both(offline(Reason.PORT_MISSING), status(port="/dev/ttyACM7"))
    uart = PluggedPort("/dev/ttyS0")
    cure = only(both(missing, around(plugged=(uart, UNO, CLONE), device=None))).cure
    assert "port: auto" in cure
    assert f"Plugged in: {UNO}; {CLONE}" in cure
    assert "ttyS0" not in cure
    assert only(both(missing, around(plugged=(uart,), device=None))).cure == "gateway ports"


@pytest.mark.parametrize("port", ["socket://pi:2000", "rfc2217://pi:2217"])
def test_a_port_of_another_machine_is_mended_there(port: str) -> None:
    finding = only(both(offline(Reason.PORT_MISSING), status(port=port)))
    assert finding.cure == "on that machine: systemctl status ser2net"


def test_brltty_is_suspected_where_the_port_is_gone() -> None:
    found = diagnose(both(BRLTTY_HERE, offline(Reason.PORT_MISSING))(healthy()))
    assert [finding.code for finding in found.findings] == ["port_missing", "brltty"]


def test_cures_are_commands_for_this_board_and_this_gateway() -> None:
    for ill, cure in {
        status(failsafe=FailsafeCause.SAFE): f"curl -X POST {URL}/api/v1/boards/uno/clear",
        status(state=BoardState.RELEASED): f"curl -X POST {URL}/api/v1/boards/uno/resume",
        counters(on_connect_failed=2): f"curl {URL}/api/v1/boards/uno/log",
        offline(Reason.WRONG_SKETCH): "gateway flash --board uno",
        offline(Reason.WRONG_VERSION): "gateway flash --board uno",
        around(latency_timer_ms=16, device=FTDI): "sudo tee /sys/bus/usb-serial/devices/ttyUSB1/latency_timer",
        around(free_bytes=1): "df -h /var/lib/gateway",
        around(journal_fault="the disk is full"): "df -h /var/lib/gateway",
        both(offline(Reason.PERMISSION_DENIED), around(permission_cure="sudo it")): "sudo it",
    }.items():
        assert cure in only(ill).cure


def test_a_board_that_is_being_flashed_is_not_to_be_disturbed() -> None:
    assert only(status(state=BoardState.FLASHING)).cure.startswith("wait for that")


def test_why_outputs_are_latched_is_told() -> None:
    assert "by SAFE" in only(status(failsafe=FailsafeCause.SAFE)).seen
    finding = only(status(failsafe=FailsafeCause.LINK))
    assert "silent" in finding.seen
    assert "failsafe_latch" in finding.meaning


def test_resets_are_counted_with_the_time_of_the_last() -> None:
    at = (NOW_S - 30 * HOUR_S, NOW_S - 2 * HOUR_S, NOW_S - HOUR_S)
    finding = only(status(resets=3, resets_at=at))
    assert finding.seen == "the board was reset 2 times in the last 24 hours, last at 2027-01-15 07:00:00 UTC"
    assert "once in" in only(status(resets=1, resets_at=at[2:])).seen
    assert "at least 2 times" in only(status(resets=700, resets_at=at[1:])).seen, "only the last are kept"


def test_noise_is_told_for_each_direction() -> None:
    finding = only(vitals(line=LineHealth(6000, 12, 5990, 3, span_s=570.0)))
    assert "12 of 6000 frames from the board and 3 of 5990 to it" in finding.seen
    assert "9.5 minutes" in finding.seen


def test_the_rest_has_its_figure() -> None:
    for ill, figure in {
        vitals(loop_max_s=0.312): "312 ms",
        vitals(overruns=7): "7 times",
        vitals(free_ram=91): "91 bytes",
        counters(samples_skipped=5000): "5000 samples",
        around(free_bytes=12 * MB): "12 MB",
        around(latency_timer_ms=16, device=FTDI): "16 ms",
    }.items():
        assert figure in only(ill).seen
