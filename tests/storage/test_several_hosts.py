"""URLs of several hosts: the first that takes writes is used, and one that stops to take writes is left."""

from __future__ import annotations

import asyncio
import contextlib
import select
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
import services
from backends import SERVERS
from private_servers import PrivateServer

from goque import AsyncTaskQueueManager, TaskQueueManager
from goque.errors import DatabaseUnavailableError
from goque.storage import open_storage
from goque.storage.mysql import several_hosts
from goque.storage.mysql.url import connection_options
from goque.task_filter import TaskFilter
from goque.task_row import TaskStatus

pytestmark = pytest.mark.fault(46)


class Host(PrivateServer):
    """A server with goque's tables, and an account that may not write in spite of `read_only`."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        with contextlib.closing(open_storage(self.url)) as storage:
            storage.migrate()
        if name == "mysql":
            for host in ("127.0.0.1", "localhost", "%"):
                self.run(f"CREATE USER app@'{host}'")
                self.run(f"GRANT SELECT, INSERT, UPDATE, DELETE ON mysql.* TO app@'{host}'")

    def run(self, sql: str) -> None:
        if self.name == "postgresql":
            always = "-cdefault_transaction_read_only=off"
            with psycopg.connect(self.url, autocommit=True, options=always) as connection:
                connection.execute(sql)
        else:
            with pymysql.connect(**connection_options(self.url), autocommit=True) as connection:
                connection.cursor().execute(sql)

    def take_writes(self, yes: bool) -> None:
        if self.name == "postgresql":
            self.run(f"ALTER SYSTEM SET default_transaction_read_only = {'off' if yes else 'on'}")
            self.run("SELECT pg_reload_conf()")
            self.run("SELECT pg_sleep(0.2)")  # each process reads it for itself
        else:
            self.run(f"SET GLOBAL read_only = {0 if yes else 1}")

    def has(self, external_id: str) -> bool:
        with contextlib.closing(open_storage(self.url)) as storage:
            return any(row.external_id == external_id for row in storage.find_tasks(TaskFilter(), limit=1000))


@pytest.fixture(scope="module", params=SERVERS)
def servers(request) -> Iterator[tuple[Host, Host]]:
    made = (Host(request.param), Host(request.param))
    yield made
    for server in made:
        server.close()


@pytest.fixture
def hosts(servers) -> tuple[Host, Host]:
    for server in servers:
        server.repair()
        server.take_writes(True)
        server.run("DELETE FROM goque_task")
    return servers


def url_of(*ports: int, name: str) -> str:
    user, database = ("postgres", "postgres") if name == "postgresql" else ("app", "mysql")
    return f"{name}://{user}@{','.join(f'127.0.0.1:{port}' for port in ports)}/{database}"


@pytest.fixture
def url(hosts) -> str:
    return url_of(*(host.port for host in hosts), name=hosts[0].name)


def test_the_first_host_is_used_when_it_takes_writes(hosts, url):
    with TaskQueueManager(f"  {url}\n") as queue:
        queue.enqueue("mail", {}, external_id="here")
    assert hosts[0].has("here")


def test_a_host_that_takes_no_writes_is_passed_over(hosts, url):
    hosts[0].take_writes(False)
    with TaskQueueManager(url) as queue:
        queue.enqueue("mail", {}, external_id="there")
    assert hosts[1].has("there")


def test_a_host_that_is_away_is_passed_over(hosts):
    nobody = services._free_port()
    with TaskQueueManager(url_of(nobody, hosts[1].port, name=hosts[0].name)) as queue:
        queue.enqueue("mail", {}, external_id="there")
    assert hosts[1].has("there")


def test_a_host_that_stops_to_take_writes_is_left_within_the_call(hosts, url):
    with TaskQueueManager(url) as queue:
        queue.enqueue("mail", {}, external_id="before")
        hosts[0].take_writes(False)
        queue.enqueue("mail", {}, external_id="after")
    assert hosts[0].has("before")
    assert hosts[1].has("after")


def test_an_asyncio_manager_leaves_it_too(hosts, url):
    async def enqueue() -> None:
        async with AsyncTaskQueueManager(url) as queue:
            await queue.enqueue("mail", {}, external_id="before")
            hosts[0].take_writes(False)
            await queue.enqueue("mail", {}, external_id="after")

    asyncio.run(enqueue())
    assert hosts[1].has("after")


def test_the_connections_of_threads_leave_it_too(hosts, url):
    together = threading.Barrier(4)

    def enqueue(queue: TaskQueueManager, when: str, number: int) -> None:
        together.wait(10)
        for n in range(10):
            queue.enqueue("mail", {}, external_id=f"{when}-{number}-{n}")

    with TaskQueueManager(url) as queue, ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda number: enqueue(queue, "before", number), range(4)))
        hosts[0].take_writes(False)
        list(threads.map(lambda number: enqueue(queue, "after", number), range(4)))
    assert all(hosts[1].has(f"after-{number}-9") for number in range(4))


def test_a_program_that_only_reads_leaves_it_too(hosts, url, monkeypatch):
    monkeypatch.setattr(several_hosts, "RECHECK", 0.0)
    with TaskQueueManager(url) as queue, TaskQueueManager(hosts[1].url) as at_second:
        assert queue.get_tasks() == []
        hosts[0].take_writes(False)
        task = at_second.enqueue("mail", {})
        queue.get_tasks()  # PostgreSQL tells with the answer to a statement
        assert [found.id for found in queue.get_tasks()] == [task.id]


def test_what_each_host_answers_is_said_when_none_takes_writes(hosts, url):
    hosts[0].take_writes(False)
    hosts[1].stop()
    with TaskQueueManager(url) as queue, pytest.raises(DatabaseUnavailableError) as refusal:
        queue.enqueue("mail", {})
    text = str(refusal.value)
    assert "no host that takes writes" in text
    assert "read" in text
    assert "onnection refused" in text or "Can't connect" in text
    assert all(f"127.0.0.1:{host.port}" in text for host in hosts)
    assert "\n" not in text


def test_a_host_that_refuses_the_user_says_more_than_one_that_is_away(hosts):
    (first, _second), nobody = hosts, services._free_port()
    url = url_of(nobody, first.port, name=first.name)
    wrong = url.replace(f"//{urlsplit(url).username}@", "//nobody_knows@")
    with (
        TaskQueueManager(wrong) as queue,
        pytest.raises(DatabaseUnavailableError, match=r"refuses|does not let"),
    ):
        queue.enqueue("mail", {})


@pytest.mark.parametrize("servers", ["postgresql"], indirect=True, scope="module")
class TestListening:
    """PostgreSQL alone notifies."""

    def test_a_watcher_follows_the_main_connection(self, hosts, url):
        with contextlib.closing(open_storage(url)) as storage, TaskQueueManager(hosts[1].url) as at_second:
            storage.ping()
            watcher = storage.watch(["mail"])
            hosts[0].take_writes(False)
            with contextlib.suppress(DatabaseUnavailableError):  # a fetcher tries again by itself
                storage.claim_due("mail", "node", 1)
            storage.claim_due("mail", "node", 1)
            watcher.changed()
            watcher.changed()
            at_second.enqueue("mail", {})
            readable, _, _ = select.select([watcher.fileno()], [], [], 5)
            assert readable, "it listens at the old server still"
            assert watcher.changed()
            watcher.close()

    def test_who_waits_for_a_task_listens_at_the_next_server(self, hosts, url):
        task_id = str(uuid.uuid4())
        for host in hosts:  # as replication has it
            host.run(
                "INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, "
                f"updated_at, next_attempt_at) VALUES ('{task_id}', 'mail', 'one', '{{}}', 'new', 0, '{{}}', now(), "
                "now(), now())"
            )
        with TaskQueueManager(url) as queue, TaskQueueManager(hosts[1].url) as at_second:
            ends = queue._storage._dialect._ends
            with ThreadPoolExecutor(1) as threads:
                waiting = threads.submit(queue.wait, task_id, 60)
                wait_until(lambda: ends._hears)
                hosts[0].take_writes(False)
                queue.enqueue("mail", {})
                wait_until(lambda: ends._hears and ends._connection.info.port == hosts[1].port)
                at_second.cancel_task(task_id)
                assert waiting.result(10).status == TaskStatus.CANCELED


def wait_until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)
