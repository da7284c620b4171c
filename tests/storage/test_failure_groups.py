"""Failed attempts are counted in groups, whose open tasks can be found, reset and canceled."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from backends import START, add, claim, done, row_of

from goque.errors import ConfigurationError
from goque.outcome import Outcome, OutcomeKind, settle
from goque.retry import static
from goque.storage.contract import OpenTask
from goque.storage.group_changes import cancel_group, reset_group
from goque.storage.search_types import TaskSearch
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus
from goque.task_rules.retry_policy import RetryPolicy

ONCE = RetryPolicy(max_attempts=1)
AGAIN = RetryPolicy(max_attempts=5, strategy=static(60))


def failure(row, name="KeyError", *, policy=ONCE, version=None, line="f()"):
    text = (
        f'Traceback (most recent call last):\n  File "/srv/app.py", line 3, in run\n    {line}\n{name}: x\n'
    )
    return settle(Outcome(OutcomeKind.FAILED, f"{name}: x", text), row, policy, version)


def fail(storage, number=1, name="KeyError", *, task_type="mail", **options):
    """Let so many new tasks fail, in one batch, and return their ids and their group."""
    tasks = [add(storage, task_type) for _ in range(number)]
    rows = claim(storage, task_type=task_type, limit=number)
    assert len(rows) == number
    changes = [failure(row, name, **options) for row in rows]
    assert len(storage.settle_if_held(changes)) == number
    return [task.id for task in tasks], changes[0].group.id


def again(storage, clock, name, *, policy=AGAIN):
    """Let the next attempt of the tasks that wait fail."""
    clock.advance(3600)
    rows = claim(storage)
    storage.settle_if_held([failure(row, name, policy=policy) for row in rows])
    return [row.id for row in rows]


def found(storage, group):
    page = storage.open_tasks(group, after=0, until=storage.newest_attempt(), limit=1000)
    assert page.after is None
    ids = [task.id for task in page.tasks]
    assert sorted(ids) == sorted(line.id for line in storage.search_tasks(TaskSearch(failure=group)).lines)
    assert sorted(ids) == sorted(row.id for row in storage.find_tasks(TaskFilter(failure=group), limit=1000))
    return ids


def change(steps):
    return list(steps)[-1]


def test_a_batch_counts_each_of_its_groups_once(storage, clock):
    clock.advance(60)
    _ids, keys = fail(storage, 3, version="1.0")
    clock.advance(60)
    tasks, values = fail(storage, 2, "ValueError", version="1.1")
    newest, oldest = storage.failure_groups()
    assert (newest.group, newest.count, oldest.group, oldest.count) == (values, 2, keys, 3)
    assert (newest.type, newest.cause, newest.error_class) == ("mail", "exception", "ValueError")
    assert (newest.line, newest.error) == ("app.py in run: f()", "ValueError: x")
    assert (newest.first_at, newest.last_at) == (START + timedelta(seconds=120),) * 2
    assert newest.example in tasks
    assert (newest.first_version, newest.last_version) == ("1.1", "1.1")
    assert storage.failure_group(keys) == oldest
    assert storage.failure_groups(task_type="other") == []
    assert storage.failure_groups(limit=1) == [newest]


def test_a_group_remembers_its_first_failure_and_follows_the_newest(storage, clock):
    _ids, group = fail(storage)
    fail(storage, version="1.0")
    clock.advance(86400)
    tasks, _ = fail(storage, version="2.0")
    [known] = storage.failure_groups()
    assert (known.group, known.count, known.example) == (group, 3, tasks[0])
    assert (known.first_at, known.last_at) == (START, START + timedelta(days=1))
    assert (known.first_version, known.last_version) == ("1.0", "2.0")
    [attempt] = storage.failed_attempts(tasks[0])
    assert (attempt.failed.failure_group, attempt.failed.app_version) == (group, "2.0")
    fail(storage)
    assert storage.failure_group(group).last_version == "2.0"  # the newest that is known


def test_failures_are_counted_by_the_hour(storage, clock):
    _ids, group = fail(storage, 2)
    clock.advance(3600)
    fail(storage, 3)
    fail(storage, 1)
    hour = START.replace(minute=0, second=0, microsecond=0)
    assert storage.failure_course(group, START - timedelta(days=1)) == [
        (hour, 2),
        (hour + timedelta(hours=1), 4),
    ]
    assert storage.failure_course(group, START + timedelta(hours=1)) == [(hour + timedelta(hours=1), 4)]


def test_successes_run_no_statement_about_failures(storage, monkeypatch):
    asked = []
    add(storage)
    [row] = claim(storage)
    with storage._connections as session:
        for name in ("run", "rows", "run_many"):
            was = getattr(session, name)
            monkeypatch.setattr(
                session, name, lambda sql, *rest, was=was: asked.append(sql) or was(sql, *rest), raising=False
            )
    assert storage.settle_if_held([done(row)])
    assert asked
    assert not [sql for sql in asked if "failure" in sql]


def test_a_stale_writer_counts_nothing(storage):
    add(storage)
    [row] = claim(storage)
    storage.cancel_unless_finished(row.id)
    assert storage.settle_if_held([failure(row)]) == set()
    assert storage.failure_groups() == []


def test_the_newest_attempts_of_a_group(storage, clock):
    [first], group = fail(storage, version="1.0")
    clock.advance(1)
    [second], _ = fail(storage, policy=AGAIN)
    fail(storage, 1, "ValueError")
    storage.delete_if_finished([first])
    newest = storage.newest_of_group(group, limit=10)
    assert [(one.task_id, one.status, one.app_version) for one in newest] == [(second, "error", None)]
    assert (newest[0].attempt, newest[0].error) == (1, "KeyError: x")
    assert newest[0].ended_at == START + timedelta(seconds=1)


def test_open_tasks_are_those_whose_last_failure_is_of_the_group(storage, clock):
    failed, keys = fail(storage, 2)
    waiting, _ = fail(storage, 2, policy=AGAIN)
    _others, values = fail(storage, 1, "ValueError", policy=AGAIN)
    assert found(storage, keys) == [*failed, *waiting]
    again(storage, clock, "ValueError")
    assert found(storage, keys) == failed
    assert set(found(storage, values)) == {*waiting, *_others}
    again(storage, clock, "KeyError")
    assert set(found(storage, keys)) == {*failed, *waiting, *_others}


def test_tasks_that_have_gone_on_are_not_open(storage, clock):
    ids, group = fail(storage, 6, policy=AGAIN)
    clock.advance(3600)
    rows = {row.id: row for row in claim(storage, limit=2)}
    running, ended = rows
    storage.settle_if_held([done(rows[ended])])
    canceled, reset, deleted, still = [task_id for task_id in ids if task_id not in rows]
    storage.cancel_unless_finished(canceled)
    storage.reset_unless_claimed(reset)
    storage.cancel_unless_finished(deleted)
    storage.delete_if_finished([deleted])
    assert found(storage, group) == [still]
    assert running not in found(storage, group)


def test_open_tasks_are_read_in_parts(storage):
    ids, group = fail(storage, 5)
    until = storage.newest_attempt()
    fail(storage, 1)
    seen, after = [], 0
    while after is not None:
        page = storage.open_tasks(group, after=after, until=until, limit=2)
        assert len(page.tasks) <= 2
        seen += [task.id for task in page.tasks]
        after = page.after
    assert seen == ids


def test_open_tasks_have_their_status(storage):
    [failed], group = fail(storage)
    [waiting], _ = fail(storage, policy=AGAIN)
    page = storage.open_tasks(group, after=0, until=storage.newest_attempt(), limit=10)
    assert page.tasks == [OpenTask(failed, "attempts_left"), OpenTask(waiting, "error")]


def test_a_reset_takes_failed_and_waiting_tasks(storage):
    failed, group = fail(storage, 2)
    waiting, _ = fail(storage, 1, policy=AGAIN)
    others, _ = fail(storage, 1, "ValueError")
    assert change(reset_group(storage, group)).changed == 3
    for task_id in (*failed, *waiting):
        row = storage.get_task(task_id)
        assert (row.status, row.attempts, row.next_attempt_at) == ("new", 0, START)
        assert row.errors.endswith("reset attempts: 2026-11-23T21:02:33.123456Z\n")
    assert storage.get_task(others[0]).status == "attempts_left"
    assert found(storage, group) == []
    assert list(reset_group(storage, group)) == []


def test_a_reset_spreads_the_times_at_which_tasks_are_due(storage):
    ids, group = fail(storage, 5)
    state = change(reset_group(storage, group, per_second=2))
    assert (state.changed, round(state.due_in)) == (5, 2)
    due = [(storage.get_task(task_id).next_attempt_at - START).total_seconds() for task_id in ids]
    for number, seconds in enumerate(due):
        assert number / 2 - 1 <= seconds <= number / 2
    assert due == sorted(due)


def test_a_reset_goes_on_in_steps(storage):
    ids, group = fail(storage, 450)
    states = list(reset_group(storage, group, per_second=100))
    assert [state.changed for state in states] == [200, 400, 450]
    assert all(storage.get_task(task_id).status == "new" for task_id in ids[::50])


def test_a_reset_leaves_tasks_that_have_gone_on_since_they_were_read(storage, other, clock):
    ids, _group = fail(storage, 2, policy=AGAIN)
    clock.advance(3600)
    [first, second] = claim(other, limit=2)
    other.settle_if_held([done(first)])
    resets = storage.reset_open_tasks(dict.fromkeys(ids, 0.0))
    assert (resets.reset, resets.refused) == ([], [])
    assert row_of(storage, first).status == "done"
    assert row_of(storage, second).claimed_by


def test_a_cancel_takes_the_tasks_that_wait(storage):
    failed, group = fail(storage, 2)
    waiting, _ = fail(storage, 3, policy=AGAIN)
    state = change(cancel_group(storage, group))
    assert (state.changed, state.left) == (3, 2)
    assert {storage.get_task(task_id).status for task_id in waiting} == {"canceled"}
    assert {storage.get_task(task_id).status for task_id in failed} == {"attempts_left"}


def test_a_cancel_can_be_slowed_down(storage):
    _ids, group = fail(storage, 3, policy=AGAIN)
    slept = []
    assert change(cancel_group(storage, group, per_second=10, sleep=slept.append)).changed == 3
    assert len(slept) == 3
    assert slept[0] == 0
    assert max(slept) <= 0.2


def test_a_search_for_a_group_combines_with_others(storage):
    _ids, group = fail(storage, 2)
    waiting, _ = fail(storage, 1, policy=AGAIN)
    search = TaskSearch(failure=group, statuses=(TaskStatus.ERROR,))
    assert [line.id for line in storage.search_tasks(search).lines] == waiting
    assert storage.search_tasks(TaskSearch(failure=group, task_type="other")).lines == []
    assert storage.search_tasks(TaskSearch(failure="none")).lines == []
    assert storage.find_tasks(TaskFilter(failure=group, task_type="other"), limit=5) == []


def test_a_filter_refuses_what_is_no_group():
    with pytest.raises(ConfigurationError, match="failure must be text"):
        TaskFilter(failure=7)


def test_tasks_that_were_given_up_unstarted_are_a_group(storage, backend):
    add(storage)
    backend.execute("UPDATE goque_task SET lost_claims = 10")
    [row] = claim(storage)
    storage.settle_if_held([settle(Outcome(OutcomeKind.LOST_UNSTARTED), row, ONCE)])
    [group] = storage.failure_groups()
    assert group.cause == "lost_unstarted"
    assert found(storage, group.group) == [row.id]


def test_old_counts_and_groups_are_deleted(storage, clock):
    def delete():
        return storage.delete_old_failures(hours_age=7200, groups_age=86400, limit=100)

    ids, old = fail(storage, 2)
    clock.advance(86400 * 2)
    _ids, new = fail(storage, 1, "ValueError")
    assert delete() == 1
    assert storage.failure_course(old, START - timedelta(days=1)) == []
    assert storage.failure_course(new, START - timedelta(days=1)) != []
    assert {group.group for group in storage.failure_groups()} == {old, new}  # its tasks are still there
    storage.delete_if_finished(ids)
    assert delete() == 1
    assert [group.group for group in storage.failure_groups()] == [new]
    assert delete() == 0


def test_attempts_of_older_versions_have_no_group(storage, backend):
    [task_id], group = fail(storage, policy=AGAIN)
    backend.execute("UPDATE goque_attempt SET failure_group = NULL")
    assert found(storage, group) == []
    [attempt] = storage.failed_attempts(task_id)
    assert attempt.failed.failure_group is None


def test_nodes_that_count_the_same_groups_do_not_deadlock(backend, storage):
    rounds, names = 15, ["A", "B", "C", "D"]
    problems = []

    def work(order):
        mine = backend.new_storage()
        try:
            for _ in range(rounds):
                rows = claim(mine, task_type=order[0], limit=len(names))
                changes = [failure(row, name) for row, name in zip(rows, order, strict=True)]
                mine.settle_if_held(
                    [change for change, _ in sorted(zip(changes, order, strict=True), key=lambda one: one[1])]
                )
        except Exception as error:  # noqa: BLE001 - of a thread
            problems.append(error)
        finally:
            mine.close()

    orders = [names, names[::-1]]
    for order in orders:
        for _ in range(rounds * len(names)):
            add(storage, order[0])
    threads = [threading.Thread(target=work, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    locked = [problem for problem in problems if "lock" in str(problem)]
    assert problems == [] or (backend.name == "sqlite" and problems == locked), problems
    assert sum(group.count for group in storage.failure_groups()) == 2 * rounds * len(names) or locked
