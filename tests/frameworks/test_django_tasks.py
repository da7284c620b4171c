"""Django's tasks framework on goque: signals, results, errors, transactions and system checks."""

from __future__ import annotations

import json
import re
import tempfile
import urllib.request
from pathlib import Path
from textwrap import dedent

import pytest
from django_project import HAS_TASKS, Project
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families

TASKS = """
    import os, signal, time
    from pathlib import Path
    from datetime import datetime, timezone
    from django.dispatch import receiver
    from django_tasks import TaskResultStatus, task
    from django_tasks.signals import task_finished, task_started

    class Refusal(Exception):
        pass

    class Outer:
        class Inner(Exception):
            pass

    @receiver([task_started, task_finished])
    def note(signal, sender, task_result, **rest):
        with open("signals.log", "a") as log:
            name = "started" if signal is task_started else "finished"
            errors = [error.exception_class_path for error in task_result.errors]
            print(name, sender.__name__, task_result.task.name, task_result.status.name, errors, file=log)

    @task
    def good(number):
        return number + 1

    @task
    def returns_nothing():
        return None

    @task
    def bad(kind):
        if kind == "detail":
            raise Refusal("duplicate key value\\nDETAIL: Key (id)=(1) already exists.")
        if kind == "inner":
            raise Outer.Inner("x")
        if kind == "group":
            raise ExceptionGroup("several", [ValueError("1"), Refusal("2")])
        if kind == "cause":
            try:
                1 / 0
            except ZeroDivisionError as error:
                raise Refusal() from error
        raise ValueError("wrong")

    @task
    def crash():
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def not_json():
        return object()

    @task(queue_name="slow")
    def hang():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(1000)

    @task(queue_name="slow")
    def swallow_the_timeout():
        try:
            time.sleep(1000)
        except BaseException:
            return "all is well"

    @task(queue_name="slow")
    def too_large():
        return "x" * 100_000

    @task(queue_name="slow")
    def call(tenant):
        import goque
        if tenant == "busy":
            raise goque.RateLimited(3600)

    @task(queue_name="slow")
    def hold():
        Path("held").touch()
        time.sleep(1000)
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, """{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"}""")
    made.write("shop/tasks.py", TASKS)
    made.manage("migrate")
    return made


def drain(project: Project) -> None:
    project.manage("goque", "supervise", "--drain")


def test_each_task_is_reported_finished_once_whatever_its_end(project: Project) -> None:
    project.run("""
        from shop import tasks
        tasks.good.enqueue(1)
        tasks.bad.enqueue("plain")
        tasks.crash.enqueue()
        tasks.not_json.enqueue()
    """)
    drain(project)
    lines = (project.directory / "signals.log").read_text("utf-8").splitlines()
    assert sorted(line for line in lines if line.startswith("finished")) == [
        "finished GoqueBackend bad FAILED ['builtins.ValueError', 'builtins.ValueError']",
        "finished GoqueBackend crash FAILED ['goque.errors.WorkerCrashed', 'goque.errors.WorkerCrashed']",
        "finished GoqueBackend good SUCCESSFUL []",
        "finished GoqueBackend not_json FAILED ['builtins.TypeError', 'builtins.TypeError']",
    ]
    assert len([line for line in lines if line.startswith("started")]) == 1 + 2 + 2 + 2


LIMITS = """
    import goque
    TASKS["default"]["OPTIONS"]["QUEUES"]["slow"] |= {
        "limit": 4,
        "limit_per_key": 1,
        "limit_key": lambda call: call["kwargs"].get("tenant"),
        "rate": goque.Rate(100, per=1, per_key=True),
    }
"""


