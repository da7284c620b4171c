"""The scheduler: enqueues each slot of each periodic job once, even if several schedulers run.

The external ids of the tasks ensure this: if another scheduler has enqueued a slot, the task is a duplicate.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from goque.errors import DatabaseUnavailableError, GoqueError
from goque.periodic.jobs import PeriodicJob, PeriodicJobError, next_due, slots_due
from goque.periodic.slot_tasks import task_for_slot, task_for_start
from goque.task import Task
from goque.telemetry import tracing
from goque.telemetry.rate_limit import RateLimited
from goque_supervisor.actors.actor import Actor
from goque_supervisor.ipc.channel import Channel

MAX_SLEEP: Final = 60.0
MAX_CALL: Final = 5.0


class Scheduler(Actor):
    """Sleeps until the next slot of any job. If a job fails, it logs the error and continues with the other jobs."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        from goque_supervisor.nursery.app_registry import registry_of_this_process  # noqa: PLC0415 - it may import the app

        super().__init__(boot, channel)
        self.registry = registry_of_this_process(boot["app"], boot["registry_fd"])
        self.jobs = self.registry.jobs
        self._started: set[str] = set()
        self._job_log = logging.Logger(self.log.name)  # noqa: LOG001 - its filter is this scheduler's alone
        self._job_log.parent = self.log
        self._job_log.addFilter(RateLimited(field="job"))

    def run_once(self) -> float:
        """Enqueue the slots that are due. Returns the seconds until the next slot."""
        now = datetime.now(UTC)
        signal.signal(signal.SIGALRM, _give_up)
        pauses = [MAX_SLEEP]
        paused = self.storage.paused_jobs()
        for job in self.jobs:
            if job.name in paused:
                continue  # slots that pass during a pause are not recorded: see resume_job
            self._run_on_start(job, now)
            try:
                pauses.append(self._enqueue_due(job, now))
            except DatabaseUnavailableError:
                raise
            except GoqueError as error:
                self._log_error(job, "%s", error)
        return max(0.01, min(pauses))

    def _log_error(self, job: PeriodicJob, text: str, error: GoqueError) -> None:
        """Log the error of a job: at once, then once a minute. The text has the job's name."""
        self._job_log.error(text, error, extra={"job": job.name})

    def _run_on_start(self, job: PeriodicJob, now: datetime) -> None:
        if job.run_on_start and job.name not in self._started:
            self._insert_from_factory(job, lambda: task_for_start(job, self.boot["owner"], now), "this start")
            self._started.add(job.name)

    def _enqueue_due(self, job: PeriodicJob, now: datetime) -> float:
        last = self.storage.last_slot(job.name)
        if last is None:
            last = now
            self.storage.record_slot(job.name, now)  # the slots of a new job begin now, also after a restart
        with _time_limit():
            slots = slots_due(job, last, now)
        for slot in slots:
            self._insert_from_factory(job, partial(task_for_slot, job, slot), "this slot")
            self.storage.record_slot(job.name, slot)
            last = slot
        with _time_limit():
            following = next_due(job, last, now)
        return MAX_SLEEP if following is None else (following - datetime.now(UTC)).total_seconds()

    def _insert_from_factory(self, job: PeriodicJob, make: Callable[[], Task], occasion: str) -> None:
        """Insert the task that a factory makes. If the factory fails, log that this occasion is left out."""
        try:
            with _time_limit():
                task = make()
            self._insert(job, task)
        except DatabaseUnavailableError:
            raise
        except PeriodicJobError as error:
            self._log_error(job, f"%s: no task is enqueued for {occasion}", error)
        except GoqueError as error:
            self._log_error(job, f"periodic job {job.name!r}: %s: no task is enqueued for {occasion}", error)

    def _insert(self, job: PeriodicJob, task: Task) -> None:
        self.registry.prepare_tasks([task])
        with tracing.enqueueing([task], "schedule", **{"goque.job.name": job.name}):
            there = self.storage.insert_task(task, on_conflict="skip")
        names = {"task_type": task.type, "task_id": there.id}
        if there.inserted:
            self.log.info("enqueued %s", task.external_id, extra=names)
        elif there.external_id != task.external_id:
            self.log.info(
                "did not enqueue %s: a task with the same unique key exists already",
                task.external_id,
                extra=names,
            )


@contextmanager
def _time_limit() -> Iterator[None]:
    """Interrupt a schedule or factory that blocks, so that it does not delay the other jobs."""
    signal.setitimer(signal.ITIMER_REAL, MAX_CALL)
    try:
        with tracing.app_code():
            yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _give_up(number: int, frame: object) -> None:
    del number, frame
    raise TimeoutError(f"it took over {MAX_CALL:g}s")


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the scheduler in this process."""
    Scheduler(boot, channel).run()
