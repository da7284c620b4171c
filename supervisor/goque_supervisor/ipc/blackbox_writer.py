"""The worker's side of its black box: it records what runs, how far it is, and how it ended."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from goque_supervisor.ipc import box_records
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.box_header import (
    FLIPS_MASK,
    HEADER,
    KILL_AT,
    PID,
    POSITION,
    RUNNING,
    STDERR_FROM,
    USED_BITS,
)
from goque_supervisor.ipc.box_records import StepNote, can_record

SPILL_OVER: Final = 16 * 1024
"""The bytes of an outcome from which on it is written to a file beside the box."""

MAX_OUTDATED: Final = 8 * 1024
"""The bytes of STEP records that newer ones have replaced; with more, the needed ones go to the other half.

So a reader, which reads a box many times a second, has little to read.
"""


class BlackBoxWriter(BlackBox):
    """The worker's side. It writes one record before and one after each handler, in about a microsecond each."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        self._words[PID] = os.getpid()
        self._flips = 0
        self._used = 0
        self._start = HEADER
        self._needed: dict[int, list[bytes]] = {}  # START, the newest STEP or nothing, the end or nothing
        self._notes: dict[int, StepNote] = {}
        self._outdated = 0
        self._deadlines: dict[int, float] = {}
        self._spilled: set[int] = set()

    def note_stderr(self, size: int) -> None:
        """Record how long the standard error is before a job begins; unless others run, whose lines it has too."""
        if not self._deadlines:
            self._words[STDERR_FROM] = size

    def begin(
        self, seq: int, task_id: str, claims: int, started: float, deadline: float, *, kill_at: float
    ) -> None:
        """Record that a handler is about to be called, and when the root must kill this process.

        Raises:
            ValueError: a record cannot hold this claim; nothing is recorded.
        """
        if not can_record(task_id, claims):
            raise ValueError(f"a black box cannot record claim {claims} of task {task_id!r}")
        record = box_records.pack_start(seq, task_id, claims, started, deadline)
        self._needed[seq] = [record, b"", b""]
        self._deadlines[seq] = kill_at
        self._append(record)
        self._words[RUNNING] = seq
        self._times[KILL_AT] = kill_at if len(self._deadlines) == 1 else min(self._deadlines.values())

    def end(self, seq: int, outcome: bytes) -> None:
        """Record the encoded outcome of a job; it stays until `acknowledge`.

        Raises:
            OSError: the disk has no room for an outcome as large as this; nothing is recorded.
        """
        if len(outcome) > SPILL_OVER:
            self._spill(seq, outcome)
            record = box_records.pack_spilled(seq)
        else:
            record = box_records.pack_end(seq, outcome)
        self._needed[seq][1:] = b"", record  # its steps are of no use any more
        self._append(record)
        self._finish(seq)

    def void(self, seq: int) -> None:
        """Record that the job that was about to start is revoked."""
        del self._needed[seq]
        self._append(box_records.pack_void(seq))  # a switch instead leaves the job out
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

    # -- steps of running jobs; of others nothing is recorded ----------------------------------------

    def note_step(self, seq: int, names: str) -> None:
        """Record which steps of a job run now, empty for none."""
        if (note := self._note_of(seq)) is not None:
            note.names = box_records.encode_text(names)
            self._write_note(seq, note)

    def note_progress(self, seq: int, fraction: float, text: str) -> None:
        """Record how far a job is."""
        if (note := self._note_of(seq)) is not None:
            note.fraction, note.note = fraction, box_records.encode_text(text)
            self._write_note(seq, note)

    def put_off(self, seq: int, stalls_at: float, *, kill_at: float) -> None:
        """Record until when a job may stand still, and when the root must kill this process then."""
        if (note := self._note_of(seq)) is not None:
            note.stalls_at = stalls_at
            self._write_note(seq, note)
            # written last: if the root has seen the former time, the record tells that the job has moved since
            former, self._deadlines[seq] = self._deadlines[seq], kill_at
            first = self._times[KILL_AT]
            if kill_at < first or former <= first:  # else another job of the many on a loop comes first
                self._times[KILL_AT] = min(self._deadlines.values())

    def step_of(self, seq: int) -> str:
        """Return which steps of a job run now, as a reader finds them."""
        note = self._notes.get(seq)
        return "" if note is None else note.names.decode()

    def _note_of(self, seq: int) -> StepNote | None:
        if seq not in self._deadlines:
            return None
        note = self._notes.get(seq)
        if note is None:
            note = self._notes[seq] = StepNote()
        return note

    def _write_note(self, seq: int, note: StepNote) -> None:
        entry = self._needed[seq]
        self._outdated += len(entry[1])
        entry[1] = note.pack(seq)
        with contextlib.suppress(OSError):  # the disk is full: a note is no reason to fail an attempt
            if self._outdated > MAX_OUTDATED:
                self._switch()
            else:
                self._append(entry[1])

    # -- the two halves ------------------------------------------------------------------------------

    def _finish(self, seq: int) -> None:
        self._deadlines.pop(seq, None)
        if self._notes:
            self._notes.pop(seq, None)
        self._times[KILL_AT] = min(self._deadlines.values()) if self._deadlines else 0.0
        self._words[RUNNING] = 0

    def _append(self, record: bytes) -> None:
        if self._used + len(record) > self._half:
            self._switch()  # the record is in _needed already, so the switch copies it
            return
        offset = self._start + self._used
        self._view[offset : offset + len(record)] = record
        self._used += len(record)
        self._words[POSITION] = self._flips << USED_BITS | self._used

    def _switch(self) -> None:
        records = self._all_needed()
        if len(records) > self._half:
            self._spill_all()
            records = self._all_needed()
        if len(records) > self._half:
            self._shorten_all()
            records = self._all_needed()
        self._flips = self._flips + 1 & FLIPS_MASK
        self._start = HEADER + (self._flips & 1) * self._half
        self._view[self._start : self._start + len(records)] = records
        self._used = len(records)
        self._outdated = 0
        self._words[POSITION] = self._flips << USED_BITS | self._used

    def _all_needed(self) -> bytes:
        return b"".join(record for entry in self._needed.values() for record in entry)

    def _spill(self, seq: int, outcome: bytes) -> None:
        path = self.spill_path(seq)
        try:
            with path.open("wb") as file:
                file.write(outcome)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._spilled.add(seq)

    def _spill_all(self) -> None:
        for seq, entry in self._needed.items():
            if entry[2] and seq not in self._spilled:
                self._spill(seq, box_records.outcome_in(entry[2]))
                entry[2] = box_records.pack_spilled(seq)

    def _shorten_all(self) -> None:
        for seq, note in self._notes.items():
            self._needed[seq][1] = note.pack_short(seq)
