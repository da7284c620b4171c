"""The monitor: collects the state of the whole tree, and serves /metrics, /healthz and /readyz over HTTP.

It only reads, so its death loses nothing. It reads counters from files (counters.py), the app's metrics from the files
of prometheus-client (user_metrics.py), and the state of the tree from the root's messages, one each second. A tree
without an address for HTTP has no monitor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from goque_supervisor.actors.actor import Actor
from goque_supervisor.actors.health import not_alive, not_ready
from goque_supervisor.actors.http_server import Answer, json_answer, serve
from goque_supervisor.actors.run_summary import RunSummary
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Message, TreeState
from goque_supervisor.metrics.counters import read_counters
from goque_supervisor.metrics.function_counters import read_function_counters
from goque_supervisor.metrics.prometheus import QueueSample, Snapshot, families
from goque_supervisor.metrics.step_counters import read_step_counters
from goque_supervisor.metrics.user_metrics import UserMetrics

TIDY_PERIOD: Final = 5.0
QUEUE_PERIOD: Final = 2.0
QUEUE_FRACTION: Final = 0.02
"""The maximum fraction of the time that reading the queue may take."""

MAX_SAMPLE_AGE: Final = 30.0


class Monitor(Actor):
    """Collects the state and the metrics of the tree, and answers HTTP requests."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.state: dict[str, Any] = {}
        self.heard_at = time.monotonic()
        self.run_directory = Path(boot["run_directory"])
        self.service: str | None = boot["service_name"]
        self.user_metrics = UserMetrics(Path(boot["metrics"])) if boot["metrics"] else None
        self._queue = QueueSample()
        self._sampled_at = self._sample_at = self._tidy_at = 0.0
        self._lock = threading.Lock()
        self._summary = RunSummary(self.run_directory, self.log)

    def start(self) -> None:
        """Start the HTTP server."""
        registry = CollectorRegistry()
        registry.register(self)
        pages = {
            "/metrics": lambda: (200, CONTENT_TYPE_LATEST, generate_latest(registry)),
            "/healthz": self._health,
            "/readyz": self._readiness,
        }
        url = serve(self.boot["http"], pages, self.log)
        self.log.info("serving /metrics, /healthz and /readyz on %s", url)

    def run_once(self) -> float:
        """Sample the queue and tidy metrics; once a minute, log how many tasks ended."""
        now = time.monotonic()
        self._summary.log_if_due(now)
        if now >= self._tidy_at:
            self._tidy_at = now + TIDY_PERIOD
            self._tidy()
        due = [self._summary.due_at, self._tidy_at]
        if self.state.get("lease"):  # before, an embedded database may have no tables yet
            if now >= self._sample_at:
                self._sample_queue()
            due.append(self._sample_at)
        return max(0.0, min(due) - time.monotonic())

    def on_message(self, message: Message) -> None:
        """Keep the state of the tree."""
        if isinstance(message, TreeState):
            self.state = message.state
            self.heard_at = time.monotonic()
        else:
            super().on_message(message)

    def snapshot(self) -> Snapshot:
        """Return the current state, counters and queue sample."""
        fresh = time.monotonic() - self._sampled_at < MAX_SAMPLE_AGE
        return Snapshot(
            self.state,
            read_counters(self.run_directory),
            self._queue if fresh else None,
            read_function_counters(self.run_directory),
            read_step_counters(self.run_directory),
        )

    def collect(self) -> Iterator[Metric]:
        """Yield every metric of the tree, goque's own and the app's."""
        ours = list(families(self.snapshot(), self.service))
        yield from ours
        if self.user_metrics is not None:
            names = {metric.name for metric in ours}
            with self._lock:
                theirs = list(self.user_metrics.collect())
            yield from (metric for metric in theirs if metric.name not in names)

    def describe(self) -> list[Metric]:
        """Return nothing, so that registering does not collect."""
        return []

    def _sample_queue(self) -> None:
        began = time.monotonic()
        depths = self.storage.queue_depths()
        policies = self.storage.type_policies()
        paused = frozenset(name for name, policy in policies.items() if policy.paused)
        limits = {
            name: self.storage.limit_load(policy) for name, policy in policies.items() if policy.is_limited
        }
        self._queue = QueueSample(depths, paused, limits)
        self._sampled_at = time.monotonic()
        self._sample_at = self._sampled_at + max(QUEUE_PERIOD, (self._sampled_at - began) / QUEUE_FRACTION)

    def _tidy(self) -> None:
        if self.user_metrics is None:
            return
        try:
            with self._lock:
                self.user_metrics.tidy()
        except OSError as error:
            self.log.warning("the metrics of dead processes could not be summed: %s", error)

    def _health(self) -> Answer:
        reasons = not_alive(self.heard_at, time.monotonic())
        return json_answer(503 if reasons else 200, {"alive": not reasons, "reasons": reasons})

    def _readiness(self) -> Answer:
        reasons = not_ready(self.snapshot(), self.heard_at, time.monotonic())
        return json_answer(503 if reasons else 200, {"ready": not reasons, "reasons": reasons})


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the monitor in this process."""
    Monitor(boot, channel).run()
