"""What only PostgreSQL does: LISTEN, plans, poolers, isolation, and its errors by their codes."""

from __future__ import annotations

import contextlib
import select
import threading

import psycopg
import pytest
from backends import PostgresqlBackend, add, claim, done, row_of

from goque.errors import DatabaseUnavailableError, SchemaError
from goque.storage import open_storage
from goque.storage.postgresql.errors import refused, translate
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError, NotWritableError
from goque.storage.sql.steps import run_steps
from goque.storage.sql.storage import SqlStorage
from goque.task import Task
from goque.task_filter import TaskFilter


@pytest.fixture
def backend(postgresql: PostgresqlBackend) -> PostgresqlBackend:
    return postgresql


# -- wake-ups ------------------------------------------------------------------------------------------------


def readable(watcher, seconds):
    return bool(select.select([watcher.fileno()], [], [], seconds)[0])


@pytest.fixture
def watcher(storage):
    made = storage.watch(["mail"])
    made._look_at = float("inf")  # no blind looks: what is seen here was told
    yield made
    made.close()


def test_a_watcher_wakes_for_its_type_and_for_no_other(watcher, other):
    assert not watcher.changed()
    add(other, "sms")
    other.insert_tasks([Task("sms"), Task("fax")])
    assert not readable(watcher, 0.1)  # nothing comes: there is nothing to wait for
    add(other)
    assert readable(watcher, 10)
    assert watcher.changed()
    watcher._look_at = float("inf")
    assert not watcher.changed()
    assert not readable(watcher, 0)


def test_a_watcher_of_many_types_wakes_for_each_of_them_on_one_connection(storage, other, backend):
    storage.ping()
    other.ping()
    before = backend.connections()
    watcher = storage.watch([f"type-{number}" for number in range(60)])
    assert backend.connections() == before + 1
    for task_type in ("type-0", "type-59", "it's another", "type-30"):
        watcher._look_at = float("inf")
        add(other, task_type)
        told = task_type.startswith("type-")
        assert readable(watcher, 10 if told else 0.1) == told
        assert watcher.changed() == told
    watcher.close()


def test_a_watcher_of_no_types_looks_by_itself(storage):
    watcher = storage.watch([])
    assert not watcher.changed()
    watcher._look_at = 0.0
    assert watcher.changed()
    watcher.close()


def test_a_watcher_that_lost_its_connection_listens_to_all_its_types_again(storage, other, backend):
    watcher = storage.watch(["mail", "sms"])
    backend.kill_connections()
    assert readable(watcher, 10)

    def heard():
        watcher._listen_at = 0.0
        return watcher.changed()

    backend.eventually(heard)
    for task_type in ("mail", "sms"):
        watcher._look_at = float("inf")
        add(other, task_type)
        assert readable(watcher, 10)
        assert watcher.changed()
    watcher.close()


def test_cancel_and_reset_wake_up_too(watcher, other):
    task = add(other)
    assert readable(watcher, 10)
    for call in (other.cancel_unless_finished, other.reset_unless_claimed):
        watcher.changed()
        watcher._look_at = float("inf")
        assert call(task.id)
        assert readable(watcher, 10)
        assert watcher.changed()


def test_a_batch_is_one_notification_at_the_commit_of_the_transaction(watcher, other, backend):
    with backend.connect() as caller:
        other.insert_tasks([Task("mail") for _ in range(100)], conn=caller)
        for _ in range(10):
            other.insert_tasks([Task("mail")], conn=caller)
        assert not readable(watcher, 0.1)
    assert readable(watcher, 10)
    assert len(list(watcher.connection.notifies(timeout=0))) == 1


def test_nothing_is_said_when_it_is_switched_off(watcher, backend):
    quiet = open_storage(f"{backend.url}&notify=off")
    task = add(quiet)
    quiet.insert_tasks([Task("mail"), Task("mail")])
    quiet.cancel_unless_finished(task.id)
    own = quiet.watch(["mail"])
    assert own.fileno() is None
    assert not readable(watcher, 0.1)
    own.close()
    quiet.close()


