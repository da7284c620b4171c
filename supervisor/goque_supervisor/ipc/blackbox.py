"""The black box of one worker: which tasks it was running and which had ended, readable after its death.

A message sent just before a segfault may never leave the process. So the worker writes to a small mapped file before
and after each handler. The pages belong to the kernel, so they survive the process. Standard library only, because the
root reads deadlines here and writes interrupts.

Layout: a header of 64-bit words, each with one writer, then two halves. The worker appends records to one
half. When it is full, the records that are still needed are copied to the other half, and one store of the `position`
word switches over. `position` is `flips << 40 | bytes used`; the lowest bit of `flips` names the half.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from goque_supervisor.ipc.private_files import open_private_file, read_private_file

MAGIC: Final = 0x31_58_4F_42_45_55_51_47  # "GQUEBOX1"
HEADER: Final = 128
MIN_HALF: Final = 128 * 1024
BYTES_A_JOB: Final = 256
SPILL_OVER: Final = 16 * 1024
MAX_SPILLED: Final = 1 << 30

_HALF, _POSITION, _REVOKED, _INTERRUPT_SEQ, _INTERRUPT_REASON, _KILL_AT, _RUNNING, _PID = (
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
)
_USED_BITS: Final = 40
_USED_MASK: Final = (1 << _USED_BITS) - 1

_RECORD = struct.Struct("=IBQ")  # length of the body, kind, seq
_START = struct.Struct("=36sQdd")  # task id, claims, started, deadline
_START_KIND, _END_KIND, _SPILLED_KIND, _VOID_KIND = _KINDS = 1, 2, 3, 4

INTERRUPT_REASONS: Final = ("", "canceled", "shutdown")
_USUAL_ID: Final = re.compile("[0-9A-Za-z-]{36}")
_MAX_CLAIMS: Final = (1 << 63) - 1
_SHORTAGES: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@dataclass(frozen=True, slots=True)
class Running:
    """A task whose handler was called. Times are CLOCK_MONOTONIC seconds."""

    seq: int
    task_id: str
    claims: int
    started: float
    deadline: float


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a black box: running tasks, and encoded outcomes that are not acknowledged.

    `broken` describes the first record that cannot be read. The records before it are valid.
    """

    running: dict[int, Running]
    finished: dict[int, tuple[Running, bytes]]
    broken: str = ""


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
        self._half = self._words[_HALF]
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
        return self._times[_KILL_AT]

    @property
    def running_seq(self) -> int:
        """The job that a worker of `def` handlers is running, 0 for none."""
        return self._words[_RUNNING]

    @property
    def pid(self) -> int:
        """The pid of the worker, 0 before it has opened the box."""
        return self._words[_PID]

    @property
    def revoked_through(self) -> int:
        """The number up to which the fetcher has revoked all jobs that had not started."""
        return self._words[_REVOKED]

    def revoke_through(self, seq: int) -> None:
        """Revoke all jobs up to this one that have not started, for ever; only the fetcher calls this."""
        # a lower number would allow jobs that other workers run by now
        self._words[_REVOKED] = max(seq, self._words[_REVOKED])

    def leave_interrupt(self, seq: int, reason: str) -> None:
        """Write which running job must stop. Only the root calls this, before it signals the worker."""
        self._words[_INTERRUPT_REASON] = INTERRUPT_REASONS.index(reason)
        self._words[_INTERRUPT_SEQ] = seq

    def read_interrupt(self) -> tuple[int, str]:
        """Return the job that must stop, and why."""
        return self._words[_INTERRUPT_SEQ], INTERRUPT_REASONS[self._words[_INTERRUPT_REASON]]

    # -- reading -----------------------------------------------------------------------------------

    def read(self) -> Contents:
        """Return the current contents. This is safe while the worker writes."""
        while True:
            position = self._words[_POSITION]
            start = HEADER + (position >> _USED_BITS & 1) * self._half
            records = bytes(self._view[start : start + (position & _USED_MASK)])
            if self._words[_POSITION] >> _USED_BITS == position >> _USED_BITS:
                return self._parse(records)

    def _parse(self, records: bytes) -> Contents:
        contents = Contents({}, {})
        try:
            self._parse_into(contents, records)
        except (struct.error, KeyError, ValueError) as error:
            return Contents(contents.running, contents.finished, broken=f"a record is broken: {error}")
        return contents

    def _parse_into(self, contents: Contents, records: bytes) -> None:
        started, finished = contents.running, contents.finished
        offset = 0
        while offset < len(records):
            length, kind, seq = _RECORD.unpack_from(records, offset)
            body = records[offset + _RECORD.size : offset + _RECORD.size + length]
            offset += _RECORD.size + length
            if offset > len(records) or kind not in _KINDS:
                raise ValueError(f"kind {kind} with {length} bytes")
            if kind == _START_KIND:
                task_id, claims, begun, deadline = _START.unpack(body)
                started[seq] = Running(seq, task_id.decode("ascii"), claims, begun, deadline)
            elif kind == _VOID_KIND:
                started.pop(seq, None)
            else:
                outcome = self._read_spilled(seq) if kind == _SPILLED_KIND else body
                running = started.pop(seq)
                if outcome is not None:
                    finished[seq] = (running, outcome)

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


