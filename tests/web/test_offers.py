"""What a board offers, as JSON Schema; and the resources of board and gateway."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.model import Action, BoardState, FailsafeCause, ValueType
from gateway.web.offers import value_schema
from gateway.web.problems import Kind
from tests.web.helpers import ONLINE, SCHEMA, Desk, channel, refused

UNO = "/api/v1/boards/uno"


def schemas(desk: Desk) -> dict[str, Any]:
    return {each["name"]: each["schema"] for each in desk.get(f"{UNO}/channels").json["items"]}


def test_every_channel_is_listed_with_the_schema_of_its_value(desk: Desk) -> None:
    assert schemas(desk) == {
        "a0": {"type": "number", "multipleOf": 0.001, "minimum": 0.0, "maximum": 5.0, "unit": "V"},
        "temperature": {"type": "number", "minimum": -40.0, "maximum": 125.0, "unit": "degC"},
        "led": {"type": "boolean"},
        "fan": {"type": "integer", "minimum": 0, "maximum": 100, "unit": "%"},
        "label": {"type": "string", "maxLength": 8, "description": "at most 8 bytes of UTF-8 without NUL"},
        "dose": {"type": "integer", "multipleOf": 100, "minimum": 0, "maximum": 6_553_500},
        "trigger": {"type": "boolean"},
        "ratio": {"type": "number", "minimum": -3.4e38, "maximum": 3.4e38},
    }


def test_a_channel_says_what_can_be_done_with_it(desk: Desk) -> None:
    (fan,) = [each for each in desk.get(f"{UNO}/channels").json["items"] if each["name"] == "fan"]
    del fan["schema"]
    assert fan == {
        "name": "fan",
        "unit": "%",
        "type": "u8",
        "readable": True,
        "writable": True,
        "idempotent": True,
        "hold_required": True,
        "safe": 0,
    }


def test_every_action_is_listed_with_the_schema_of_arguments_and_result(desk: Desk) -> None:
    tone, measure, probe, ready = desk.get(f"{UNO}/actions").json["items"]
    assert tone == {
        "name": "tone",
        "doc": "Sound the buzzer",
        "arguments": {
            "type": "object",
            "properties": {
                "hz": {"type": "integer", "minimum": 31, "maximum": 5_000, "unit": "Hz"},
                "seconds": {"type": "number", "multipleOf": 0.1, "minimum": 0.0, "maximum": 10.0, "unit": "s"},
            },
            "required": ["hz", "seconds"],
            "additionalProperties": False,
        },
        "returns": None,
    }
    assert measure["arguments"] == {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    assert measure["returns"] == {"type": "integer", "minimum": -32_768, "maximum": 32_767}
    assert probe["returns"] == {"type": "number"}
    assert ready["returns"] == {"type": "boolean"}


def test_an_action_may_return_text(desk: Desk) -> None:
    schema = replace(SCHEMA, actions=(Action(0, "name", "", (), ValueType.TEXT),))
    desk.latest.publish_status(replace(ONLINE, schema=schema))
    assert desk.get(f"{UNO}/actions").json["items"][0]["returns"] == {"type": "string"}


@pytest.mark.parametrize(("scale", "step"), [(-9, 1e-09), (-2, 0.01), (-1, 0.1), (1, 10), (9, 1_000_000_000)])
def test_the_step_is_the_power_of_ten_exactly(scale: int, step: float) -> None:
    schema = value_schema(channel(0, "x", ValueType.U32, scale=scale))
    assert schema["multipleOf"] == step
    assert schema["type"] == ("integer" if scale > 0 else "number")


def test_what_a_board_never_seen_offers_is_not_known_rather_than_missing(desk: Desk) -> None:
    for name in ("channels", "actions", "readings/led", "channels/led/value"):
        detail = refused(desk.get(f"/api/v1/boards/mega/{name}"), Kind.SCHEMA_UNKNOWN)["detail"]
        assert "board mega is connecting" in detail


def test_reason_and_cure_stand_in_the_problem_as_in_that_of_a_command(desk: Desk) -> None:
    desk.go_offline()
    desk.latest.publish_status(replace(desk.latest.snapshot("uno").status, schema=None))
    detail = refused(desk.get(f"{UNO}/channels"), Kind.SCHEMA_UNKNOWN)["detail"]
    refusal = refused(desk.post({"channel": "led", "value": True}), Kind.BOARD_OFFLINE)["detail"]
    assert refusal == "board uno is offline, port_missing: /dev/ttyACM0 is gone: plug the board in"
    assert detail == f"what it offers is not known yet: {refusal}"


# ---- boards ----


def test_a_board_says_all_that_is_known_of_it(desk: Desk) -> None:
    assert desk.get(UNO).json == {
        "name": "uno",
        "virtual": True,
        "state": "online",
        "reason": None,
        "detail": None,
        "mode": "poll",
        "port": "virtual://uno",
        "model": "Uno",
        "board_id": "0badcafe",
        "sketch": {"name": "gateway", "version": "1.2", "schema": "00c0ffee"},
        "failsafe": {"latched": False, "cause": None},
        "resets": 2,
        "round_trip_ms": 2.123,
        "clock": {"rate_ppm": 2020.5, "rate_error_ppm": 66.9, "error_ms": 2.516},
        "vitals": {
            "frames_received": 70,
            "frames_rejected": 1,
            "overruns": 2,
            "loop_max_ms": 3.25,
            "free_ram": 1234,
        },
        "counters": {"frames_in": 7},
    }


def test_a_board_never_seen_is_null_where_nothing_is_known(desk: Desk) -> None:
    board = desk.get("/api/v1/boards/mega").json
    assert (board["state"], board["virtual"], board["port"]) == ("connecting", False, "/dev/ttyACM0")
    unknown = {name for name, value in board.items() if value is None}
    assert unknown == {"reason", "detail", "model", "board_id", "sketch", "round_trip_ms", "clock", "vitals"}


def test_a_board_without_an_id_has_none(desk: Desk) -> None:
    desk.latest.publish_status(replace(ONLINE, schema=replace(SCHEMA, unique_id="")))
    assert desk.get(UNO).json["board_id"] is None


def test_a_board_that_is_offline_says_why_and_how_to_mend_it(desk: Desk) -> None:
    board = desk.go_offline().get(UNO).json
    assert (board["state"], board["reason"]) == ("offline", "port_missing")
    assert "plug the board in" in board["detail"]
    assert board["model"] == "Uno"


def test_boards_are_listed_as_configured(desk: Desk) -> None:
    page = desk.get("/api/v1/boards").json
    assert [board["name"] for board in page["items"]] == ["uno", "mega"]
    assert page["items"][0] == desk.get(UNO).json
    assert page["next_cursor"] is None


def test_info_tells_one_life_of_the_gateway_from_the_next(desk: Desk) -> None:
    desk.clock.advance(60)
    assert desk.get("/api/v1/info").json == {
        "version": "9.8.7",
        "start_id": "5eed",
        "started_at": "2026-05-28T20:26:40.250Z",
        "features": ["virtual"],
    }


def test_the_log_gives_what_the_board_printed_as_it_is(desk: Desk) -> None:
    assert desk.get(f"{UNO}/log").json == {
        "items": [{"time": "2026-05-28T20:26:40.250Z", "kind": "text", "message": "temperature \\x1b[31m high"}],
        "next_cursor": None,
    }


# ---- safe and clear ----


def test_safe_answers_with_the_board_once_it_confirmed(desk: Desk) -> None:
    desk.obedient = True
    assert desk.client.post(f"{UNO}/safe").json["failsafe"] == {"latched": True, "cause": "safe"}
    assert desk.client.post(f"{UNO}/clear").json["failsafe"] == {"latched": False, "cause": None}


def test_safe_cancels_what_is_queued_and_latches(desk: Desk) -> None:
    command_id = desk.queued_command()
    desk.obedient = True
    assert desk.client.post(f"{UNO}/safe").status_code == 200
    command = desk.get(f"/api/v1/commands/{command_id}").json
    assert (command["state"], command["error"]["code"]) == ("cancelled", "safe")
    refused(desk.post({"channel": "led", "value": True}), Kind.WRONG_STATE)


# ---- health ----


@pytest.mark.parametrize("state", list(BoardState))
def test_ready_means_that_every_board_that_should_be_is_there(state: BoardState, desk: Desk) -> None:
    response = desk.with_mega(state).get("/readyz")
    if state in (BoardState.CONNECTING, BoardState.OFFLINE):
        assert f"board mega is {state}" in refused(response, Kind.NOT_READY)["detail"]
        assert "uno" not in response.text
    else:
        assert response.json == {"status": "ready", "boards": {"uno": "online", "mega": state}}


def test_not_ready_names_the_reason(desk: Desk) -> None:
    detail = refused(desk.go_offline().get("/readyz"), Kind.NOT_READY)["detail"]
    assert detail == "board uno is offline (port_missing); board mega is connecting"


def test_a_latched_board_is_ready(desk: Desk) -> None:
    desk.with_mega().latest.publish_status(replace(ONLINE, failsafe=FailsafeCause.SAFE))
    assert desk.get("/readyz").status_code == 200
