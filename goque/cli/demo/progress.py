"""Follows the tasks of `goque demo` in the database, and says in lines what happens to them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

FAILED: Final = (TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT)
MAX_FAILED: Final = 100


class Progress:
    """Counts tasks until they have ended, and follows those that have failed one by one.

    Args:
        queue: the queue of the tasks.
        total: how many tasks there are.
        root: the process id of the supervisor that runs them.

    Attributes:
        done: how many tasks have ended.
        failed: each task that has failed once, as it was last read.
        failures: their failed attempts, by the id of the task.
        processes: the names of the tree's processes, by process id; empty on systems without /proc.
    """

    def __init__(self, queue: TaskQueueManager, total: int, root: int) -> None:
        self.total = total
        self.ended_tasks = 0
        self.failed: dict[str, Task] = {}
        self.failures: dict[str, list[FailedAttempt]] = {}
        self.processes: dict[int, str] = {}
        self._queue = queue
        self._root = root
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how many seconds have passed."""
        return time.monotonic() - self._began

    @property
    def has_ended(self) -> bool:
        """Return whether every task has ended."""
        return self.ended_tasks >= self.total

    def next_lines(self) -> Iterator[str]:
        """Read the tasks once, and yield a line for each thing that happened to one that failed."""
        counts = self._queue.storage.count_tasks()
        self.ended_tasks = sum(count.count for count in counts if TaskStatus(count.status).is_terminal)
        yield from self._name_processes()
        found = self._queue.get_tasks(TaskFilter(statuses=FAILED), MAX_FAILED)
        waiting = [task.id for task in self.failed.values() if not task.status.is_terminal]
        if waiting:
            found += self._queue.get_tasks(TaskFilter(ids=waiting), MAX_FAILED)
        for task in {task.id: task for task in found}.values():
            yield from self._changes(task)

    def _changes(self, task: Task) -> Iterator[str]:
        before = self.failed.get(task.id)
        self.failed[task.id] = task
        if before is None or task.attempts > before.attempts:
            yield from self._new_failures(task)
        if task.status.is_terminal and (before is None or not before.status.is_terminal):
            yield self._line(task, _ending(task))

    def _new_failures(self, task: Task) -> Iterator[str]:
        attempts = [row.failed for row in self._queue.storage.failed_attempts(task.id)]
        known = self.failures.get(task.id, [])
        for failed in attempts[len(known) :]:
            text = failed.error.partition("\n")[0]
            yield self._line(task, f"attempt {failed.attempt} failed in process {failed.worker_pid}: {text}")
        self.failures[task.id] = attempts

    def _name_processes(self) -> Iterator[str]:
        """Remember the processes of the tree; list them when the first task has ended. Only on Linux."""
        if not self.ended_tasks:
            return
        is_first = not self.processes
        self.processes |= children_of(self._root)
        if is_first and self.processes:
            roles = _roles(self.processes.values())
            yield f"{self.seconds:5.1f}s  the tree: process {self._root}, and below it {roles}"

    def _line(self, task: Task, what: str) -> str:
        return f"{self.seconds:5.1f}s  {task.type} {task.payload}: {what}"


def _ending(task: Task) -> str:
    if task.status is TaskStatus.ATTEMPTS_LEFT:
        return f"failed: no attempt is left after {task.attempts}"
    return f"{task.status} at attempt {task.attempts + 1}"


def _roles(names: Iterable[str]) -> str:
    """Return the roles of processes, each once, with the number of workers."""
    roles = [name.removeprefix("goque:") for name in names]
    others = sorted({role for role in roles if ":" not in role})
    return f"{sum(':' in role for role in roles)} workers, {', '.join(others)}"


def children_of(pid: int) -> dict[int, str]:
    """Return the names of a process's children, by process id; empty on systems without /proc."""
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            name, _, rest = (entry / "stat").read_text("utf-8", "replace").rpartition(")")
        except OSError:
            continue  # the process has just ended
        if int(rest.split()[1]) == pid:
            found[int(entry.name)] = name.partition("(")[2]
    return found
