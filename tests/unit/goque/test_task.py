from __future__ import annotations

import copy
import math
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from goque.errors import ConfigurationError, PayloadDecodeError
from goque.task import NO_TASK_PAYLOAD, Task, TypedTask
from goque.task_filter import TaskFilter
from goque.task_row import CLAIMED_STATUSES, TERMINAL_STATUSES, TaskRow, TaskStatus
from unit.rows import NOW, row


def test_a_new_task_is_ready_to_be_inserted():
    task = Task("mail", {"to": "a@b.c"})
    assert (task.status, task.attempts, task.errors, task.priority, task.delay) == ("new", 0, None, 0, 0.0)
    assert task.metadata == {}
    assert task.payload == {"to": "a@b.c"}
    assert task.raw_payload == '{"to":"a@b.c"}'
    assert task.payload_bytes == b'{"to":"a@b.c"}'
    assert task.external_id.startswith("internal-")
    assert repr(task) == f"<Task mail {task.id} new>"


def test_without_a_payload_it_is_an_empty_object():
    assert Task("mail").raw_payload == "{}"
    assert Task("mail", NO_TASK_PAYLOAD).payload == {}


def test_metadata_is_a_copy():
    given = {"a": 1}
    task = Task("mail", metadata=given)
    task.metadata["b"] = 2
    assert given == {"a": 1}


def test_run_at_is_kept_in_utc():
    prague = timezone(timedelta(hours=1))
    task = Task("mail", run_at=datetime(2026, 11, 23, 22, 0, tzinfo=prague))
    assert task.next_attempt_at == datetime(2026, 11, 23, 21, 0, tzinfo=UTC)
    assert task.next_attempt_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"delay": -1}, "delay must be 0 or more"),
        ({"delay": float("nan")}, "delay must be 0 or more"),
        ({"delay": float("inf")}, "delay must be 0 or more"),
        ({"delay": timedelta(days=-1)}, "delay must be 0 or more"),
        ({"delay": True}, "delay must be seconds"),
        ({"delay": "60"}, "delay must be seconds"),
        ({"run_at": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - a naive one is the point
        ({"run_at": 5}, "time zone"),
        ({"run_at": NOW, "delay": 1}, "not both"),
        ({"run_at": NOW, "delay": 0}, "not both"),
        ({"priority": 101}, "-100 to 100"),
        ({"priority": -101}, "-100 to 100"),
        ({"priority": 1.0}, "whole number"),
        ({"priority": True}, "whole number"),
        ({"external_id": ""}, "external_id must have"),
        ({"metadata": "text"}, "metadata must be a mapping"),
        ({"metadata": {1: 2}}, "metadata"),
    ],
)
def test_what_no_task_can_have_is_refused_in_one_line(options, problem):
    with pytest.raises(ConfigurationError, match=problem) as refusal:
        Task("mail", **options)
    assert "\n" not in str(refusal.value)


def test_a_row_becomes_the_task_that_it_was():
    restored = Task.from_row(
        row(
            status="error",
            attempts=2,
            errors="attempt 2: boom\n",
            metadata=b'{"user":7}',
            result=b"[1]",
            priority=5,
            claimed_by="node-1",
            claims=3,
            lost_claims=1,
        )
    )
    assert restored.status is TaskStatus.ERROR
    assert (restored.attempts, restored.errors, restored.metadata) == (2, "attempt 2: boom\n", {"user": 7})
    assert (restored.result, restored.priority, restored.claimed_by) == ([1], 5, "node-1")
    assert (restored.claims, restored.lost_claims, restored.created_at) == (3, 1, NOW)
    assert restored.payload == {"to": "a@b.c"}


@pytest.mark.parametrize("metadata", [None, b"{}", b"null"])
def test_missing_metadata_is_empty(metadata):
    assert Task.from_row(row(metadata=metadata)).metadata == {}


@pytest.mark.parametrize("fields", [{"metadata": b"\xff"}, {"metadata": b"[1]"}, {"result": b"{"}])
def test_metadata_and_results_that_are_no_json_are_said_so(fields):
    (column,) = fields
    with pytest.raises(PayloadDecodeError, match=f"^{column} "):
        Task.from_row(row(**fields))


