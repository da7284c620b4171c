"""The black box of one worker: which tasks it was running and which had ended, readable after its death.

A message sent just before a segfault may never leave the process. So the worker writes to a small mapped file before
and after each handler. The pages belong to the kernel, so they survive the process. Standard library only, because the
root reads deadlines here and writes interrupts.

Layout: a header of 64-bit words, each with one writer, then two halves. The worker appends records (box_records.py) to
one half. When it is full, the records that are still needed are copied to the other half, and one store of the
`position` word switches over. `position` is `flips << 40 | bytes used`; the lowest bit of `flips` names the half.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
from pathlib import Path
from typing import Final

from goque_supervisor.ipc import box_records
from goque_supervisor.ipc.box_header import (
    HALF,
    HEADER,
    INTERRUPT_REASON,
    INTERRUPT_SEQ,
    KILL_AT,
    MAGIC,
    PID,
    POSITION,
    REVOKED,
    RUNNING,
    STDERR_FROM,
    USED_BITS,
    USED_MASK,
    box_size,
)
from goque_supervisor.ipc.box_records import Contents
from goque_supervisor.ipc.private_files import open_private_file, read_private_file

MAX_SPILLED: Final = 1 << 30
INTERRUPT_REASONS: Final = ("", "canceled", "shutdown")
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class BlackBox:
    """A mapped box file, opened by the worker that writes it and by its readers."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        descriptor = open_private_file(self.path, os.O_RDWR)
        try:
            self._map = mmap.mmap(descriptor, 0)
        finally:
            os.close(descriptor)
        if len(self._map) < HEADER:
            self._map.close()
            raise ValueError(f"{self.path.name} is too short for a black box")
        self._view = memoryview(self._map)
        self._words = self._view[:HEADER].cast("Q")
        self._times = self._view[:HEADER].cast("d")
        self._half = self._words[HALF]
        if self._words[0] != MAGIC or HEADER + 2 * self._half != len(self._map):
            self.close()
            raise ValueError(f"{self.path.name} is not a black box: its header or its length is wrong")

    @classmethod
    def create(cls, path: str | os.PathLike[str], *, jobs: int = 0) -> None:
        """Create an empty box. Its blocks are allocated now, so that a full disk is an error and not a SIGBUS.

        Args:
            path: the path of the new file, which must not exist.
            jobs: the maximum number of jobs that may be running or not acknowledged at the same time.
        """
        size = box_size(jobs)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.ftruncate(descriptor, size)
            os.pwrite(descriptor, struct.pack("=QQ", MAGIC, (size - HEADER) // 2), 0)
        except OSError:
            os.unlink(path)  # noqa: PTH108 - it may be a text
            raise
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Unmap the file."""
        self._words.release()
        self._times.release()
        self._view.release()
        self._map.close()

    # -- words that the root, the fetcher or the worker writes -------------------------------------

    @property
    def kill_at(self) -> float:
        """The CLOCK_MONOTONIC second at which the root must kill this worker, 0 for never."""
        return self._times[KILL_AT]

    @property
    def running_seq(self) -> int:
        """The job that a worker of `def` handlers is running, 0 for none."""
        return self._words[RUNNING]

    @property
    def pid(self) -> int:
        """The pid of the worker, 0 before it has opened the box."""
        return self._words[PID]

    @property
    def stderr_from(self) -> int:
        """How long the worker's standard error was when the running tasks began, or the last ones."""
        return self._words[STDERR_FROM]

    @property
    def revoked_through(self) -> int:
        """The number up to which the fetcher has revoked all jobs that had not started."""
        return self._words[REVOKED]

    def revoke_through(self, seq: int) -> None:
        """Revoke all jobs up to this one that have not started, for ever; only the fetcher calls this."""
        # a lower number would allow jobs that other workers run by now
        self._words[REVOKED] = max(seq, self._words[REVOKED])

    def leave_interrupt(self, seq: int, reason: str) -> None:
        """Write which running job must stop. Only the root calls this, before it signals the worker."""
        self._words[INTERRUPT_REASON] = INTERRUPT_REASONS.index(reason)
        self._words[INTERRUPT_SEQ] = seq

    def read_interrupt(self) -> tuple[int, str]:
        """Return the job that must stop, and why."""
        return self._words[INTERRUPT_SEQ], INTERRUPT_REASONS[self._words[INTERRUPT_REASON]]

    # -- reading -----------------------------------------------------------------------------------

    def read(self) -> Contents:
        """Return the current contents. This is safe while the worker writes."""
        while True:
            position = self._words[POSITION]
            start = HEADER + (position >> USED_BITS & 1) * self._half
            records = bytes(self._view[start : start + (position & USED_MASK)])
            if self._words[POSITION] >> USED_BITS == position >> USED_BITS:
                return box_records.parse(records, self._read_spilled)

    def _read_spilled(self, seq: int) -> bytes | None:
        try:
            return read_private_file(self.spill_path(seq), MAX_SPILLED)
        except FileNotFoundError:
            return None  # acknowledged: its record is dropped at the next switch
        except OSError as error:
            if is_shortage(error):
                raise
            raise ValueError(f"the outcome of job {seq} cannot be read: {error}") from error

    def spill_path(self, seq: int) -> Path:
        """Return the path of an outcome that is too large for the box."""
        return self.path.with_name(f"{self.path.name}.{seq}")


def is_shortage(error: Exception) -> bool:
    """Return whether a box could not be opened for lack of descriptors or memory, so that it may be intact."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES
