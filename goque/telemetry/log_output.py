"""Writes the log to descriptor 2, and never waits long for its reader.

A pipe whose reader stands still takes no more once it is full, and a write to it would wait until the reader goes on.
The processes of a tree would then neither claim nor stop. So a line waits for a bounded time, and is dropped and
counted after that. Standard library only.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import time
from collections.abc import Callable, Iterator
from typing import Final

PATIENCE: Final = 0.5
"""Seconds that a write waits for a reader; once the reader took nothing, the next ones do not wait until it does."""

_STDERR: Final = 2
Write = Callable[[memoryview], int]


class LogOutput:
    """Descriptor 2 of this process.

    Attributes:
        dropped: the lines that were dropped since the last report.
        was_used: whether something was written since somebody has set it to False.
    """

    def __init__(self) -> None:
        self.dropped = 0
        self.was_used = False
        self._is_stalled = False
        self._is_cut = False

    def write(self, data: bytes) -> bool:
        """Write whole lines in one piece; returns False if some were dropped, because nobody reads them.

        Raises:
            OSError: they cannot be written: a full disk, or a pipe without a reader.
        """
        self.was_used = True
        whole = memoryview(b"\n" + data if self._is_cut else data)
        rest = whole
        deadline = time.monotonic() + (0.0 if self._is_stalled else PATIENCE)
        with _writer() as write:
            while rest:
                try:
                    rest = rest[write(rest) :]
                except BlockingIOError:
                    if not _takes_more(deadline - time.monotonic()):
                        break
        written = len(whole) - len(rest)
        self._is_stalled = not written
        if not rest:
            self._is_cut = False
            return True
        if written:
            self._is_cut = whole[written - 1] != ord("\n")
        self.dropped += bytes(rest[-len(data) :]).count(b"\n")  # not the one that ends a cut line
        return False


def _takes_more(seconds: float) -> bool:
    """Wait until descriptor 2 can be written to."""
    if seconds <= 0:
        return False
    poll = select.poll()
    poll.register(_STDERR, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


@contextlib.contextmanager
def _writer() -> Iterator[Write]:
    """Yield a function that writes to descriptor 2 and raises BlockingIOError where it would wait.

    The descriptor itself stays as it is, because other programs share its flags.
    """
    mode = os.fstat(_STDERR).st_mode
    if stat.S_ISSOCK(mode):
        with socket.socket(fileno=os.dup(_STDERR)) as end:
            yield lambda data: end.send(data, socket.MSG_DONTWAIT)
    elif stat.S_ISFIFO(mode) or os.isatty(_STDERR):
        try:
            own = os.open(
                f"/proc/self/fd/{_STDERR}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
        except OSError:
            yield _write_if_ready  # another user's, no /proc, or no descriptor is free
            return
        try:
            yield lambda data: os.write(own, data)
        finally:
            os.close(own)
    else:
        yield lambda data: os.write(_STDERR, data)


def _write_if_ready(data: memoryview) -> int:
    """Write so much as a pipe takes at once when it is ready; another process may be faster, which is a small risk."""
    if not select.select([], [_STDERR], [], 0)[1]:
        raise BlockingIOError
    return os.write(_STDERR, data[: select.PIPE_BUF])


output: Final = LogOutput()


def say(text: str) -> None:
    """Write a text for a person, or drop it if it cannot be written."""
    with contextlib.suppress(OSError):
        output.write(text.encode("utf-8", "backslashreplace"))
