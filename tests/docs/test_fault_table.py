"""The table of faults: every row has tests that name it, in the files that the table names."""

from __future__ import annotations

import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
ROWS = 43
"""The table has all of the first rows; of the later ones, those that have tests."""


def marked() -> dict[int, set[str]]:
    """Return the files whose tests are marked with a row."""
    found: dict[int, set[str]] = {}
    for path in PROJECT.glob("tests/**/test_*.py"):
        for row in re.findall(r"\bfault\((\d+)\)", path.read_text("utf-8")):
            found.setdefault(int(row), set()).add(path.stem)
    return found


def test_every_row_of_the_table_of_faults_names_tests_that_are_marked_with_it() -> None:
    lines = (PROJECT / "docs" / "faults.md").read_text("utf-8").splitlines()
    told = {
        int(row): set(re.findall(r"`(test_\w+)`", line))
        for line in lines
        for row in re.findall(r"^\| (\d+) \|", line)
    }
    assert set(range(1, ROWS + 1)) <= set(told)
    marks = marked()
    assert sorted(marks) == sorted(told)
    assert {row: names - marks[row] for row, names in told.items() if not names or names - marks[row]} == {}
