"""Standard streams that are closed, full, or read by somebody who leaves early."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import goque
registry = goque.Registry()
registry.add_processor("t", print, workers=1)
registry.add_periodic_job(goque.cron_job("nightly", "@daily", lambda: goque.Task("t")))
"""
COMMANDS = [
    "--help",
    "--version",
    "list --help",
    "list",
    "list --json",
    "stats",
    "stats --json",
    "show {id}",
    "show {id} --json",
    "cancel {id}",
    "reset {id}",
    "reset --status done",
    "migrate",
    "migrate --status",
    "migrate --sql --database-url sqlite:///other.db",
    "check shop:registry",
    "enqueue t",
    "enqueue t --jsonl lines.jsonl",
    "schedules shop:registry",
    "run-job shop:registry nightly",
    "demo",
]
Run = subprocess.CompletedProcess[str]


class Shell:
    """Runs `goque` in a shell, in a directory with an app, one task, and a file of lines."""

    def __init__(self, goque: Any) -> None:
        self.goque = goque
        Path(goque.directory, "shop.py").write_text(APP)
        Path(goque.directory, "lines.jsonl").write_text("{}\n{}\n")
        self.id = goque("enqueue", "t").stdout.strip()

    def __call__(self, arguments: str, rest: str) -> Run:
        program = f"{shlex.quote(sys.executable)} -m goque"
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {program} {arguments.format(id=self.id)} {rest}"],
            cwd=self.goque.directory,
            env=self.goque.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "Traceback" not in done.stderr
        assert "Exception ignored" not in done.stderr
        return done


@pytest.fixture
def shell(goque: Any) -> Shell:
    return Shell(goque)


@pytest.mark.parametrize("command", COMMANDS)
def test_output_that_cannot_be_written_is_one_line_and_exit_code_1(shell: Shell, command: str) -> None:
    done = shell(command, ">/dev/full")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.startswith("goque: ")
    assert said.endswith("standard output cannot be written: No space left on device")


@pytest.mark.parametrize("command", ["--help", "list", "enqueue t", "demo"])
def test_output_that_is_closed_is_one_line_and_exit_code_1(shell: Shell, command: str) -> None:
    done = shell(command, ">&-")
    assert done.returncode == 1
    (said,) = done.stderr.splitlines()
    assert said.endswith("standard output cannot be written: it is closed")


@pytest.mark.parametrize("command", [command for command in COMMANDS if command != "demo"])
def test_what_is_not_needed_may_be_closed(shell: Shell, command: str) -> None:
    done = shell(command, "<&- 2>&-")
    assert done.returncode == 0
    assert done.stdout


def test_errors_keep_their_exit_code_where_nobody_can_hear_them(shell: Shell) -> None:
    for rest in ("2>&-", "2>/dev/full"):
        assert shell("show nosuch", rest).returncode == 1
        assert shell("list --nosuch", rest).returncode == 2
        assert shell("list --database-url sqlite:///no/such/directory.db", rest).returncode == 3


def test_a_task_whose_id_cannot_be_printed_is_there_and_named_in_the_error(shell: Shell) -> None:
    said = shell("enqueue other", ">/dev/full").stderr
    (row,) = shell.goque.json_lines("list", "--type", "other", "--json")
    assert f"task {row['id']} is enqueued" in said


def test_lines_from_a_closed_input_are_one_line_and_exit_code_1(shell: Shell) -> None:
    done = shell("enqueue t --jsonl -", "<&-")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "goque: standard input cannot be read: it is closed\n"


def test_a_file_that_breaks_off_is_one_line_and_exit_code_1(shell: Shell) -> None:
    done = shell("enqueue t --jsonl /proc/self/mem", "")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "goque: /proc/self/mem cannot be read: Input/output error\n"


@pytest.mark.parametrize("command", ["list", "list --json", "show {id}"])
def test_a_reader_who_leaves_early_hears_nothing(shell: Shell, command: str) -> None:
    with shell.goque.queue as queue:
        from goque import Task

        queue.add_tasks([Task("t", "x" * 1000) for _ in range(2000)])
    done = shell(f"{command} --limit 2000" if "list" in command else command, "| (read -r line; echo $line)")
    assert len(done.stdout.splitlines()) == 1
    assert not done.stderr


def test_a_tree_needs_none_of_the_three(shell: Shell) -> None:
    done = shell("supervise shop:registry --drain", "<&- >&- 2>&-")
    assert done.returncode == 0
    assert shell.goque.json_lines("stats", "--json") == [{"type": "t", "status": "done", "count": 1}]
