"""The monitor: one place that knows how the whole tree does; /metrics, /healthz and /readyz over HTTP."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from goque.errors import ConfigurationError
from goque.task import TERMINAL_STATUSES
from goque_supervisor.actor import Actor
from goque_supervisor.control import Channel, Message, Metrics, TreeState

SUMMARY_PERIOD: Final = 60.0
COUNTS_AGE: Final = 5.0


class Monitor(Actor):
    """Sums what fetchers count over all their incarnations, and answers those who ask."""

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.state: dict[str, Any] = {}
        self.heard_at = time.monotonic()
        self.lock = threading.Lock()
        self._counters: dict[tuple[str, int], dict[str, Any]] = {}
        self._reported: Counter[str] = Counter()
        self._summary_at = time.monotonic() + SUMMARY_PERIOD

    def start(self) -> None:
        """Open the endpoint, if one is asked for."""
        if self.boot["http"]:
            server = _listen(self.boot["http"], self)
            threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
            self.log.info("serving /metrics, /healthz and /readyz on http://%s", self.boot["http"])

    def run_once(self) -> float:
        """Once a minute say what was done, if anything was."""
        now = time.monotonic()
        if now >= self._summary_at:
            self._summary_at = now + SUMMARY_PERIOD
            self._log_summary()
        return self._summary_at - now

    def on_message(self, message: Message) -> None:
        """Take in counters and the state of the tree."""
        with self.lock:
            match message:
                case Metrics(task_type, epoch, counters):
                    self._counters[task_type, epoch] = counters
                case TreeState(state):
                    self.state = state
                    self.heard_at = time.monotonic()
                case _:
                    super().on_message(message)

    def totals(self) -> dict[str, Counter[str]]:
        """Return the counters by type, over all fetchers that this type has had."""
        totals: dict[str, Counter[str]] = {}
        with self.lock:
            for (task_type, _epoch), counters in self._counters.items():
                totals.setdefault(task_type, Counter()).update(counters)
        return totals

    def readiness(self) -> dict[str, str]:
        """Return what is not ready, by name; empty when all is."""
        with self.lock:
            state = self.state
        if not state:
            return {"tree": "starting"}
        reasons = {}
        if state["stopping"]:
            reasons["tree"] = "stopping"
        if not state["lease"]:
            reasons["lease"] = "no heartbeat is written"
        for task_type, group in state["types"].items():
            if not group["fetcher"]:
                reasons[task_type] = "no fetcher"
            elif not group["ready"]:
                reasons[task_type] = "no worker boots" if group["held"] else "no worker is ready"
        return reasons

    def _log_summary(self) -> None:
        now: Counter[str] = Counter()
        for counters in self.totals().values():
            now.update({name: count for name, count in counters.items() if name.startswith("processed:")})
        recent = now - self._reported
        self._reported = now
        if recent:
            parts = ", ".join(f"{count} {name.partition(':')[2]}" for name, count in sorted(recent.items()))
            self.log.info("in the last minute: %s", parts)


class TreeCollector:
    """Makes Prometheus metrics of what the monitor knows, whenever they are asked for."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._depths: tuple[float, list[Any]] = (0.0, [])

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        processed = CounterMetricFamily(
            "goque_processed_tasks",
            "Runs of tasks by the status they led to.",
            labels=["task_type", "status"],
        )
        operations = CounterMetricFamily(
            "goque_operations", "Tasks that went through an operation.", labels=["task_type", "operation"]
        )
        undecodable = CounterMetricFamily(
            "goque_payload_decode_errors", "Runs whose payload did not decode.", labels=["task_type"]
        )
        for task_type, counters in self._monitor.totals().items():
            undecodable.add_metric([task_type], counters["decode_errors"])
            for name, count in counters.items():
                if name.startswith("processed:"):
                    processed.add_metric([task_type, name.partition(":")[2]], count)
            operations.add_metric([task_type, "fetch"], counters["fetched"])
            operations.add_metric([task_type, "processing"], counters["runs"])
        yield processed
        yield operations
        yield undecodable
        yield from self._tree()
        yield self._depth()

    def _tree(self) -> Iterator[Metric]:
        with self._monitor.lock:
            state = self._monitor.state
        workers = GaugeMetricFamily(
            "goque_processors_workers_count", "Living worker processes.", labels=["task_type"]
        )
        for task_type, group in state.get("types", {}).items():
            workers.add_metric([task_type], group["workers"])
        yield workers
        restarts = CounterMetricFamily("goque_child_restarts", "Restarts by role.", labels=["child"])
        for role, count in state.get("child_restarts", {}).items():
            restarts.add_metric([role], count)
        yield restarts
        worker_restarts = CounterMetricFamily(
            "goque_worker_restarts", "Restarts of workers.", labels=["task_type", "reason"]
        )
        for task_type, group in state.get("types", {}).items():
            for reason, count in group["restarts"].items():
                worker_restarts.add_metric([task_type, reason], count)
        yield worker_restarts

    def _depth(self) -> Metric:
        depth = GaugeMetricFamily(
            "goque_queue_depth", "Tasks that are not finished.", labels=["task_type", "status"]
        )
        known = set(self._monitor.state.get("types", {}))
        sums: Counter[tuple[str, str]] = Counter()
        for count in self._counts():
            if count.status not in TERMINAL_STATUSES:
                sums[count.type if count.type in known else "unregistered", count.status] += count.count
        for (task_type, status), total in sums.items():
            depth.add_metric([task_type, status], total)
        return depth

    def _counts(self) -> list[Any]:
        asked, counts = self._depths
        if time.monotonic() - asked > COUNTS_AGE:
            counts = list(self._monitor.storage.count_tasks())
            self._depths = (time.monotonic(), counts)
        return counts


def _listen(address: str, monitor: Monitor) -> ThreadingHTTPServer:
    registry = CollectorRegistry()
    registry.register(TreeCollector(monitor))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, content_type, body = _answer(self.path, monitor, registry)
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            monitor.log.debug("http: %s", format % args)

    host, _, port = address.rpartition(":")
    try:
        server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
    except OSError as error:
        raise ConfigurationError(
            f"--http {address} cannot be opened: {error.strerror}; choose another address or port"
        ) from error
    server.daemon_threads = True
    return server


def _answer(path: str, monitor: Monitor, registry: CollectorRegistry) -> tuple[int, str, bytes]:
    match path.partition("?")[0]:
        case "/metrics":
            return 200, CONTENT_TYPE_LATEST, generate_latest(registry)
        case "/healthz":
            alive = time.monotonic() - monitor.heard_at < 15
            return (200 if alive else 503), "application/json", json.dumps({"alive": alive}).encode()
        case "/readyz":
            reasons = monitor.readiness()
            body = json.dumps({"ready": not reasons, "reasons": reasons}).encode()
            return (503 if reasons else 200), "application/json", body
        case _:
            return 404, "text/plain; charset=utf-8", b"try /metrics, /healthz or /readyz\n"


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the monitor in this process."""
    Monitor(boot, channel).run()
