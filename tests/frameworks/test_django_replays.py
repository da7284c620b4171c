"""`manage.py goque replay`: a project's own types and Django's tasks run again beside the table."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path

import pytest
from django_project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, """{"ENGINE": "django.db.backends.sqlite3", "NAME": BASE / "shop.sqlite3"}""")
    made.manage("migrate")
    return made


def dump(project: Project) -> list[str]:
    with contextlib.closing(sqlite3.connect(project.directory / "shop.sqlite3")) as connection:
        return list(connection.iterdump())


def test_tasks_of_a_project_are_replayed(project: Project) -> None:
    ids = project.run("""
        from goque.contrib.django import queue
        from shop import tasks

        results = [tasks.add.enqueue(1, 2), tasks.never.enqueue(), tasks.stumble.enqueue(first="crash")]
        print(*(result.id for result in results), queue.enqueue("send_receipt", 7).id)
    """).split()
    project.manage("goque", "supervise", "--drain")
    before = dump(project)
    add, never, stumble, receipt = ids
    assert "succeeded" in project.manage("goque", "replay", add)
    assert "LookupError: not today" in project.manage("goque", "replay", never, code=1)
    stumbled, *_log = project.manage("goque", "replay", stumble, "--json").splitlines()
    assert json.loads(stumbled)["attempt"] == 2
    assert '"receipt 7 is sent"' in project.manage("goque", "replay", receipt)
    failed = project.manage("goque", "replay", "--failed")
    assert "1 task replayed: 0 fixed, 1 same failure, 0 new failure" in failed
    assert dump(project) == before
