"""Nudges from enqueuers to the fetchers of the same machine and user, because MySQL has no notifications.

A fetcher watches an empty file for each of its types, and an enqueuer touches that file. A nudge is only a hint:
without it, the fetcher finds new tasks when it polls.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from goque.private import PrivateDirectoryError, make_private, private_base
from goque.storage.inotify import TOUCHED, Inotify, tell_only_of_touches

log = logging.getLogger("goque.storage")


def nudge(database: str, task_types: Iterable[str]) -> None:
    """Tell the fetchers of these types on this machine that there are new tasks."""
    for task_type in task_types:
        try:
            os.utime(nudge_path(database, task_type), follow_symlinks=False)
        except OSError:
            continue  # no fetcher of this type runs on this machine as this user


@lru_cache(1024)
def nudge_path(database: str, task_type: str) -> Path:
    """Return the file of a type in a database.

    Args:
        database: a name of the database, the same in enqueuers and fetchers.
        task_type: the type.
    """
    key = hashlib.sha256(f"{database}\0{task_type}".encode()).hexdigest()[:32]
    return private_base() / "nudges" / key


class NudgeListener:
    """Receives the nudges for some types. It leaves the files in place, because other processes may watch them."""

    def __init__(self, paths: Sequence[Path], inotify: Inotify) -> None:
        self._paths = paths
        self._inotify = inotify
        self._listen()

    @classmethod
    def open(cls, database: str, types: Sequence[str]) -> NudgeListener | None:
        """Return a listener, or None if the system has no inotify or the directory is not private."""
        inotify = Inotify.open()
        if inotify is None:
            return None
        try:
            paths = [nudge_path(database, task_type) for task_type in types]
            for folder in {path.parent for path in paths}:
                make_private(folder.parent)
                make_private(folder)
            return cls(paths, inotify)
        except (OSError, PrivateDirectoryError) as error:
            log.info("cannot listen for nudges (%s): polling for new tasks instead", error)
            inotify.close()
            return None

    def _listen(self) -> None:
        for path in self._paths:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            self._inotify.add(os.fsencode(path), TOUCHED)

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a nudge comes."""
        return self._inotify.descriptor

    def heard(self) -> bool:
        """Return whether there was a nudge since the last call."""
        events = self._inotify.drain()
        if not events:
            return False
        if tell_only_of_touches(events):
            return True
        try:
            self._listen()  # a file was removed, as by a cleanup of temporary directories
        except OSError as error:
            log.info("cannot listen for nudges any more (%s): polling for new tasks instead", error)
        return True

    def close(self) -> None:
        """Stop listening."""
        self._inotify.close()
