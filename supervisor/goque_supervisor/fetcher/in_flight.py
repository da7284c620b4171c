"""The tasks in flight of one fetcher: each from its claim until its outcome is committed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Final

import msgspec

from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow

UNSTARTED: Final = Outcome(OutcomeKind.UNSTARTED)


class ClaimedTask(msgspec.Struct, eq=False):
    """One claimed task.

    Attributes:
        row: the task as claimed.
        seq: the number of its last dispatch, 0 before the first.
        sent_at: when it was sent (CLOCK_MONOTONIC seconds), 0 while it waits.
        marked: whether `processing` is written.
        canceled: whether another process has changed the row, so that the task must not start.
        outcome: how it ended, until that is written.
        incarnation: the worker that it was last sent to, None before the first dispatch.
        app_version: the version of the app in that worker, None if it has none.
        claimed_at: when it was claimed (CLOCK_MONOTONIC seconds), 0 if another fetcher has claimed it.
        ended_at: when its outcome was known.
    """

    row: TaskRow
    seq: int = 0
    sent_at: float = 0.0
    marked: bool = False
    canceled: bool = False
    outcome: Outcome | None = None
    incarnation: int | None = None
    app_version: str | None = None
    claimed_at: float = 0.0
    ended_at: float = 0.0

    @property
    def is_done(self) -> bool:
        """Whether its run has gone well."""
        return self.outcome is not None and self.outcome.kind is OutcomeKind.DONE

    @property
    def waited(self) -> float | None:
        """Seconds from when the task was due until it started; None if that is not known.

        The wait until the claim is measured by the database's clock, the rest by this machine's.
        """
        row, outcome = self.row, self.outcome
        if not self.claimed_at or outcome is None or row.updated_at is None:
            return None
        until_claimed = (row.updated_at - row.next_attempt_at).total_seconds()
        return max(0.0, until_claimed) + max(0.0, self.ended_at - outcome.duration - self.claimed_at)


class InFlight:
    """All tasks that a fetcher has claimed: some wait for a worker, some run, some have an outcome to write.

    Args:
        may_wait: decides whether a task that has not started may wait here for a worker. Otherwise it is released
            to the table.
        is_async: returns whether the handler of a type is `async def`, and so by which workers it is run.
    """

    def __init__(self, may_wait: Callable[[ClaimedTask], bool], is_async: Callable[[str], bool]) -> None:
        self.by_id: dict[str, ClaimedTask] = {}
        self.ended: list[ClaimedTask] = []
        self._waiting: tuple[deque[ClaimedTask], deque[ClaimedTask]] = (deque(), deque())
        self._may_wait = may_wait
        self._is_async = is_async

    def __len__(self) -> int:
        return len(self.by_id)

    def waiting(self, *, is_async: bool) -> deque[ClaimedTask]:
        """Return the tasks that wait for a worker of this kind."""
        return self._waiting[is_async]

    def number_alike(self, *, is_async: bool) -> int:
        """Return how many of them, from the first on, are of one type."""
        _task_type, of_type = next(groupby(self._waiting[is_async], key=lambda task: task.row.type))
        return sum(1 for _task in of_type)

    @property
    def number_waiting(self) -> int:
        """How many tasks wait for a worker."""
        return len(self._waiting[0]) + len(self._waiting[1])

    def number_of(self, task_type: str) -> int:
        """Return how many tasks of a type are in flight."""
        return sum(task.row.type == task_type for task in self.by_id.values())

    def add(self, rows: Iterable[TaskRow]) -> list[TaskRow]:
        """Add newly claimed tasks; they wait for a worker.

        A task that is in flight already is not run a second time. It continues under the new claim.

        Returns:
            The former rows of these tasks.
        """
        former: list[TaskRow] = []
        task_type, waiting, now = "", self._waiting[False], time.monotonic()
        for row in rows:
            task = self.by_id.get(row.id)
            if task is not None:
                former.append(task.row)
                task.row, task.marked, task.claimed_at = row, False, 0.0
                continue
            task = ClaimedTask(row, claimed_at=now)
            self.by_id[row.id] = task
            if row.type != task_type:
                task_type, waiting = row.type, self._waiting[self._is_async(row.type)]
            waiting.append(task)
        return former

    def take_over(self, rows: Iterable[TaskRow]) -> None:
        """Add tasks that an earlier fetcher has claimed. Their workers are still unknown."""
        for row in rows:
            self.by_id[row.id] = ClaimedTask(row)

    def requeue(self, task: ClaimedTask) -> None:
        """Let a task that has not started wait for a worker again, or release it to the table."""
        task.sent_at = 0.0
        if task.canceled or not self._may_wait(task):
            self.end(task, UNSTARTED)
        else:
            self._waiting[self._is_async(task.row.type)].append(task)

    def release_waiting(self, which: Callable[[ClaimedTask], bool] = lambda _task: True) -> None:
        """Release waiting tasks to the table: all, or those for which a function returns True."""
        for waiting in self._waiting:
            for task in [task for task in waiting if which(task)]:
                waiting.remove(task)
                self.end(task, UNSTARTED)

    def end(self, task: ClaimedTask, outcome: Outcome) -> None:
        """Record how a task ended; the next `settle` writes it."""
        task.outcome = outcome
        task.ended_at = time.monotonic()
        self.ended.append(task)

    def stop_waiting(self, task: ClaimedTask) -> bool:
        """Release a task if it waits for a worker; returns whether it did."""
        try:
            self._waiting[self._is_async(task.row.type)].remove(task)
        except ValueError:
            return False
        self.end(task, UNSTARTED)
        return True

    def is_unwritten(self, seq: int) -> bool:
        """Return whether the task of this dispatch is in flight: its outcome is not committed yet."""
        return any(task.seq == seq for task in self.by_id.values())

    def forget(self, tasks: Iterable[ClaimedTask]) -> None:
        """Remove tasks whose outcomes are committed."""
        for task in tasks:
            if self.by_id.get(task.row.id) is task:
                del self.by_id[task.row.id]
