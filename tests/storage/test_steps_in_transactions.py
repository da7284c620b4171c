"""Steps that a run records in a transaction of its own: both or neither, and the first of two runs wins."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from backends import SERVERS, add, claim, row_of
from backends import run as execute
from psycopg import IsolationLevel
from step_questions import KNOWN, LOST, ask, opening, put_off, read, record, recorded

from goque.errors import DatabaseUnavailableError
from goque.steps.question import Ask, Question, State
from goque.task_row import HAS_STEPS


@pytest.fixture
def run(storage, backend):
    """Return a task as a fetcher has claimed it, of a run that has said that it records by itself."""
    backend.execute("CREATE TABLE charges (id INTEGER)")
    add(storage)
    [row] = claim(storage)
    assert ask(storage, row, opening()) == KNOWN
    return row


@contextlib.contextmanager
def transaction(backend):
    with contextlib.closing(backend.connect()) as connection:
        execute(connection, "INSERT INTO charges VALUES (7)")
        yield connection


def charges(backend):
    return backend.execute("SELECT count(*) FROM charges")[0][0]


def again(storage, row):
    assert storage.settle_if_held([put_off(row, 0)]) == {row.token}
    [claimed] = claim(storage)
    return claimed


def test_a_step_is_there_with_what_else_the_caller_commits(storage, run, backend):
    with transaction(backend) as connection:
        assert storage.record_step(run.token, record("charge", {"n": 1}), conn=connection) == KNOWN
        assert ask(storage, run, read()).steps == () if backend.name != "sqlite" else True
        connection.commit()
    assert recorded(storage, again(storage, run)) == {"charge": {"n": 1}}
    assert (charges(backend), row_of(storage, run).flags) == (1, HAS_STEPS)
    [row] = storage.steps_of(run.id)
    assert (row.kind, row.claims, row.duration) == ("step", run.claims, 0.5)


def test_a_step_goes_with_what_the_caller_takes_back(storage, run, backend):
    with transaction(backend) as connection:
        storage.record_step(run.token, record("charge"), conn=connection)
        connection.rollback()
    assert recorded(storage, run) == {}
    assert charges(backend) == 0
    assert ask(storage, run, record("charge", 2)) == KNOWN


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_the_fetcher_goes_on_while_the_transaction_is_open(storage, run, backend):
    with transaction(backend) as connection:
        storage.record_step(run.token, record("charge", 1), conn=connection)
        assert ask(storage, run, record("other", 2)) == KNOWN
        storage.mark_processing([run.token])
        connection.commit()
    assert recorded(storage, run) == {"charge": 1, "other": 2}


def test_a_run_that_has_lost_its_claim_records_nothing(storage, run, backend):
    new = again(storage, run)
    with transaction(backend) as connection:
        assert storage.record_step(run.token, record("charge"), conn=connection) == LOST
        connection.commit()
    assert recorded(storage, new) == {}
    storage.cancel_unless_finished(run.id)
    with transaction(backend) as connection:
        assert storage.record_step(new.token, record("charge"), conn=connection) == LOST


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_a_transaction_that_is_older_than_the_claim_records_too(storage, run, backend):
    """On MySQL, and with repeatable reads elsewhere, it sees the task as it was before."""
    with contextlib.closing(backend.connect()) as connection:
        if backend.name == "postgresql":
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM goque_task")
        new = again(storage, run)
        assert storage.record_step(new.token, record("charge", 1), conn=connection) == KNOWN
        connection.commit()
    assert recorded(storage, new) == {"charge": 1}


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_runs_that_record_the_same_step_the_second_waits_for_the_first(storage, run, backend, end):
    """The first run has lost its claim meanwhile, but its transaction is open yet."""
    with transaction(backend) as old, transaction(backend) as own, ThreadPoolExecutor(1) as threads:
        assert storage.record_step(run.token, record("charge", "old"), conn=old) == KNOWN
        new = again(storage, run)
        future = threads.submit(storage.record_step, new.token, record("charge", "new"), conn=own)
        backend.wait_until_somebody_waits()
        getattr(old, end)()
        assert future.result(timeout=30) == (LOST if end == "commit" else KNOWN)
        own.commit()
    assert recorded(storage, new) == {"charge": "old" if end == "commit" else "new"}


@pytest.mark.parametrize("backend", SERVERS, indirect=True)
def test_a_fetcher_that_records_what_an_open_transaction_records_is_not_stopped_for_long(
    storage, run, backend
):
    with transaction(backend) as old:
        assert storage.record_step(run.token, record("charge", "old"), conn=old) == KNOWN
        new = again(storage, run)
        with pytest.raises(DatabaseUnavailableError):
            storage.answer_steps([(new.token, record("charge", "new"))], timeout=0.5)
        old.commit()
    assert ask(storage, new, record("charge", "new")) == KNOWN
    assert recorded(storage, new) == {"charge": "old"}


def test_a_value_that_no_database_stores_leaves_the_transaction_usable(storage, run, backend):
    with transaction(backend) as connection:
        answer = storage.record_step(run.token, Question(Ask.RECORD, "charge", b'"a\0b"'), conn=connection)
        assert answer.state is State.REFUSED
        connection.commit()
    assert charges(backend) == 1


def test_asyncio_handlers_record_in_their_transaction_too(storage, run, backend):
    async def scenario():
        connection = await backend.connect_asyncio()
        calls = storage.asyncio_tasks()
        assert await calls.record_step(run.token, record("charge", 1), conn=connection) == KNOWN
        late = run.token._replace(claims=7)
        assert await calls.record_step(late, record("late"), conn=connection) == LOST
        await connection.commit()
        closing = connection.close()
        if closing is not None:
            await closing

    asyncio.run(scenario())
    assert recorded(storage, run) == {"charge": 1}
