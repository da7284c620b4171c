"""Servers that are cut off, silent, read-only, full or in each other's way."""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import Future

import pytest
from backends import SERVERS, add, claim, done, make, row_of, run
from proxy import Proxy

from goque.errors import DatabaseUnavailableError
from goque.queue.manager import TaskQueueManager
from goque.storage import open_storage
from goque.storage.contract import Claim
from goque.storage.postgresql.connection import PREPARE_AFTER
from goque.storage.sql.claiming import claims as sql_claims
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError
from goque.task import Task
from goque.task_filter import TaskFilter

pytestmark = pytest.mark.fault(23)


@pytest.fixture(params=SERVERS)
def backend(request, tmp_path):
    made = make(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def proxy(backend):
    made = Proxy(*backend.address())
    yield made
    made.close()


@pytest.fixture
def far(backend, storage, proxy):
    """A storage whose way to the server can be cut."""
    storage.ping()
    made = backend.new_storage(port=proxy.port)
    made.ping()
    return made


def in_background(call):
    """Run a call in a thread and return what will come of it."""
    future = Future()

    def work():
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is what comes of the call
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def assert_one_line(error, *words):
    text = str(error.value)
    assert "\n" not in text
    assert all(word in text for word in words), text
    assert error.value.exit_code == 3


# -- connections that are lost ------------------------------------------------------------------------------


def test_an_application_does_not_notice_that_its_idle_connection_was_killed(storage, backend):
    add(storage)
    backend.kill_connections()
    add(storage)
    backend.kill_connections()
    storage.insert_tasks([Task("mail"), Task("mail")])
    backend.kill_connections()
    assert [count.count for count in storage.count_tasks()] == [4]


def test_a_fetcher_hears_of_it_once_and_goes_on(storage, backend):
    add(storage)
    backend.kill_connections()
    with pytest.raises(ConnectionLostError) as error:
        claim(storage)
    assert_one_line(error, "try again")
    [row] = claim(storage)
    backend.kill_connections()
    with pytest.raises(ConnectionLostError):
        storage.settle_if_held([done(row)])
    assert storage.settle_if_held([done(row)]) == {row.token}


def test_a_node_says_goodbye_though_its_idle_connection_was_killed(storage, backend):
    storage.register_node("node-1", host="here", pid=1)
    backend.kill_connections()
    storage.retire_node("node-1")
    assert backend.execute("SELECT state FROM goque_node") == [("stopped",)]


@pytest.mark.fault(25)
def test_an_insert_whose_answer_was_lost_is_there_once_and_no_duplicate(far, proxy, storage, backend):
    proxy.cut_after = b"INSERT"
    task = add(far, external_id="order-7")
    assert task.created_at == row_of(storage, task).created_at
    proxy.cut_after = backend.commit
    tasks = [Task("mail"), Task("mail")]
    assert far.insert_tasks(tasks) == tasks
    assert [count.count for count in storage.count_tasks()] == [3]


@pytest.mark.fault(25)
def test_a_claim_whose_commit_was_not_answered_is_found_again(far, proxy, storage, backend):
    tasks = {add(storage).id for _ in range(3)}
    proxy.cut_after = backend.commit
    with pytest.raises(DatabaseUnavailableError):
        claim(far)
    assert len(storage.claimed_by_owner("node-1")) == 3
    add(storage)
    found = claim(far, limit=2) + claim(far, limit=10)
    assert {row.id for row in found} == tasks
    assert all(row.claims == 1 for row in found)
    assert len(claim(far)) == 1
    assert claim(far) == []


@pytest.mark.fault(25)
def test_claims_in_doubt_are_told_for_all_types_and_found_whatever_priority_is_asked_for(
    far, proxy, storage, backend
):
    ids = [add(storage, task_type, priority=5).id for task_type in ("mail", "sms")]
    for task_type in ("mail", "sms"):
        proxy.cut_after = backend.commit
        with pytest.raises(DatabaseUnavailableError):
            claim(far, task_type=task_type, priority=5)
    assert far.claims_in_doubt() == {(task_id, 1, "node-1") for task_id in ids}
    add(storage, priority=0)
    assert [row.id for row in claim(far, priority=0)] == ids[:1]
    assert {token.task_id for token in far.claims_in_doubt()} == set(ids[1:])
    assert [row.id for row in claim(far, task_type="sms", priority=-7)] == ids[1:]
    assert far.claims_in_doubt() == set()
    assert [row.priority for row in claim(far, priority=0)] == [0]


@pytest.mark.fault(25)
def test_claims_of_several_types_in_doubt_count_as_due_until_they_are_found(far, proxy, storage, backend):
    ids = {add(storage, task_type).id for task_type in ("mail", "sms")}
    wanted = [Claim("mail", 0, 5), Claim("sms", 0, 5)]
    proxy.cut_after = backend.commit
    with pytest.raises(DatabaseUnavailableError):
        far.claim_in_turns(wanted, "node-1")
    assert {token.task_id for token in far.claims_in_doubt()} == ids
    levels = far.due_levels(["mail", "sms", "other"])
    assert {(level.type, level.seconds) for level in levels} == {("mail", 0), ("sms", 0)}
    found = far.claim_in_turns(wanted, "node-1")
    assert {(row.id, row.claims) for row in found} == {(task_id, 1) for task_id in ids}
    assert far.due_levels(["mail", "sms"]) == []


@pytest.mark.fault(25)
def test_a_claim_in_doubt_is_found_again_however_long_the_database_was_away(
    far, proxy, storage, backend, monkeypatch
):
    monkeypatch.setattr(sql_claims, "DOUBT", 0.0)
    task = add(storage)
    proxy.cut_after = backend.commit
    with pytest.raises(DatabaseUnavailableError):
        claim(far)
    assert [row.id for row in claim(far)] == [task.id]
    assert claim(far) == []


@pytest.mark.fault(25)
def test_a_claim_whose_commit_was_not_heard_is_made_again_and_told_once(far, proxy, storage, backend):
    tasks = {add(storage).id for _ in range(3)}
    proxy.cut_before = backend.commit
    with pytest.raises(DatabaseUnavailableError):
        claim(far)
    backend.eventually(
        lambda: (
            {row_of(storage, task).status for task in storage.find_tasks(TaskFilter(), limit=10)} == {"new"}
        )
    )
    assert {row.id for row in claim(far)} == tasks
    assert claim(far) == []


@pytest.mark.fault(25)
def test_a_settle_whose_commit_was_not_answered_is_found_written_the_second_time(
    far, proxy, storage, backend
):
    task = add(storage)
    [row] = claim(far)
    for _ in range(PREPARE_AFTER):
        far.ping()
    proxy.cut_after = backend.commits_ends
    with pytest.raises(DatabaseUnavailableError):
        far.settle_if_held([done(row)])
    before = row_of(storage, task)
    assert before.status == "done"
    assert far.settle_if_held([done(row)]) == {row.token}
    assert row_of(storage, task) == before


def test_a_claim_that_was_rolled_back_is_free_for_others(far, proxy, storage):
    add(storage)
    proxy.cut()
    with pytest.raises(DatabaseUnavailableError):
        claim(far)
    assert len(claim(storage, "node-2")) == 1
    assert claim(far) == []


@pytest.mark.fault(27)
def test_silence_ends_at_the_deadline_and_the_next_call_has_a_new_connection(far, proxy, backend):
    backend.shorten_deadline(far, 0.3)
    proxy.silent = True
    with pytest.raises(ConnectionLostError) as error:
        claim(far)
    assert_one_line(error, "127.0.0.1")
    proxy.silent = False
    before = proxy.connections
    assert claim(far) == []
    assert proxy.connections == before + 1


def test_a_claim_waits_for_a_silent_server_no_longer_than_it_was_told(far, proxy, storage):
    add(storage)
    proxy.silent = True
    claiming = in_background(lambda: far.claim_due("mail", "node-1", 1, timeout=0.2))
    with pytest.raises(DatabaseUnavailableError) as error:
        claiming.result(5)  # a statement that was told nothing waits 8 s
    assert_one_line(error, "try again")
    proxy.silent = False
    assert len(claim(far)) == 1


def interrupted(storage, statement):
    """Run a statement, and an exception comes in between, as a handler's timeout does."""
    with storage._connections as session:
        session.run(statement)
        raise KeyboardInterrupt


def test_an_interrupted_call_leaves_no_connection_amid_a_transaction(far):
    with far._connections as session:
        pass
    with pytest.raises(KeyboardInterrupt):
        interrupted(far, "SELECT 1")
    assert far._connections._session is session
    with pytest.raises(KeyboardInterrupt):
        interrupted(far, "BEGIN")
    assert far._connections._session is None
    assert claim(far) == []


# -- others in the way ------------------------------------------------------------------------------------------


def test_what_another_transaction_holds_is_left_to_it(storage, backend):
    tasks = [add(storage) for _ in range(3)]
    with contextlib.closing(backend.connect()) as holder:
        run(holder, f"SELECT 1 FROM goque_task WHERE id = '{tasks[0].id}' FOR UPDATE")
        assert {row.id for row in claim(storage)} == {tasks[1].id, tasks[2].id}
        holder.rollback()
    assert {row.id for row in claim(storage)} == {tasks[0].id}


@pytest.mark.fault(26)
def test_a_deadlock_is_said_so_and_the_next_try_succeeds(storage, backend):
    tasks = [add(storage) for _ in range(2)]
    rows = claim(storage)
    with contextlib.closing(backend.connect()) as rival:
        backend.wins_deadlocks(rival)
        run(rival, f"UPDATE goque_task SET attempts = 0 WHERE id = '{tasks[1].id}'")
        settling = in_background(lambda: storage.settle_if_held([done(row) for row in rows]))
        backend.wait_until_somebody_waits()
        run(rival, f"UPDATE goque_task SET attempts = 0 WHERE id = '{tasks[0].id}'")
        with pytest.raises(DatabaseLockedError) as error:
            settling.result(30)
        assert_one_line(error, "deadlock", "try again")
        rival.commit()
    assert len(storage.settle_if_held([done(row) for row in rows])) == 2


@pytest.mark.fault(26)
def test_an_application_waits_for_a_transaction_that_inserts_the_same_task(storage, backend):
    other = backend.new_storage()
    with contextlib.closing(backend.connect()) as holder:
        other.insert_tasks([Task("mail", external_id="order-7")], conn=holder)
        adding = in_background(
            lambda: storage.insert_tasks([Task("mail", external_id="order-7")], on_conflict="skip")
        )
        backend.wait_until_somebody_waits()
        holder.commit()
    assert adding.result(30) == []


# -- servers that refuse ------------------------------------------------------------------------------------------


def test_an_unreachable_server_is_one_line(backend):
    with closed_port() as port, pytest.raises(DatabaseUnavailableError) as error:
        backend.new_storage(port=port).ping()
    assert_one_line(error, "cannot be reached", str(port))


def closed_port():
    """Return a port that nobody listens at."""
    made = Proxy("127.0.0.1", 9)
    made.close()
    return contextlib.nullcontext(made.port)


def test_a_url_that_the_server_refuses_is_one_line_without_its_password(backend):
    for url, words in backend.refused_urls().items():
        storage = open_storage(url)
        with pytest.raises(DatabaseUnavailableError) as error:
            storage.ping()
        assert_one_line(error, words)
        for text in (str(error.value), repr(storage), repr(error.value.__cause__), storage.url):
            assert "s3cret" not in text


def test_a_missing_schema_is_one_line_that_says_what_to_run(backend):
    with (
        TaskQueueManager(open_storage(backend.url)) as queue,
        pytest.raises(DatabaseUnavailableError) as error,
    ):
        queue.enqueue("mail")
    assert_one_line(error, "run `goque migrate`")


# -- connections are few -----------------------------------------------------------------------------------------


def test_one_thread_has_one_connection(storage, backend):
    before = backend.connections()
    for _ in range(5):
        add(storage)
        rows = claim(storage)
        storage.settle_if_held([done(row) for row in rows])
        storage.count_tasks()
    assert backend.connections() == before


def test_threads_share_a_bounded_number_of_connections(storage, backend):
    before = backend.connections()
    gate = threading.Barrier(20)

    def work():
        gate.wait(30)
        for _ in range(5):
            add(storage)
        return backend.connections()

    seen = [in_background(work) for _ in range(20)]
    assert max(future.result(60) for future in seen) <= before + 4
    assert [count.count for count in storage.count_tasks()] == [100]
    storage.close()
    backend.eventually(lambda: backend.connections() == before - 1)
