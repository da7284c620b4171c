"""Signals on every backend: before, while and after a task waits, twice, at once, and racing the end of the run."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from backends import SERVERS, START, add, claim, done, move, row_of
from step_questions import ask, known, left, put_off, record, sleep, wait

import goque
from goque.errors import (
    ConfigurationError,
    InvalidPayloadFormatError,
    PayloadEncodeError,
    TaskNotFoundError,
    TaskStateError,
)
from goque.storage.sql.session import ConnectionLostError
from goque.task_row import HAS_STEPS, TaskStatus

MISSING = "01a22953-b68c-73dc-932d-9b9f241b0bc8"
DAY = 86400.0


@pytest.fixture
def queue(storage):
    return goque.TaskQueueManager(storage)


@pytest.fixture
def run(storage):
    """Return a task as a fetcher has claimed it."""
    add(storage)
    [row] = claim(storage)
    return row


def waiting(storage, row, name="go", seconds=DAY):
    """Let a run wait for a signal, and end."""
    assert ask(storage, row, wait(name, seconds)) == left(seconds)
    assert storage.settle_if_held([put_off(row, seconds, waits_for=name)]) == {row.token}


def is_due(storage, row):
    return row_of(storage, row).next_attempt_at <= storage.dialect.clock()


def test_a_signal_before_the_task_has_run_is_kept(storage, queue):
    task = queue.enqueue("mail", delay=60)
    assert queue.signal(task.id, "go", {"by": "ann"})
    row = row_of(storage, task)
    assert (row.flags, row.next_attempt_at) == (HAS_STEPS, START + timedelta(seconds=60))
    [kept] = storage.steps_of(task.id)
    assert (kept.kind, kept.name, kept.value, kept.claims) == ("signal", "go", '{"by":"ann"}', 0)


def test_a_signal_while_the_task_runs_is_its_answer(storage, queue, run):
    assert queue.signal(run.id, "go")
    assert ask(storage, run, wait("go")) == known(None)


def test_a_signal_wakes_the_task_that_waits_for_it(storage, queue, run, clock):
    waiting(storage, run)
    clock.advance(5)
    assert not claim(storage)
    assert queue.signal(run.id, "go", 1)
    row = row_of(storage, run)
    assert (row.status, row.next_attempt_at) == ("new", START + timedelta(seconds=5))
    [new] = claim(storage)
    assert ask(storage, new, wait("go", DAY)) == known(1)


def test_a_task_that_has_failed_is_woken_too(storage, queue, run):
    storage.settle_if_held([move(run, TaskStatus.ERROR, attempts=1, errors="attempt 1: boom\n", delay=0.0)])
    [row] = claim(storage)
    waiting(storage, row)
    assert row_of(storage, run).status == "error"
    assert queue.signal(run.id, "go")
    assert is_due(storage, run)


def test_a_task_that_is_blocked_meanwhile_is_due_when_it_is_not_any_more(storage, queue, run, backend):
    waiting(storage, run)
    backend.execute("UPDATE goque_task SET status = 'blocked'")
    assert queue.signal(run.id, "go")
    assert row_of(storage, run).status == "blocked"
    assert is_due(storage, run)


def test_another_signal_wakes_nobody(storage, queue, run):
    waiting(storage, run)
    assert queue.signal(run.id, "Go")
    assert queue.signal(run.id, "go ")
    assert not is_due(storage, run)


def test_a_sleep_and_a_backoff_are_not_cut_short(storage, queue, run, clock):
    ask(storage, run, wait("go", 1))
    clock.advance(1)
    ask(storage, run, wait("go", 1), sleep("nap", 60))  # it went on without the signal, and sleeps
    storage.settle_if_held([put_off(run, 60)])
    assert queue.signal(run.id, "go")
    assert not is_due(storage, run)


def test_a_wait_of_an_earlier_claim_wakes_nobody(storage, queue, run, clock):
    waiting(storage, run, seconds=5)
    clock.advance(5)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, delay=600.0)])
    assert queue.signal(run.id, "go")
    assert not is_due(storage, run)


def test_the_first_signal_of_a_name_wins(storage, queue, run):
    assert queue.signal(run.id, "go", 1)
    assert not queue.signal(run.id, "go", 2)
    assert not queue.signal(run.id, "go", 1)
    assert queue.signal(run.id, "stop", 3)
    assert ask(storage, run, wait("go"), wait("stop")) == [known(1), known(3)]


def test_one_of_two_senders_at_once_wins(storage, backend, run):
    waiting(storage, run)
    ready = threading.Barrier(4)

    def send(number):
        own = backend.new_storage()
        ready.wait()
        return own.signal_task(run.id, "go", b"%d" % number)

    with ThreadPoolExecutor(4) as threads:
        kept = list(threads.map(send, range(4)))
    assert sum(kept) == 1
    [new] = claim(storage)
    assert ask(storage, new, wait("go")) == known(kept.index(True))


def test_a_signal_needs_a_task_that_has_not_ended(storage, queue, run):
    for missing in (MISSING, "no id"):
        with pytest.raises(TaskNotFoundError):
            queue.signal(missing, "go")
    with pytest.raises(TaskNotFoundError):
        storage.signal_task("no id", "go", b"1")
    storage.cancel_unless_finished(run.id)
    with pytest.raises(TaskStateError, match="is canceled"):
        queue.signal(run.id, "go")
    storage.settle_if_held([done(run)])
    task = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([done(row)])
    with pytest.raises(TaskStateError, match="is done"):
        queue.signal(task.id, "go")
    assert storage.steps_of(task.id) == storage.steps_of(run.id) == []


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b", "a\nb", 7])
def test_a_name_that_cannot_be_one_is_refused(queue, run, name):
    with pytest.raises(ConfigurationError, match="signal"):
        queue.signal(run.id, name)


def test_a_value_that_cannot_be_json_is_refused(queue, run):
    with pytest.raises(InvalidPayloadFormatError, match="signal"):
        queue.signal(run.id, "go", float("nan"))
    with pytest.raises(PayloadEncodeError, match="signal"):
        queue.signal(run.id, "go", object())


# -- the end of the run races the signal ---------------------------------------------------------------


def test_a_signal_between_the_question_and_the_end_of_the_run_lets_the_task_go_on(storage, queue, run):
    ask(storage, run, wait("go", DAY))
    assert queue.signal(run.id, "go", 1)
    storage.settle_if_held([put_off(run, DAY, waits_for="go")])
    assert is_due(storage, run)
    [new] = claim(storage)
    assert ask(storage, new, wait("go", DAY)) == known(1)


def test_of_many_ends_only_those_are_due_whose_signal_is_there(storage, queue):
    for _ in range(4):
        add(storage)
    rows = claim(storage)
    ask(storage, rows[0], wait("go"))
    queue.signal(rows[0].id, "go")
    queue.signal(rows[1].id, "stop")
    changes = [put_off(row, DAY, waits_for="go") for row in rows[:2]]
    changes += [put_off(rows[2], DAY), done(rows[3])]
    storage.settle_if_held(changes)
    assert [is_due(storage, row) for row in rows] == [True, False, False, True]
    assert row_of(storage, rows[3]).status == "done"


def test_a_change_that_is_not_written_wakes_nobody(storage, queue, run):
    queue.signal(run.id, "go")
    storage.cancel_unless_finished(run.id)
    assert storage.settle_if_held([put_off(run, DAY, waits_for="go")]) == set()
    assert row_of(storage, run).status == "canceled"


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
@pytest.mark.parametrize("first", ["signal", "settle"])
def test_whichever_locks_the_task_first_the_task_goes_on(storage, other, backend, run, first):
    ask(storage, run, wait("go", DAY))
    change = put_off(run, DAY, waits_for="go")
    calls = [
        lambda: other.signal_task(run.id, "go", b"1"),
        lambda: storage.settle_if_held([change]),
    ]
    if first == "settle":
        calls.reverse()
    with backend.connect() as blocker, ThreadPoolExecutor(2) as threads:
        cursor = blocker.cursor()
        cursor.execute("BEGIN")
        cursor.execute(f"SELECT 1 FROM goque_task WHERE id = '{run.id}' FOR UPDATE")
        futures = [threads.submit(calls[0])]
        backend.wait_until_somebody_waits()
        futures.append(threads.submit(calls[1]))
        blocker.rollback()
        for future in futures:
            future.result(timeout=30)
    assert is_due(storage, run)


def test_signals_and_ends_of_runs_at_once_lose_no_signal(storage, backend):
    count = 30
    tasks = [add(storage) for _ in range(count)]
    rows = claim(storage, limit=count)
    storage.answer_steps([(row.token, wait("go", DAY)) for row in rows])

    def send(ids):
        own = backend.new_storage()
        return [own.signal_task(task_id, "go", b"1") for task_id in ids]

    with ThreadPoolExecutor(3) as threads:
        senders = [threads.submit(send, [task.id for task in tasks[half::2]]) for half in (0, 1)]
        for start in range(0, count, 5):
            storage.settle_if_held([put_off(row, DAY, waits_for="go") for row in rows[start : start + 5]])
        assert all(all(sender.result(timeout=60)) for sender in senders)
    assert len(claim(storage, limit=count)) == count


def test_a_signal_whose_commit_was_not_answered_is_told_as_kept(storage, run, monkeypatch):
    with storage._connections as session:
        session_type = type(session)
    transaction = session_type.transaction
    lost = []

    def losing(session):
        @contextlib.contextmanager
        def frame():
            with transaction(session):
                yield
            if not lost:
                lost.append(True)
                raise ConnectionLostError("the answer to the commit was lost")

        return frame()

    monkeypatch.setattr(session_type, "transaction", losing)
    assert storage.signal_task(run.id, "go", b"1")
    assert lost
    assert not storage.signal_task(run.id, "go", b"1")


# -- in the caller's transaction -----------------------------------------------------------------------


def test_a_signal_goes_when_the_caller_rolls_back(storage, queue, run, backend):
    waiting(storage, run)
    connection = backend.connect()
    assert queue.signal(run.id, "go", 1, conn=connection)
    assert not queue.signal(run.id, "go", 2, conn=connection)
    connection.rollback()
    connection.close()
    assert not is_due(storage, run)
    assert [row.kind for row in storage.steps_of(run.id)] == ["wait"]


def test_a_signal_counts_when_the_caller_commits(storage, queue, run, backend):
    waiting(storage, run)
    connection = backend.connect()
    with goque.with_tx(connection):
        assert queue.signal(run.id, "go", 1)
    assert not is_due(storage, run)
    connection.commit()
    connection.close()
    assert is_due(storage, run)


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_a_caller_that_looked_before_the_run_ended_wakes_it_all_the_same(storage, queue, run, backend):
    """On MySQL its transaction reads an older snapshot, in which the task does not wait yet."""
    connection = backend.connect()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM goque_task")
        cursor.execute("SELECT count(*) FROM goque_step")
    waiting(storage, run)
    assert queue.signal(run.id, "go", 1, conn=connection)
    connection.commit()
    connection.close()
    assert is_due(storage, run)


def test_asyncio_applications_send_signals_too(storage, run, backend):
    waiting(storage, run)

    async def scenario():
        queue = goque.AsyncTaskQueueManager(storage)
        connection = await backend.connect_asyncio()
        assert await queue.signal(run.id, "go", 1, conn=connection)
        assert not is_due(storage, run)
        await connection.commit()
        closing = connection.close()
        if closing is not None:
            await closing
        assert not await queue.signal(run.id, "go", 2)
        assert await queue.signal(run.id, "stop")
        with pytest.raises(TaskNotFoundError):
            await queue.signal(MISSING, "go")

    asyncio.run(scenario())
    assert is_due(storage, run)
    [new] = claim(storage)
    assert ask(storage, new, wait("go"), record("x"))[0] == known(1)
