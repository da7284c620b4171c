"""Random histories against a dictionary that knows the contract's table of moves and nothing of SQL."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from conftest import make
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from goque.errors import TaskStateError
from goque.outcome import Outcome, OutcomeKind, RetryPolicy, settle
from goque.retry import static
from goque.task import TERMINAL_STATUSES, Task, TaskRow, TaskStatus

POLICY = RetryPolicy(max_attempts=2, strategy=static(10))
RUNNING = ("pending", "processing")


class StorageAgainstModel(RuleBasedStateMachine):
    kind: ClassVar[str]
    tasks = Bundle("tasks")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._backend = make(self.kind, Path(self._folder.name))
        self._nodes = {owner: self._backend.new_storage() for owner in ("node-1", "node-2")}
        self._storage = self._nodes["node-1"]
        self._storage.migrate()
        self._clock = self._backend.clock
        self._model: dict[str, TaskRow] = {}

    def teardown(self) -> None:
        self._backend.close()
        self._folder.cleanup()

    @rule(target=tasks, priority=st.integers(-2, 2), delay=st.sampled_from([0, 5]))
    def add(self, priority: int, delay: float) -> str:
        [task] = self._storage.insert_tasks([Task("mail", priority=priority, delay=delay)])
        self._model[task.id] = self._storage.get_task(task.id)
        return task.id

    @rule(seconds=st.sampled_from([0.5, 5, 20]))
    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)

    @rule(target=claims, owner=st.sampled_from(["node-1", "node-2"]), limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> list[TaskRow]:
        due = [
            row
            for row in self._model.values()
            if row.status in ("new", "error")
            and row.claimed_by is None
            and row.next_attempt_at <= self._clock.now
        ]
        due.sort(key=lambda row: (-row.priority, row.next_attempt_at))
        rows = self._nodes[owner].claim_due("mail", owner, limit)
        rank = [(row.priority, row.next_attempt_at) for row in rows]
        assert rank == [(row.priority, row.next_attempt_at) for row in due[:limit]]
        for row in rows:
            self._change(row.id, status="pending", claimed_by=owner, claims=self._model[row.id].claims + 1)
        return rows

    @rule(rows=claims)
    def start(self, rows: list[TaskRow]) -> None:
        self._storage.mark_processing([row.token for row in rows])
        for row in rows:
            if self._holds(row) and self._model[row.id].status == "pending":
                self._change(row.id, status="processing")

    @rule(rows=claims, kind=st.sampled_from(OutcomeKind))
    def end(self, rows: list[TaskRow], kind: OutcomeKind) -> None:
        changes = [settle(Outcome(kind, "why", delay=3.0), row, POLICY) for row in rows]
        written = self._storage.settle_if_held(changes)
        assert written == {
            row.token for row in rows if self._holds(row) and self._model[row.id].status in RUNNING
        }
        for row, change in zip(rows, changes, strict=True):
            if change.token in written:
                self._settle(row, change)
            elif self._holds(row):
                self._model[row.id].claimed_by = None

    def _settle(self, row, change) -> None:
        known = self._model[row.id]
        fields = {
            "status": change.status.value,
            "attempts": change.attempts,
            "lost_claims": change.lost_claims,
        }
        self._change(row.id, **fields, claimed_by=None, errors=change.errors or known.errors)
        if change.delay is not None:
            self._model[row.id].next_attempt_at = self._after(change.delay)

    @rule(task_id=tasks)
    def cancel(self, task_id: str) -> None:
        open_ = TaskStatus(self._model[task_id].status) not in TERMINAL_STATUSES
        assert self._storage.cancel_unless_finished(task_id) == open_
        if open_:
            self._change(task_id, status="canceled")

    @rule(task_id=tasks)
    def reset(self, task_id: str) -> None:
        known = self._model[task_id]
        try:
            changed = self._storage.reset_unless_claimed(task_id)
        except TaskStateError:
            assert known.claimed_by is not None
            return
        assert known.claimed_by is None
        assert changed == (known.status != "new")
        if changed:
            line = f"reset attempts: {self._clock.now:%Y-%m-%dT%H:%M:%S.%fZ}\n"
            self._change(task_id, status="new", attempts=0, lost_claims=0, errors=(known.errors or "") + line)
            self._model[task_id].next_attempt_at = self._clock.now

    @invariant()
    def the_table_is_what_the_model_says(self) -> None:
        for task_id, known in self._model.items():
            assert self._storage.get_task(task_id) == known

    @invariant()
    def owners_hold_what_the_model_says(self) -> None:
        for owner, storage in self._nodes.items():
            held = {row.id for row in storage.held_tasks(owner)}
            assert held == {row.id for row in self._model.values() if row.claimed_by == owner}

    def _holds(self, row: TaskRow) -> bool:
        known = self._model[row.id]
        return (known.claimed_by, known.claims) == (row.claimed_by, row.claims)

    def _change(self, task_id: str, **fields: object) -> None:
        for name, value in {**fields, "updated_at": self._clock.now}.items():
            setattr(self._model[task_id], name, value)

    def _after(self, delay: float) -> datetime:
        return self._clock.now + timedelta(seconds=delay)


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 60), ("postgresql", 20), ("mysql", 20)])
def test_any_history_is_what_the_model_says(kind, examples):
    machine = type("Machine", (StorageAgainstModel,), {"kind": kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=40, deadline=None)
    )
