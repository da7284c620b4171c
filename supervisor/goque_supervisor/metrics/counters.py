"""What a process counts for the monitor: numbers in a small mapped file, which outlives the process.

Each counting process has a file of its own for each task type, and the process that replaces it goes on with that file.
So no counter goes back when a counting process or the monitor dies. A fetcher counts a task right after its commit.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import struct
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from goque.outcome import Change, Outcome, OutcomeKind
from goque.task_row import TaskRow, TaskStatus

log = logging.getLogger("goque.supervisor")

SUFFIX: Final = ".counters"
RUN_ENDS: Final = (TaskStatus.DONE, TaskStatus.ERROR, TaskStatus.ATTEMPTS_LEFT, TaskStatus.CANCELED)
"""The statuses in which a run leaves its task, as far as they are counted."""

UNREGISTERED: Final = "unregistered"
"""The label of all task types that do not run here: an enqueued task must not add a label."""

DURATIONS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 300.0)
"""Seconds, as in the original: dense where most handlers and claims are, coarse above."""

ATTEMPTS: Final = (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 20.0, 30.0, 50.0)
SIZES: Final = (100.0, 1e3, 1e4, 1e5, 1e6, 5e6)
HISTOGRAMS: Final = {
    "processing": DURATIONS,
    "fetch": DURATIONS,
    "cleanup": DURATIONS,
    "health": DURATIONS,
    "attempts": ATTEMPTS,
    "payload": SIZES,
}
COUNTERS: Final = (
    "fetched",
    "cleaned",
    "healed",
    "decode_errors",
    "stale_writes",
    "dropped_messages",
    "steps",
    "step_seconds",
)
ENDS: Final = (*TaskStatus,)

NO_RUN: Final = frozenset({OutcomeKind.UNSTARTED, OutcomeKind.INTERRUPTED})
_ANSWERED: Final = "database_answered_at"


def _names() -> list[str]:
    names = [*COUNTERS, *(f"processed:{status}" for status in ENDS), _ANSWERED]
    for name, bounds in HISTOGRAMS.items():
        names += [f"{name}:{number}" for number in range(len(bounds) + 1)] + [f"{name}:sum"]
    return names


_PLACE: Final = {name: place for place, name in enumerate(_names())}
_PROCESSED: Final = {status: _PLACE[f"processed:{status}"] for status in ENDS}
_FIRST: Final = {name: _PLACE[f"{name}:0"] for name in HISTOGRAMS}
_SUM: Final = {name: _PLACE[f"{name}:sum"] for name in HISTOGRAMS}
_RUN, _RUN_SUM = _FIRST["processing"], _SUM["processing"]
_SIZE, _SIZE_SUM = _FIRST["payload"], _SUM["payload"]
_TRIED, _TRIED_SUM = _FIRST["attempts"], _SUM["attempts"]
_DECODE_ERRORS, _STALE = _PLACE["decode_errors"], _PLACE["stale_writes"]


class Counters:
    """Counts for one task type; one process at a time has the file open for it.

    Args:
        path: the file; it is created if it is missing.
        task_type: whose tasks are counted, or `unregistered`.
        function: the function that these tasks call, if only its tasks are counted.
        step: the name of a recorded step, if only that is counted.
    """

    def __init__(
        self, path: str | os.PathLike[str], task_type: str, function: str = "", *, step: str = ""
    ) -> None:
        counted = {"task_type": task_type, "function": function, "step": step}
        self._slots = open_file(Path(path), counted, list(_PLACE))
        self._slots[_PLACE[_ANSWERED]] = 0.0

    def count(self, name: str, amount: float = 1) -> None:
        """Count something that happened."""
        self._slots[_PLACE[name]] += amount

    def observe(self, name: str, value: float) -> None:
        """Count one value of a histogram."""
        self._slots[_FIRST[name] + bisect_left(HISTOGRAMS[name], value)] += 1
        self._slots[_SUM[name]] += value

    def database_answered(self) -> None:
        """Record that the database has answered now."""
        self._slots[_PLACE[_ANSWERED]] = time.monotonic()

    def settled(self, change: Change, outcome: Outcome, row: TaskRow, *, written: bool) -> None:
        """Count the end of a task's run, and how long it took."""
        slots = self._slots
        if not written:
            slots[_STALE] += 1
            return
        if outcome.kind in NO_RUN:
            return
        duration, size = outcome.duration, len(row.payload)
        slots[_PROCESSED[change.status]] += 1
        slots[_RUN + bisect_left(DURATIONS, duration)] += 1
        slots[_RUN_SUM] += duration
        slots[_SIZE + bisect_left(SIZES, size)] += 1
        slots[_SIZE_SUM] += size
        if change.attempts:
            slots[_TRIED + bisect_left(ATTEMPTS, change.attempts)] += 1
            slots[_TRIED_SUM] += change.attempts
        if outcome.undecodable:
            slots[_DECODE_ERRORS] += 1

    def succeeded(self, durations: Sequence[float], sizes: Sequence[int]) -> None:
        """Count the runs of tasks that had never failed, and have gone well now.

        Args:
            durations: how long each took, in seconds.
            sizes: how many bytes the payload of each has.
        """
        slots = self._slots
        slots[_PROCESSED[TaskStatus.DONE]] += len(durations)
        count_values(slots, _RUN, [bisect_left(DURATIONS, duration) for duration in durations])
        slots[_RUN_SUM] += sum(durations)
        count_values(slots, _SIZE, [bisect_left(SIZES, size) for size in sizes])
        slots[_SIZE_SUM] += sum(sizes)


