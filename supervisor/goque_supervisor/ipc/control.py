"""The messages between the root supervisor and its children: frozen data, sent as frames over a `Channel`.

Standard library only, because the root uses it. A frame is a length (4 bytes, network order) and JSON
`[name, fields]`.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias

# -- from any child to the root ---------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """This child has booted and works now; `info` has data for the root."""

    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BootFailed:
    """This child cannot work: the reason in one sentence, and the exit code for `goque supervise`."""

    message: str
    exit_code: int


@dataclass(frozen=True)
class Beat:
    """The loop of this child runs."""


@dataclass(frozen=True)
class LeaseRenewed:
    """A heartbeat of this node, sent at this CLOCK_MONOTONIC second, is written to the database, with this number."""

    sent_at: float
    seq: int = 0


@dataclass(frozen=True)
class SourceChanged:
    """Files of the app have changed: some of their paths, and the number of all changed files."""

    paths: list[str]
    count: int


# -- from a fetcher to the root ---------------------------------------------------------------------


@dataclass(frozen=True)
class Interrupt:
    """Ask the root to stop a running task: with a signal first, and with SIGKILL after `grace` seconds."""

    incarnation: int
    seq: int
    reason: str
    grace: float


@dataclass(frozen=True)
class Replace:
    """Ask the root to replace a worker that has no jobs left."""

    incarnation: int
    reason: str


@dataclass(frozen=True)
class WorkersWanted:
    """How many workers the pool wants now: for `def` handlers, and for `async def` handlers."""

    plain: int
    asynchronous: int


@dataclass(frozen=True)
class CrashSettled:
    """All outcomes of a dead worker are in the database: its files may be deleted."""

    incarnation: int


@dataclass(frozen=True)
class Idle:
    """Whether no task runs or could run now; `check` repeats the number of the root's CheckIdle."""

    idle: bool
    check: int = 0


@dataclass(frozen=True)
class Drained:
    """This fetcher has no task in flight any more; `unwritten` counts the outcomes that it could not write."""

    unwritten: int = 0


@dataclass(frozen=True)
class CommitsLost:
    """The database has lost commits of this owner that it had acknowledged; `what` describes one of them."""

    owner: str
    what: str


@dataclass(frozen=True)
class CallbackWanted:
    """Ask the root to call the functions of a type's processor about a crash, in a separate process."""

    call: int
    task_type: str
    crash: str


@dataclass(frozen=True)
class CallbackDone:
    """The answer of the user's functions: the delay until the next attempt, None if they gave none."""

    call: int
    delay: float | None = None


@dataclass(frozen=True)
class AttemptsFailed:
    """Attempts that have failed, each as JSON, for the `on_failure` of the app."""

    failures: list[str]


@dataclass(frozen=True)
class FailureTold:
    """One call of `on_failure` has ended."""


# -- from the root to its children -------------------------------------------------------------------


@dataclass(frozen=True)
class WorkerStarted:
    """A worker exists: the path of its black box, its name on the wire, and whether it runs `async def` handlers."""

    slot: int
    incarnation: int
    pid: int
    identity: str
    box: str
    is_async: bool = False


@dataclass(frozen=True)
class WorkerExited:
    """A worker has ended, and how; `killed_for` is None unless the root ended it."""

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
    """The first message to a fetcher: its epoch, its owner names, and the workers of the last fetcher.

    The owner is empty while the node has no lease. This tree claimed tasks under the former owners before.
    """

    epoch: int
    owner: str
    former_owners: list[str]
    live: list[WorkerStarted]
    dead: list[WorkerExited]


@dataclass(frozen=True)
class NewOwner:
    """Claim under this name from now on; if it is empty, claim nothing until the next NewOwner."""

    owner: str


@dataclass(frozen=True)
class TakeNewName:
    """Register this node under a new name, if its name is still this one; only the lease gets this."""

    owner: str


@dataclass(frozen=True)
class Retire:
    """Send this worker no more jobs, and ask for its replacement when it is idle."""

    incarnation: int
    reason: str


@dataclass(frozen=True)
class PauseClaiming:
    """Stop or resume claiming, because a type whose workers cannot boot must not claim tasks."""

    hold: bool


@dataclass(frozen=True)
class Drain:
    """Claim nothing more, release tasks that have not started, send Drained when no task is in flight."""


@dataclass(frozen=True)
class CheckIdle:
    """Check for tasks now, and answer with Idle and the same `check`."""

    check: int


@dataclass(frozen=True)
class TreeState:
    """The state of the tree: for the monitor, and for the lease with the list of its processes."""

    state: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """End as soon as the current work is done."""


# -- between the root and a nursery -------------------------------------------------------------------


@dataclass(frozen=True)
class StartChild:
    """Start a process. The socket that comes with this message is its control channel."""

    key: int
    boot: dict[str, Any]


@dataclass(frozen=True)
class ChildStarted:
    """The process exists."""

    key: int
    pid: int


@dataclass(frozen=True)
class StartFailed:
    """The process could not be started: the system lacks processes, memory or descriptors, or the app's fork died."""

    key: int
    message: str
    died: bool = False


@dataclass(frozen=True)
class ProtocolError:
    """A channel returns this instead of bytes that are not a message. It reads nothing more from that peer."""

    why: str


Message: TypeAlias = (
    Ready
    | BootFailed
    | Beat
    | LeaseRenewed
    | SourceChanged
    | Interrupt
    | Replace
    | WorkersWanted
    | CrashSettled
    | Idle
    | Drained
    | CommitsLost
    | CallbackWanted
    | CallbackDone
    | AttemptsFailed
    | FailureTold
    | WorkerStarted
    | WorkerExited
    | TakeOver
    | NewOwner
    | TakeNewName
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
