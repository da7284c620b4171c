"""What people look for: pages by key, newest first, exact where an index names few, bounded where it does not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from backends import START, add, claim, done, move

from goque.handlers.flow import Flow
from goque.identifiers import external_id_of, new_task_id
from goque.storage.search_types import (
    FunctionCount,
    ScheduleRow,
    TaskSearch,
    first_id_at,
    time_of_id,
)
from goque.storage.sql import search as sql_search
from goque.storage.sql.task_lists import type_counts
from goque.task import Task
from goque.task_row import TaskStatus
from goque.task_rules.failed_attempt import FailedAttempt

HOSTILE = "'; DROP TABLE goque_task; -- <script>alert(1)</script> \\ % _ ☃"


def ids(page):
    return [line.id for line in page.lines]


def all_pages(storage, search, limit=3):
    """Follow the pages to their end, and return the ids in the order in which they came."""
    found, before = [], None
    for _ in range(1000):
        page = storage.search_tasks(search, before=before, limit=limit)
        found += ids(page)
        before = page.before
        if before is None:
            return found
    raise AssertionError("the pages have no end")


def newest_first(*tasks):
    return sorted((task.id for task in tasks), reverse=True)


def insert_made_at(storage, clock, task_type="mail"):
    """Insert a task whose id tells the time of the test's clock, as it does outside of tests."""
    task = Task(task_type, {})
    task.id = first_id_at(clock.now)[:14] + task.id[14:]
    return storage.insert_tasks([task])[0]


def fail(row, error="boom", status=TaskStatus.ERROR, cause="error"):
    failed = FailedAttempt(attempt=row.attempts + 1, cause=cause, error=error, duration=0.5)
    return move(
        row, status, attempts=row.attempts + 1, errors=f"attempt 1: {error}\n", failed=failed, delay=60.0
    )


def test_an_empty_table_has_one_empty_page(storage):
    page = storage.search_tasks(TaskSearch())
    assert (page.lines, page.before, page.looked_back_to) == ([], None, None)


@pytest.mark.parametrize("limit", [1, 3, 7, 8])
def test_pages_follow_each_other_newest_first_without_a_gap(storage, limit):
    tasks = [add(storage) for _ in range(7)]
    assert all_pages(storage, TaskSearch(), limit) == newest_first(*tasks)


def test_a_page_is_not_moved_by_tasks_that_come_meanwhile(storage):
    tasks = [add(storage) for _ in range(4)]
    first = storage.search_tasks(TaskSearch(), limit=2)
    add(storage)
    rest = storage.search_tasks(TaskSearch(), before=first.before, limit=2)
    assert ids(first) + ids(rest) == newest_first(*tasks)
    assert rest.before is None


def test_every_status_is_found_by_itself_and_with_others(storage):
    for _ in range(9):
        add(storage)
    rows = claim(storage, limit=8)
    moves = [
        move(rows[0], TaskStatus.DONE),
        fail(rows[1]),
        fail(rows[2], status=TaskStatus.ATTEMPTS_LEFT),
        move(rows[3], TaskStatus.CANCELED),
    ]
    storage.settle_if_held(moves)
    storage.mark_processing([row.token for row in rows[4:6]])
    storage.cancel_unless_finished(rows[7].id)  # its handler is still being stopped
    expected = {
        TaskStatus.DONE: {rows[0].id},
        TaskStatus.ERROR: {rows[1].id},
        TaskStatus.ATTEMPTS_LEFT: {rows[2].id},
        TaskStatus.CANCELED: {rows[3].id, rows[7].id},
        TaskStatus.PROCESSING: {rows[4].id, rows[5].id},
        TaskStatus.PENDING: {rows[6].id},
    }
    for status, wanted in expected.items():
        assert set(all_pages(storage, TaskSearch(statuses=(status,)))) == wanted, status
    both = TaskSearch(statuses=(TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT), task_type="mail")
    assert all_pages(storage, both, 1) == sorted((rows[1].id, rows[2].id), reverse=True)
    assert all_pages(storage, TaskSearch(statuses=tuple(TaskStatus), task_type="sms")) == []


