"""STK500 version 1 as Optiboot (Uno, Nano) and ATmegaBOOT (old Nano) speak it: Atmel's application note AVR061.

The caller's thread. Every request ends in a space, every answer is a byte for "in sync", what was asked, and "OK".
"""

import enum

from gateway.tools.bootloader import REPLY_TIMEOUT_S, Channel, Interrupted, settle

END_OF_REQUEST = b"\x20"
IN_SYNC = 0x14
OK = 0x10
FLASH = b"F"
CALL_INTERVAL_S = 0.5  # they blink for 0.4 s first, and of two calls meanwhile the chip would keep one and a half
CALLS = 4  # Optiboot waits 1 s for a byte, ATmegaBOOT 1.3 s


class Request(enum.IntEnum):
    """The requests used here."""

    GET_SYNC = 0x30
    ENTER_PROGRAMMING = 0x50
    LEAVE_PROGRAMMING = 0x51
    LOAD_ADDRESS = 0x55
    PROGRAM_PAGE = 0x64
    READ_PAGE = 0x74
    READ_SIGNATURE = 0x75


class Stk500v1:
    """A bootloader that speaks version 1, as `Bootloader`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def enter(self) -> bool:
        """Calls until it answers, then lets late answers pass: a call too many is answered, too."""
        for _ in range(CALLS):
            self._channel.discard()
            self._channel.write(bytes([Request.GET_SYNC]) + END_OF_REQUEST)
            if self._channel.read(2, timeout_s=CALL_INTERVAL_S) == bytes([IN_SYNC, OK]):
                settle(self._channel)
                self._ask(Request.ENTER_PROGRAMMING)
                return True
        return False

    def signature(self) -> bytes:
        """As `Bootloader`."""
        return self._ask(Request.READ_SIGNATURE, reply_bytes=3)

    def write_page(self, address: int, data: bytes) -> None:
        """As `Bootloader`."""
        self._load(address)
        self._ask(Request.PROGRAM_PAGE, len(data).to_bytes(2, "big") + FLASH + data)

    def read_page(self, address: int, size: int) -> bytes:
        """As `Bootloader`."""
        self._load(address)
        return self._ask(Request.READ_PAGE, size.to_bytes(2, "big") + FLASH, reply_bytes=size)

    def leave(self) -> None:
        """As `Bootloader`."""
        self._ask(Request.LEAVE_PROGRAMMING)

    def _load(self, address: int) -> None:
        self._ask(Request.LOAD_ADDRESS, (address // 2).to_bytes(2, "little"))  # in words

    def _ask(self, request: Request, content: bytes = b"", *, reply_bytes: int = 0) -> bytes:
        self._channel.write(bytes([request]) + content + END_OF_REQUEST)
        reply = self._channel.read(reply_bytes + 2, timeout_s=REPLY_TIMEOUT_S)
        if len(reply) != reply_bytes + 2 or (reply[0], reply[-1]) != (IN_SYNC, OK):
            told = f"answered {reply[:8].hex(' ')}" if reply else "did not answer"
            raise Interrupted(f"the bootloader {told} when asked for {request.name.lower().replace('_', ' ')}")
        return reply[1:-1]
