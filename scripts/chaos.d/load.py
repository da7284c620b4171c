"""An application that enqueues and cancels tasks during the run, and records which calls were acknowledged."""

from __future__ import annotations

import random
import threading
import time
from typing import Any, Final, Literal

from chaos_app import weights
from chaos_limits import TENANTS

from goque import Flow, Task, TaskQueueManager
from goque.errors import GoqueError

TYPES: Final = {"plain": 5, "wild": 2, "many": 4, "calm": 1, "narrow": 4, "keyed": 2}
FLOWS: Final = 0.15
"""How often a flow comes with the other tasks."""

PACED_AT_ONCE: Final = 40
PACED_EVERY: Final = 30.0
"""So many tasks of `paced` come at once, so often: more than may start at once, and fewer than may in that time."""


class Load:
    """Enqueues a few tasks at a time and cancels some of them, in a separate thread, until `stop` is called.

    Attributes:
        enqueued: ids of tasks whose enqueue was acknowledged.
        canceled: ids of tasks for which `cancel_task` returned True.
        edges: what the tasks of acknowledged flows need: the task, the need, and which end will do.
        unanswered: the number of calls that ended with a database error.
    """

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self.enqueued: list[str] = []
        self.canceled: list[str] = []
        self.unanswered = 0
        self.edges: list[tuple[str, str, str]] = []
        self._paced_at = 0.0
        self._random = random.Random(seed)
        self._rate = rate
        self._queue = TaskQueueManager(url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current call, and wait for its end."""
        self._stop.set()
        self._thread.join()
        self._queue.close()

    def _run(self) -> None:
        while not self._stop.wait(self._random.uniform(0.5, 1.5) / self._rate * 8):
            try:
                self._enqueue()
                if self._random.random() < FLOWS:
                    self._enqueue_flow()
                if self._random.random() < 0.5:
                    self._cancel()
            except GoqueError:
                self.unanswered += 1

    def _enqueue(self) -> None:
        self._add([self._task(self._pick(TYPES)) for _ in range(self._random.randint(1, 15))])
        if time.monotonic() >= self._paced_at:
            self._add([self._task("paced") for _ in range(PACED_AT_ONCE)])
            self._paced_at = time.monotonic() + PACED_EVERY

    def _enqueue_flow(self) -> None:
        """Insert a flow in which each task needs up to three of those before it."""
        flow = Flow("chaos")
        edges: list[tuple[str, str, str]] = []
        for _ in range(self._random.randint(2, 7)):
            before = flow.tasks
            needs = self._random.sample(before, min(len(before), self._random.randint(0, 3)))
            wants: Literal["done", "ended"] = "ended" if self._random.random() < 0.3 else "done"
            task = flow.add(self._task(self._pick(TYPES)), needs=needs, when=wants)
            edges += [(task.id, need.id, wants) for need in needs]
        self._queue.enqueue_flow(flow)
        self.enqueued += [task.id for task in flow.tasks]
        self.edges += edges

    def _add(self, tasks: list[Task]) -> None:
        self.enqueued += [task.id for task in self._queue.add_tasks(tasks)]

    def _task(self, task_type: str) -> Task:
        payload: dict[str, Any] = {"temper": self._pick(weights(task_type))}
        if task_type == "keyed":
            payload["tenant"] = self._random.choice(TENANTS)
        priority = self._random.choice([0, 0, 0, 5])
        return Task(task_type, payload, priority=priority, limit_key=payload.get("tenant"))

    def _cancel(self) -> None:
        task = self._random.choice(self.enqueued[-40:])
        if self._queue.cancel_task(task):
            self.canceled.append(task)

    def _pick(self, weighted: dict[str, int]) -> str:
        return self._random.choices(list(weighted), list(weighted.values()))[0]
