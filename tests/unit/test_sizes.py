"""The house stays one that can be read: small folders, files and functions."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MAX_FILES = 25
MAX_LINES = 350
MAX_BODY = 45


def sources() -> Iterator[Path]:
    for part in ("goque", "supervisor"):
        yield from (ROOT / part).rglob("*.py")


def test_no_folder_has_more_files_than_fit_in_one_look() -> None:
    counts = Counter(path.parent for path in sources())
    assert counts
    assert {str(folder): count for folder, count in counts.items() if count > MAX_FILES} == {}


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in sources()}
    assert {path: length for path, length in lengths.items() if length > MAX_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                statements = node.body[1:] if ast.get_docstring(node) else node.body
                lengths[f"{path}:{node.name}"] = lines_of(statements) if statements else 0
    assert lengths
    assert {name: length for name, length in lengths.items() if length > MAX_BODY} == {}


def lines_of(statements: list[ast.stmt]) -> int:
    return (statements[-1].end_lineno or 0) - statements[0].lineno + 1
