"""Adds that nobody waits for: a bounded line of tasks, and a thread that inserts them.

The thread lives while there is something to insert. It is no daemon, so the interpreter waits for it before it
exits, in a process of multiprocessing's too; a forked child begins with an empty line.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Final

from goque.errors import DatabaseUnavailableError, DuplicateTaskError, GoqueError
from goque.identifiers import internal_id
from goque.task import Task

MAX_WAITING: Final = 1000
BATCH: Final = 100

log: Final = logging.getLogger("goque.background")
_all: Final[weakref.WeakSet[BackgroundAdds]] = weakref.WeakSet()


class BackgroundAdds:
    """Inserts tasks in a thread of its own, in batches; what cannot be inserted is logged.

    Args:
        insert: inserts tasks in one transaction, leaves out those whose place is taken, and returns the rest.
        most_waiting: how many tasks wait until `add` waits too.
    """

    def __init__(self, insert: Callable[[list[Task]], list[Task]], most_waiting: int = MAX_WAITING) -> None:
        self._insert = insert
        self._most_waiting = most_waiting
        self.start_anew()
        _all.add(self)

    def start_anew(self) -> None:
        """Forget what waits: after a fork it is the parent's, and so is the thread."""
        self._changed = threading.Condition()
        self._waiting: deque[Task] = deque()
        self._thread: threading.Thread | None = None

    def add(self, task: Task) -> None:
        """Put a task in the line; waits while the line is full."""
        while not self.offer(task):
            with self._changed:
                self._changed.wait_for(lambda: len(self._waiting) < self._most_waiting)

    def offer(self, task: Task) -> bool:
        """Put a task in the line, or return False if it is full."""
        with self._changed:
            if len(self._waiting) >= self._most_waiting:
                return False
            self._waiting.append(task)
            self._see_to_the_thread()
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until nothing is in the line nor being inserted; returns False if that takes longer."""
        with self._changed:
            self._see_to_the_thread()
            return self._changed.wait_for(lambda: not self._waiting and self._thread is None, timeout)

    def _see_to_the_thread(self) -> None:
        """Start the thread if there is work for one; an exception may have come between a task and its thread."""
        if not self._waiting or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._run, name="goque-background-adds", daemon=False)
        try:
            self._thread.start()
        except RuntimeError:  # the interpreter is past starting threads
            self._run()

    def _run(self) -> None:
        while batch := self._next_batch():
            self._insert_or_log(batch)

    def _next_batch(self) -> list[Task]:
        with self._changed:
            batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            if not batch:
                self._thread = None
            self._changed.notify_all()
        return batch

    def _insert_or_log(self, tasks: list[Task]) -> None:
        try:
            inserted = {task.id for task in self._insert(tasks)}
        except Exception as error:  # noqa: BLE001 - the thread goes on, and the log tells
            if len(tasks) == 1 or isinstance(error, DatabaseUnavailableError):
                for task in tasks:
                    _log_lost(task, error)
            else:
                for task in tasks:  # one of them may be at fault, and the others not
                    self._insert_or_log([task])
            return
        for task in tasks:
            if task.id not in inserted and not _debounces(task):
                _log_lost(task, _duplicate(task))


def _debounces(task: Task) -> bool:
    """Return whether a task that was not inserted gave its content to the one that waits."""
    return task.unique_rule is not None and task.unique_rule.debounce is not None


def _duplicate(task: Task) -> DuplicateTaskError:
    """Name what is taken: it is the unique key where goque made the external id."""
    has_own_id = task.external_id != internal_id(task.id)
    return DuplicateTaskError(task.type, task.external_id, unique_key=None if has_own_id else task.unique_key)


def _log_lost(task: Task, error: Exception) -> None:
    log.error(
        "task of type %r with external id %r could not be added in the background: %s",
        task.type,
        task.external_id,
        error,
        exc_info=None if isinstance(error, GoqueError) else error,
        extra={"task_type": task.type, "task_id": task.id},
    )


def _after_fork() -> None:
    for adds in list(_all):
        adds.start_anew()


def _at_exit() -> None:
    for adds in list(_all):  # threads are joined before this; what is added by others at exit is not
        adds.wait()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
