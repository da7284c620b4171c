"""Wakes an idle fetcher when another process writes: the kernel tells that, and SQLite by whom."""

from __future__ import annotations

import os
import time
from typing import Final

from goque.storage.contract import Watcher
from goque.storage.inotify import WRITTEN, Inotify
from goque.storage.sql.connections import Connections

FIRST_LOOK: Final = 0.0003
COMMIT_LIMIT: Final = 0.05


class SqliteWatcher(Watcher):
    """Watches the write-ahead log of a database.

    Where there is no inotify, `changed` is to be polled, which costs microseconds.
    """

    hears_every_write = True
    rests = True

    def __init__(self, connections: Connections, path: str) -> None:
        self._connections = connections
        self._log = os.fsencode(f"{path}-wal")
        self._version = self._read_version()  # first, for it makes the log exist
        self._pause = self._look_at = self._rests_until = 0.0
        self._inotify = Inotify.open()
        self._listen()

    def _listen(self) -> None:
        if self._inotify is not None:
            self._inotify.add(self._log, WRITTEN)

    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when somebody writes, or None to be polled."""
        return None if self._inotify is None else self._inotify.descriptor

    def changed(self) -> bool:
        """Return whether another connection has committed since the last call."""
        stirred = self._inotify is None or self._inotify.drain()
        now = time.monotonic()
        if self._rests_until:
            if now < self._rests_until:
                return False
            self._rests_until = 0.0
            self._listen()
            stirred = True
        if not stirred and not (self._pause and now >= self._look_at):
            return False
        before, self._version = self._version, self._read_version()
        self._listen()  # to what may be another file by now; the same one again changes nothing
        if self._inotify is not None:
            self._choose_next_look(now, stirred=stirred, changed=self._version != before)
        return self._version != before

    def _choose_next_look(self, now: float, *, stirred: bool, changed: bool) -> None:
        """The log is written before its commit can be seen: so look again soon, or later for the next one."""
        if changed:
            self._pause = COMMIT_LIMIT / 2
        elif stirred:
            self._pause = FIRST_LOOK
        elif self._pause:
            self._pause = 0.0 if self._pause >= COMMIT_LIMIT else self._pause * 2
        self._look_at = now + self._pause

    def wrote(self) -> None:
        """Look at once and once more later: nobody else can have written meanwhile, but just before or after."""
        if self._inotify is not None and self._inotify.drain():
            self._pause, self._look_at = COMMIT_LIMIT / 2, time.monotonic()

    def rest(self, seconds: float) -> None:
        """Listen to nothing for so long: each page that a busy writer writes would wake this process."""
        if seconds > 0:
            self._rests_until = time.monotonic() + seconds
            if self._inotify is not None:
                self._inotify.remove()

    def ask_again_in(self) -> float | None:
        """Return when to look again, or when the rest ends."""
        look_at = self._rests_until or (self._look_at if self._pause else None)
        return None if look_at is None else max(0.0, look_at - time.monotonic())

    def close(self) -> None:
        """Give up the descriptor."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _read_version(self) -> int:
        """Return a number that moves with the commits of other connections, not with our own."""
        with self._connections as session:
            return int(session.rows("PRAGMA data_version")[0][0])
