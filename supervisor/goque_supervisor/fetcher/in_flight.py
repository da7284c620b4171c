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
        mate: the worker that it was last sent to.
    """

    row: TaskRow
    seq: int = 0
    sent_at: float = 0.0
    marked: bool = False
    canceled: bool = False
    outcome: Outcome | None = None
    mate: WorkerHandle | None = None


class InFlight:
    """All held tasks of a fetcher: some wait for a worker, some run, some have ended and are to be written.

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
            held = ClaimedTask(row)
            self.by_id[row.id] = held
            self.waiting.append(held)

    def adopt(self, rows: Iterable[TaskRow]) -> None:
        """Hold tasks that an earlier fetcher has claimed; where they are is not known yet."""
        for row in rows:
            self.by_id[row.id] = ClaimedTask(row)

    def wait_again(self, held: ClaimedTask) -> None:
        """Put a task that has not begun back in line, or back into the table."""
        held.sent_at = 0.0
        if held.canceled or not self._may_wait(held):
            self.end(held, UNSTARTED)
        else:
            self.waiting.append(held)

    def give_back_waiting(self) -> None:
        """Send all waiting tasks back into the table."""
        while self.waiting:
            self.end(self.waiting.popleft(), UNSTARTED)

    def end(self, held: ClaimedTask, outcome: Outcome) -> None:
        """Note how a task ended, to be written."""
        held.outcome = outcome
        self.ended.append(held)

    def stop_waiting(self, held: ClaimedTask) -> bool:
        """Take a task out of the line, if it is in it, to be given up."""
        try:
            self.waiting.remove(held)
        except ValueError:
            return False
        self.end(held, UNSTARTED)
        return True

    def is_unwritten(self, seq: int) -> bool:
        """Return whether the task of this dispatch is held still, so that only the black box outlives us."""
        return any(held.seq == seq for held in self.by_id.values())

    def forget(self, held: ClaimedTask) -> None:
        """Hold a task no longer: its end is committed."""
        del self.by_id[held.row.id]
        if held.mate is not None:
            held.mate.acknowledged.append(held.seq)
