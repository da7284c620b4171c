"""Chooses the files of the example: the standard library of the running interpreter, without its tests.

As a program it prints one payload a line:

    python sources.py | goque enqueue highlight --jsonl -
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from typing import Final

import msgspec
from app import Source

HERE: Final = Path(__file__).resolve().parent
BROKEN: Final = HERE / "not_utf8.txt"
"""A file that cannot be decoded: it says that it is UTF-8, and is not."""

NOT_THE_LIBRARY: Final = frozenset({"site-packages", "dist-packages", "__pycache__"})
TESTS: Final = frozenset({"test", "tests", "idle_test"})
"""Left out: two thirds of all lines, and some of them are files that no reader is meant to decode."""


def standard_library() -> list[Path]:
    """Return its modules, the largest first, so that none of them keeps one process busy at the very end."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [
        file
        for file in root.rglob("*.py")
        if not (NOT_THE_LIBRARY | TESTS) & set(file.relative_to(root).parts)
    ]
    return sorted(files, key=lambda file: (-file.stat().st_size, str(file)))


def sources(files: list[Path], out: Path) -> list[Source]:
    """Say for each file where its page goes: below `out`, at its place below the standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    return [Source(str(file), str(out / page_name(file, root))) for file in files]


def page_name(file: Path, root: Path) -> Path:
    """Return the place of a file's page."""
    inside = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
    return inside.with_suffix(".html")


if __name__ == "__main__":
    for source in sources([*standard_library(), BROKEN], HERE / "out"):
        sys.stdout.write(msgspec.json.encode(source).decode() + "\n")
