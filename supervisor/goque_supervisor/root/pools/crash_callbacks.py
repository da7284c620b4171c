"""The processes that call a user's functions about a crash, each for one call and for a limited time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from goque_supervisor.ipc.control import CallbackDone, CallbackWanted
from goque_supervisor.root.child import Child
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import PoolGroupSpec

log = logging.getLogger("goque.supervisor")

CALLBACK_LIMIT: Final = 5.0


class CrashCallbacks:
    """The calls of one pool group that have no answer yet.

    Args:
        processes: the processes of the tree.
        timers: the root's.
        answer: called once for each call, with what the user's functions answered or with nothing.
    """

    def __init__(self, processes: Processes, timers: Timers, answer: Callable[[CallbackDone], None]) -> None:
        self._processes = processes
        self._timers = timers
        self._answer = answer
        self._calls: dict[int, tuple[Child, int]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a call has no answer yet."""
        return bool(self._calls)

    def start(self, spec: PoolGroupSpec, wanted: CallbackWanted) -> None:
        """Start a process for one call; a process that cannot be started answers nothing."""
        call = wanted.call
        boot = {"task_type": wanted.task_type, "crash": wanted.crash, "call": call}
        try:
            child = self._processes.start(spec.callback(call), boot)
        except OSError as error:
            log.error("the crash handler of type %r cannot be started: %s", wanted.task_type, error)  # noqa: TRY400 - the sentence tells all
            child = None
        if child is None:
            self._answer(CallbackDone(call))
            return
        self._calls[child.key] = child, call
        self._timers.after(CALLBACK_LIMIT, lambda: self._end_slow(child))

    def end(self) -> None:
        """Kill the processes that have not answered, because the tree stops now."""
        for child, _ in self._calls.values():
            if child.killed_for is None:
                self._processes.kill(child, "shutdown")

    def on_done(self, child: Child, message: CallbackDone) -> None:
        """Pass an answer on; the process runs its exit functions now, for a limited time."""
        if self._calls.pop(child.key, None) is not None:
            self._answer(message)
        self._processes.stop(child)

    def on_ended(self, child: Child) -> None:
        """Answer for a process that ended without an answer, or never started."""
        called = self._calls.pop(child.key, None)
        if called is not None:
            self._answer(CallbackDone(called[1]))

    def _end_slow(self, child: Child) -> None:
        if child.key in self._calls:
            log.error(
                "%s: the crash handler ran for more than %gs: killing it", child.spec.name, CALLBACK_LIMIT
            )
            self._processes.kill(child, "callback")
