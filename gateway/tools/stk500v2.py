"""STK500 version 2 as the Mega's bootloader speaks it: Atmel's application note AVR068.

The caller's thread. Messages both ways: 1B, number, length (2 bytes), 0E, content, and all of it XORed.
"""

import enum
from functools import reduce
from operator import xor

from gateway.tools.bootloader import REPLY_TIMEOUT_S, Channel, Interrupted, settle

START = 0x1B
TOKEN = 0x0E
HEAD_BYTES = 5
OK = 0x00
FIRST_NUMBER = 1  # the one that the bootloader takes at any time
SIGNED_ON = b"\x08AVRISP_2"
CALL_INTERVAL_S = 0.2
CALLS = 8  # it waits 1 s
SIGNATURE_BYTES = 3
WRITE_MODE = bytes([0xC1, 10, 0x40, 0x4C, 0x20, 0, 0])  # as avrdude writes a page; the bootloader looks at none of it
READ_MODE = bytes([0x20])


class Request(enum.IntEnum):
    """The requests used here."""

    SIGN_ON = 0x01
    LOAD_ADDRESS = 0x06
    ENTER_PROGRAMMING = 0x10
    LEAVE_PROGRAMMING = 0x11
    PROGRAM_FLASH = 0x13
    READ_FLASH = 0x14
    READ_SIGNATURE = 0x1B


class Stk500v2:
    """A bootloader that speaks version 2, as `Bootloader`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._number = FIRST_NUMBER

    def enter(self) -> bool:
        """Calls until it answers, then lets late answers pass."""
        for _ in range(CALLS):
            self._channel.discard()
            self._send(FIRST_NUMBER, bytes([Request.SIGN_ON]))
            expected = _message(FIRST_NUMBER, bytes([Request.SIGN_ON, OK]) + SIGNED_ON)
            if self._channel.read(len(expected), timeout_s=CALL_INTERVAL_S) == expected:
                settle(self._channel)
                self._number = FIRST_NUMBER
                self._ask(Request.ENTER_PROGRAMMING, bytes(11))
                return True
        return False

    def signature(self) -> bytes:
        """As `Bootloader`; a byte at a time."""
        return b"".join(
            self._ask(Request.READ_SIGNATURE, bytes([4, 4, 0x30, index, 0]), reply_bytes=2)[:1]
            for index in range(SIGNATURE_BYTES)
        )

    def write_page(self, address: int, data: bytes) -> None:
        """As `Bootloader`. It erases page after page whatever the address, hence the order of pages."""
        self._load(address)
        self._ask(Request.PROGRAM_FLASH, len(data).to_bytes(2, "big") + WRITE_MODE + data)

    def read_page(self, address: int, size: int) -> bytes:
        """As `Bootloader`."""
        self._load(address)
        return self._ask(Request.READ_FLASH, size.to_bytes(2, "big") + READ_MODE, reply_bytes=size + 1)[:-1]

    def leave(self) -> None:
        """As `Bootloader`."""
        self._ask(Request.LEAVE_PROGRAMMING, bytes(2))

    def _load(self, address: int) -> None:
        self._ask(Request.LOAD_ADDRESS, (address // 2).to_bytes(4, "big"))  # in words

    def _ask(self, request: Request, content: bytes = b"", *, reply_bytes: int = 0) -> bytes:
        number, self._number = self._number, (self._number + 1) % 0x100
        self._send(number, bytes([request]) + content)
        content_bytes = 2 + reply_bytes
        reply = self._channel.read(HEAD_BYTES + content_bytes + 1, timeout_s=REPLY_TIMEOUT_S)
        answer = reply[HEAD_BYTES:-1]
        if reply != _message(number, answer) or len(answer) != content_bytes or answer[:2] != bytes([request, OK]):
            told = f"answered {reply[:8].hex(' ')}" if reply else "did not answer"
            raise Interrupted(f"the bootloader {told} when asked for {request.name.lower().replace('_', ' ')}")
        return answer[2:]

    def _send(self, number: int, content: bytes) -> None:
        self._channel.write(_message(number, content))


def _message(number: int, content: bytes) -> bytes:
    head = bytes([START, number]) + len(content).to_bytes(2, "big") + bytes([TOKEN])
    return head + content + bytes([reduce(xor, head + content)])
