"""goque as an app of a Django project: migrations, transactions, manage.py, the project's tests, Django's tasks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
from django_databases import server_of
from django_project import Project

from goque.storage import open_storage
from goque.storage.sql.migrate import known_migrations

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "BASE/shop.sqlite3"}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project on a SQLite file."""
    return Project(tmp_path, """{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"}""")


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Project]:
    """The project on each database that both know."""
    if request.param == "sqlite":
        yield request.getfixturevalue("project")
        return
    try:
        for values in server_of(request.param):
            yield Project(tmp_path, values)
    except (psycopg.OperationalError, pymysql.OperationalError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO SERVER, run `scripts/services up`: {str(error).strip()}")


PLACE = """
    from django.db import connection, transaction
    from goque.contrib.django import queue
    from shop.models import Order

    def place(item, fails=False):
        with transaction.atomic():
            order = Order.objects.create(item=item)
            queue.enqueue("send_receipt", order.id, external_id=f"order-{order.id}")
            transaction.set_rollback(fails)

    place("book")
    place("pen", fails=True)
    print(Order.objects.count(), [task.payload for task in queue.get_tasks()])
"""


def test_a_project_migrates_enqueues_in_its_transactions_and_runs_its_tasks(on_each: Project) -> None:
    assert "No changes detected" in on_each.manage("makemigrations", "--check", "--dry-run", "goque", "shop")
    assert "goque.0003_paused_jobs... OK" in on_each.manage("migrate")
    assert on_each.run(PLACE) == "1 [1]\n"
    told = on_each.manage("goque", "supervise", "--drain", "--types", "send_receipt")
    assert "Traceback" not in told
    assert (
        on_each.run("""
            from goque.contrib.django import queue
            from shop.models import Order
            (task,) = queue.get_tasks()
            print(task.status, task.result, Order.objects.get().receipt)
        """)
        == "done receipt 1 is sent sent\n"
    )
    assert '"status": "done"' in on_each.manage("goque", "list", "--json").replace('":"', '": "')
    assert "nothing is to be done" not in on_each.manage("goque", "check")
    assert "No migrations to apply" in on_each.manage("migrate")


def test_what_goque_migrate_has_made_is_left_as_it_is(on_each: Project) -> None:
    on_each.manage("goque", "migrate")
    on_each.manage("migrate")
    assert on_each.run(PLACE) == "1 [1]\n"


def test_there_is_a_migration_of_djangos_for_each_of_goques() -> None:
    import goque.contrib.django

    folder = Path(goque.contrib.django.__file__).parent / "migrations"
    ours = {name for dialect in ("sqlite", "postgresql", "mysql") for name in known_migrations(dialect)}
    assert sorted(path.stem for path in folder.glob("0*.py")) == sorted(ours)


def test_sqlmigrate_shows_the_statements(project: Project) -> None:
    told = project.manage("sqlmigrate", "goque", "0001")
    assert "CREATE TABLE" in told
    assert "INSERT INTO goque_migration" in told
    assert not (project.directory / "shop.sqlite3").exists() or "goque_task" not in project.run(
        "from django.db import connection\nprint(connection.introspection.table_names())"
    )


def test_without_its_tables_the_queue_says_what_to_run(project: Project) -> None:
    told = project.run("""
        from goque.contrib.django import queue
        try:
            queue.enqueue("send_receipt", 1)
        except Exception as error:
            print(type(error).__name__, error)
    """)
    assert told.startswith("SchemaError Django's database 'default' lacks goque's tables")
    assert told.endswith("run `python manage.py migrate`\n")


TESTS = """
    from django.db import connection, transaction
    from django.test import TestCase
    from goque.contrib.django import queue, registry
    from goque.testing import assert_enqueued, assert_not_enqueued
    from shop.models import Order

    class Receipts(TestCase):
        def test_a_receipt_is_sent(self):
            order = Order.objects.create(item="book")
            queue.enqueue("send_receipt", order.id)
            assert_enqueued(queue, "send_receipt", payload=order.id)
            with self.captureOnCommitCallbacks():
                (run,) = queue.drain_inline(registry)
            self.assertEqual(run.raise_for_error().returned, f"receipt {order.id} is sent")
            order.refresh_from_db()
            self.assertEqual(order.receipt, "sent")

        def test_nothing_of_another_test_is_there(self):
            assert_not_enqueued(queue, "send_receipt")
            self.assertEqual(Order.objects.count(), 0)

        def test_a_savepoint_takes_its_tasks_along(self):
            with transaction.atomic():
                queue.add_tasks([])
                queue.enqueue("send_receipt", 1)
                transaction.set_rollback(True)
            assert_not_enqueued(queue, "send_receipt")
"""


def test_the_projects_own_tests_drain_the_queue_inside_their_transaction(on_each: Project) -> None:
    on_each.write("shop/tests.py", TESTS)
    assert "Ran 3 tests" in on_each.manage("test", "--noinput")


COMMITTING_TESTS = """
    from django.test import TransactionTestCase
    from goque.contrib.django import queue
    from goque.contrib.django.testing import EmptyQueueMixin
    from goque.testing import assert_not_enqueued

    class Committing(EmptyQueueMixin, TransactionTestCase):
        def setUp(self):
            assert_not_enqueued(queue, "send_receipt")

        def test_one(self):
            queue.enqueue("send_receipt", 1)

        def test_other(self):
            queue.enqueue("send_receipt", 1)
"""
FIXTURE_TESTS = """
    import django
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def database():
        django.setup()
        from django.test.utils import setup_databases, teardown_databases
        made = setup_databases(0, interactive=False)
        yield
        teardown_databases(made, 0)

    @pytest.mark.parametrize("number", [1, 2])
    def test_a_queue_is_empty(goque_django, number):
        assert goque_django.get_tasks() == []
        goque_django.enqueue("send_receipt", number)
"""


def test_tests_that_commit_leave_no_tasks(on_each: Project) -> None:
    on_each.write("shop/tests.py", COMMITTING_TESTS)
    assert "Ran 2 tests" in on_each.manage("test", "--noinput")


def test_the_fixture_gives_tests_that_commit_an_empty_queue(project: Project) -> None:
    project.write("test_shop.py", FIXTURE_TESTS)
    assert project.run("""
        import sys, pytest
        sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "test_shop.py"]))
    """).count("2 passed") == 1  # fmt: skip


DJANGO_TASKS = """
    from shop import tasks

    added = tasks.add.enqueue(1, other=2)
    print(added.status.name, added.args, added.kwargs)
    stumbles = [tasks.stumble.enqueue(first=first).id for first in ("fail", "crash")]
    print(added.id, *stumbles, tasks.never.enqueue().id)
"""
LOOK = """
    import sys
    from shop import tasks

    added, failed, crashed, never = IDS
    result = tasks.add.get_result(added)
    print(result.status.name, result.return_value, result.attempts, result.is_finished, result.task == tasks.add)
    for id in (failed, crashed):
        result = tasks.stumble.get_result(id)
        (error,) = result.errors
        print(result.status.name, result.return_value, result.attempts, error.exception_class.__name__)
    result = tasks.never.get_result(never)
    print(result.status.name, [error.exception_class.__name__ for error in result.errors])
    assert "not today" in result.errors[0].traceback
    try:
        tasks.add.get_result("nothing")
    except Exception as error:
        print(type(error).__name__)
"""


def test_djangos_tasks_are_kept_and_run(project: Project) -> None:
    project.manage("migrate")
    told, ids = project.run(DJANGO_TASKS).splitlines()
    assert told == "READY [1] {'other': 2}"
    project.manage("goque", "supervise", "--drain", "--exclude-types", "send_receipt")
    assert project.run(LOOK.replace("IDS", repr(ids.split()))).splitlines() == [
        "SUCCESSFUL 3 1 True True",
        "SUCCESSFUL 2 2 ZeroDivisionError",
        "SUCCESSFUL 2 2 WorkerCrashed",
        "FAILED ['LookupError']",
        "TaskResultDoesNotExist",
    ]


def test_asyncio_code_enqueues_into_the_same_database(project: Project) -> None:
    project.manage("migrate")
    assert (
        project.run("""
            import asyncio
            from asgiref.sync import sync_to_async
            from goque.contrib.django import queue, registry
            from shop import tasks

            async def view():
                await registry.async_queue.enqueue("send_receipt", 1)
                await sync_to_async(queue.enqueue)("send_receipt", 2)
                await tasks.add.aenqueue(1, 2)
                await registry.aclose()

            asyncio.run(view())
            print(sorted(task.type for task in queue.get_tasks()))
        """)
        == "['django.default', 'send_receipt', 'send_receipt']\n"
    )


def test_a_row_that_names_something_else_than_a_task_calls_nothing(project: Project) -> None:
    project.manage("migrate")
    told = project.run("""
        from goque.contrib.django import queue, registry
        for path in ("shop.tasks.plain", "shop.tasks.gone"):
            queue.enqueue("django.slow", {"task": path, "args": [], "kwargs": {}, "backend": "default"})
        for run in queue.drain_inline(registry):
            print(run.errors, end="")
    """)
    assert told == (
        "attempt 1: goque.GoqueError: 'shop.tasks.plain' is no task; decorate it with @task\n"
        "attempt 1: goque.GoqueError: there is no task 'shop.tasks.gone': "
        'Module "shop.tasks" does not define a "gone" attribute/class\n'
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("GOQUE = {'DATABASES': 'default'}", "GOQUE must be a dict with the keys DATABASE and DATABASE_URL"),
        ("TASKS['default']['OPTIONS']['wokers'] = 3", "did you mean workers?"),
        ("TASKS['default']['QUEUES'] = []", "goque needs QUEUES"),
    ],
)
def test_wrong_settings_are_one_clear_line(project: Project, settings: str, said: str) -> None:
    project.add_settings(settings)
    assert said in project.manage("check", code=1).splitlines()[-1]


