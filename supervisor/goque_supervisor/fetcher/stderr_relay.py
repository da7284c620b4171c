"""Copies the standard error of workers to that of the tree, and reads its end for crash reports.

Each worker writes to a file in the run directory. That never blocks the worker, and the file survives its death. A file
beside it has how far it is copied, so that the next fetcher goes on there.

A line of the worker's log has its mark, and is copied as it is. Everything else was written by the handler's C code, by
programs that it started, or by Python directly. It may repeat what a stranger sent: control characters are escaped, and
a line that looks like one of goque's log gets a prefix.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import struct
import time
from pathlib import Path
from typing import Final

from goque.telemetry import logs
from goque.telemetry.log_output import output
from goque_supervisor.ipc.stderr_marks import mark_of, without_marks

TAIL: Final = 4096
MAX_FILE_SIZE: Final = 1024 * 1024
PREFIX: Final = "stderr: "
"""Begins a line that looks like one of goque's log, but is none."""

_OFFSET: Final = struct.Struct("<Q")
_CHUNK: Final = 256 * 1024
_PIECE: Final = 16 * 1024
_BUDGET: Final = 0.5
_LIKE_OURS: Final = re.compile(r"\s*\d\d:\d\d:\d\d\.\d\d\d ")
_OUR_FIELDS: Final = frozenset({"time", "level", "role", "event"})


class StderrRelay:
    """Forwards one worker's standard error, from where the fetcher before has stopped."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset_path = path.with_suffix(".copied")
        self._offset = _read_offset(self._offset_path)
        if self._offset > _size(path):
            self._offset = 0  # it was shortened, and the fetcher died before it could write that down
        self._mark = mark_of(path)
        self._continues = False

    def forward(self, *, rest: bool = False) -> None:
        """Write the new lines since the last call to this process's standard error.

        Args:
            rest: whether to write all, and an unfinished line too, because its worker is dead. Otherwise the line
                waits, so that no line of another process is written into its middle, and so do lines that take long.
        """
        size = _size(self._path)
        deadline = time.monotonic() + _BUDGET
        while self._offset < size and (rest or time.monotonic() < deadline):
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read(_CHUNK)
                data = _whole_lines(data, rest=rest)
                self._write(data)
            except OSError:
                return  # the file is deleted, or nobody reads our stderr: no task depends on it
            if not data:
                return
            self._go_to(self._offset + len(data))
        if self._offset > MAX_FILE_SIZE and self._offset == _size(self._path):
            os.truncate(self._path, 0)  # the worker appends, so it continues at the new end
            self._go_to(0)

    def _go_to(self, offset: int) -> None:
        self._offset = offset
        with contextlib.suppress(OSError):  # then the next fetcher copies some lines again
            descriptor = os.open(self._offset_path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, _OFFSET.pack(offset), 0)
            finally:
                os.close(descriptor)

    def _write(self, data: bytes) -> None:
        lines = data.decode("utf-8", "backslashreplace").split("\n")
        unfinished = lines.pop()
        shown = [line for text in lines for line in self._shown(text)]
        if unfinished:
            shown += self._shown(unfinished)
        out = "".join(f"{line}\n" for line in shown)
        if unfinished and len(data) == _CHUNK:
            out = out[:-1]  # the rest of the line follows
            self._continues = True
        encoded = out.encode("utf-8", "backslashreplace")
        start = 0
        while start < len(encoded):
            end = (
                len(encoded)
                if len(encoded) - start <= _PIECE
                else encoded.rfind(b"\n", start, start + _PIECE) + 1
            )
            end = end if end > start else min(len(encoded), start + _PIECE)
            output.write(encoded[start:end])
            start = end

    def _shown(self, line: str) -> list[str]:
        """Return a line of the file as it is shown: the line itself with the mark, else what is safe of it."""
        written, marked, ours = line.partition(self._mark)
        shown = [inert(written, is_start=not self._continues)] if written or not marked else []
        self._continues = False
        return [*shown, without_marks(ours)] if marked else shown


def inert(line: str, *, is_start: bool = True) -> str:
    """Return a line without control characters, and with a prefix if it looks like one of goque's log.

    Args:
        line: what was written, without its end of line.
        is_start: whether it is the beginning of a line.
    """
    text = line if line.isprintable() else "\t".join(logs.one_line(part) for part in line.split("\t"))
    return f"{PREFIX}{text}" if is_start and (_LIKE_OURS.match(text) or _is_our_json(text)) else text


def tail(path: Path, size: int = TAIL, *, since: int = 0) -> str | None:
    """Return the last lines of a file, up to this many bytes; None if there are none.

    Args:
        path: the file.
        size: the most bytes.
        since: where it ended before. If it is shorter now, it was emptied, and all of it is newer.
    """
    try:
        with path.open("rb") as file:
            length = _size(path)
            file.seek(max(since if since <= length else 0, length - size))
            text = without_marks(file.read(size).decode("utf-8", "replace"))
    except OSError:
        return None  # never written, or deleted
    return text.replace(logs.DIM, "").replace(logs.PLAIN, "").strip() or None


def _is_our_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= _OUR_FIELDS


def _whole_lines(data: bytes, *, rest: bool) -> bytes:
    """Return the lines that have ended; a line that fills the chunk goes in parts."""
    if rest and len(data) < _CHUNK:
        return data
    end = data.rfind(b"\n") + 1
    return data if not end and len(data) == _CHUNK else data[:end]


def _read_offset(path: Path) -> int:
    try:
        (offset,) = _OFFSET.unpack(path.read_bytes())
    except (OSError, struct.error):
        return 0  # nothing is copied yet
    return int(offset)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
