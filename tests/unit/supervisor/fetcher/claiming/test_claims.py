"""When a pool of one type claims again if a task is due that a claim could not take."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any, cast

from goque.pools.options import PoolOptions
from goque.task_row import TaskRow
from goque_supervisor.fetcher.claiming.claims import Claims
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.fetcher.schedule import Schedule


class OneType:
    """The claims of a pool with one type, on a database that answers as a test says."""

    def __init__(self, **limits: int) -> None:
        self.found: list[TaskRow] = []
        self.due = 0.0
        self.schedule = Schedule()
        self.announced: list[list[str]] = []
        types = PoolTypes([{"type": "mail", "options": {"limits": limits}}])
        database = SimpleNamespace(
            seconds_until_due=lambda _task_type: self.due,
            held_back=lambda _task_type: None,
            announce_places=self.announced.append,
        )
        self.claims = Claims(
            types,
            PoolOptions(),
            database=cast("Any", database),
            in_flight=InFlight(lambda _task: True, types.is_async),
            worker_pool=cast("Any", SimpleNamespace(capacity=lambda _task_type, _now: 1)),
            schedule=self.schedule,
            counters=cast("Any", {"mail": SimpleNamespace(count=lambda _name, _number: None)}),
        )

    def pause(self) -> float:
        """Claim in vain, and return the seconds until the next claim."""
        now = time.monotonic()
        self.claim(now)
        self.claims.learn_when_due()
        return self.schedule.claim_at - now

    def claim(self, now: float) -> None:
        wanted = self.claims.plan(now)
        assert wanted is not None
        self.claims.claimed(wanted, self.found, now)


def test_a_due_task_that_is_locked_is_tried_again_soon_and_then_ten_times_a_second() -> None:
    pool = OneType()
    assert pool.pause() < 0.05
    assert pool.claims.leaves_due
    pauses = [pool.pause() for _ in range(10)]
    assert 0.1 <= pauses[-1] < 0.3


def test_after_a_look_that_finds_nothing_due_the_next_is_soon_again() -> None:
    pool = OneType()
    for _ in range(10):
        pool.pause()
    pool.due = math.inf
    assert pool.pause() > 0.5
    assert not pool.claims.leaves_due
    pool.due = 0.0
    assert pool.pause() < 0.05


def test_a_freed_place_is_announced_if_this_node_has_no_worker_for_more() -> None:
    pool = OneType(limit=3)
    row = cast("TaskRow", SimpleNamespace(type="mail"))
    for found, announced in (([row], [["mail"]]), ([], [])):
        pool.found, pool.announced[:] = found, []
        pool.claims.place_freed("mail")
        pool.claim(time.monotonic())
        pool.claims.announce_places()
        pool.claims.announce_places()
        assert pool.announced == announced


def test_a_node_that_claims_nothing_announces_its_freed_places_and_a_type_without_places_has_none() -> None:
    limited, free = OneType(per_key=1), OneType()
    for pool in (limited, free):
        pool.claims.place_freed("mail")
        pool.claims.announce_places()
    assert (limited.announced, free.announced) == ([["mail"]], [])
