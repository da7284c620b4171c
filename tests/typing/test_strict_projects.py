"""A user's project under `mypy --strict`: what is right passes, what is wrong is found where it is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def mypy(file: Path, folder: Path) -> list[str]:
    """Check a file as its owner would, outside of this repository, and return the errors."""
    (folder / file.name).write_text(file.read_text("utf-8"), "utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--no-error-summary",
            f"--cache-dir={folder}/cache",
            file.name,
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.timeout(240)
def test_a_project_that_is_right_has_no_error_and_the_types_that_it_says(tmp_path: Path) -> None:
    assert mypy(HERE / "right.py", tmp_path) == []


@pytest.mark.timeout(240)
def test_each_mistake_is_an_error_on_its_own_line(tmp_path: Path) -> None:
    told = mypy(HERE / "wrong.py", tmp_path)
    found = {
        (int(line), code)
        for line, code in re.findall(r":(\d+): error: .*\[([a-z-]+)\]$", "\n".join(told), re.MULTILINE)
    }
    lines = (HERE / "wrong.py").read_text("utf-8").splitlines()
    expected = {
        (n, m[1]) for n, line in enumerate(lines, 1) if (m := re.search(r"# wrong: ([a-z-]+)$", line))
    }
    assert found == expected, "\n".join(told)
