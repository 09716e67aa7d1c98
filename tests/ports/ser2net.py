"""Debian's ser2net, serving one serial port over TCP; started and killed as often as a test likes."""

import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_S = 10.0
SYSTEM_PROGRAM = "/usr/sbin/ser2net"  # which Debian leaves out of users' paths
ACCEPTERS = {"socket": "tcp", "rfc2217": "telnet(rfc2217),tcp"}
"""How ser2net's configuration calls what pyserial has as a URL scheme."""


class Ser2net:
    """A context manager that begins with ser2net running; `url` is the port for the gateway, the same after a restart.

    `preload` is a library for LD_PRELOAD.
    """

    def __init__(self, device: str, scheme: str, *, baud: int = 250_000, preload: Path | None = None) -> None:
        self._device = device
        self._scheme = scheme
        self._baud = baud
        self._environ = {"LD_PRELOAD": str(preload)} if preload else {}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"{self._scheme}://127.0.0.1:{port}"
        self._directory = tempfile.TemporaryDirectory(prefix="ser2net-")
        self._config = Path(self._directory.name, "ser2net.yaml")
        self._config.write_text(
            "%YAML 1.1\n---\nconnection: &board\n"
            f"  accepter: {ACCEPTERS[self._scheme]},127.0.0.1,{port}\n"
            f"  connector: serialdev,{self._device},{self._baud}n81,local\n"
        )
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._directory.cleanup()

    def start(self) -> None:
        """It serves soon; nobody has to wait for that who tries again."""
        program = shutil.which("ser2net") or SYSTEM_PROGRAM
        self._process = subprocess.Popen(
            [program, "-n", "-u", "-c", str(self._config)],
            env=self._environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """As a crash of its machine's power supply: connections end without a word. Again is fine."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            self._process = None
