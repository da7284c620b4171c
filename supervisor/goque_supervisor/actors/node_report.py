"""The report about a tree in each heartbeat: its processes, their tasks, and their memory and CPU time.

The lease reads the kernel's files and the black boxes itself, so that it costs the root and the workers no time.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from goque.describe.node_info import (
    FunctionInfo,
    NodeInfo,
    PoolInfo,
    ProcessInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
)
from goque.telemetry.logs import one_line
from goque.version import __version__
from goque_supervisor.actors.memory_reader import MemoryReader
from goque_supervisor.ipc.blackbox import BlackBox
from goque_supervisor.ipc.box_records import Running
from goque_supervisor.ipc.os_process import Usage, usage_of
from goque_supervisor.metrics.counters import RUN_ENDS, Counts, read_counters
from goque_supervisor.metrics.function_counters import read_function_counters

log = logging.getLogger("goque.lease")

MAX_RUNS: Final = 10
MAX_FUNCTIONS: Final = 50
MAX_NOTE: Final = 60
"""How many characters of what a running task says of its progress are reported."""

RECENT: Final = 60.0
BOX_BUDGET: Final = 0.5
"""Seconds that one report may spend on black boxes; the remaining workers are shown without a task."""


class NodeReport:
    """Makes a report at each heartbeat, and keeps the counters of the last minute.

    Args:
        run_directory: the directory with the counters of the tree.
        app: the app, as `module:attribute`.
        node_timeout: seconds of silence after which other nodes declare the node dead.
    """

    def __init__(self, run_directory: Path, app: str, node_timeout: float) -> None:
        self._run_directory = run_directory
        self._app = app
        self._node_timeout = node_timeout
        self._history: deque[tuple[float, dict[tuple[str, str], Counts]]] = deque()
        self._usage: dict[int, tuple[float, Usage]] = {}
        self._boxes: dict[str, BlackBox] = {}
        self._memory = MemoryReader()

    def collect(self, state: Mapping[str, Any]) -> NodeInfo:
        """Describe the tree as it is now.

        Args:
            state: the root's last TreeState, with the list of processes under `processes`.
        """
        now = time.monotonic()
        self._remember(now, state["started_at"])
        processes, workers = self._processes(state["processes"], now)
        return NodeInfo(
            version=__version__,
            app=self._app,
            seconds=_short(now - state["started_at"]),
            node_timeout=self._node_timeout,
            recent_seconds=_short(now - self._history[0][0]),
            quiet=state["quiet"],
            stopping=state["stopping"],
            restarts=state["child_restarts"],
            types=tuple(self._type(task_type, group) for task_type, group in state["types"].items()),
            pools=tuple(
                _pool(name, group, tuple(workers.get(name, ()))) for name, group in state["pools"].items()
            ),
            processes=tuple(processes),
        )

    def _remember(self, now: float, started_at: float) -> None:
        counters = read_function_counters(self._run_directory)
        counters |= {(name, ""): counts for name, counts in read_counters(self._run_directory).items()}
        if not self._history:  # in a new tree all counts are recent, but not in an old one
            self._history.append((started_at, {}) if now - started_at <= RECENT else (now, counters))
        self._history.append((now, counters))
        while len(self._history) > 2 and self._history[1][0] <= now - RECENT:
            self._history.popleft()

    def _type(self, task_type: str, group: Mapping[str, Any]) -> TypeInfo:
        return TypeInfo(
            task_type,
            slots=group["slots"],
            living=group["workers"],
            ready=group["ready"],
            held=group["held"],
            functions=self._functions(task_type),
            **self._runs_of(task_type, ""),
        )

    def _functions(self, task_type: str) -> tuple[FunctionInfo, ...]:
        """Describe the functions of a type that have run, those with most recent runs first."""
        described = [
            FunctionInfo(function, **self._runs_of(task_type, function))
            for counted, function in self._history[-1][1]
            if counted == task_type and function
        ]
        described.sort(key=lambda one: (-sum(one.recent.values()), -sum(one.processed.values()), one.name))
        return tuple(described[:MAX_FUNCTIONS])

    def _runs_of(self, task_type: str, function: str) -> dict[str, Any]:
        """Return the runs of a type, or of one function of it: since the start of the tree, and recent ones."""
        newest = self._history[-1][1].get((task_type, function), Counts())
        before = self._history[0][1].get((task_type, function), Counts())
        recent = {end: int(newest[f"processed:{end}"] - before[f"processed:{end}"]) for end in RUN_ENDS}
        return {
            "processed": {end: count for end in RUN_ENDS if (count := int(newest[f"processed:{end}"]))},
            "recent": {end: count for end, count in recent.items() if count},
            "recent_run_seconds": round(newest["processing:sum"] - before["processing:sum"], 6),
        }

    def _processes(
        self, processes: list[dict[str, Any]], now: float
    ) -> tuple[list[ProcessInfo], dict[str, list[WorkerInfo]]]:
        others: list[ProcessInfo] = []
        workers: dict[str, list[WorkerInfo]] = {}
        used = {}
        memory = self._memory.read([entry["pid"] for entry in processes])
        for entry in processes:
            usage = usage_of(entry["pid"])
            before = self._usage.get(entry["pid"])
            facts: dict[str, Any] = {
                "name": entry["name"],
                "pid": entry["pid"],
                "seconds": _short(now - entry["started_at"]),
            }
            if usage is not None:
                used[entry["pid"]] = (now, usage)
                facts |= {"memory": memory.get(entry["pid"], usage.memory), "cpu": _share(before, now, usage)}
            if "pool" in entry:
                runs = self._runs(entry["box"], now) if time.monotonic() - now < BOX_BUDGET else []
                worker = WorkerInfo(
                    **facts,
                    state=entry["state"],
                    runs=tuple(runs[:MAX_RUNS]),
                    more=max(0, len(runs) - MAX_RUNS),
                )
                workers.setdefault(entry["pool"], []).append(worker)
            else:
                others.append(ProcessInfo(**facts))
        self._usage = used
        for path in self._boxes.keys() - {entry.get("box") for entry in processes}:
            self._boxes.pop(path).close()
        return others, workers

    def _runs(self, path: str, now: float) -> list[RunInfo]:
        """Return the running tasks of a worker, the longest running first; empty if the worker has just ended."""
        try:
            box = self._boxes.get(path) or self._boxes.setdefault(path, BlackBox(path))
        except (OSError, ValueError):
            return []
        running = sorted(box.read().running.values(), key=lambda run: run.started)
        return [_run(run, now) for run in running]

    def close(self) -> None:
        """Close the black boxes."""
        for box in self._boxes.values():
            box.close()
        self._boxes.clear()


def _run(run: Running, now: float) -> RunInfo:
    seconds = _short(max(0.0, now - run.started))
    if run.progress is None:
        return RunInfo(run.task_id, seconds)
    note = one_line(run.progress.note)[:MAX_NOTE]
    return RunInfo(run.task_id, seconds, _short(run.progress.fraction), note)


def _pool(name: str, group: Mapping[str, Any], workers: tuple[WorkerInfo, ...]) -> PoolInfo:
    return PoolInfo(
        name,
        types=tuple(group["types"]),
        slots=group["slots"],
        living=group["workers"],
        ready=group["ready"],
        held=group["held"],
        restarts=group["restarts"],
        workers=workers,
    )


def _share(before: tuple[float, Usage] | None, now: float, usage: Usage) -> float | None:
    """Return the number of CPUs used since the last report, or None if the pid may belong to another process now."""
    if before is None or now <= before[0] or usage.cpu_seconds < before[1].cpu_seconds:
        return None
    return round((usage.cpu_seconds - before[1].cpu_seconds) / (now - before[0]), 3)


def _short(seconds: float) -> float:
    return round(seconds, 3)