def test_a_queue_has_limits_and_its_calls_have_keys(project: Project) -> None:
    project.add_settings(LIMITS)
    told = project.run("""
        from goque.contrib.django import queue
        from shop import tasks
        for result in (tasks.call.enqueue(tenant="acme"), tasks.call.enqueue(tenant="busy"), tasks.hold.enqueue()):
            print(queue.get_task(result.id).limit_key)
    """)
    assert told.split() == ["acme", "busy", "None"]
    options = project.manage("goque", "check")
    assert "limit_key=given limit=4 limit_per_key=1 rate=100/1 for each key" in options


def test_a_task_that_a_service_puts_off_is_not_reported_finished(project: Project) -> None:
    """Its queue makes one attempt, so a failed one would be the last."""
    project.add_settings(LIMITS)
    project.run("""
        from shop import tasks
        tasks.call.enqueue(tenant="acme")
        tasks.call.enqueue(tenant="busy")
    """)
    drain(project)
    assert finished(project) == ["finished GoqueBackend call SUCCESSFUL []"]
    (row,) = map(json.loads, project.manage("goque", "list", "--json", "--limit-key", "busy").splitlines())
    assert (row["status"], row["attempts"]) == ("new", 0)


def test_goque_enqueue_knows_the_project(project: Project) -> None:
    project.write(
        "shop/tasks.py",
        dedent(TASKS)
        + dedent("""
        from goque.contrib.django import registry

        @registry.processor("sync", limit_key=lambda tenant: tenant, limit_per_key=1)
        def sync(tenant: str) -> None: ...
    """),
    )
    project.manage("goque", "enqueue", "sync", '"acme"')
    project.manage("goque", "enqueue", "sync", "5", "--bare")
    assert "Expected `str`, got `int`" in project.manage("goque", "enqueue", "sync", "5", code=1)
    rows = map(json.loads, project.manage("goque", "list", "--json").splitlines())
    assert [row["limit_key"] for row in rows] == [None, "acme"]


def finished(project: Project) -> list[str]:
    """Return what `task_finished` has told so far."""
    path = project.directory / "signals.log"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return sorted(line for line in lines if line.startswith("finished"))


@pytest.mark.parametrize(
    ("function", "options", "path"),
    [
        ("hang", {"timeout": 0.5, "timeout_grace": 0.3}, "goque.errors.TaskTimeout"),
        ("swallow_the_timeout", {"timeout": 0.5, "timeout_grace": 60}, "goque.errors.TaskTimeout"),
        ("too_large", {}, "goque.errors.InvalidPayloadFormatError"),
    ],
)
def test_a_task_is_reported_failed_although_its_function_raised_nothing(
    project: Project, function: str, options: dict[str, float], path: str
) -> None:
    project.add_settings(f"TASKS['default']['OPTIONS'] |= {options!r}")
    project.run(f"from shop import tasks\ntasks.{function}.enqueue()")
    drain(project)
    assert finished(project) == [f"finished GoqueBackend {function} FAILED ['{path}']"]


@pytest.mark.parametrize("place", ["same", "other"])
def test_a_task_that_is_lost_with_its_tree_is_reported_failed_once(project: Project, place: str) -> None:
    """A tree at the same place recovers the dead tree by its files, another one after the node timeout."""
    with tempfile.TemporaryDirectory(prefix="gq-") as base:  # short, because the paths of sockets must be
        assert_lost_task_is_reported(project, Path(base) / "same", Path(base) / place)


def assert_lost_task_is_reported(project: Project, first: Path, second: Path) -> None:
    project.run("from shop import tasks\ntasks.hold.enqueue()")
    options = ("goque", "supervise", "--node-timeout", "3", "--run-dir")
    with project.running("tree", *options, str(first)):
        eventually((project.directory / "held").exists, 60)
        eventually(lambda: '"processing"' in project.manage("goque", "list", "--json"))
        project.processes["tree"].kill()
        with project.running("next", *options, str(second)):
            eventually(lambda: finished(project), 60)
    assert finished(project) == ["finished GoqueBackend hold FAILED ['goque.errors.WorkerCrashed']"]


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("plain", "builtins.ValueError"),
        ("detail", "shop.tasks.Refusal"),
        ("inner", "shop.tasks.Outer.Inner"),
        ("group", "builtins.ExceptionGroup"),
        ("cause", "shop.tasks.Refusal"),
    ],
)
def test_an_error_has_the_path_of_its_exceptions_class(project: Project, kind: str, path: str) -> None:
    task_id = project.run(f"from shop import tasks\nprint(tasks.bad.enqueue({kind!r}).id)").strip()
    drain(project)
    told = project.run(f"""
        from shop import tasks
        result = tasks.bad.get_result({task_id!r})
        print(*(error.exception_class_path for error in result.errors))
    """)
    assert told.split() == [path, path]


