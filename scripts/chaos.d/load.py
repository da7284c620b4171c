"""An application that enqueues and cancels tasks during the run, and records which calls were acknowledged."""

from __future__ import annotations

import random
import threading

from chaos_app import weights

from goque import Task, TaskQueueManager
from goque.errors import GoqueError

TYPES = {"plain": 5, "wild": 2, "many": 4, "calm": 1}


class Load:
    """Enqueues a few tasks at a time and cancels some of them, in a separate thread, until `stop` is called.

    Attributes:
        enqueued: ids of tasks whose enqueue was acknowledged.
        canceled: ids of tasks for which `cancel_task` returned True.
        unanswered: the number of calls that ended with a database error.
    """

    def __init__(self, url: str, seed: int, rate: float) -> None:
        self.enqueued: list[str] = []
        self.canceled: list[str] = []
        self.unanswered = 0
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
                if self._random.random() < 0.5:
                    self._cancel()
            except GoqueError:
                self.unanswered += 1

    def _enqueue(self) -> None:
        count = self._random.randint(1, 15)
        tasks = self._queue.add_tasks([self._task() for _ in range(count)])
        self.enqueued += [task.id for task in tasks]

    def _task(self) -> Task:
        task_type = self._pick(TYPES)
        temper = self._pick(weights(task_type))
        return Task(task_type, {"temper": temper}, priority=self._random.choice([0, 0, 0, 5]))

    def _cancel(self) -> None:
        task = self._random.choice(self.enqueued[-40:])
        if self._queue.cancel_task(task):
            self.canceled.append(task)

    def _pick(self, weighted: dict[str, int]) -> str:
        return self._random.choices(list(weighted), list(weighted.values()))[0]