@pytest.mark.parametrize("payload", [b"not json", b"\xff\xfe", b"[" * 10_000, b"1e400", b""])
def test_a_payload_is_decoded_when_it_is_asked_for_and_not_before(payload):
    task = Task.from_row(row(payload=payload))
    assert isinstance(task.raw_payload, str)
    with pytest.raises(PayloadDecodeError):
        _ = task.payload


def test_a_row_crosses_a_wire_unchanged():
    before = row(payload=b"\xff", claimed_by="node-1", claims=2)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=TaskRow) == before
    assert before.token == ("019ab5a0-7c3e-7d5e-8f00-0123456789ab", 2, "node-1")
    assert row().token.owner == ""


def test_statuses_are_their_text_and_known_by_kind():
    assert {status.value for status in TaskStatus} == {
        "new",
        "pending",
        "processing",
        "done",
        "canceled",
        "error",
        "attempts_left",
        "blocked",
    }
    assert {status for status in TaskStatus if status.is_terminal} == TERMINAL_STATUSES
    assert not TERMINAL_STATUSES & CLAIMED_STATUSES


def test_a_task_can_be_copied():
    task = Task("mail", {"n": 1})
    assert copy.deepcopy(task).payload == {"n": 1}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ids": ["a"], "task_type": "mail", "status": TaskStatus.DONE, "updated_before": NOW},
        {"ids": ("a", "b"), "status": "done", "statuses": ["new", TaskStatus.ERROR]},
        {"ids": [], "statuses": [], "updated_at_time_ago": timedelta(hours=1)},
        {"updated_at_time_ago": 0},
        {"limit_key": "acme "},
    ],
)
def test_a_filter_takes_what_its_fields_are(fields):
    assert TaskFilter(**fields)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"ids": "019ab5a0"}, "ids must be a list, not '019ab5a0'"),
        ({"ids": (task_id for task_id in ["a"])}, "ids must be a list"),
        ({"ids": [1]}, "ids must be texts, not 1"),
        ({"task_type": ["mail"]}, r"task_type must be text, not \['mail'\]"),
        ({"limit_key": ""}, "limit_key must have 1 to 255 characters"),
        ({"limit_key": 7}, "limit_key must be text, not 7"),
        ({"status": "finished"}, "a status is one of new, pending, .*, not 'finished'"),
        ({"status": 5}, "a status is one of"),
        ({"statuses": "done"}, "statuses must be a list, not 'done'"),
        ({"statuses": ["done", "gone"]}, "not 'gone'"),
        ({"updated_before": datetime(2026, 11, 23)}, "updated_before must be a datetime with a time zone"),  # noqa: DTZ001 - that is the mistake
        ({"updated_before": "2026-11-23"}, "updated_before must be a datetime with a time zone"),
        ({"updated_at_time_ago": "1h"}, "updated_at_time_ago must be seconds or a timedelta, not '1h'"),
        ({"updated_at_time_ago": -1}, "updated_at_time_ago must be 0 or more seconds"),
        ({"updated_at_time_ago": math.nan}, "updated_at_time_ago must be 0 or more seconds"),
        ({"updated_at_time_ago": 10**400}, "updated_at_time_ago must be 0 or more seconds"),
    ],
)
def test_a_filter_refuses_another_type_in_one_line(fields, told):
    with pytest.raises(ConfigurationError, match=told) as refusal:
        TaskFilter(**fields)
    assert "\n" not in str(refusal.value)


class Email(msgspec.Struct):
    to: str


def test_a_typed_task_that_is_made_by_hand_has_the_payload_that_it_was_given():
    task = TypedTask("mail", Email("a@b.c"), priority=3, external_id="order-7")
    assert task.payload == Email("a@b.c")
    assert (task.priority, task.external_id, task.payload_bytes) == (3, "order-7", b'{"to":"a@b.c"}')
    assert TypedTask("mail", None).payload is None
    assert TypedTask("mail").payload == {}
    assert TypedTask("mail", msgspec.Raw(b"[1]")).payload == [1]


def test_a_typed_task_that_was_read_without_a_type_has_the_plain_value():
    assert TypedTask.from_row(row()).payload == Task.from_row(row()).payload
    assert copy.copy(TypedTask("mail", Email("a@b.c"))).payload == Email("a@b.c")