def test_a_watcher_whose_connection_was_killed_listens_again_on_the_same_descriptor(watcher, other, backend):
    descriptor = watcher.fileno()
    other.close()
    backend.kill_connections()
    assert readable(watcher, 10)

    def heard():
        watcher._listen_at = 0.0
        return watcher.changed()

    backend.eventually(heard)  # what was said meanwhile was said to nobody
    watcher._look_at = float("inf")
    assert not watcher.changed()
    add(other)
    assert watcher.fileno() == descriptor
    assert readable(watcher, 10)
    assert watcher.changed()


def test_a_watcher_that_cannot_listen_looks_by_itself(backend):
    storage = SqlStorage(backend.dialect(port=9))
    watcher = storage.watch(["mail"])
    watcher._look_at = 0.0
    assert watcher.changed()
    assert not watcher.changed()
    watcher.close()


# -- what a pooler between does not disturb ----------------------------------------------------------------------


def settings_that_stay(session):
    rows = session.rows(
        "SELECT name FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val"
    )
    return {name for (name,) in rows}


def test_plans_stay_pinned_with_a_server_itself_until_a_slow_read(storage):
    task = add(storage)
    for _ in range(8):
        rows = claim(storage)
        storage.settle_if_held([done(row) for row in rows])
        storage.reset_unless_claimed(task.id)
    with storage._connections as session:
        assert {"enable_seqscan", "plan_cache_mode", "lock_timeout"} <= settings_that_stay(session)
    storage.find_tasks(TaskFilter(task_type="mail"), limit=1)
    with storage._connections as session:
        assert settings_that_stay(session) == set()
        assert (
            session.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")
            == []
        )


@pytest.mark.parametrize("level", ["repeatable%5C%20read", "serializable"])
def test_the_databases_isolation_level_does_not_matter(storage, backend, level):
    strict = open_storage(f"{backend.url}%20-cdefault_transaction_isolation%3D{level}")
    tasks = [add(strict) for _ in range(2)]
    rows = claim(strict)
    with backend.connect() as canceler:
        canceler.execute("UPDATE goque_task SET status = 'canceled' WHERE id = %s", (tasks[0].id,))
        settled: list[object] = []
        settling = threading.Thread(
            target=lambda: settled.append(strict.settle_if_held([done(row) for row in rows]))
        )
        settling.start()
        backend.wait_until_somebody_waits()
    settling.join(30)
    assert settled == [{rows[1].token}]
    assert row_of(storage, tasks[0]).claimed_by is None
    strict.close()


def test_the_sessions_zone_and_style_do_not_matter(storage, backend):
    elsewhere = open_storage(f"{backend.url}%20-cTimeZone%3DAsia%2FKolkata%20-cDateStyle%3DSQL%2CDMY")
    task = add(elsewhere, delay=60)
    assert row_of(elsewhere, task) == row_of(storage, task)
    assert row_of(elsewhere, task).created_at == task.created_at
    elsewhere.close()


def test_now_is_the_servers_clock(backend, storage):
    plain = open_storage(backend.url)
    [(before,)] = backend.execute("SELECT clock_timestamp()")
    task = add(plain)
    [bulk, _] = plain.insert_tasks([Task("mail"), Task("mail")])
    [(after,)] = backend.execute("SELECT clock_timestamp()")
    assert before < task.created_at <= bulk.created_at < after
    assert task.next_attempt_at == task.created_at == row_of(plain, task).created_at
    assert len(claim(plain)) == 3
    plain.close()


# -- rows that Python cannot say ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "assignments",
    [
        "created_at = 'infinity', updated_at = '-infinity'",
        "created_at = '0044-03-15 12:00:00+00 BC', updated_at = '294276-12-31 23:59:59+00'",
        "payload = '1e400'",
        "payload = 'null', metadata = '[1]'",
        "payload = to_jsonb(repeat('[', 5000))",
        "result = '\"\\u0000\"'",
        "attempts = -1, errors = ''",
    ],
)
def test_whatever_a_row_holds_it_is_read_claimed_and_settled(storage, backend, assignments):
    hostile, healthy = add(storage), add(storage)
    backend.execute(f"UPDATE goque_task SET {assignments} WHERE id = :id", id=hostile.id)
    assert storage.get_task(hostile.id).id == hostile.id
    rows = claim(storage)
    assert {row.id for row in rows} == {hostile.id, healthy.id}
    assert all(isinstance(row.payload, bytes) for row in rows)
    assert storage.settle_if_held([done(row) for row in rows]) == {row.token for row in rows}
    assert storage.reset_unless_claimed(hostile.id)


