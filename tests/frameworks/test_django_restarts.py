"""Django's connections in workers and web processes: the server restarts under them, or they are open before a fork."""

from __future__ import annotations

import ast
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import services
from django_databases import server_of, values_of
from django_project import Project
from eventually import eventually
from private_servers import STOP_AT_ONCE, STOP_FAST, PrivateServer

from goque.storage import open_storage
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow

TASKS = """
    import os
    from asgiref.sync import sync_to_async
    from django.db import connection
    from django_tasks import task
    from goque.contrib.django import queue, registry
    from shop.models import Order

    def connection_number():
        with connection.cursor() as cursor:
            cursor.execute("SELECT " + ("pg_backend_pid()" if connection.vendor == "postgresql" else "connection_id()"))
            return cursor.fetchone()[0]

    @registry.processor("plain", store_result=True, max_attempts=1)
    def plain(item: str) -> int:
        Order.objects.create(item=item)
        return connection_number()

    @registry.processor("awaited", store_result=True, max_attempts=1)
    async def awaited(item: str) -> int:
        await Order.objects.acreate(item=item)
        return await sync_to_async(connection_number)()

    @registry.processor("enqueuing", max_attempts=1)
    def enqueuing(item: str) -> None:
        queue.enqueue("follow_up", item)

    @registry.processor("follow_up", max_attempts=1)
    def follow_up(item: str) -> None:
        pass

    @task
    def of_django(item):
        Order.objects.create(item=item)

    @task
    async def of_django_awaited(item):
        await Order.objects.acreate(item=item)
"""
URLS = """
    from asgiref.sync import sync_to_async
    from django.db import transaction
    from django.http import HttpResponse
    from django.urls import path
    from goque.contrib.django import queue
    from shop import tasks
    from shop.models import Order

    def only_enqueue(request):
        for kind in ("plain", "awaited", "enqueuing"):
            queue.enqueue(kind, "x")
        return HttpResponse()

    def enqueue_of_django(request):
        tasks.of_django.enqueue("x")
        return HttpResponse()

    def look(request):
        return HttpResponse(str(len(queue.get_tasks())))

    @transaction.atomic
    def enqueue_with_order(request):
        queue.enqueue("plain", "x")
        Order.objects.create(item="x")
        return HttpResponse()

    async def enqueue_awaited(request):
        await sync_to_async(queue.enqueue)("plain", "x")
        await tasks.of_django_awaited.aenqueue("x")
        return HttpResponse()

    views = (only_enqueue, enqueue_of_django, look, enqueue_with_order, enqueue_awaited)
    urlpatterns = [path(view.__name__, view) for view in views]
"""
VIEWS = ("only_enqueue", "enqueue_of_django", "look", "enqueue_with_order", "enqueue_awaited")
TASKS_OF_A_ROUND = 3 + 1 + 1 + 1 + 2
"""With the task that `enqueuing` enqueues."""


@pytest.fixture
def server(backend: str) -> Iterator[PrivateServer]:
    made = PrivateServer(backend)
    yield made
    made.repair()
    made.close()


@pytest.fixture
def project(server: PrivateServer, tmp_path: Path) -> Project:
    """A project whose connections live for ten minutes, and are not checked."""
    made = Project(tmp_path, repr({**values_of(server.url), "CONN_MAX_AGE": 600}))
    made.add_settings("ROOT_URLCONF = 'shop.urls'; ALLOWED_HOSTS = ['127.0.0.1']; DEBUG = False")
    made.write("shop/tasks.py", TASKS)
    made.write("shop/urls.py", URLS)
    made.manage("migrate")
    return made


def status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
@pytest.mark.fault(57)
@pytest.mark.timeout(180)
def test_row_57_a_server_restarted_under_idle_processes_of_django_costs_no_task_and_no_request(
    project: Project, server: PrivateServer
) -> None:
    storage = open_storage(server.url)
    web = f"127.0.0.1:{services._free_port()}"

    def rows() -> list[TaskRow]:
        return storage.find_tasks(TaskFilter(), limit=1000)

    def do_a_round(number: int) -> None:
        assert [status(f"http://{web}/{view}") for view in VIEWS] == [200] * len(VIEWS)
        eventually(lambda: len(rows()) == number * TASKS_OF_A_ROUND, within=30)
        eventually(lambda: all(row.status in ("done", "attempts_left") for row in rows()), within=30)
        assert {(row.type, row.status, row.errors) for row in rows()} == {
            (kind, "done", None) for kind in ("plain", "awaited", "enqueuing", "follow_up", "django.default")
        }

    with (
        project.running("tree", "goque", "supervise"),
        project.running("web", "runserver", "--noreload", "--nothreading", web),
    ):
        eventually(lambda: status(f"http://{web}/look"), within=30)
        do_a_round(1)
        for number, stop in enumerate((STOP_FAST, STOP_AT_ONCE, STOP_FAST), 2):
            server.restart(stop[server.name])
            do_a_round(number)
    storage.close()


EARLY_APP = """
    from django.apps import AppConfig
    from django.db import connection

    class Shop(AppConfig):
        name = "shop"

        def ready(self):
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
"""
EARLY_TASKS = """
    import os, socket, threading
    from django.db import connection
    from goque.contrib.django import queue, registry

    stranger = socket.create_connection(("127.0.0.1", PORT))

    @registry.processor("look", workers=2, store_result=True, max_attempts=1)
    def look(number: int) -> list[int]:
        query = "pg_backend_pid()" if connection.vendor == "postgresql" else "connection_id()"
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {number}, {query}")
            answer = cursor.fetchone()
        assert answer[0] == number, answer
        return [os.getpid(), answer[1]]
"""


@pytest.mark.parametrize("backend", ["postgresql", "mysql"])
@pytest.mark.fault(57)
def test_row_57_workers_share_no_connection_that_was_open_before_their_fork(
    backend: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for values in server_of(backend):
            project = Project(tmp_path, values.replace("}", ", 'CONN_MAX_AGE': 600}"))
            project.manage("migrate")
            project.write("shop/apps.py", EARLY_APP)
            project.write("shop/tasks.py", EARLY_TASKS.replace("PORT", str(port)))
            project.run("""
                from django.db import transaction
                from goque.contrib.django import queue
                with transaction.atomic():
                    for number in range(200):
                        queue.enqueue("look", number)
            """)
            told = project.manage("goque", "supervise", "--drain")
            (warning,) = [line for line in told.splitlines() if "opens connections at import" in line]
            assert f"(to 127.0.0.1:{port})" in warning
            pairs = project.run("""
                from goque.contrib.django import queue
                tasks = queue.get_tasks(limit=1000)
                print({task.status.value for task in tasks})
                print(*sorted({tuple(task.result) for task in tasks}))
            """).splitlines()
            assert pairs[0] == "{'done'}"
            workers, connections = zip(*ast.literal_eval(f"[{pairs[1].replace(') (', '), (')}]"), strict=True)
            assert len(set(workers)) == len(set(connections)) == len(workers) == 2
