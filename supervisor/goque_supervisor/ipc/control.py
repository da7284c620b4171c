"""The messages between the root supervisor and its children: frozen data, sent as frames over a `Channel`.

Standard library only, because the root uses it. A frame is a length (4 bytes, network order) and JSON
`[name, fields]`.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Final, TypeAlias

from goque_supervisor.ipc.record import Record

# -- from any child to the root ---------------------------------------------------------------------


class Ready(Record):
    """This child has booted and works now; `info` has data for the root."""

    info: dict[str, Any]


class BootFailed(Record):
    """This child cannot work: the reason in one sentence, and the exit code for `goque supervise`."""

    message: str
    exit_code: int


class Beat(Record):
    """The loop of this child runs."""


class DatabaseAway(Record):
    """The database does not answer this child; `text` says so in a line for the log."""

    text: str


class DatabaseBack(Record):
    """The database answers this child again."""


class LeaseRenewed(Record):
    """A heartbeat of this node, sent at this CLOCK_MONOTONIC second, is written to the database, with this number."""

    sent_at: float
    seq: int = 0


class SourceChanged(Record):
    """Files of the app have changed: some of their paths, and the number of all changed files."""

    paths: list[str]
    count: int


# -- from a fetcher to the root ---------------------------------------------------------------------


class Interrupt(Record):
    """Ask the root to stop a running task: with a signal first, and with SIGKILL after `grace` seconds."""

    incarnation: int
    seq: int
    reason: str
    grace: float


class StackWanted(Record):
    """Ask the root to let a worker write its stack, which it does at a signal."""

    incarnation: int


class Replace(Record):
    """Ask the root to replace a worker that has no jobs left."""

    incarnation: int
    reason: str


class WorkersWanted(Record):
    """How many workers the pool wants now: for `def` handlers, and for `async def` handlers."""

    plain: int
    asynchronous: int


class CrashSettled(Record):
    """All outcomes of a dead worker are in the database: its files may be deleted."""

    incarnation: int


class Idle(Record):
    """Whether no task runs or could run now; `check` repeats the number of the root's CheckIdle."""

    idle: bool
    check: int = 0


class Drained(Record):
    """This fetcher has no task in flight any more; `unwritten` counts the outcomes that it could not write."""

    unwritten: int = 0


class CommitsLost(Record):
    """The database has lost commits of this owner that it had acknowledged; `what` describes one of them."""

    owner: str
    what: str


class CallbackWanted(Record):
    """Ask the root to call the functions of a type's processor about a crash, in a separate process."""

    call: int
    task_type: str
    crash: str


class CallbackDone(Record):
    """The answer of the user's functions: the delay until the next attempt, None if they gave none."""

    call: int
    delay: float | None = None


class AttemptsFailed(Record):
    """Attempts that have failed, each as JSON, for the `on_failure` of the app."""

    failures: list[str]


class FailureTold(Record):
    """One call of `on_failure` has ended."""


# -- from the root to its children -------------------------------------------------------------------


class WorkerStarted(Record):
    """A worker exists: its black box, its name on the wire, if it is async, and the version of the app that it runs."""

    slot: int
    incarnation: int
    pid: int
    identity: str
    box: str
    is_async: bool = False
    app_version: str | None = None


class WorkerExited(Record):
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
    app_version: str | None = None


class TakeOver(Record):
    """The first message to a fetcher: its epoch, its owner names, and the workers of the last fetcher.

    The owner is empty while the node has no lease. This tree claimed tasks under the former owners before.
    """

    epoch: int
    owner: str
    former_owners: list[str]
    live: list[WorkerStarted]
    dead: list[WorkerExited]


class NewOwner(Record):
    """Claim under this name from now on; if it is empty, claim nothing until the next NewOwner."""

    owner: str


class TakeNewName(Record):
    """Register this node under a new name, if its name is still this one; only the lease gets this."""

    owner: str


class Retire(Record):
    """Send this worker no more jobs, and ask for its replacement when it is idle."""

    incarnation: int
    reason: str


class PauseClaiming(Record):
    """Stop or resume claiming, because a type whose workers cannot boot must not claim tasks."""

    hold: bool


class Drain(Record):
    """Claim nothing more, release tasks that have not started, send Drained when no task is in flight."""


class CheckIdle(Record):
    """Check for tasks now, and answer with Idle and the same `check`."""

    check: int


class TreeState(Record):
    """The state of the tree: for the monitor, and for the lease with the list of its processes."""

    state: dict[str, Any]


class Stop(Record):
    """End as soon as the current work is done."""


# -- between the root and a nursery -------------------------------------------------------------------


class StartChild(Record):
    """Start a process. The socket that comes with this message is its control channel."""

    key: int
    boot: dict[str, Any]


class ChildStarted(Record):
    """The process exists."""

    key: int
    pid: int


class StartFailed(Record):
    """The process could not be started: the system lacks processes, memory or descriptors, or the app's fork died."""

    key: int
    message: str
    died: bool = False


class ProtocolError(Record):
    """A channel returns this instead of bytes that are not a message. It reads nothing more from that peer."""

    why: str


Message: TypeAlias = (
    Ready
    | BootFailed
    | Beat
    | DatabaseAway
    | DatabaseBack
    | LeaseRenewed
    | SourceChanged
    | Interrupt
    | StackWanted
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


def _plain(message: Record) -> dict[str, Any]:
    values = message.fields()
    for key in _NESTED.get(type(message).__name__, {}):
        values[key] = [_plain(item) for item in values[key]]
    return values
