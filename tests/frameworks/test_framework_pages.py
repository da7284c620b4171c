"""The pages on frameworks and on testing tell the truth: their programs run, and do what the pages say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from django_project import Project

import goque

DOCS = Path(__file__).resolve().parents[2] / "docs"


def files_of(page: str, first: str) -> dict[str, str]:
    """Return the Python of a page by file: a block that begins with `# name.py` begins, or goes on, that file."""
    text = (DOCS / page).read_text("utf-8")
    files: defaultdict[str, str] = defaultdict(str)
    name = first
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        if named := re.match(r"# (\S+\.py)\n", block):
            name = named[1]
        files[name] += f"{block}\n"
    return files


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", *command],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")


def test_the_page_on_testing(tmp_path: Path) -> None:
    files = files_of("testing.md", "app.py")
    write(tmp_path, files)
    tests = files["test_app.py"].count("\ndef test_")
    assert tests == 16
    told = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py")
    assert f"{tests} passed" in told
    assert (DOCS / "testing.md").read_text("utf-8").count("```python") == 11


MORE_OF_FASTAPI = """
import asyncio

import pytest

from shop import create_tables


@pytest.fixture
def goque_database_url():
    return "sqlite:///goque.db"  # where the engine of the page is


def test_the_order_of_the_page(goque_queue):
    asyncio.run(create_tables())
    queue = goque_queue(registry)
    with TestClient(app) as client:
        number = client.post("/orders?item=book").json()
        (run,) = queue.drain_inline(registry)
        assert run.task.external_id == f"order-{number}"
        assert client.post(f"/receipts/{number}").status_code == 409
        assert client.get("/receipts/nothing").status_code == 404
"""


def test_the_page_on_fastapi(tmp_path: Path) -> None:
    files = files_of("fastapi.md", "shop.py")
    files["test_shop.py"] += MORE_OF_FASTAPI
    write(tmp_path, files)
    assert "2 passed" in run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py")


def test_the_page_on_sqlalchemy(tmp_path: Path) -> None:
    write(tmp_path, files_of("sqlalchemy.md", "app.py"))
    run(tmp_path, "app.py")
    with goque.TaskQueueManager(f"sqlite:///{tmp_path}/goque.db") as queue:
        found = {(task.type, str(task.payload)) for task in queue.get_tasks()}
    assert found == {
        ("send_receipt", "{'order': 1}"),
        ("send_receipt", "{'order': 2}"),
        ("pay_back", "{'refund': 1}"),
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The project of the page on Django, on a SQLite file."""
    made = Project(tmp_path, """{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"}""")
    files = files_of("django.md", "settings.py")
    made.add_settings(files.pop("settings.py").replace("    ", "    ") + "\nROOT_URLCONF = 'urls'\n")
    looking = files["shop/tasks.py"].index("result = ")
    made.looking = files["shop/tasks.py"][looking:]  # type: ignore[attr-defined]  # the page shows it after the task
    files["shop/tasks.py"] = files["shop/tasks.py"][:looking]
    for name, text in files.items():
        made.write(name, text)
    return made


def test_the_page_on_django(project: Project) -> None:
    project.manage("migrate")
    assert "Ran 2 tests" in project.manage("test")
    looking = project.looking  # type: ignore[attr-defined]  # see the fixture
    assert project.run(f"from shop.tasks import count_words\n{looking}") == "READY False\n"
    told = project.manage("goque", "supervise", "--drain", "--log-level", "warning")
    assert "Traceback" not in told
    assert project.run("""
        from goque.contrib.django import queue
        (task,) = queue.get_tasks()
        print(task.type, task.status, task.result["returned"])
    """) == "django.default done 3\n"  # fmt: skip
    assert "goque.contrib.django.app:registry imports" in project.manage("goque", "check")
