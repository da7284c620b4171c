"""A transaction pooler between: every transaction may run in another server process, so nothing is kept in one."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from backends import claim, done
from server_backends import POSTGRES_URL

from goque.errors import ConfigurationError
from goque.storage import open_storage
from goque.storage.postgresql.connection import PREPARE_AFTER, DeadlineConnection
from goque.task import Task

CONFIGURATION = """
[databases]
{name} = host={host} port={port} dbname={name} user={user}{password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 2
"""


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database of the test's own: a pooler hands no search_path on, so that a schema would not do."""
    server = urlsplit(os.environ.get("GOQUE_TEST_POSTGRES_URL", POSTGRES_URL))
    name = f"goque_pooled_{uuid.uuid4().hex[:12]}"
    url = urlunsplit(server._replace(path=f"/{name}", query=""))
    with psycopg.connect(urlunsplit(server), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
        with contextlib.closing(open_storage(url)) as storage:
            storage.migrate()
        yield url
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def mode() -> str:
    """The pool mode of PgBouncer."""
    return "transaction"


@pytest.fixture
def pooled(database: str, mode: str) -> Iterator[str]:
    """The URL of the same database through PgBouncer."""
    binary = shutil.which("pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin")
    if binary is None:
        if os.environ.get("CI"):
            pytest.fail("pgbouncer is missing; run `scripts/services up` as root, which installs it")
        pytest.skip("NO PGBOUNCER, run `scripts/services up` as root, or install it")
    parts = urlsplit(database)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        own_port = probe.getsockname()[1]
    text = CONFIGURATION.format(
        name=parts.path[1:],
        host=parts.hostname,
        port=parts.port or 5432,
        user=parts.username or "postgres",
        password=f" password='{parts.password}'" if parts.password else "",
        own_port=own_port,
        mode=mode,
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        configuration = Path(folder, "pgbouncer.ini")
        configuration.write_text(text)
        process = subprocess.Popen([binary, "-q", *_as_nobody(), str(configuration)])
        try:
            url = urlunsplit(parts._replace(netloc=f"postgres@127.0.0.1:{own_port}"))
            _wait_until_reachable(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(10)


def _as_nobody() -> list[str]:
    """Return the arguments that name another account: PgBouncer refuses to run as root."""
    return ["-u", "nobody"] if os.geteuid() == 0 else []


def _wait_until_reachable(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(500):
        assert process.poll() is None, "PgBouncer has ended: its words are above"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=2).close()
            return
        threading.Event().wait(0.02)
    raise AssertionError("PgBouncer does not come up")


def test_behind_a_pooler_no_statement_is_prepared_and_with_a_server_itself_they_are(
    database: str, pooled: str
) -> None:
    for url, prepares in ((pooled, False), (database, True)):
        storage = open_storage(url)
        for _ in range(PREPARE_AFTER + 3):
            storage.insert_tasks([Task("mail")])
        with storage._connections as session:
            assert isinstance(session.connection, DeadlineConnection)
            assert (session.connection.prepare_threshold is not None) == prepares
            assert bool(session.rows("SELECT name FROM pg_prepared_statements")) == prepares
        storage.close()


def test_behind_a_pooler_nothing_stays_in_a_server_process(pooled: str) -> None:
    with contextlib.closing(open_storage(pooled)) as storage:
        for _ in range(PREPARE_AFTER + 3):
            storage.insert_tasks([Task("mail")])
            storage.settle_if_held([done(row) for row in claim(storage)])
        with storage._connections as session, session.transaction():
            pass
        with storage._connections as session:
            kept = session.rows(
                "SELECT name FROM pg_settings WHERE source = 'session' AND setting IS DISTINCT FROM reset_val"
            )
            assert {name for (name,) in kept} & {"enable_seqscan", "plan_cache_mode", "lock_timeout"} == set()


def test_clients_that_share_server_processes_do_each_task_once(pooled: str) -> None:
    ended: list[str] = []
    failures: list[BaseException] = []
    loops = 25

    def work(owner: str) -> None:
        try:
            with contextlib.closing(open_storage(pooled)) as storage:
                for _ in range(loops):
                    storage.insert_tasks([Task("mail"), Task("mail")])
                    storage.insert_tasks([Task("mail")])
                    rows = claim(storage, owner, limit=4)
                    storage.mark_processing([row.token for row in rows[:2]])
                    written = storage.settle_if_held([done(row) for row in rows])
                    ended.extend(token.task_id for token in written)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(f"node-{number}",)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    with contextlib.closing(open_storage(pooled)) as storage:
        while rows := claim(storage, limit=100):
            ended.extend(token.task_id for token in storage.settle_if_held([done(row) for row in rows]))
    assert len(ended) == len(set(ended)) == 5 * loops * 3


def test_a_watcher_whose_notifications_a_pooler_swallows_looks_once_a_second(
    database: str, pooled: str
) -> None:
    storage = open_storage(pooled)
    watcher = storage.watch(["mail"])
    with contextlib.closing(open_storage(database)) as enqueuer:
        enqueuer.insert_tasks([Task("mail")])
    watcher._look_at = 0.0
    assert watcher.changed()
    watcher.close()
    storage.close()


@pytest.mark.parametrize("mode", ["statement"])
def test_statement_mode_is_refused_and_the_error_says_what_to_do(pooled: str) -> None:
    with (
        contextlib.closing(open_storage(pooled)) as storage,
        pytest.raises(ConfigurationError, match="pool_mode = transaction") as refusal,
    ):
        storage.claim_due("mail", "node-1", 10)
    assert "\n" not in str(refusal.value)


def test_options_that_pgbouncer_refuses_are_named_in_the_error(pooled: str) -> None:
    with (
        contextlib.closing(open_storage(f"{pooled}?options=-csearch_path%3Dapp")) as storage,
        pytest.raises(ConfigurationError, match="PgBouncer that refuses 'options'") as refusal,
    ):
        storage.insert_tasks([Task("mail", external_id="order-7")])
    assert "\n" not in str(refusal.value)
