"""`goque completion`: what a shell is told, and what bash makes of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from goque import Task
from goque.cli.group import COMMANDS


def completed(goque: Any, line: str) -> list[str]:
    """What the shell gets for the last word of a line."""
    words = line.split(" ")
    done = goque(code=0, COMP_WORDS=line, COMP_CWORD=str(len(words) - 1), _GOQUE_COMPLETE="bash_complete")
    assert not done.stderr
    return [text.partition(",")[2] for text in done.stdout.splitlines() if text]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("goque ", list(COMMANDS)),
        ("goque sc", ["schedules"]),
        ("goque list --st", ["--status"]),
        ("goque list --status p", ["pending", "processing"]),
        ("goque list --status waiting,c", ["waiting,claimed", "waiting,canceled"]),
        ("goque delete --status ", ["done", "canceled", "failed", "attempts_left"]),
        ("goque supervise app:registry --on-lost-lease ", ["finish", "kill"]),
        ("goque supervise app:registry --roles processors,h", ["processors,healer"]),
        ("goque supervise app:registry --types a", []),
        ("goque --log-level w", ["warning"]),
        ("goque completion ", ["bash", "zsh", "fish"]),
        ("goque config lis", ["list"]),
    ],
)
def test_commands_options_and_values_are_completed(goque: Any, line: str, words: list[str]) -> None:
    assert completed(goque, line) == words


def test_completing_reads_no_configuration_and_makes_no_database(goque: Any) -> None:
    Path(goque.directory, "goque.toml").write_text("nonsense")
    assert completed(goque, "goque list --js") == ["--json"]
    assert [path.name for path in goque.directory.iterdir()] == ["goque.toml"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("goque list --type send_", ["send_email", "send_sms"]),
        ("goque enqueue send_e", ["send_email"]),
        ("goque pause ", ["resize", "send_email", "send_sms"]),
        ("goque limit send_", ["send_email", "send_sms"]),
        ("goque limits r", ["resize"]),
        ("goque resume resize s", ["send_email", "send_sms"]),
        ("goque delete --status failed --type r", ["resize"]),
        ("goque supervise app:registry --types resize,send_e", ["resize,send_email"]),
        ("goque list --database-url sqlite:///nothing.db --type ", []),
    ],
)
def test_types_are_completed_from_the_database(goque: Any, line: str, words: list[str]) -> None:
    with goque.queue as queue:
        queue.add_tasks([Task("send_email"), Task("send_sms"), Task("resize")])
    assert completed(goque, line) == words


def test_types_of_an_app_are_completed_if_only_the_app_says_where_they_are(goque: Any) -> None:
    Path(goque.directory, "shop.py").write_text(
        "import goque, sys\nprint('noise', file=sys.stderr)\nprint('more noise')\n"
        "registry = goque.Registry('sqlite:///own.db')\n"
        "registry.add_processor('send_letter', goque.noop_task_processor)\n"
    )
    assert completed(goque, "goque list --app shop:registry --type send") == ["send_letter"]
    Path(goque.directory, "goque.toml").write_text("app = 'shop:registry'")
    assert completed(goque, "goque list --type send") == ["send_letter"]
    goque("enqueue", "send_parcel", "--bare")
    assert completed(goque, "goque list --type send") == ["send_letter", "send_parcel"]
    Path(goque.directory, "shop.py").write_text("1 / 0")
    assert completed(goque, "goque list --type send") == []


def test_completing_types_makes_no_database_and_no_noise(goque: Any) -> None:
    assert completed(goque, "goque list --type ") == []
    Path(goque.directory, "goque.toml").write_text("nonsense")
    assert completed(goque, "goque list --type ") == []
    assert [path.name for path in goque.directory.iterdir()] == ["goque.toml"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_a_script_for_goque(goque: Any, shell: str) -> None:
    script = goque("completion", shell).stdout
    assert f"_GOQUE_COMPLETE={shell}_complete" in script


def test_another_shell_is_refused_with_those_there_are(goque: Any) -> None:
    assert "fish" in goque("completion", "csh", code=2).stderr


def test_bash_completes_by_its_script(goque: Any) -> None:
    bash = shutil.which("bash")
    assert bash is not None, "install bash: the scripts of this project need it too"
    program = goque.directory / "goque"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m goque.cli "$@"\n')
    program.chmod(0o755)
    lines = [
        'eval "$(goque completion bash)"',
        "COMP_WORDS=(goque list --status don) COMP_CWORD=3",
        "_goque_completion goque",
        'echo "${COMPREPLY[@]}"',
    ]
    done = subprocess.run(
        [bash, "--norc", "-ec", "\n".join(lines)],
        env=goque.env | {"PATH": f"{goque.directory}:{goque.env['PATH']}"},
        cwd=goque.directory,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
