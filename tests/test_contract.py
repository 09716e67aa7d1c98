"""What users are promised, checked from outside: the real process, HTTP and the command line, and nothing else.

One gateway serves nearly all tests: `uno` (a virtual board), `slow` (the same, polled so rarely that its readings have
an age), `away` (a board that is not plugged in), and two that get more commands than they can take: `flooded`, and
`narrow`, where only one may wait.
"""

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.running import PATIENCE_S, Answer, GatewayProcess

pytestmark = pytest.mark.process

CONFIG = """\
http:
  allowed_hosts: [lab.example]
  threads: 16
boards:
  uno:
    port: virtual://uno
  slow:
    port: virtual://uno
    poll_interval: 1500ms
    stale_after: 6s
    failsafe_after: 5s
    link_timeout: 10s
  away:
    port: /dev/does-not-exist
  flooded:
    port: virtual://uno
  narrow:
    port: virtual://uno
    queue_limit: 1
"""
PRESENT = ("uno", "slow", "flooded", "narrow")
BOARDS = ("uno", "slow", "away", "flooded", "narrow")
CLIENTS = 8
"""Clients at a time in a burst: enough for a command to find others before it."""
MAX_BODY_BYTES = 64 * 1024

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
FINAL = {"done", "failed", "unknown", "cancelled", "expired"}
STATES = FINAL | {"queued", "sent"}

BOARD_KEYS = {
    *("name", "virtual", "state", "reason", "detail", "port", "model", "board_id", "sketch", "failsafe", "resets"),
    *("round_trip_ms", "counters"),
}
SNAPSHOT_KEYS = {"board", "virtual", "state", "sequence", "sampled_at", "age_ms", "readings"}
READING_KEYS = {"value", "unit", "quality", "sampled_at", "age_ms"}
COMMAND_KEYS = {
    *("id", "board", "virtual", "hold_ms", "origin", "state", "result", "error"),
    *("created_at", "sent_at", "finished_at", "expires_at"),
}

READINGS = {f"a{n}" for n in range(6)} | {f"d{n}" for n in range(2, 13)}
READINGS |= {"supply_mv", "uptime_ms", "free_ram", "loop_max_us"}
OUTPUTS = {"led", "pwm9", "pwm10"}
ACTIONS = {"pin_mode", "digital_write", "analog_write", "digital_read", "analog_read", "tone"}

GET_PATHS = (
    "info",
    "boards",
    "boards/uno",
    "boards/uno/readings",
    "boards/uno/readings/a0",
    "boards/uno/channels",
    "boards/uno/actions",
    "boards/uno/channels/a0/value",
    "boards/uno/commands",
    "boards/uno/log",
    "/healthz",
    "/problems/invalid",
)


@pytest.fixture(scope="module")
def gateway() -> Iterator[GatewayProcess]:
    with GatewayProcess(config=CONFIG) as process:
        for board in PRESENT:
            process.wait_state("online", board=board)
        process.wait_state("offline", board="away")
        yield process


@pytest.fixture
def free(gateway: GatewayProcess) -> Iterator[GatewayProcess]:
    """The gateway; `uno` may be latched by the test and is freed after it."""
    yield gateway
    assert gateway.request("POST", "boards/uno/clear").status == 200


def problem(answer: Answer, status: int, code: str = "") -> Any:
    """The answer as a problem document of that status; `code` is the end of its type."""
    assert answer.status == status, answer.body
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == status
    for key in ("type", "title", "detail"):
        assert isinstance(document[key], str), document
        assert document[key], document
    assert document["type"] == f"/problems/{code}" or not code
    for error in document.get("errors", []):
        assert error["loc"], document
        assert error["msg"], document
    return document


def post(gateway: GatewayProcess, body: object, *, query: str = "?wait=10s", board: str = "uno") -> Answer:
    """POST a command."""
    return gateway.request("POST", f"boards/{board}/commands{query}", body)


def raw(
    gateway: GatewayProcess, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """A request with exactly these bytes and no header that was not asked for, save Host and Content-Length."""
    with gateway.connection() as connection:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())


def put(
    gateway: GatewayProcess, channel: str, value: object, *, query: str = "?wait=10s", board: str = "uno"
) -> Answer:
    """PUT a value, null included."""
    path = f"/api/v1/boards/{board}/channels/{channel}/value{query}"
    return raw(gateway, "PUT", path, json.dumps(value).encode(), {"Content-Type": "application/json"})


def conversation(gateway: GatewayProcess, sent: bytes) -> Answer:
    """Bytes as they are, to the socket; the first answer, read until the gateway closes or the body is complete."""
    host, _, port = gateway.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE_S) as peer, peer.makefile("rb") as file:
        peer.sendall(sent)
        status = int(file.readline().split()[1])
        lines = iter(lambda: file.readline().decode("latin-1").strip(), "")
        headers = dict(line.split(": ", 1) for line in lines)
        return Answer(status, headers, file.read(int(headers.get("Content-Length", 0))))


def newest(gateway: GatewayProcess) -> list[str]:
    """The id of the last command of `uno`, if there is one."""
    return [item["id"] for item in gateway.get("boards/uno/commands?limit=1").json["items"]]


def at(text: str) -> datetime:
    """A time as the gateway writes it."""
    assert TIME.fullmatch(text), text
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def fits(value: Any, schema: Mapping[str, Any]) -> bool:
    """Whether a value fits the part of JSON Schema that channels need."""
    match schema["type"]:
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            whole = isinstance(value, int) and not isinstance(value, bool)
            return whole and schema["minimum"] <= value <= schema["maximum"]
        case "number":
            real = isinstance(value, int | float) and not isinstance(value, bool)
            return real and schema["minimum"] <= value <= schema["maximum"]
        case _:
            return False


# ---- shapes ----


def test_info_tells_version_and_start(gateway: GatewayProcess) -> None:
    info = gateway.get("info").json
    assert set(info) >= {"version", "start_id", "started_at", "features"}
    assert at(info["started_at"]) <= datetime.now(UTC)
    assert info["start_id"] == gateway.get("info").json["start_id"]


def test_board_has_every_promised_key(gateway: GatewayProcess) -> None:
    board = gateway.get("boards/uno").json
    assert set(board) >= BOARD_KEYS
    assert (board["name"], board["virtual"], board["state"]) == ("uno", True, "online")
    assert (board["reason"], board["detail"]) == (None, None)
    assert board["port"] == "virtual://uno"
    assert "Uno" in board["model"]
    assert set(board["sketch"]) >= {"name", "version", "schema"}
    assert board["failsafe"] == {"latched": False, "cause": None}
    assert board["resets"] >= 0
    assert board["round_trip_ms"] > 0
    assert board["counters"]["frames_received"] > 0


def test_boards_lists_all_in_the_order_of_the_file(gateway: GatewayProcess) -> None:
    boards = gateway.get("boards").json
    assert [board["name"] for board in boards["items"]] == list(BOARDS)
    assert [board["virtual"] for board in boards["items"]] == [name in PRESENT for name in BOARDS]
    assert boards["next_cursor"] is None
    assert all(set(board) >= BOARD_KEYS for board in boards["items"])


