"""Recent samples over HTTP: oldest first, gaps left alone, and `since` in every form that it may and may not have."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.store.history import LENGTH
from gateway.web.problems import Kind
from tests.web.helpers import ONLINE, SCHEMA, Desk, channel, refused

A0 = "/api/v1/boards/uno/readings/a0/history"
FIRST = "2026-05-28T20:26:40.250Z"


def volts(desk: Desk, query: str = "") -> list[Any]:
    return [item["value"] for item in desk.get(f"{A0}{query}").json["items"]]


def five(desk: Desk) -> Desk:
    """2.5 V at first, then 1, 2, 3 and 4 V, one each second; the last one just now."""
    for number in range(1, 5):
        desk.clock.advance(1)
        desk.sample({"a0": float(number)})
    return desk


def test_samples_come_oldest_first_with_their_times_and_unit(desk: Desk) -> None:
    answer = five(desk).get(A0).json
    assert answer["items"][0] == {"sampled_at": FIRST, "value": 2.5}
    assert answer["items"][-1] == {"sampled_at": "2026-05-28T20:26:44.250Z", "value": 4.0}
    assert len(answer.pop("items")) == 5
    assert answer == {"board": "uno", "virtual": True, "channel": "a0", "unit": "V", "next_cursor": None}


@pytest.mark.parametrize("name", ["led", "fan", "label", "temperature", "dose"])
def test_values_are_of_the_type_that_the_reading_has(name: str, desk: Desk) -> None:
    reading = desk.get(f"/api/v1/boards/uno/readings/{name}").json["value"]
    (item,) = desk.get(f"/api/v1/boards/uno/readings/{name}/history").json["items"]
    assert (item["value"], type(item["value"])) == (reading, type(reading))


def test_a_bad_sample_is_null_and_a_poll_without_an_answer_is_nothing(desk: Desk) -> None:
    desk.clock.advance(1)
    desk.sample({"a0": None})
    desk.clock.advance(60)
    desk.sample({"a0": 1.5})
    assert volts(desk) == [2.5, None, 1.5]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?since=10m", [2.5, 1, 2, 3, 4]),
        ("?since=2.5s", [2, 3, 4]),
        ("?since=2s", [3, 4]),
        ("?since=0s", []),
        ("?since=999999999d", [2.5, 1, 2, 3, 4]),
        ("?since=2026-05-28T20:26:42.250Z", [3, 4]),
        ("?since=2026-05-28t20:26:42.249999999z", [2, 3, 4]),
        ("?since=2026-05-28T22:26:42.25%2B02:00", [3, 4]),
        ("?since=2026-05-28T18:26:42.25-02:00", [3, 4]),
        ("?since=1970-01-01T00:00:00Z", [2.5, 1, 2, 3, 4]),
        ("?since=0001-01-01T00:00:00Z", [2.5, 1, 2, 3, 4]),
        ("?since=9999-12-31T23:59:59Z", []),
        ("?limit=2", [3, 4]),
        ("?limit=3600", [2.5, 1, 2, 3, 4]),
        ("?since=3.5s&limit=1", [4]),
    ],
)
def test_since_and_limit_choose(query: str, expected: list[float], desk: Desk) -> None:
    assert volts(five(desk), query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=0.5", "needs a unit: write 0.5s"),
        ("since=1780000000", "must be a time such as 2026"),
        ("since=-1s", "must be a time such as 2026"),
        ("since=", "must be a time such as 2026"),
        ("since=yesterday", "must be a time such as 2026"),
        ("since=5.0.0s", "must be a time such as 2026"),
        ("since=10minutes", "or a duration such as 10m"),
        ("since=2026-05-28", "must be a time such as 2026"),
        ("since=2026-05-28T20:26:42", "must be a time such as 2026"),
        ("since=2026-05-28T20:26Z", "must be a time such as 2026"),
        ("since=2026-05-28%2020:26:42Z", "must be a time such as 2026"),
        ("since=20260528T202642Z", "must be a time such as 2026"),
        ("since=2026-05-28T20:26:42.Z", "must be a time such as 2026"),
        ("since=2026-W22-4T20:26:42Z", "must be a time such as 2026"),
        ("since=%D9%A22026-05-28T20:26:42Z", "must be a time such as 2026"),
        ("since=2026-05-28T22:26:42+02:00", "written %2B"),
        ("since=2026-02-30T00:00:00Z", "no date and time that there is"),
        ("since=2026-05-28T24:01:00Z", "no date and time that there is"),
        ("since=2026-05-28T20:26:42%2B24:00", "no date and time that there is"),
        ("since=0001-01-01T00:00:00%2B02:00", "no date and time that there is"),
        ("limit=0", "at least 1"),
        ("limit=3601", "at most 3600"),
        ("limit=-1", "whole number"),
        ("until=1s", "Query parameters are: since, limit"),
    ],
)
def test_a_query_that_does_not_fit_is_mended(query: str, message: str, desk: Desk) -> None:
    (error,) = refused(desk.get(f"{A0}?{query}"), Kind.INVALID)["errors"]
    assert message in error["msg"]


def test_the_last_item_asks_for_what_came_since(desk: Desk) -> None:
    """Whatever stands behind the milliseconds of its time, nothing comes twice and nothing is left out."""
    seen: list[Any] = []
    since = "1970-01-01T00:00:00Z"
    desk.clock.advance(0.0004)
    for number in range(200):
        desk.clock.advance(0.0013371)
        desk.sample({"a0": number / 1000})
        if number % 3 == 0:
            items = desk.get(f"{A0}?since={since}").json["items"]
            seen += [item["value"] for item in items]
            since = items[-1]["sampled_at"]
    assert seen == [2.5, *(number / 1000 for number in range(199))]


def test_a_step_of_the_clock_does_not_hide_what_a_duration_asks_for(desk: Desk) -> None:
    desk.clock.unix_s += 3600
    desk.clock.advance(1)
    desk.sample({"a0": 1.0})
    assert volts(desk, "?since=10s") == [2.5, 1.0]


def test_a_ring_that_is_full_forgets_the_oldest(desk: Desk) -> None:
    for number in range(LENGTH + 5):
        desk.clock.advance(0.1)
        desk.sample({"fan": number % 100})
    items = desk.get("/api/v1/boards/uno/readings/fan/history").json["items"]
    assert [item["value"] for item in items] == [number % 100 for number in range(5, LENGTH + 5)]
    assert [item["sampled_at"] for item in items] == sorted(item["sampled_at"] for item in items)


def test_another_sketch_begins_with_an_empty_history(desk: Desk) -> None:
    other = replace(
        SCHEMA, sketch=replace(SCHEMA.sketch, schema_hash=7), channels=(channel(0, "a0", SCHEMA.channels[1].type),)
    )
    desk.latest.publish_status(replace(ONLINE, schema=other))
    assert volts(desk) == []
    desk.sample({"a0": 20.5})
    assert volts(desk) == [20.5]


def test_an_offline_board_keeps_its_history_and_adds_nothing(desk: Desk) -> None:
    five(desk).go_offline()
    desk.clock.advance(60)
    assert volts(desk) == [2.5, 1, 2, 3, 4]
    assert volts(desk, "?since=30s") == []
