from __future__ import annotations

import dill
import pytest

import goque
from goque.errors import ConfigurationError, TaskNotFoundError
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def test_a_task_comes_back_as_it_went_in(queue):
    task = queue.enqueue("mail", {"to": "a@b.c"}, external_id="order-7", metadata={"a": 1}, priority=5)
    found = queue.get_task(task.id)
    assert (found.type, found.payload, found.external_id) == ("mail", {"to": "a@b.c"}, "order-7")
    assert (found.metadata, found.priority, found.status) == ({"a": 1}, 5, TaskStatus.NEW)
    assert (found.created_at, found.next_attempt_at) == (task.created_at, task.next_attempt_at)


def test_values_of_the_context_go_into_the_metadata_and_what_is_given_wins(queue):
    with goque.with_values({"user": 1, "tenant": "a"}):
        single = queue.enqueue("mail", metadata={"user": 2})
        bulk = queue.add_tasks([Task("mail"), Task("mail", metadata={"tenant": "b"})])
    assert queue.get_task(single.id).metadata == {"user": 2, "tenant": "a"}
    assert [queue.get_task(task.id).metadata for task in bulk] == [
        {"user": 1, "tenant": "a"},
        {"user": 1, "tenant": "b"},
    ]
    assert queue.get_task(queue.enqueue("mail").id).metadata == {}


def test_a_priority_comes_from_the_caller_or_else_from_the_type(storage):
    queue = TaskQueueManager(storage, default_priorities={"mail": 7}.get)
    assert queue.enqueue("mail").priority == 7
    assert queue.enqueue("mail", priority=0).priority == 0


@pytest.mark.parametrize(
    "task_id",
    ["", "unknown", "019ab5a0-7c3e-7d5e-8f00-0123456789ab", "'; DROP TABLE goque_task", "\0", None, 7],
)
def test_an_id_that_no_task_has_is_said_so(queue, task_id):
    for call in (queue.get_task, queue.cancel_task, queue.reset_attempts):
        with pytest.raises(TaskNotFoundError, match="no task has the id"):
            call(task_id)


def test_tasks_are_found_by_a_filter(queue):
    tasks = [queue.enqueue("mail") for _ in range(3)]
    queue.cancel_task(tasks[0].id)
    assert [task.id for task in queue.get_tasks(TaskFilter(status=TaskStatus.CANCELED))] == [tasks[0].id]
    assert len(queue.get_tasks(limit=2)) == 2
    for limit in (0, -1, True, "5", 2.5, 10**30, None):
        with pytest.raises(ConfigurationError, match="limit"):
            queue.get_tasks(limit=limit)


def test_what_is_no_filter_is_refused(queue):
    for wrong in ("mail", {"task_type": "mail"}, ["done"], 5):
        with pytest.raises(ConfigurationError, match="TaskFilter"):
            queue.get_tasks(wrong)


@pytest.mark.parametrize("kind", [TaskQueueManager, goque.AsyncTaskQueueManager])
def test_what_is_no_database_is_refused(kind):
    for wrong in (5, b"sqlite:///goque.db", object()):
        with pytest.raises(ConfigurationError, match="must be a URL, a storage or None"):
            kind(wrong)
    with pytest.raises(ConfigurationError, match="default_priorities must be a function"):
        kind("sqlite:///goque.db", default_priorities={"mail": 7})


def test_what_is_no_task_cannot_be_added(queue):
    for wrong in (5, None):
        with pytest.raises(ConfigurationError, match="an iterable of goque"):
            queue.add_tasks(wrong)
    with pytest.raises(ConfigurationError, match="only a Task"):
        queue.add_tasks([Task("mail"), {"type": "mail"}])
    with pytest.raises(ConfigurationError, match="on_conflict"):
        queue.add_tasks([], on_conflict="update")
    assert queue.get_tasks() == []


def test_a_manager_closes_at_the_end_of_its_block(backend, storage):
    with TaskQueueManager(backend.url) as queue:
        task = queue.enqueue("mail")
    assert queue.storage._connections._session is None
    assert queue.get_task(task.id).id == task.id
    queue.close()


def test_a_copy_for_another_process_connects_by_itself(backend, storage):
    original = TaskQueueManager(backend.url)
    original.add_task_in_background(Task("mail", external_id="of the original"))
    with dill.loads(dill.dumps(original)) as copy:
        copy.add_task_in_background(Task("mail", external_id="of the copy"))
        assert copy.storage is not original.storage
    original.close()
    found = {row.external_id for row in storage.find_tasks(TaskFilter(), limit=10)}
    assert found == {"of the original", "of the copy"}
    assert repr(dill.loads(dill.dumps(goque.AsyncTaskQueueManager(backend.url)))).startswith("<Async")
