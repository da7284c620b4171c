"""An haproxy before two servers: one address, whichever of them works."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import services
from eventually import eventually
from resource_limits import unable

CONFIGURATION = """
global
    stats socket {folder}/control level admin
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen database
    bind 127.0.0.1:{port}
    default-server inter 300ms fall 2 rise 1 {marked_down}
    server first 127.0.0.1:{first} check
    server second 127.0.0.1:{second} check backup
"""


class Haproxy:
    """Sends connections to the first server while that takes any, and else to the second.

    It looks at ports only, and not at who is the primary: what a test wants, it says by `use`.

    Attributes:
        port: where it listens.
    """

    def __init__(self, first: int, second: int, *, cuts_sessions: bool) -> None:
        binary = shutil.which("haproxy", path=f"{os.environ.get('PATH')}:/usr/sbin")
        if binary is None:
            unable("no haproxy; install it")
        self.folder = Path(tempfile.mkdtemp(prefix="goque-haproxy-"))
        self.port = services._free_port()
        text = CONFIGURATION.format(
            folder=self.folder,
            port=self.port,
            first=first,
            second=second,
            marked_down="on-marked-down shutdown-sessions" if cuts_sessions else "",
        )
        (self.folder / "configuration").write_text(text, "utf-8")
        with (self.folder / "log").open("wb") as log:
            command = [str(binary), "-db", "-f", str(self.folder / "configuration")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._listens)

    def use(self, name: str) -> None:
        """Send new connections to this server, `first` or `second`; those that are there stay where they are."""
        other = "second" if name == "first" else "first"
        self.command(f"set server database/{name} state ready")
        self.command(f"set server database/{other} state maint")

    def command(self, text: str) -> str:
        """Say something on its control socket, and return the answer."""
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(str(self.folder / "control"))
            line.sendall(f"{text}\n".encode())
            return b"".join(iter(lambda: line.recv(65536), b"")).decode()

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder)

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.folder / "log").read_text("utf-8")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


@contextlib.contextmanager
def haproxy(first: int, second: int, *, cuts_sessions: bool) -> Iterator[Haproxy]:
    """Run an haproxy for the length of the block."""
    proxy = Haproxy(first, second, cuts_sessions=cuts_sessions)
    try:
        yield proxy
    finally:
        proxy.close()
