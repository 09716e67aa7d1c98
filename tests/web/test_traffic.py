"""What passed on a link, over HTTP: page after page, with a wait, and honest about what is gone."""

import threading

from gateway.link.tap import Trace, TraceKind
from tests.web.helpers import DESCRIPTION, Desk

LATER_S = 0.05
TRACES = (
    Trace(TraceKind.OPENED, 1.5, 1_780_000_000.0, b"/dev/tty\xff"),
    Trace(TraceKind.SENT, 1.500001, 1_780_000_000.5, b"\0\x01"),
    Trace(TraceKind.RECEIVED, 2.0, 1_780_000_001.0, b"hi\r\n"),
)


def test_bytes_are_hexadecimal_and_the_rest_is_text(desk: Desk) -> None:
    for trace in TRACES:
        desk.traffic["uno"](trace)
    document = desk.get("/api/v1/boards/uno/traffic").json
    assert document is not None
    assert [(each["kind"], each["bytes"], each["text"]) for each in document["items"]] == [
        ("opened", None, "/dev/tty\ufffd"),
        ("sent", "0001", None),
        ("received", "68690d0a", None),
    ]
    assert document["items"][1]["monotonic_us"] == 1_500_001
    assert document["items"][1]["time"] == "2026-05-28T20:26:40.500Z"
    assert (document["next_after"], document["missed"]) == (3, 0)


def test_pages_go_on_where_the_last_ended(desk: Desk) -> None:
    for trace in TRACES:
        desk.traffic["uno"](trace)
    first = desk.get("/api/v1/boards/uno/traffic?limit=2").json
    assert first is not None
    rest = desk.get(f"/api/v1/boards/uno/traffic?after={first['next_after']}").json
    assert rest is not None
    assert [len(first["items"]), len(rest["items"])] == [2, 1]
    lost = desk.get("/api/v1/boards/uno/traffic?after=99").json
    assert lost is not None
    assert (len(lost["items"]), lost["missed"]) == (3, None)


def test_a_wait_ends_with_the_next_trace(desk: Desk) -> None:
    timer = threading.Timer(LATER_S, lambda: desk.traffic["uno"](TRACES[0]))
    timer.start()
    document = desk.get("/api/v1/boards/uno/traffic?wait=30s").json
    timer.join()
    assert document is not None
    assert len(document["items"]) == 1


def test_whoever_finds_no_room_to_wait_is_answered_at_once(desk: Desk) -> None:
    taken = 0
    while desk.services.waiting.acquire(blocking=False):
        taken += 1
    try:
        document = desk.get("/api/v1/boards/uno/traffic?wait=30s").json
        assert document is not None
        assert document["items"] == []
    finally:
        for _ in range(taken):
            desk.services.waiting.release()


def test_a_description_comes_as_the_board_sent_it(desk: Desk) -> None:
    document = desk.get("/api/v1/boards/uno/description").json
    assert document == {
        "board": DESCRIPTION.board.hex(),
        "channels": 1,
        "actions": 0,
        "records": [DESCRIPTION.records[0].hex()],
    }
