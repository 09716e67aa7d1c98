"""Strange boards, known by what they send."""

import pytest

from gateway.model import Reason
from gateway.protocol import messages as m
from gateway.protocol.connect import Connecting, connect_plan
from gateway.protocol.events import SetBaud, Unanswered, Write
from gateway.protocol.framing import encode
from gateway.protocol.lookalikes import FIRMATA_ASK, G_CODE_ASK, looks_like


@pytest.mark.parametrize(
    ("heard", "look"),
    [
        (b"\xf9\x02\x05\xf0\x79\x02\x05S\0t\0a\0n\0\xf7", "Firmata"),
        (b"\xf0\x79\x02\x0a\xf7", "Firmata"),
        (b"start\r\necho:Marlin 2.1.2\r\n", "Marlin"),
        (b"FIRMWARE_NAME:Marlin 1.1.9 PROTOCOL_VERSION:1.0\r\nok\r\n", "Marlin"),
        (b"\r\nGrbl 1.1h ['$' for help]\r\n", "Grbl"),
        (b"ok\r\nerror:20\r\n", "Grbl"),
        (b" ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n", "ESP8266"),
        (b"rst:0x1 (POWERON_RESET),boot:0x13\r\n", "ESP8266"),
        (b"MicroPython v1.22 on 2023-12-27\r\n>>> ", "MicroPython"),
        (b"\r\nOK\r\n", "AT commands"),
        (b"AT+CGMI\r\n", "AT commands"),
        (b"Temperature: 21 C\r\n", None),
        (b"ATmega says hello, all is OK here\n", None),
        (b"", None),
    ],
)
def test_a_firmware_is_known_by_what_it_sends(heard: bytes, look: str | None) -> None:
    found = looks_like(heard)
    assert (found is None) if look is None else (found is not None and look in found)


def test_our_own_frames_look_like_nobody_else() -> None:
    for payload in (bytes(16), bytes(range(54)), b"\xff" * 30):
        assert looks_like(encode(m.PollReply.TYPE, 7, 9, payload=payload)) is None


def walk(*, curious: bool, heard: bytes = b"") -> tuple[list[bytes], list[int], Unanswered]:
    """What is sent at the end, at which rates, and the diagnosis."""
    plan = connect_plan(baud=250_000, answers_at_once=False, fixed_baud=False, curious=curious)
    connecting = Connecting(plan, hello=b"HELLO", baud=0, known=False, now_s=0.0)
    connecting.hear(heard)
    sent, bauds = [], []
    while True:
        for event in connecting.advance(connecting.due_s):
            match event:
                case Write(data):
                    sent.append(data)
                case SetBaud(baud):
                    bauds.append(baud)
                case Unanswered():
                    return sent, bauds, event


def test_only_the_curious_ask_other_firmwares_for_their_names() -> None:
    sent, bauds, _failed = walk(curious=True)
    assert sent[-3:] == [FIRMATA_ASK, G_CODE_ASK, G_CODE_ASK]
    assert bauds[-2:] == [115_200, 250_000]
    sent, _bauds, _failed = walk(curious=False)
    assert FIRMATA_ASK not in sent
    assert G_CODE_ASK not in sent


def test_the_diagnosis_names_it_and_memory_is_bounded() -> None:
    noise = b"\x80" * 5000
    _sent, _bauds, failed = walk(curious=False, heard=noise + b"\nGrbl 1.1h ['$' for help]\n")
    assert failed.reason is Reason.WRONG_SKETCH
    assert "Grbl" in failed.detail
    _sent, _bauds, failed = walk(curious=False, heard=b"Grbl 1.1h\n" + noise)
    assert "Grbl" in failed.detail, "what came first counts as well"
    connecting = Connecting(
        connect_plan(baud=None, answers_at_once=True, fixed_baud=True), hello=b"", baud=0, known=False, now_s=0.0
    )
    for _ in range(100):
        connecting.hear(noise)
    assert len(connecting.heard) <= 1024
    assert connecting.received == 500_000
