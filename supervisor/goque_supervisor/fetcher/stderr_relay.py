"""Copies the standard error of workers to that of the tree, and reads its end for crash reports.

Each worker writes to a file in the run directory. That never blocks the worker, and the file survives its death.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

TAIL: Final = 4096
MAX_FILE_SIZE: Final = 1024 * 1024
_CHUNK: Final = 256 * 1024


class StderrRelay:
    """Forwards one worker's standard error."""

    def __init__(self, path: Path, *, from_now: bool) -> None:
        self._path = path
        self._offset = _size(path) if from_now else 0

    def forward(self, *, rest: bool = False) -> None:
        """Write the new lines since the last call to this process's standard error.

        Args:
            rest: whether to write an unfinished line too, because its worker is dead. Otherwise the line waits, so
                that no line of another process is written into its middle.
        """
        size = _size(self._path)
        while self._offset < size:
            try:
                with self._path.open("rb") as file:
                    file.seek(self._offset)
                    data = file.read(_CHUNK)
                if not rest and len(data) < _CHUNK:
                    data = data[: data.rfind(b"\n") + 1]
                _write_all(data)
            except OSError:
                return  # the file is deleted, or nobody reads our stderr: no task depends on it
            if not data:
                return
            self._offset += len(data)
        if self._offset > MAX_FILE_SIZE and self._offset == _size(self._path):
            os.truncate(self._path, 0)  # the worker appends, so it continues at the new end
            self._offset = 0


def tail(path: Path) -> str | None:
    """Return the last lines of a file, None if there are none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, _size(path) - TAIL))
            text = file.read(TAIL).decode("utf-8", "replace").strip()
    except OSError:
        return None  # never written, or deleted
    return text or None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _write_all(data: bytes) -> None:
    while data:
        data = data[os.write(2, data) :]
