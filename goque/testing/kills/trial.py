"""Runs one task again and again, each time in a process of its own, and keeps its steps meanwhile."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import msgspec

from goque.errors import GoqueError
from goque.execution.inline import row_of, run_row
from goque.execution.inline_steps import AwaitedSteps, MemorySteps, TableSteps
from goque.handlers.processor_table import processors_of
from goque.payload import decode_json
from goque.queue.manager_base import ManagerBase
from goque.task import Task
from goque.task_rules.need import Need
from goque.testing.kills.claimed_task import claimed_task
from goque.testing.kills.doomed_run import TOLD, Asked, DoomedSteps, Ended, Reached, RecordIn, run_and_exit
from goque.testing.kills.step_keeper import StepKeeper

if TYPE_CHECKING:
    from goque.registry import Registry


class Trial:
    """One task, its processor, and what keeps its steps.

    Args:
        registry: has the processor.
        task: the task, the same in each run.
        keeper: answers about steps.
        needs: what the handler finds in `task.needs`.
        queue: has the table of the steps; None to keep them in memory.
    """

    def __init__(
        self,
        registry: Registry,
        task: Task,
        keeper: StepKeeper,
        needs: Sequence[Need],
        queue: ManagerBase | None,
    ) -> None:
        self._registry = registry
        self._task = task
        self._keeper = keeper
        self._needs = needs
        self._queue = queue

    @contextmanager
    def without_steps(self) -> Iterator[None]:
        """Let the task begin without recorded steps; the runs in the block share those that they record."""
        if self._queue is None:
            self._keeper.kept = MemorySteps()
            yield
        else:
            processor = processors_of(self._registry).get(self._task.type)
            with claimed_task(self._queue, processor, self._task) as self._keeper.kept:
                yield

    def run(self, dies_at: int | None, attempts: int = 0) -> tuple[list[str], Ended | None]:
        """Run the handler once; return the points that it has come to, and its end, None if it was killed.

        Args:
            dies_at: the point at which its process kills itself, from 0; None lets it live.
            attempts: how many attempts have failed before.

        Raises:
            GoqueError: its process has died without being killed.
        """
        record_in = self._record_in()
        row = row_of(self._task, attempts, self._needs)
        ours, theirs = Pipe()
        pid = _fork()
        if pid == 0:
            run_and_exit(
                lambda steps: run_row(self._registry, row, steps), DoomedSteps(theirs, dies_at, record_in)
            )
        theirs.close()
        is_over = False
        try:
            points, last = self._serve(ours)
            is_over = True
        finally:
            ours.close()
            if not is_over:  # the time limit of the test, or Ctrl-C
                os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if last is None:
            where = f"at or after the point `{points[-1]}`" if points else "before its first point"
            raise GoqueError(f"the process of the handler died {where}, by itself: {_cause(status)}")
        return points, last if isinstance(last, Ended) else None

    def _record_in(self) -> RecordIn | None:
        kept = self._keeper.kept
        if not isinstance(kept, TableSteps):
            return None
        is_async = processors_of(self._registry).get(self._task.type).spec.is_async
        return AwaitedSteps(kept).record_in if is_async else kept.record_in

    def _serve(self, pipe: Connection) -> tuple[list[str], Ended | Reached | None]:
        """Answer a run until it has ended, kills itself, or is gone without a word."""
        points: list[str] = []
        while True:
            try:
                told = TOLD.decode(pipe.recv_bytes())
            except (EOFError, ConnectionResetError):
                return points, None
            match told:
                case Asked(question):
                    pipe.send_bytes(msgspec.msgpack.encode(self._keeper.answer(question)))
                case Reached(point, is_last):
                    points.append(point)
                    if is_last:
                        return points, told
                case Ended():
                    return points, told

    def left(self, ended: Ended) -> dict[str, Any]:
        """Return what a run has left behind, as far as goque knows it."""
        known: dict[str, Any] = {
            "returned": decode_json(ended.returned, "what the handler returned"),
            "steps": self._keeper.recorded(),
        }
        if ended.follow_ups:
            known["follow_ups"] = [(name, decode_json(raw, "payload")) for name, raw in ended.follow_ups]
        return known


def _fork() -> int:
    """Fork this process, with nothing in its buffers that both would write."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "(?s).*multi-threaded, use of fork", DeprecationWarning)
        return os.fork()


def _cause(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.Signals(-code).name})"
