"""Readings are honest: their age, their quality, and the tag that tells whether anything has changed."""

import math
from dataclasses import replace

import pytest

from gateway.model import BoardState, Sample
from gateway.web.problems import Kind
from tests.web.helpers import ONLINE, SCHEMA, STALE_AFTER_S, VALUES, Desk, channel, refused

READINGS = "/api/v1/boards/uno/readings"
SAMPLED_AT = "2026-05-28T20:26:40.250Z"


def etag(desk: Desk, path: str = READINGS) -> str:
    return desk.get(path).headers["ETag"]


def test_a_snapshot_has_every_readable_channel_in_the_order_of_the_sketch(desk: Desk) -> None:
    desk.clock.advance(0.0301)
    snapshot = desk.get(READINGS).json
    assert list(snapshot["readings"]) == [each.name for each in SCHEMA.channels if each.readable]
    assert snapshot["readings"]["a0"] == {
        "value": 2.5,
        "unit": "V",
        "quality": "good",
        "sampled_at": SAMPLED_AT,
        "age_ms": 31,
    }
    assert {name: reading["value"] for name, reading in snapshot["readings"].items()} == VALUES
    assert (snapshot["board"], snapshot["virtual"], snapshot["state"]) == ("uno", True, "online")
    assert (snapshot["sampled_at"], snapshot["age_ms"]) == (SAMPLED_AT, 31)


def test_a_snapshot_is_as_old_as_its_oldest_reading(desk: Desk) -> None:
    desk.clock.advance(0.5)
    desk.sample({"led": False})
    snapshot = desk.get(READINGS).json
    assert (snapshot["sampled_at"], snapshot["age_ms"]) == (SAMPLED_AT, 500)
    assert snapshot["readings"]["led"]["age_ms"] == 0


def test_a_board_never_seen_has_no_readings_and_no_age(desk: Desk) -> None:
    snapshot = desk.get("/api/v1/boards/mega/readings").json
    assert snapshot["readings"] == {}
    assert (snapshot["sampled_at"], snapshot["age_ms"], snapshot["virtual"]) == (None, None, False)


def test_values_of_a_silent_board_stay_and_are_marked(desk: Desk) -> None:
    desk.go_offline()
    desk.clock.advance(STALE_AFTER_S + 0.5)
    snapshot = desk.get(READINGS).json
    assert snapshot["state"] == "offline"
    assert {reading["quality"] for reading in snapshot["readings"].values()} == {"stale"}
    assert snapshot["readings"]["a0"]["value"] == 2.5


def test_a_value_that_is_none_is_null_and_bad(desk: Desk) -> None:
    desk.sample({"temperature": None})
    reading = desk.get(f"{READINGS}/temperature").json
    assert (reading["value"], reading["quality"]) == (None, "bad")


def test_a_nan_that_gets_here_all_the_same_is_never_published(desk: Desk) -> None:
    desk.sample({"temperature": math.nan})
    refused(desk.get(READINGS), Kind.INTERNAL)


# ---- the tag ----


def test_the_tag_has_start_sequence_and_generation(desk: Desk) -> None:
    sequence = desk.latest.snapshot("uno").sequence
    assert etag(desk) == f'W/"5eed-{sequence}-0"'
    desk.clock.advance(STALE_AFTER_S + 0.1)
    assert etag(desk) == f'W/"5eed-{sequence}-{len(VALUES)}"'


def test_a_snapshot_that_has_not_changed_is_a_304_with_tag_and_no_body(desk: Desk) -> None:
    tag = etag(desk)
    desk.clock.advance(STALE_AFTER_S * 0.9)
    response = desk.get(READINGS, If_None_Match=tag)
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == tag
    assert response.headers["Cache-Control"] == "no-cache"
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize("given", ["{}", '"other", {}', '{}, W/"x"', "*", '"bare"'])
def test_if_none_match_takes_lists_stars_and_strong_forms(given: str, desk: Desk) -> None:
    tag = etag(desk)
    header = tag.removeprefix("W/") if given == '"bare"' else given.replace("{}", tag)
    assert desk.get(READINGS, If_None_Match=header).status_code == 304