@pytest.mark.parametrize("walk", [2, 1000], ids=["by an index", "by a walk"])
def test_rare_tasks_are_found_among_many(storage, monkeypatch, walk):
    monkeypatch.setattr(sql_search, "FIRST_WALK", walk)
    rare = [add(storage, "rare", external_id=f"order-{n}") for n in range(3)]
    for _ in range(20):
        add(storage, "common")
    [row] = claim(storage, task_type="rare", limit=1)
    storage.settle_if_held([fail(row, "Connection REFUSED", TaskStatus.ATTEMPTS_LEFT)])
    add(storage, "common")
    claim(storage, task_type="common", limit=1)
    assert all_pages(storage, TaskSearch(task_type="rare"), 2) == newest_first(*rare)
    gone = TaskSearch(statuses=(TaskStatus.ATTEMPTS_LEFT,))
    assert all_pages(storage, gone) == [row.id]
    assert all_pages(storage, TaskSearch(external_id="order-2")) == [rare[2].id]
    assert all_pages(storage, TaskSearch(external_id="order")) == []
    assert all_pages(storage, TaskSearch(task_type="common", external_id="order-2")) == []
    assert all_pages(storage, TaskSearch(task_type="rare", error="connection refused")) == [row.id]
    assert all_pages(storage, TaskSearch(task_type="rare", error="timeout")) == []
    waiting = TaskSearch(statuses=(TaskStatus.NEW,), task_type="rare")
    assert set(all_pages(storage, waiting)) == {task.id for task in rare} - {row.id}
    assert len(all_pages(storage, TaskSearch(statuses=(TaskStatus.PENDING,)))) == 1


@pytest.mark.parametrize("walk", [2, 1000], ids=["by an index", "by a walk"])
def test_tasks_are_found_by_exactly_their_limit_key(storage, monkeypatch, walk):
    monkeypatch.setattr(sql_search, "FIRST_WALK", walk)
    keys = ["acme", "acme ", "Acme", None, "acme", "acme"]
    tasks = storage.insert_tasks([Task("mail", {}, limit_key=key) for key in keys])
    for _ in range(9):
        add(storage, "other")
    storage.cancel_unless_finished(tasks[0].id)
    [running] = [row for row in claim(storage, limit=9) if row.id == tasks[4].id]
    assert all_pages(storage, TaskSearch(limit_key="acme", task_type="mail"), 1) == newest_first(
        tasks[0], tasks[4], tasks[5]
    )
    claimed = TaskSearch(limit_key="acme", statuses=(TaskStatus.PENDING,))
    assert all_pages(storage, claimed) == newest_first(running, tasks[5])
    assert all_pages(storage, TaskSearch(limit_key="acme ", task_type="mail")) == [tasks[1].id]
    assert all_pages(storage, TaskSearch(limit_key="", task_type="mail")) == []
    assert all_pages(storage, TaskSearch(limit_key="acme")) == newest_first(tasks[0], tasks[4], tasks[5])


@pytest.mark.parametrize("walk", [2, 1000], ids=["by an index", "by a walk"])
def test_blocked_tasks_are_found_among_many(storage, monkeypatch, walk):
    monkeypatch.setattr(sql_search, "FIRST_WALK", walk)
    flow = Flow("orders")
    first = flow.add("mail", 1)
    blocked = [flow.add(task_type, 2, needs=[first]) for task_type in ("mail", "mail", "sms")]
    storage.insert_flow(flow.plan())
    others = [add(storage) for _ in range(20)]
    search = TaskSearch(statuses=(TaskStatus.BLOCKED,))
    assert all_pages(storage, search, 2) == newest_first(*blocked)
    assert all_pages(storage, TaskSearch(statuses=search.statuses, task_type="sms")) == [blocked[2].id]
    waiting = TaskSearch(statuses=(TaskStatus.NEW, TaskStatus.BLOCKED))
    assert all_pages(storage, waiting) == newest_first(first, *blocked, *others)


def test_a_text_in_the_payload_is_found_whatever_its_capitals_are(storage):
    payloads = [{"to": "Ada@example.com", "n": 7}, {"to": "bob@example.com"}, {"text": HOSTILE}]
    ada, bob, hostile = storage.insert_tasks([Task("mail", payload) for payload in payloads])
    assert all_pages(storage, TaskSearch(payload="ada@EXAMPLE")) == [ada.id]
    assert all_pages(storage, TaskSearch(payload="example.com")) == newest_first(ada, bob)
    assert all_pages(storage, TaskSearch(payload="☃", task_type="mail")) == [hostile.id]
    assert all_pages(storage, TaskSearch(payload="%")) == [hostile.id]
    assert all_pages(storage, TaskSearch(payload="' OR 1=1 --")) == []


def test_a_search_that_no_index_helps_stops_and_says_how_far_it_came(storage, monkeypatch):
    monkeypatch.setattr(sql_search, "FIRST_WALK", 4)
    monkeypatch.setattr(sql_search, "MAX_WALK", 8)
    oldest = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([fail(row, "the needle")])
    others = [add(storage) for _ in range(20)]
    page = storage.search_tasks(TaskSearch(error="needle"))
    assert page.lines == []
    assert page.before == newest_first(*others)[7]
    assert page.looked_back_to == time_of_id(page.before)
    assert all_pages(storage, TaskSearch(error="needle")) == [oldest.id]
    assert all_pages(storage, TaskSearch(error="no such thing")) == []


