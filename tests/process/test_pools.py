"""Several task types share the workers and the fetcher of a pool, and each is blamed for what it does alone."""

from __future__ import annotations

import os
import signal

import pytest
from databases import Database, PostgresqlDatabase, on_every_backend
from tree import StartTree, Tree, eventually, write_app

OPTIONS = "options = dict(next_attempt_at=retry.static(0))\n"
MIXED = (
    OPTIONS
    + """
registry.pool("default", workers=2, async_workers=1, fetch_tick=0.1)

for name in ("hold", "other", *(f"t{number}" for number in range(10))):
    registry.processor(name, **options)(hold)

@registry.processor("ahold", **options)
async def ahold(task: Task):
    note("start", task.external_id, os.getpid())
    while not Path("journal", f"{task.external_id}.go").exists():
        await asyncio.sleep(0.01)
    note("end", task.external_id, os.getpid())

@registry.processor("crash", max_attempts=1)
def crash(task: Task):
    note("start", task.external_id, os.getpid())
    os.abort()

@registry.processor("quick", **options)
def quick(task: Task):
    with run_of(task):
        pass

@registry.processor("aquick", **options)
async def aquick(task: Task):
    with run_of(task):
        await asyncio.sleep(0)

@registry.processor("own", workers=1, fetch_tick=0.1)
def own(task: Task):
    with run_of(task):
        pass
"""
)


@on_every_backend
@pytest.mark.fault(1)
def test_the_crash_of_one_type_charges_its_task_alone(start_tree: StartTree) -> None:
    tree = start_tree(app=MIXED)
    tree.database.enqueue("hold", "long")
    tree.database.enqueue("ahold", "awaited")
    tree.running_pid("long"), tree.running_pid("awaited")
    tree.database.enqueue("crash", "crash-1", "crash-2")
    tree.database.enqueue("quick", *(f"q{n}" for n in range(50)))
    tree.database.enqueue("own", "apart")
    eventually(lambda: tree.database.counts("quick") == {"done": 50})
    eventually(lambda: tree.database.counts("crash") == {"attempts_left": 2})
    tree.let_go("long", "awaited")
    eventually(tree.database.is_settled)
    assert {(task.type, task.status, task.attempts) for task in tree.database.tasks()} == {
        ("hold", "done", 0),
        ("ahold", "done", 0),
        ("crash", "attempts_left", 1),
        ("quick", "done", 0),
        ("own", "done", 0),
    }
    tree.assert_each_ran(1, ["long", "awaited", "crash-1", "crash-2", "apart"])
    assert len(tree.pids("fetcher")) == 2


@on_every_backend
@pytest.mark.fault(14)
def test_a_fetcher_that_dies_with_tasks_of_ten_types_in_flight_loses_nothing(start_tree: StartTree) -> None:
    tree = start_tree("--types", ",".join(f"t{n}" for n in range(10)), app=MIXED)
    for number in range(10):
        tree.database.enqueue(f"t{number}", f"task-{number}")
    eventually(lambda: len(tree.journal()) == 2)
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGKILL)
    eventually(lambda: [pid for pid in tree.pids("fetcher") if pid != fetcher])
    tree.let_go(*(f"task-{n}" for n in range(10)))
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, [f"task-{n}" for n in range(10)])


TURNS = """
registry.pool("default", workers=1, fetch_tick=0.1)

for name in ("busy", "rare", "urgent"):
    @registry.processor(name)
    def handle(task: Task):
        note("start", task.external_id, os.getpid())
        time.sleep(0.001)
"""


@on_every_backend
def test_a_backlog_delays_other_types_by_a_turn_and_a_higher_priority_comes_first(
    start_tree: StartTree, database: Database
) -> None:
    database.queue.add_tasks([goque_task("busy", f"b{n}") for n in range(3000)])
    database.enqueue("rare", "rare")
    database.enqueue("urgent", "urgent", priority=10)
    tree = start_tree("--drain", app=TURNS)
    assert tree.wait(120) == 0
    order = [line[1] for line in tree.journal()]
    assert (order[0], len(order)) == ("urgent", 3002)
    assert order.index("rare") < 300


