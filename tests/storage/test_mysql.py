"""What only MySQL and MariaDB do: versions, collations, zones, packets, plans, migrations without rollback."""

from __future__ import annotations

import contextlib
import inspect
import logging
import math
import select
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pymysql
import pytest
from backends import MysqlBackend, add, claim, done, move, row_of
from go_schema import ID, ORIGINAL, OWN_TABLES

from goque.errors import (
    ConfigurationError,
    DatabaseUnavailableError,
    InvalidPayloadFormatError,
    SchemaError,
)
from goque.storage import open_storage
from goque.storage.mysql import session as mysql_session
from goque.storage.mysql.errors import refused, translate
from goque.storage.mysql.nudge import nudge_path
from goque.storage.mysql.recorded_steps import HOLD
from goque.storage.mysql.statements import MYSQL_STATEMENTS
from goque.storage.mysql.url import connection_options
from goque.storage.mysql.watcher import MysqlWatcher
from goque.storage.sql.migrate import known_migrations, split_statements
from goque.storage.sql.session import ConnectionLostError, DatabaseLockedError, NotWritableError
from goque.task import Task
from goque.task_row import TaskStatus

INVALID_JSON = 3140


@pytest.fixture
def backend(mysql: MysqlBackend) -> MysqlBackend:
    return mysql


@pytest.mark.parametrize(
    ("told", "works"),
    [
        ("8.0.17", True),
        ("8.0.36-0ubuntu0.22.04.1", True),
        ("8.4.0", True),
        ("10.6.16-MariaDB", True),
        ("5.5.5-10.11.6-MariaDB-0+deb12u1", True),
        ("11.4.2-MariaDB-log", True),
        ("8.0.16", False),
        ("5.7.44-log", False),
        ("10.5.29-MariaDB", False),
        ("5.5.5-10.3.39-MariaDB", False),
        ("nonsense", False),
    ],
)
def test_an_old_server_is_refused_in_one_line(backend, told, works):
    dialect = backend.dialect()
    if works:
        assert dialect._is_mariadb(told) is ("MariaDB" in told)
        return
    with pytest.raises(ConfigurationError, match=r"needs MySQL 8.0.17 or MariaDB 10.6") as refusal:
        dialect._is_mariadb(told)
    assert "\n" not in str(refusal.value)


def test_names_differ_by_bytes_in_a_table_that_the_original_made_too(backend):
    backend.script(ORIGINAL["mysql"])
    storage = backend.new_storage()
    storage.migrate()
    for external_id in ("ORDER-7", "order-7 ", "örder-7", "order-7\N{ZERO WIDTH SPACE}"):
        add(storage, external_id=external_id)
    assert storage.insert_tasks([Task("mail", external_id="order-7")], on_conflict="skip") == []
    assert len(claim(storage, task_type="MAIL")) == 0
    assert len(claim(storage)) == 5


def test_a_table_that_the_original_made_in_a_latin1_database_is_made_ours(backend):
    backend.new_storage().migrate()
    ours = backend.column_types()
    for table in (*OWN_TABLES, "goque_task"):
        backend.execute(f"DROP TABLE {table}")
    backend.execute("ALTER DATABASE CHARACTER SET latin1")
    backend.script(ORIGINAL["mysql"])
    storage = backend.new_storage()
    storage.migrate()
    assert backend.column_types() == ours
    [row] = claim(storage)
    assert storage.settle_if_held([done(row)]) == {row.token}


def test_instants_of_the_original_are_widened_and_kept(backend):
    backend.script("SET time_zone = '+00:00'")
    backend.script(ORIGINAL["mysql"])
    storage = backend.new_storage()
    storage.migrate()
    assert storage.get_task(ID).created_at == datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
    assert row_of(storage, add(storage)).created_at.microsecond == 123456


