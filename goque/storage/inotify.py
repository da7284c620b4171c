"""The few calls of inotify(7) that watchers need; the standard library has none."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Final

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800

WRITTEN: Final = _MODIFY | _DELETE_SELF | _MOVE_SELF
TOUCHED: Final = _ATTRIB | _DELETE_SELF | _MOVE_SELF


class Inotify:
    """One inotify instance; its descriptor turns readable when a watched file stirs."""

    def __init__(self, libc: ctypes.CDLL, descriptor: int) -> None:
        self._libc = libc
        self.descriptor = descriptor
        self._watch = -1

    @classmethod
    def open(cls) -> Inotify | None:
        """Return an instance, or None where the system has none to give."""
        if not sys.platform.startswith("linux"):
            return None
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        return None if descriptor < 0 else cls(libc, descriptor)

    def add(self, path: bytes, events: int) -> bool:
        """Watch a file, or the file that is there by now; returns whether there is one."""
        self._watch = int(self._libc.inotify_add_watch(self.descriptor, path, events))
        return self._watch >= 0

    def remove(self) -> None:
        """Stop to watch the file that was added last."""
        self._libc.inotify_rm_watch(self.descriptor, self._watch)

    def drain(self) -> bool:
        """Take what is there to read; returns whether there was anything."""
        stirred = False
        try:
            while os.read(self.descriptor, 65536):
                stirred = True
        except BlockingIOError:
            return stirred
        return stirred

    def close(self) -> None:
        """Give up the descriptor."""
        os.close(self.descriptor)
