"""A node that answers requests for stacks, for tests of those who ask. Its tasks are claimed, and nothing runs."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from goque import Task
from goque.stacks.answer import StackAnswer, StackState, encode_answer
from goque.stacks.frames import Frame
from goque.storage import open_storage
from goque.storage.contract import TaskStorage
from goque.task_row import TaskRow

NODE = "node-1"
TAKEN = StackAnswer(
    StackState.TAKEN,
    worker_pid=4711,
    seconds=12.34,
    step="page-3",
    frames=(
        Frame("/srv/app/tasks.py", 12, "resize", "image = load(path)"),
        Frame("/srv/app/<b>evil\x1b[31m.py", 3, "load"),
    ),
)


def begin(storage: TaskStorage, task_type: str = "resize", **options: object) -> TaskRow:
    """Insert a task of a node that is alive, claim it, and say that it runs."""
    storage.insert_tasks([Task(task_type, {}, **options)])  # type: ignore[arg-type]  # as the test gives them
    if storage.node(NODE) is None:
        storage.register_node(NODE, host="web-1", pid=42)
    [row] = storage.claim_due(task_type, NODE, 1)
    storage.mark_processing([row.token])
    return row


@contextlib.contextmanager
def answering(url: str, answer: StackAnswer | str = TAKEN) -> Iterator[list[str]]:
    """Answer every request with this answer, in a thread; yields the ids of the tasks that were asked for."""
    asked: list[str] = []
    stopping = threading.Event()
    text = answer if isinstance(answer, str) else encode_answer(answer)

    def answer_all() -> None:
        with contextlib.closing(open_storage(url)) as storage:
            while not stopping.wait(0.01):
                requests = storage.claim_news(NODE).stack_requests
                storage.answer_stacks([(request.id, text) for request in requests])
                asked.extend(request.task_id for request in requests)

    thread = threading.Thread(target=answer_all)
    thread.start()
    try:
        yield asked
    finally:
        stopping.set()
        thread.join()
