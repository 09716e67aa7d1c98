"""Commands over HTTP: what is answered when, waiting for the end, pages, and taking back."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gateway.board.commands import CommandIds
from gateway.model import Command, CommandState, IdempotencyKey
from gateway.store.feed import ChangeFeed
from gateway.web.commands import CLOSING_CHECK_S
from gateway.web.environ import CLOSING
from gateway.web.problems import Kind
from tests.web.helpers import QUEUE_LIMIT, Desk, refused

UNO = "/api/v1/boards/uno"
COMMANDS = f"{UNO}/commands"
LED = {"channel": "led", "value": True}


def errors(document: dict[str, Any]) -> dict[str, str]:
    return {".".join(map(str, error["loc"])): error["msg"] for error in document["errors"]}


# ---- the resource ----


def test_a_write_that_was_queued(desk: Desk) -> None:
    response = desk.post({"channel": "fan", "value": 50, "hold_ms": 5000, "expires_in_ms": 2000})
    assert response.status_code == 202
    command = response.json
    assert response.headers["Location"] == f"/api/v1/commands/{command['id']}"
    assert "Preference-Applied" not in response.headers
    assert 1 <= len(command.pop("id")) <= 32
    assert command == {
        "board": "uno",
        "virtual": True,
        "channel": "fan",
        "value": 50,
        "hold_ms": 5000,
        "origin": "client",
        "state": "queued",
        "result": None,
        "error": None,
        "created_at": "2026-05-28T20:26:40.250Z",
        "sent_at": None,
        "finished_at": None,
        "expires_at": "2026-05-28T20:26:42.250Z",
    }


def test_an_action_that_has_run(desk: Desk) -> None:
    desk.obedient, desk.result = True, -7
    command = desk.post({"action": "measure"}, f"{COMMANDS}?wait=1s").json
    assert (command["action"], command["arguments"], command["result"]) == ("measure", {}, -7)
    assert "channel" not in command
    assert command["sent_at"] == command["finished_at"] == "2026-05-28T20:26:40.250Z"


def test_arguments_come_back_as_the_board_takes_them(desk: Desk) -> None:
    command = desk.post({"action": "tone", "arguments": {"hz": 440.0, "seconds": 1.5}}).json
    assert command["arguments"] == {"hz": 440, "seconds": 1.5}


def test_location_leads_to_the_same_resource(desk: Desk) -> None:
    response = desk.post(LED)
    assert desk.get(response.headers["Location"]).json == response.json


def test_the_deadline_is_ten_seconds_unless_told_otherwise(desk: Desk) -> None:
    assert desk.post(LED).json["expires_at"] == "2026-05-28T20:26:50.250Z"


@pytest.mark.parametrize("outcome", [state for state in CommandState if state.final])
def test_every_end_is_a_200(outcome: CommandState) -> None:
    desk = Desk(obedient=True, outcome=outcome)
    response = desk.post(LED, f"{COMMANDS}?wait=1s")
    assert (response.status_code, response.json["state"]) == (200, outcome)
    assert (response.json["error"] is None) == (outcome is CommandState.DONE)


# ---- boards that are away ----


def test_a_command_that_may_wait_for_its_board_is_queued_for_a_minute(desk: Desk) -> None:
    desk.go_offline()
    refused(desk.post(LED), Kind.BOARD_OFFLINE)
    refused(desk.post({**LED, "when_offline": "refuse"}), Kind.BOARD_OFFLINE)
    response = desk.post({**LED, "when_offline": "queue"})
    assert (response.status_code, response.json["state"]) == (202, "queued")
    assert response.json["expires_at"] == "2026-05-28T20:27:40.250Z"
    response = desk.post({**LED, "when_offline": "queue", "expires_in_ms": 1000})
    assert response.json["expires_at"] == "2026-05-28T20:26:41.250Z"


def test_waiting_for_a_board_helps_nothing_before_its_schema_is_known_or_while_safe_stands(desk: Desk) -> None:
    waiting = {**LED, "when_offline": "queue"}
    refused(desk.post(waiting, "/api/v1/boards/mega/commands"), Kind.BOARD_OFFLINE)
    desk.go_offline().queue.orders.safe()
    assert "SAFE" in refused(desk.post(waiting), Kind.WRONG_STATE)["detail"]


def test_a_command_that_waits_is_checked_at_once(desk: Desk) -> None:
    desk.go_offline()
    refused(desk.post({"channel": "led", "value": 1, "when_offline": "queue"}), Kind.INVALID)


# ---- asked twice ----


def test_the_same_key_and_body_give_the_same_command_back(desk: Desk) -> None:
    first = desk.post({**LED, "hold_ms": 5}, Idempotency_Key="a-1")
    assert "Idempotent-Replayed" not in first.headers
    for key in ("a-1", '"a-1"', " a-1 "):
        again = desk.post({"hold_ms": 5, "value": True, "channel": "led"}, Idempotency_Key=key)
        assert (again.status_code, again.json) == (202, first.json)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
    assert desk.queue.take() is not None
    assert desk.queue.take() is None


def test_a_key_brings_its_command_back_whatever_has_become_of_it_and_of_the_board(desk: Desk) -> None:
    first = desk.post(LED, Idempotency_Key="a")
    command = desk.queue.take()
    assert command is not None
    desk.finish(command)
    desk.go_offline()
    again = desk.post(LED, Idempotency_Key="a")
    assert (again.status_code, again.json["state"], again.json["id"]) == (200, "done", first.json["id"])


@pytest.mark.parametrize(
    "other",
    [
        {**LED, "value": False},
        {**LED, "hold_ms": 1},
        {**LED, "expires_in_ms": 1},
        {**LED, "when_offline": "queue"},
        {"action": "measure"},
    ],
)
def test_another_body_under_the_same_key_is_refused(other: dict[str, Any], desk: Desk) -> None:
    first = desk.post(LED, Idempotency_Key="a").json
    assert first["id"] in refused(desk.post(other, Idempotency_Key="a"), Kind.KEY_REUSED)["detail"]


def test_put_takes_keys_as_post_does(desk: Desk) -> None:
    def put(value: object) -> Any:
        return desk.client.put(f"{UNO}/channels/led/value", json=value, headers={"Idempotency-Key": "p"})

    first = put(True)
    assert put(True).json == first.json
    refused(put(False), Kind.KEY_REUSED)
    assert desk.post(LED, Idempotency_Key="p").json == first.json, "it is the same request in another dress"


def test_a_request_that_was_refused_leaves_its_key_free(desk: Desk) -> None:
    refused(desk.post({"channel": "led", "value": 1}, Idempotency_Key="a"), Kind.INVALID)
    assert desk.post(LED, Idempotency_Key="a").status_code == 202


def test_a_key_is_forgotten_after_a_day(desk: Desk) -> None:
    first = desk.post(LED, Idempotency_Key="a").json
    desk.clock.advance(24 * 3600 - 1)
    assert desk.post(LED, Idempotency_Key="a").json["id"] == first["id"]
    desk.clock.advance(2)
    assert desk.post(LED, Idempotency_Key="a").json["id"] != first["id"]


def test_the_same_request_twice_at_once_is_one_command(desk: Desk) -> None:
    """Both look for the key before either has kept it."""
    former, ready = desk.queue.former, threading.Barrier(2)

    def slow(key: IdempotencyKey) -> Command | None:
        found = former(key)
        if found is None:
            ready.wait(30)
        return found

    desk.queue.former = slow  # type: ignore[method-assign]
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(desk.post, LED, Idempotency_Key="a") for _ in range(2)]
        documents = [answer.result(30).json for answer in answers]
    assert documents[0]["id"] == documents[1]["id"]
    assert desk.queue.take() is not None
    assert desk.queue.take() is None


@pytest.mark.parametrize("key", ["", '"', '""', "a b", "a,b", "\u00e9", "x" * 256])
def test_what_is_no_key_is_refused(key: str, desk: Desk) -> None:
    document = refused(desk.post(LED, Idempotency_Key=key), Kind.INVALID)
    assert errors(document).keys() == {"header.Idempotency-Key"}


# ---- waiting ----


def test_without_being_asked_to_nobody_waits(desk: Desk) -> None:
    began_s = desk.clock.monotonic()
    assert desk.post(LED).status_code == 202
    assert desk.clock.monotonic() == began_s


@pytest.mark.parametrize("wait", ["2s", "1500ms", "0.5s", "30s"])
def test_a_wait_that_runs_out_is_a_202_after_that_time(wait: str, desk: Desk) -> None:
    began_s = desk.clock.monotonic()
    response = desk.post(LED, f"{COMMANDS}?wait={wait}")
    assert (response.status_code, response.json["state"]) == (202, "queued")
    seconds = {"2s": 2.0, "1500ms": 1.5, "0.5s": 0.5, "30s": 30.0}[wait]
    assert desk.clock.monotonic() - began_s == pytest.approx(seconds, abs=CLOSING_CHECK_S / 10)


def test_prefer_waits_and_says_so(desk: Desk) -> None:
    began_s = desk.clock.monotonic()
    response = desk.post(LED, Prefer="respond-async, wait=2")
    assert response.headers["Preference-Applied"] == "wait=2"
    assert desk.clock.monotonic() - began_s == pytest.approx(2)
    desk.obedient = True
    assert desk.post(LED, Prefer="wait=2").status_code == 200


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=99999", "wait=30"),
        ('WAIT = "3"', "wait=3"),
        ("return=minimal; foo, wait=1; bar", "wait=1"),
        ("wait=0", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=", None),
        ("wait", None),
        ("nowait=3", None),
        ("wait=" + "9" * 5000, None),
        ("wait=\u00b2", None),
        ("\xff", None),
    ],
)
def test_a_preference_is_cut_to_what_is_granted_or_ignored(prefer: str, applied: str | None, desk: Desk) -> None:
    response = desk.post(LED, Prefer=prefer)
    assert response.status_code == 202
    assert response.headers.get("Preference-Applied") == applied


def test_the_query_goes_before_the_preference(desk: Desk) -> None:
    began_s = desk.clock.monotonic()
    response = desk.post(LED, f"{COMMANDS}?wait=1s", Prefer="wait=9")
    assert desk.clock.monotonic() - began_s == pytest.approx(1)
    assert "Preference-Applied" not in response.headers


def test_when_all_that_may_wait_do_so_the_next_gets_a_202_at_once() -> None:
    desk = Desk(max_waiting=1, obedient=True)
    with desk.services.waiting:
        began_s = desk.clock.monotonic()
        desk.obedient = False
        response = desk.post(LED, Prefer="wait=9")
        assert (response.status_code, desk.clock.monotonic()) == (202, began_s)
        assert "Preference-Applied" not in response.headers
    assert desk.post(LED, Prefer="wait=9").headers["Preference-Applied"] == "wait=9"


def test_a_place_to_wait_is_given_back_whatever_happens() -> None:
    desk = Desk(max_waiting=1)
    get, desk.journal.get = desk.journal.get, None  # type: ignore[method-assign, assignment]
    refused(desk.post(LED, f"{COMMANDS}?wait=1s"), Kind.INTERNAL)
    desk.journal.get = get  # type: ignore[method-assign]
    assert desk.services.waiting.acquire(blocking=False)


def test_the_end_that_comes_while_waiting_is_the_answer(desk: Desk) -> None:
    def wait(*, after: int, timeout_s: float) -> int:
        if command := desk.queue.take():
            desk.finish(command)
        return desk.journal.feed.sequence

    desk.journal.feed.wait = wait  # type: ignore[method-assign]
    response = desk.post(LED, f"{COMMANDS}?wait=5s")
    assert (response.status_code, response.json["state"]) == (200, "done")


def test_a_command_that_another_thread_ends_wakes_the_waiting_view(desk: Desk) -> None:
    desk.journal.feed = ChangeFeed()  # waits for real; the clock stands still, so only the end ends it
    queued = threading.Event()
    desk.queue.wake = queued.set

    def board_thread() -> None:
        assert queued.wait(10)
        command = desk.queue.take()
        assert command is not None
        desk.finish(command)

    thread = threading.Thread(target=board_thread)
    thread.start()
    response = desk.post(LED, f"{COMMANDS}?wait=30s")
    thread.join()
    assert (response.status_code, response.json["state"]) == (200, "done")


def test_a_server_about_to_stop_waits_no_longer(desk: Desk) -> None:
    began_s = desk.clock.monotonic()
    response = desk.client.post(
        f"{COMMANDS}?wait=30s", json=LED, environ_overrides={CLOSING: lambda: desk.clock.monotonic() > began_s}
    )
    assert response.status_code == 202
    assert desk.clock.monotonic() - began_s == pytest.approx(CLOSING_CHECK_S)


# ---- PUT ----


def test_put_is_a_command_like_any_other(desk: Desk) -> None:
    response = desk.client.put(f"{UNO}/channels/fan/value?hold=1.5s", json=50)
    assert response.status_code == 202
    assert (response.json["channel"], response.json["value"], response.json["hold_ms"]) == ("fan", 50, 1500)
    assert response.headers["Location"] == f"/api/v1/commands/{response.json['id']}"


@pytest.mark.parametrize(("hold", "hold_ms"), [("1ms", 1), ("0.2ms", 1), ("999.5ms", 1000), ("1m", 60_000)])
def test_a_hold_is_never_rounded_down_to_none(hold: str, hold_ms: int, desk: Desk) -> None:
    assert desk.client.put(f"{UNO}/channels/fan/value?hold={hold}", json=1).json["hold_ms"] == hold_ms


def test_put_says_where_its_own_faults_are(desk: Desk) -> None:
    document = refused(desk.client.put(f"{UNO}/channels/fan/value", json=101), Kind.INVALID)
    assert errors(document) == {
        "body": "fan: 101 is out of range, 0 to 100 %",
        "query.hold": "fan must be held; 1 to 65535 ms are expected",
    }


@pytest.mark.parametrize("hold", ["120s", "65.5351s", "2d"])
def test_a_hold_longer_than_the_wire_carries_is_refused_in_the_words_of_the_query(hold: str, desk: Desk) -> None:
    document = refused(desk.client.put(f"{UNO}/channels/fan/value?hold={hold}", json=1), Kind.INVALID)
    assert errors(document) == {"query.hold": "must be at most 65.535s"}
    assert desk.client.put(f"{UNO}/channels/fan/value?hold=65.535s", json=1).json["hold_ms"] == 65_535


def test_put_and_get_of_a_value_are_twins(desk: Desk) -> None:
    path = f"{UNO}/channels/label/value"
    assert desk.client.put(path, json="abc").status_code == 202
    desk.sample({"label": "abc"})
    assert desk.get(path).json == "abc"


# ---- what does not fit ----


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"body": "a channel with its value, or an action, is needed"}),
        ({"hold_ms": 5}, {"body": "a channel with its value, or an action, is needed"}),
        ({"acton": "tone"}, {"body": "or an action", "body.acton": "did you mean action?"}),
        ({"value": 1}, {"body.channel": "missing"}),
        ([], {"body": "an object"}),
        ("led", {"body": "an object"}),
        (True, {"body": "an object"}),
        ({"chanel": "led", "value": True}, {"body.channel": "missing", "body.chanel": "did you mean channel?"}),
        ({**LED, "when_offine": "queue"}, {"body.when_offine": "did you mean when_offline?"}),
        ({**LED, "when_offline": "wait"}, {"body.when_offline": "must be 'refuse' or 'queue'"}),
        ({**LED, "<write>": 1}, {"body.<write>": "no field"}),
        ({**LED, "write": 1}, {"body.write": "no field"}),
        ({**LED, "action": "tone"}, {"body.action": "does not go with channel and value"}),
        ({**LED, "arguments": {}}, {"body.arguments": "does not go with channel and value"}),
        ({"action": "tone", "value": 1}, {"body.value": "does not go with action and arguments"}),
        ({"arguments": {}}, {"body.action": "missing"}),
        ({"action": "tone", "arguments": []}, {"body.arguments": "an object"}),
        ({"action": "tone", "arguments": None}, {"body.arguments": "an object"}),
        ({"action": "tone", "arguments": {}}, {"body.arguments.hz": "missing", "body.arguments.seconds": "missing"}),
        (
            {"action": "tone", "arguments": {"hz": 1, "seconds": 0.05, "volume": 3}},
            {
                "body.arguments.hz": "31 to",
                "body.arguments.seconds": "decimals",
                "body.arguments.volume": "no argument",
            },
        ),
        ({"action": "measure", "hold_ms": 5}, {"body.hold_ms": "only outputs"}),
        (
            {"action": "tone", "arguments": {f"a{n}": n for n in range(99)}},
            {"body.arguments": "at most 16 are"},
        ),
        ({"channel": 1, "value": 1}, {"body.channel": "must be text"}),
        ({"channel": None, "value": 1}, {"body.channel": "must be text"}),
        ({**LED, "hold_ms": -1}, {"body.hold_ms": "must be at least 0"}),
        ({**LED, "hold_ms": 65_536}, {"body.hold_ms": "must be at most 65535"}),
        ({**LED, "hold_ms": 1}, None),
        ({**LED, "hold_ms": 5000.0}, None),
        ({**LED, "hold_ms": 0.5}, {"body.hold_ms": "must be a whole number"}),
        ({**LED, "hold_ms": True}, {"body.hold_ms": "must be a whole number"}),
        ({**LED, "hold_ms": "5s"}, {"body.hold_ms": "must be a whole number"}),
        ({**LED, "hold_ms": 10**300}, {"body.hold_ms": "must be at most 65535"}),
        ({**LED, "expires_in_ms": 0}, {"body.expires_in_ms": "must be at least 1"}),
        ({**LED, "expires_in_ms": 86_400_000}, None),
        ({**LED, "expires_in_ms": 86_400_001}, {"body.expires_in_ms": "must be at most 86400000"}),
        ({"channel": "led", "value": 1}, {"body.value": "true or false"}),
        ({"channel": "led", "value": None}, {"body.value": "null is no bool"}),
        ({"channel": "fan", "value": True, "hold_ms": 1}, {"body.value": "true is no number"}),
        ({"channel": "fan", "value": 101}, {"body.value": "0 to 100", "body.hold_ms": "must be held"}),
        ({"channel": "dose", "value": 150}, {"body.value": "multiple of 100"}),
        ({"channel": "label", "value": "123456789"}, {"body.value": "at most 8"}),
        ({"channel": "label", "value": "a\0b"}, {"body.value": "NUL"}),
        ({"channel": "ratio", "value": 3.5e38}, {"body.value": "out of range"}),
        ({"channel": "ratio", "value": 10**308}, {"body.value": "out of range"}),
        ({"channel": "label", "value": {"a": [1]}}, {"body.value": "an object is no text"}),
    ],
)
def test_everything_wrong_is_named_at_its_place(body: object, expected: dict[str, str] | None, desk: Desk) -> None:
    response = desk.post(body)
    if expected is None:
        assert response.status_code == 202, response.text
        return
    found = errors(refused(response, Kind.INVALID))
    assert found.keys() == expected.keys()
    for place, part in expected.items():
        assert part in found[place]
    assert desk.queue.take() is None


def test_at_most_twenty_errors_are_listed(desk: Desk) -> None:
    document = refused(desk.post({f"x{number}": 1 for number in range(3_000)}), Kind.INVALID)
    assert len(document["errors"]) == 20
    assert document["detail"] == "body: a channel with its value, or an action, is needed; and 19 more, see errors"


def test_the_detail_tells_the_first_error_and_how_many_follow(desk: Desk) -> None:
    several = {"action": "tone", "arguments": {"hz": 1}}
    detail = refused(desk.post(several), Kind.INVALID)["detail"]
    assert detail == "hz: 1 is out of range, 31 to 5000 Hz; and 1 more, see errors"
    single = refused(desk.post({**LED, "hold_ms": -1}), Kind.INVALID)["detail"]
    assert single == "body.hold_ms: must be at least 0"


def test_a_channel_that_is_not_there_is_named_with_those_that_are(desk: Desk) -> None:
    detail = refused(desk.post({"channel": "lde", "value": True}), Kind.UNKNOWN_TARGET)["detail"]
    assert "did you mean led?" in detail
    assert "a0" in detail


def test_a_full_queue_takes_again_once_one_has_left(desk: Desk) -> None:
    desk.fill_queue()
    assert str(QUEUE_LIMIT) in refused(desk.post(LED), Kind.QUEUE_FULL)["detail"]
    assert desk.queue.take() is not None
    assert desk.post(LED).status_code == 202


def test_nothing_is_queued_for_a_board_that_is_offline(desk: Desk) -> None:
    refused(desk.go_offline().post(LED), Kind.BOARD_OFFLINE)
    assert desk.get(COMMANDS).json["items"] == []


# ---- lists ----


def test_commands_are_listed_newest_first_page_by_page() -> None:
    desk = Desk(queue_limit=10)
    ids = [desk.queued_command() for _ in range(7)]
    seen, path, pages = [], f"{COMMANDS}?limit=3", 0
    while path:
        page = desk.get(path).json
        seen += [command["id"] for command in page["items"]]
        pages += 1
        path = f"{COMMANDS}?limit=3&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert (seen, pages) == (ids[::-1], 3)


def test_commands_of_other_boards_are_not_listed(desk: Desk) -> None:
    desk.queued_command()
    assert desk.get("/api/v1/boards/mega/commands").json == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("path", [COMMANDS, f"{UNO}/channels/led/value"])
@pytest.mark.parametrize(("wait", "part"), [("30.001s", "at most 30s"), ("1m", "at most 30s"), ("2", "2s or 2ms")])
def test_a_wait_too_long_or_without_a_unit_is_mended(path: str, wait: str, part: str, desk: Desk) -> None:
    response = desk.client.open(f"{path}?wait={wait}", method="POST" if path == COMMANDS else "PUT", json=LED)
    assert part in errors(refused(response, Kind.INVALID))["query.wait"]


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("limit=0", "query.limit"),
        ("limit=1001", "query.limit"),
        ("limit=-1", "query.limit"),
        ("limit=1.0", "query.limit"),
        ("limit=", "query.limit"),
        ("limit=" + "9" * 5_000, "query.limit"),
        ("limit=%EF%BC%95", "query.limit"),
        ("cursor=", "query.cursor"),
        ("cursor=../x", "query.cursor"),
        ("cursor=%00", "query.cursor"),
        ("cursor=zzz", "query.cursor"),
        ("cursor=" + "0" * 23, "query.cursor"),
        ("cursor=" + "A" * 24, "query.cursor"),
        ("cursor=" + "0" * 24 + "%0a", "query.cursor"),
        ("after=x", "query.after"),
    ],
)
def test_a_page_that_can_not_be_is_refused(query: str, place: str, desk: Desk) -> None:
    assert list(errors(refused(desk.get(f"{COMMANDS}?{query}"), Kind.INVALID))) == [place]


# ---- taking back ----


def test_a_queued_command_can_be_taken_back_and_again(desk: Desk) -> None:
    path = f"/api/v1/commands/{desk.queued_command()}"
    first = desk.client.delete(path)
    assert (first.status_code, first.json["state"]) == (200, "cancelled")
    again = desk.client.delete(path)
    assert (again.status_code, again.json) == (200, first.json)
    assert desk.queue.take() is None


@pytest.mark.parametrize("outcome", [CommandState.SENT, CommandState.DONE, CommandState.UNKNOWN])
def test_a_command_that_was_sent_can_not_be_taken_back(outcome: CommandState, desk: Desk) -> None:
    desk.outcome = outcome
    command_id = desk.sent_command()
    if outcome.final:
        command = desk.journal.get(command_id)
        assert isinstance(command, Command)
        desk.finish(command)
    document = refused(desk.client.delete(f"/api/v1/commands/{command_id}"), Kind.WRONG_STATE)
    assert str(outcome) in document["detail"]


def test_ids_are_known_whatever_board_they_are_of(desk: Desk) -> None:
    mine, other = desk.queued_command(), CommandIds(desk.clock).next()
    assert desk.get(f"/api/v1/commands/{mine}").json["board"] == "uno"
    assert other in refused(desk.get(f"/api/v1/commands/{other}"), Kind.UNKNOWN_COMMAND)["detail"]
