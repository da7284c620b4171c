"""The functions of the user that processes of their own call for one pool group: about crashes, and about failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from goque_supervisor.ipc.control import AttemptsFailed, CallbackDone, CallbackWanted, FailureTold, Message
from goque_supervisor.root.child import Child
from goque_supervisor.root.pools.crash_callbacks import CrashCallbacks
from goque_supervisor.root.pools.failure_reporter import FailureReporter
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import PoolGroupSpec

ROLES: Final = frozenset({"callback", "reporter"})


class UserFunctions:
    """Starts these processes, and passes on what they answer.

    Args:
        processes: the processes of the tree.
        timers: the root's.
        answer: called with the answer to each call about a crash.
    """

    def __init__(self, processes: Processes, timers: Timers, answer: Callable[[CallbackDone], None]) -> None:
        self._crashes = CrashCallbacks(processes, timers, answer)
        self._failures = FailureReporter(processes, timers)

    @property
    def is_reporting(self) -> bool:
        """Whether a failed attempt is not reported yet."""
        return self._failures.is_busy

    @property
    def are_called(self) -> bool:
        """Whether a crash or a failed attempt is not reported yet."""
        return self._crashes.is_busy or self._failures.is_busy

    def on_message(self, spec: PoolGroupSpec, child: Child, message: Message) -> bool:
        """Do what the fetcher or one of these processes asks for; returns whether the message is about them."""
        match message:
            case CallbackWanted():
                self._crashes.start(spec, message)
            case CallbackDone():
                self._crashes.on_done(child, message)
            case AttemptsFailed(failures):
                self._failures.add(spec, failures)
            case FailureTold():
                self._failures.on_told(child)
            case _:
                return False
        return True

    def end(self) -> None:
        """Kill these processes, because the tree stops now; a crash is settled as if its callback had said nothing."""
        self._crashes.end()
        self._failures.end()

    def on_ended(self, child: Child) -> None:
        """Go on after the end of one of these processes."""
        self._crashes.on_ended(child)
        self._failures.on_ended(child)

    def on_not_started(self, child: Child, why: str) -> None:
        """Go on after one that could not be started, or died at once."""
        self._crashes.on_ended(child)
        self._failures.on_not_started(child, why)
