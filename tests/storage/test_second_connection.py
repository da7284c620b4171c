"""The second connection of a busy fetcher: it claims there while it settles on the first."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from backends import SERVERS, add, claim, done, main_connection_in_use, make, row_of, run

from goque.errors import DatabaseUnavailableError
from goque.outcome import Outcome, OutcomeKind
from goque.storage.contract import ANY_PRIORITY, Claim
from goque.storage.mysql import several_hosts
from goque.storage.postgresql import watcher as postgresql_watcher
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes

MAIL = [Claim("mail", ANY_PRIORITY, 10)]


@pytest.fixture(params=SERVERS)
def backend(request, tmp_path):
    made = make(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def storage(backend):
    """The storage of a fetcher of the type `mail`, which listens already."""
    made = backend.new_storage()
    made.migrate()
    watcher = made.watch(["mail"])
    yield made
    watcher.close()


@pytest.fixture
def thread():
    with ThreadPoolExecutor(1) as made:
        yield made


@contextmanager
def locked(backend, task_id):
    """Let another transaction hold the lock of a task during the block."""
    other = backend.connect()
    try:
        run(other, f"SELECT id FROM goque_task WHERE id = '{task_id}' FOR UPDATE")
        yield
    finally:
        other.rollback()
        other.close()


def test_a_claim_does_not_wait_for_a_settlement_that_is_under_way(storage, backend, thread):
    add(storage)
    [row] = claim(storage)
    waiting = add(storage)
    assert storage.open_second_connection()
    with locked(backend, row.id):
        settling = thread.submit(storage.settle_if_held, [done(row)])
        backend.wait_until_somebody_waits()
        assert [found.id for found in storage.claim_in_turns(MAIL, "node-1")] == [waiting.id]
        assert not settling.done()
    assert settling.result(30) == {row.token}


def test_on_mysql_it_is_one_connection_more_until_it_is_closed(mysql):
    storage = mysql.new_storage()
    assert not storage.open_second_connection()
    storage.migrate()
    before = mysql.connections()
    for _ in range(2):
        assert storage.open_second_connection()
        assert mysql.connections() == before + 1
    storage.close_second_connection()
    mysql.eventually(lambda: mysql.connections() == before)
    storage.close_second_connection()


def test_on_postgresql_it_is_the_one_that_listens(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    assert not storage.open_second_connection()
    watcher = storage.watch(["mail"])
    storage.ping()
    before = postgresql.connections()
    assert storage.open_second_connection()
    with main_connection_in_use(storage):
        assert storage.claim_in_turns(MAIL, "node-1") == []
    storage.close_second_connection()
    assert postgresql.connections() == before
    watcher.close()


def test_a_notification_that_comes_during_a_claim_is_not_lost(postgresql, thread, monkeypatch):
    monkeypatch.setattr(postgresql_watcher, "BLIND_LOOK", 60.0)
    storage = postgresql.new_storage()
    storage.migrate()
    watcher = storage.watch(["mail"])
    second = storage._connections.second
    session = second.take()
    with session.transaction():
        thread.submit(add, postgresql.new_storage()).result(30)
    second.give_back(session, broken=False)
    assert watcher.ask_again_in() == 0
    assert watcher.changed()
    assert watcher.ask_again_in() is None
    watcher.close()


def test_when_the_main_connection_is_lost_no_claim_goes_to_the_server_of_the_other(postgresql):
    storage = postgresql.new_storage()
    storage.migrate()
    watcher = storage.watch(["mail"])
    task = add(storage)
    assert storage.open_second_connection()
    storage._connections._session.close()
    with pytest.raises(DatabaseUnavailableError):
        storage.claim_in_turns(MAIL, "node-1")
    storage.ping()
    assert not storage.open_second_connection()
    watcher.changed()
    assert storage.open_second_connection()
    assert [row.id for row in storage.claim_in_turns(MAIL, "node-1")] == [task.id]
    watcher.close()


def test_if_the_main_connection_is_lost_while_the_other_is_in_use_both_are_opened_anew(storage, other):
    ended = ended_task(other)
    assert storage.open_second_connection()
    second = storage._connections.second
    session = second.take()
    storage._connections._session.close()
    with pytest.raises(DatabaseUnavailableError):
        storage.settle_if_held([done(ended.row)])
    assert session.rows("SELECT 1") == [(1,)]
    second.give_back(session, broken=False)
    with pytest.raises(Exception, match=r"clos|interface|reach"):
        session.rows("SELECT 1")


def test_after_it_was_cut_one_claim_fails_and_the_next_has_a_new_connection(backend):
    storage = backend.new_storage()
    storage.migrate()
    watcher = storage.watch(["mail"])
    task = add(storage)
    storage.open_second_connection()
    with main_connection_in_use(storage):
        backend.kill_connections()
        with pytest.raises(DatabaseUnavailableError):
            storage.claim_in_turns(MAIL, "node-1")
    storage.ping()
    watcher.changed()
    assert storage.open_second_connection()
    with main_connection_in_use(storage):
        assert [row.id for row in storage.claim_in_turns(MAIL, "node-1")] == [task.id]
    watcher.close()


@pytest.fixture
def database(storage, tmp_path):
    """What a fetcher of the type `mail` asks the storage."""
    types = PoolTypes([{"type": "mail"}])
    counters = PoolCounters({"mail": str(tmp_path / "counters")}, types)
    made = TaskDatabase(storage, types, 5.0, counters, [].append)
    assert made.claim_thread.is_ready(1.0)
    return made


def test_a_fetcher_settles_and_claims_at_the_same_time(storage, database):
    ended = ended_task(storage)
    waiting = add(storage)
    settled, rows = database.settle_and_claim([ended], MAIL, "node-1")
    assert [written for _task, _change, written in settled] == [True]
    assert [row.id for row in rows] == [waiting.id]


def test_if_a_settlement_fails_the_claim_beside_it_is_found_by_a_later_one(
    storage, other, database, backend, thread
):
    ended = ended_task(storage)
    waiting = add(storage)
    with locked(backend, ended.row.id):
        both = thread.submit(database.settle_and_claim, [ended], MAIL, "node-1")
        backend.eventually(lambda: row_of(other, waiting).status == "pending")
        backend.kill_waiting()
        assert both.result(30) == (None, None)
    database.retry_at = 0.0
    assert [row.token for row in database.claim(MAIL, "node-1")] == [(waiting.id, 1, "node-1")]
    [(_task, _change, written)] = database.settle([ended], "node-1")
    assert written


def test_whichever_of_the_two_loses_its_connection_the_other_is_true_and_it_works_again_later(
    storage, database
):
    ended = ended_task(storage)
    waiting = add(storage)
    lose_second_connection(storage)
    settled, rows = database.settle_and_claim([ended], MAIL, "node-1")
    assert rows is None
    assert database.is_away(time.monotonic())
    database.retry_at = 0.0
    assert [row.id for row in database.claim(MAIL, "node-1")] == [waiting.id]
    [(_task, _change, written)] = settled or database.settle([ended], "node-1")
    assert written
    assert row_of(storage, ended.row).status == "done"


def lose_second_connection(storage):
    second = storage._connections.second
    session = second.take()
    second.give_back(session, broken=False)
    session.connection.close()


def ended_task(storage):
    """Return a claimed task whose run has gone well."""
    add(storage)
    [row] = claim(storage)
    return ClaimedTask(row, outcome=Outcome(OutcomeKind.DONE))


def test_with_several_hosts_it_is_to_the_server_of_the_main_one_or_there_is_none(mysql, monkeypatch):
    storage = mysql.new_storage()
    storage.migrate()
    # as if each were to another server
    monkeypatch.setattr(several_hosts, "SERVER", "SELECT connection_id()")
    before = mysql.connections()
    assert not storage.open_second_connection()
    mysql.eventually(lambda: mysql.connections() == before)


def test_a_watcher_that_has_lost_its_connection_does_not_ask_to_be_asked_at_once(postgresql, monkeypatch):
    storage = postgresql.new_storage()
    storage.migrate()
    watcher = storage.watch(["mail"])
    second = storage._connections.second
    session = second.take()
    monkeypatch.setattr(watcher, "_connect", refuse)
    second.give_back(session, broken=True)
    assert watcher.ask_again_in() is None
    watcher.changed()
    assert watcher.ask_again_in() is None
    watcher.close()


def refuse():
    raise DatabaseUnavailableError("the database is away")


def test_while_a_commit_is_not_answered_there_is_none(storage):
    assert storage.open_second_connection()
    storage._connections._unanswered = storage._connections._session
    assert not storage.open_second_connection()
    storage._connections._unanswered = None


def test_a_forked_child_does_not_use_it(storage):
    storage.open_second_connection()
    add(storage)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            assert storage._connections.second.take() is None
            add(storage)
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with main_connection_in_use(storage):
        assert len(storage.claim_in_turns(MAIL, "node-1")) == 2


def test_a_database_with_one_writer_has_no_use_for_it(sqlite):
    storage = sqlite.new_storage()
    storage.migrate()
    task = add(storage)
    assert not storage.open_second_connection()
    storage.close_second_connection()
    assert [row.id for row in claim(storage)] == [task.id]