# -- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("40001", DatabaseLockedError),
        ("40P01", DatabaseLockedError),
        ("55P03", DatabaseLockedError),
        ("57014", DatabaseLockedError),
        ("08006", ConnectionLostError),
        ("57P01", ConnectionLostError),
        ("57P02", ConnectionLostError),
        ("25006", NotWritableError),
        ("42501", DatabaseUnavailableError),
        ("53100", DatabaseUnavailableError),
        ("53300", DatabaseUnavailableError),
        ("42P01", SchemaError),
        ("42703", SchemaError),
        ("22P02", type(None)),
        ("23502", type(None)),
        ("42601", type(None)),
    ],
)
def test_an_error_is_known_by_its_code(code, kind):
    error = psycopg.errors.lookup(code)("first line\nDETAIL: second line")
    told = translate(error, "postgresql://me@db/shop")
    assert type(told) is kind
    assert "\n" not in str(told)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ('FATAL:  password authentication failed for user "me"', "refuses the password"),
        ('FATAL:  database "shop" does not exist', "the server has no database 'shop'"),
        ('FATAL:  role "me" does not exist', "refuses this user"),
        ("FATAL:  sorry, too many clients already", "has no free connection"),
        ("FATAL:  the database system is starting up", "try again in a moment"),
        ("fe_sendauth: no password supplied", "requires a password; add it to the URL"),
        ("Connection refused", "is the server up, are host and port right?"),
        ("could not translate host name", "cannot be reached: connection failed"),
    ],
)
def test_a_refusal_is_known_by_its_words(said, words):
    told = refused(psycopg.OperationalError(f"connection failed: {said}\nmore"), "postgresql://me@db/shop")
    assert words in str(told)
    assert "\n" not in str(told)


@pytest.mark.fault(26)
def test_a_server_without_a_free_connection_is_one_line(backend):
    role = f"{backend.schema}_poor"
    backend.execute(f"CREATE ROLE {role} LOGIN CONNECTION LIMIT 0")
    try:
        host, port = backend.address()
        storage = open_storage(f"postgresql://{role}@{host}:{port}/test")
        with pytest.raises(DatabaseUnavailableError, match="has no free connection"):
            storage.ping()
    finally:
        backend.execute(f"DROP ROLE {role}")


def test_a_user_without_rights_is_one_line(backend, storage):
    role = f"{backend.schema}_poor"
    backend.execute(f"CREATE ROLE {role} LOGIN")
    backend.execute(f"GRANT USAGE ON SCHEMA {backend.schema} TO {role}")
    try:
        url = backend.url.replace("://postgres@", f"://{role}@")
        poor = open_storage(url)
        with pytest.raises(DatabaseUnavailableError, match="grant it the rights"):
            add(poor)
        backend.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {backend.schema} TO {role}")
        poor.require_schema()
        with pytest.raises(DatabaseUnavailableError, match="grant it the rights"):
            poor.rehearse_writing()
        poor.close()
    finally:
        backend.execute(f"DROP OWNED BY {role}")
        backend.execute(f"DROP ROLE {role}")


@pytest.mark.fault(27)
def test_what_nobody_waits_for_any_more_is_called_off(backend):
    storage = backend.new_storage(patience=0.0)
    storage.migrate()
    backend.shorten_deadline(storage, 0.3)
    with backend.connect() as holder:
        backend.new_storage().insert_tasks([Task("mail", external_id="order-7")], conn=holder)
        with storage._connections as session, pytest.raises(ConnectionLostError, match="no answer within"):
            run_steps(session, storage._dialect.insert_one(Task("mail", external_id="order-7")))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = :name AND wait_event_type = 'Lock'"
        backend.eventually(lambda: not backend.execute(waiting, name=backend.schema))
        holder.rollback()
    assert storage.count_tasks() == []


def test_a_pool_that_was_open_at_a_fork_is_left_to_the_parent(storage, backend):
    with contextlib.ExitStack() as stack:
        parents = stack.enter_context(storage._connections)
        adding = threading.Thread(target=add, args=(storage,))  # finds the one in use, and opens the pool
        adding.start()
        adding.join(30)
    pool = storage._connections._pool._pool
    assert pool is not None
    storage._connections.after_fork()
    assert storage._connections._pool._pool is None
    add(storage)
    pool.close()
    parents.close()  # here the parent is we
