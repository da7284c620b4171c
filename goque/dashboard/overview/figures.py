"""Computes the figures and the charts of a queue over a range of time. No I/O happens here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final, Literal

from goque.dashboard import formats
from goque.dashboard.overview.charts import Chart, Series, bars, lines, spark
from goque.dashboard.readings.history import SLOT, Picture
from goque.dashboard.readings.past import RangeSums
from goque.dashboard.readings.ranges import Range
from goque.describe.run_counts import RunCounts, quantile
from goque.describe.task_state import lasting
from goque.identifiers import function_of
from goque.storage.search_types import FailureLine

RATE_SECONDS: Final = 60
SPARK_POINTS: Final = 30

Types = Collection[str] | None
"""The names of some types; None for all."""

End = Literal["done", "canceled", "failed", "gone"]
"""How a run ended; `failed` is any failed attempt, `gone` one after which no attempt was left."""


@dataclass(frozen=True)
class Times:
    """Percentiles of durations in seconds; None if there were none."""

    p50: float | None
    p95: float | None


@dataclass(frozen=True)
class TypeView:
    """One line of the table of types; counts of ends and times are those of the range.

    Attributes:
        waited: for how many seconds the oldest task has been due.
        rate: tasks done per second in the last minute.
        gone: how many tasks failed for good.
        failures: how many attempts failed.
        run: how long the handlers ran.
        wait: how long after they were due the tasks started.
    """

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
    run: Times
    wait: Times
    spark: str

    @property
    def waiting(self) -> int:
        """The number of tasks that are not claimed."""
        return self.new + self.error

    @property
    def running(self) -> int:
        """The number of claimed tasks."""
        return self.pending + self.processing


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


class Figures:
    """The figures of a queue over a range of time.

    Args:
        picture: what was counted in the last hour, and what is in the table now.
        sums: the roll-ups of the range.
        over: the range.
        now: the present.
    """

    def __init__(self, picture: Picture, sums: RangeSums, over: Range, now: datetime) -> None:
        self._picture = picture
        self._sums = sums
        self._range = over
        self._now = now
        self._since = now.timestamp() - over.seconds

    @cached_property
    def types(self) -> list[TypeView]:
        """A line for each type."""
        depths: dict[str, dict[str, int]] = defaultdict(dict)
        waited: dict[str, float] = defaultdict(float)
        for depth in self._picture.depths:
            depths[depth.type][depth.status] = depth.count
            waited[depth.type] = max(waited[depth.type], depth.waited)
        names = sorted({*self._picture.types, *depths})
        return [self._type_view(name, depths[name], waited[name]) for name in names]

    def _type_view(self, name: str, depth: Mapping[str, int], waited: float) -> TypeView:
        policy = self._picture.policies.get(name)
        one = (name,)
        step = max(self._range.step, self._range.seconds // SPARK_POINTS)
        done = self._by_start("done", one, _starts(self._range.seconds, step, self._now)[:-1], step)
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
            rate=self.rate(one),
            done=self.number("done", one),
            gone=self.number("gone", one),
            failures=self.number("failed", one),
            run=self.run_times(one),
            wait=self.waits(one),
            spark=spark([value or 0 for value in done]),
        )

    def rate(self, types: Types = None) -> float:
        """Return how many tasks were done per second, over about the last minute."""
        now = self._now.timestamp()
        start = (int(now) - RATE_SECONDS) // SLOT * SLOT
        done = sum(count for slot, count in self._counted_in_table("done", types) if slot >= start)
        return done / max(1.0, now - start)

    def number(self, end: End, types: Types = None) -> int:
        """Return how many runs ended so in the range."""
        if not self._range.is_counted:
            return sum(_count(counts, end) for counts in self._of_types(types))
        return sum(count for slot, count in self._slots(end, types) if slot >= self._since)

    def run_times(self, types: Types = None) -> Times:
        """Return how long handlers ran in the range."""
        return self._times(types, lambda counts: counts.run)

    def waits(self, types: Types = None) -> Times:
        """Return how long after they were due the tasks of the range started."""
        return self._times(types, lambda counts: counts.wait)

    def throughput(self, types: Types = None) -> Chart:
        """Draw the ended tasks by status, and the failed attempts."""
        step = self._range.step
        starts = _starts(self._range.seconds, step, self._now)
        ways: list[tuple[str, str, End]] = [
            ("done", "done", "done"),
            ("canceled", "canceled", "canceled"),
            ("failed attempts", "failed", "failed"),
        ]
        series = [Series(name, kind, self._by_start(end, types, starts, step)) for name, kind, end in ways]
        title = f"Ended, each {lasting(step)}"
        return bars(title, series, starts, formats.short_count, empty="Nothing ended in this time.")

    def run_chart(self, types: Types = None) -> Chart:
        """Draw how long handlers ran."""
        return self._line_chart("Run time", "Nothing ran in this time.", types, lambda counts: counts.run)

    def wait_chart(self, types: Types = None) -> Chart:
        """Draw how long tasks waited from when they were due until they started."""
        title = "Latency: from due to start"
        return self._line_chart(title, "Nothing started in this time.", types, lambda counts: counts.wait)

    def _line_chart(
        self, title: str, empty: str, types: Types, of: Callable[[RunCounts], Mapping[int, int]]
    ) -> Chart:
        step = self._range.times_step
        starts = _starts(self._range.seconds, step, self._now)
        points = self._points(types)
        series = [
            Series(name, kind, [quantile(of(points[start]), part) for start in starts])
            for name, kind, part in (("p95", "high", 0.95), ("p50", "median", 0.5))
        ]
        return lines(title, series, starts, formats.seconds, empty=empty)

    def _points(self, types: Types) -> Mapping[int, RunCounts]:
        """Return the counts of some types by the point of a chart."""
        points: dict[int, RunCounts] = defaultdict(RunCounts)
        if types is None:
            points.update(self._sums.by_point)
            return points
        step = self._range.times_step
        for name in types:
            for slot, counts in self._sums.runs.get(name, {}).items():
                points[slot // step * step].add(counts)
        return points

    def _times(self, types: Types, of: Callable[[RunCounts], Mapping[int, int]]) -> Times:
        sums: dict[int, int] = defaultdict(int)
        for counts in self._of_types(types):
            for bucket, number in of(counts).items():
                sums[bucket] += number
        return Times(quantile(sums, 0.5), quantile(sums, 0.95))

    def _of_types(self, types: Types) -> Iterable[RunCounts]:
        """Return the sums of some types over the range."""
        by_type = self._sums.by_type
        return by_type.values() if types is None else [by_type[name] for name in types if name in by_type]

    def _by_start(self, end: End, types: Types, starts: Sequence[int], step: int) -> list[float | None]:
        """Return how many runs ended so from each of these starts on; None for what is not counted yet."""
        totals: dict[int, int] = defaultdict(int)
        for slot, count in self._slots(end, types):
            totals[slot // step * step] += count
        is_counted, known = self._range.is_counted, self._picture.known_since
        return [float(totals.get(start, 0)) if not is_counted or start >= known else None for start in starts]

    def _slots(self, end: End, types: Types) -> Iterable[tuple[int, int]]:
        """Return slots, each with how many runs ended so in it; a slot may come several times."""
        return self._counted_in_table(end, types) if self._range.is_counted else self._rolled_up(end, types)

    def _counted_in_table(self, end: End, types: Types) -> Iterable[tuple[int, int]]:
        if end == "failed":
            failed = self._failed
            return (
                one for name in (failed if types is None else types) for one in failed.get(name, {}).items()
            )
        ended = self._picture.ended
        status = "attempts_left" if end == "gone" else end
        return (
            one
            for name in (ended if types is None else types)
            for one in ended.get(name, {}).get(status, {}).items()
        )

    @cached_property
    def _failed(self) -> Mapping[str, Mapping[int, int]]:
        """The number of failed attempts by type and second."""
        failed: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
        for line in self._picture.failures:
            failed[line.type][int(line.ended_at.timestamp())] += 1
        return dict(failed)

    def _rolled_up(self, end: End, types: Types) -> Iterable[tuple[int, int]]:
        runs = self._sums.runs
        points = (
            self._sums.by_point.items()
            if types is None
            else (one for name in types for one in runs.get(name, {}).items())
        )
        return ((slot, count) for slot, counts in points if (count := _count(counts, end)))


def _count(counts: RunCounts, end: End) -> int:
    """Return how many runs ended so."""
    if end == "failed":
        return counts.failed
    return counts.ends.get("attempts_left" if end == "gone" else end, 0)


def busiest_first(types: Iterable[TypeView]) -> list[TypeView]:
    """Sort types by what waits and runs, then by what was done."""
    return sorted(types, key=lambda one: (-one.waiting - one.running, -one.done, one.name))


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


def recent(failures: Iterable[FailureLine], now: datetime, seconds: float = 3600) -> list[FailureLine]:
    """Return the failures of the last time."""
    return [line for line in failures if (now - line.ended_at).total_seconds() < seconds]


def _starts(span: int, step: int, now: datetime) -> list[int]:
    last = int(now.timestamp()) // step * step
    return list(range(last - span + step, last + 1, step))
