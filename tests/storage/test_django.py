"""Enqueueing in transactions of Django's own, on the three databases that both know."""

from __future__ import annotations

import asyncio

import django
import pytest
from asgiref.sync import sync_to_async
from backends import add
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections, transaction

import goque
from goque.contrib.django.databases import database_url
from goque.errors import ConfigurationError, DuplicateTaskError, SchemaError
from goque.task import Task
from goque.task_filter import TaskFilter


@pytest.fixture
def queue(storage, backend):
    """A manager on the database that is Django's default one."""
    if not settings.configured:
        settings.configure(USE_TZ=True, TIME_ZONE="Australia/Sydney", LOGGING_CONFIG=None)
        django.setup()
    connections.settings = connections.configure_settings({"default": backend.django_settings()})
    backend.execute("CREATE TABLE orders (id INTEGER)")
    yield goque.TaskQueueManager(storage)
    connection.close()
    del connections["default"]


def order():
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO orders VALUES (7)")


def counts(storage, backend):
    orders = backend.execute("SELECT count(*) FROM orders")[0][0]
    return sum(count.count for count in storage.count_tasks()), orders


def test_a_commit_makes_rows_and_tasks_visible_together(queue, storage, backend):
    with transaction.atomic():
        task = queue.enqueue(
            "mail", {"é": "日本 🎉 %s"}, delay=60, conn=connection
        )  # before anything of Django's
        order()
        queue.add_tasks([Task("mail"), Task("mail")], conn=connection)
        assert counts(storage, backend) == (0, 0)
        found = queue.get_task(task.id, conn=connection)
        assert (found.payload, found.next_attempt_at) == ({"é": "日本 🎉 %s"}, task.next_attempt_at)
    assert counts(storage, backend) == (3, 1)
    assert queue.get_task(task.id).created_at == task.created_at


def test_a_rollback_leaves_neither(queue, storage, backend):
    with transaction.atomic(), goque.with_tx(connection):
        order()
        queue.enqueue("mail")
        queue.add_tasks([Task("mail"), Task("mail")])
        transaction.set_rollback(True)
    assert counts(storage, backend) == (0, 0)


def test_an_inner_block_takes_its_tasks_along(queue, storage, backend):
    with transaction.atomic(), goque.with_tx(connection):
        order()
        queue.enqueue("mail", external_id="outer")
        with transaction.atomic():
            queue.enqueue("mail", external_id="inner")
            transaction.set_rollback(True)
        queue.cancel_task(queue.enqueue("mail", external_id="last").id)
    assert counts(storage, backend) == (2, 1)
    assert {row.external_id for row in storage.find_tasks(TaskFilter(), limit=9)} == {"outer", "last"}


def test_without_a_block_each_call_commits(queue, storage, backend):
    queue.enqueue("mail", external_id="taken", conn=connection)
    with pytest.raises(DuplicateTaskError):
        queue.add_tasks([Task("mail"), Task("mail", external_id="taken")], conn=connection)
    queue.add_tasks([Task("mail"), Task("mail")], conn=connection)
    connection.close()  # whatever was open is gone
    assert counts(storage, backend) == (3, 0)


def test_a_duplicate_leaves_the_transaction_usable(queue, storage, backend):
    add(storage, external_id="taken")
    with transaction.atomic():
        order()
        with pytest.raises(DuplicateTaskError):
            queue.enqueue("mail", external_id="taken", conn=connection)
        with pytest.raises(DuplicateTaskError):
            queue.add_tasks([Task("mail"), Task("mail", external_id="taken")], conn=connection)
        queue.enqueue("mail", conn=connection)
    assert counts(storage, backend) == (2, 1)


def test_a_database_without_goques_tables_is_one_line(queue, backend):
    for table in ("goque_attempt", "goque_task"):
        backend.execute(f"DROP TABLE {table}")
    with pytest.raises(SchemaError, match="lacks goque's tables") as refusal, transaction.atomic():
        queue.enqueue("mail", conn=connection)
    assert "\n" not in str(refusal.value)


def test_async_code_enqueues_where_its_transaction_is(queue, storage, backend):
    def place_order():
        with transaction.atomic(), goque.with_tx(connection):
            order()
            queue.enqueue("mail")
        connection.close()
        del connections["default"]  # this thread outlives the test, and the next one has another database

    async def view():
        await sync_to_async(place_order)()
        with pytest.raises(ConfigurationError, match="belongs to the thread of its transaction"):
            await goque.AsyncTaskQueueManager(storage).enqueue("mail", conn=connection)

    asyncio.run(view())
    assert counts(storage, backend) == (1, 1)


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("h1", "", "h1"),
        ("h1", 5433, "h1:5433"),
        ("h1,h2", "", "h1,h2"),
        ("h1,h2", "5433", "h1:5433,h2:5433"),
        ("h1, h2", "5433,5434", "h1:5433,h2:5434"),
        ("::1", "5433", "[::1]:5433"),
        ("[::1],h2", ",5434", "[::1],h2:5434"),
    ],
)
def test_the_hosts_of_djangos_settings_are_those_of_the_url(settled, host, port, found):
    settled({"HOST": host, "PORT": port})
    assert database_url() == f"postgresql://u:p%40@{found}/shop"


def test_hosts_and_ports_that_do_not_match_are_refused(settled):
    settled({"HOST": "h1,h2,h3", "PORT": "1,2"})
    with pytest.raises(ImproperlyConfigured, match="3 hosts in HOST and 2 ports in PORT"):
        database_url()


@pytest.fixture
def settled():
    """Set Django's default database to one on PostgreSQL that need not be there."""
    if not settings.configured:
        settings.configure(USE_TZ=True, TIME_ZONE="Australia/Sydney", LOGGING_CONFIG=None)
        django.setup()

    def settle(values):
        engine = {"ENGINE": "django.db.backends.postgresql", "NAME": "shop", "USER": "u", "PASSWORD": "p@"}
        connections.settings = connections.configure_settings({"default": engine | values})

    yield settle
    del connections["default"]