def test_snapshot_has_every_promised_key_and_channel(gateway: GatewayProcess) -> None:
    snapshot = gateway.get("boards/uno/readings").json
    assert set(snapshot) >= SNAPSHOT_KEYS
    assert (snapshot["board"], snapshot["virtual"], snapshot["state"]) == ("uno", True, "online")
    assert set(snapshot["readings"]) == READINGS | OUTPUTS
    for reading in snapshot["readings"].values():
        assert set(reading) == READING_KEYS
        assert at(reading["sampled_at"]) <= at(snapshot["sampled_at"])
        assert reading["age_ms"] >= 0


def test_one_reading_names_its_board_and_channel(gateway: GatewayProcess) -> None:
    reading = gateway.reading("a0", board="uno")
    assert set(reading) == READING_KEYS | {"board", "virtual", "channel"}
    assert (reading["board"], reading["virtual"], reading["channel"]) == ("uno", True, "a0")
    assert (reading["unit"], reading["quality"]) == ("V", "good")


def test_value_write_has_every_promised_key(gateway: GatewayProcess) -> None:
    command = put(gateway, "pwm9", 7).json
    assert set(command) == COMMAND_KEYS | {"channel", "value"}
    assert (command["board"], command["virtual"], command["channel"]) == ("uno", True, "pwm9")
    assert (command["value"], command["state"], command["error"]) == (7, "done", None)
    assert at(command["created_at"]) <= at(command["sent_at"]) <= at(command["finished_at"]) < at(command["expires_at"])


def test_action_has_every_promised_key_and_its_result(gateway: GatewayProcess) -> None:
    command = post(gateway, {"action": "analog_read", "arguments": {"pin": 0}}).json
    assert set(command) == COMMAND_KEYS | {"action", "arguments"}
    assert (command["action"], command["arguments"], command["state"]) == ("analog_read", {"pin": 0}, "done")
    assert command["virtual"] is True
    assert 0 <= command["result"] <= 1023


def test_virtual_is_told_wherever_a_board_is(gateway: GatewayProcess) -> None:
    put(gateway, "led", False)
    flags = {
        "board": gateway.get("boards/uno").json,
        "snapshot": gateway.get("boards/uno/readings").json,
        "reading": gateway.get("boards/uno/readings/led").json,
        **{item["id"]: item for item in gateway.get("boards/uno/commands").json["items"]},
    }
    assert {name: shape["virtual"] for name, shape in flags.items()} == dict.fromkeys(flags, True)
    assert gateway.get("boards/away").json["virtual"] is False
    assert gateway.get("boards/away/readings").json["virtual"] is False


# ---- what the board describes ----


def test_channels_carry_the_schema_of_each_value(gateway: GatewayProcess) -> None:
    channels = {item["name"]: item for item in gateway.get("boards/uno/channels").json["items"]}
    readings = gateway.get("boards/uno/readings").json["readings"]
    assert set(channels) == READINGS | OUTPUTS
    assert {name for name, channel in channels.items() if channel["writable"]} == OUTPUTS
    for name, channel in channels.items():
        assert channel["readable"]
        assert channel["unit"] == readings[name]["unit"]
        assert fits(readings[name]["value"], channel["schema"]), (name, readings[name], channel["schema"])


def test_schema_says_what_is_accepted(gateway: GatewayProcess) -> None:
    channels = {item["name"]: item for item in gateway.get("boards/uno/channels").json["items"]}
    schema = channels["pwm10"]["schema"]
    for bound in (schema["minimum"], schema["maximum"]):
        assert put(gateway, "pwm10", bound).json["state"] == "done"
    for beyond in (schema["minimum"] - 1, schema["maximum"] + 1):
        assert str(schema["maximum"]) in problem(put(gateway, "pwm10", beyond), 422, "invalid")["detail"]
    assert put(gateway, "pwm10", channels["pwm10"]["safe"]).json["state"] == "done"


def test_actions_carry_the_schema_of_their_arguments(gateway: GatewayProcess) -> None:
    actions = {item["name"]: item for item in gateway.get("boards/uno/actions").json["items"]}
    assert set(actions) == ACTIONS
    for action in actions.values():
        arguments = action["arguments"]
        assert arguments["type"] == "object"
        assert arguments["additionalProperties"] is False
        assert set(arguments["required"]) == set(arguments["properties"])
    tone = actions["tone"]["arguments"]["properties"]
    assert set(tone) == {"pin", "hz", "ms"}
    lowest = {name: schema["minimum"] for name, schema in tone.items()}
    assert post(gateway, {"action": "tone", "arguments": lowest}).json["state"] == "done"
    assert actions["digital_read"]["returns"]["type"] == "boolean"


@pytest.mark.parametrize("pin", [0, 1])
def test_pins_of_the_serial_port_are_refused(gateway: GatewayProcess, pin: int) -> None:
    body = {"action": "digital_write", "arguments": {"pin": pin, "value": True}}
    assert "pin" in problem(post(gateway, body), 422, "invalid")["detail"]


# ---- readings ----


@pytest.mark.parametrize("channel", ["a0", "a1", "uptime_ms"])
def test_inputs_of_the_virtual_board_move(gateway: GatewayProcess, channel: str) -> None:
    first = gateway.reading(channel, board="uno")
    later = gateway.until(
        lambda: gateway.reading(channel, board="uno"), lambda reading: reading["value"] != first["value"]
    )
    assert later["quality"] == "good"
    assert at(later["sampled_at"]) > at(first["sampled_at"])


def test_sequence_and_sampling_time_rise(gateway: GatewayProcess) -> None:
    first = gateway.get("boards/uno/readings").json
    later = gateway.until(
        lambda: gateway.get("boards/uno/readings").json, lambda snapshot: snapshot["sequence"] > first["sequence"]
    )
    assert at(later["sampled_at"]) > at(first["sampled_at"])


def test_numbers_are_short(gateway: GatewayProcess) -> None:
    text = gateway.get("boards/uno/readings/a0", {"Accept": "text/plain"}).body.decode()
    assert re.fullmatch(r"\d\.\d{1,3}\n", text), text


@pytest.mark.parametrize(
    ("channel", "pattern"), [("a0", r"\d+\.\d+\n"), ("uptime_ms", r"\d+\n"), ("d2", "true\n|false\n")]
)
def test_plain_text_is_the_bare_value_and_a_newline(gateway: GatewayProcess, channel: str, pattern: str) -> None:
    answer = gateway.get(f"boards/uno/readings/{channel}", {"Accept": "text/plain"})
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "Accept" in answer.headers["Vary"]
    assert re.fullmatch(pattern, answer.body.decode()), answer.body