@pytest.mark.parametrize("given", ["", '"other"', "W/", '"', "*, *", '""', '"5eed"', "\xff"])
def test_any_other_if_none_match_gets_the_snapshot(given: str, desk: Desk) -> None:
    assert desk.get(READINGS, If_None_Match=given).status_code == 200


def test_head_is_conditional_too(desk: Desk) -> None:
    tag = etag(desk)
    assert desk.client.head(READINGS, headers={"If-None-Match": tag}).status_code == 304


def change_value(desk: Desk) -> None:
    desk.sample({"led": False})


def sample_again(desk: Desk) -> None:
    desk.sample({"led": True})


def change_state(desk: Desk) -> None:
    desk.latest.publish_status(replace(ONLINE, state=BoardState.DEGRADED))


def grow_stale(desk: Desk) -> None:
    desk.clock.advance(STALE_AFTER_S + 0.001)


@pytest.mark.parametrize("change", [change_value, sample_again, change_state, grow_stale])
def test_whatever_changes_the_snapshot_changes_its_tag(change: object, desk: Desk) -> None:
    tag = etag(desk)
    assert callable(change)
    change(desk)
    response = desk.get(READINGS, If_None_Match=tag)
    assert response.status_code == 200
    assert response.headers["ETag"] != tag


def test_each_reading_that_grows_stale_changes_the_tag(desk: Desk) -> None:
    desk.clock.advance(0.5)
    desk.sample({"led": True})
    tags = [etag(desk)]
    for _ in range(2):
        desk.clock.advance(0.6)
        tags.append(etag(desk))
    assert len(set(tags)) == 3


def test_a_tag_of_another_start_never_matches(desk: Desk) -> None:
    restarted = Desk(clock=desk.clock)
    object.__setattr__(restarted.services, "start_id", "later")
    assert restarted.get(READINGS, If_None_Match=etag(desk)).status_code == 200


# ---- one reading ----


def test_one_reading_says_whose_it_is(desk: Desk) -> None:
    assert desk.get(f"{READINGS}/temperature").json == {
        "board": "uno",
        "virtual": True,
        "channel": "temperature",
        "value": 21.3,
        "unit": "degC",
        "quality": "good",
        "sampled_at": SAMPLED_AT,
        "age_ms": 0,
    }


@pytest.mark.parametrize(
    ("channel_name", "text"),
    [("temperature", "21.3\n"), ("led", "true\n"), ("fan", "0\n"), ("label", "hello\n"), ("dose", "1200\n")],
)
def test_plain_text_is_the_value_and_a_newline(channel_name: str, text: str, desk: Desk) -> None:
    response = desk.get(f"{READINGS}/{channel_name}", Accept="text/plain")
    assert response.text == text
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Vary"] == "Accept"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "application/json"),
        ("application/json", "application/json"),
        ("text/plain", "text/plain"),
        ("text/*", "text/plain"),
        ("text/plain;q=0.5, application/json", "application/json"),
        ("text/plain, application/json;q=0.5", "text/plain"),
        ("text/html", "application/json"),
        ("", "application/json"),
        (";;;=", "application/json"),
        ("text/plain;q=nan", "application/json"),
    ],
)
def test_accept_chooses(accept: str, media_type: str, desk: Desk) -> None:
    response = desk.get(f"{READINGS}/a0", Accept=accept)
    assert response.status_code == 200
    assert response.mimetype == media_type


BARE = ("/api/v1/boards/uno/channels/a0/value", f"{READINGS}/a0")


@pytest.mark.parametrize("path", BARE)
def test_a_bare_value_must_be_good(path: str, desk: Desk) -> None:
    assert desk.get(path, Accept="text/plain").text == "2.5\n"
    desk.clock.advance(STALE_AFTER_S + 0.5)
    assert "1.500 s ago" in refused(desk.get(path, Accept="text/plain"), Kind.READING_UNFIT)["detail"]
    assert desk.get(f"{path}?max_age=1.5s", Accept="text/plain").text == "2.5\n"
    desk.sample({"a0": None})
    refused(desk.get(f"{path}?max_age=1d", Accept="text/plain"), Kind.READING_UNFIT)


