"""Limits over processes: never one too many, whatever dies, and no place is lost."""

from __future__ import annotations

import os
import signal

import pytest
from databases import Database, on_every_backend
from tree import StartTree, Tree, eventually

IDLE_TRANSACTION = 30
"""Seconds after which a server ends the transaction of a frozen process: 30 on MariaDB, 10 on PostgreSQL."""

OPTIONS = "fetch_tick=0.1, next_attempt_at=retry.static(0)"
QUICK = """
registry.pool("default", workers=3, min_workers=3, fetch_tick=0.1)

@registry.processor("one", limit=1)
def one(task: Task):
    with run_of(task), place_of("one", 1):
        time.sleep(0.002)

@registry.processor("tenants", limit=4, limit_per_key=2)
def tenants(task: Task):
    with run_of(task), place_of("tenants", 4), place_of(f"tenant-{task.limit_key}", 2):
        time.sleep(0.002)
"""
HOLD = """
registry.pool("default", workers=4, min_workers=4, fetch_tick=0.1)

@registry.processor("held", limit=2, next_attempt_at=retry.static(0))
def held(task: Task):
    with place_of("held", 2):
        hold(task)
"""


def assert_never_too_many(tree: Tree) -> None:
    assert [line for line in tree.journal() if line[0] == "toomany"] == []


@on_every_backend
def test_two_trees_never_run_more_than_the_limits_and_run_everything(start_tree: StartTree) -> None:
    trees = [start_tree(app=QUICK, apart=True), start_tree(apart=True)]
    database = trees[0].database
    ones = [f"o{n}" for n in range(60)]
    database.enqueue("one", *ones)
    names = {key: [f"{key}{n}" for n in range(40)] for key in "abc"}
    for key, of_key in names.items():
        database.enqueue("tenants", *of_key, limit_key=key)
    without = [f"w{n}" for n in range(20)]
    database.enqueue("tenants", *without)
    eventually(database.is_settled, within=60)
    trees[0].assert_each_ran(1, [*ones, *without, *(name for of_key in names.values() for name in of_key)])
    assert_never_too_many(trees[0])
    assert database.counts() == {"done": 200}


def start_full(start_tree: StartTree, **options: bool) -> Tree:
    """Start a tree with five tasks of which the limit lets two run."""
    tree = start_tree(app=HOLD, **options)
    tree.database.enqueue("held", *(f"t{n}" for n in range(5)))
    eventually(lambda: len(running(tree)) == 2)
    return tree


def running(tree: Tree) -> list[str]:
    """Return the names of the runs that have begun, of dead processes too."""
    return [line[1] for line in tree.journal() if line[0] == "start"]


def finish(tree: Tree, *, within: float = 20.0) -> None:
    tree.let_go(*(f"t{n}" for n in range(5)))
    eventually(tree.database.is_settled, within=within)
    assert tree.database.counts() == {"done": 5}
    assert_never_too_many(tree)


@on_every_backend
@pytest.mark.fault(1)
def test_a_killed_worker_gives_its_place_back(start_tree: StartTree) -> None:
    tree = start_full(start_tree)
    os.kill(tree.running_pid(running(tree)[0]), signal.SIGKILL)
    eventually(lambda: len(running(tree)) == 3)
    finish(tree)


@on_every_backend
@pytest.mark.fault(14)
def test_the_places_of_a_killed_fetcher_are_held_on(start_tree: StartTree) -> None:
    tree = start_full(start_tree)
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGKILL)
    eventually(lambda: tree.pids("fetcher") not in ([], [fetcher]))
    tree.let_go(running(tree)[0])
    eventually(lambda: len(running(tree)) == 3)
    finish(tree)


@on_every_backend
@pytest.mark.fault(17)
def test_another_node_gets_the_places_of_a_killed_one(start_tree: StartTree) -> None:
    tree = start_full(start_tree, apart=True)
    other = start_tree(apart=True)
    eventually(lambda: other.pids("fetcher"))
    tree.kill_root()
    eventually(tree.is_gone)
    finish(other, within=3 + 20)
    start_tree("--drain", beside=tree).wait()  # sweeps the run directory


@on_every_backend
def test_a_place_that_is_freed_on_one_node_is_used_on_another(start_tree: StartTree) -> None:
    tree = start_full(start_tree, apart=True)
    other = start_tree(apart=True)
    eventually(lambda: other.pids("fetcher"))
    tree.signal(signal.SIGUSR2)
    eventually(lambda: "quiet" in tree.log)
    tree.let_go(*running(tree))
    eventually(lambda: len(running(tree)) == 4)
    assert {int(line[2]) for line in tree.journal()[-2:]} <= set(other.workers())
    finish(tree)


@on_every_backend
def test_a_canceled_task_gives_its_place_back(start_tree: StartTree) -> None:
    tree = start_full(start_tree)
    name = running(tree)[0]
    tree.database.queue.cancel_task(tree.database.task(name).id)
    eventually(lambda: len(running(tree)) == 3)
    tree.let_go(*(f"t{n}" for n in range(5)))
    eventually(tree.database.is_settled)
    assert tree.database.counts() == {"done": 4, "canceled": 1}
    assert_never_too_many(tree)