def test_a_result_has_its_times_its_worker_and_what_was_asked_for(project: Project) -> None:
    told = project.run("""
        from datetime import datetime, timezone
        from shop import tasks
        early = datetime(2020, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
        first = tasks.good.using(priority=7, run_after=early).enqueue(1)
        again = tasks.good.get_result(first.id)
        assert again.task == first.task, again.task
        print(first.id, tasks.returns_nothing.enqueue().id)
    """)
    drain(project)
    checked = project.run(f"""
        from shop import tasks
        first, nothing = {told.split()!r}
        result = tasks.good.get_result(first)
        print(result.return_value, result.task.priority, result.task.run_after.isoformat())
        print(result.enqueued_at <= result.started_at == result.last_attempted_at < result.finished_at)
        (worker,) = result.worker_ids
        print(bool(worker), result.attempts)
        result = tasks.returns_nothing.get_result(nothing)
        print(result.status.name, result.return_value, result.started_at < result.finished_at)
    """)
    assert checked.splitlines() == [
        "2 7 2020-05-06T07:08:09+00:00",
        "True",
        "True 1",
        "SUCCESSFUL None True",
    ]


def test_lists_show_the_path_of_each_function(project: Project) -> None:
    project.run("from shop import tasks\ntasks.good.enqueue(1)\ntasks.returns_nothing.enqueue()")
    told = project.manage("goque", "list")
    assert "shop.tasks.good" in told
    assert "shop.tasks.returns_nothing" in told


def test_stats_count_the_tasks_of_each_function(project: Project) -> None:
    project.run("""
        from goque.contrib.django import queue, registry
        from shop import tasks
        registry.declare("mail")
        tasks.good.enqueue(1)
        tasks.good.enqueue(2)
        tasks.returns_nothing.enqueue()
        queue.enqueue("django.default", {}, external_id="made by hand")
        queue.enqueue("mail", 1)
    """)
    lines = project.manage("goque", "stats").splitlines()
    assert [line.split() for line in lines] == [
        ["TYPE", "WAITING"],
        ["django.default", "4"],
        ["shop.tasks.good", "2"],
        ["shop.tasks.returns_nothing", "1"],
        ["mail", "1"],
    ]
    assert [json.loads(line) for line in project.manage("goque", "stats", "--json").splitlines()] == [
        {"type": "django.default", "status": "new", "count": 2, "function": "shop.tasks.good"},
        {"type": "django.default", "status": "new", "count": 1, "function": "shop.tasks.returns_nothing"},
        {"type": "django.default", "status": "new", "count": 1},
        {"type": "mail", "status": "new", "count": 1},
    ]


