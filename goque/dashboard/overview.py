"""Computes what the overview and the types' page show. No I/O happens here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from goque.dashboard import formats
from goque.dashboard.charts import Chart, Series, bars, lines, spark
from goque.dashboard.history import SLOT, Picture
from goque.identifiers import function_of
from goque.storage.contract import NodeRow
from goque.storage.search_types import FailureLine

WINDOWS: Final = {"10m": (600, 10, "10 minutes"), "1h": (3600, 60, "hour")}
"""The period of a chart, and the seconds of each bar."""

USUAL_WINDOW: Final = "10m"
RATE_SECONDS: Final = 60


@dataclass(frozen=True)
class TypeView:
    """One line of the table of types; rates are per second, times in seconds."""

    name: str
    is_paused: bool
    is_published: bool
    new: int
    error: int
    pending: int
    processing: int
    blocked: int
    waited: float
    rate: float
    done: int
    gone: int
    failures: int
    median: float | None
    high: float | None
    spark: str

    @property
    def waiting(self) -> int:
        """The number of tasks that are not claimed."""
        return self.new + self.error


@dataclass(frozen=True)
class Trouble:
    """A group of failures; `name` is the type of its tasks, or the function that they call."""

    name: str
    cause: str
    text: str
    count: int
    tasks: int
    newest: FailureLine

    @property
    def path(self) -> str:
        """The page of the group; of failures from before there were groups, that of their newest task."""
        group = self.newest.failure_group
        return f"/failures/{group}" if group else f"/tasks/{self.newest.task_id}"


@dataclass(frozen=True)
class Overview:
    """The data of the overview."""

    types: list[TypeView]
    throughput: Chart
    latency: Chart
    troubles: list[Trouble]
    failures: Sequence[FailureLine]
    waiting: int
    blocked: int
    running: int
    rate: float
    failed: int
    waited: float
    slowest: str
    alive: int
    gone_nodes: int


def overview(picture: Picture, nodes: Sequence[NodeRow], window: str, now: datetime) -> Overview:
    """Make the overview from the known state of a queue."""
    types = types_of(picture, now)
    longest = max(types, key=lambda one: one.waited, default=None)
    recent = [line for line in picture.failures if _age(line, now) < WINDOWS[window][0]]
    return Overview(
        types=types,
        throughput=throughput(picture, window, now),
        latency=latency(picture, window, now),
        troubles=troubles(line for line in picture.failures if _age(line, now) < 3600),
        failures=picture.failures[:8],
        waiting=sum(one.waiting for one in types),
        blocked=sum(one.blocked for one in types),
        running=sum(one.processing + one.pending for one in types),
        rate=sum(one.rate for one in types),
        failed=len(recent),
        waited=longest.waited if longest else 0.0,
        slowest=longest.name if longest and longest.waited else "",
        alive=sum(node.state == "alive" for node in nodes),
        gone_nodes=sum(node.state == "dead" for node in nodes),
    )


def types_of(picture: Picture, now: datetime) -> list[TypeView]:
    """Return a line for each type."""
    depths: dict[str, dict[str, int]] = defaultdict(dict)
    waited: dict[str, float] = defaultdict(float)
    for depth in picture.depths:
        depths[depth.type][depth.status] = depth.count
        waited[depth.type] = max(waited[depth.type], depth.waited)
    failures: dict[str, int] = defaultdict(int)
    for line in picture.failures:
        if _age(line, now) < 3600:
            failures[line.type] += 1
    return [
        _type_view(picture, name, now, depth=depths[name], waited=waited[name], failures=failures[name])
        for name in sorted({*picture.types, *depths})
    ]


def busiest_first(types: Iterable[TypeView]) -> list[TypeView]:
    """Sort types by what waits and runs, then by what was done."""
    return sorted(types, key=lambda one: (-one.waiting - one.processing - one.pending, -one.done, one.name))


def _type_view(
    picture: Picture, name: str, now: datetime, *, depth: Mapping[str, int], waited: float, failures: int
) -> TypeView:
    ended = picture.ended.get(name, {})
    done = ended.get("done", {})
    policy = picture.policies.get(name)
    since = now.timestamp() - 600
    times = sorted(
        seconds for slot, some in picture.latencies.get(name, {}).items() if slot >= since for seconds in some
    )
    return TypeView(
        name=name,
        is_paused=bool(policy and policy.paused),
        is_published=policy is not None,
        new=depth.get("new", 0),
        error=depth.get("error", 0),
        pending=depth.get("pending", 0),
        processing=depth.get("processing", 0),
        blocked=depth.get("blocked", 0),
        waited=waited,
        rate=rate(done, now),
        done=sum(done.values()),
        gone=sum(ended.get("attempts_left", {}).values()),
        failures=failures,
        median=quantile(times, 0.5),
        high=quantile(times, 0.95),
        spark=spark(_sums([done], _starts(600, 20, now)[:-1], 20)),
    )


def throughput(picture: Picture, window: str, now: datetime, task_type: str | None = None) -> Chart:
    """Draw the ended tasks by status, and the failed attempts with a retry."""
    span, step, _ = WINDOWS[window]
    starts = _starts(span, step, now)
    kinds = [kinds for name, kinds in picture.ended.items() if task_type in (None, name)]
    failed: dict[int, int] = defaultdict(int)
    for line in picture.failures:
        if task_type in (None, line.type):
            failed[int(line.ended_at.timestamp()) // SLOT * SLOT] += 1
    ways = [("done", "done", "done"), ("canceled", "canceled", "canceled")]
    known = [start >= picture.known_since for start in starts]
    series = [
        Series(name, kind, _known(known, _sums([one.get(status, {}) for one in kinds], starts, step)))
        for name, kind, status in ways
    ]
    series.append(Series("failed attempts", "failed", _known(known, _sums([failed], starts, step))))
    title = f"Ended, each {step} s"
    return bars(title, series, starts, formats.short_count, empty="nothing has ended in this time")


def latency(picture: Picture, window: str, now: datetime, task_type: str | None = None) -> Chart:
    """Draw the time from due to done, as p95 and p50."""
    span, step, _ = WINDOWS[window]
    starts = _starts(span, step, now)
    times: dict[int, list[float]] = defaultdict(list)
    for name, slots in picture.latencies.items():
        if task_type in (None, name):
            for slot, some in slots.items():
                times[slot // step * step] += some
    ordered = [sorted(times.get(start, ())) for start in starts]
    series = [
        Series("p95", "high", [quantile(some, 0.95) for some in ordered]),
        Series("p50", "median", [quantile(some, 0.5) for some in ordered]),
    ]
    return lines(
        "Latency: from due to done", series, starts, formats.seconds, empty="nothing was done in this time"
    )


def troubles(failures: Iterable[FailureLine], most: int = 8) -> list[Trouble]:
    """Put failures together that are of one group, the most frequent first."""
    groups: dict[str, list[FailureLine]] = defaultdict(list)
    for line in failures:
        groups[line.failure_group or f"{line.type} {line.cause} {formats.last_line(line.error)}"].append(line)
    found = [
        Trouble(
            name_of(one[0]), one[0].cause, one[0].error, len(one), len({line.task_id for line in one}), one[0]
        )
        for one in groups.values()
    ]
    return sorted(found, key=lambda one: one.count, reverse=True)[:most]


def name_of(line: FailureLine) -> str:
    """Return the function that a task calls if its external id names one, else its type; empty if it is deleted."""
    return function_of(line.type, line.external_id) or line.type


def rate(slots: Mapping[int, int], now: datetime) -> float:
    """Return how many tasks ended per second, over about the last minute."""
    start = (int(now.timestamp()) - RATE_SECONDS) // SLOT * SLOT
    seconds = max(1.0, now.timestamp() - start)
    return sum(count for slot, count in slots.items() if slot >= start) / seconds


def quantile(ordered: Sequence[float], part: float) -> float | None:
    """Return a quantile of sorted values; None if there are none."""
    return ordered[max(0, math.ceil(len(ordered) * part) - 1)] if ordered else None


def _starts(span: int, step: int, now: datetime) -> list[int]:
    last = int(now.timestamp()) // step * step
    return list(range(last - span + step, last + 1, step))


def _sums(slots: Iterable[Mapping[int, int]], starts: Sequence[int], step: int) -> list[float]:
    totals: dict[int, int] = defaultdict(int)
    for some in slots:
        for slot, count in some.items():
            totals[slot // step * step] += count
    return [float(totals.get(start, 0)) for start in starts]


def _known(known: Sequence[bool], values: Sequence[float]) -> list[float | None]:
    return [value if is_known else None for is_known, value in zip(known, values, strict=True)]


def _age(line: FailureLine, now: datetime) -> float:
    return (now - line.ended_at).total_seconds()
