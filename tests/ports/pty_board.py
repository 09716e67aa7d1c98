"""A virtual board behind a pseudo-terminal: for programs that open device files, at a fraction of an emulated board.

One thread of its own moves the bytes and is the only one that touches the board.
"""

import os
import select
import threading
import time
from types import TracebackType
from typing import Self

from gateway.link.virtual_board import VirtualBoard
from gateway.link.virtual_table import BoardTable
from gateway.link.wake import Wake

READ_BYTES = 4096


class PtyBoard:
    """A context manager; `path` is the port while it lasts. Any number of programs may open and close it."""

    def __init__(self, table: BoardTable) -> None:
        self._board = VirtualBoard(clock=time, table=table)
        self._stopping = Wake()
        self._thread = threading.Thread(target=self._run, name="pty-board", daemon=True)

    def __enter__(self) -> Self:
        import tty  # which Windows has not

        self._master, self._slave = os.openpty()  # held open, else closing the port would be the end of the terminal
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        self._stopping.close()
        os.close(self._master)
        os.close(self._slave)

    def _run(self) -> None:
        ready: list[object] = []
        while self._stopping not in ready:
            if ready:
                self._board.receive(os.read(self._master, READ_BYTES))
            if said := self._board.transmit():
                os.write(self._master, said)
            due_s = self._board.due_s()
            wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
            ready, _, _ = select.select([self._master, self._stopping], [], [], wait_s)
