"""Follows the progress of a few tasks in the database."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from goque.outcome import FailedAttempt
from goque.queue.manager import TaskQueueManager
from goque.task import Task, TaskStatus


class Progress:
    """Watches tasks until they have ended.

    Args:
        queue: the queue of the tasks.
        tasks: the enqueued tasks.
        root: the process id of the supervisor that runs them.
    """

    def __init__(self, queue: TaskQueueManager, tasks: list[Task], root: int) -> None:
        self.tasks = {task.id: task for task in tasks}
        self.failures: dict[str, list[FailedAttempt]] = {task.id: [] for task in tasks}
        self.processes: dict[int, str] = {}
        self._queue = queue
        self._root = root
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Return how many seconds have passed."""
        return time.monotonic() - self._began

    @property
    def ended(self) -> bool:
        """Return whether every task has ended."""
        return all(task.status.is_terminal for task in self.tasks.values())

    def task_of(self, task_type: str, payload: Any) -> Task:
        """Return the task of this type with this payload."""
        return next(
            task for task in self.tasks.values() if task.type == task_type and task.payload == payload
        )

    def next_lines(self) -> Iterator[str]:
        """Read the tasks once, and yield a line for each change."""
        for before in list(self.tasks.values()):
            if before.status.is_terminal:
                continue
            now = self._queue.get_task(before.id)
            yield from self._new_failures(now)
            self.tasks[now.id] = now
            if now.status.is_terminal:
                yield self._line(now, _ending(now))
                yield from self._name_processes()

    def _new_failures(self, task: Task) -> Iterator[str]:
        attempts = [row.failed for row in self._queue.storage.failed_attempts(task.id)]
        for failed in attempts[len(self.failures[task.id]) :]:
            text = failed.error.partition("\n")[0]
            yield self._line(task, f"attempt {failed.attempt} failed in process {failed.worker_pid}: {text}")
        self.failures[task.id] = attempts

    def _name_processes(self) -> Iterator[str]:
        """Remember the processes of the tree, and list them once; only on Linux."""
        first = not self.processes
        self.processes |= children_of(self._root)
        if first and self.processes:
            yield f"          the tree: process {self._root}, and below it"
            for pid, name in self.processes.items():
                yield f"            {pid:<7} {name}"

    def _line(self, task: Task, what: str) -> str:
        about = f" {task.payload}" if task.payload else ""
        return f"{self.seconds:5.2f}s  {task.type:<10} {about.strip():<11} {what}"


def _ending(task: Task) -> str:
    if task.status is TaskStatus.ATTEMPTS_LEFT:
        return f"given up after {task.attempts} attempts: status attempts_left"
    return f"{task.status} at attempt {task.attempts + 1}" if task.attempts else f"{task.status}"


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
