"""The progress of running tasks, on its way from the black boxes to the table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from goque.steps.question import Progress
from goque.task_row import Token
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.ipc.box_records import Running, RunProgress

WRITE_PERIOD: Final = 1.0
"""The shortest time in seconds between two writes of one task's progress."""


class ProgressWriter:
    """Writes how far tasks are: what has changed, and at most once a second for each task.

    Each look at a running task finds its newest progress. So the last one before a silence is written too, as soon as
    a second has passed. What a run that is not done has reported last comes with its end.

    Args:
        write: writes the progress of some claims; returns whether the database has answered.
    """

    def __init__(self, write: Callable[[list[tuple[Token, Progress]]], bool]) -> None:
        self._write = write
        self._written: dict[int, tuple[RunProgress, float]] = {}  # by the number of the job

    def write_changes(self, reported: Iterable[tuple[ClaimedTask, Running]], now: float) -> bool:
        """Write what is due.

        Args:
            reported: all tasks that run and have reported progress, with their records.
            now: CLOCK_MONOTONIC seconds.

        Returns:
            whether anything was written.
        """
        running = {record.seq: (task, record.progress) for task, record in reported if record.progress}
        self._written = {seq: entry for seq, entry in self._written.items() if seq in running}
        due = {seq: pair for seq, pair in running.items() if self._is_due(seq, pair[1], now)}
        if not due or not self._write([(task.row.token, _shown(found)) for task, found in due.values()]):
            return False
        self._written |= {seq: (found, now) for seq, (_task, found) in due.items()}
        return True

    def write_last(self, ended: Iterable[ClaimedTask]) -> None:
        """Write how far runs were when they ended, while their claims still hold; it was not looked at since."""
        last = [
            (task.row.token, task.outcome.progress)
            for task in ended
            if task.outcome is not None and task.outcome.progress is not None
        ]
        if last:
            self._write(last)

    def _is_due(self, seq: int, found: RunProgress, now: float) -> bool:
        written = self._written.get(seq)
        return written is None or (written[0] != found and now - written[1] >= WRITE_PERIOD)


def with_progress(
    tasks: Iterable[ClaimedTask], running: Mapping[int, Running]
) -> list[tuple[ClaimedTask, Running]]:
    """Return those of some running tasks that have reported progress, with their records."""
    return [(task, running[task.seq]) for task in tasks if running[task.seq].progress is not None]


def _shown(found: RunProgress) -> Progress:
    return Progress(found.fraction, found.note)