def test_a_migration_that_was_cut_off_is_gone_on_with(backend):
    statements = [
        statement for text in known_migrations("mysql").values() for statement in split_statements(text)
    ]
    for statement in statements[:3]:
        backend.execute(statement.replace("%", "%%"))
    storage = backend.new_storage()
    assert storage.schema_state() == "outdated"
    assert storage.migrate() == [
        "0001_task_table",
        "0002_owners_and_priorities",
        "0003_paused_jobs",
        "0004_unique_keys",
        "0005_limits",
        "0006_flows",
        "0007_steps",
        "0008_failures",
        "0009_rollups",
        "0010_stacks",
        "0013_claim_room",
    ]
    add(storage)
    assert len(claim(storage)) == 1


def test_an_instant_beyond_what_the_column_holds_is_its_last(storage):
    task = add(storage, delay=99 * 366 * 86400)
    assert row_of(storage, task).next_attempt_at == datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC)
    held = add(storage)
    [row] = claim(storage)
    storage.settle_if_held([move(row, TaskStatus.ERROR, attempts=1, delay=1e12)])
    assert row_of(storage, held).next_attempt_at.year == 2038


@pytest.mark.parametrize("zone", ["+00:00", "-03:30", "SYSTEM"])
def test_the_callers_time_zone_does_not_matter_and_stays(storage, backend, zone):
    with backend.connect() as caller, caller.cursor() as cursor:
        cursor.execute("SET time_zone = %s", (zone,))
        task = storage.insert_tasks([Task("mail", delay=60)], conn=caller)[0]
        [bulk, _] = storage.insert_tasks([Task("mail", delay=60), Task("mail")], conn=caller)
        assert storage.get_task(task.id, conn=caller).next_attempt_at == task.next_attempt_at
        caller.commit()
        cursor.execute("SELECT @@session.time_zone")
        assert cursor.fetchone() == (zone,)
    assert row_of(storage, task).next_attempt_at == row_of(storage, bulk).next_attempt_at
    assert row_of(storage, task).next_attempt_at == task.created_at + timedelta(seconds=60)


def test_now_is_the_servers_clock(backend, storage):
    plain = open_storage(backend.url)
    before = backend.execute("SELECT utc_timestamp(6)")[0][0].replace(tzinfo=UTC)
    task = add(plain)
    after = backend.execute("SELECT utc_timestamp(6)")[0][0].replace(tzinfo=UTC)
    assert before < task.created_at < after
    assert row_of(plain, task).created_at == task.created_at
    plain.close()


@contextlib.contextmanager
def kept_out_by_mysql():
    """Let MySQL's JSON type refuse what MariaDB's stores: then there is no such row to trip over."""
    try:
        yield
    except pymysql.OperationalError as error:
        if error.args[0] != INVALID_JSON:
            raise


@pytest.mark.parametrize(
    "assignments",
    [
        "payload = 'null', metadata = '[1]'",
        "payload = '1e400'",
        "errors = '', attempts = -1",
        "result = '\"\\\\u0000\"'",
        "created_at = from_unixtime(1), updated_at = from_unixtime(1)",
    ],
)
def test_whatever_a_row_holds_it_is_read_claimed_and_settled(storage, backend, assignments):
    hostile, healthy = add(storage), add(storage)
    with kept_out_by_mysql():
        backend.execute(f"UPDATE goque_task SET {assignments} WHERE id = :id", id=hostile.id)
    assert storage.get_task(hostile.id).id == hostile.id
    rows = claim(storage)
    assert {row.id for row in rows} == {hostile.id, healthy.id}
    assert all(isinstance(row.payload, bytes) for row in rows)
    assert storage.settle_if_held([done(row) for row in rows]) == {row.token for row in rows}
    assert storage.reset_unless_claimed(hostile.id)


def test_a_database_whose_default_is_latin1_keeps_every_character(backend):
    backend.execute(f"ALTER DATABASE {backend.database} CHARACTER SET latin1")
    storage = backend.new_storage()
    storage.migrate()
    task = add(storage, external_id="žluť 😀")
    [row] = claim(storage)
    storage.mark_processing([row.token])
    change = move(row, TaskStatus.ERROR, attempts=1, errors="attempt 1: žluť 😀\n", delay=0.0)
    assert storage.settle_if_held([change]) == {row.token}
    assert row_of(storage, task).errors == "attempt 1: žluť 😀\n"
    [row] = claim(storage)
    assert storage.settle_if_held([done(row)]) == {row.token}
    assert row_of(storage, task).status == "done"


