"""Cancels, resets and cleaning that race with claims, starts and ends: only the moves of the table happen."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from databases import Database, on_every_backend
from tree import StartTree, Tree, eventually

from goque import Task, TaskNotFoundError, TaskQueueManager, TaskStateError
from goque.task_row import TERMINAL_STATUSES

APP = """
options = dict(workers=1, fetch_tick=0.05, max_attempts=3, next_attempt_at=retry.static(0.01))

def work(task: Task):
    number = int(task.external_id[1:])
    with run_of(task):
        time.sleep(0.004 * (number % 5))
        if number % 7 == 0 and task.attempts == 0:
            raise ValueError("a failure among others")

for task_type in ("canceled", "reset", "cleaned"):
    registry.add_processor(task_type, work, **options)
"""
MOVES = {
    ("new", "pending"),
    ("error", "pending"),
    *(("pending", to) for to in ("processing", "new", "error", "done", "attempts_left", "canceled")),
    *(("processing", to) for to in ("done", "error", "attempts_left", "new", "canceled")),
    ("new", "canceled"),
    ("error", "canceled"),
}
RESETS = {(status, "new") for status in ("done", "canceled", "attempts_left", "error")}


@contextmanager
def rival(
    database: Database, act: Callable[[TaskQueueManager, str], object], ids: list[str]
) -> Iterator[None]:
    """Do something to tasks at random, over a connection of its own."""
    over = threading.Event()
    choose = random.Random(len(ids)).choice

    def work() -> None:
        with TaskQueueManager(database.url) as queue:
            while not over.wait(0.001):
                act(queue, choose(ids))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@on_every_backend
@pytest.mark.fault(38)
def test_row_38_cancels_resets_and_cleaning_race_with_all_else_and_only_known_moves_happen(
    start_tree: StartTree, database: Database
) -> None:
    database.queue.get_tasks()
    database.log_moves()
    tree = start_tree(app=APP)
    names = [f"n{n}" for n in range(400)]
    by_type = {kind: database.enqueue(kind, *names) for kind in ("canceled", "reset", "cleaned")}
    ids = {kind: [task.id for task in tasks] for kind, tasks in by_type.items()}
    canceled: set[str] = set()

    def cancel(queue: TaskQueueManager, task_id: str) -> None:
        with suppress(TaskNotFoundError):  # it is cleaned
            if queue.cancel_task(task_id):
                canceled.add(task_id)

    def reset(queue: TaskQueueManager, task_id: str) -> None:
        with suppress(TaskStateError):  # it is claimed
            queue.reset_attempts(task_id)

    def clean(queue: TaskQueueManager, task_id: str) -> None:
        del task_id
        queue.storage.delete_finished("cleaned", TERMINAL_STATUSES, 0.0, limit=5)

    with (
        rival(database, cancel, [*ids["canceled"], *ids["cleaned"], *ids["reset"]]),
        rival(database, reset, ids["reset"]),
        rival(database, clean, ids["cleaned"]),
    ):
        eventually(lambda: is_settled(database, "canceled") and database.counts("cleaned") == {}, within=30)
    eventually(database.is_settled, within=30)
    assert_moves(database, canceled, ids["canceled"])
    assert_all_ran(tree, canceled, by_type["cleaned"])


def is_settled(database: Database, kind: str) -> bool:
    return not database.counts(kind).keys() - {"done", "canceled", "attempts_left"}


def assert_moves(database: Database, canceled: set[str], ids: list[str]) -> None:
    seen = database.moves()
    assert {move[1:] for move in seen if move[0] != "reset"} - MOVES == set()
    assert {move[1:] for move in seen if move[0] == "reset"} - MOVES - RESETS == set()
    assert {("reset", *move) for move in RESETS} & seen
    states = {task.id: task.status for task in database.tasks("canceled")}
    assert states.keys() == set(ids)
    assert {task_id for task_id in ids if states[task_id] == "canceled"} == canceled.intersection(ids)
    assert canceled.intersection(ids)


def assert_all_ran(tree: Tree, canceled: set[str], tasks: list[Task]) -> None:
    ended = {line[1] for line in tree.journal() if line[0] == "end"}
    assert {task.external_id for task in tasks if task.id not in canceled} - ended == set()
