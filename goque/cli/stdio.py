"""The standard streams of a command: all three exist, and one that fails is a line on stderr, never a traceback.

A descriptor that was closed by whoever started us is taken by /dev/null, the wrong way round, so that using it fails
as before, while no file or socket that is opened later can come to be what we print to.
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
    """Make the three streams usable; whatever text they are given, the terminal or file need not know each letter."""
    for descriptor, flags in _WRONG_WAY.items():
        if not _is_open(descriptor):
            _missing.append(descriptor)
            _point(descriptor, flags)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Complaints(2, "w", closefd=False), sys.stderr)


def hand_over() -> None:
    """Let a program that is to run in this process read nothing from, and write anything to, what was closed."""
    for descriptor in _missing:
        _point(descriptor, os.O_RDWR)


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _point(self.fileno(), os.O_WRONLY)  # what is left in buffers must not fail again at exit
            if error.errno == errno.EPIPE:
                raise  # click ends quietly: the reader has seen enough
            why = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"standard output cannot be written: {why}") from error


class _Complaints(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int:
        with contextlib.suppress(OSError):  # there is nowhere left to say that saying failed
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
