"""Runs all due tasks in this process, for tests.

It changes the real rows as a tree does: it claims a task, marks it as processing, runs its handler, decides the outcome
and settles.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from goque.config import resolve_app_version
from goque.describe.run_end import log_outcome
from goque.errors import ConfigurationError, DuplicateTaskError, GoqueError
from goque.execution.error_texts import named_message_of
from goque.execution.follow_ups import preparing_by
from goque.execution.inline import InlineRunner, TaskRun, task_run
from goque.execution.inline_steps import TableSteps
from goque.execution.open_ends import let_go
from goque.handlers.processor import Processor
from goque.handlers.processor_table import HasProcessors, ProcessorTable, processors_of
from goque.identifiers import new_task_id
from goque.outcome import Change, Outcome, OutcomeKind, settle
from goque.storage.contract import TaskStorage, policy_of
from goque.task_row import TaskRow

BEAT_PERIOD: Final = 1.0


def drain(
    storage: TaskStorage,
    registry: HasProcessors,
    *,
    types: Sequence[str] | None,
    limit: int,
) -> list[TaskRun]:
    """Run due tasks until none is left, and return the runs in order; see `TaskQueueManager.drain_inline`."""
    table = processors_of(registry)
    processors = [table.get(name) for name in _checked(types, table)]
    version = resolve_app_version(registry.version)
    runs: list[TaskRun] = []
    with (
        preparing_by(registry.prepare_tasks),
        _Node(storage, processors, version) as node,
        node.runner() as runner,
    ):
        found = True
        while found:
            found = False
            for processor in processors:
                while rows := node.claim(processor.spec.type):
                    if len(runs) >= limit:
                        node.requeue(rows[0])
                        raise GoqueError(
                            f"drain_inline has run {limit} tasks, and one of type {rows[0].type!r} is still due. "
                            "Does a handler snooze for 0 seconds or enqueue its own type? If not, give a higher limit="
                        )
                    runs.append(node.run(runner, processor, rows[0]))
                    found = True
    return runs


class _Node:
    """A node that owns the claimed tasks, so that other nodes can heal them if this process dies."""

    def __init__(
        self, storage: TaskStorage, processors: Sequence[Processor], app_version: str | None
    ) -> None:
        self._storage = storage
        self._processors = processors
        self._app_version = app_version
        self._owner = f"inline-{new_task_id()}"
        self._beat_at = 0.0

    def __enter__(self) -> Self:
        self._storage.publish_types([policy_of(one.spec.type, one.spec.options) for one in self._processors])
        self._storage.register_node(self._owner, host=socket.gethostname(), pid=os.getpid())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._storage.retire_node(self._owner)

    def runner(self) -> InlineRunner:
        """Return what runs handlers, whose steps are in the table."""
        return InlineRunner(lambda row: TableSteps(self._storage, row.token))

    def claim(self, task_type: str) -> list[TaskRow]:
        """Claim the first due task, if there is one."""
        if time.monotonic() >= self._beat_at:
            self._beat_at = time.monotonic() + BEAT_PERIOD
            self._storage.beat(self._owner)
        return self._storage.claim_due(task_type, self._owner, 1)

    def run(self, runner: InlineRunner, processor: Processor, row: TaskRow) -> TaskRun:
        """Run a claimed task and write its end, or requeue it if the exception ends the test."""
        self._storage.mark_processing([row.token])
        try:
            outcome, handled, recorded = runner.run(processor, row)
        except BaseException:
            self.requeue(row)
            raise
        let_go(
            handled.error, collects=handled.has_recorded_in_transaction
        )  # before the next attempt, which would wait for what it has open
        options = processor.spec.options
        change = settle(outcome, row, options.retry_policy, self._app_version)
        try:
            written = self._settle(change)
        except DuplicateTaskError as error:
            if change.success is None:
                raise
            text = named_message_of(error)
            outcome, change = change.success.failed(text), change.success.refused(text)
            written = self._settle(change)
        log_outcome(row, outcome, change, options, written=written)
        return task_run(row, change, handled, recorded, written=written)

    def _settle(self, change: Change) -> bool:
        return change.token in self._storage.settle_if_held([change], node=self._owner)

    def requeue(self, row: TaskRow) -> None:
        """Requeue a task whose run was interrupted, without charging an attempt."""
        change = settle(Outcome(OutcomeKind.INTERRUPTED), row, self._processors[0].spec.options.retry_policy)
        self._storage.settle_if_held([change], node=self._owner)


def _checked(types: Sequence[str] | None, table: ProcessorTable) -> Sequence[str]:
    if types is None:
        return table.task_types
    if isinstance(types, str):
        raise ConfigurationError(f"types must be a list of task types, not {types!r:.80}")
    return types