def test_json_stays_the_default(gateway: GatewayProcess) -> None:
    for accept in ("*/*", "application/json", "text/plain;q=0.5, application/json"):
        answer = gateway.get("boards/uno/readings/a0", {"Accept": accept})
        assert answer.headers["Content-Type"] == "application/json", accept


def test_value_is_bare_json(gateway: GatewayProcess) -> None:
    answer = gateway.get("boards/uno/channels/a0/value")
    assert answer.headers["Content-Type"] == "application/json"
    assert isinstance(answer.json, float)


@pytest.mark.parametrize("path", ["readings/a0", "channels/a0/value"])
def test_max_age_refuses_an_older_reading(gateway: GatewayProcess, path: str) -> None:
    refused = gateway.until(lambda: gateway.get(f"boards/slow/{path}?max_age=1ms"), lambda answer: answer.status != 200)
    assert "a0" in problem(refused, 503, "reading-unfit")["detail"]
    assert int(refused.headers["Retry-After"]) > 0
    assert gateway.get(f"boards/slow/{path}?max_age=1m").status == 200


def test_max_age_holds_for_plain_text(gateway: GatewayProcess) -> None:
    refused = gateway.until(
        lambda: gateway.get("boards/slow/readings/a0?max_age=1ms", {"Accept": "text/plain"}),
        lambda answer: answer.status != 200,
    )
    problem(refused, 503, "reading-unfit")


def test_etag_is_weak_and_answers_304_while_nothing_changed(gateway: GatewayProcess) -> None:
    def twice() -> tuple[Answer, Answer]:
        first = gateway.get("boards/slow/readings")
        return first, gateway.get("boards/slow/readings", {"If-None-Match": first.headers["Etag"]})

    first, second = gateway.until(twice, lambda pair: pair[1].status == 304)
    start_id = gateway.get("info").json["start_id"]
    assert re.fullmatch(rf'W/"{start_id}-{first.json["sequence"]}-\d+"', first.headers["Etag"])
    assert first.headers["Cache-Control"] == "no-cache"
    assert second.body == b""
    assert second.headers["Etag"] == first.headers["Etag"]
    assert second.headers["Cache-Control"] == "no-cache"


def test_etag_does_not_depend_on_age(gateway: GatewayProcess) -> None:
    def pair() -> list[Answer]:
        first = gateway.get("boards/slow/readings")
        later = gateway.until(
            lambda: gateway.get("boards/slow/readings"), lambda answer: answer.json["age_ms"] != first.json["age_ms"]
        )
        return [first, later]

    answers = gateway.until(pair, lambda pair: pair[0].json["sequence"] == pair[1].json["sequence"])
    assert answers[0].headers["Etag"] == answers[1].headers["Etag"]


def test_etag_of_an_older_snapshot_gets_the_new_one(gateway: GatewayProcess) -> None:
    first = gateway.get("boards/uno/readings")
    later = gateway.until(
        lambda: gateway.get("boards/uno/readings", {"If-None-Match": first.headers["Etag"]}),
        lambda answer: answer.status == 200,
    )
    assert later.json["sequence"] > first.json["sequence"]
    assert later.headers["Etag"] != first.headers["Etag"]


def sampled_after(gateway: GatewayProcess, channel: str, time: datetime) -> Any:
    """The first reading of `uno` seen that was taken after that time."""
    return gateway.until(
        lambda: gateway.reading(channel, board="uno"), lambda reading: at(reading["sampled_at"]) > time
    )


def test_output_reads_the_value_in_force(gateway: GatewayProcess) -> None:
    for value in (3, 4):
        command = put(gateway, "pwm9", value).json
        assert sampled_after(gateway, "pwm9", at(command["finished_at"]))["value"] == value


def test_hold_ends_at_the_safe_value(gateway: GatewayProcess) -> None:
    command = put(gateway, "led", True, query="?hold=300ms&wait=10s").json
    assert (command["state"], command["hold_ms"]) == ("done", 300)
    ended = gateway.until(
        lambda: gateway.reading("led", board="uno"),
        lambda reading: at(reading["sampled_at"]) > at(command["finished_at"]) and not reading["value"],
    )
    assert ended["quality"] == "good"
    gateway.until(
        lambda: gateway.get("boards/uno/log").json["items"],
        lambda items: any("hold" in item["message"] and item["time"] > command["finished_at"] for item in items),
    )


def test_output_without_hold_stays(gateway: GatewayProcess) -> None:
    command = put(gateway, "pwm10", 9).json
    sampled_at = at(command["finished_at"])
    for _ in range(3):
        reading = sampled_after(gateway, "pwm10", sampled_at)
        assert reading["value"] == 9
        sampled_at = at(reading["sampled_at"])


# ---- a board that is not there ----


def test_missing_board_says_why(gateway: GatewayProcess) -> None:
    board = gateway.get("boards/away").json
    assert set(board) >= BOARD_KEYS
    assert (board["state"], board["reason"]) == ("offline", "port_missing")
    assert "/dev/does-not-exist" in board["detail"]
    unknown = ("model", "board_id", "sketch", "round_trip_ms")
    assert {key: board[key] for key in unknown} == dict.fromkeys(unknown)


def test_missing_board_has_no_readings_yet(gateway: GatewayProcess) -> None:
    answer = gateway.get("boards/away/readings")
    assert answer.status == 200
    snapshot = answer.json
    assert set(snapshot) >= SNAPSHOT_KEYS
    assert (snapshot["state"], snapshot["readings"]) == ("offline", {})
    assert (snapshot["sampled_at"], snapshot["age_ms"]) == (None, None)


@pytest.mark.parametrize("path", ["channels", "actions", "readings/a0", "channels/led/value"])
def test_what_a_missing_board_offers_is_unknown_not_absent(gateway: GatewayProcess, path: str) -> None:
    answer = gateway.get(f"boards/away/{path}")
    detail = problem(answer, 503, "schema-unknown")["detail"]
    assert gateway.get("boards/away").json["detail"] in detail
    assert int(answer.headers["Retry-After"]) > 0


def test_missing_board_queues_nothing(gateway: GatewayProcess) -> None:
    requests = [
        ("POST", "commands", {"channel": "led", "value": True}),
        ("POST", "commands?wait=30s", {"channel": "led", "value": True}),
        ("POST", "commands", {"action": "tone", "arguments": {}}),
        ("PUT", "channels/led/value", True),
        ("POST", "safe", None),
    ]
    for method, path, body in requests:
        answer = gateway.request(method, f"boards/away/{path}", body)
        assert "/dev/does-not-exist" in problem(answer, 503, "board-offline")["detail"]
        assert int(answer.headers["Retry-After"]) > 0
    assert gateway.get("boards/away/commands").json == {"items": [], "next_cursor": None}


def test_ready_names_the_missing_board_and_health_does_not_care(gateway: GatewayProcess) -> None:
    answer = gateway.get("/readyz")
    detail = problem(answer, 503, "not-ready")["detail"]
    assert "away" in detail
    assert "uno" not in detail
    assert gateway.get("/healthz").status == 200


