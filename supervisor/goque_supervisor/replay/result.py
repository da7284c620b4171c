"""What a replay found out about one task."""

from __future__ import annotations

import msgspec

from goque.flows.task_to_insert import TaskToInsert
from goque.flows.withheld_writes import Withheld
from goque.options import ProcessorOptions
from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.task_row import TaskRow
from goque.task_rules.failed_attempt import FailedAttempt


class Replayed(msgspec.Struct, frozen=True):
    """One task that was replayed.

    Attributes:
        row: the task as its handler got it.
        outcome: how the run ended.
        options: the options of its type.
        max_rss: the peak memory of the worker in bytes, 0 if it is not known.
        withheld: what the handler would have changed in the queue itself, while it ran.
        known_steps: how many recorded steps the run was given.
        new_steps: the names of the steps that it ran.
        retiring: why a tree would replace the worker after this task; empty if it would not.
    """

    row: TaskRow
    outcome: Outcome
    options: ProcessorOptions
    max_rss: int = 0
    withheld: tuple[Withheld, ...] = ()
    known_steps: int = 0
    new_steps: tuple[str, ...] = ()
    retiring: str = ""

    @property
    def has_succeeded(self) -> bool:
        """Whether the task would be done."""
        return self.outcome.kind is OutcomeKind.DONE

    @property
    def change(self) -> Change:
        """What a tree would have written."""
        return settle(self.outcome, self.row, self.options.retry_policy)

    @property
    def failed(self) -> FailedAttempt | None:
        """The failed attempt, if it is one. That of a payload that does not decode has no line of the user's code."""
        failed = self.change.failed
        if failed is not None and self.outcome.undecodable:
            return msgspec.structs.replace(failed, traceback=None)
        return failed

    @property
    def enqueued(self) -> tuple[TaskToInsert, ...]:
        """The tasks that the handler would have enqueued itself."""
        return tuple(one.task for one in self.withheld if one.task is not None)

    @property
    def changes(self) -> tuple[Withheld, ...]:
        """What it would have changed besides."""
        return tuple(one for one in self.withheld if one.task is None)

    @property
    def follow_ups(self) -> tuple[TaskToInsert, ...]:
        """The tasks that a tree would have inserted with the end of the run, those of flows too."""
        flows = (task for flow in self.outcome.flows for task in flow.tasks)
        return (*self.outcome.follow_ups, *flows)
