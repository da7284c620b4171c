"""The records in a black box: their bytes, and what a reader makes of them. Standard library only.

A record has a head (the length of its body, its kind, the number of its job) and a body:

- START: a handler is about to be called.
- STEP: the steps that run now, and how far the run is. The last one of a job wins.
- END, SPILLED: the encoded outcome; a large one is in a file beside the box.
- VOID: the job did not start, because it was revoked.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

MAX_TEXT: Final = 200
"""The characters of each text in a STEP record. A step's name may have as many; a longer text is cut."""

SHORT_TEXT: Final = 64
"""The bytes of each text when the box is full: with it all records of a running job fit into `BYTES_A_JOB`."""

_HEAD = struct.Struct("=IBQ")  # length of the body, kind, seq
_START = struct.Struct("=36sQdd")  # task id, claims, started, deadline
_STEP = struct.Struct("=ddH")  # stalls at, fraction, bytes of the steps' names
_START_KIND, _END_KIND, _SPILLED_KIND, _VOID_KIND, _STEP_KIND = _KINDS = 1, 2, 3, 4, 5
_USUAL_ID: Final = re.compile("[0-9A-Za-z-]{36}")
_MAX_CLAIMS: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run says that it is: a fraction from 0 to 1, and what it does."""

    fraction: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Running:
    """A task whose handler was called. Times are CLOCK_MONOTONIC seconds.

    Attributes:
        seq: the number of its job.
        task_id: its id.
        claims: its claim.
        started: when the handler was called.
        deadline: when its timeout is over.
        step: the names of the steps that run now, empty for none.
        progress: what it has reported last.
        stalls_at: when it is stopped unless it ends a step or reports progress, infinity for never.
    """

    seq: int
    task_id: str
    claims: int
    started: float
    deadline: float
    step: str = ""
    progress: RunProgress | None = None
    stalls_at: float = math.inf

    @property
    def due(self) -> float:
        """When TaskTimeout is raised in the handler."""
        return min(self.deadline, self.stalls_at)

    @property
    def has_stalled(self) -> bool:
        """Whether it is stopped for its standing still, once it is due, and not for its whole timeout."""
        return self.stalls_at < self.deadline


@dataclass(frozen=True, slots=True)
class Contents:
    """The contents of a black box: running tasks, and encoded outcomes that are not acknowledged.

    `broken` describes the first record that cannot be read. The records before it are valid. Of a dead worker,
    `stderr_from` is how long its standard error was when the running tasks began.
    """

    running: dict[int, Running]
    finished: dict[int, tuple[Running, bytes]]
    broken: str = ""
    stderr_from: int = 0


class StepNote:
    """What the newest STEP record of a running job says; the worker changes it and packs it again."""

    __slots__ = ("fraction", "names", "note", "stalls_at")

    def __init__(self) -> None:
        self.names = self.note = b""
        self.fraction = math.nan
        self.stalls_at = math.inf

    def pack(self, seq: int) -> bytes:
        """Return the record."""
        names, note = self.names, self.note
        head = _HEAD.pack(_STEP.size + len(names) + len(note), _STEP_KIND, seq)
        return head + _STEP.pack(self.stalls_at, self.fraction, len(names)) + names + note

    def pack_short(self, seq: int) -> bytes:
        """Return the record with short texts."""
        short = StepNote()
        short.names, short.note = self.names[:SHORT_TEXT], self.note[:SHORT_TEXT]
        short.fraction, short.stalls_at = self.fraction, self.stalls_at
        return short.pack(seq)


def encode_text(text: str) -> bytes:
    """Return a text for a STEP record: one printable line of at most `MAX_TEXT` characters."""
    if len(text) > MAX_TEXT:
        text = f"{text[: MAX_TEXT - 1]}…"
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    return text.encode()


def pack_start(seq: int, task_id: str, claims: int, started: float, deadline: float) -> bytes:
    """Return the record of a handler that is about to be called."""
    body = _START.pack(task_id.encode("ascii"), claims, started, deadline)
    return _HEAD.pack(_START.size, _START_KIND, seq) + body


def pack_end(seq: int, outcome: bytes) -> bytes:
    """Return the record of an outcome."""
    return _HEAD.pack(len(outcome), _END_KIND, seq) + outcome


def pack_spilled(seq: int) -> bytes:
    """Return the record of an outcome that is in a file beside the box."""
    return _HEAD.pack(0, _SPILLED_KIND, seq)


def pack_void(seq: int) -> bytes:
    """Return the record of a job that was revoked."""
    return _HEAD.pack(0, _VOID_KIND, seq)


def outcome_in(record: bytes) -> bytes:
    """Return the outcome in a record of `pack_end`."""
    return record[_HEAD.size :]


def parse(records: bytes, read_spilled: Callable[[int], bytes | None]) -> Contents:
    """Return what the records of a box say.

    Args:
        records: the records, oldest first.
        read_spilled: returns the outcome of a job that is in a file, None if it was acknowledged.
    """
    contents = Contents({}, {})
    notes: dict[int, bytes] = {}
    broken = ""
    try:
        _parse_into(contents, notes, records, read_spilled)
    except (struct.error, KeyError, ValueError) as error:
        broken = f"a record is broken: {error}"
    running = contents.running
    for seq, body in notes.items():
        if seq in running:
            running[seq] = _with_note(running[seq], body)
    return Contents(running, contents.finished, broken) if broken else contents


def _parse_into(
    contents: Contents, notes: dict[int, bytes], records: bytes, read_spilled: Callable[[int], bytes | None]
) -> None:
    started, finished = contents.running, contents.finished
    offset = 0
    while offset < len(records):
        length, kind, seq = _HEAD.unpack_from(records, offset)
        body = records[offset + _HEAD.size : offset + _HEAD.size + length]
        offset += _HEAD.size + length
        if offset > len(records) or kind not in _KINDS:
            raise ValueError(f"a record of kind {kind} cannot have {length} bytes")
        if kind == _START_KIND:
            task_id, claims, begun, deadline = _START.unpack(body)
            started[seq] = Running(seq, task_id.decode("ascii"), claims, begun, deadline)
        elif kind == _VOID_KIND:
            started.pop(seq, None)
        elif kind == _STEP_KIND:
            if seq not in started or length < _STEP.size:
                raise ValueError(f"a step of job {seq} cannot have {length} bytes")
            notes[seq] = body  # only the last one is read, because there may be thousands
        else:
            outcome = read_spilled(seq) if kind == _SPILLED_KIND else body
            running = started.pop(seq)
            if outcome is not None:
                finished[seq] = (running, outcome)


def _with_note(running: Running, body: bytes) -> Running:
    stalls_at, fraction, size = _STEP.unpack_from(body)
    names, note = body[_STEP.size : _STEP.size + size], body[_STEP.size + size :]
    progress = None if math.isnan(fraction) else RunProgress(fraction, _decode(note))
    return replace(running, step=_decode(names), progress=progress, stalls_at=stalls_at)


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "ignore")  # a short text may end within a character


def can_record(task_id: str, claims: int) -> bool:
    """Return whether a record can hold this claim, so that a reader finds it again. goque claims no other task."""
    return _USUAL_ID.fullmatch(task_id) is not None and 0 <= claims <= _MAX_CLAIMS