def test_batches_stay_below_what_the_server_takes(storage):
    storage.insert_tasks([Task("mail", "x" * 100_000) for _ in range(40)])
    rows = claim(storage, limit=40)
    storage._dialect.largest_batch = 100_000
    changes = [move(row, TaskStatus.ERROR, attempts=1, errors="é" * 8000) for row in rows]
    assert storage.settle_if_held(changes) == {row.token for row in rows}


def test_writers_of_every_kind_do_not_deadlock(storage, backend):
    storage.insert_tasks([Task("mail", priority=n % 3) for n in range(300)])
    failures = []

    def work(name):
        own = backend.new_storage()
        try:
            for n in range(6):
                own.insert_tasks([Task("mail", priority=n % 3) for _ in range(10)])
                rows = own.claim_due("mail", name, 40)
                own.mark_processing([row.token for row in rows[::2]])
                changes = [
                    done(row) if number % 3 else move(row, TaskStatus.ERROR, attempts=1, delay=0)
                    for number, row in enumerate(rows)
                ]
                assert own.settle_if_held(changes) == {row.token for row in rows}
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"node-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert {count.status for count in storage.count_tasks()} <= {"new", "error", "done"}


def pauses_of(watcher, looks):
    """Ask a watcher as often as it wants to be asked, without the waiting."""
    pauses = []
    for _ in range(looks):
        assert watcher.changed()
        assert not watcher.changed(), "asked again at once, it says that it is not time"
        pauses.append(watcher.ask_again_in())
        watcher._look_at = 0.0
    return pauses


def test_a_watcher_looks_often_while_there_is_work_and_seldom_while_there_is_none():
    watcher = MysqlWatcher(None)
    assert watcher.fileno() is None
    pauses = pauses_of(watcher, 8)
    assert pauses[:5] == sorted(pauses[:5])
    assert pauses[0] <= 0.04
    assert 0.7 < pauses[-1] <= 1.0
    watcher.found(0)
    assert pauses_of(watcher, 1)[0] > 0.7
    watcher.found(3)
    assert pauses_of(watcher, 1)[0] <= 0.04
    watcher.close()