class BlackBoxWriter(BlackBox):
    """The worker's side. It writes one record before and one after each handler, in about a microsecond each."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._words[_PID] = os.getpid()
        self._flips = 0
        self._used = 0
        self._start = HEADER
        self._needed: dict[int, list[bytes]] = {}
        self._deadlines: dict[int, float] = {}
        self._spilled: set[int] = set()

    def begin(
        self, seq: int, task_id: str, claims: int, started: float, deadline: float, *, kill_at: float
    ) -> None:
        """Record that a handler is about to be called, and when the root must kill this process.

        Raises:
            ValueError: a record cannot hold this claim; nothing is recorded.
        """
        if not can_record(task_id, claims):
            raise ValueError(f"a black box cannot record claim {claims} of task {task_id!r}")
        record = _RECORD.pack(_START.size, _START_KIND, seq) + _START.pack(
            task_id.encode("ascii"), claims, started, deadline
        )
        self._needed[seq] = [record]
        self._deadlines[seq] = kill_at
        self._append(record)
        self._words[_RUNNING] = seq
        self._times[_KILL_AT] = kill_at if len(self._deadlines) == 1 else min(self._deadlines.values())

    def end(self, seq: int, outcome: bytes) -> None:
        """Record the encoded outcome of a job; it stays until `acknowledge`.

        Raises:
            OSError: the disk has no room for an outcome as large as this; nothing is recorded.
        """
        kind = _END_KIND
        if len(outcome) > SPILL_OVER:
            kind, outcome = _SPILLED_KIND, self._spill(seq, outcome)
        record = _RECORD.pack(len(outcome), kind, seq) + outcome
        self._needed[seq].append(record)
        self._append(record)
        self._finish(seq)

    def void(self, seq: int) -> None:
        """Record that the job that was about to start is revoked."""
        self._needed[seq].append(_RECORD.pack(0, _VOID_KIND, seq))
        self._append(self._needed[seq][-1])
        del self._needed[seq]
        self._finish(seq)

    def acknowledge(self, seqs: list[int]) -> None:
        """Forget outcomes that are in the database."""
        for seq in seqs:
            self._needed.pop(seq, None)
            if seq in self._spilled:
                self._spilled.discard(seq)
                self.spill_path(seq).unlink(missing_ok=True)
        if not self._needed:
            self._switch()

    @property
    def unacknowledged(self) -> int:
        """How many jobs are running or have outcomes that are not in the database yet."""
        return len(self._needed)

    def _finish(self, seq: int) -> None:
        self._deadlines.pop(seq, None)
        self._times[_KILL_AT] = min(self._deadlines.values()) if self._deadlines else 0.0
        self._words[_RUNNING] = 0

    def _append(self, record: bytes) -> None:
        if self._used + len(record) > self._half:
            self._switch()  # the record is in _needed already, so the switch copies it
            return
        offset = self._start + self._used
        self._view[offset : offset + len(record)] = record
        self._used += len(record)
        self._words[_POSITION] = self._flips << _USED_BITS | self._used

    def _switch(self) -> None:
        records = b"".join(record for entry in self._needed.values() for record in entry)
        if len(records) > self._half:
            records = self._spill_all()
        self._flips += 1
        self._start = HEADER + (self._flips & 1) * self._half
        self._view[self._start : self._start + len(records)] = records
        self._used = len(records)
        self._words[_POSITION] = self._flips << _USED_BITS | self._used

    def _spill(self, seq: int, outcome: bytes) -> bytes:
        path = self.spill_path(seq)
        try:
            with path.open("wb") as file:
                file.write(outcome)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._spilled.add(seq)
        return b""

    def _spill_all(self) -> bytes:
        for seq, entry in self._needed.items():
            if len(entry) == 2 and seq not in self._spilled:
                body = entry[1][_RECORD.size :]
                entry[1] = _RECORD.pack(0, _SPILLED_KIND, seq) + self._spill(seq, body)
        return b"".join(record for entry in self._needed.values() for record in entry)


def box_size(jobs: int) -> int:
    """Return the bytes of a box for so many jobs."""
    return HEADER + 2 * max(MIN_HALF, jobs * BYTES_A_JOB)


def can_record(task_id: str, claims: int) -> bool:
    """Return whether a record can hold this claim, so that a reader finds it again. goque claims no other task."""
    return _USUAL_ID.fullmatch(task_id) is not None and 0 <= claims <= _MAX_CLAIMS


def is_shortage(error: Exception) -> bool:
    """Return whether a box could not be opened for lack of descriptors or memory, so that it may be intact."""
    return isinstance(error, OSError) and error.errno in _SHORTAGES