RATE_LIMITED = """
registry.pool("default", workers=1, fetch_tick=0.1)

@registry.processor("call")
def call(task: Task):
    note("start", task.external_id, os.getpid())
    if task.external_id.startswith("refused"):
        raise goque.RateLimited(retry_after=3600)

@registry.processor("other")
def other(task: Task):
    note("start", task.external_id, os.getpid())
"""


@on_every_backend
def test_after_rate_limited_nothing_of_the_type_starts_and_others_go_on(start_tree: StartTree) -> None:
    tree = start_tree(app=RATE_LIMITED)
    tree.database.enqueue("call", "refused")
    eventually(lambda: running(tree) == ["refused"])
    eventually(lambda: "rate limited: no task of its type starts for 3600s" in tree.log)
    tree.database.enqueue("call", "later")
    tree.database.enqueue("other", "now")
    eventually(lambda: running(tree) == ["refused", "now"])
    assert start_tree("--drain", apart=True).wait() == 0  # what waits for its time is not due
    assert running(tree) == ["refused", "now"]
    task = tree.database.task("refused")
    assert (task.status, task.attempts, task.errors) == ("new", 0, None)


@on_every_backend
def test_what_was_sent_ahead_does_not_start_after_rate_limited(
    start_tree: StartTree, database: Database
) -> None:
    database.enqueue("call", *(f"quick-{n}" for n in range(20)))
    database.enqueue("call", "refused", *(f"later-{n}" for n in range(200)))
    database.enqueue("other", *(f"other-{n}" for n in range(20)))
    tree = start_tree("--drain", app=RATE_LIMITED)
    assert tree.wait() == 0
    assert [name for name in running(tree) if not name.startswith("other")] == [
        *(f"quick-{n}" for n in range(20)),
        "refused",
    ]
    assert len(running(tree)) == 41
    assert database.counts("call") == {"done": 20, "new": 201}


@on_every_backend
def test_after_rate_limited_with_a_key_other_keys_go_on(start_tree: StartTree) -> None:
    tree = start_tree(app=RATE_LIMITED)
    tree.database.enqueue("call", "refused", limit_key="acme")
    eventually(lambda: "rate limited: no task of its key 'acme' starts for 3600s" in tree.log)
    tree.database.enqueue("call", "later", limit_key="acme")
    tree.database.enqueue("call", "umbrella", limit_key="umbrella")
    eventually(lambda: running(tree) == ["refused", "umbrella"])


@on_every_backend
def test_a_drain_waits_for_places_and_not_for_a_rate(start_tree: StartTree) -> None:
    tree = start_tree(
        "--drain",
        app="""
registry.pool("default", workers=2, min_workers=2, fetch_tick=0.1)

@registry.processor("place", limit=1)
def place(task: Task):
    with run_of(task):
        time.sleep(0.01)

@registry.processor("rate", rate=goque.Rate(2, per=3600))
def rate(task: Task):
    with run_of(task):
        pass

for n in range(5):
    if registry.queue.enqueue("place", external_id=f"p{n}", on_conflict="skip").inserted:
        registry.queue.enqueue("rate", external_id=f"r{n}")
""",
        migrate_first=True,
    )
    assert tree.wait() == 0
    assert tree.database.counts("place") == {"done": 5}
    assert tree.database.counts("rate") == {"done": 2, "new": 3}


@on_every_backend
def test_a_tenant_with_a_backlog_does_not_delay_the_others(start_tree: StartTree) -> None:
    tree = start_tree(
        app="""
registry.pool("default", workers=1, fetch_tick=0.1)

@registry.processor("sync", limit_key=lambda payload: payload)
def sync(task: Task):
    hold(task)
"""
    )
    tree.database.enqueue("sync", *(f"b{n}" for n in range(50)), limit_key="big")
    eventually(lambda: len(running(tree)) == 1)
    tree.database.enqueue("sync", "s1", limit_key="small")
    tree.let_go(*(f"b{n}" for n in range(50)), "s1")
    eventually(tree.database.is_settled)
    order = running(tree)
    assert order.index("s1") < 25, "its turn came with the next claim"


@on_every_backend
@pytest.mark.fault(23)
def test_connections_that_break_lose_no_place(start_tree: StartTree) -> None:
    tree = start_tree(app=QUICK)
    names = [f"n{n}" for n in range(200)]
    tree.database.enqueue("tenants", *names, limit_key="a")
    for share in (20, 60, 100):
        eventually(lambda share=share: len(running(tree)) >= share)
        tree.database.kill_connections()
    eventually(tree.database.is_settled, within=40)
    tree.assert_each_ran(1, names)
    assert_never_too_many(tree)


@on_every_backend
def test_a_node_that_was_frozen_keeps_no_place(start_tree: StartTree) -> None:
    tree = start_full(start_tree, apart=True)
    other = start_tree(apart=True)
    eventually(lambda: other.pids("fetcher"))
    frozen = list(tree.living())
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    # A fetcher that is frozen within a claim keeps the lock of its type until the server ends its transaction.
    eventually(lambda: len(running(tree)) == 4, within=3 + IDLE_TRANSACTION + 15)
    for pid in reversed(frozen):
        os.kill(pid, signal.SIGCONT)
    tree.let_go(*(f"t{n}" for n in range(5)))
    eventually(tree.database.is_settled, within=20)
    assert tree.database.counts() == {"done": 5}
    tree.forget_overlaps()  # what a frozen node goes on with is the one exception
