"""The cleaner: deletes finished tasks when they are old enough, in bounded batches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from goque.describe.run_counts import STEPS, merge_runs
from goque.errors import DatabaseUnavailableError
from goque.storage.contract import TypePolicy
from goque.task_row import TaskStatus
from goque.telemetry import tracing
from goque.telemetry.rate_limit import RateLimit
from goque_supervisor.actors.actor import Actor
from goque_supervisor.actors.own_policies import own_policies
from goque_supervisor.actors.per_type_timer import PerTypeTimer
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.metrics.counters import UNREGISTERED, CountersByType

BATCH: Final = 1000
ROLLUP_BATCH: Final = 20
ROLLUP_SETTLES: Final = 120.0
"""Seconds after the end of a slot of time, after which no node writes to it."""

KEEP_UNPUBLISHED: Final = 604800.0
KEEP_TO_READ: Final = 60.0
"""Seconds for which a type that deletes tasks with their success keeps the others: for their results, for who waits."""

FAILURES_PERIOD: Final = 3600.0
"""How often old failures are looked for: their counts are by the hour."""

KEEP_HOURS: Final = 8 * 86400.0
KEEP_GROUPS: Final = 30 * 86400.0
ENDED_WELL: Final = (TaskStatus.DONE, TaskStatus.CANCELED)
ENDED_BADLY: Final = (TaskStatus.ATTEMPTS_LEFT,)


class Cleaner(Actor):
    """Cleans each type by its published policy, and types without a policy after a week.

    For types of this tree, it reads the policy from the app, because it may not be published yet.
    """

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.per_type_timer = PerTypeTimer("cleaner", boot["types"])
        self._lines = RateLimit()
        self.counters = CountersByType(boot["counters"])
        self._own = own_policies(boot["types"], boot["own_types"])
        self._failures_at = 0.0

    def run_once(self) -> float:
        """Clean the types that are due. Returns the seconds until the next type is due."""
        policies = {**self._own, **self.storage.type_policies()}
        limit = 0.0
        for task_type in self.per_type_timer.due([*policies, None]):
            limit = self.per_type_timer.begin(task_type)
            for statuses, age in _ages(None if task_type is None else policies[task_type]):
                try:
                    self._clean(task_type, statuses, age, limit)
                except DatabaseUnavailableError:
                    raise
                except Exception as error:  # noqa: BLE001 - an error of one type must not stop the others
                    if self._lines.admits(task_type):
                        self.log.error("finished tasks of type %r cannot be deleted: %s", task_type, error)  # noqa: TRY400 - the line has the error
            if task_type is None and any(policy.changes or policy.limits for policy in policies.values()):
                self._forget_idle_keys(limit)
            if task_type is None:
                self._clean_rollups(limit)
        if limit:
            self._clean_flows(policies, limit)
            self._clean_failures(limit)
        return self.per_type_timer.pause()

    def _forget_idle_keys(self, limit: float) -> None:
        """Delete what the rates of keys have left behind; a database without limits is not asked."""
        forgotten = BATCH
        while forgotten == BATCH and time.monotonic() < limit and self.go_on():
            forgotten = self.storage.forget_idle_keys(limit=BATCH)

    def _clean_rollups(self, limit: float) -> None:
        """Merge the counts of runs that several nodes have written for one slot of time, and delete old ones."""
        for step, kept in STEPS.items():
            batch = ROLLUP_BATCH
            while batch == ROLLUP_BATCH and time.monotonic() < limit and self.go_on():
                batch = self.storage.merge_rollups(step, ROLLUP_SETTLES, merge_runs, limit=ROLLUP_BATCH)
            batch = BATCH
            while batch >= BATCH and time.monotonic() < limit and self.go_on():
                batch = self.storage.delete_rollups(step, kept, limit=BATCH)

    def _clean_flows(self, policies: Mapping[str, TypePolicy], limit: float) -> None:
        """Delete flows that have ended, when each of their tasks is old enough."""

        def kept_for(task_type: str, status: str) -> float:
            ages = _ages(policies.get(task_type))
            return next((age for statuses, age in ages if status in statuses), KEEP_UNPUBLISHED)

        deleted, batch = 0, BATCH
        while batch == BATCH and time.monotonic() < limit and self.go_on():
            batch = self.storage.delete_old_flows(kept_for, limit=BATCH)
            deleted += batch
        if deleted:
            self.log.info("deleted %d tasks of finished flows", deleted)

    def _clean_failures(self, limit: float) -> None:
        """Delete counts of failures that are older than the dashboard shows, and groups that are gone."""
        if time.monotonic() < self._failures_at:
            return
        deleted = BATCH
        while deleted == BATCH and time.monotonic() < limit and self.go_on():
            deleted = self.storage.delete_old_failures(
                hours_age=KEEP_HOURS, groups_age=KEEP_GROUPS, limit=BATCH
            )
        if deleted < BATCH:
            self._failures_at = time.monotonic() + FAILURES_PERIOD

    def _clean(
        self, task_type: str | None, statuses: tuple[TaskStatus, ...], age: float, limit: float
    ) -> None:
        deleted, batch = 0, BATCH
        began, traced = time.perf_counter(), tracing.started()
        while batch == BATCH and time.monotonic() < limit and self.go_on():
            batch = self.storage.delete_finished(task_type, statuses, age, limit=BATCH, known=self._own)
            deleted += batch
        self.counters[task_type].count("cleaned", deleted)
        self.counters[task_type].observe("cleanup", time.perf_counter() - began)
        if deleted:
            tracing.tell("clean", task_type or UNREGISTERED, (), traced, deleted)
            self.log.info(
                "deleted %d finished tasks of %s",
                deleted,
                "types without a published policy" if task_type is None else task_type,
            )


def _ages(policy: TypePolicy | None) -> list[tuple[tuple[TaskStatus, ...], float]]:
    """Return how long tasks are kept, by how they ended."""
    if policy is None:
        return [((*ENDED_WELL, *ENDED_BADLY), KEEP_UNPUBLISHED)]
    return [(ENDED_WELL, policy.cleaner_age or KEEP_TO_READ), (ENDED_BADLY, policy.cleaner_keep_failed)]


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the cleaner in this process."""
    Cleaner(boot, channel).run()
