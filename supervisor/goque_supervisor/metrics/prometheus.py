"""Makes Prometheus metrics from counters, the state that the root sends, and a sample of the queue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from goque.storage.contract import LimitLoad, QueueDepth
from goque.task_row import TaskStatus
from goque_supervisor.metrics.counters import ATTEMPTS, DURATIONS, RUN_ENDS, SIZES, UNREGISTERED, Counts

OPERATIONS: Final = ("fetch", "processing", "cleanup", "health")
RESTART_REASONS: Final = ("crash", "timeout", "memory", "tasks", "reload")


@dataclass(frozen=True)
class QueueSample:
    """What the monitor has read from the database, for all types of the table.

    Attributes:
        depths: how many unfinished tasks there are.
        paused: the types whose tasks no fetcher may claim.
        limits: how much of the limits of a type is in use; only types that have any.
    """

    depths: Sequence[QueueDepth] = ()
    paused: frozenset[str] = frozenset()
    limits: Mapping[str, LimitLoad] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Everything that metrics are made from, at one moment.

    Attributes:
        state: the root's last TreeState; {} before the first.
        counters: the counters by task type.
        queue: the last sample of the queue, None if there is no recent one.
        functions: the counters by task type and function, of types whose tasks call different functions.
        steps: the counters by task type and name of a recorded step.
    """

    state: Mapping[str, Any] = field(default_factory=dict)
    counters: Mapping[str, Counts] = field(default_factory=dict)
    queue: QueueSample | None = None
    functions: Mapping[tuple[str, str], Counts] = field(default_factory=dict)
    steps: Mapping[tuple[str, str], Counts] = field(default_factory=dict)

    @property
    def types(self) -> Mapping[str, Any]:
        """The task types that run here, with the state of their processes."""
        types: Mapping[str, Any] = self.state.get("types", {})
        return types

    @property
    def known_types(self) -> Sequence[str]:
        """The task types that the app registers, whether they run in this tree or in another one."""
        return [*dict.fromkeys((*self.types, *self.state.get("known_types", ())))]


def families(snapshot: Snapshot, service: str | None = None) -> Iterator[Metric]:
    """Yield every metric family of goque's own.

    Args:
        snapshot: what to report.
        service: the value of the label `service` of every metric, None for no such label.
    """
    for metric in (
        *_counted(snapshot),
        *_by_function(snapshot),
        *_by_step(snapshot),
        *_living(snapshot),
        *_queued(snapshot),
    ):
        if service is not None:
            metric.samples = [
                sample._replace(labels={**sample.labels, "service": service}) for sample in metric.samples
            ]
        yield metric


def _counted(snapshot: Snapshot) -> Iterator[Metric]:
    counters = {**dict.fromkeys(snapshot.types, Counts()), **snapshot.counters}
    processed = CounterMetricFamily(
        "goque_processed_tasks",
        "Runs of tasks, by the status that the task moved to.",
        labels=["task_type", "status"],
    )
    operations = CounterMetricFamily(
        "goque_operations",
        "Tasks that were claimed, run, deleted by the cleaner, or returned by the healer.",
        labels=["task_type", "operation"],
    )
    for task_type, counts in counters.items():
        for status in TaskStatus:
            if (total := counts[f"processed:{status}"]) or (status in RUN_ENDS and task_type != UNREGISTERED):
                processed.add_metric([task_type, status], total)
        done = (counts["fetched"], counts.buckets("processing")[-1], counts["cleaned"], counts["healed"])
        for operation, total in zip(OPERATIONS, done, strict=True):
            operations.add_metric([task_type, operation], total)
    yield processed
    yield operations
    for name, help_text in (
        ("decode_errors", "Runs whose payload did not decode."),
        ("stale_writes", "Results that changed nothing, because the run no longer held its task."),
        (
            "dropped_messages",
            "Messages that could not be decoded, or whose worker had died already.",
        ),
    ):
        full_name = "goque_payload_decode_errors" if name == "decode_errors" else f"goque_{name}"
        counter = CounterMetricFamily(full_name, help_text, labels=["task_type"])
        for task_type, counts in counters.items():
            counter.add_metric([task_type], counts[name])
        yield counter
    yield from _histograms(counters)


def _histograms(counters: Mapping[str, Counts]) -> Iterator[Metric]:
    durations = HistogramMetricFamily(
        "goque_task_processing_duration_seconds",
        "How long handlers, claims, cleanups and heals took.",
        labels=["task_type", "operation"],
    )
    attempts = HistogramMetricFamily(
        "goque_task_retry_attempts", "Charged attempts of tasks after a run, if any.", labels=["task_type"]
    )
    sizes = HistogramMetricFamily(
        "goque_task_payload_size_bytes", "Sizes of payloads, one for each run.", labels=["task_type"]
    )
    for task_type, counts in counters.items():
        for operation in OPERATIONS:
            _add(durations, [task_type, operation], counts, operation, DURATIONS)
        _add(attempts, [task_type], counts, "attempts", ATTEMPTS)
        _add(sizes, [task_type], counts, "payload", SIZES)
    yield durations
    yield attempts
    yield sizes


def _add(
    family: HistogramMetricFamily, labels: list[str], counts: Counts, name: str, bounds: Sequence[float]
) -> None:
    totals = counts.buckets(name)
    if totals[-1]:
        edges = [*map(str, bounds), "+Inf"]
        family.add_metric(labels, list(zip(edges, totals, strict=True)), counts[f"{name}:sum"])


