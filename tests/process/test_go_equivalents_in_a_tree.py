"""What docs/from_go.md promises about running tasks, on each backend: a test for each row of its table.

One tree for each backend runs all of them. The rows about the queue are in tests/storage/test_go_equivalents.py.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from databases import BACKENDS, make_database
from tree import Tree, eventually, python_command, supervise_command, write_app

import goque
from goque_supervisor.ipc import os_process

APP = """
import msgspec
from datetime import datetime, timedelta

class Email(msgspec.Struct):
    to: str

class Resizer:
    def process_task(self, task: Task):
        note("resized", task.external_id)

registry.pool("default", workers=3, fetch_tick=0.2)  # a pool for each type would take fifty connections
fast = dict(max_attempts=2, retry=retry.static(0))

@registry.processor("decorated", **fast)
def decorated(task: goque.TypedTask[Email]):
    note("typed", task.payload.to, goque.current_task().external_id)
    raise goque.TaskCanceled("enough") if task.payload.to == "stop" else RuntimeError("once more")

registry.add_processor("object", Resizer(), **fast)
registry.add_processor("noop", goque.noop_task_processor, **fast)
registry.add_processor(
    "told", goque.typed_task_processor(lambda task: note("told", task.payload.to), Email, True), **fast
)

@registry.processor("coroutine", store_result=True, **fast)
async def coroutine(task: Task):
    await asyncio.sleep(0)
    follow_up = await registry.async_queue.enqueue("noop", external_id=f"after-{task.external_id}")
    ended = await registry.async_queue.wait(follow_up.id, timeout=20)
    return {"follow-up": ended.status}

@registry.processor("limited", workers=2, min_workers=2, timeout=0.3, timeout_grace=0.3, max_attempts=3, fetch_tick=0.2,
                    next_attempt_at=lambda failures: timedelta(seconds=0.01 * failures))
def limited(task: Task):
    note("limited", os.getpid())
    time.sleep(100)

def on_crash(crash):
    note("crash", crash.type, crash.task.external_id, crash.signal)

@registry.processor("crashing", crash_handler=on_crash, **(fast | {"max_attempts": 1}))
def crashing(task: Task):
    os.kill(os.getpid(), signal.SIGSEGV)

@registry.processor("fetched", workers=1, fetch_max_tasks=2, fetch_tick=0.1, fetch_timeout=10)
def fetched(task: Task):
    with run_of(task):
        pass

def hook(word):
    return lambda task, *error: note(
        word, task.external_id, goque.value_by_key("tenant"), *(type(each).__name__ for each in error)
    )

@registry.processor("hooked", hooks_before=hook("before"), hooks_after=[hook("after"), hook("after-that")], **fast)
def hooked(task: Task):
    note("tenant", goque.value_by_key("tenant"), goque.values() == task.metadata, goque.tx_from_context())
    registry.queue.enqueue("noop", external_id=f"carries-{task.external_id}")

registry.add_processor(
    "upkept", goque.noop_task_processor, workers=1, fetch_tick=0.2, cleaner_period=0.2, cleaner_timeout=5,
    cleaner_updated_at_time_ago=0.5, healer_period=0.2, healer_timeout=5, healer_updated_at_time_ago=0.5,
)

for name, strategy in {
    "static": retry.static(100), "step": retry.step([200, 300]), "round": retry.round_step(retry.FIBONACCI_PERIODS),
    "strong": retry.step(retry.STRONG_PERIODS), "exponential": retry.exponential(400, 9000, 0.25),
}.items():
    @registry.processor(name, retry=strategy)
    def fails(task: Task):
        raise ValueError("again")

