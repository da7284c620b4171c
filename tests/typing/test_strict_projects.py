"""A user's project under mypy and pyright, both strict: right code passes, each mistake is found on its own line.

Pyright runs as basedpyright, the build of it that brings its own Node.js.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
RIGHT = ("right.py", "handlers.py")


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


def mypy(name: str, folder: Path) -> list[str]:
    """Check a file as its owner would, outside of this repository, and return the errors."""
    (folder / name).write_text((HERE / name).read_text("utf-8"), "utf-8")
    options = ("--strict", "--no-error-summary", f"--cache-dir={folder}/cache")
    return run(folder, sys.executable, "-m", "mypy", *options, name).splitlines()


def pyright(name: str, folder: Path) -> list[tuple[int, str]]:
    """Check a file as `mypy` does; return the line and the text of each error and warning."""
    (folder / name).write_text((HERE / name).read_text("utf-8"), "utf-8")
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', "utf-8")
    program = ("-m", "basedpyright", "--pythonpath", sys.executable, "--outputjson")
    found = json.loads(run(folder, sys.executable, *program, name))
    assert found["summary"]["filesAnalyzed"] == 1
    return [(one["range"]["start"]["line"] + 1, one["message"]) for one in found["generalDiagnostics"]]


def mistakes() -> set[tuple[int, str]]:
    """Return the lines of wrong.py that say that they are wrong, with mypy's codes."""
    lines = (HERE / "wrong.py").read_text("utf-8").splitlines()
    return {(n, m[1]) for n, line in enumerate(lines, 1) if (m := re.search(r"# wrong: ([a-z-]+)$", line))}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", RIGHT)
def test_mypy_finds_no_error_in_a_project_that_is_right(name: str, tmp_path: Path) -> None:
    assert mypy(name, tmp_path) == []


@pytest.mark.timeout(240)
def test_mypy_finds_each_mistake_on_its_own_line(tmp_path: Path) -> None:
    told = "\n".join(mypy("wrong.py", tmp_path))
    found = {
        (int(line), code) for line, code in re.findall(r":(\d+): error: .*\[([a-z-]+)\]$", told, re.MULTILINE)
    }
    assert found == mistakes(), told


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", RIGHT)
def test_pyright_finds_no_error_in_a_project_that_is_right(name: str, tmp_path: Path) -> None:
    assert pyright(name, tmp_path) == []


@pytest.mark.timeout(240)
def test_pyright_finds_each_mistake_on_its_own_line(tmp_path: Path) -> None:
    told = pyright("wrong.py", tmp_path)
    assert {line for line, _ in told} == {line for line, _ in mistakes()}, told
