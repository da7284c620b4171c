"""A way to a server that can be cut or fall silent, at a given word or at once."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Forwards connections to a server.

    Attributes:
        server: host and port of it, for the next connections.
        cut_after: when a client says this, the server hears it and answers, and both lines are cut.
        cut_before: when a client says this, both lines are cut, and the server does not hear it.
        silent: whether nothing comes back to clients any more.
        deaf: whether the server hears nothing of clients any more.
        connections: how many were made.
    """

    def __init__(self, host: str, port: int) -> None:
        self.server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_after: bytes | None = None
        self.cut_before: bytes | None = None
        self.silent = self.deaf = False
        self.connections = 0
        self._is_open = True
        self._open: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut every line, as a network does; new ones are let through."""
        for line in self._open[1:]:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

    def cut_off(self) -> None:
        """Cut every line and let no new one through, until `join` is called."""
        self._is_open = False
        self.cut()

    @property
    def is_cut_off(self) -> bool:
        """Whether clients hear nothing from the server until `join` is called."""
        return self.silent or not self._is_open

    def join(self) -> None:
        """Let everything through again; what was silent is cut, as its words are lost."""
        if self.silent or self.deaf:
            self.silent = self.deaf = False
            self.cut()
        self._is_open = True

    def close(self) -> None:
        self.cut()
        for line in self._open:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            line.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if not self._is_open:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self.server)
                except OSError:
                    client.close()  # the server is down
                    continue
                self.connections += 1
                self._open += [client, server]
                doomed = threading.Event()
                threading.Thread(target=self._to_server, args=(client, server, doomed), daemon=True).start()
                threading.Thread(target=self._to_client, args=(server, client, doomed), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                if self.cut_after is not None and self.cut_after in data:
                    self.cut_after = None
                    doomed.set()
                if self.cut_before is not None and self.cut_before in data:
                    self.cut_before = None
                    client.shutdown(socket.SHUT_RDWR)
                    break
                if not self.deaf:
                    server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _to_client(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if doomed.is_set():
                    break
                if not self.silent:
                    client.sendall(data)
        for line in (client, server):
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
