from __future__ import annotations

import json
from datetime import timedelta

import pytest
from backends import START, add, row_of

from goque.errors import DuplicateTaskError, InvalidPayloadFormatError, PayloadEncodeError
from goque.task import Task
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus


def test_a_new_row_is_what_the_original_expects(storage):
    task = add(storage)
    row = row_of(storage, task)
    assert row.status == "new"
    assert row.attempts == 0
    assert row.errors is None
    assert row.metadata == b"{}"
    assert json.loads(row.payload) == {"n": 1}
    assert row.external_id.startswith("internal-")
    assert row.created_at == row.next_attempt_at == task.created_at == task.next_attempt_at == START
    assert row.updated_at is None
    assert (row.priority, row.result, row.claimed_by, row.claims, row.lost_claims) == (0, None, None, 0, 0)


def test_delay_and_run_at_set_when_a_task_is_due(storage):
    delayed = add(storage, delay=60)
    later = add(storage, run_at=START + timedelta(days=1))
    assert (
        row_of(storage, delayed).next_attempt_at == delayed.next_attempt_at == START + timedelta(seconds=60)
    )
    assert row_of(storage, later).next_attempt_at == START + timedelta(days=1)


def test_a_taken_external_id_is_refused_and_named(storage):
    add(storage, external_id="order-7")
    with pytest.raises(DuplicateTaskError, match="order-7") as refusal:
        add(storage, external_id="order-7")
    assert refusal.value.task_type == "mail"
    assert refusal.value.external_id == "order-7"


def test_external_ids_differ_by_type_case_and_spaces(storage):
    for task_type, external_id in [("mail", "a"), ("sms", "a"), ("mail", "A"), ("mail", "a "), ("Mail", "a")]:
        add(storage, task_type, external_id=external_id)
    assert sum(count.count for count in storage.count_tasks()) == 5


def test_a_bulk_insert_with_one_duplicate_inserts_nothing(storage):
    add(storage, external_id="taken")
    tasks = [Task("mail", external_id=name) for name in ("free-1", "taken", "free-2")]
    with pytest.raises(DuplicateTaskError, match="'taken'"):
        storage.insert_tasks(tasks)
    assert sum(count.count for count in storage.count_tasks()) == 1
    assert tasks[0].created_at is None


def test_a_bulk_insert_with_a_repeat_in_itself_inserts_nothing(storage):
    task = Task("mail", external_id="twice")
    for repeat in (task, Task("mail", external_id="twice")):
        with pytest.raises(DuplicateTaskError, match="twice"):
            storage.insert_tasks([task, repeat])
    assert storage.count_tasks() == []


def test_skip_inserts_the_rest_in_order_and_returns_it(storage):
    add(storage, external_id="taken")
    tasks = [Task("mail", external_id=name) for name in ("b", "taken", "a", "b")]
    inserted = storage.insert_tasks(tasks, on_conflict="skip")
    assert inserted == [tasks[0], tasks[2]]
    assert all(task.created_at == START for task in inserted)
    assert storage.insert_tasks([tasks[0]], on_conflict="skip") == []


def test_a_bulk_insert_of_nothing_is_nothing(storage):
    assert storage.insert_tasks([]) == []


@pytest.mark.fault(35)
@pytest.mark.fault(40)
def test_every_text_goes_in_and_comes_out_unchanged(storage):
    hostile = """Robert'); DROP TABLE goque_task;-- "quoted" \\back %s :now ? 日本 🎉 <script>"""
    single = storage.insert_tasks([Task(hostile, {"text": hostile}, external_id=hostile)])
    bulk = storage.insert_tasks(
        [
            Task(hostile, {"text": hostile}, external_id=hostile + str(n), metadata={hostile: n})
            for n in range(3)
        ]
    )
    for task in (*single, *bulk):
        restored = Task.from_row(row_of(storage, task))
        assert restored.type == hostile
        assert restored.external_id == task.external_id
        assert restored.payload == {"text": hostile}
        assert restored.metadata == task.metadata
    assert len(storage.claim_due(hostile, "node-1", 10)) == 4


def test_tasks_are_found_by_exactly_their_limit_key(storage):
    keys = ["acme", "acme ", "Acme", None, "acme"]
    tasks = storage.insert_tasks([Task("mail", {}, limit_key=key) for key in keys])
    other = storage.insert_tasks([Task("sms", {}, limit_key="acme")])[0]

    def found(**fields: object) -> list[str]:
        return [row.id for row in storage.find_tasks(TaskFilter(**fields), limit=10)]

    storage.cancel_unless_finished(tasks[0].id)
    assert found(limit_key="acme") == [other.id, tasks[4].id, tasks[0].id]
    assert found(limit_key="acme", task_type="mail", status=TaskStatus.NEW) == [tasks[4].id]
    assert found(limit_key="acme ") == [tasks[1].id]
    assert found(limit_key="Acme") == [tasks[2].id]
    assert found(limit_key="' OR 1=1 --") == []


def test_filters_combine_and_the_newest_come_first(storage, clock):
    mails = [add(storage) for _ in range(3)]
    add(storage, "sms")
    clock.advance(10)
    storage.cancel_unless_finished(mails[0].id)

    def found(**fields: object) -> list[str]:
        return [row.id for row in storage.find_tasks(TaskFilter(**fields), limit=10)]

    assert found(task_type="mail") == [mails[2].id, mails[1].id, mails[0].id]
    assert found(task_type="mail", status=TaskStatus.NEW) == [mails[2].id, mails[1].id]
    assert found(statuses=[TaskStatus.CANCELED, TaskStatus.DONE]) == [mails[0].id]
    assert found(ids=[mails[1].id, mails[2].id, "unknown"]) == [mails[2].id, mails[1].id]
    assert found(ids=[]) == []
    assert mails[0].id not in found(updated_before=START + timedelta(seconds=10))
    assert len(found(updated_before=START + timedelta(seconds=10))) == 3
    assert len(found(updated_at_time_ago=timedelta(seconds=10))) == 3
    assert len(found(updated_at_time_ago=0)) == 4
    assert len(storage.find_tasks(TaskFilter(), limit=2)) == 2


def test_counts_come_by_type_and_status(storage):
    for task_type in ("b", "a", "b"):
        add(storage, task_type)
    storage.claim_due("b", "node-1", 1)
    assert [(count.type, count.status, count.count) for count in storage.count_tasks()] == [
        ("a", "new", 1),
        ("b", "new", 1),
        ("b", "pending", 1),
    ]


@pytest.mark.parametrize("metadata", [{"a": object()}, {"a": "\0"}, {"a": "x" * 2_000_000}, {"a": "\ud800"}])
def test_metadata_that_no_database_keeps_is_refused_and_nothing_inserted(storage, metadata):
    for tasks in ([Task("mail", metadata=metadata)], [Task("mail"), Task("mail", metadata=metadata)]):
        with pytest.raises((PayloadEncodeError, InvalidPayloadFormatError), match="metadata"):
            storage.insert_tasks(tasks)
    assert storage.count_tasks() == []


def test_an_unknown_id_is_none(storage):
    assert storage.get_task("unknown") is None
