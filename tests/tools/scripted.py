"""Bootloaders in a few lines: they hold flash, answer as the real ones do, and do wrong what a test asks of them.

No thread: what is written is answered before the next read.
"""

from collections import deque
from functools import reduce
from operator import xor
from typing import Protocol

from gateway.errors import LinkError
from gateway.model import Reason

ERASED = 0xFF
ATMEGA328P = b"\x1e\x95\x0f"
ATMEGA2560 = b"\x1e\x98\x01"
END_OF_REQUEST = 0x20
IN_SYNC, OK = b"\x14", b"\x10"


class Board(Protocol):
    """What sits behind a port after a reset."""

    def start(self) -> None:
        """The bootloader begins."""
        ...

    def feed(self, byte: int) -> bytes:
        """Takes a byte, gives what it answers."""
        ...


class ScriptedPort:
    """A port as `programmer.ResettablePort`, with a board whose bootloader speaks at `baud`."""

    def __init__(self, board: Board, *, baud: int) -> None:
        self._board = board
        self._baud = baud
        self._said = deque[int]()
        self._in_bootloader = False
        self.resets: list[int] = []
        self.lost_after: int | None = None
        """The plug is pulled after so many bytes."""
        self.interrupt_after: int | None = None
        """Ctrl-C comes after so many bytes."""
        self._written = 0

    def reset(self, *, baud: int) -> None:
        self.resets.append(baud)
        self._said.clear()
        self._in_bootloader = baud == self._baud
        self._board.start()

    def write(self, data: bytes) -> None:
        for byte in data:
            self._written += 1
            if self._written == self.lost_after:
                raise LinkError(Reason.PORT_MISSING, "it was lost while writing")
            if self._written == self.interrupt_after:
                raise KeyboardInterrupt
            if self._in_bootloader:
                self._said += self._board.feed(byte)

    def read(self, size: int, *, timeout_s: float) -> bytes:
        return bytes(self._said.popleft() for _ in range(min(size, len(self._said))))

    def discard(self) -> None:
        self._said.clear()


class FlashChip:
    """Flash, and a bootloader's faults: deaf to the first `deaf_calls` bytes, silent from `silent_from` on, one bit
    that `worn` can't hold."""

    def __init__(
        self,
        *,
        signature: bytes = ATMEGA328P,
        deaf_bytes: int = 0,
        silent_from: int | None = None,
        worn: int | None = None,
    ) -> None:
        self.flash = bytearray([ERASED]) * 0x40000
        self.was_left = False
        self.programming = False
        """Told to enter its programming mode, without which nothing is written."""
        self.signature = signature
        self.silent_from = silent_from
        self._worn = worn
        self._deaf_bytes = deaf_bytes
        self._buffer = bytearray()
        self._address = 0

    def start(self) -> None:
        self._buffer.clear()
        self.programming = False

    def feed(self, byte: int) -> bytes:
        if self._deaf_bytes:
            self._deaf_bytes -= 1
            return b""
        self._buffer.append(byte)
        if len(self._buffer) < self._expected(bytes(self._buffer)):
            return b""
        request = bytes(self._buffer)
        self._buffer.clear()
        return self._answer(request)

    def program(self, data: bytes) -> None:
        assert self.programming
        self.flash[self._address : self._address + len(data)] = data
        if self._worn is not None:
            self.flash[self._worn] &= 0xFE

    def held(self, size: int) -> bytes:
        return bytes(self.flash[self._address : self._address + size])

    def load(self, words: int) -> None:
        self._address = 2 * words

    def is_silent(self) -> bool:
        return self.silent_from is not None and self._address >= self.silent_from

    def _expected(self, so_far: bytes) -> int:
        raise NotImplementedError

    def _answer(self, request: bytes) -> bytes:
        raise NotImplementedError


class Stk1Chip(FlashChip):
    """Version 1: ends at a request that does not end in a space, as Optiboot does."""

    lost = False

    def start(self) -> None:
        super().start()
        self.lost = False

    def _expected(self, so_far: bytes) -> int:
        if so_far[0] == 0x64:
            return 5 + int.from_bytes(so_far[1:3], "big") if len(so_far) >= 3 else 5
        return {0x55: 4, 0x74: 5}.get(so_far[0], 2)

    def _answer(self, request: bytes) -> bytes:
        self.lost |= request[-1] != END_OF_REQUEST
        if self.lost:
            return b""
        content = b""
        match request[0]:
            case 0x50:
                self.programming = True
            case 0x55:
                self.load(int.from_bytes(request[1:3], "little"))
            case 0x64:
                self.program(request[4:-1])
            case 0x74:
                content = self.held(int.from_bytes(request[1:3], "big"))
            case 0x75:
                content = self.signature
            case 0x51:
                self.was_left = True
        return b"" if self.is_silent() else IN_SYNC + content + OK


class Stk2Chip(FlashChip):
    """Version 2: takes a message with the next number or number 1, is deaf to any other and to a wrong checksum."""

    number = 1

    def start(self) -> None:
        super().start()
        self.numbers = list[int]()
        """Of the messages since the reset."""

    def _expected(self, so_far: bytes) -> int:
        return 6 + int.from_bytes(so_far[2:4], "big") if len(so_far) >= 4 else 6

    def _answer(self, request: bytes) -> bytes:
        if request[1] not in (1, self.number) or reduce(xor, request):
            return b""
        self.number = (request[1] + 1) % 0x100
        self.numbers.append(request[1])
        body = request[5:-1]
        content = b"\x00"
        match body[0]:
            case 0x01:
                content += b"\x08AVRISP_2"
            case 0x06:
                self.load(int.from_bytes(body[1:], "big"))
            case 0x10:
                self.programming = True
            case 0x11:
                self.was_left = True
            case 0x13:
                self.program(body[10:])
            case 0x14:
                content += self.held(int.from_bytes(body[1:3], "big")) + b"\x00"
            case 0x1B:
                content += self.signature[body[4] : body[4] + 1] + b"\x00"
        answer = bytes([0x1B, request[1]]) + (1 + len(content)).to_bytes(2, "big") + bytes([0x0E, body[0]]) + content
        return b"" if self.is_silent() else answer + bytes([reduce(xor, answer)])