@pytest.fixture
def own_base(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    nudge_path.cache_clear()
    yield tmp_path / "goque"
    nudge_path.cache_clear()


def hears(watcher):
    return bool(select.select([watcher.fileno()], [], [], 10)[0])


def test_an_enqueuer_on_the_same_machine_wakes_the_watchers_of_its_types(storage, other, own_base):
    mail, sms = storage.watch(["mail"]), storage.watch(["sms"])
    for watcher in (mail, sms):
        pauses_of(watcher, 3)
        watcher._look_at = math.inf
    add(other)
    assert hears(mail)
    assert mail.changed()
    assert not sms.changed()
    assert mail.ask_again_in() <= 0.02, "the enqueuer may not have committed yet"
    mail._look_at = math.inf
    assert not mail.changed(), "a nudge is heard once"
    other.insert_tasks([Task("mail"), Task("sms")])
    assert hears(sms)
    assert sms.changed()
    mail.close()
    sms.close()


def test_a_watcher_goes_on_when_the_nudge_file_was_tidied_away(storage, other, own_base):
    watcher = storage.watch(["mail"])
    (nudged,) = (own_base / "nudges").iterdir()
    nudged.unlink()
    assert hears(watcher)
    watcher.changed()
    watcher._look_at = math.inf
    add(other)
    assert hears(watcher)
    assert watcher.changed()
    watcher.close()


def test_a_watcher_of_many_types_hears_each_of_them_on_one_descriptor(storage, other, own_base):
    types = [f"type-{number}" for number in range(60)]
    before = open_inotifies()
    watcher = storage.watch(types)
    assert len(open_inotifies() - before) == 1
    for task_type in ("type-0", "type-59", "type-30"):
        watcher._look_at = math.inf
        add(other, "other")
        assert not watcher.changed()
        add(other, task_type)
        assert hears(watcher)
        assert watcher.changed()
    for nudged in (own_base / "nudges").iterdir():
        nudged.unlink()
    assert hears(watcher)
    watcher.changed()
    watcher._look_at = math.inf
    add(other, "type-7")
    assert hears(watcher)
    assert watcher.changed()
    watcher.close()


def open_inotifies():
    """Return the inotify descriptors of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor that reads this directory
            found |= {entry.name} if "inotify" in entry.readlink().name else set()
    return found


def test_nobody_listening_or_a_directory_of_somebody_else_harms_no_enqueuer(storage, own_base, caplog):
    add(storage)
    own_base.mkdir(mode=0o755)
    with caplog.at_level(logging.INFO, "goque.storage"):
        watcher = storage.watch(["mail"])
    assert watcher.fileno() is None
    assert "must belong to you alone" in caplog.text
    assert watcher.changed(), "it looks by the clock instead"
    add(storage)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1205, DatabaseLockedError),
        (1213, DatabaseLockedError),
        (2006, ConnectionLostError),
        (2013, ConnectionLostError),
        (1927, ConnectionLostError),
        (1040, DatabaseUnavailableError),
        (1290, NotWritableError),
        (1047, NotWritableError),
        (1180, ConnectionLostError),
        (3101, DatabaseLockedError),
        (1142, DatabaseUnavailableError),
        (1114, DatabaseUnavailableError),
        (1038, DatabaseUnavailableError),
        (1146, SchemaError),
        (1054, SchemaError),
        (1153, InvalidPayloadFormatError),
        (1062, type(None)),
        (1366, type(None)),
        (1064, type(None)),
    ],
)
def test_an_error_is_known_by_its_code(code, kind):
    told = translate(pymysql.OperationalError(code, "first line\nsecond line"), "mysql://me@db/shop")
    assert type(told) is kind
    assert "\n" not in str(told)


def test_a_setting_that_leaves_no_memory_to_sort_is_named():
    told = translate(pymysql.OperationalError(1038, "Out of sort memory"), "mysql://me@db/shop")
    assert "raise sort_buffer_size" in str(told)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1045, "refuses the user or the password"),
        (1049, "has no such database"),
        (2003, "cannot be reached: no route"),
    ],
)
def test_a_refusal_is_known_by_its_code(code, words):
    told = refused(pymysql.OperationalError(code, "no route\nto host"), "mysql://me@db/shop")
    assert words in str(told)
    assert "\n" not in str(told)


def test_a_callers_connection_without_a_database_is_one_line(storage, backend):
    options = connection_options(backend.server)
    del options["database"]
    with (
        contextlib.closing(pymysql.connect(**options)) as connection,
        pytest.raises(SchemaError, match=r"lacks goque's tables \(No database selected\)"),
    ):
        storage.insert_tasks([Task("mail")], conn=connection)


def test_rows_beside_a_json_table_are_locked_in_words_that_mysql_takes():
    assert "JSON_TABLE" in HOLD
    assert HOLD.endswith("FOR UPDATE /*!80017 OF goque_task */")  # it locks no function's rows: error 3569


def test_nothing_rests_on_the_digests_that_mysql_9_has_no_more():
    session = inspect.getsource(mysql_session).lower()
    texts = [session, repr(MYSQL_STATEMENTS).lower(), *known_migrations("mysql").values()]
    assert [text for text in texts if "md5(" in text or "sha1(" in text or "sha(" in text] == []


def test_a_task_that_is_due_now_is_enqueued_in_one_round_trip_where_the_server_tells_when(backend, storage):
    def statements(asked) -> int:
        with asked._connections as session:
            return int(session.rows("SHOW SESSION STATUS LIKE 'Questions'")[0][1])

    with contextlib.closing(open_storage(backend.url)) as ours:
        with ours._connections as session:
            is_mariadb = "MariaDB" in session.connection.get_server_info()
        before = statements(ours)
        [task] = ours.insert_tasks([Task("mail")])
        assert statements(ours) - before - 1 == (1 if is_mariadb else 2)
    row = row_of(storage, task)
    assert task.created_at == row.created_at == row.next_attempt_at
    assert abs(row.created_at - datetime.now(UTC)) < timedelta(seconds=10)
