"""The reloader: tells the root when source files have changed, for `goque supervise --reload`.

It looks at the times and sizes of files: no library to install, and it works on every file system, mounted ones of
containers included. A change is told when a later look finds nothing newer, so that one `git checkout` is one reload.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from goque_supervisor.actors.actor import Actor
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import SourceChanged

PERIOD: Final = 0.3
BUSY_FRACTION: Final = 0.1
"""Of the time at most this part is spent on looking, however many files there are."""

FILE_CLOCK: Final = 10_000_000
"""Nanoseconds by which the time of a file may be behind the clock: it moves with the kernel's ticks."""

SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
MAX_TOLD: Final = 5
Marks = dict[str, tuple[int, int]]


class Reloader(Actor):
    """Looks at the sources again and again; it needs no database."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        here, *others = (Path(place) for place in boot["places"])
        self._places = [here, *(place for place in others if not place.is_relative_to(here))]
        self._import_began: int = boot["import_began"]
        self._before: Marks = {}
        self._changed: set[str] = set()

    def start(self) -> None:
        """See what is there now; what is newer than the import of the app counts as changed since."""
        now = marks_of(self._places, self.go_on)
        oldest_news = self._import_began - FILE_CLOCK
        self._before = {path: mark for path, mark in now.items() if mark[0] < oldest_news}

    def run_once(self) -> float:
        """Look once, and tell what has changed once that has come to rest."""
        began = time.monotonic()
        now = marks_of(self._places, self.go_on)
        if self.stopping:
            return 0.0
        changed = {path for path, _mark in now.items() ^ self._before.items()}
        self._before = now
        if changed:
            self._changed |= changed
        elif self._changed:
            told = sorted(self._changed)
            self._changed = set()
            self.channel.send(SourceChanged(told[:MAX_TOLD], len(told)))
        return max(PERIOD, (time.monotonic() - began) / BUSY_FRACTION)


def marks_of(places: Iterable[Path], go_on: Callable[[], bool]) -> Marks:
    """Return time and size of every Python file at or below these places.

    Args:
        places: files and directories.
        go_on: called now and then; says whether the rest is still wanted.
    """
    marks: Marks = {}
    for place in places:
        for number, path in enumerate(_sources(place), 1):
            if number % 1000 == 0 and not go_on():
                return marks
            try:
                status = path.stat()
            except OSError:
                continue  # it went between being listed and being looked at
            marks[str(path)] = (status.st_mtime_ns, status.st_size)
    return marks


def _sources(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for directory, names, files in os.walk(place):
        names[:] = [name for name in names if not _is_foreign(Path(directory, name))]
        yield from (Path(directory, file) for file in files if file.endswith(".py"))


def _is_foreign(directory: Path) -> bool:
    """Return whether nobody edits the app there: what is hidden, generated, or a virtual environment."""
    name = directory.name
    return name.startswith(".") or name in SKIPPED or (directory / "pyvenv.cfg").exists()


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the reloader in this process."""
    Reloader(boot, channel).run()