def test_metrics_and_top_show_each_function_that_the_project_has(project: Project) -> None:
    project.run("""
        from goque.contrib.django import queue
        from goque.identifiers import external_id_of
        from shop import tasks
        tasks.good.enqueue(1)
        tasks.bad.enqueue("plain")
        row = queue.get_task(tasks.good.enqueue(2).id)
        queue.enqueue("django.default", row.payload, external_id=external_id_of("made.up"))
    """)
    with project.running("tree", "goque", "supervise", "--http", "127.0.0.1:0", "--node-timeout", "3") as log:
        url = eventually(lambda: re.search(r"serving /metrics.* on (http\S+)", log.read_text("utf-8")), 60)[1]
        ended = {
            ("shop.tasks.good", "done"): 2,
            ("shop.tasks.bad", "error"): 1,
            ("shop.tasks.bad", "attempts_left"): 1,
            ("other", "done"): 1,
        }
        eventually(lambda: processed(url) == ended, 60)
        said = eventually(
            lambda: (text := project.manage("goque", "top", "--once")).count("shop.tasks.bad") and text
        )
    lines = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert lines["shop.tasks.bad"][:3] == ["0", "0", "0"]
    assert lines["shop.tasks.bad"][4] == "2"
    assert {"shop.tasks.good", "other"} <= lines.keys()
    assert "made.up" not in said


def processed(url: str) -> dict[tuple[str, str], float]:
    """Return how many runs of each function led to each status, of those that there were."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    return {
        (sample.labels["function"], sample.labels["status"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name == "goque_function_processed_tasks_total" and sample.value
    }


def test_a_transaction_that_django_knows_to_be_broken_takes_no_tasks(project: Project) -> None:
    told = project.run("""
        from django.db import connection, transaction
        import goque
        from goque.contrib.django import queue, registry
        from shop import tasks

        registry.declare("x")

        def with_tx():
            with goque.with_tx(connection):
                goque.TaskQueueManager("sqlite:///shop.sqlite3").enqueue("x")

        for enqueue in (lambda: tasks.good.enqueue(1), lambda: queue.enqueue("x"), queue.get_tasks, with_tx):
            with transaction.atomic():
                transaction.set_rollback(True)
                try:
                    enqueue()
                except Exception as error:
                    print(type(error).__name__)
        print(len(queue.get_tasks()))
    """)
    assert told.splitlines() == ["TransactionManagementError"] * 4 + ["0"]


def test_a_subclass_of_the_backend_registers_its_queues(project: Project) -> None:
    project.write(
        "shop/backends.py",
        """
        from goque.contrib.django.backend import GoqueBackend

        class Own(GoqueBackend):
            pass
        """,
    )
    project.add_settings("TASKS['default']['BACKEND'] = 'shop.backends.Own'")
    told = project.run("""
        from goque.contrib.django import queue, registry
        from shop import tasks
        tasks.good.enqueue(1)
        print(registry.task_types, [run.status for run in queue.drain_inline(registry)])
    """)
    assert told == "['django.default', 'django.slow'] [<TaskStatus.DONE: 'done'>]\n"
    assert "started Own good RUNNING" in (project.directory / "signals.log").read_text("utf-8")


@pytest.mark.parametrize(
    ("backend", "apps"),
    [
        ("goque.contrib.django.backend.GoqueBackend", ["shop"]),
        ("shop.backends.Own", ["shop"] if HAS_TASKS else ["django_tasks", "shop"]),
    ],
)
def test_a_project_without_goques_app_is_told_by_check_and_enqueues_nothing(
    project: Project, backend: str, apps: list[str]
) -> None:
    project.write(
        "shop/backends.py",
        "from goque.contrib.django.backend import GoqueBackend\nclass Own(GoqueBackend): pass\n",
    )
    project.add_settings(f"INSTALLED_APPS = {apps!r}; TASKS['default']['BACKEND'] = {backend!r}")
    project.write("shop/tasks.py", "from django_tasks import task\n@task\ndef good(): pass\n")
    project.write("shop/models.py", "import shop.tasks\n")
    assert project.manage("check", code=1).count("(goque.E003) TASKS uses goque's backend") == 1
    told = project.run("""
        from django.core.exceptions import ImproperlyConfigured
        from shop import tasks
        try:
            tasks.good.enqueue()
        except ImproperlyConfigured as error:
            print(error)
    """)
    assert told.startswith("TASKS uses goque's backend, but 'goque.contrib.django' is not in INSTALLED_APPS")