def _by_function(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield what each function has run; nothing where no task names a function."""
    if not snapshot.functions:
        return
    processed = CounterMetricFamily(
        "goque_function_processed_tasks",
        "Runs of the tasks of one function, by the status that the task moved to.",
        labels=["task_type", "function", "status"],
    )
    durations = HistogramMetricFamily(
        "goque_function_processing_duration_seconds",
        "How long the runs of one function took.",
        labels=["task_type", "function"],
    )
    for (task_type, function), counts in sorted(snapshot.functions.items()):
        for status in TaskStatus:
            if (total := counts[f"processed:{status}"]) or status in RUN_ENDS:
                processed.add_metric([task_type, function, status], total)
        _add(durations, [task_type, function], counts, "processing", DURATIONS)
    yield processed
    yield durations


def _by_step(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield how often each step was recorded, and how long it took; nothing where no handler records any."""
    if not snapshot.steps:
        return
    recorded, seconds = (
        CounterMetricFamily(name, help_text, labels=["task_type", "step"])
        for name, help_text in (
            ("goque_steps", "Recorded steps, by their names."),
            ("goque_step_seconds", "Seconds that the recorded steps took in total."),
        )
    )
    for (task_type, step), counts in sorted(snapshot.steps.items()):
        recorded.add_metric([task_type, step], counts["steps"])
        seconds.add_metric([task_type, step], counts["step_seconds"])
    yield recorded
    yield seconds


def _living(snapshot: Snapshot) -> Iterator[Metric]:
    workers = GaugeMetricFamily(
        "goque_processors_workers_count", "Living worker processes.", labels=["task_type"]
    )
    restarts = CounterMetricFamily(
        "goque_worker_restarts", "Workers that were replaced, by reason.", labels=["task_type", "reason"]
    )
    pool_workers = GaugeMetricFamily(
        "goque_pool_workers", "Worker processes of a pool.", labels=["pool", "state"]
    )
    pool_size = GaugeMetricFamily("goque_pool_size", "Wanted workers for plain handlers.", labels=["pool"])
    for name, group in snapshot.state.get("pools", {}).items():
        for state, count in group["states"].items():
            pool_workers.add_metric([name, state], count)
        pool_size.add_metric([name], group["size"])
    for task_type, group in snapshot.types.items():
        workers.add_metric([task_type], group["workers"])
        for reason in RESTART_REASONS:
            restarts.add_metric([task_type, reason], group["restarts"].get(reason, 0))
    yield workers
    yield pool_workers
    yield pool_size
    yield restarts
    children = CounterMetricFamily("goque_child_restarts", "Restarts of other processes.", labels=["child"])
    for child, count in snapshot.state.get("child_restarts", {}).items():
        children.add_metric([child], count)
    yield children


def _queued(snapshot: Snapshot) -> Iterator[Metric]:
    if snapshot.queue is None:
        return  # no number is better than an old one
    counts: Counter[tuple[str, str]] = Counter()
    waited = dict.fromkeys(snapshot.known_types, 0.0)
    for seen in snapshot.queue.depths:
        task_type = seen.type if seen.type in snapshot.known_types else UNREGISTERED
        counts[task_type, seen.status] += seen.count
        waited[task_type] = max(waited.get(task_type, 0.0), seen.waited)
    depth = GaugeMetricFamily(
        "goque_queue_depth", "Tasks that are not finished.", labels=["task_type", "status"]
    )
    for task_type in waited:
        for status in TaskStatus:
            if not status.is_terminal:
                depth.add_metric([task_type, status], counts[task_type, status])
    yield depth
    latency = GaugeMetricFamily(
        "goque_queue_latency_seconds",
        "Seconds since the oldest due task that is not claimed became due.",
        labels=["task_type"],
    )
    for task_type, seconds in waited.items():
        latency.add_metric([task_type], seconds)
    yield latency
    paused = GaugeMetricFamily("goque_type_paused", "1 if the type is paused, else 0.", labels=["task_type"])
    for task_type in snapshot.known_types:
        paused.add_metric([task_type], float(task_type in snapshot.queue.paused))
    yield paused
    yield from _limited(snapshot, snapshot.queue, counts)


def _limited(
    snapshot: Snapshot, queue: QueueSample, counts: Mapping[tuple[str, str], int]
) -> Iterator[Metric]:
    """Yield how the limits of types are used; nothing where no type has limits."""
    loads = {name: queue.limits[name] for name in snapshot.known_types if name in queue.limits}
    if not loads:
        return
    running, size, waiting, next_start = (
        GaugeMetricFamily(f"goque_limit_{name}", help_text, labels=["task_type"])
        for name, help_text in (
            ("running", "Tasks that hold a place of their type's limits."),
            ("size", "How many tasks of the type may run at once."),
            ("waiting", "Tasks of a type with limits that are not claimed."),
            ("next_start_seconds", "Seconds until a rate lets the next task of the type start."),
        )
    )
    for task_type, load in loads.items():
        running.add_metric([task_type], load.running)
        if load.limits.limit is not None:
            size.add_metric([task_type], load.limits.limit)
        waiting.add_metric(
            [task_type], counts[task_type, TaskStatus.NEW] + counts[task_type, TaskStatus.ERROR]
        )
        next_start.add_metric([task_type], load.next_start)
    yield running
    yield size
    yield waiting
    yield next_start
