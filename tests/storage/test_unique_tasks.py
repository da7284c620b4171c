"""Tasks with unique keys: who is kept out, for how long, and what a second call does instead."""

from __future__ import annotations

from datetime import timedelta

import pytest
from backends import START, add, claim, done, move, row_of

from goque.errors import DuplicateTaskError
from goque.queue.manager import TaskQueueManager
from goque.task import Task
from goque.task_row import TaskStatus


@pytest.fixture
def queue(storage):
    return TaskQueueManager(storage)


def enqueue(queue, **options):
    return queue.enqueue("mail", options.pop("payload", {"n": 1}), **options)


def is_free(queue, unique, key="k"):
    """Whether a second task with the key is let in."""
    there = enqueue(queue, unique=unique, unique_key=key, on_conflict="skip")
    return there.inserted


def finish(storage, status=TaskStatus.DONE):
    [row] = claim(storage)
    storage.settle_if_held([done(row) if status == TaskStatus.DONE else move(row, status, attempts=5)])


def test_a_second_task_is_refused_and_the_first_named(queue):
    first = enqueue(queue, unique="waiting", unique_key="order-7")
    assert first.inserted
    assert first.unique_key == "w:order-7"
    with pytest.raises(
        DuplicateTaskError, match=f"unique key 'order-7' exists already.* {first.id} "
    ) as refusal:
        enqueue(queue, unique="waiting", unique_key="order-7")
    assert refusal.value.existing_id == first.id
    assert refusal.value.unique_key == "w:order-7"


def test_a_taken_external_id_names_the_task_that_has_it(queue):
    first = enqueue(queue, external_id="order-7")
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, external_id="order-7")
    assert refusal.value.existing_id == first.id
    assert refusal.value.unique_key is None


def test_keys_differ_by_type_case_and_spaces(queue):
    for task_type, key in [("mail", "a"), ("sms", "a"), ("mail", "A"), ("mail", "a "), ("mail", ":a")]:
        assert queue.enqueue(task_type, unique="active", unique_key=key).inserted


def test_the_payload_is_the_key_whatever_the_order_of_its_fields(queue):
    first = enqueue(queue, payload={"a": 1, "b": {"c": [1, 2], "d": None}}, unique="active")
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, payload={"b": {"d": None, "c": [1, 2]}, "a": 1}, unique="active")
    assert refusal.value.existing_id == first.id
    assert enqueue(queue, payload={"a": 1, "b": {"c": [2, 1], "d": None}}, unique="active").inserted


def test_a_waiting_key_is_free_from_the_first_claim(queue, storage):
    enqueue(queue, unique="waiting", unique_key="k")
    assert not is_free(queue, "waiting")
    [row] = claim(storage)
    assert row.unique_key == "w:k"
    assert is_free(queue, "waiting")


def test_a_waiting_key_stays_free_when_the_claim_is_given_back(queue, storage):
    enqueue(queue, unique="waiting", unique_key="k")
    [row] = claim(storage)
    second = enqueue(queue, unique="waiting", unique_key="k")
    storage.settle_if_held([move(row, TaskStatus.NEW)])
    assert row_of(storage, row).status == "new"
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique="waiting", unique_key="k")
    assert refusal.value.existing_id == second.id


def test_an_active_key_is_held_until_the_end(queue, storage):
    task = enqueue(queue, unique="active", unique_key="k")
    [row] = claim(storage)
    assert not is_free(queue, "active")
    storage.mark_processing([row.token])
    assert not is_free(queue, "active")
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1)])
    assert not is_free(queue, "active")
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    assert row_of(storage, task).status == "done"
    assert is_free(queue, "active")


@pytest.mark.parametrize("status", [TaskStatus.ATTEMPTS_LEFT, TaskStatus.CANCELED])
def test_an_active_key_is_free_after_a_bad_end(queue, storage, status):
    enqueue(queue, unique="active", unique_key="k")
    finish(storage, status)
    assert is_free(queue, "active")


def test_an_active_key_is_held_until_a_canceled_handler_has_stopped(queue, storage):
    task = enqueue(queue, unique="active", unique_key="k")
    [row] = claim(storage)
    storage.mark_processing([row.token])
    assert queue.cancel_task(task.id)
    assert not is_free(queue, "active")
    storage.settle_if_held([move(row, TaskStatus.CANCELED)])
    assert is_free(queue, "active")