def test_log_tells_what_befell_the_link(gateway: GatewayProcess) -> None:
    for board, word in (("uno", "online"), ("away", "/dev/does-not-exist")):
        items = gateway.get(f"boards/{board}/log").json["items"]
        assert any(word in item["message"] for item in items)
        assert all(at(item["time"]) for item in items)
        assert {item["kind"] for item in items} == {"link"}


# ---- commands ----


def test_202_and_a_location_that_can_be_followed(gateway: GatewayProcess) -> None:
    answer = post(gateway, {"channel": "led", "value": False}, query="")
    assert answer.status == 202
    assert answer.json["state"] in STATES
    location = answer.headers["Location"]
    assert location == f"/api/v1/commands/{answer.json['id']}"
    final = gateway.until(lambda: gateway.get(location).json, lambda command: command["state"] in FINAL)
    assert (final["id"], final["state"]) == (answer.json["id"], "done")
    assert "Preference-Applied" not in answer.headers


@pytest.mark.parametrize("preference", ["wait=10", "respond-async, wait=10"])
def test_prefer_wait_is_applied_and_says_so(gateway: GatewayProcess, preference: str) -> None:
    answer = gateway.request("PUT", "boards/uno/channels/led/value", False, {"Prefer": preference})
    assert (answer.status, answer.json["state"]) == (200, "done")
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert gateway.get(answer.headers["Location"]).json == answer.json


def test_wait_in_the_query_answers_with_the_final_state(gateway: GatewayProcess) -> None:
    answer = post(gateway, {"channel": "led", "value": False})
    assert (answer.status, answer.json["state"]) == (200, "done")
    assert gateway.get(f"commands/{answer.json['id']}").json == answer.json


def test_put_and_post_write_alike(gateway: GatewayProcess) -> None:
    one = put(gateway, "pwm9", 5, query="?hold=2s&wait=10s").json
    other = post(gateway, {"channel": "pwm9", "value": 5, "hold_ms": 2000}).json
    varying = {"id", "created_at", "sent_at", "finished_at", "expires_at"}
    assert {k: v for k, v in one.items() if k not in varying} == {k: v for k, v in other.items() if k not in varying}


@pytest.mark.parametrize(("field", "expires_in_ms"), [({}, 10_000), ({"expires_in_ms": 86_400_000}, 86_400_000)])
def test_deadline(gateway: GatewayProcess, field: Mapping[str, int], expires_in_ms: int) -> None:
    command = post(gateway, {"channel": "led", "value": False, **field}).json
    assert at(command["expires_at"]) - at(command["created_at"]) == timedelta(milliseconds=expires_in_ms)


def test_ids_sort_by_creation_and_final_states_never_change(gateway: GatewayProcess) -> None:
    made = [post(gateway, {"channel": "led", "value": bool(n % 2)}).json for n in range(6)]
    ids = [command["id"] for command in made]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,32}", each) for each in ids)
    for command in made:
        refused = gateway.request("DELETE", f"commands/{command['id']}")
        assert "done" in problem(refused, 409, "wrong-state")["detail"]
    assert [gateway.get(f"commands/{each}").json for each in ids] == made


def test_commands_are_listed_newest_first_by_pages(gateway: GatewayProcess) -> None:
    made = [post(gateway, {"channel": "led", "value": False}).json for _ in range(6)]
    pages = []
    cursor = ""
    while len(pages) < 3:
        page = gateway.get(f"boards/uno/commands?limit=2{cursor}").json
        pages.append(page["items"])
        cursor = f"&cursor={page['next_cursor']}"
    listed = list(itertools.chain.from_iterable(pages))
    assert listed == made[::-1]
    assert [len(page) for page in pages] == [2, 2, 2]
    everything = gateway.get("boards/uno/commands").json["items"]
    assert len({command["id"] for command in everything}) == len(everything)


def test_bool_is_no_number_and_number_no_bool(gateway: GatewayProcess) -> None:
    before = newest(gateway)
    wrong = [("pwm9", True), ("pwm9", "1"), ("pwm9", None), ("pwm9", 1.5), ("pwm9", 256), ("pwm9", -1), ("pwm9", [1])]
    for channel, value in [*wrong, ("led", 1), ("led", "true"), ("led", None), ("led", {"value": True})]:
        errors = problem(put(gateway, channel, value), 422, "invalid")["errors"]
        assert channel in errors[0]["msg"]
        assert problem(post(gateway, {"channel": channel, "value": value}), 422)["errors"][0]["loc"] == [
            "body",
            "value",
        ]
    assert newest(gateway) == before


def test_reading_is_not_writable(gateway: GatewayProcess) -> None:
    assert "pwm10" in problem(put(gateway, "a0", 1), 422, "not-writable")["detail"]
    problem(post(gateway, {"channel": "a0", "value": 1}), 422, "not-writable")


@pytest.mark.parametrize(
    ("body", "loc", "said"),
    [
        ({"channel": "led", "value": True, "hold": 5}, ["body", "hold"], "hold_ms"),
        ({"channel": "led", "valeu": True, "value": True}, ["body", "valeu"], "value"),
        ({"channel": "led"}, ["body", "value"], ""),
        ({"channel": "led", "value": True, "hold_ms": -1}, ["body", "hold_ms"], "at least 0"),
        ({"channel": "led", "value": True, "hold_ms": True}, ["body", "hold_ms"], "whole number"),
        ({"channel": "led", "value": True, "hold_ms": "5s"}, ["body", "hold_ms"], "whole number"),
        ({"channel": "led", "value": True, "expires_in_ms": 86_400_001}, ["body", "expires_in_ms"], "86400000"),
        ({"channel": "led", "value": True, "action": "tone"}, ["body", "action"], "channel and value"),
        ({}, ["body"], "a channel with its value, or an action"),
        ({"action": "tone", "arguments": {"pin": 8, "hz": 440}}, ["body", "arguments", "ms"], "ms"),
        (
            {"action": "tone", "arguments": {"pin": 8, "hz": 440, "mss": 1}},
            ["body", "arguments", "mss"],
            "did you mean",
        ),
        ({"action": "tone", "arguments": {"pin": 8, "hz": 1, "ms": 1}}, ["body", "arguments", "hz"], "31"),
        ({"action": "tone", "arguments": {"pin": True, "hz": 440, "ms": 1}}, ["body", "arguments", "pin"], "number"),
        ([], ["body"], "object"),
        ("led", ["body"], "object"),
    ],
)
def test_bad_command_names_the_place(gateway: GatewayProcess, body: object, loc: list[str], said: str) -> None:
    errors = problem(post(gateway, body), 422, "invalid")["errors"]
    assert any(error["loc"] == loc and said in error["msg"] for error in errors), errors


def test_everything_wrong_is_told_at_once(gateway: GatewayProcess) -> None:
    body = {"action": "tone", "arguments": {"pin": 99, "hz": 1, "ms": 0}}
    document = problem(post(gateway, body), 422, "invalid")
    assert {error["loc"][-1] for error in document["errors"]} == {"pin", "hz", "ms"}
    assert document["detail"].endswith("; and 2 more, see errors")


