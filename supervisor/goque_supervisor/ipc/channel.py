"""The channel between the root supervisor and a child: one inherited socket pair that carries control messages.

Standard library only, because the root uses it. End-of-file at a child's end means that the root is gone.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator
from typing import Final

from goque_supervisor.ipc.control import Message, ProtocolError, decode, encode

MAX_FRAME: Final = 64 * 1024 * 1024
_FD_SPACE: Final = socket.CMSG_SPACE(16 * 4)


class Channel:
    """One end of a control socket. It never blocks the root, and keeps frames that the peer does not accept yet."""

    def __init__(self, end: socket.socket, *, blocking: bool = False) -> None:
        end.setblocking(blocking)
        self.socket = end
        self.closed = False
        self._incoming = bytearray()
        self._outgoing = bytearray()
        self.received_fds: deque[int] = deque()

    @classmethod
    def pair(cls) -> tuple[Channel, socket.socket]:
        """Make a channel for this process and the raw socket to hand to a child."""
        ours, theirs = socket.socketpair()
        return cls(ours), theirs

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self.socket.fileno()

    @property
    def wants_write(self) -> bool:
        """Whether a frame is still waiting to be sent."""
        return bool(self._outgoing) and not self.closed

    def send(self, message: Message, *, descriptor: int | None = None) -> None:
        """Send a message, or drop it if the peer is gone, because the system reports the peer's exit."""
        if self.closed:
            return
        frame = encode(message)
        if descriptor is not None:
            self._send_with_descriptor(frame, descriptor)
            return
        self._outgoing += frame
        self.flush()

    def flush(self) -> None:
        """Send as much of the kept frames as the peer accepts."""
        while self._outgoing and not self.closed:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True  # the peer is gone: the system reports its exit
                return
            del self._outgoing[:sent]

    def receive(self) -> list[Message]:
        """Return the messages that have arrived. Sets `closed` if the peer is gone or broke the protocol."""
        self._read()
        messages: list[Message] = []
        try:
            messages.extend(self._parse())
        except ValueError as error:
            self._incoming.clear()
            self.closed = True
            messages.append(ProtocolError(str(error)))
        return messages

    def _parse(self) -> Iterator[Message]:
        while len(self._incoming) >= 4:
            (length,) = struct.unpack_from("!I", self._incoming)
            if length > MAX_FRAME:
                raise ValueError(f"control frame of {length} bytes is over the limit")
            if len(self._incoming) < 4 + length:
                break
            yield decode(bytes(self._incoming[4 : 4 + length]))
            del self._incoming[: 4 + length]

    def close(self) -> None:
        """Close this end."""
        self.closed = True
        self.socket.close()

    def _read(self) -> None:
        while not self.closed:
            try:
                # not socket.recv_fds: it drops its flags in Python 3.11, and would block here
                data, extra, _flags, _address = self.socket.recvmsg(65536, _FD_SPACE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True
                return
            for level, kind, packed in extra:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    self.received_fds.extend(struct.unpack(f"={len(packed) // 4}i", packed))
            if not data:
                self.closed = True
            self._incoming += data

    def _send_with_descriptor(self, frame: bytes, descriptor: int) -> None:
        self.socket.settimeout(5.0)
        try:
            sent = socket.send_fds(self.socket, [frame], [descriptor])
            self.socket.sendall(frame[sent:])
        except OSError:
            self.closed = True
        finally:
            if not self.closed:
                self.socket.setblocking(False)
