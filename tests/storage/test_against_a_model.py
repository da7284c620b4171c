"""Random histories against a dictionary that knows the contract's table of moves and nothing of SQL.

Every claim that was ever made goes on to be written with, so most writers are stale; nodes die, the original writes
without a guard, old tasks are deleted, and time passes.
"""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import pytest
from backends import make
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from test_claiming import policy

from goque.errors import TaskNotFoundError, TaskStateError
from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.retry import static
from goque.storage.contract import DueLevel
from goque.task import Task
from goque.task_row import TERMINAL_STATUSES, TaskRow, TaskStatus
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.actors.healing import heal

POLICY = RetryPolicy(max_attempts=2, strategy=static(10))
HEALED_BY = policy("mail", max_attempts=2)
RUNNING = ("pending", "processing")
# One that is rate limited stops its type: test_limits.py.
ENDS = [kind for kind in OutcomeKind if kind is not OutcomeKind.RATE_LIMITED]


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
        self._failed: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def teardown(self) -> None:
        self._backend.close()
        self._folder.cleanup()

    @rule(target=tasks, priority=st.integers(-2, 2), delay=st.sampled_from([0, 0, 5]))
    def add(self, priority: int, delay: float) -> str:
        [task] = self._storage.insert_tasks([Task("mail", priority=priority, delay=delay)])
        self._model[task.id] = self._storage.get_task(task.id)
        return task.id

    @rule(seconds=st.sampled_from([0.5, 5, 20]))
    def wait(self, seconds: float) -> None:
        self._clock.advance(seconds)

    @rule(
        target=claims,
        owner=st.sampled_from(["node-1", "node-2"]),
        limit=st.integers(1, 3),
        priority=st.none() | st.integers(-2, 2),
    )
    def claim(self, owner: str, limit: int, priority: int | None) -> Any:
        due = [
            row
            for row in self._waiting()
            if row.next_attempt_at <= self._clock.now and priority in (None, row.priority)
        ]
        due.sort(key=lambda row: (-row.priority, row.next_attempt_at))
        rows = self._nodes[owner].claim_due("mail", owner, limit, priority=priority)
        rank = [(row.priority, row.next_attempt_at) for row in rows]
        assert rank == [(row.priority, row.next_attempt_at) for row in due[:limit]]
        for row in rows:
            self._change(row.id, status="pending", claimed_by=owner, claims=self._model[row.id].claims + 1)
        return multiple(*([rows] if rows else []))

    @rule(rows=claims)
    def start(self, rows: list[TaskRow]) -> None:
        self._storage.mark_processing([row.token for row in rows])
        for row in rows:
            if self._holds(row) and self._model[row.id].status == "pending":  # else a stale writer
                self._change(row.id, status="processing")

    @rule(rows=claims, kind=st.sampled_from(ENDS))
    def end(self, rows: list[TaskRow], kind: OutcomeKind) -> None:
        self._write(rows, [settle(Outcome(kind, "why", delay=3.0), row, POLICY) for row in rows])

    @rule(owner=st.sampled_from(["node-1", "node-2"]))
    def die(self, owner: str) -> None:
        rows = self._storage.claimed_by_owner(owner)
        changes = [heal(row, "node lost", HEALED_BY) for row in rows]
        self._write(rows, changes)
        assert self._storage.claimed_by_owner(owner) == []

    def _write(self, rows: list[TaskRow], changes: list[Change]) -> None:
        written = self._storage.settle_if_held(changes)
        assert written == {
            row.token for row in rows if self._holds(row) and self._model[row.id].status in RUNNING
        }
        for row, change in zip(rows, changes, strict=True):
            if change.token in written:
                self._settle(row, change)
            elif self._holds(row):
                self._model[row.id].claimed_by = None

    @rule(task_id=tasks, move=st.sampled_from(["claim", "start", "done", "cancel", "reset"]))
    def the_original_writes(self, task_id: str, move: str) -> None:
        known = self._model.get(task_id)
        if known is None or (move in ("claim", "start") and known.claimed_by is not None):
            return  # a type has one consumer library: the original claims none that ours hold
        status = {
            "claim": "pending",
            "start": "processing",
            "done": "done",
            "cancel": "canceled",
            "reset": "new",
        }
        fields = {"status": status[move], "attempts": 0 if move == "reset" else known.attempts}
        self._backend.execute(
            "UPDATE goque_task SET status = :status, attempts = :attempts, updated_at = :updated_at,"
            " next_attempt_at = :due WHERE id = :id",
            **fields,
            updated_at=self._backend.time(self._clock.now),
            due=self._backend.time(known.next_attempt_at),
            id=task_id,
        )
        self._change(task_id, **fields)

    @rule(age=st.sampled_from([1, 10]))
    def heal_what_nobody_owns(self, age: float) -> None:
        before = self._clock.now - timedelta(seconds=age)
        abandoned = {
            row.id
            for row in self._model.values()
            if row.status in RUNNING
            and row.claimed_by is None
            and (row.updated_at or row.created_at) < before
        }
        rows = self._storage.unowned_claims(age)
        assert {row.id for row in rows} == abandoned
        changes = [heal(row, "nobody's", None) for row in rows]
        assert len(self._storage.settle_unowned_if_unchanged(rows, changes)) == len(rows)
        for row, change in zip(rows, changes, strict=True):
            self._settle(row, change)

    @rule(age=st.sampled_from([1, 10]))
    def clean(self, age: float) -> None:
        before = self._clock.now - timedelta(seconds=age)
        old = {
            row.id
            for row in self._model.values()
            if TaskStatus(row.status) in TERMINAL_STATUSES
            and row.claimed_by is None
            and row.updated_at < before
        }
        assert self._storage.delete_finished("mail", TERMINAL_STATUSES, age) == len(old)
        for task_id in old:
            del self._model[task_id]
            assert self._storage.failed_attempts(task_id) == []
            assert self._storage.get_task(task_id) is None

    def _settle(self, row, change) -> None:
        known = self._model[row.id]
        if change.failed is not None:
            self._failed[row.id].append((change.failed.attempt, change.failed.cause))
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
        if task_id not in self._model:
            with pytest.raises(TaskNotFoundError):
                self._storage.cancel_unless_finished(task_id)
            return
        open_ = TaskStatus(self._model[task_id].status) not in TERMINAL_STATUSES
        assert self._storage.cancel_unless_finished(task_id) == open_
        if open_:
            self._change(task_id, status="canceled")

    @rule(task_id=tasks)
    def reset(self, task_id: str) -> None:
        known = self._model.get(task_id)
        try:
            changed = self._storage.reset_unless_claimed(task_id)
        except TaskNotFoundError:
            assert known is None
            return
        except TaskStateError:
            assert known.claimed_by is not None or known.status in RUNNING
            return
        assert known.claimed_by is None
        assert known.status not in RUNNING
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
    def the_levels_are_those_of_the_model(self) -> None:
        waits: dict[int, float] = {}
        for row in self._waiting():
            wait = max(0.0, (row.next_attempt_at - self._clock.now).total_seconds())
            waits[row.priority] = min(wait, waits.get(row.priority, wait))
        for storage in self._nodes.values():
            levels = storage.due_levels(["sms", "mail"])
            assert sorted(levels, key=lambda level: level.priority) == [
                DueLevel("mail", priority, wait) for priority, wait in sorted(waits.items())
            ]

    def _waiting(self) -> list[TaskRow]:
        return [
            row for row in self._model.values() if row.status in ("new", "error") and row.claimed_by is None
        ]

    @invariant()
    def owners_hold_what_the_model_says(self) -> None:
        for owner, storage in self._nodes.items():
            held = {row.id for row in storage.claimed_by_owner(owner)}
            assert held == {row.id for row in self._model.values() if row.claimed_by == owner}

    @invariant()
    def owners_are_told_of_what_others_moved(self) -> None:
        for owner, storage in self._nodes.items():
            moved = {token.task_id for token in storage.claim_news(owner, "mail").changed}
            assert moved == {token.task_id for token in storage.claim_news(owner).changed}
            mine = [row for row in self._model.values() if row.claimed_by == owner]
            assert moved == {row.id for row in mine if row.status not in RUNNING}

    @invariant()
    def each_failed_attempt_is_recorded_once(self) -> None:
        for task_id in self._model:
            recorded = [
                (row.failed.attempt, row.failed.cause) for row in self._storage.failed_attempts(task_id)
            ]
            assert recorded == self._failed[task_id]

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        counts = {row.status: row.count for row in self._storage.count_tasks()}
        assert counts == Counter(row.status for row in self._model.values())

    def _holds(self, row: TaskRow) -> bool:
        known = self._model.get(row.id)
        return known is not None and (known.claimed_by, known.claims) == (row.claimed_by, row.claims)

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
