"""The few calls of inotify(7) that watchers need; the standard library has none."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Final

_MODIFY: Final = 0x2
_ATTRIB: Final = 0x4
_DELETE_SELF: Final = 0x400
_MOVE_SELF: Final = 0x800

WRITTEN: Final = _MODIFY | _DELETE_SELF | _MOVE_SELF
TOUCHED: Final = _ATTRIB | _DELETE_SELF | _MOVE_SELF

_EVENT: Final = struct.Struct("iIII")
"""The watch, the kind, a cookie, and the length of the name that follows."""


def tell_only_of_touches(events: bytes) -> bool:
    """Return whether all events mean that a file was touched, and none that it was removed or moved away."""
    place = 0
    while place < len(events):
        _, kind, _, length = _EVENT.unpack_from(events, place)
        if kind != _ATTRIB:
            return False
        place += _EVENT.size + length
    return True


class Inotify:
    """One inotify instance; its descriptor turns readable when one of the watched files stirs."""

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

    def drain(self) -> bytes:
        """Take the events that are there, as the system writes them; empty if there are none."""
        events = b""
        try:
            while some := os.read(self.descriptor, 65536):
                events += some
        except BlockingIOError:
            return events
        return events

    def close(self) -> None:
        """Give up the descriptor."""
        os.close(self.descriptor)
