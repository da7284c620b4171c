"""Makes the task of a slot of a periodic job.

All schedulers give it the same external id, so the table's unique key lets only one of them enqueue it.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from goque.identifiers import new_task_id
from goque.periodic.jobs import PeriodicJob, PeriodicJobError, said, shown, slot_text, wants_slot
from goque.task import Task


def task_for_slot(job: PeriodicJob, slot: datetime) -> Task:
    """Make the task of a slot; its external id is `<job name>:<slot>`, unless the factory set another.

    Raises:
        PeriodicJobError: the factory raises, or returns something else than a Task.
    """
    task = _make_task(job, slot, f"{job.name}:{slot_text(slot)}")
    _put_off(task, _late(job, slot))
    return task


def task_for_start(job: PeriodicJob, node_id: str, now: datetime) -> Task:
    """Make the task of `run_on_start`, one for each start: `<job name>:start:<node id>`.

    Raises:
        PeriodicJobError: the factory raises, or returns something else than a Task.
    """
    return _make_task(job, now, f"{job.name}:start:{node_id}")


def task_by_hand(job: PeriodicJob, now: datetime) -> Task:
    """Make the task of a run by hand: `<job name>:run:<random>`.

    Raises:
        PeriodicJobError: the factory raises, or returns something else than a Task.
    """
    return _make_task(job, now, f"{job.name}:run:{uuid.uuid4()}")


def _make_task(job: PeriodicJob, slot: datetime, external_id: str) -> Task:
    factory: Callable[..., Any] = job.factory
    try:
        made = factory(slot) if wants_slot(job.name, factory) else factory()
    except (Exception, SystemExit) as error:
        raise PeriodicJobError(f"periodic job {job.name!r}: its factory raised {said(error)}") from error
    if not isinstance(made, Task):
        raise PeriodicJobError(
            f"periodic job {job.name!r}: its factory must return a goque.Task, not {shown(made)}"
        )
    task = copy.copy(made)  # a factory may return the same Task object each time
    task.id = new_task_id()
    if task.external_id.startswith("internal-"):
        task.external_id = external_id
    return task


def _late(job: PeriodicJob, slot: datetime) -> float:
    """Choose the delay of a slot in seconds. It depends on the slot, so that every scheduler chooses the same."""
    longest = float(job.jitter)  # type: ignore[arg-type]  # PeriodicJob has turned it into seconds
    return random.Random(f"{job.name}:{slot_text(slot)}").uniform(0.0, longest)  # noqa: S311 - not a secret


def _put_off(task: Task, delay: float) -> None:
    if task.next_attempt_at is None:
        task.delay += delay
    else:
        task.next_attempt_at += timedelta(seconds=delay)