def goque_task(task_type: str, name: str):
    from goque import Task

    return Task(task_type, {}, external_id=name)


def running(tree: Tree) -> int:
    """Return how many handlers run now."""
    lines = [line[0] for line in tree.journal()]
    return lines.count("start") - lines.count("end")


BOUNDED = """
registry.pool("default", workers=4, fetch_tick=0.1)
registry.processor("bounded", max_running=2)(hold)
registry.processor("free")(hold)
"""


@on_every_backend
def test_no_more_tasks_of_a_type_run_than_it_may_and_the_others_use_the_workers(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=BOUNDED)
    bounded, free = [f"b{n}" for n in range(6)], [f"f{n}" for n in range(2)]
    tree.database.enqueue("bounded", *bounded)
    eventually(lambda: running(tree) == 2)
    tree.database.enqueue("free", *free)
    eventually(lambda: running(tree) == 4)
    assert {line[1] for line in tree.journal()} >= set(free)
    tree.let_go(*free, *bounded)
    eventually(tree.database.is_settled)
    tree.assert_each_ran(1, [*bounded, *free])
    at_once, most = 0, 0
    for kind, name, _pid in tree.journal():
        at_once += (name in bounded) * (1 if kind == "start" else -1)
        most = max(most, at_once)
    assert most == 2


CHOSEN = """
registry.pool("media", workers=1)
for name, pool in (("a", None), ("b", "media"), ("c", "media")):
    registry.processor(name, pool=pool)(hold)
"""


@pytest.mark.parametrize(
    ("options", "pools", "fetchers"),
    [
        (("--pools", "media"), "media (1): b, c", 1),
        (("--exclude-pools", "media", "--workers", "3"), "default (3): a", 1),
        (("--workers", "2"), "default (2): a; media (1): b, c", 2),
        (("--types", "b"), "media (1): b", 1),
    ],
)
def test_a_supervisor_runs_the_pools_that_it_is_told(
    start_tree: StartTree, options: tuple[str, ...], pools: str, fetchers: int
) -> None:
    tree = start_tree(*options, app=CHOSEN)
    eventually(lambda: f"; pools (workers): {pools}\n" in tree.log)
    eventually(lambda: (len(tree.workers()), len(tree.pids("fetcher"))) == (fetchers, fetchers))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pools", "madia"), "the app has no types in a pool 'madia'; it has default, media"),
        (("--pools", "media", "--types", "a"), "these types and pools select no type of the app"),
        (
            ("--pools", "media", "--workers", "2"),
            "workers sets the workers of the pool 'default', of which no type",
        ),
    ],
)
def test_a_pool_that_is_not_there_is_refused(
    start_tree: StartTree, options: tuple[str, ...], said: str
) -> None:
    tree = start_tree(*options, app=CHOSEN)
    assert tree.wait() == 2
    assert said in tree.log


BEFORE = """
registry.pool("default", workers=1, fetch_tick=0.1)
registry.pool("media", workers=1, fetch_tick=0.1)
for name, pool in (("stays", None), ("leaves", None), ("moves", "media")):
    registry.processor(name, pool=pool)(hold)
"""
AFTER = """
registry.pool("default", workers=2, min_workers=2, fetch_tick=0.1)
for name in ("stays", "moves", "comes"):
    registry.processor(name)(hold)
"""


@on_every_backend
@pytest.mark.fault(19)
def test_a_reload_adds_types_removes_them_and_moves_them_between_pools(start_tree: StartTree) -> None:
    tree = start_tree(app=BEFORE)
    tree.database.enqueue("leaves", "leaving")
    tree.database.enqueue("moves", "moving")
    for name in ("leaving", "moving"):
        tree.running_pid(name)
    tree.database.enqueue("stays", "staying")
    tree.database.enqueue("moves", "moved")
    write_app(tree.directory, AFTER)
    tree.signal(signal.SIGHUP)
    eventually(lambda: "app is imported anew" in tree.log or "importing the app again" in tree.log)
    tree.database.enqueue("comes", "coming")
    tree.let_go("leaving", "moving", "staying", "moved", "coming")
    eventually(tree.database.is_settled, 60)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, ["leaving", "moving", "staying", "moved", "coming"])
    eventually(lambda: (len(tree.workers()), len(tree.pids("fetcher"))) == (2, 1))


