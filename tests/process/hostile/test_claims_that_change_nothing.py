"""Servers whose claim changes fewer rows than it locked, or that lock otherwise: only what was changed is run."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database, on_every_backend, on_every_server
from proxy import Proxy
from tree import HERE, StartTree, eventually, python_command, write_app

APP = """
options = dict(workers=2, fetch_tick=0.1, fetch_max_tasks=5)

@registry.processor("quick", **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""
STUCK = 30
"""More than a claim takes at once."""

IS_STUCK = "OLD.external_id LIKE 'stuck%' AND NEW.status = 'pending'"
SQLITE_TRIGGER = f"""
    CREATE TRIGGER skip_claims BEFORE UPDATE ON goque_task WHEN {IS_STUCK}
    BEGIN SELECT RAISE(IGNORE); END"""
POSTGRESQL_FUNCTION = (
    "CREATE FUNCTION skip_claim() RETURNS trigger AS 'BEGIN RETURN NULL; END' LANGUAGE plpgsql"
)
POSTGRESQL_TRIGGER = f"""
    CREATE TRIGGER skip_claims BEFORE UPDATE ON goque_task FOR EACH ROW WHEN ({IS_STUCK})
    EXECUTE FUNCTION skip_claim()"""
MYSQL_TRIGGER = f"""
    CREATE TRIGGER skip_claims BEFORE UPDATE ON goque_task FOR EACH ROW
    BEGIN
        IF {IS_STUCK} THEN
            SET NEW.status = OLD.status, NEW.claimed_by = OLD.claimed_by, NEW.claims = OLD.claims,
                NEW.updated_at = OLD.updated_at;
        END IF;
    END"""
TRIGGERS = {
    "sqlite": [SQLITE_TRIGGER],
    "postgresql": [POSTGRESQL_FUNCTION, POSTGRESQL_TRIGGER],
    "mysql": [MYSQL_TRIGGER],
}


@on_every_backend
@pytest.mark.fault(49)
def test_row_49_rows_that_a_claim_did_not_change_are_not_run_and_starve_nobody(
    start_tree: StartTree, database: Database
) -> None:
    database.queue.storage.ping()
    database.enqueue("quick", *(f"stuck{n}" for n in range(STUCK)), priority=1)
    good = [f"good{n}" for n in range(20)]
    database.enqueue("quick", *good)
    for statement in TRIGGERS[database.backend]:
        database.execute(statement)
    tree = start_tree(app=APP)
    fetcher = tree.pid("fetcher")
    eventually(lambda: database.counts().get("done") == len(good))
    threading.Event().wait(2)
    assert [line for line in tree.journal() if line[1].startswith("stuck")] == []
    assert database.counts() == {"new": STUCK, "done": len(good)}
    assert tree.pids("fetcher") == [fetcher]
    assert "Traceback" not in tree.log
    assert len(tree.log.splitlines()) < 100
    database.execute("DELETE FROM goque_task WHERE external_id LIKE 'stuck%'")


@pytest.mark.fault(49)
@on_every_server
def test_row_49_a_claim_gives_only_what_it_changed(database: Database) -> None:
    """The same without a tree: what `claim_due` returns is in the table as it says."""
    database.enqueue("quick", *(f"stuck{n}" for n in range(3)), priority=1)
    database.enqueue("quick", "good")
    for statement in TRIGGERS[database.backend]:
        database.execute(statement)
    storage = database.queue.storage
    claimed = [row.external_id for _ in range(3) for row in storage.claim_due("quick", "node-1", 2)]
    assert claimed == ["good"]


RAISING = {
    "sqlite": [SQLITE_TRIGGER.replace("RAISE(IGNORE)", "RAISE(ABORT, 'not this one')")],
    "postgresql": [
        POSTGRESQL_FUNCTION.replace("RETURN NULL;", "RAISE EXCEPTION ''not this one'';"),
        POSTGRESQL_TRIGGER,
    ],
    "mysql": [
        f"""
    CREATE TRIGGER skip_claims BEFORE UPDATE ON goque_task FOR EACH ROW
    BEGIN
        IF {IS_STUCK} THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not this one';
        END IF;
    END"""
    ],
}


@pytest.mark.fault(49)
@on_every_backend
def test_row_49_a_task_whose_claim_is_an_error_delays_no_other(database: Database) -> None:
    database.enqueue("quick", "stuck", priority=1)
    database.enqueue("quick", "good", "better")
    for statement in RAISING[database.backend]:
        database.execute(statement)
    storage = database.queue.storage
    claimed = [row.external_id for _ in range(2) for row in storage.claim_due("quick", "node-1", 5)]
    assert sorted(claimed) == ["better", "good"]
    database.enqueue("quick", "later")
    assert [row.external_id for row in storage.claim_due("quick", "node-1", 5)] == ["later"]
    database.execute("DELETE FROM goque_task")


# -- servers that say SKIP LOCKED and do not mean it -------------------------------------------------------------------


class Interpreter(Proxy):
    """A proxy that says something else than what was said; of the same length, for the protocols count."""

    def __init__(
        self, host: str, port: int, *, to_server: dict[bytes, bytes], to_client: dict[bytes, bytes]
    ) -> None:
        self._words = {"_to_server": to_server, "_to_client": to_client}
        super().__init__(host, port)

    def _to_server(self, client: socket.socket, server: socket.socket, doomed: threading.Event) -> None:
        self._pass_on(client, server, self._words["_to_server"])
        doomed.set()

    def _to_client(self, server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        self._pass_on(server, client, self._words["_to_client"])
        doomed.set()

    def _pass_on(self, source: socket.socket, target: socket.socket, words: dict[bytes, bytes]) -> None:
        try:
            while data := source.recv(1 << 20):
                for said, instead in words.items():
                    data = data.replace(said, instead.ljust(len(said))[: len(said)])
                target.sendall(data)
        except OSError:
            pass
        finally:
            for line in (source, target):
                line.close()


@pytest.fixture
def ignorant(database: Database) -> Iterator[Interpreter]:
    """The way to a server that knows no SKIP LOCKED; a test names it before its trees, so that it outlives them."""
    made = Interpreter(*database.address(), to_server={b"SKIP LOCKED": b""}, to_client={})
    yield made
    made.close()


@on_every_server
@pytest.mark.fault(49)
def test_row_49_two_trees_on_a_server_without_skip_locked_run_nothing_twice(
    ignorant: Interpreter, start_tree: StartTree, database: Database
) -> None:
    url = database.at_port(ignorant.port)
    database.enqueue("quick", *(f"t{n}" for n in range(300)))
    trees = [
        start_tree(app=APP, apart=True, GOQUE_DATABASE_URL=url),
        start_tree(apart=True, GOQUE_DATABASE_URL=url),
    ]
    eventually(database.is_settled, within=60)
    trees[0].assert_each_ran(1, [f"t{n}" for n in range(300)])
    assert {(task.status, task.attempts) for task in database.tasks()} == {("done", 0)}
    for tree in trees:
        assert "Traceback" not in tree.log


BANNERS = {
    "TiDB": ("mysql", "8.0.11-TiDB-v7.5.0"),
    "CockroachDB": ("postgresql", "CockroachDB CCL v23.2.4 (x86_64-pc-linux-gnu, built 2024/04/08)"),
    "YugabyteDB": ("postgresql", "PostgreSQL 11.2-YB-2.20.2.0-b0 on x86_64-pc-linux-gnu"),
}
"""What these answer to `SELECT version()`, and MySQL's kind at each connection."""


def place_of(directory: Path) -> dict[str, str]:
    """Return the environment in which the app of a directory can be imported."""
    return {
        "GOQUE_TEST_JOURNAL": str(directory / "journal"),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }


def banner_of(database: Database) -> bytes:
    [(banner,)] = database.execute("SELECT version()")
    return str(banner).encode()


@pytest.mark.parametrize(("name", "backend"), [(name, backend) for name, (backend, _) in BANNERS.items()])
@pytest.mark.parametrize("command", ["check", "supervise"])
@pytest.mark.fault(49)
def test_row_49_servers_that_ignore_skip_locked_are_refused_by_name(
    name: str, command: str, database: Database, tmp_path: Path
) -> None:
    said, instead = banner_of(database), BANNERS[name][1].encode()
    proxy = Interpreter(*database.address(), to_server={}, to_client={said: instead})
    try:
        write_app(tmp_path, APP)
        (tmp_path / "journal").mkdir()
        ran = subprocess.run(
            python_command("-m", "goque.cli", command, "app:registry"),
            cwd=str(tmp_path),
            env={**os.environ, **place_of(tmp_path), "GOQUE_DATABASE_URL": database.at_port(proxy.port)},
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    finally:
        proxy.close()
    assert ran.returncode in (2, 3), ran.stdout + ran.stderr
    assert name in ran.stderr, ran.stderr
    assert "Traceback" not in ran.stderr
