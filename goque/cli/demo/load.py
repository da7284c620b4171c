"""What `goque demo` enqueues: as much real work as this machine does in a few seconds."""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path
from typing import Final

from goque.cli.demo import app
from goque.task import Task

WATCHED_SECONDS: Final = 6.0
"""How long the rendering should take when somebody watches it."""

UNWATCHED_SECONDS: Final = 1.5
EFFICIENCY: Final = 0.7
"""How much of each CPU the rendering gets; the rest is for the tree, for the screen and for other programs."""

SAMPLE: Final = 12
MIN_SIZE: Final = 2_000
MAX_SIZE: Final = 40_000
MIN_FILES: Final = 20
CALLS: Final = 40
BROKEN: Final = "broken.py"
NOT_THE_LIBRARY: Final = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test"})


def source_files() -> list[Path]:
    """Return the files of the standard library that are neither tiny nor huge, each name once, by name.

    By name, their sizes are mixed, so that a sample and the first files are like all of them.
    """
    root = Path(sysconfig.get_path("stdlib"))
    files = {
        file.name: file
        for file in sorted(root.rglob("*.py"))
        if not NOT_THE_LIBRARY.intersection(file.relative_to(root).parts)
        and MIN_SIZE <= file.stat().st_size <= MAX_SIZE
    }
    return [files[name] for name in sorted(files)]


def seconds_alone(files: Sequence[Path], directory: Path) -> float:
    """Render a sample in this process, as a script without goque would; returns the seconds that a byte takes.

    The first file is not measured, because it pays for loading the lexer.
    """
    sample = files[1 :: max(1, len(files) // SAMPLE)]
    with chdir(directory):
        app.highlight(str(files[0]))
        began = time.perf_counter()
        for file in sample:
            app.highlight(str(file))
        return (time.perf_counter() - began) / size_of(sample)


def choose(files: Sequence[Path], seconds_a_byte: float, cpus: int, seconds: float) -> list[Path]:
    """Return so many of the files as take so many seconds on all CPUs, and a few at least."""
    budget = seconds * cpus * EFFICIENCY / seconds_a_byte
    chosen: list[Path] = []
    for file in files:
        if budget <= 0 and len(chosen) >= MIN_FILES:
            break
        chosen.append(file)
        budget -= file.stat().st_size
    return chosen


def tasks_for(files: Sequence[Path]) -> list[Task]:
    """Return the tasks: one that crashes its worker, some calls, and a file each."""
    rendered = [Task("highlight", str(file)) for file in files]
    calls = [Task("call_api", number) for number in range(1, CALLS + 1)]
    return [
        Task("highlight", BROKEN, priority=10),
        *calls,
        *rendered,
    ]  # what fails is tried again before the rest


def size_of(files: Sequence[Path]) -> int:
    """Return the bytes of all files together."""
    return sum(file.stat().st_size for file in files)