def test_a_bare_value_may_be_too_old_though_good(desk: Desk) -> None:
    desk.clock.advance(0.5)
    path = "/api/v1/boards/uno/channels/a0/value?max_age=400ms"
    assert "max_age is 0.4 s" in refused(desk.get(path), Kind.READING_UNFIT)["detail"]


def test_json_tells_the_quality_instead(desk: Desk) -> None:
    desk.clock.advance(STALE_AFTER_S + 0.5)
    assert desk.get(f"{READINGS}/a0").json["quality"] == "stale"
    assert desk.get(f"{READINGS}/a0?max_age=1500ms").json["value"] == 2.5
    refused(desk.get(f"{READINGS}/a0?max_age=1499ms"), Kind.READING_UNFIT)
    desk.sample({"a0": None})
    assert desk.get(f"{READINGS}/a0").json["quality"] == "bad"
    refused(desk.get(f"{READINGS}/a0?max_age=1d"), Kind.READING_UNFIT)


def test_a_reading_never_sampled_has_no_value_to_give(desk: Desk) -> None:
    schema = replace(
        SCHEMA,
        sketch=replace(SCHEMA.sketch, schema_hash=1),
        channels=(channel(0, "a0", SCHEMA.channels[0].type),),
    )
    desk.latest.publish_status(replace(ONLINE, schema=schema))
    assert desk.get(f"{READINGS}/a0").json["sampled_at"] is None
    assert desk.get(READINGS).json["sampled_at"] is None
    assert "never sampled" in refused(desk.get("/api/v1/boards/uno/channels/a0/value"), Kind.READING_UNFIT)["detail"]


def test_an_unknown_channel_names_those_that_can_be_read(desk: Desk) -> None:
    near = refused(desk.get(f"{READINGS}/temprature"), Kind.UNKNOWN_TARGET)["detail"]
    assert near.startswith('no reading "temprature", did you mean temperature? Readings are: a0, temperature, led')
    everything = refused(desk.get(f"{READINGS}/zzz"), Kind.UNKNOWN_TARGET)["detail"]
    assert "a0, temperature, led" in everything
    assert "trigger" not in everything
    assert "can't read back" in refused(desk.get(f"{READINGS}/trigger"), Kind.UNKNOWN_TARGET)["detail"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("max_age=500", "write 500s or 500ms"),
        ("max_age=0.5", "write 0.5s or 0.5ms"),
        ("max_age=", "such as 500ms"),
        ("max_age=-1s", "such as 500ms"),
        ("max_age=1 s", "such as 500ms"),
        ("max_age=1e3s", "such as 500ms"),
        ("max_age=NaN", "such as 500ms"),
        ("max_age=inf", "such as 500ms"),
        ("max_age=1s&max_age=2s", "more than once"),
        ("max-age=1s", "did you mean max_age?"),
        ("%ff=1", "Query parameters are: max_age"),
    ],
)
def test_a_query_that_does_not_fit_is_mended(given: str, message: str, desk: Desk) -> None:
    document = refused(desk.get(f"{READINGS}/a0?{given}"), Kind.INVALID)
    assert message in document["errors"][0]["msg"]
    assert document["errors"][0]["loc"][0] == "query"


def test_reading_and_writing_refuse_a_name_in_the_same_words(desk: Desk) -> None:
    read = refused(desk.get(f"{READINGS}/leds"), Kind.UNKNOWN_TARGET)["detail"]
    written = refused(desk.post({"channel": "leds", "value": True}), Kind.UNKNOWN_TARGET)["detail"]
    assert written.replace("channel", "reading").replace("Channel", "Reading").replace(", trigger", "") == read


def test_text_of_a_board_stays_text(desk: Desk) -> None:
    evil = '<img src=x onerror="alert(1)">\r\nSet-Cookie: a=b\x00'
    desk.latest.publish_samples("uno", {"label": Sample(evil, desk.clock.monotonic(), desk.clock.time())})
    assert desk.get(f"{READINGS}/label").json["value"] == evil
    response = desk.get(f"{READINGS}/label", Accept="text/plain")
    assert response.text == f"{evil}\n"
    assert "Set-Cookie" not in response.headers