every_second = lambda after: after.replace(microsecond=0) + timedelta(seconds=1)
registry.add_periodic_job(goque.PeriodicJob("pulse", every_second, lambda: Task("noop"), run_on_start=True))
at_slot = lambda slot: Task("noop", slot.isoformat())
registry.add_periodic_job(goque.cron_job("cron", "* * * * * *", at_slot, tz="Europe/Prague"))
"""


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, marks=pytest.mark.xdist_group(f"go-equivalents-{each}")) for each in BACKENDS],
)
def tree(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    """One tree on each backend, for all the tests of this module."""
    folder = tmp_path_factory.mktemp(request.param)
    run_dir = Path(tempfile.mkdtemp(prefix="gq-"))
    database = make_database(request.param, folder)
    write_app(folder, APP)
    made = Tree(folder, run_dir / "run", database, supervise_command(run_dir / "run"), {})
    try:
        yield made
        os_process.become_subreaper()  # as in each test: it is the parent of what the tree leaves
        assert made.stop() == 0
        made.assert_nothing_left()
        database.assert_nobody_holds_anything()
    finally:
        made.clean_up()
        os_process.become_subreaper(wanted=False)
        print(made.log)  # noqa: T201 - pytest shows it when the test failed
        database.drop()
        shutil.rmtree(run_dir, ignore_errors=True)


def journal(tree: Tree, word: str) -> list[list[str]]:
    return [line[1:] for line in tree.journal() if line[0] == word]


def end_of(tree: Tree, task_type: str, payload: object = None, **options: object) -> goque.Task:
    """Enqueue a task, and return it as it is when it has ended."""
    task = tree.database.queue.enqueue(task_type, payload, **options)
    return tree.database.queue.wait(task.id, timeout=30)


def test_new_goque_runs_and_stops_from_python(tree: Tree, tmp_path: Path) -> None:
    program = """
if __name__ == "__main__":
    registry.processor("from-python", workers=1)(lambda task: note("ran"))
    task = registry.queue.enqueue("from-python")
    supervisor = goque.Supervisor(registry, run_dir=sys.argv[1], node_timeout=3)
    supervisor.start()
    assert registry.queue.wait(task.id, timeout=30).status == "done"
    assert supervisor.stop() == 0
    registry.queue.enqueue("from-python")
    assert goque.Supervisor(registry, run_dir=sys.argv[1], drain=True, types=["from-python"]).run() == 0
    for pause in (0, 0.02, 0.1):
        with goque.Supervisor(registry, run_dir=sys.argv[1], node_timeout=3) as supervisor:
            time.sleep(pause)
    registry.queue.close()
