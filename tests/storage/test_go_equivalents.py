"""What docs/from_go.md promises about the queue, on each backend: a test for each row of its table.

The rows about running tasks are in tests/process/test_go_equivalents_in_a_tree.py.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import msgspec
import pytest
from backends import START, claim, move, row_of
from opentelemetry.sdk.trace import TracerProvider

import goque
from goque.task_row import TaskStatus
from goque.telemetry import service_name


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


def test_new_storage_opens_any_backend_by_its_url(backend, storage):
    with contextlib.closing(goque.open_storage(backend.url)) as opened:
        assert isinstance(opened, goque.TaskStorage)
        [task] = opened.insert_tasks([goque.Task("mail")])
        assert storage.get_task(task.id).status == "new"


def test_new_task_queue_manager_takes_a_url_or_a_storage_or_the_registrys(backend, storage, monkeypatch):
    monkeypatch.delenv("GOQUE_DATABASE_URL", raising=False)
    registry = goque.Registry(database_url=backend.url)
    registry.declare("mail")
    with goque.TaskQueueManager(backend.url) as by_url, goque.TaskQueueManager(storage) as by_storage:
        ids = {queue.enqueue("mail").id for queue in (by_url, by_storage, registry.queue)}
        assert {task.id for task in by_url.get_tasks()} == ids
    registry.queue.close()

    async def awaited():
        async with goque.AsyncTaskQueueManager(backend.url) as queue:
            return {task.id for task in await queue.get_tasks()}

    assert asyncio.run(awaited()) == ids


def test_add_task_to_queue_inserts_one_or_many(queue):
    built = goque.Task("mail", {"n": 1}, external_id="built")
    assert queue.add_task(built) is built
    assert built.created_at == START
    queue.enqueue("mail", {"n": 2}, external_id="at once")
    queue.add_tasks(goque.Task("mail", {"n": n}) for n in (3, 4))
    assert [task.payload["n"] for task in queue.get_tasks()] == [4, 3, 2, 1]


def test_async_add_task_to_queue_inserts_in_the_background(queue):
    queue.add_task_in_background(goque.Task("mail", external_id="soon"))
    assert queue.wait_background_adds(timeout=60)
    assert [task.external_id for task in queue.get_tasks()] == ["soon"]


def test_get_task_reads_one_and_get_tasks_what_a_filter_admits(queue):
    mail, sms = queue.enqueue("mail"), queue.enqueue("sms")
    assert queue.get_task(mail.id).type == "mail"
    assert [task.id for task in queue.get_tasks(goque.TaskFilter(task_type="sms"))] == [sms.id]
    assert [task.id for task in queue.get_tasks(limit=1)] == [sms.id]
    with pytest.raises(goque.TaskNotFoundError):
        queue.get_task(goque.Task("mail").id)


def test_reset_attempts_makes_new_and_cancel_task_ends(queue, storage):
    task = queue.enqueue("mail")
    assert queue.cancel_task(task.id)
    assert not queue.cancel_task(task.id)
    assert queue.get_task(task.id).status == TaskStatus.CANCELED
    assert queue.reset_attempts(task.id)
    assert queue.get_task(task.id).status == TaskStatus.NEW
    assert queue.get_task(task.id).errors.startswith("reset attempts: ")
    claim(storage)
    with pytest.raises(goque.TaskStateError):
        queue.reset_attempts(task.id)


def test_task_is_made_of_what_it_is_given(queue):
    run_at = START + timedelta(days=1)
    plain = queue.enqueue("mail")
    assert (plain.payload, plain.metadata, plain.priority) == ({}, {}, 0)
    assert plain.external_id.startswith("internal-")
    full = goque.Task(
        "mail", {"to": "a@b.c"}, external_id="order-7", metadata={"k": "v"}, run_at=run_at, priority=5
    )
    read = queue.get_task(queue.add_task(full).id)
    assert (read.payload, read.external_id, read.metadata) == ({"to": "a@b.c"}, "order-7", {"k": "v"})
    assert (read.next_attempt_at, read.priority, read.created_at) == (run_at, 5, START)
    late = queue.get_task(queue.enqueue("mail", delay=timedelta(minutes=1)).id)
    assert late.next_attempt_at == START + timedelta(minutes=1)
    raw = queue.get_task(queue.enqueue("mail", msgspec.Raw(b'{"encoded": [1, 2]}')).id)
    assert raw.payload == {"encoded": [1, 2]}
    assert queue.get_task(queue.enqueue("mail", goque.NO_TASK_PAYLOAD).id).payload == {}


def test_task_status_and_filter_and_metadata_are_found_by(queue, storage, clock):
    ids = {}
    for status in ("done", "canceled", "attempts_left", "error", "new"):
        task = queue.enqueue("mail", metadata={"wanted": status})
        if status != "new":
            storage.settle_if_held([move(claim(storage, limit=1)[0], TaskStatus(status), delay=3600.0)])
        ids[status] = task.id
        clock.advance(60)
    find = lambda **fields: {task.metadata["wanted"] for task in queue.get_tasks(goque.TaskFilter(**fields))}  # noqa: E731 - short
    assert find() == set(ids)
    assert find(status=TaskStatus.DONE) == {"done"}
    assert find(statuses=["done", "new"]) == {"done", "new"}
    assert find(ids=[ids["error"], ids["canceled"]], task_type="mail") == {"error", "canceled"}
    moved = {status: row_of(storage, queue.get_task(task_id)).updated_at for status, task_id in ids.items()}
    assert moved["canceled"] == START + timedelta(seconds=60)
    assert find(updated_before=moved["canceled"]) == {"done"}
    assert find(updated_at_time_ago=240) == {"done", "canceled"}
    assert find(updated_at_time_ago=timedelta(seconds=241)) == {"done"}


def test_with_value_travels_in_the_metadata_and_what_is_given_wins(queue):
    with goque.with_value("tenant", "acme"), goque.with_values({"language": "cs", "n": [1, {"deep": None}]}):
        assert goque.value_by_key("tenant") == "acme"
        assert goque.value_by_key("missing", "default") == "default"
        task = queue.enqueue("mail", metadata={"language": "en"})
    assert goque.values() == {}
    assert queue.get_task(task.id).metadata == {"tenant": "acme", "language": "en", "n": [1, {"deep": None}]}


def test_with_tx_shares_the_callers_transaction(queue, storage, backend):
    with contextlib.closing(backend.connect()) as conn:
        with goque.with_tx(conn):
            assert goque.tx_from_context() is conn
            queue.enqueue("mail", external_id="shared")
            assert [task.external_id for task in queue.get_tasks()] == ["shared"]
            with goque.without_tx():
                assert goque.tx_from_context() is None
                assert queue.get_tasks() == []
        assert storage.count_tasks() == []
        conn.rollback()
        queue.enqueue("mail", external_id="kept", conn=conn)
        conn.commit()
    assert [task.external_id for task in queue.get_tasks()] == ["kept"]
    with pytest.raises(TypeError):
        goque.with_tx(None)


def test_err_duplicate_task_and_the_others_say_what_is_wrong(queue):
    queue.enqueue("mail", external_id="order-7")
    with pytest.raises(goque.DuplicateTaskError, match="order-7"):
        queue.enqueue("mail", external_id="order-7")
    with pytest.raises(goque.InvalidPayloadFormatError):
        queue.enqueue("mail", "\0")
    with pytest.raises(goque.PayloadEncodeError):
        queue.enqueue("mail", object())
    assert len(queue.get_tasks()) == 1
    for error in (goque.PayloadDecodeError, goque.TaskCanceled, goque.TaskTimeout, goque.WorkerCrashed):
        assert issubclass(error, goque.GoqueError)


def test_set_metrics_service_name_and_tracer_provider_hold_from_where_they_are_called(queue, monkeypatch):
    monkeypatch.setattr(service_name, "_given", [])
    goque.set_metrics_service_name("shop")
    assert service_name.metrics_service_name() == "shop"
    goque.set_tracer_provider(TracerProvider)
    try:
        task = queue.enqueue("mail")
    finally:
        goque.set_tracer_provider(None)
    assert queue.get_task(task.id).metadata["traceparent"].startswith("00-")
    assert "traceparent" not in queue.get_task(queue.enqueue("mail").id).metadata
