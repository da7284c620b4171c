"""Wakes an idle fetcher when another process commits. inotify reports writes, and SQLite whose commits they were."""

from __future__ import annotations

import os
import time
from typing import Final

from goque.storage.contract import Watcher
from goque.storage.inotify import WRITTEN, Inotify
from goque.storage.sql.connections import Connections

FIRST_LOOK: Final = 0.0003
"""Seconds from a write to the log until the first look for its commit."""

COMMIT_LIMIT: Final = 0.05
"""Seconds after which a write to the log is assumed to be visible, or to be no commit."""


class SqliteWatcher(Watcher):
    """Watches the write-ahead log of a database.

    Without inotify, the fetcher polls `changed`, which takes microseconds.
    """

    hears_every_write = True
    rests = True

    def __init__(self, connections: Connections, path: str) -> None:
        self._connections = connections
        self._log = os.fsencode(f"{path}-wal")
        self._version = self._read_version()  # first, because it creates the log
        self._pause = self._look_at = self._rests_until = 0.0
        self._inotify = Inotify.open()
        self._listen()

    def _listen(self) -> None:
        if self._inotify is not None:
            self._inotify.add(self._log, WRITTEN)

    def fileno(self) -> int | None:
        """Return a descriptor that becomes readable after a write, or None if the watcher must be polled."""
        return None if self._inotify is None else self._inotify.descriptor

    def changed(self) -> bool:
        """Return whether another connection has committed since the last call."""
        stirred = self._inotify is None or bool(self._inotify.drain())
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
        self._listen()  # the log may be a new file; listening to the same file again changes nothing
        if self._inotify is not None:
            self._choose_next_look(now, stirred=stirred, changed=self._version != before)
        return self._version != before

    def _choose_next_look(self, now: float, *, stirred: bool, changed: bool) -> None:
        """Decide when to look again. A write to the log becomes visible only after a short time."""
        if changed:
            self._pause = COMMIT_LIMIT / 2
        elif stirred:
            self._pause = FIRST_LOOK
        elif self._pause:
            self._pause = 0.0 if self._pause >= COMMIT_LIMIT else self._pause * 2
        self._look_at = now + self._pause

    def wrote(self) -> None:
        """After a write of this process, look now and once more later: others may have written just before or after."""
        if self._inotify is not None and self._inotify.drain():
            self._pause, self._look_at = COMMIT_LIMIT / 2, time.monotonic()

    def rest(self, seconds: float) -> None:
        """Stop listening for this time, because each page that a busy writer writes would wake this process."""
        if seconds > 0:
            self._rests_until = time.monotonic() + seconds
            if self._inotify is not None:
                self._inotify.remove()

    def ask_again_in(self) -> float | None:
        """Return the seconds until the next look or the end of a rest, or None."""
        look_at = self._rests_until or (self._look_at if self._pause else None)
        return None if look_at is None else max(0.0, look_at - time.monotonic())

    def close(self) -> None:
        """Close the descriptor."""
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None

    def _read_version(self) -> int:
        """Return a number that changes with each commit of other connections, but not with this connection's."""
        with self._connections as session:
            return int(session.rows("PRAGMA data_version")[0][0])
