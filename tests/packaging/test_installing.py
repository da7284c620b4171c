"""The wheel installs into a clean environment of each Python, without a compiler, and works there."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from distributions import install, run

from goque.version import __version__

pytestmark = pytest.mark.xdist_group("packaging")  # one wheel, and one environment of each Python

TYPED_PROJECT = """
from collections.abc import Sequence
from datetime import timedelta

import msgspec

import goque

registry = goque.Registry()


class Email(msgspec.Struct):
    to: str
    subject: str = ""


@registry.processor("send_email", workers=2, timeout=timedelta(seconds=30), retry=goque.retry.static(60))
def send_email(task: goque.TypedTask[Email]) -> None:
    greet(task.payload.to, task.attempts)


@registry.processor("count", store_result=True, no_retry_on=(ValueError, goque.TaskTimeout))
async def count(words: list[str]) -> dict[str, int]:
    return {word: words.count(word) for word in words}


@registry.cron("0 3 * * *", tz="Europe/Prague")
def nightly() -> goque.Task:
    return goque.Task("send_email", Email("ada@example.com"))


def greet(name: str, attempts: int) -> None:
    print(name, attempts)


def failed(queue: goque.TaskQueueManager) -> Sequence[goque.Task]:
    return queue.get_tasks(goque.TaskFilter(status=goque.TaskStatus.ATTEMPTS_LEFT), limit=10)
"""


def test_the_version_is_told(binaries: Path, tmp_path: Path) -> None:
    assert run(binaries / "goque", "--version", cwd=tmp_path) == f"goque {__version__}\n"


def test_the_demo_runs(binaries: Path, tmp_path: Path) -> None:
    told = run(binaries / "goque", "demo", cwd=tmp_path)
    assert "signal 11 (SIGSEGV)" in told
    assert list(tmp_path.iterdir()) == []


def test_an_app_is_run(binaries: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TYPED_PROJECT, "utf-8")
    run(binaries / "goque", "enqueue", "count", '["a", "b", "a"]', cwd=tmp_path)
    run(binaries / "goque", "supervise", "app:registry", "--drain", cwd=tmp_path)
    assert '"result":{"a":2,"b":1}' in run(binaries / "goque", "list", "--json", cwd=tmp_path).replace(
        " ", ""
    )


def test_an_extra_is_added_to_what_is_installed_and_goque_is_looked_for_nowhere(
    binaries: Path, tmp_path: Path
) -> None:
    """What a message about a missing package says to type works without goque on any index."""
    report = tmp_path / "report.json"
    run(
        sys.executable,
        *("-m", "pip", "--python", binaries / "python", "install"),
        *("--dry-run", "--quiet", "--only-binary", ":all:", "--report", report, "goque[mysql]"),
        cwd=tmp_path,
    )
    assert [
        package["metadata"]["name"].lower() for package in json.loads(report.read_text("utf-8"))["install"]
    ] == ["pymysql"]


def test_drivers_and_the_dashboard_come_with_their_extras_alone(
    binaries: Path, wheel: Path, tmp_path: Path
) -> None:
    postgresql, mysql = "postgresql://127.0.0.1:1/shop", "mysql://127.0.0.1:1/shop"
    for command, url, extra in (
        ("stats", postgresql, "postgres"),
        ("stats", mysql, "mysql"),
        ("dashboard", mysql, "dashboard"),
    ):
        goque = (binaries / "goque", command, "--database-url", url)
        assert f"pip install 'goque[{extra}]'" in run(*goque, cwd=tmp_path, code=2)
        install(binaries, f"{wheel}[{extra}]")
        assert "cannot be reached" in run(*goque, cwd=tmp_path, code=3)


def test_a_strictly_typed_project_finds_the_types(binaries: Path, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(TYPED_PROJECT, "utf-8")
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", binaries / "python")
    run(*mypy, "app.py", cwd=tmp_path)
    (tmp_path / "wrong.py").write_text(TYPED_PROJECT + "\nregistry.queue.enqueue(7)\n", "utf-8")
    assert 'Argument 1 to "enqueue"' in run(*mypy, "wrong.py", cwd=tmp_path, code=1)