def test_a_canceled_waiting_task_gives_its_key_back(queue):
    for unique in ("waiting", "active"):
        task = enqueue(queue, unique=unique, unique_key=unique)
        assert queue.cancel_task(task.id)
        assert is_free(queue, unique, unique)


def test_the_task_that_holds_the_key_decides_how_long(queue, storage):
    enqueue(queue, unique="active", unique_key="k")
    assert not is_free(queue, "waiting")
    claim(storage)
    assert not is_free(queue, "waiting")


def test_a_window_is_aligned_to_the_epoch_by_the_databases_clock(queue, clock):
    clock.now = START.replace(minute=0, second=0, microsecond=0)
    first = enqueue(queue, unique=60, unique_key="k")
    clock.advance(59.9)
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique=timedelta(minutes=1), unique_key="k")
    assert refusal.value.existing_id == first.id
    assert enqueue(queue, unique=30, unique_key="k").inserted  # windows of another length are others
    clock.advance(0.1)
    assert enqueue(queue, unique=60, unique_key="k").inserted


def test_a_window_is_held_also_after_the_end(queue, storage):
    enqueue(queue, unique=3600, unique_key="k")
    finish(storage)
    assert not is_free(queue, 3600)
    with pytest.raises(DuplicateTaskError, match="status done; wait for the next window, or "):
        enqueue(queue, unique=3600, unique_key="k")


def test_skip_returns_the_task_that_is_there(queue, storage):
    first = enqueue(queue, unique="active", unique_key="k")
    there = enqueue(queue, payload={"n": 2}, unique="active", unique_key="k", on_conflict="skip")
    assert (there.id, there.inserted, there.payload) == (first.id, False, {"n": 1})
    by_id = enqueue(queue, payload={"n": 2}, external_id=first.external_id, on_conflict="skip")
    assert (by_id.id, by_id.inserted) == (first.id, False)
    assert sum(count.count for count in storage.count_tasks()) == 1


def test_replace_gives_the_waiting_task_the_new_content(queue, storage, clock):
    first = enqueue(queue, unique="waiting", unique_key="k", delay=60)
    clock.advance(1)
    there = enqueue(
        queue,
        payload={"n": 2},
        unique="waiting",
        unique_key="k",
        on_conflict="replace",
        priority=5,
        delay=10,
        metadata={"by": "ada"},
    )
    assert (there.id, there.inserted, there.payload, there.priority) == (first.id, False, {"n": 2}, 5)
    kept = queue.get_task(first.id)
    assert (kept.payload, kept.priority, kept.metadata) == ({"n": 2}, 5, {"by": "ada"})
    assert kept.next_attempt_at == there.next_attempt_at == START + timedelta(seconds=11)
    assert kept.created_at == START
    assert kept.external_id == first.external_id
    assert not is_free(queue, "waiting")


def test_replace_by_external_id(queue):
    first = enqueue(queue, external_id="order-7", delay=60)
    there = enqueue(queue, payload={"n": 2}, external_id="order-7", on_conflict="replace")
    assert (there.id, there.inserted) == (first.id, False)
    assert queue.get_task(first.id).payload == {"n": 2}


@pytest.mark.parametrize("before", [{}, {"unique": "active"}, {"unique": "waiting", "unique_key": "old"}])
def test_a_task_replaced_by_its_external_id_gets_the_new_unique_key(queue, before):
    first = enqueue(queue, external_id="order-7", **before)
    there = enqueue(queue, payload={"n": 2}, external_id="order-7", unique="active", on_conflict="replace")
    assert there.id == first.id
    assert there.unique_key == queue.get_task(first.id).unique_key
    assert enqueue(queue, payload={"n": 2}, unique="active", on_conflict="skip").id == first.id
    assert enqueue(queue, **{"unique": "active", **before}).inserted


