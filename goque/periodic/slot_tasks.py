"""The task that stands for a slot of a periodic job.

Every scheduler gives it the same external id, so that the table's unique key decides who enqueues it: once,
however many schedulers run.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from goque.identifiers import new_task_id
from goque.periodic.jobs import PeriodicJob, PeriodicJobError, said, slot_text, wants_slot
from goque.task import Task


def task_for_slot(job: PeriodicJob, slot: datetime) -> Task:
    """Make the task of a slot; its external id is `<job name>:<slot>` unless the factory gave one of its own.

    Raises:
        PeriodicJobError: the factory raises, or returns something else than a Task.
    """
    task = _make_task(job, slot, f"{job.name}:{slot_text(slot)}")
    _put_off(task, _late(job, slot))
    return task


def task_for_start(job: PeriodicJob, node_id: str, now: datetime) -> Task:
    """Make the task that `run_on_start` asks for, once a start: `<job name>:start:<node id>`.

    Raises:
        PeriodicJobError: the factory raises, or returns something else than a Task.
    """
    return _make_task(job, now, f"{job.name}:start:{node_id}")


def task_by_hand(job: PeriodicJob, now: datetime) -> Task:
    """Make the task of a run that somebody asks for: `<job name>:run:<random>`.

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
            f"periodic job {job.name!r}: its factory must return a goque.Task, not {made!r:.80}"
        )
    task = copy.copy(made)  # a factory may return one and the same Task each time
    task.id = new_task_id()
    if task.external_id.startswith("internal-"):
        task.external_id = external_id
    return task


def _late(job: PeriodicJob, slot: datetime) -> float:
    """Choose how late a slot is, in seconds; by the slot, so that every scheduler chooses the same."""
    longest = float(job.jitter)  # type: ignore[arg-type]  # made seconds when the job was made
    return random.Random(f"{job.name}:{slot_text(slot)}").uniform(0.0, longest)  # noqa: S311 - no secret


def _put_off(task: Task, delay: float) -> None:
    if task.next_attempt_at is None:
        task.delay += delay
    else:
        task.next_attempt_at += timedelta(seconds=delay)