SIXTY = """
for number in range(60):
    @registry.processor(f"type-{number}")
    def handle(task: Task):
        note("start", task.external_id, os.getpid())
"""


@pytest.mark.fault(58)
@pytest.mark.parametrize("backend", ["postgresql"])
def test_row_58_sixty_types_cost_the_connections_of_one_pool(
    start_tree: StartTree, database: PostgresqlDatabase
) -> None:
    before = set(database.connections())
    tree = start_tree("--workers", "2", app=SIXTY)
    eventually(tree.workers)
    for number in range(60):
        database.enqueue(f"type-{number}", f"task-{number}")
    eventually(database.is_settled)
    tree.assert_each_ran(1, [f"task-{number}" for number in range(60)])
    assert len(set(database.connections()) - before) <= 2 * 1 + 5
    assert len(tree.living()) < 20


ELASTIC = """
registry.pool("default", workers=4, min_workers=1, async_workers=2, concurrency=1, idle_timeout=1, fetch_tick=0.1)
registry.processor("hold")(hold)

@registry.processor("ahold")
async def ahold(task: Task):
    note("start", task.external_id, os.getpid())
    while not Path("journal", f"{task.external_id}.go").exists():
        await asyncio.sleep(0.01)
    note("end", task.external_id, os.getpid())
"""


@on_every_backend
def test_workers_start_when_there_is_work_for_them_and_end_when_there_is_none(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=ELASTIC)
    eventually(lambda: len(tree.workers()) == 1)
    names = [f"t{n}" for n in range(6)]
    tree.database.enqueue("hold", *names)
    tree.database.enqueue("ahold", "awaited-1", "awaited-2")
    eventually(lambda: running(tree) == 6)
    assert len(tree.workers()) == 6
    tree.let_go(*names, "awaited-1", "awaited-2")
    eventually(tree.database.is_settled)
    eventually(lambda: len(tree.workers()) == 1)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, [*names, "awaited-1", "awaited-2"])
    assert "WARN" not in tree.log


@on_every_backend
def test_drain_waits_for_workers_that_have_yet_to_start(start_tree: StartTree, database: Database) -> None:
    names = [f"awaited-{n}" for n in range(20)]
    database.enqueue("aquick", *names)
    tree = start_tree("--drain", app=MIXED)
    assert tree.wait() == 0
    assert {(task.status, task.attempts) for task in database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, names)


@pytest.mark.fault(14)
def test_idle_workers_of_one_kind_do_not_make_those_of_the_other_wait_for_the_tick(
    start_tree: StartTree,
) -> None:
    app = """
registry.pool("default", workers=2, async_workers=1, fetch_tick=60)

@registry.processor("plain")
def plain(task: Task):
    time.sleep(0.05)

@registry.processor("aquick")
async def aquick(task: Task):
    pass
"""
    tree = start_tree(app=app)
    tree.database.enqueue("aquick", "a")
    tree.database.enqueue("plain", *(f"p{n}" for n in range(200)))
    eventually(tree.database.is_settled, within=20)
    assert tree.database.counts() == {"done": 201}


def test_a_fetcher_that_dies_leaves_the_number_of_workers_as_it_is(start_tree: StartTree) -> None:
    tree = start_tree("--types", "hold", app=ELASTIC)
    tree.database.enqueue("hold", "a", "b", "c")
    eventually(lambda: running(tree) == 3)
    fetcher, workers = tree.pid("fetcher"), set(tree.workers())
    os.kill(fetcher, signal.SIGKILL)
    eventually(lambda: [pid for pid in tree.pids("fetcher") if pid != fetcher])
    tree.database.enqueue("hold", "d")
    eventually(lambda: running(tree) == 4)
    assert workers <= set(tree.workers())
    tree.let_go("a", "b", "c", "d")
    eventually(tree.database.is_settled)
    tree.assert_each_ran(1, ["a", "b", "c", "d"])