# ---- SAFE ----


def test_safe_latches_until_clear(free: GatewayProcess) -> None:
    put(free, "pwm9", 200)
    answer = raw(free, "POST", "/api/v1/boards/uno/safe")
    assert answer.status == 200
    assert answer.json["failsafe"] == {"latched": True, "cause": "safe"}
    assert free.get("boards/uno").json["failsafe"] == {"latched": True, "cause": "safe"}
    free.until(lambda: free.reading("pwm9", board="uno")["value"], lambda value: value == 0)
    for refused in (put(free, "pwm9", 1), post(free, {"action": "tone", "arguments": {"pin": 8, "hz": 440, "ms": 1}})):
        assert "clear" in problem(refused, 409, "wrong-state")["detail"]
    assert free.request("POST", "boards/uno/safe").status == 200
    cleared = raw(free, "POST", "/api/v1/boards/uno/clear")
    assert cleared.json["failsafe"] == {"latched": False, "cause": None}
    assert put(free, "pwm9", 1).json["state"] == "done"
    kinds = [item["message"] for item in free.get("boards/uno/log").json["items"]]
    assert any("safe" in message for message in kinds)


def test_safe_and_clear_take_any_body(free: GatewayProcess) -> None:
    for path in ("safe", "clear"):
        answer = raw(free, "POST", f"/api/v1/boards/uno/{path}", b"now!", {"Content-Type": "text/plain"})
        assert answer.status == 200


# ---- errors ----


@pytest.mark.parametrize(
    ("path", "code", "named"),
    [
        ("boards/zzz", "unknown-board", list(BOARDS)),
        ("boards/zzz/readings", "unknown-board", list(BOARDS)),
        ("boards/una", "unknown-board", ["did you mean uno", *BOARDS]),
        ("boards/uno/readings/zzz", "unknown-target", ["a0", "pwm10", "uptime_ms"]),
        ("boards/uno/readings/ledd", "unknown-target", ["did you mean led", "a0", "pwm10"]),
        ("boards/uno/channels/ledd/value", "unknown-target", ["did you mean led", "a0", "pwm10"]),
        ("boards/uno/channels/zzz/value", "unknown-target", ["a0", "pwm10"]),
        ("commands/zzz", "unknown-command", ["zzz"]),
        ("boards/uno/reading", "not-found", ["did you mean /api/v1/boards/uno/readings?"]),
        ("/boards/uno/", "not-found", ["did you mean /api/v1/boards/uno?"]),
        ("/", "not-found", ["/api/v1/boards", "/api/v1/info"]),
        ("board", "not-found", ["did you mean", "/api/v1/boards"]),
        ("/nowhere", "not-found", ["/nowhere"]),
        ("/problems/nothing", "not-found", ["invalid"]),
        ("boards/%00", "unknown-board", ["uno"]),
        ("boards/%ff", "unknown-board", ["uno"]),
    ],
)
def test_404_names_what_there_is(gateway: GatewayProcess, path: str, code: str, named: list[str]) -> None:
    detail = problem(gateway.get(path), 404, code)["detail"]
    assert [word for word in named if word not in detail] == []


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"channel": "zzz", "value": 1}, ["a0", "pwm10"]),
        ({"channel": "lad", "value": 1}, ["did you mean", "led"]),
        ({"action": "zzz"}, sorted(ACTIONS)),
        ({"action": "ton"}, ["did you mean", "tone"]),
    ],
)
def test_command_to_nobody_names_what_there_is(gateway: GatewayProcess, body: object, named: list[str]) -> None:
    detail = problem(post(gateway, body), 404, "unknown-target")["detail"]
    assert [word for word in named if word not in detail] == []


@pytest.mark.parametrize("path", [path for path in GET_PATHS if path != "boards/uno/commands"])
def test_unknown_query_is_refused(gateway: GatewayProcess, path: str) -> None:
    errors = problem(gateway.get(f"{path}?nonsense=1"), 422, "invalid")["errors"]
    assert errors[0]["loc"] == ["query", "nonsense"]


@pytest.mark.parametrize(
    ("request_line", "body", "loc", "said"),
    [
        ("GET boards/uno/readings/a0?maxage=1s", None, "maxage", "max_age"),
        ("GET boards/uno/readings/a0?max_age=500", None, "max_age", "500ms"),
        ("GET boards/uno/readings/a0?max_age=soon", None, "max_age", "500ms"),
        ("GET boards/uno/commands?limit=many", None, "limit", "number"),
        ("GET boards/uno/commands?limit=1&limit=2", None, "limit", "once"),
        ("GET boards/uno/commands?cursor=zzz", None, "cursor", "next_cursor"),
        ("PUT boards/uno/channels/led/value?hol=5s", True, "hol", "hold"),
        ("PUT boards/uno/channels/led/value?hold=5", True, "hold", "5s"),
        ("PUT boards/uno/channels/led/value?hold=120s", True, "hold", "65.535s"),
        ("PUT boards/uno/channels/led/value?wait=2", True, "wait", "2s"),
        ("PUT boards/uno/channels/led/value?wait=31s", True, "wait", "30s"),
        ("POST boards/uno/commands?wiat=2s", {"channel": "led", "value": True}, "wiat", "wait"),
        ("POST boards/uno/clear?force=1", None, "force", ""),
    ],
)
def test_bad_query_names_the_parameter_and_the_cure(
    gateway: GatewayProcess, request_line: str, body: object, loc: str, said: str
) -> None:
    errors = problem(gateway.request(*request_line.split(), body), 422, "invalid")["errors"]
    assert any(error["loc"] == ["query", loc] and said in error["msg"] for error in errors), errors


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"channel": "led", "value": tru', b"\xff\xfe", b"[1,]", b'{"a":NaN}', b'{"a":1,"a":2}']
)
def test_broken_json(gateway: GatewayProcess, body: bytes) -> None:
    answer = raw(gateway, "POST", "/api/v1/boards/uno/commands", body, {"Content-Type": "application/json"})
    problem(answer, 400, "bad-json")


