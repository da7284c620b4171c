"""What people ask of `goque top`: orders, carried out one after the other in a thread that has the database to itself.

So a database that hangs never keeps a key from being heard. Whatever goes wrong becomes a sentence on the screen.
"""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from goque.cli.cancel_reset import reset_all
from goque.describe.overview import FAILED, Overview, look
from goque.errors import DatabaseUnavailableError, GoqueError, TaskStateError
from goque.storage import TaskStorage
from goque.task import TaskFilter, TaskRow, TaskStatus

MAX_TASKS: Final = 200
ROOT_NAME: Final = "goque:root"


@dataclass(frozen=True)
class Order:
    """What is wanted.

    Attributes:
        verb: pause, resume, reset-type, tasks, cancel, reset, drain, wake or look.
        name: the type, the task's id, or the node's host.
        task_type: whose failed tasks are to be read again afterwards, None for nobody's.
        pid: the supervisor, for drain and wake.
    """

    verb: str
    name: str = ""
    task_type: str | None = None
    pid: int = 0


@dataclass(frozen=True)
class Answer:
    """What the database said to an order, or at the next look.

    Attributes:
        seen: how everything stands, None where that could not be told.
        done: the order, where it was carried out.
        message: what became of the order.
        trouble: why the database does not answer, without its URL; empty if it does.
        tasks, task_type: the newest failed tasks of a type, where they were asked for.
    """

    seen: Overview | None = None
    done: Order | None = None
    message: str = ""
    trouble: str = ""
    tasks: Sequence[TaskRow] | None = None
    task_type: str | None = None


class Desk(threading.Thread):
    """Looks at the database every so often, and carries out orders in between.

    Args:
        storage: nobody else uses it meanwhile.
        interval: seconds between looks.
        tell: called in this thread with each answer.
    """

    def __init__(self, storage: TaskStorage, interval: float, tell: Callable[[Answer], None]) -> None:
        super().__init__(name="top", daemon=True)
        self._storage = storage
        self._interval = interval
        self._tell = tell
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()

    def give(self, order: Order) -> None:
        """Have an order carried out."""
        self._orders.put(order)

    def close(self, patience: float) -> bool:
        """Carry out nothing more; returns whether the thread has ended within so many seconds."""
        self._orders.put(None)
        self.join(patience)
        return not self.is_alive()

    def run(self) -> None:
        """Work until closed."""
        order: Order | None = Order("look")
        while order is not None:
            self._tell(answer_to(order, self._storage))
            try:
                order = self._orders.get(timeout=self._interval)
            except queue.Empty:
                order = Order("look")


def answer_to(order: Order, storage: TaskStorage) -> Answer:
    """Carry out an order and look at how everything stands then."""
    message, done, tasks = "", None, None
    task_type = order.name if order.verb == "tasks" else order.task_type
    try:
        if order.verb not in ("look", "tasks"):
            message, done = carry_out(order, storage), order
        if task_type is not None:
            tasks = storage.find_tasks(
                TaskFilter(task_type=task_type, statuses=list(FAILED)), limit=MAX_TASKS
            )
            if len(tasks) == MAX_TASKS:
                message = message or f"these are the newest {MAX_TASKS}"
        return Answer(look(storage, datetime.now(UTC)), done, message, tasks=tasks, task_type=task_type)
    except DatabaseUnavailableError as error:
        if done is None and order.verb != "look":
            message = "not done: the database does not answer"
        return Answer(done=done, message=message, trouble=str(error).removeprefix(storage.url).strip())
    except GoqueError as error:
        return Answer(message=str(error))


def carry_out(order: Order, storage: TaskStorage) -> str:
    """Do what is wanted, and say what became of it. Raises GoqueError."""
    match order.verb:
        case "pause":
            return (
                f"{order.name} is paused on every node{'' if storage.pause_type(order.name) else ' already'}"
            )
        case "resume":
            return f"{order.name} {'goes on' if storage.resume_type(order.name) else 'is not paused'}"
        case "cancel":
            canceled = storage.cancel_unless_finished(order.name)
            return f"task {order.name} {'canceled' if canceled else 'has ended already'}"
        case "reset":
            was_reset = storage.reset_unless_claimed(order.name)
            return f"task {order.name} {'reset' if was_reset else 'was new already'}"
        case "reset-type":
            wanted = TaskFilter(task_type=order.name, status=TaskStatus.ATTEMPTS_LEFT)
            refused: list[TaskStateError] = []
            done = reset_all(storage, wanted, refused.append)
            claimed = f"; {len(refused)} claimed by now" if refused else ""
            return f"reset {done} {'task' if done == 1 else 'tasks'} of {order.name}{claimed}"
    signal_root(order.name, order.pid)
    what = "claim again" if order.verb == "wake" else "claim nothing"
    return f"told pid {order.pid} to {what}; its next heartbeat shows it"


def signal_root(host: str, pid: int) -> None:
    """Send SIGUSR2 to a supervisor of this machine. Raises GoqueError, which says where else it can be sent."""
    if host != socket.gethostname():
        raise GoqueError(f"that supervisor runs on {host}: there, `kill -USR2 {pid}` does it")
    if not _is_root(pid):
        raise GoqueError(
            f"pid {pid} is no supervisor here (another container?): send it SIGUSR2 where it runs"
        )
    try:
        os.kill(pid, signal.SIGUSR2)
    except (ProcessLookupError, PermissionError) as error:
        raise GoqueError(f"pid {pid} cannot be told: {error.strerror}") from error


def _is_root(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip() == ROOT_NAME
    except OSError:
        return not Path("/proc/self/comm").exists()  # macOS has no such names
