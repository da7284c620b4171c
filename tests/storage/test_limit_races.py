"""Claims by limits that race: many threads on one database, and never one too many."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from backends import claim, done

from goque.errors import DatabaseUnavailableError
from goque.storage.contract import TypePolicy
from goque.task import Task
from goque.task_rules.limits import Limits

THREADS = 4


class Bound:
    """Counts, by key, the tasks that threads have claimed and not settled yet, and what it saw of too many."""

    def __init__(self, limit, per_key):
        self.limit, self.per_key = limit, per_key
        self.held = Counter()
        self.runs = Counter()
        self.too_many = []
        self._lock = threading.Lock()

    def claimed(self, rows):
        with self._lock:
            for row in rows:
                self.held[row.limit_key] += 1
                self.runs[row.id] += 1
            if self.held.total() > self.limit or any(
                number > self.per_key for key, number in self.held.items() if key
            ):
                self.too_many.append(dict(self.held))

    def settling(self, rows):
        with self._lock:
            self.held.subtract(row.limit_key for row in rows)


@pytest.mark.parametrize("keys", [[None], ["a", "b", "c", None]])
def test_threads_that_claim_and_settle_never_hold_too_many(storage, backend, keys):
    number = 120
    storage.publish_types(
        [TypePolicy("mail", 5, None, None, 1.0, 1.0, 1.0, limits=Limits(limit=3, per_key=2))]
    )
    storage.insert_tasks([Task("mail", limit_key=keys[n % len(keys)]) for n in range(number)])
    bound = Bound(3, 2)

    def work(owner):
        own = backend.new_storage()
        own.publish_types(
            [TypePolicy("mail", 5, None, None, 1.0, 1.0, 1.0, limits=Limits(limit=3, per_key=2))]
        )
        while len(bound.runs) < number:
            try:
                rows = claim(own, owner=owner, limit=2)
            except DatabaseUnavailableError:
                continue  # a lock that another thread holds; a fetcher tries again too
            bound.claimed(rows)
            bound.settling(rows)
            own.settle_if_held([done(row) for row in rows])

    with ThreadPoolExecutor(THREADS) as pool:
        for one in [pool.submit(work, f"node-{n}") for n in range(THREADS)]:
            one.result()
    assert bound.too_many == []
    assert set(bound.runs.values()) == {1}
    assert storage.claimed_by_owner("node-0") == []