def test_what_the_original_has_claimed_is_found(storage, backend):
    task = add(storage)
    claim(storage)
    backend.execute("UPDATE goque_task SET claimed_by = NULL")
    assert all_pages(storage, TaskSearch(statuses=(TaskStatus.PENDING,))) == [task.id]
    assert all_pages(storage, TaskSearch(statuses=(TaskStatus.PENDING,), task_type="sms")) == []


def test_too_many_candidates_are_left_to_the_walk(storage, monkeypatch):
    monkeypatch.setattr(sql_search, "FIRST_WALK", 2)
    monkeypatch.setattr(sql_search, "MAX_WALK", 5)
    monkeypatch.setattr(sql_search, "MAX_CANDIDATES", 3)
    wanted = [add(storage, "mail") for _ in range(4)]
    for _ in range(11):
        add(storage, "sms")
    first = storage.search_tasks(TaskSearch(task_type="mail"))
    assert (first.lines, first.looked_back_to is None) == ([], False)
    assert all_pages(storage, TaskSearch(task_type="mail")) == newest_first(*wanted)


def test_a_search_by_time_looks_at_when_tasks_were_created(storage, clock):
    made = []
    for _ in range(5):
        made.append(insert_made_at(storage, clock))
        clock.advance(3600)
    since, until = START + timedelta(hours=1), START + timedelta(hours=3)
    assert all_pages(storage, TaskSearch(created_from=since)) == newest_first(*made[1:])
    assert all_pages(storage, TaskSearch(created_before=until)) == newest_first(*made[:3])
    assert all_pages(storage, TaskSearch(created_from=since, created_before=until)) == newest_first(
        *made[1:3]
    )
    assert all_pages(storage, TaskSearch(created_from=START + timedelta(hours=9))) == []
    assert all_pages(storage, TaskSearch(task_type="mail", created_from=since), 1) == newest_first(*made[1:])


@pytest.mark.fault(40)
def test_hostile_text_is_only_looked_for(storage):
    task = storage.insert_tasks([Task(HOSTILE, {}, external_id=HOSTILE)])[0]
    [row] = claim(storage, task_type=HOSTILE)
    storage.settle_if_held([fail(row, HOSTILE)])
    for search in (
        TaskSearch(task_type=HOSTILE),
        TaskSearch(external_id=HOSTILE),
        TaskSearch(error="<SCRIPT>"),
        TaskSearch(task_type=HOSTILE, statuses=(TaskStatus.ERROR,), error=HOSTILE),
    ):
        [line] = storage.search_tasks(search).lines
        assert (line.id, line.type, line.external_id, line.attempts) == (task.id, HOSTILE, HOSTILE, 1)
    for text in ("%", "_%_%", "' OR '1'='1"):
        assert storage.search_tasks(TaskSearch(task_type=text)).lines == []
        assert storage.search_tasks(TaskSearch(external_id=text)).lines == []
    assert storage.search_tasks(TaskSearch(error="x_%")).lines == []


def test_a_line_has_the_end_of_long_errors_and_no_payload(storage):
    add(storage, priority=3)
    [row] = claim(storage)
    storage.settle_if_held(
        [move(row, TaskStatus.ERROR, errors="x" * 9000 + "\nattempt 2: last\n", delay=1.0)]
    )
    [line] = storage.search_tasks(TaskSearch()).lines
    assert len(line.last_errors) == 2000
    assert line.last_errors.endswith("attempt 2: last\n")
    assert (line.priority, line.claimed_by, line.updated_at is None) == (3, None, False)


def test_types_are_those_that_have_tasks(storage):
    assert storage.task_types() == []
    for name in ("b", "A", "a ", "a", "b"):
        add(storage, name)
    assert storage.task_types() == ["A", "a", "a ", "b"]


def test_what_ended_is_counted_by_type_status_and_slot(storage, clock):
    clock.now = START.replace(second=0, microsecond=0)
    begin = clock.now
    for seconds, status in ((0, "done"), (5, "done"), (10, "attempts_left"), (65, "done"), (65, "canceled")):
        clock.now = begin + timedelta(seconds=seconds)
        add(storage)
        [row] = claim(storage)
        storage.settle_if_held([move(row, TaskStatus(status))])
    first = int(begin.timestamp())
    counts = storage.finished_counts(["mail"], begin, begin + timedelta(hours=1), step=60)
    assert {(one.status, one.slot, one.count) for one in counts} == {
        ("done", first, 2),
        ("attempts_left", first, 1),
        ("done", first + 60, 1),
        ("canceled", first + 60, 1),
    }
    within = storage.finished_counts(
        ["mail"], begin + timedelta(seconds=5), begin + timedelta(seconds=65), step=60
    )
    assert {(one.status, one.count) for one in within} == {("done", 1), ("attempts_left", 1)}
    assert storage.finished_counts(["sms"], begin, begin + timedelta(hours=1), step=60) == []


