"""What the root supervisor and its children say to each other, over one inherited socket pair a child.

Standard library only, since the root speaks it. A frame is a length (4 bytes, network order) and JSON
`[name, fields]`. End-of-file at a child's end means that the root is gone.
"""

from __future__ import annotations

import json
import socket
import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

MAX_FRAME: Final = 64 * 1024 * 1024
_FD_SPACE: Final = socket.CMSG_SPACE(16 * 4)


# -- from any child to the root ---------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """This child has booted and does its work now; `info` is what the root needs to know of it."""

    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BootFailed:
    """This child cannot work: one sentence, and the exit code that `goque supervise` ends with because of it."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Beat:
    """This child's loop turns."""


@dataclass(frozen=True)
class LeaseRenewed:
    """The database has taken a heartbeat of this node, which was sent at this CLOCK_MONOTONIC second."""

    sent_at: float


@dataclass(frozen=True)
class SourceChanged:
    """The reloader has seen files of the app change: some of their paths, and how many they are."""

    paths: list[str]
    count: int


# -- from a fetcher to the root ---------------------------------------------------------------------


@dataclass(frozen=True)
class Interrupt:
    """Ask for a running task to be stopped: politely first, by SIGKILL after its grace."""

    incarnation: int
    seq: int
    reason: str


@dataclass(frozen=True)
class Replace:
    """Ask for a worker that runs nothing more to be replaced."""

    incarnation: int
    reason: str


@dataclass(frozen=True)
class CrashSettled:
    """All that a dead worker's black box told is in the database: its files may go."""

    incarnation: int


@dataclass(frozen=True)
class Idle:
    """Whether nothing is left that could run now or is running; `check` answers the root's CheckIdle."""

    idle: bool
    check: int = 0


@dataclass(frozen=True)
class Drained:
    """This fetcher holds no task any more; `unwritten` counts those it could not write back."""

    unwritten: int = 0


@dataclass(frozen=True)
class CallbackWanted:
    """Ask for the user's functions about a crash to be called, in a process of their own."""

    call: int
    crash: str


@dataclass(frozen=True)
class CallbackDone:
    """What the user's functions answered: the delay until the next attempt, None if they did not say."""

    call: int
    delay: float | None = None


# -- from the root to its children -------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerStarted:
    """A worker exists: where its black box is and how it calls itself on the wire."""

    slot: int
    incarnation: int
    pid: int
    identity: str
    box: str


@dataclass(frozen=True)
class WorkerExited:
    """A worker is gone, and what is known of its end; `killed_for` is None unless the root ended it."""

    incarnation: int
    pid: int
    box: str
    exit_code: int | None
    signal: int | None
    killed_for: str | None = None
    killed_seq: int = 0
    max_rss: int = 0
    oom: str | None = None


@dataclass(frozen=True)
class TakeOver:
    """The first word to a fetcher: its epoch, its owner names, and the workers that outlived the last one.

    The owner is empty while the node has no lease; former owners are names that this tree claimed under before.
    """

    epoch: int
    owner: str
    former_owners: list[str]
    live: list[WorkerStarted]
    dead: list[WorkerExited]


@dataclass(frozen=True)
class NewOwner:
    """Claim under this name from now on; empty: claim nothing until told again."""

    owner: str


@dataclass(frozen=True)
class Retire:
    """Send this worker nothing more and ask for its replacement when it is idle."""

    incarnation: int
    reason: str


@dataclass(frozen=True)
class PauseClaiming:
    """Stop or resume claiming: a type whose workers cannot boot must not collect tasks."""

    hold: bool


@dataclass(frozen=True)
class Drain:
    """Claim nothing more, give back what has not begun, say Drained when nothing is held."""


@dataclass(frozen=True)
class CheckIdle:
    """Look once more, now, and answer with Idle and the same `check`."""

    check: int


@dataclass(frozen=True)
class TreeState:
    """How the tree stands: for the monitor, and for the lease with the roster of its processes."""

    state: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """End as soon as the work in hand is done."""


# -- between the root and a nursery -------------------------------------------------------------------


@dataclass(frozen=True)
class StartChild:
    """Start a process: the socket that comes with this message is its control channel."""

    key: int
    boot: dict[str, Any]


@dataclass(frozen=True)
class ChildStarted:
    """The process exists."""

    key: int
    pid: int


@dataclass(frozen=True)
class StartFailed:
    """The process could not be made: the system is out of processes, memory or descriptors, or the app's fork died."""

    key: int
    message: str
    died: bool = False


@dataclass(frozen=True)
class ProtocolError:
    """Not sent by anybody: what came is no message, and nothing more is read from that peer."""

    why: str


Message: TypeAlias = (
    Ready
    | BootFailed
    | Beat
    | LeaseRenewed
    | SourceChanged
    | Interrupt
    | Replace
    | CrashSettled
    | Idle
    | Drained
    | CallbackWanted
    | CallbackDone
    | WorkerStarted
    | WorkerExited
    | TakeOver
    | NewOwner
    | Retire
    | PauseClaiming
    | Drain
    | CheckIdle
    | TreeState
    | Stop
    | StartChild
    | ChildStarted
    | StartFailed
    | ProtocolError
)
_BY_NAME: Final[dict[str, Any]] = {
    kind.__name__: kind for kind in Message.__args__ if kind is not ProtocolError
}
_NESTED: Final[dict[str, dict[str, Any]]] = {"TakeOver": {"live": WorkerStarted, "dead": WorkerExited}}


def encode(message: Message) -> bytes:
    """Encode a message as one frame."""
    body = json.dumps([type(message).__name__, _plain(message)], separators=(",", ":")).encode()
    return struct.pack("!I", len(body)) + body


def decode(body: bytes) -> Message:
    """Decode a frame's body. Raises ValueError for anything that `encode` did not make."""
    try:
        name, values = json.loads(body)
        nested = _NESTED.get(name, {})
        for key, kind in nested.items():
            values[key] = [kind(**item) for item in values[key]]
        message: Message = _BY_NAME[name](**values)
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a control message: {body[:80]!r}") from error
    return message


def _plain(message: Any) -> dict[str, Any]:
    values = {entry.name: getattr(message, entry.name) for entry in fields(message)}
    for key in _NESTED.get(type(message).__name__, {}):
        values[key] = [_plain(item) for item in values[key]]
    return values


class Channel:
    """One end of a control socket: never blocks the root, remembers what could not be sent yet."""

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
        """Whether something is still waiting to be sent."""
        return bool(self._outgoing) and not self.closed

    def send(self, message: Message, *, descriptor: int | None = None) -> None:
        """Send a message; to a peer that is gone it is dropped, since its exit is what counts."""
        if self.closed:
            return
        frame = encode(message)
        if descriptor is not None:
            self._send_with_descriptor(frame, descriptor)
            return
        self._outgoing += frame
        self.flush()

    def flush(self) -> None:
        """Send what is waiting, as far as the peer takes it."""
        while self._outgoing and not self.closed:
            try:
                sent = self.socket.send(self._outgoing)
            except BlockingIOError:
                return
            except OSError:
                self.closed = True  # the peer is gone: whoever waits for its exit is told by the system
                return
            del self._outgoing[:sent]

    def receive(self) -> list[Message]:
        """Return the messages that have come; `closed` is set when the peer is gone, or has sent garbage."""
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
