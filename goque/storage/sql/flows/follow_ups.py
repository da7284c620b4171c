"""Insert the tasks and flows that handlers left behind, in the transaction that writes their ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from goque.outcome import Change
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.flows.insert import FlowInsertSteps
from goque.storage.sql.insert_rules import without_repeats
from goque.storage.sql.insert_steps import InsertSteps
from goque.storage.sql.session import Session
from goque.storage.sql.steps import Steps, run_steps
from goque.task_rules.uniqueness import ON_CONFLICT


class FollowUpInserts:
    """Inserts follow-ups, those of all handlers of a batch together.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._inserts = InsertSteps(dialect, _refuse_to_read_outside)
        self._flows = FlowInsertSteps(dialect, self._inserts)

    def insert(self, session: Session, changes: Sequence[Change]) -> set[str]:
        """Insert the follow-ups of these changes, which are written, and return their types.

        Raises:
            DuplicateTaskError: the place of one is taken. Its transaction must be taken back: which of the changes has
                this follow-up is found when they are written one by one.
            TaskNotFoundError: a flow needs a task that does not exist; the same.
        """
        types: set[str] = set()
        for on_conflict in ON_CONFLICT:
            tasks = [
                new.task()
                for change in changes
                for new in change.follow_ups
                if new.on_conflict == on_conflict
            ]
            if tasks:
                wanted = without_repeats(tasks, on_conflict=on_conflict)
                steps = self._inserts.insert_many(wanted, on_conflict=on_conflict, undo=False)
                types |= {task.type for task in run_steps(session, steps)}
        for change in changes:
            for flow in change.flows:
                inserted = run_steps(session, self._flows.insert(flow.plan()))
                types |= {task.type for task in inserted}
        return types


def _refuse_to_read_outside(make: Callable[[], Steps[Any]]) -> NoReturn:
    raise AssertionError(f"a transaction of goque's own sees what is committed: {make}")
