"""Metrics that handlers define with prometheus-client: its multiprocess mode, without keeping files for every dead pid.

In that mode each process maps files of its own, `counter_<pid>.db` and so on, so that a killed process loses nothing.
A tree can start thousands of workers, so the files of dead ones are summed into one set of files, `dead.<n>/`. Its
`merged` names the files that it contains. A directory appears whole or not at all, so that nothing is counted twice if
the monitor dies between two steps.
"""

from __future__ import annotations

import json
import logging
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from goque_supervisor.ipc import os_process

log = logging.getLogger("goque.monitor")

_MERGED: Final = "merged"
_TRIES: Final = 3
UNREADABLE: Final = (RuntimeError, ValueError, struct.error)
Value = tuple[float, float]
"""A value and the time at which it was set, 0 if none was given."""


class UserMetrics:
    """Reads and tidies the directory where the processes of a tree keep the app's metrics.

    Args:
        directory: the PROMETHEUS_MULTIPROC_DIR of the processes that imported the app.
        is_alive: whether a process lives.
    """

    def __init__(self, directory: Path, is_alive: Callable[[int], bool] | None = None) -> None:
        self._directory = directory
        self._is_alive = is_alive or os_process.exists

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, summed over all living and dead processes; a gauge by its multiprocess mode."""
        dead, merged = self._dead()
        files = [path for path in self._files() if path.name not in merged and not self._is_stale(path)]
        if dead is not None:
            files += sorted(dead.glob("*.db"))
        try:
            yield from _merged(files)
        except UNREADABLE:
            yield from _merged([path for path in files if _read(path)])

    def tidy(self) -> int:
        """Sum the files of dead processes into one set; returns how many files were deleted."""
        before, merged = self._dead()
        self._forget(before, merged)
        left = [path for path in self._files() if not self._is_alive(_pid_of(path))]
        if not left:
            return 0
        kept = [path for path in left if not self._is_stale(path)]
        number = int(before.suffix[1:]) + 1 if before else 1
        draft = self._directory / f"draft.{number}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        for kind in sorted({_kind_of(path) for path in kept} | {_kind_of(path) for path in _db(before)}):
            parts = [path for path in (*_db(before), *kept) if _kind_of(path) == kind]
            _write(draft / f"{kind}_0.db", _combined(kind, parts))
        (draft / _MERGED).write_text(json.dumps([path.name for path in left]), "utf-8")
        after = self._directory / f"dead.{number}"
        draft.rename(after)
        self._forget(after, {path.name for path in left})
        if before is not None:
            shutil.rmtree(before, ignore_errors=True)
        return len(left)

    def _files(self) -> list[Path]:
        return sorted(path for path in self._directory.glob("*.db") if _pid_of(path))

    def _is_stale(self, path: Path) -> bool:
        """Whether this is a gauge of living processes, and its process is dead."""
        kind = _kind_of(path)
        lives_with_it = kind == "gauge_all" or kind.startswith("gauge_live")
        return lives_with_it and not self._is_alive(_pid_of(path))

    def _dead(self) -> tuple[Path | None, set[str]]:
        """Return the newest set of summed files, and the names of the files that it contains."""
        found = sorted(self._directory.glob("dead.*"), key=lambda path: int(path.suffix[1:]))
        if not found:
            return None, set()
        for older in found[:-1]:
            shutil.rmtree(older, ignore_errors=True)
        return found[-1], set(json.loads((found[-1] / _MERGED).read_text("utf-8")))

    def _forget(self, dead: Path | None, merged: Iterable[str]) -> None:
        """Delete the files that are merged, and then their names, since a new process may get the same pid."""
        if dead is None or not merged:
            return
        for name in merged:
            (self._directory / name).unlink(missing_ok=True)
        draft = dead / f"{_MERGED}.new"
        draft.write_text("[]", "utf-8")
        draft.rename(dead / _MERGED)


def _merged(files: Iterable[Path]) -> list[Metric]:
    return list(MultiProcessCollector.merge([str(path) for path in files], accumulate=True))


def _db(directory: Path | None) -> list[Path]:
    return [] if directory is None else sorted(directory.glob("*.db"))


def _kind_of(path: Path) -> str:
    """Return `counter`, `histogram`, `summary`, or `gauge` with its mode, as in the file's name."""
    return path.stem.rpartition("_")[0]


def _pid_of(path: Path) -> int:
    text = path.stem.rpartition("_")[2]
    return int(text) if text.isdecimal() else 0


def _combined(kind: str, files: list[Path]) -> dict[str, Value]:
    combined: dict[str, Value] = {}
    for path in files:
        for key, value in _read(path).items():
            combined[key] = _combine(kind, combined[key], value) if key in combined else value
    return combined


def _combine(kind: str, one: Value, other: Value) -> Value:
    match kind:
        case "gauge_min":
            return min(one, other)
        case "gauge_max":
            return max(one, other)
        case "gauge_mostrecent":
            return max(one, other, key=lambda value: value[1])
    return one[0] + other[0], 0.0


def _read(path: Path) -> dict[str, Value]:
    for _ in range(_TRIES):
        try:
            values = MmapedDict.read_all_values_from_file(str(path))
            return {key: (value, at) for key, value, at, _place in values}
        except UNREADABLE:
            continue  # its process died while it wrote, or a new process with this pid writes
    log.warning("cannot read the metrics in %s: /metrics does not include them", path)
    return {}


def _write(path: Path, values: dict[str, Value]) -> None:
    file = MmapedDict(str(path))
    for key, (value, at) in values.items():
        file.write_value(key, value, at)
    file.close()
