"""The tasks that a fetcher holds, each from its claim until its end is committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from goque.outcome import Outcome, OutcomeKind
from goque.task import TaskRow

if TYPE_CHECKING:
    from goque_supervisor.fetcher.worker_handle import WorkerHandle

UNSTARTED: Final = Outcome(OutcomeKind.UNSTARTED)


@dataclass(slots=True, eq=False)
class ClaimedTask:
    """One claimed task.

    Attributes:
        row: the task as claimed.
        seq: the number of its last dispatch, 0 before the first.
        sent_at: when it was sent (CLOCK_MONOTONIC seconds), 0 while it waits.
        marked: whether `processing` is written.
        canceled: whether somebody else has moved it, so that it must not begin.
        outcome: how it ended, while that is not written yet.
        worker: the worker that it was last sent to.
    """

    row: TaskRow
    seq: int = 0
    sent_at: float = 0.0
    marked: bool = False
    canceled: bool = False
    outcome: Outcome | None = None
    worker: WorkerHandle | None = None


class InFlight:
    """All tasks that a fetcher has claimed: some wait for a worker, some run, some have ended and are to be written.

    Args:
        may_wait: says of a task that has not begun whether it may wait here for a worker; if not it goes back to the
            table.
    """

    def __init__(self, may_wait: Callable[[ClaimedTask], bool]) -> None:
        self.by_id: dict[str, ClaimedTask] = {}
        self.waiting: deque[ClaimedTask] = deque()
        self.ended: list[ClaimedTask] = []
        self._may_wait = may_wait

    def __len__(self) -> int:
        return len(self.by_id)

    def take(self, rows: Iterable[TaskRow]) -> None:
        """Hold newly claimed tasks; they wait for a worker."""
        for row in rows:
            task = ClaimedTask(row)
            self.by_id[row.id] = task
            self.waiting.append(task)

    def take_over(self, rows: Iterable[TaskRow]) -> None:
        """Hold tasks that an earlier fetcher has claimed; where they are is not known yet."""
        for row in rows:
            self.by_id[row.id] = ClaimedTask(row)

    def requeue(self, task: ClaimedTask) -> None:
        """Put a task that has not begun back in line, or back into the table."""
        task.sent_at = 0.0
        if task.canceled or not self._may_wait(task):
            self.end(task, UNSTARTED)
        else:
            self.waiting.append(task)

    def give_back_waiting(self) -> None:
        """Send all waiting tasks back into the table."""
        while self.waiting:
            self.end(self.waiting.popleft(), UNSTARTED)

    def end(self, task: ClaimedTask, outcome: Outcome) -> None:
        """Note how a task ended, to be written."""
        task.outcome = outcome
        self.ended.append(task)

    def stop_waiting(self, task: ClaimedTask) -> bool:
        """Take a task out of the line, if it is in it, to be given up."""
        try:
            self.waiting.remove(task)
        except ValueError:
            return False
        self.end(task, UNSTARTED)
        return True

    def is_unwritten(self, seq: int) -> bool:
        """Return whether the task of this dispatch is still in flight, so that only the black box outlives us."""
        return any(task.seq == seq for task in self.by_id.values())

    def forget(self, task: ClaimedTask) -> None:
        """Hold a task no longer: its end is committed."""
        del self.by_id[task.row.id]
        if task.worker is not None:
            task.worker.acknowledged.append(task.seq)