def test_deeply_nested_json_is_refused(gateway: GatewayProcess) -> None:
    body = b"[" * 30_000 + b"]" * 30_000
    answer = raw(gateway, "POST", "/api/v1/boards/uno/commands", body, {"Content-Type": "application/json"})
    assert answer.status in (400, 422)
    problem(answer, answer.status)


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" + b"0" * 400, b"9" * 5000, b"-0.0", b"1e-400"])
def test_monstrous_numbers_never_break_it(gateway: GatewayProcess, number: bytes) -> None:
    answer = raw(gateway, "PUT", "/api/v1/boards/uno/channels/pwm9/value", number, {"Content-Type": "application/json"})
    assert answer.status in (202, 400, 422), answer.body


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
def test_body_that_is_not_json_gets_the_mended_curl(gateway: GatewayProcess, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    for method, path in (("POST", "/api/v1/boards/uno/commands"), ("PUT", "/api/v1/boards/uno/channels/led/value")):
        detail = problem(raw(gateway, method, path, b"true", headers), 415, "not-json")["detail"]
        assert "curl" in detail
        assert "--json" in detail
        assert path in detail


def test_charset_of_json_is_accepted(gateway: GatewayProcess) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert raw(gateway, "PUT", "/api/v1/boards/uno/channels/led/value", b"false", headers).status == 202


def test_body_of_64_kib_is_the_most(gateway: GatewayProcess) -> None:
    path, headers = "/api/v1/boards/uno/channels/led/value", {"Content-Type": "application/json"}
    assert raw(gateway, "PUT", path, b"false".rjust(MAX_BODY_BYTES), headers).status == 202
    problem(raw(gateway, "PUT", path, b"false".rjust(MAX_BODY_BYTES + 1), headers), 413, "too-large")


def test_large_headers(gateway: GatewayProcess) -> None:
    sent = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Large: " + b"a" * 20_000 + b"\r\n\r\n"
    problem(conversation(gateway, sent), 431, "headers-too-large")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"get /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nBad Header : x\r\n\r\n", 400),
        (b"POST /api/v1/boards/uno/safe HTTP/1.1\r\nHost: localhost\r\nContent-Length: -3\r\n\r\n", 400),
        (b"POST /api/v1/boards/uno/safe HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400),
        (b"POST /api/v1/boards/uno/safe HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"POST /api/v1/boards/uno/safe HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
    ],
)
def test_the_server_itself_answers_with_problems(gateway: GatewayProcess, sent: bytes, status: int) -> None:
    problem(conversation(gateway, sent), status)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "boards/uno/readings", {"GET", "HEAD", "OPTIONS"}),
        ("DELETE", "boards/uno", {"GET", "HEAD", "OPTIONS"}),
        ("PATCH", "commands/x", {"GET", "HEAD", "DELETE", "OPTIONS"}),
        ("DELETE", "boards/uno/channels/led/value", {"GET", "HEAD", "PUT", "OPTIONS"}),
        ("GET", "boards/uno/safe", {"POST", "OPTIONS"}),
        ("TRACE", "info", {"GET", "HEAD", "OPTIONS"}),
        ("BREW", "/healthz", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_405_and_options_name_the_methods(gateway: GatewayProcess, method: str, path: str, allowed: set[str]) -> None:
    answer = gateway.request(method, path)
    problem(answer, 405, "method-not-allowed")
    options = gateway.request("OPTIONS", path)
    assert (options.status // 100, options.body) == (2, b"")
    for headers in (answer.headers, options.headers):
        assert set(headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", [*GET_PATHS, "boards/nobody", "/readyz"])
def test_head_is_get_without_the_body(gateway: GatewayProcess, path: str) -> None:
    got, head = gateway.get(path), gateway.request("HEAD", path)
    assert (head.status, head.body) == (got.status, b"")
    for name in ("Content-Type", "Cache-Control"):
        assert head.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", GET_PATHS)
def test_answers_are_json_and_not_for_guessing(gateway: GatewayProcess, path: str) -> None:
    answer = gateway.get(path)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "NaN" not in answer.body.decode()


def test_every_problem_type_can_be_looked_up(gateway: GatewayProcess) -> None:
    types = {problem(gateway.get(path), status)["type"] for path, status in (("boards/x", 404), ("info?x=1", 422))}
    for each in types:
        page = gateway.get(each)
        assert page.status == 200
        assert page.json["type"] == each


# ---- the guard ----


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "evil.example:80", "lab.example.org", "local host"]
)
def test_other_hosts_are_refused(gateway: GatewayProcess, host: str) -> None:
    for path in ("/healthz", "/api/v1/boards"):
        detail = problem(raw(gateway, "GET", path, headers={"Host": host}), 421, "host-not-allowed")["detail"]
        assert "http.allowed_hosts" in detail


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:1",
        "LOCALHOST",
        "127.0.0.1",
        "10.1.2.3:8080",
        "[::1]:8080",
        "lab.example",
        "lab.example:1",
    ],
)
def test_own_hosts_are_served(gateway: GatewayProcess, host: str) -> None:
    assert raw(gateway, "GET", "/healthz", headers={"Host": host}).status == 200


def test_own_name_is_served(gateway: GatewayProcess) -> None:
    name = socket.gethostname()
    for host in (name, f"{name}.local"):
        assert raw(gateway, "GET", "/healthz", headers={"Host": host}).status == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:1", "https://evil.example:8080"])
def test_pages_of_other_sites_change_nothing(gateway: GatewayProcess, origin: str) -> None:
    requests = [
        ("POST", "boards/uno/commands", {"channel": "led", "value": True}),
        ("PUT", "boards/uno/channels/led/value", True),
        ("POST", "boards/uno/safe", None),
        ("POST", "boards/uno/clear", None),
        ("DELETE", "commands/x", None),
    ]
    before = newest(gateway)
    for method, path, body in requests:
        problem(gateway.request(method, path, body, {"Origin": origin}), 403, "cross-site")
    assert newest(gateway) == before
    assert gateway.get("boards/uno").json["failsafe"]["latched"] is False
    read = gateway.get("boards/uno", {"Origin": origin})
    assert not any(name.lower().startswith("access-control") for name in read.headers)


def test_own_page_may_write(gateway: GatewayProcess) -> None:
    answer = gateway.request("PUT", "boards/uno/channels/led/value?wait=10s", False, {"Origin": gateway.url})
    assert answer.json["state"] == "done"


def test_get_changes_nothing(gateway: GatewayProcess) -> None:
    before = newest(gateway)
    for path in GET_PATHS:
        gateway.get(path)
    assert newest(gateway) == before


# ---- many at a time ----


class Burst:
    """Clients that write as fast as they can, each with a connection of its own, until told to stop."""

    def __init__(self, gateway: GatewayProcess, *, board: str, cancel: str) -> None:
        self._gateway = gateway
        self._board = board
        self._cancel = cancel
        self._changed = threading.Condition()
        self._stopped = threading.Event()
        self.posted: list[Answer] = []
        self.deleted: list[Answer] = []
        self._threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]

    def __enter__(self) -> "Burst":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> None:
        while not self._stopped.is_set():
            posted = post(self._gateway, {"channel": "led", "value": True}, query="", board=self._board)
            deleted = []
            if self._cancel and posted.status == 202:
                deleted.append(self._gateway.request("DELETE", f"commands/{posted.json['id']}"))
            with self._changed:
                self.posted.append(posted)
                self.deleted += deleted
                self._changed.notify_all()

    def wait(self, *, posted: int = 0, deleted: int = 0) -> None:
        """Until some posts and some deletions were answered with these statuses."""

        def seen() -> bool:
            return all(
                not status or any(answer.status == status for answer in answers)
                for status, answers in ((posted, self.posted), (deleted, self.deleted))
            )

        with self._changed:
            assert self._changed.wait_for(seen, PATIENCE_S)


