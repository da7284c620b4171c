"""The standard streams of a command: all three are open, and a failing one is a line on stderr, not a traceback.

The parent may have closed a descriptor from 0 to 2. Then it is opened on /dev/null in the wrong mode: using it still
fails, but no file or socket that is opened later can get its number and be printed to.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from goque.errors import GoqueError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_WRONG_WAY: Final = {0: os.O_WRONLY, 1: os.O_RDONLY, 2: os.O_RDONLY}
_missing: Final[list[int]] = []


class OutputError(GoqueError):
    """Standard output cannot be written."""


def prepare() -> None:
    """Make the three streams usable, and escape letters that the terminal or file cannot encode."""
    for descriptor, flags in _WRONG_WAY.items():
        if not _is_open(descriptor):
            _missing.append(descriptor)
            _point(descriptor, flags)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Complaints(2, "w", closefd=False), sys.stderr)


def hand_over() -> None:
    """Open closed descriptors on /dev/null in the right mode, for a program that replaces this process."""
    for descriptor in _missing:
        _point(descriptor, os.O_RDWR)


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _point(self.fileno(), os.O_WRONLY)  # so that text left in buffers does not fail again at exit
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: the reader has closed the pipe
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"standard output cannot be written: {why}") from error


class _Complaints(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):  # stderr fails too, so nothing can be printed
            return super().write(data)
        return len(memoryview(data))


def _text(raw: io.FileIO, like: Any) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(like, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=True,
    )


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _point(descriptor: int, flags: int) -> None:
    null = os.open(os.devnull, flags)
    if null != descriptor:
        os.dup2(null, descriptor)
        os.close(null)
    os.set_inheritable(descriptor, True)
