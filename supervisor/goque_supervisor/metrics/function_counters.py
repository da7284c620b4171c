"""Counters of the single functions of a type whose tasks call different functions, such as Django's tasks.

A function has a file of its own from its first run on. So the fetchers of other types have none, and cost nothing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from goque.identifiers import function_of, short_function
from goque.outcome import Change, Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.metrics.counters import Counters, Counts, read_files

SUFFIX: Final = ".function"
OTHER: Final = "other"
"""The label of all functions that are not known to exist: an enqueued task must not add a label."""


class _Call(msgspec.Struct):
    """The payload of a Django task, as far as it is read here."""

    task: str = ""


class FunctionCounters:
    """Counts the runs of each function of one task type.

    A function is known if the app has named it at its import, or if a task that calls it has succeeded: then a worker
    has imported it.

    Args:
        path: the file of the type's own counters; those of its functions are beside it.
        task_type: the type.
        functions: the functions that the app has named.
    """

    def __init__(self, path: str | os.PathLike[str], task_type: str, functions: Iterable[str]) -> None:
        self._path = Path(path)
        self._task_type = task_type
        self._functions = set(functions)
        self._counters: dict[str, Counters] = {}

    def settled(self, change: Change, outcome: Outcome, row: TaskRow) -> None:
        """Count the end of a run that was written, for the function that the task names."""
        function = function_of(row.type, row.external_id)
        if function not in self._functions:
            if outcome.kind is OutcomeKind.DONE and _calls(row, function):
                self._functions.add(function)
            else:
                function = OTHER
        counters = self._counters.get(function)
        if counters is None:
            counters = Counters(self._path_of(function), self._task_type, function)
            self._counters[function] = counters
        counters.settled(change, outcome, row, written=True)

    def _path_of(self, function: str) -> Path:
        """Return the file of a function. Its name is hashed, because names of files must be short."""
        key = hashlib.sha256(function.encode()).hexdigest()[:16]
        return self._path.with_name(f"{self._path.stem}.{key}{SUFFIX}")


def _calls(row: TaskRow, function: str) -> bool:
    """Return whether the payload of a task names the function that its external id names."""
    try:
        called = msgspec.json.decode(row.payload, type=_Call).task
    except (msgspec.MsgspecError, RecursionError, ValueError):
        return False
    return bool(function) and short_function(called) == function


def read_function_counters(directory: Path) -> dict[tuple[str, str], Counts]:
    """Read the counters of all functions that have run in a tree, by type and function."""
    totals: dict[tuple[str, str], Counts] = {}
    for header, counts in read_files(directory, SUFFIX):
        totals.setdefault((header["task_type"], header["function"]), Counts()).add(counts)
    return totals