def test_a_task_replaced_without_a_unique_key_keeps_its_own(queue):
    first = enqueue(queue, external_id="order-7", unique="active", unique_key="k")
    there = enqueue(queue, payload={"n": 2}, external_id="order-7", on_conflict="replace")
    assert there.unique_key == queue.get_task(first.id).unique_key == "a:k"


def test_replace_by_external_id_is_refused_if_a_third_task_holds_the_new_key(queue, storage):
    first = enqueue(queue, external_id="order-7")
    third = enqueue(queue, unique="active", unique_key="k")
    new = Task("mail", {"n": 2}, external_id="order-7", unique="active", unique_key="k")
    for call in (queue.add_task, lambda task, **options: queue.add_tasks([Task("mail"), task], **options)):
        with pytest.raises(DuplicateTaskError, match="unique key 'k'") as refusal:
            call(new, on_conflict="replace")
        assert refusal.value.existing_id == third.id
    assert queue.get_task(first.id).payload == {"n": 1}
    assert sum(count.count for count in storage.count_tasks()) == 2


def test_replace_inserts_where_nobody_is(queue):
    assert enqueue(queue, unique="waiting", unique_key="k", on_conflict="replace").inserted


def test_replace_of_a_task_that_waits_for_a_retry(queue, storage):
    enqueue(queue, unique="active", unique_key="k")
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, delay=60)])
    there = enqueue(queue, payload={"n": 2}, unique="active", unique_key="k", on_conflict="replace")
    assert (there.id, there.status, there.attempts) == (row.id, "error", 1)
    assert [again.payload.replace(b" ", b"") for again in claim(storage)] == [b'{"n":2}']


@pytest.mark.parametrize("by", [{"unique": "active", "unique_key": "k"}, {"external_id": "order-7"}])
@pytest.mark.parametrize("has_ended", [False, True])
def test_replace_of_a_claimed_or_ended_task_is_refused(queue, storage, by, has_ended):
    if has_ended and "unique" in by:
        by = {"unique": 3600, "unique_key": "k"}
    first = enqueue(queue, **by)
    if has_ended:
        finish(storage)
    else:
        claim(storage)
    before = row_of(storage, first)
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, payload={"n": 2}, **by, on_conflict="replace")
    assert refusal.value.existing_id == first.id
    assert row_of(storage, first) == before


def test_debounce_puts_the_waiting_task_off_and_takes_the_last_payload(queue, storage, clock):
    first = enqueue(queue, debounce=30, unique_key="k")
    assert first.next_attempt_at == START + timedelta(seconds=30)
    clock.advance(20)
    there = enqueue(queue, payload={"n": 2}, debounce=30, unique_key="k")
    assert (there.id, there.inserted, there.payload) == (first.id, False, {"n": 2})
    assert there.next_attempt_at == START + timedelta(seconds=50)
    clock.advance(29)
    assert not claim(storage)
    clock.advance(1)
    [row] = claim(storage)
    assert row.payload.replace(b" ", b"") == b'{"n":2}'
    third = enqueue(queue, payload={"n": 3}, debounce=30, unique_key="k")
    assert third.inserted


def test_debounce_ends_at_max_wait(queue, clock):
    first = enqueue(queue, debounce=30, max_wait=50, unique_key="k")
    for _ in range(3):
        clock.advance(15)
        there = enqueue(queue, debounce=30, max_wait=50, unique_key="k")
        assert there.id == first.id
    assert there.next_attempt_at == START + timedelta(seconds=50)


def test_a_bulk_insert_with_taken_keys(queue, storage):
    first = enqueue(queue, unique="active", unique_key="1")
    tasks = [Task("mail", {"n": n}, unique="active", unique_key=str(n)) for n in range(3)]
    with pytest.raises(DuplicateTaskError) as refusal:
        queue.add_tasks(tasks)
    assert refusal.value.existing_id == first.id
    assert sum(count.count for count in storage.count_tasks()) == 1
    plain = Task("mail", {"n": 9})
    inserted = queue.add_tasks(
        [*tasks, plain, Task("mail", unique="active", unique_key="2")], on_conflict="skip"
    )
    assert [task.unique_key for task in inserted] == ["a:0", "a:2", None]
    assert all(task.inserted for task in inserted)
    assert sum(count.count for count in storage.count_tasks()) == 4


