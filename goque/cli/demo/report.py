"""Compares what happened in `goque demo` with what it promises, and tells of the crash in a few lines."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from goque.cli.demo.load import BROKEN, CALLS
from goque.cli.demo.progress import Progress
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

STACK_LINES: Final = 3


class Report:
    """Compares the ends of all tasks with the promises.

    Args:
        queue: the queue of the tasks.
        progress: of tasks that have all ended.
        files: how many files there were to render.
    """

    def __init__(self, queue: TaskQueueManager, progress: Progress, files: int) -> None:
        self.progress = progress
        self.files = files
        self.counts = {(count.type, count.status): count.count for count in queue.storage.count_tasks()}
        found = [task for task in progress.failed.values() if task.payload == BROKEN]
        self.broken: Task | None = found[0] if found else None
        self._charged = [task for task in queue.get_tasks(DONE_FILES, files + 1) if task.attempts]

    @property
    def crashes(self) -> list[FailedAttempt]:
        """Return the failed attempts of the broken file."""
        return self.progress.failures.get(self.broken.id, []) if self.broken else []

    def promises(self) -> dict[str, bool]:
        """Return each promise about tasks, and whether it was kept."""
        return {
            f"the broken file killed its worker twice, and no other of {self.files} files lost an attempt": (
                self._has_crashed() and self._others_are_done()
            ),
            "another worker took the place of each dead one": self._was_replaced(),
            f"{CALLS} calls waited side by side in one process; those that failed were tried again": (
                self._calls_are_done()
            ),
        }

    def last_promises(self, exit_code: int) -> dict[str, bool]:
        """Return each promise about the end of the tree, and whether it was kept."""
        left = [pid for pid, name in self.progress.processes.items() if still_runs(pid, name)]
        return {"the tree stopped when asked, with exit code 0, and left no process": not (exit_code or left)}

    def crash_lines(self) -> Iterator[str]:
        """Yield what goque knows of the last crash."""
        if self.broken is None or not self.crashes:
            return
        last = self.crashes[-1]
        memory = f", {last.max_rss / 2**20:.0f} MiB" if last.max_rss else ""
        yield f"{self.broken.type} {self.broken.raw_payload}: {last.error}"
        yield f"attempt {last.attempt}, in process {last.worker_pid} after {last.duration or 0:.2g}s{memory}"
        stack = [line.strip() for line in (last.stack or "").splitlines() if line.strip().startswith("File ")]
        if stack:
            yield "the Python stack when it died:"
            yield from (f"  {line}" for line in stack[:STACK_LINES])

    def _has_crashed(self) -> bool:
        signals = [failed.signal for failed in self.crashes]
        return (
            self.counts.get(("highlight", TaskStatus.ATTEMPTS_LEFT)) == 1 and signals == [signal.SIGSEGV] * 2
        )

    def _others_are_done(self) -> bool:
        return self.counts.get(("highlight", TaskStatus.DONE)) == self.files and not self._charged

    def _was_replaced(self) -> bool:
        pids = [failed.worker_pid for failed in self.crashes]
        return len(pids) == len(set(pids)) == 2

    def _calls_are_done(self) -> bool:
        tried_again = [task for task in self.progress.failed.values() if task.type == "call_api"]
        return bool(tried_again) and self.counts.get(("call_api", TaskStatus.DONE)) == CALLS


DONE_FILES: Final = TaskFilter(task_type="highlight", status=TaskStatus.DONE)


def still_runs(pid: int, name: str) -> bool:
    """Return whether a process has this id and this name."""
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8").strip() == name
    except OSError:
        return False
