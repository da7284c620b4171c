"""A Django project of a test's own, used as its developers use it: by manage.py."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

from django import VERSION

HAS_TASKS = VERSION >= (6, 0)
"""Whether Django has the framework itself, as `django.tasks`; before, it is the package django-tasks."""

SETTINGS = """
    from pathlib import Path
    import pymysql

    pymysql.version_info = (2, 2, 8, "final", 0)  # as Django asks of mysqlclient
    pymysql.install_as_MySQLdb()

    BASE = Path(__file__).parent.parent
    SECRET_KEY = "secret of a test"
    USE_TZ = True
    TIME_ZONE = "Australia/Sydney"
    INSTALLED_APPS = ["goque.contrib.django", "shop"]
    DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
    DATABASES = {"default": DATABASE}
    TASKS = {
        "default": {
            "BACKEND": "goque.contrib.django.backend.GoqueBackend",
            "QUEUES": ["default", "slow"],
            "OPTIONS": {"max_attempts": 2, "retry": __import__("goque").retry.static(0),
                        "QUEUES": {"slow": {"max_attempts": 1}}},
        },
    }
"""
MANAGE = """
    import os, sys
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
MODELS = """
    from django.db import models

    class Order(models.Model):
        item = models.TextField()
        receipt = models.TextField(default="")
"""
MIGRATION = """
    from django.db import migrations, models

    class Migration(migrations.Migration):
        dependencies = []
        operations = [migrations.CreateModel("Order", [
            ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
            ("item", models.TextField()),
            ("receipt", models.TextField(default="")),
        ])]
"""
TASKS = """
    import os, signal
    import goque
    from goque.contrib.django import registry, queue
    from django_tasks import task
    from shop.models import Order

    @registry.processor("send_receipt", store_result=True)
    def send_receipt(number: int) -> str:
        Order.objects.filter(id=number).update(receipt="sent")
        return f"receipt {number} is sent"

    @task
    def add(one, other):
        return one + other

    @task(takes_context=True, priority=5)
    def stumble(context, *, first):
        if context.attempt == 1:
            os.kill(os.getpid(), signal.SIGKILL) if first == "crash" else 1 / 0
        return context.attempt

    @task(queue_name="slow")
    async def never():
        raise LookupError("not today")

    def plain():
        os.kill(os.getpid(), signal.SIGKILL)
"""


class Project:
    """A directory with manage.py, a project and an app `shop`."""

    def __init__(self, directory: Path, database: str) -> None:
        self.directory = directory
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GOQUE_", "DJANGO_", "PYTHONPATH"))
        }
        self.write("manage.py", MANAGE)
        self.write("shop/settings.py", dedent(SETTINGS).replace("DATABASE}", f"{database}}}"))
        self.write("shop/models.py", MODELS)
        self.write("shop/tasks.py", TASKS)
        self.write("shop/__init__.py", "")
        self.write("shop/migrations/0001_orders.py", MIGRATION)
        self.write("shop/migrations/__init__.py", "")

    def write(self, name: str, text: str) -> None:
        """Write a file of the project; what it imports of the tasks framework is found in each version of Django."""
        if HAS_TASKS:
            text = text.replace("from django_tasks", "from django.tasks")
        path = self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text), "utf-8")

    def add_settings(self, text: str) -> None:
        path = self.directory / "shop" / "settings.py"
        path.write_text(f"{path.read_text('utf-8')}\n{dedent(text)}\n", "utf-8")

    def manage(self, *arguments: str, code: int = 0, cwd: Path | None = None) -> str:
        """Run manage.py, and return all that it says."""
        done = subprocess.run(
            [
                sys.executable,
                "-W",
                "error::DeprecationWarning:goque",
                str(self.directory / "manage.py"),
                *arguments,
            ],
            cwd=cwd or self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        return said

    @contextmanager
    def running(self, name: str, *arguments: str) -> Iterator[Path]:
        """Run manage.py beside the block; yields the file with its output."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=self.directory,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
            self.processes[name] = process
            try:
                yield log
            finally:
                process.terminate()
                process.wait(30)
                print(log.read_text("utf-8"))  # noqa: T201 - pytest shows it when the test failed

    def run(self, program: str) -> str:
        """Run a program within the project."""
        self.write("program.py", f"import django\ndjango.setup()\n{dedent(program)}")
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=self.directory,
            env={**self.environment, "DJANGO_SETTINGS_MODULE": "shop.settings"},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
