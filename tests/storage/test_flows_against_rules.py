"""Random histories of flows: ends, cancels, resets and dead nodes in any order, against what must always be true."""

from __future__ import annotations

import tempfile
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

from goque import Flow, TaskQueueManager, TaskStateError
from goque.outcome import Outcome, OutcomeKind, settle
from goque.task_row import TERMINAL_STATUSES, TaskRow, TaskStatus
from goque.task_rules.retry_policy import RetryPolicy

POLICY = RetryPolicy(max_attempts=1)
ENDS = (OutcomeKind.DONE, OutcomeKind.DONE, OutcomeKind.FAILED, OutcomeKind.CANCELED, OutcomeKind.INTERRUPTED)


class FlowsAgainstRules(RuleBasedStateMachine):
    kind: ClassVar[str]
    tasks = Bundle("tasks")
    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._backend = make(self.kind, Path(self._folder.name))
        self._storage = self._backend.new_storage()
        self._storage.migrate()
        self._queue = TaskQueueManager(self._storage)
        self._edges: dict[str, list[tuple[str, str]]] = {}
        self._flows: list[str] = []
        self._reset_since_ready: set[str] = set()

    def teardown(self) -> None:
        self._backend.close()
        self._folder.cleanup()

    def _rows(self) -> dict[str, TaskRow]:
        return {task_id: row for task_id in self._edges if (row := self._storage.get_task(task_id))}

    @rule(
        target=tasks,
        shape=st.lists(
            st.tuples(st.sets(st.integers(0, 4), max_size=3), st.booleans()), min_size=1, max_size=5
        ),
        outside=st.lists(tasks, max_size=2, unique=True),
    )
    def add_flow(self, shape: list[tuple[set[int], bool]], outside: list[str]) -> Any:
        flow = Flow("any")
        for number, (needs, is_patient) in enumerate(shape):
            before = flow.tasks
            wanted = [before[need] for need in needs if need < number]
            own = outside if number == 0 else []
            wants = "ended" if is_patient else "done"
            task = flow.add("mail", needs=[*wanted, *own], when=wants)
            self._edges[task.id] = [(need.id, wants) for need in wanted] + [(need, wants) for need in own]
        self._queue.enqueue_flow(flow)
        self._flows.append(flow.id)
        return multiple(*(task.id for task in flow.tasks))

    @rule(target=claims, limit=st.integers(1, 3))
    def claim(self, limit: int) -> Any:
        rows = self._storage.claim_due("mail", "node-1", limit)
        now = self._rows()
        for row in rows:
            edges = self._edges[row.id]
            assert [need.id for need in row.needs] == [need for need, _ in edges]
            if row.id not in self._reset_since_ready:  # it ran while a need was reset, and runs again
                assert all(self._will_do(now[need], wants) for need, wants in edges)
        return multiple(*rows)

    @rule(row=claims, kind=st.sampled_from(ENDS))
    def end(self, row: TaskRow, kind: OutcomeKind) -> None:
        self._storage.settle_if_held([settle(Outcome(kind, "why"), row, POLICY)])

    @rule(task_id=tasks)
    def cancel(self, task_id: str) -> None:
        self._queue.cancel_task(task_id)

    @rule(task_id=tasks)
    def reset(self, task_id: str) -> None:
        before = self._rows()
        try:
            self._queue.reset_attempts(task_id)
        except TaskStateError:
            assert before[task_id].claimed_by or self._edges[task_id]
            return
        self._reset_since_ready |= {
            dependent
            for dependent, edges in self._edges.items()
            if task_id in dict(edges) and before[dependent].claimed_by is not None
        }

    @rule(number=st.integers(0, 9))
    def cancel_flow(self, number: int) -> None:
        if number < len(self._flows):
            self._queue.cancel_flow(self._flows[number])
            for task in self._queue.get_flow(self._flows[number]).tasks:
                assert task.status in TERMINAL_STATUSES

    @rule()
    def heal(self) -> None:
        assert self._storage.go_on_with_flows() == 0, "each end was seen"

    @invariant()
    def a_blocked_task_waits_for_something(self) -> None:
        rows = self._rows()
        for task_id, row in rows.items():
            if row.status == TaskStatus.BLOCKED:
                needs = [(rows[need], wants) for need, wants in self._edges[task_id]]
                assert any(not self._has_ended(need) for need, _ in needs)
                assert all(self._will_do(need, wants) for need, wants in needs if self._has_ended(need))

    @invariant()
    def a_task_is_blocked_only_if_it_has_needs(self) -> None:
        assert all(self._edges[row.id] for row in self._rows().values() if row.status == TaskStatus.BLOCKED)

    @staticmethod
    def _has_ended(row: TaskRow) -> bool:
        return row.status in TERMINAL_STATUSES and row.claimed_by is None

    def _will_do(self, row: TaskRow, wants: str) -> bool:
        return self._has_ended(row) and (wants == "ended" or row.status == TaskStatus.DONE)


@pytest.mark.parametrize(("kind", "examples"), [("sqlite", 100), ("postgresql", 25), ("mysql", 25)])
def test_what_must_be_true_of_flows_is_true_in_any_history(kind: str, examples: int) -> None:
    machine = type("Machine", (FlowsAgainstRules,), {"kind": kind})
    run_state_machine_as_test(
        machine, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None)
    )