def test_a_database_that_goque_cannot_share_is_told_by_check(project: Project) -> None:
    project.add_settings("DATABASES['default'] = {'ENGINE': 'django.db.backends.dummy'}")
    project.write("shop/tasks.py", "")
    project.add_settings("TASKS = {}")
    assert "(goque.E001) goque knows SQLite, PostgreSQL, MySQL" in project.manage("check", code=1)


def test_an_in_memory_database_is_refused_by_a_tree(project: Project) -> None:
    project.add_settings(
        "DATABASES['default'] = {'ENGINE': 'django.db.backends.sqlite3', 'NAME': ':memory:'}"
    )
    assert "where worker processes cannot see it" in project.manage("goque", "supervise", code=1)


def test_manage_runs_goques_commands_from_anywhere(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    project.manage("migrate")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert "supervise" in project.manage("goque", "--help")
    assert "Run the tasks of an app" in project.manage("goque", "supervise", "--help")
    project.manage("goque", "enqueue", "django.default", '{"task": "shop.tasks.add", "args": [1, 2], "kwargs": {}, '
                   '"backend": "default"}', cwd=elsewhere)  # fmt: skip
    project.write(
        "other.py", "from shop.settings import *\nDATABASES['default']['NAME'] = BASE / 'other.sqlite3'\n"
    )
    project.manage("goque", "migrate", "--settings", "other", cwd=elsewhere)
    told = project.manage("goque", "check", "--settings", "other", cwd=elsewhere)
    assert "other.sqlite3" in told
    project.manage("goque", "supervise", "--drain", cwd=elsewhere)
    assert '"done"' in project.manage("goque", "stats", "--json", cwd=elsewhere)
    assert project.run("""
        from django.core.management import call_command, CommandError
        try:
            call_command("goque", "show", "00000000-0000-7000-8000-000000000000")
        except Exception as error:
            print(type(error).__name__)
    """).strip().endswith("CommandError")  # fmt: skip
    storage = open_storage(f"sqlite:///{project.directory}/shop.sqlite3")
    assert [(count.status, count.count) for count in storage.count_tasks()] == [("done", 1)]
    storage.close()
