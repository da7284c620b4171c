"""`goque.testing.empty`: a database without rows of goque, or an error, on every backend."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backends import Backend

import goque.storage
from goque import (
    ConfigurationError,
    DatabaseUnavailableError,
    GoqueError,
    SchemaError,
    Task,
    TaskQueueManager,
)
from goque.storage import open_storage
from goque.storage.contract import NodeRow
from goque.storage.sql.migrate import TABLES
from goque.storage.sql.storage import SqlStorage
from goque.testing import empty
from goque.testing.database import is_running

MIGRATIONS = Path(goque.storage.__file__).parent / "migrations"


@pytest.fixture
def queue(backend: Backend, storage: SqlStorage) -> Iterator[TaskQueueManager]:
    del storage
    with TaskQueueManager(backend.url) as queue:
        yield queue


def test_it_deletes_all_rows_and_keeps_the_tables(
    backend: Backend, storage: SqlStorage, queue: TaskQueueManager
) -> None:
    queue.add_tasks([Task("mail", external_id=f"m{number}") for number in range(300)])
    storage.record_slot("nightly", datetime.now(UTC))
    empty(backend.url)
    assert queue.get_tasks() == []
    assert storage.last_slot("nightly") is None
    queue.enqueue("mail", external_id="m1")
    assert len(queue.get_tasks()) == 1
    empty(backend.url)
    empty(backend.url)
    assert queue.get_tasks() == []


def test_its_list_of_tables_is_that_of_the_migrations() -> None:
    scripts = [path.read_text("utf-8") for path in MIGRATIONS.glob("*/*.sql") if path.parent.name != "for_go"]
    made = {name for text in scripts for name in re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text)}
    assert made == set(TABLES)


def test_a_database_on_which_a_supervisor_runs_is_not_emptied(
    backend: Backend, storage: SqlStorage, queue: TaskQueueManager
) -> None:
    queue.enqueue("mail")
    node_id = str(uuid.uuid4())
    with closing(open_storage(backend.url)) as its_own:  # its clock is not a test's
        its_own.register_node(node_id, host=socket.gethostname(), pid=os.getpid())
    with pytest.raises(GoqueError, match=f"is not emptied: a supervisor runs on it, pid {os.getpid()} on "):
        empty(backend.url)
    assert len(queue.get_tasks()) == 1
    storage.retire_node(node_id)
    empty(backend.url)
    assert queue.get_tasks() == []


def test_one_that_was_killed_here_or_is_silent_does_not_run() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    now = datetime.now(UTC)

    def node(host: str, pid: int, silent: float = 1.0, state: str = "alive") -> NodeRow:
        return NodeRow("n", 1, state, host, pid, now, now - timedelta(seconds=silent))

    here = socket.gethostname()
    assert is_running(node(here, os.getpid()), now)
    assert is_running(node("elsewhere", child.pid), now)
    assert not is_running(node(here, child.pid), now)
    assert not is_running(node("elsewhere", 1, silent=31), now)
    assert not is_running(node(here, os.getpid(), state="stopped"), now)


def test_tables_that_are_missing_are_an_error_on_a_server(backend: Backend) -> None:
    if backend.name == "sqlite":
        empty(backend.url)  # it makes its tables itself
        return
    with pytest.raises(SchemaError, match="run `goque migrate`"):
        empty(backend.url)


@pytest.mark.parametrize("url", [None, "", " ", 5, "oracle://x"])
def test_a_wrong_url_is_an_error(url: object) -> None:
    with pytest.raises(ConfigurationError):
        empty(url)  # type: ignore[arg-type]


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DatabaseUnavailableError):
        empty("postgresql://postgres@127.0.0.1:1/test?connect_timeout=1")
