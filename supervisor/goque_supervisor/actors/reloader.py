"""The reloader: tells the root when source files have changed, for `goque supervise --reload`.

It compares the times and sizes of files. This needs no library, and works on every file system, including mounts in
containers. It reports a change when the next scan finds no further change, so that one `git checkout` is one reload.
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
"""The maximum fraction of the time that scanning may take."""

FILE_CLOCK: Final = 10_000_000
"""Nanoseconds by which a file's time may be behind the clock, because it advances with the kernel's ticks."""

SKIPPED: Final = frozenset({"__pycache__", "node_modules", "site-packages"})
MAX_REPORTED: Final = 5
Marks = dict[str, tuple[int, int]]


class Reloader(Actor):
    """Scans the sources repeatedly. It needs no database."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        here, *others = (Path(place) for place in boot["places"])
        self._places = [here, *(place for place in others if not place.is_relative_to(here))]
        self._import_began: int = boot["import_began"]
        self._before: Marks = {}
        self._changed: set[str] = set()

    def start(self) -> None:
        """Scan for the first time. A file that is newer than the import of the app counts as changed."""
        now = marks_of(self._places, self.go_on)
        oldest_news = self._import_began - FILE_CLOCK
        self._before = {path: mark for path, mark in now.items() if mark[0] < oldest_news}

    def run_once(self) -> float:
        """Scan once; report the changed files when nothing has changed since the last scan."""
        began = time.monotonic()
        now = marks_of(self._places, self.go_on)
        if self.stopping:
            return 0.0
        changed = {path for path, _mark in now.items() ^ self._before.items()}
        self._before = now
        if changed:
            self._changed |= changed
        elif self._changed:
            changed_paths = sorted(self._changed)
            self._changed = set()
            self.channel.send(SourceChanged(changed_paths[:MAX_REPORTED], len(changed_paths)))
        return max(PERIOD, (time.monotonic() - began) / BUSY_FRACTION)


def marks_of(places: Iterable[Path], go_on: Callable[[], bool]) -> Marks:
    """Return the time and size of every Python file in these places.

    Args:
        places: files and directories.
        go_on: is called every thousand files, and returns whether to continue.
    """
    marks: Marks = {}
    for place in places:
        for number, path in enumerate(_sources(place), 1):
            if number % 1000 == 0 and not go_on():
                return marks
            try:
                status = path.stat()
            except OSError:
                continue  # it was deleted after it was listed
            marks[str(path)] = (status.st_mtime_ns, status.st_size)
    return marks


def _sources(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for directory, names, files in os.walk(place):
        names[:] = [name for name in names if not _is_foreign(Path(directory, name))]
        yield from (Path(directory, file) for file in files if file.endswith(".py"))


def _is_foreign(directory: Path) -> bool:
    """Return whether a directory is hidden, generated or a virtual environment, so that it has no source of the app."""
    name = directory.name
    return name.startswith(".") or name in SKIPPED or (directory / "pyvenv.cfg").exists()


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the reloader in this process."""
    Reloader(boot, channel).run()
