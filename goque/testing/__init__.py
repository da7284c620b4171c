"""Helpers for applications' tests: run handlers, drain and empty the queue, assert what was enqueued, freeze time.

The fixtures of the pytest plugin are in `goque.pytest_plugin`.
"""

from __future__ import annotations

from goque.execution.inline import TaskRun
from goque.testing.database import empty
from goque.testing.enqueued import assert_enqueued, assert_not_enqueued
from goque.testing.handlers import ended_need, run_task
from goque.testing.kills.every_step import goque_kill_at_every_step
from goque.testing.time import FrozenClock, enqueue_due_jobs, frozen_time, slots_between
from goque.testing.tree import RunningTree, crash_on_purpose, own_database

__all__ = [
    "FrozenClock",
    "RunningTree",
    "TaskRun",
    "assert_enqueued",
    "assert_not_enqueued",
    "crash_on_purpose",
    "empty",
    "ended_need",
    "enqueue_due_jobs",
    "frozen_time",
    "goque_kill_at_every_step",
    "own_database",
    "run_task",
    "slots_between",
]
