"""Counters of the recorded steps of a type, by the names of the steps.

A name has a file of its own from its first step on. So a type without steps has none, and costs nothing. Names come
from the code of handlers, which may make any number of them. So a type counts a bounded number of names.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from goque_supervisor.metrics.counters import Counters, Counts, read_files

SUFFIX: Final = ".step"
MOST: Final = 50
"""How many names of one type are counted by themselves."""

KEY: Final = 16
"""The characters of a name's hash in the name of its file."""

OTHER: Final = "other"
"""The label of the steps of all other names."""


class StepCounters:
    """Counts the recorded steps of one task type.

    Args:
        path: the file of the type's own counters; those of its steps are beside it.
        task_type: the type.
    """

    def __init__(self, path: str | os.PathLike[str], task_type: str) -> None:
        self._path = Path(path)
        self._task_type = task_type
        self._counters: dict[str, Counters] = {}
        self._known: set[Path] | None = None

    def recorded(self, name: str, seconds: float) -> None:
        """Count a step that is recorded, and how long it took."""
        label = label_of(name)
        counters = self._counters.get(label)
        if counters is None:
            counters = self._open(label)
        counters.count("steps")
        counters.count("step_seconds", max(0.0, seconds))

    def _open(self, label: str) -> Counters:
        """Open the file of a name, or that of all others if there are too many names."""
        if self._known is None:  # a fetcher that goes on with the files of another one keeps to its names
            self._known = {path for path in self._path.parent.iterdir() if self._is_ours(path)}
        path = self._path_of(label)
        if path not in self._known and len(self._known) >= MOST:
            label, path = OTHER, self._path_of(OTHER)
        else:
            self._known.add(path)
        counters = self._counters.get(label)
        if counters is None:
            counters = Counters(path, self._task_type, step=label)
            self._counters[label] = counters
        return counters

    def _is_ours(self, path: Path) -> bool:
        key = path.name.removeprefix(f"{self._path.stem}.").removesuffix(SUFFIX)
        return path.suffix == SUFFIX and len(key) == KEY

    def _path_of(self, label: str) -> Path:
        """Return the file of a name. It is hashed, because names of files must be short."""
        key = hashlib.sha256(label.encode("utf-8", "surrogatepass")).hexdigest()[:KEY]
        return self._path.with_name(f"{self._path.stem}.{key}{SUFFIX}")


def label_of(name: str) -> str:
    """Return the name under which a step is counted: `page-*` for page-17, an item of `each`."""
    head, _, number = name.rpartition("-")
    return f"{head}-*" if head and number.isascii() and number.isdigit() else name


def read_step_counters(directory: Path) -> dict[tuple[str, str], Counts]:
    """Read the counters of all steps that were recorded in a tree, by type and name."""
    totals: dict[tuple[str, str], Counts] = {}
    for header, counts in read_files(directory, SUFFIX):
        totals.setdefault((header["task_type"], header["step"]), Counts()).add(counts)
    return totals