class CountersByType:
    """The counters of an actor that handles tasks of any type; all types that do not run here share one.

    Args:
        paths: a file for each type of the tree, and one for `unregistered`.
    """

    def __init__(self, paths: Mapping[str, str]) -> None:
        self._by_type = {task_type: Counters(path, task_type) for task_type, path in paths.items()}

    def __getitem__(self, task_type: str | None) -> Counters:
        return self._by_type.get(task_type or UNREGISTERED) or self._by_type[UNREGISTERED]


class Counts(dict[str, float]):
    """The values of one task type's counters, by name; a missing name is 0."""

    def __missing__(self, name: str) -> float:
        return 0.0

    def add(self, other: Counts) -> None:
        """Add the values of another process."""
        for name, value in other.items():
            self[name] = max(self[name], value) if name == _ANSWERED else self[name] + value

    def buckets(self, name: str) -> list[float]:
        """Return how many values of a histogram are at or under each bound, and last the number of all."""
        total = 0.0
        found = []
        for number in range(len(HISTOGRAMS[name]) + 1):
            total += self[f"{name}:{number}"]
            found.append(total)
        return found

    @property
    def database_answered_at(self) -> float:
        """When the database last answered the fetcher (CLOCK_MONOTONIC seconds), 0 for never."""
        return self[_ANSWERED]


def read_counters(directory: Path) -> dict[str, Counts]:
    """Read the counters of all processes of a tree, dead ones included, and sum them by task type."""
    totals: dict[str, Counts] = {}
    for header, counts in read_files(directory, SUFFIX):
        totals.setdefault(header["task_type"], Counts()).add(counts)
    return totals


def read_files(directory: Path, suffix: str) -> Iterator[tuple[Mapping[str, str], Counts]]:
    """Yield what each file of counters with this suffix counts, and its values."""
    for path in directory.glob(f"*{suffix}"):
        try:
            data = path.read_bytes()
            (length,) = struct.unpack_from("=Q", data)
            header = json.loads(data[8 : 8 + length])
            values = struct.unpack_from(f"={len(header['names'])}d", data, 8 + length)
        except (OSError, ValueError, struct.error):
            continue  # it is just being created: its process has counted nothing yet
        yield header, Counts(zip(header["names"], values, strict=True))


def count_values(slots: memoryview[float], first: int, places: Iterable[int]) -> None:
    """Count values of a histogram whose first slot is `first`, each by its place in the histogram."""
    for place, number in Counter(places).items():
        slots[first + place] += number


def open_file(path: Path, counted: Mapping[str, str], names: Sequence[str]) -> memoryview[float]:
    """Map a file of counters with these names; create it if it is missing.

    Args:
        path: the file.
        counted: what it counts; it has at least a `task_type`.
        names: the names of the counters, in their order.
    """
    header = json.dumps({**counted, "names": names}).encode()
    header += b" " * (-len(header) % 8)
    start, size = 8 + len(header), 8 + len(header) + 8 * len(names)
    try:
        if not path.exists() or path.stat().st_size != size:
            draft = path.with_suffix(".new")
            draft.write_bytes(struct.pack("=Q", len(header)) + header + bytes(8 * len(names)))
            draft.rename(path)
        with path.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), size)
    except OSError as error:
        log.warning(
            "cannot count what happens to tasks of type %r: %s: %s", counted["task_type"], path, error
        )
        mapped = mmap.mmap(-1, size)
    return memoryview(mapped)[start:].cast("d")