"""
    write_app(tmp_path, program)
    run_dir = Path(tempfile.mkdtemp(prefix="gq-"))
    other = Tree(tmp_path, run_dir, tree.database, python_command("app.py", str(run_dir)), {})
    try:
        assert other.wait(60) == 0, other.log
        assert journal(other, "ran") == [[], []]
    finally:
        other.clean_up()
        shutil.rmtree(run_dir, ignore_errors=True)


def test_register_processor_by_call_and_by_decorator(tree: Tree) -> None:
    assert end_of(tree, "object", external_id="picture").status == "done"
    assert journal(tree, "resized") == [["picture"]]
    assert end_of(tree, "decorated", {"to": "stop"}).status == "canceled"


def test_register_periodic_job_runs_its_slots(tree: Tree) -> None:
    def slots() -> list[goque.Task]:
        found = tree.database.tasks("noop")
        return [task for task in found if task.external_id.startswith("pulse:20") and task.status == "done"]

    found = eventually(lambda: (done := slots())[1:] and done)
    assert len({task.external_id for task in found}) == len(found)


def test_typed_task_has_its_payload_decoded_and_may_cancel_what_does_not_decode(tree: Tree) -> None:
    assert end_of(tree, "decorated", {"to": "a@b.c"}, external_id="typed").status == "attempts_left"
    assert journal(tree, "typed").count(["a@b.c", "typed"]) == 2
    bad = end_of(tree, "decorated", {"to": 7})
    assert (bad.status, bad.attempts) == ("attempts_left", 2)
    assert "Expected `str`, got `int` - at `$.to`" in bad.errors
    assert end_of(tree, "told", {"to": "d@e.f"}).status == "done"
    assert ["d@e.f"] in journal(tree, "told")
    assert end_of(tree, "told", {"from": 1}).status == "canceled"


def test_task_processor_may_be_an_object_a_coroutine_or_nothing_at_all(tree: Tree) -> None:
    assert end_of(tree, "noop").status == "done"
    ended = end_of(tree, "coroutine", external_id="c")
    assert (ended.status, ended.result) == ("done", {"follow-up": "done"})


def test_with_workers_count_timeout_attempts_and_next_attempt_at_func(tree: Tree) -> None:
    eventually(lambda: len(tree.workers("limite")) == 2)
    ended = end_of(tree, "limited")
    assert (ended.status, ended.attempts) == ("attempts_left", 3)
    assert ended.errors == "".join(f"attempt {n}: task processing timeout: 0.3s\n" for n in (1, 2, 3))


def test_with_workers_panic_handler_hears_of_a_crash(tree: Tree) -> None:
    ended = end_of(tree, "crashing", external_id="c")
    assert ended.errors == "attempt 1: worker crashed: signal 11 (SIGSEGV)\n"
    eventually(lambda: ["crashing", "c", "11"] in journal(tree, "crash"))


def test_with_task_fetcher_max_tasks_tick_and_timeout(tree: Tree) -> None:
    names = [f"f{n}" for n in range(7)]
    tree.database.enqueue("fetched", *names)
    eventually(lambda: tree.database.counts("fetched") == {"done": 7})
    tree.assert_each_ran(1, names)


def test_with_hooks_before_processing_and_after(tree: Tree) -> None:
    with goque.with_value("tenant", "acme"):
        end_of(tree, "hooked", external_id="h")
    assert journal(tree, "before") == [["h", "acme"]]
    assert journal(tree, "after") == journal(tree, "after-that") == [["h", "acme", "NoneType"]]


def test_with_cleaner_period_and_healer_period_and_their_like(tree: Tree) -> None:
    database = tree.database
    done = database.queue.enqueue("upkept")
    eventually(lambda: done.id not in {task.id for task in database.tasks("upkept")})
    abandoned = str(uuid.uuid4())
    stamp = {"sqlite": "'2026-11-23T21:02:33Z'"}.get(database.backend, "'2026-11-23 21:02:33'")
    database.execute(
        "INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, updated_at,"
        f" next_attempt_at) VALUES ('{abandoned}', 'upkept', 'abandoned', '{{}}', 'processing', 0, '{{}}',"
        f" {stamp}, {stamp}, {stamp})"
    )
    eventually(lambda: "of type 'upkept' whose claim had no owner" in tree.log)
    eventually(
        lambda: abandoned not in {task.id for task in database.tasks("upkept")}
    )  # it ran, and was cleaned


def test_static_next_attempt_at_func_and_the_other_strategies(tree: Tree) -> None:
    expected = {"static": 100, "step": 200, "round": 60, "strong": 60, "exponential": 400}
    for task_type in expected:
        tree.database.queue.enqueue(task_type)
    eventually(lambda: all(tree.database.counts(task_type) == {"error": 1} for task_type in expected))
    for task_type, wait in expected.items():
        [task] = tree.database.tasks(task_type)
        assert task.next_attempt_at is not None
        assert task.updated_at is not None
        waits = (task.next_attempt_at - task.updated_at).total_seconds()
        assert 0.74 * wait <= waits <= 1.26 * wait if task_type == "exponential" else abs(waits - wait) < 1.0
        tree.database.queue.cancel_task(task.id)


def test_new_periodic_job_with_run_on_start_and_new_cron_job_in_a_time_zone(tree: Tree) -> None:
    def made(prefix: str) -> list[goque.Task]:
        return [task for task in tree.database.tasks("noop") if task.external_id.startswith(prefix)]

    eventually(lambda: len(made("cron:")) >= 2)
    assert len(made("pulse:start:")) == 1
    for task in made("cron:"):
        slot = datetime.fromisoformat(task.payload)
        assert slot.utcoffset() == timedelta(0)
        assert task.external_id == f"cron:{slot.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def test_with_value_is_restored_in_the_handler_and_carried_on(tree: Tree) -> None:
    with goque.with_values({"tenant": "umbrella", "n": 1}):
        end_of(tree, "hooked", external_id="v")
    assert ["umbrella", "True", "None"] in journal(tree, "tenant")
    assert tree.database.task("carries-v").metadata == {"tenant": "umbrella", "n": 1}


def test_err_task_cancel_and_err_task_timeout_end_a_handler(tree: Tree) -> None:
    ended = end_of(tree, "decorated", {"to": "stop"})
    assert (ended.status, ended.attempts, ended.errors) == ("canceled", 0, "canceled: enough\n")
    running = tree.database.queue.enqueue("limited", external_id="cancelled from outside")
    eventually(lambda: tree.database.queue.get_task(running.id).status in ("processing", "error"))
    tree.database.queue.cancel_task(running.id)
    assert tree.database.queue.wait(running.id, timeout=30).status == "canceled"