def test_tasks_are_found_by_several_external_ids(storage):
    first, second = add(storage, external_id="nightly:1"), add(storage, "sms", external_id="hourly:1")
    add(storage, "elsewhere", external_id="nightly:2")
    add(storage, external_id="nightly:3")
    found = storage.tasks_of_external_ids(["mail", "sms"], ["nightly:1", "hourly:1", "nightly:2", "gone"])
    assert {name: line.id for name, line in found.items()} == {"nightly:1": first.id, "hourly:1": second.id}
    assert storage.tasks_of_external_ids([], ["nightly:1"]) == {}
    assert storage.tasks_of_external_ids(["mail"], []) == {}


def test_failures_come_newest_first_with_what_became_of_the_task(storage, clock):
    add(storage)
    add(storage, "sms")
    storage.settle_if_held([fail(row, "first") for row in claim(storage)])
    clock.advance(1)
    crash = "worker crashed: signal 11 (SIGSEGV)"
    [sms] = claim(storage, task_type="sms")
    storage.settle_if_held([fail(sms, "x" * 9000, TaskStatus.ATTEMPTS_LEFT, crash)])
    newest, oldest = storage.failures()
    assert (newest.type, newest.status, newest.cause) == ("sms", "attempts_left", crash)
    assert (newest.task_id, newest.attempt, newest.duration) == (sms.id, 1, 0.5)
    assert (newest.ended_at, newest.error) == (clock.now, "x" * 400)
    assert (oldest.type, oldest.status, oldest.error) == ("mail", "error", "first")
    assert storage.failures(after=oldest.id) == [newest]
    assert storage.failures(until=newest.id) == [oldest]
    assert storage.failures(limit=1) == [newest]


def test_nodes_that_have_ended_are_among_the_recent_ones(storage, clock):
    storage.register_node("node-1", host="a", pid=1, info="{}")
    clock.advance(5)
    storage.register_node("node-2", host="b", pid=2)
    storage.retire_node("node-2")
    told = [(node.id, node.state, node.info) for node in storage.recent_nodes()]
    assert told == [("node-2", "stopped", None), ("node-1", "alive", "{}")]


def test_schedules_tell_the_last_slot_and_whether_the_job_is_paused(storage):
    storage.record_slot("nightly", START)
    storage.pause_job("hourly", START)
    assert storage.schedules() == [ScheduleRow("hourly", START, True), ScheduleRow("nightly", START, False)]


def test_ids_tell_when_they_were_made():
    task = Task("mail", {})
    made = time_of_id(task.id)
    assert first_id_at(made) <= task.id < first_id_at(made + timedelta(milliseconds=1))


def test_tasks_are_counted_by_the_function_that_they_call(storage):
    for function, count in (("shop.tasks.add", 3), ("shop.tasks.send", 2)):
        for _ in range(count):
            add(storage, "django.default", external_id=external_id_of(function))
    for external_id in ("order-7", "x" * 37, f"x-{new_task_id()}"):
        add(storage, "django.default", external_id=external_id)
    add(storage, "django.other", external_id=external_id_of("shop.tasks.add"))
    rows = claim(storage, task_type="django.default", limit=5)
    storage.mark_processing([rows[1].token])
    storage.settle_if_held([done(rows[0]), move(rows[3], TaskStatus.ERROR)])
    unfinished = [
        FunctionCount("", "new", 3),
        FunctionCount("shop.tasks.add", "pending", 1),
        FunctionCount("shop.tasks.add", "processing", 1),
        FunctionCount("shop.tasks.send", "error", 1),
        FunctionCount("shop.tasks.send", "pending", 1),
    ]
    assert storage.unfinished_functions("django.default") == unfinished
    assert storage.function_counts("django.default") == sorted(
        [*unfinished, FunctionCount("shop.tasks.add", "done", 1)], key=lambda one: (one.function, one.status)
    )
    assert storage.function_counts("django.none") == storage.unfinished_functions("django.none") == []


def test_too_many_unfinished_tasks_are_not_counted_by_function(storage, monkeypatch):
    monkeypatch.setattr(type_counts, "MAX_CANDIDATES", 3)
    for _ in range(3):
        add(storage, "django.default", external_id=external_id_of("shop.tasks.add"))
    assert storage.unfinished_functions("django.default") == [FunctionCount("shop.tasks.add", "new", 3)]
    add(storage, "django.default", external_id=external_id_of("shop.tasks.add"))
    assert storage.unfinished_functions("django.default") is None
    assert [one.count for one in storage.function_counts("django.default")] == [4]
