"""Every command and every page that shows rows, asked in turn; what does not answer is told and not raised."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Iterable
from typing import Any

from databases import Database
from starlette.testclient import TestClient
from tree import HERE, Tree, python_command

from goque import PayloadDecodeError, TaskFilter, TaskQueueManager
from goque.dashboard import create_app

COMMANDS = (
    ["list"],
    ["list", "--limit", "1000"],
    ["list", "--json", "--limit", "1000"],
    ["list", "--type", "fine", "--json", "--limit", "1000"],
    ["list", "--status", "error", "--limit", "1000"],
    ["list", "--failure", "3f9a2c81d0"],
    ["failures"],
    ["failures", "--json"],
    ["stats"],
    ["stats", "--json"],
    ["top", "--once"],
    ["schedules", "app:registry"],
    ["schedules", "app:registry", "--json"],
)
PAGES = (
    "/",
    "/types",
    "/tasks",
    "/tasks?type=fine",
    "/tasks?status=error",
    "/tasks?status=attempts_left",
    "/tasks?status=processing",
    "/tasks?failure=3f9a2c81d0",
    "/failures",
    "/jobs",
    "/nodes",
)
SHOW = """
import contextlib, io, json, sys, traceback
from goque.cli.group import root
for task_id in json.loads(sys.argv[1]):
    for options in ([], ["--json"]):
        said = io.TextIOWrapper(io.BytesIO(), "utf-8")
        try:
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                root(["show", task_id, *options], prog_name="goque")
        except SystemExit as end:
            said.flush()
            if end.code not in (0, None):
                print("goque show", task_id, *options, "ended in", end.code, said.buffer.getvalue()[-300:])
        except BaseException:
            print("goque show", task_id, *options, traceback.format_exc())
"""


def commands_that_fail(tree: Tree, task_ids: Iterable[str]) -> list[str]:
    """Run the commands that show something, and return what those say that did not succeed."""
    environment = {
        **os.environ,
        "GOQUE_DATABASE_URL": tree.database.url,
        "GOQUE_TEST_JOURNAL": str(tree.journal_directory),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }
    place: dict[str, Any] = {
        "cwd": tree.directory,
        "env": environment,
        "capture_output": True,
    }
    problems = []
    for arguments in COMMANDS:
        ran = subprocess.run(python_command("-m", "goque.cli", *arguments), check=False, timeout=60, **place)
        said = ran.stderr.decode(errors="replace")
        if ran.returncode or "Traceback" in said:
            problems.append(f"goque {' '.join(arguments)} ended in {ran.returncode}: {_tail(said)}")
        if "--json" in arguments:
            problems += [
                f"goque {' '.join(arguments)}: no JSON in {line[:200]!r}"
                for line in ran.stdout.split(b"\n")
                if line and not _is_json(line)
            ]
    show = python_command("-c", SHOW, json.dumps(list(task_ids)))
    ran = subprocess.run(show, check=False, timeout=100, **place)
    said = ran.stdout.decode(errors="replace") + ran.stderr.decode(errors="replace")
    return problems + ([f"goque show: {said[:6000]}"] if said.strip() else [])


def calls_that_fail(database: Database, task_ids: Iterable[str]) -> list[str]:
    """Read tasks by the manager, all at once and each by itself."""
    problems = []
    with TaskQueueManager(database.url) as queue:
        try:
            queue.get_tasks(TaskFilter(), limit=100_000)
            queue.storage.limit_uses()
        except Exception as error:  # noqa: BLE001 - any is one too many
            problems.append(f"get_tasks: {type(error).__name__}: {error}")
        for task_id in task_ids:
            try:
                queue.get_task(task_id)
            except PayloadDecodeError:
                continue  # it says so of one task
            except Exception as error:  # noqa: BLE001 - any other is one too many
                problems.append(f"get_task({task_id}): {type(error).__name__}: {error}")
    return problems


def pages_that_fail(database: Database, task_ids: Iterable[str]) -> list[str]:
    """Ask for the pages of a dashboard, and return what those say that did not succeed."""
    problems = []
    with TestClient(create_app(database.url), follow_redirects=False) as client:
        for path in (*PAGES, *(f"/tasks/{task_id}" for task_id in task_ids)):
            try:
                answer = client.get(path)
            except Exception as error:  # noqa: BLE001 - any is one too many
                problems.append(f"page {path}: {errors_in(traceback.format_exc())} {error}")
                continue
            if answer.status_code != 200:
                problems.append(f"page {path}: {answer.status_code} {answer.text[:200]}")
    return problems


def errors_in(log: str) -> list[str]:
    """Return what ended in a traceback, each kind once, with the last place in goque and how often it came."""
    found: Counter[str] = Counter()
    for text in log.split("Traceback (most recent call last):\n")[1:]:
        place, end = "?", ""
        for line in text.splitlines():
            if frame := re.match(
                r'  File ".*/((?:goque|goque_supervisor)/[^"]*)", line (\d+), in (\w+)', line
            ):
                place = f"{frame[1]}:{frame[2]} {frame[3]}"
            elif not line.startswith(" "):
                end = line
                break
        found[f"{re.sub('[0-9]+', 'N', end)[:150]} at {place}"] += 1
    return [f"{number} times: {what}" for what, number in found.most_common()]


def _tail(said: str) -> str:
    return "\n".join(said.strip().splitlines()[-6:])


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True
