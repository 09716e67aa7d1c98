"""What a machine lists as plugged in, made up over emulated boards; and a gateway in this process that believes it."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway.config import load
from gateway.link.discovery import PluggedPort
from gateway.runtime import Gateway
from tests.emulated.board import EmulatedBoard
from tests.running import PATIENCE_S, Served

CH340 = (0x1A86, 0x7523)
UNO = (0x2341, 0x0043)


class Sockets:
    """The USB sockets of a machine, called by their location; each board sits in one of them. Any thread may list."""

    def __init__(self) -> None:
        self._boards: dict[str, tuple[EmulatedBoard, PluggedPort]] = {}

    def put(
        self, board: EmulatedBoard, location: str, *, ids: tuple[int, int] = CH340, serial_number: str | None = None
    ) -> None:
        """Lists a board that has its port already."""
        vendor, product = ids
        plugged = PluggedPort(str(board.port), vendor, product, serial_number, location)
        self._boards = {**self._boards, location: (board, plugged)}

    def unplug(self, location: str) -> EmulatedBoard:
        """Pulls the plug; gives the board that is free now."""
        board, _ = self._boards[location]
        self._boards = {each: sits for each, sits in self._boards.items() if each != location}
        board.unplug()
        return board

    def plug(self, board: EmulatedBoard, location: str, *, port: Path, ids: tuple[int, int] = CH340) -> None:
        """Puts an unplugged board into a socket; it becomes this tty."""
        board.plug(port)
        self.put(board, location, ids=ids)

    def __call__(self) -> tuple[PluggedPort, ...]:
        return tuple(plugged for _board, plugged in self._boards.values())


class GatewayHere(Served):
    """A gateway on this configuration in a thread of this process, with these sockets. A context manager."""

    def __init__(self, config: str, folder: Path, *, sockets: Sockets) -> None:
        folder.mkdir(exist_ok=True)
        file = folder / "config.yaml"
        file.write_text(config)
        self._gateway = Gateway(load(file, environ={}, listen="127.0.0.1:0"), list_ports=sockets)
        self._thread = threading.Thread(target=self._gateway.run, name="gateway", daemon=True)
        self.url = self._gateway.url

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._gateway.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def log(self, board: str = "uno") -> list[str]:
        """What the board's log says, oldest first."""
        return [entry["message"] for entry in self.get(f"boards/{board}/log").json["items"]]

    def board_id(self, board: str = "uno") -> str:
        """Once the board is online: its id."""
        self.wait_state("online", board=board)
        return str(self.get(f"boards/{board}").json["board_id"])
