"""A word from enqueuers to the fetchers of the same machine and user, where the database tells them nothing.

A fetcher watches an empty file; whoever has enqueued touches it. It is a hint: without it, new tasks are found
by the next look.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from goque.private import PrivateDirectoryError, make_private, private_base
from goque.storage.inotify import TOUCHED, Inotify

log = logging.getLogger("goque.storage")


def nudge(database: str, task_types: Iterable[str]) -> None:
    """Tell fetchers of these types, if there are any here, that tasks have come."""
    for task_type in task_types:
        try:
            os.utime(nudge_path(database, task_type), follow_symlinks=False)
        except OSError:
            continue  # no fetcher of this type runs here as this user: one elsewhere finds the task by itself


@lru_cache(1024)
def nudge_path(database: str, task_type: str) -> Path:
    """Return the file that stands for a type in a database.

    Args:
        database: what enqueuers and fetchers call it alike.
        task_type: the type.
    """
    key = hashlib.sha256(f"{database}\0{task_type}".encode()).hexdigest()[:32]
    return private_base() / "nudges" / key


class NudgeListener:
    """Hears the nudges for one type; the file stays when it is closed, for others may listen too."""

    def __init__(self, path: Path, inotify: Inotify) -> None:
        self._path = path
        self._inotify = inotify
        self._listen()

    @classmethod
    def open(cls, database: str, task_type: str) -> NudgeListener | None:
        """Listen, or return None where the system has no way to."""
        inotify = Inotify.open()
        if inotify is None:
            return None
        try:
            path = nudge_path(database, task_type)
            make_private(path.parent.parent)
            make_private(path.parent)
            return cls(path, inotify)
        except (OSError, PrivateDirectoryError) as error:
            log.info("enqueuers here cannot nudge (%s): new tasks are found by looking", error)
            inotify.close()
            return None

    def _listen(self) -> None:
        os.close(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        self._inotify.add(os.fsencode(self._path), TOUCHED)

    def fileno(self) -> int:
        """Return the descriptor that turns readable with a nudge."""
        return self._inotify.descriptor

    def heard(self) -> bool:
        """Return whether there was a nudge since the last call."""
        if not self._inotify.drain():
            return False
        try:
            self._listen()  # the file may be another by now: temporary directories are tidied
        except OSError as error:
            log.info("enqueuers here can nudge no more (%s): new tasks are found by looking", error)
        return True

    def close(self) -> None:
        """Listen no more."""
        self._inotify.close()