def test_a_bulk_insert_that_replaces(queue):
    first = enqueue(queue, unique="active", unique_key="1")
    tasks = [Task("mail", {"n": n}, unique="active", unique_key=str(n // 2)) for n in range(2, 6)]
    done_with = queue.add_tasks(tasks, on_conflict="replace")
    assert [task.inserted for task in done_with] == [False, False, True, False]
    assert {task.id for task in done_with[:2]} == {first.id}
    assert queue.get_task(first.id).payload == {"n": 3}
    assert queue.get_task(done_with[2].id).payload == {"n": 5}


def test_bulk_inserts_take_their_keys_in_one_order_so_that_none_waits_for_another(
    queue, storage, monkeypatch
):
    insert_batch, replace = storage._dialect.insert_batch, storage._inserts._replace
    inserted, replaced = [], []

    def watch_insert(tasks):
        inserted.extend(task.unique_key for task in tasks)
        return insert_batch(tasks)

    def watch_replace(holder, task, **options):
        replaced.append(task.unique_key)
        return replace(holder, task, **options)

    monkeypatch.setattr(storage._dialect, "insert_batch", watch_insert)
    monkeypatch.setattr(storage._inserts, "_replace", watch_replace)
    keys = ["c", "a", "d", "b"]
    tasks = [Task("mail", {"n": key}, unique="active", unique_key=key) for key in keys]
    there = queue.add_tasks([Task("mail", {"n": "plain"}), *tasks])
    assert [task.payload["n"] for task in there] == ["plain", *keys]
    assert inserted == [None, "a:a", "a:b", "a:c", "a:d"]
    again = [Task("mail", {"n": key}, unique="active", unique_key=key) for key in keys]
    assert [task.payload["n"] for task in queue.add_tasks(again, on_conflict="replace")] == keys
    assert replaced == ["a:a", "a:b", "a:c", "a:d"]


def test_a_bulk_insert_that_cannot_replace_one_changes_nothing(queue, storage):
    enqueue(queue, unique="active", unique_key="held")
    claim(storage)
    waiting = enqueue(queue, unique="active", unique_key="waiting")
    tasks = [Task("mail", {"n": 2}, unique="active", unique_key=key) for key in ("free", "waiting", "held")]
    with pytest.raises(DuplicateTaskError):
        queue.add_tasks(tasks, on_conflict="replace")
    assert queue.get_task(waiting.id).payload == {"n": 1}
    assert sum(count.count for count in storage.count_tasks()) == 2


def test_a_bulk_insert_debounces(queue):
    tasks = [Task("mail", {"n": n}, debounce=30, unique_key="k") for n in range(3)]
    there = queue.add_tasks(tasks)
    assert [task.inserted for task in there] == [True, False, False]
    assert len({task.id for task in there}) == 1
    assert queue.get_task(there[0].id).payload == {"n": 2}


def test_a_reset_task_takes_its_key_again(queue, storage):
    task = enqueue(queue, unique="active", unique_key="k")
    finish(storage, TaskStatus.ATTEMPTS_LEFT)
    assert queue.reset_attempts(task.id)
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique="active", unique_key="k")
    assert refusal.value.existing_id == task.id


def test_a_reset_task_whose_key_was_taken_goes_on_without_it(queue, storage):
    task = enqueue(queue, unique="active", unique_key="k")
    finish(storage)
    second = enqueue(queue, unique="active", unique_key="k")
    assert queue.reset_attempts(task.id)
    assert (row_of(storage, task).status, row_of(storage, task).unique_key) == ("new", None)
    with pytest.raises(DuplicateTaskError) as refusal:
        enqueue(queue, unique="active", unique_key="k")
    assert refusal.value.existing_id == second.id
    assert {row.id for row in claim(storage)} == {task.id, second.id}


def test_a_row_that_another_program_cancels_gives_its_key_back(queue, backend):
    task = enqueue(queue, unique="active", unique_key="k")
    backend.execute(f"UPDATE goque_task SET status = 'canceled' WHERE id = '{task.id}'")
    assert is_free(queue, "active")


def test_a_task_without_a_key_holds_none(storage):
    assert row_of(storage, add(storage)).unique_key is None