def test_cancel_while_queued(gateway: GatewayProcess) -> None:
    with Burst(gateway, board="flooded", cancel="yes") as burst:
        burst.wait(deleted=200)
        burst.wait(deleted=409)
    for answer in burst.deleted:
        assert answer.status in (200, 409)
    cancelled = [answer.json for answer in burst.deleted if answer.status == 200]
    for command in cancelled[:5]:
        assert command["state"] == "cancelled"
        assert command["sent_at"] is None
        assert at(command["finished_at"])
        again = gateway.request("DELETE", f"commands/{command['id']}")
        assert (again.status, again.json) == (200, command)
        assert gateway.get(f"commands/{command['id']}").json == command
    refused = next(answer for answer in burst.deleted if answer.status == 409)
    problem(refused, 409, "wrong-state")


def test_safe_overtakes_the_queue(gateway: GatewayProcess) -> None:
    def overtaken() -> list[Any]:
        with Burst(gateway, board="flooded", cancel="") as burst:
            burst.wait(posted=202)
            assert gateway.request("POST", "boards/flooded/safe").json["failsafe"]["cause"] == "safe"
            burst.wait(posted=409)
        items = gateway.until(
            lambda: gateway.get("boards/flooded/commands?limit=100").json["items"],
            lambda items: all(item["state"] in FINAL for item in items),
        )
        assert gateway.reading("led", board="flooded")["quality"] == "good"
        gateway.until(lambda: gateway.reading("led", board="flooded")["value"], lambda value: value is False)
        assert gateway.request("POST", "boards/flooded/clear").status == 200
        return [item for item in items if (item["error"] or {}).get("code") == "safe"]

    cancelled = gateway.until(overtaken, bool)
    assert {item["state"] for item in cancelled} == {"cancelled"}
    # One may have been kept as sent already, before its first byte; it never ran either.
    assert sum(item["sent_at"] is not None for item in cancelled) <= 1


def test_full_queue_is_429(gateway: GatewayProcess) -> None:
    with Burst(gateway, board="narrow", cancel="") as burst:
        burst.wait(posted=429)
    full = next(answer for answer in burst.posted if answer.status == 429)
    assert "narrow" in problem(full, 429, "queue-full")["detail"]
    assert int(full.headers["Retry-After"]) > 0
    assert {answer.status for answer in burst.posted} <= {202, 429}


# ---- command line ----


