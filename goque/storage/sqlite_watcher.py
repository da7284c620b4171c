"""Wakes an idle fetcher when another process writes: the kernel tells that, and SQLite by whom."""

from __future__ import annotations

import os
import time
from typing import Final

from goque.storage.connections import Connections
from goque.storage.inotify import WRITTEN, Inotify
from goque.storage.storage import Watcher

FIRST_LOOK: Final = 0.0003
COMMIT_LIMIT: Final = 0.05


class SqliteWatcher(Watcher):
    """Watches the write-ahead log of a database.

    Where there is no inotify, `changed` is to be polled, which costs microseconds.
    """

    hears_every_write = True

    def __init__(self, connections: Connections, path: str) -> None:
        self._connections = connections
        self._log = os.fsencode(f"{path}-wal")
        self._version = self._read_version()  # first, for it makes the log exist
        self._pause = self._look_at = 0.0
        self._inotify = Inotify.open()
        if self._inotify is not None:
            self._inotify.add(self._log, WRITTEN)

    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when somebody writes, or None to be polled."""
        return None if self._inotify is None else self._inotify.descriptor

    def changed(self) -> bool:
        """Return whether another connection has committed since the last call."""
        stirred = self._inotify is not None and self._inotify.drain()
        now = time.monotonic()
        if self._inotify is not None and not stirred and not (self._pause and now >= self._look_at):
            return False
        before, self._version = self._version, self._read_version()
        if self._inotify is not None:
            self._inotify.add(
                self._log, WRITTEN
            )  # it may be another file by now; the same one again changes nothing
        if self._version != before:
            self._pause = 0.0
        elif stirred:
            self._pause, self._look_at = FIRST_LOOK, now + FIRST_LOOK
        elif self._pause:
            self._pause = 0.0 if self._pause >= COMMIT_LIMIT else self._pause * 2
            self._look_at = now + self._pause
        return self._version != before

    def wrote(self) -> None:
        """Look at once and once more later: nobody else can have written meanwhile, but just before or after."""
        if self._inotify is not None and self._inotify.drain():
            self._pause, self._look_at = COMMIT_LIMIT / 2, time.monotonic()

    def ask_again_in(self) -> float | None:
        """Return when to look again: the log is written before the commit that it announces can be seen."""
        return max(0.0, self._look_at - time.monotonic()) if self._pause else None

    def close(self) -> None:
        """Give up the descriptor."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _read_version(self) -> int:
        """Return a number that moves with the commits of other connections, not with our own."""
        with self._connections as session:
            return int(session.rows("PRAGMA data_version")[0][0])
