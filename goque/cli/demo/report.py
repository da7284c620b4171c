"""Compares what happened in `goque demo` with what it promises."""

from __future__ import annotations

import signal
from pathlib import Path

from goque.cli.demo.progress import Progress
from goque.task import Task, TaskStatus


class Report:
    """Compares the progress with the promises.

    Args:
        progress: of tasks that have all ended.
        exit_code: the exit code of the tree.
    """

    def __init__(self, progress: Progress, exit_code: int) -> None:
        self.progress = progress
        self.exit_code = exit_code
        self.broken = progress.task_of("resize", "broken.png")

    def promises(self) -> dict[str, bool]:
        """Return each promise, and whether it was kept."""
        return {
            "greet succeeded at once": self._is_done(self.progress.task_of("greet", "world"), attempts=0),
            "call_api failed once and succeeded at its second attempt": self._is_done(
                self.progress.task_of("call_api", {}), attempts=1
            ),
            "the broken image killed its worker twice, and both times the report names it": self._crashed(),
            "a new worker took the place of the dead one": self._was_replaced(),
            "the other images went through the same worker and were charged nothing": self._others_done(),
            "the tree stopped when asked, with exit code 0": self.exit_code == 0,
            "no process of it is left": not any(
                still_runs(*item) for item in self.progress.processes.items()
            ),
        }

    def _is_done(self, task: Task, *, attempts: int) -> bool:
        failures = self.progress.failures[task.id]
        return task.status is TaskStatus.DONE and task.attempts == attempts == len(failures)

    def _crashed(self) -> bool:
        signals = [failed.signal for failed in self.progress.failures[self.broken.id]]
        return self.broken.status is TaskStatus.ATTEMPTS_LEFT and signals == [signal.SIGSEGV] * 2

    def _was_replaced(self) -> bool:
        pids = [failed.worker_pid for failed in self.progress.failures[self.broken.id]]
        return len(pids) == len(set(pids)) == 2

    def _others_done(self) -> bool:
        return all(
            self._is_done(task, attempts=0)
            for task in self.progress.tasks.values()
            if task.type == self.broken.type and task.id != self.broken.id
        )


def still_runs(pid: int, name: str) -> bool:
    """Return whether a process has this id and this name."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == name
    except OSError:
        return False