def start(folder: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """`gateway` with these arguments, in that folder."""
    return subprocess.Popen(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=folder,
        env={**os.environ, **(environ or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """What it came to."""
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


ALL_WRONG = """\
http:
  lisen: 127.0.0.1:8080
  allow_anonymous: on
  threads: 1
boards:
  Uno:
    port: virtual://uno
  uno:
    port: virtual://uno
    poll_interval: 100
    baud: 12:30
  slow:
    port: virtual://uno
    poll_interval: 1s
    stale_after: 1500ms
    failsafe_after: 2s
    link_timeout: 10s
  slow:
    port: virtual://uno
  bare:
    baud: 9600
  strange:
    port: ftp://host
    stale_after: 5 parsecs
extra: 3
"""


Reports = Mapping[str, subprocess.CompletedProcess[str]]

CHECKS: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "broken-yaml": ("boards:\n  uno:\n    port: virtual://uno\n bad: 3\n", {}, ["4:2", "not YAML"]),
    "no-such-virtual-board": ("boards: {uno: {port: 'virtual://mega'}}\n", {}, ["1:22", '"mega"', "virtual://uno"]),
    "virtual-board-without-name": ("boards: {uno: {port: 'virtual://'}}\n", {}, ["1:22", "virtual://uno"]),
    "no-such-fault-of-the-line": (
        "boards: {uno: {port: 'virtual://uno?drp=0.1'}}\n",
        {},
        ["1:22: boards.uno.port", "did you mean drop?"],
    ),
    "list-of-a-variable": (
        "boards: {uno: {port: virtual://uno}}\n",
        {"GATEWAY_HTTP__ALLOWED_HOSTS": "[a.b, c d]"},
        ["GATEWAY_HTTP__ALLOWED_HOSTS: http.allowed_hosts.1", "host name"],
    ),
    "empty-variable": (
        "boards: {uno: {port: virtual://uno}}\n",
        {"GATEWAY_HTTP__LISTEN": ""},
        ["GATEWAY_HTTP__LISTEN: http.listen: is empty"],
    ),
    "empty-key": ("http: {listen: }\nboards: {uno: {port: virtual://uno}}\n", {}, ["1:15: http.listen: is empty"]),
}
"""Configurations with one thing wrong each, the environment, and what the one line about it has to say."""

GOOD: dict[str, tuple[str, dict[str, str]]] = {
    "brackets": ("boards: {uno: {port: virtual://uno}}\n", {"GATEWAY_HTTP__ALLOWED_HOSTS": "[a.b, c.d]"}),
    "slow-polls": ("boards: {uno: {port: virtual://uno, poll_interval: 1s}}\n", {}),
}
"""Configurations with nothing wrong."""

REPORTS: dict[str, tuple[str, ...]] = {
    "version": ("--version",),
    "schema": ("config", "schema"),
    "as-json": ("config", "check", "--config", "wrong.yaml", "--json"),
    "wrong-file": ("run", "--config", "wrong.yaml"),
    "no-such-file": ("run", "--config", "nowhere.yaml"),
    "neither-file-nor-port": ("run",),
    "several-boards": ("run", "--config", "several.yaml", "--port", "virtual://uno"),
    "not-loopback": ("run", "--port", "virtual://uno", "--listen", "0.0.0.0:0"),
    "no-host": ("run", "--port", "virtual://uno", "--listen", "8080"),
    "no-name-of-a-host": ("run", "--port", "virtual://uno", "--listen", "12:30"),
    "no-such-kind-of-port": ("run", "--port", "nope://x"),
    "no-such-command": ("rn",),
    "no-such-option": ("run", "--prot", "x"),
}
"""Command lines that end by themselves."""
STARTED_TOGETHER = 3
"""Starting is what takes their time, and more at once would each take longer than a test waits."""


@pytest.fixture(scope="module")
def reports(gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory) -> Reports:
    """What each of them came to, in a folder without config.yaml."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "wrong.yaml").write_text("boards:\n  uno: {prot: x}\n")
    (folder / "several.yaml").write_text(CONFIG)
    (folder / "all-wrong.yaml").write_text(ALL_WRONG)
    address = gateway.url.removeprefix("http://")
    lines: dict[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
        **{name: (arguments, {}) for name, arguments in REPORTS.items()},
        "address-in-use": (("run", "--port", "virtual://uno", "--listen", address), {}),
        "unknown-variable": (("run", "--port", "virtual://uno"), {"GATEWAY_HTTP__LISEN": "127.0.0.1:0"}),
        "all-wrong": (
            ("config", "check", "--config", "all-wrong.yaml"),
            {"GATEWAY_HTTP__LISEN": "127.0.0.1:9000", "GATEWAY_BOARDS__UNO__QUEUE_LIMIT": "none"},
        ),
    }
    for name, (text, environ, *_) in {**CHECKS, **GOOD}.items():
        (folder / f"{name}.yaml").write_text(text)
        lines[name] = ("config", "check", "--config", f"{name}.yaml"), environ

    def run(line: tuple[tuple[str, ...], Mapping[str, str]]) -> "subprocess.CompletedProcess[str]":
        arguments, environ = line
        return ended(start(folder, *arguments, environ=environ))

    with ThreadPoolExecutor(STARTED_TOGETHER) as pool:
        return dict(zip(lines, pool.map(run, lines.values()), strict=True))


@pytest.mark.parametrize("name", CHECKS)
def test_one_thing_wrong_is_told_in_one_line_and_without_false_claims(reports: Reports, name: str) -> None:
    said = CHECKS[name][2]
    checked = reports[name]
    assert (checked.returncode, checked.stdout) == (2, "")
    (line,) = checked.stderr.splitlines()
    assert [word for word in said if word not in line] == [], line
    for word in ("None", "default", "missing"):
        assert word not in line


@pytest.mark.parametrize("name", GOOD)
def test_what_is_right_is_said_to_be(reports: Reports, name: str) -> None:
    assert (reports[name].returncode, reports[name].stderr) == (0, "")
    assert "good" in reports[name].stdout


def test_configuration_errors_come_all_at_once_with_their_place(reports: Reports) -> None:
    checked = reports["all-wrong"]
    assert (checked.returncode, checked.stdout) == (2, "")
    lines = checked.stderr.splitlines()
    expected = [
        (r"all-wrong.yaml:2:3: http\.lisen", "did you mean listen?"),
        (r"all-wrong.yaml:3:20: http\.allow_anonymous", '"on"'),
        (r"all-wrong.yaml:4:12: http\.threads", "at least 2"),
        (r"all-wrong.yaml:6:3: boards\.Uno", "small letter"),
        (r"all-wrong.yaml:10:20: boards\.uno\.poll_interval", "100ms"),
        (r"all-wrong.yaml:11:11: boards\.uno\.baud", "12:30"),
        (r"all-wrong.yaml:15:18: boards\.slow\.stale_after", "2s"),
        (r"all-wrong.yaml:16:21: boards\.slow\.failsafe_after", "3s"),
        (r"all-wrong.yaml:18:3: boards\.slow", "line 12"),
        (r"all-wrong.yaml:20:3: boards\.bare\.port", "missing"),
        (r"all-wrong.yaml:23:11: boards\.strange\.port", "ftp"),
        (r"all-wrong.yaml:24:18: boards\.strange\.stale_after", "500ms"),
        (r"all-wrong.yaml:25:1: extra", "unknown"),
        (r"GATEWAY_HTTP__LISEN", "did you mean GATEWAY_HTTP__LISTEN?"),
        (r"GATEWAY_BOARDS__UNO__QUEUE_LIMIT", "number"),
    ]
    missing = [place for place, said in expected if not any(re.match(place, line) and said in line for line in lines)]
    assert missing == [], checked.stderr
    assert len(lines) == len(expected), checked.stderr


def test_configuration_errors_as_json_and_on_run(reports: Reports) -> None:
    checked, served = reports["as-json"], reports["wrong-file"]
    report = json.loads(checked.stdout)
    assert (checked.returncode, report["valid"], report["file"]) == (2, False, "wrong.yaml")
    assert any("wrong.yaml:2:9: boards.uno.prot" in line and "port" in line for line in report["problems"])
    assert served.returncode == 2
    assert served.stderr.splitlines() == report["problems"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no-such-file", ["nowhere.yaml", "--config"]),
        ("neither-file-nor-port", ["config.yaml", "--config", "--port"]),
        ("several-boards", ["--port", *BOARDS]),
        ("not-loopback", ["0.0.0.0", "http.allow_anonymous", "127.0.0.1"]),
        ("no-host", ["--listen", "HOST:PORT"]),
        ("no-name-of-a-host", ["--listen", "12 is neither", "HOST:PORT"]),
        ("no-such-kind-of-port", ["--port", "nope", "virtual", "socket", "rfc2217"]),
        ("no-such-command", ["rn", "run"]),
        ("no-such-option", ["--prot", "--port"]),
        ("unknown-variable", ["GATEWAY_HTTP__LISEN", "did you mean GATEWAY_HTTP__LISTEN"]),
    ],
)
def test_wrong_usage_is_2_and_says_what_is_right(reports: Reports, name: str, said: list[str]) -> None:
    assert reports[name].returncode == 2
    assert [word for word in said if word not in reports[name].stderr] == []
    assert "Traceback" not in reports[name].stderr


def test_version(reports: Reports, gateway: GatewayProcess) -> None:
    assert reports["version"].returncode == 0
    assert gateway.get("info").json["version"] in reports["version"].stdout


def test_schema_of_the_configuration(reports: Reports) -> None:
    assert reports["schema"].returncode == 0
    assert set(json.loads(reports["schema"].stdout)["properties"]) == {"http", "boards", "journal", "state_dir"}


def test_address_in_use(reports: Reports, gateway: GatewayProcess) -> None:
    refused = reports["address-in-use"]
    assert refused.returncode == 1
    assert gateway.url.removeprefix("http://") in refused.stderr
    assert "--listen" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_yaml_is_1_2_and_the_environment_overrides_it() -> None:
    text = "http: {threads: 010}\nboards: {on: {port: virtual://uno}, no: {port: virtual://uno, baud: 9600}}\n"
    with GatewayProcess(config=text, environ={"GATEWAY_BOARDS__NO__PORT": "/dev/does-not-exist"}) as process:
        boards = process.get("boards").json["items"]
        assert [(board["name"], board["port"]) for board in boards] == [
            ("on", "virtual://uno"),
            ("no", "/dev/does-not-exist"),
        ]
        assert process.stop(signal.SIGINT)[0] == 0


def test_port_alone_makes_one_board_named_board() -> None:
    with GatewayProcess("--port", "virtual://uno") as process:
        assert [board["name"] for board in process.get("boards").json["items"]] == ["board"]
        process.wait_state("online")
        assert process.get("/readyz").status == 200
        assert process.command({"channel": "led", "value": True})["state"] == "done"
        assert process.stop(signal.SIGTERM)[0] == 0


def test_port_replaces_that_of_the_only_board_and_listen_that_of_the_file(gateway: GatewayProcess) -> None:
    config = f"http: {{listen: {gateway.url.removeprefix('http://')}}}\nboards: {{lab: {{port: virtual://uno}}}}\n"
    with GatewayProcess("--port", "/dev/does-not-exist", config=config) as process:
        board = process.get("boards/lab").json
        assert (board["port"], board["virtual"]) == ("/dev/does-not-exist", False)
