"""Runs the orders of `goque top`'s user, one after the other, in a thread with its own database connection.

So a database that hangs does not block the keys. Errors become a message on the screen.
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

from goque.cli.changes import reset_all
from goque.describe.cancellation import describe_cancellation
from goque.describe.node_info import FAILED
from goque.describe.overview import Overview, look
from goque.errors import DatabaseUnavailableError, GoqueError, TaskStateError
from goque.storage import TaskStorage
from goque.storage.search_types import TaskSearch
from goque.task_filter import TaskFilter
from goque.task_row import TaskRow, TaskStatus

MAX_TASKS: Final = 200
ROOT_NAME: Final = "goque:root"


@dataclass(frozen=True)
class Order:
    """An order of the user.

    Attributes:
        verb: pause, resume, reset-type, tasks, cancel, reset, drain, wake or look.
        name: the type, the task's id, or the node's host.
        task_type: the type whose failed tasks to read again afterwards, None for no type.
        pid: the supervisor, for drain and wake.
    """

    verb: str
    name: str = ""
    task_type: str | None = None
    pid: int = 0


@dataclass(frozen=True)
class Answer:
    """The answer to an order, or the next overview.

    Attributes:
        seen: the overview, None if it could not be read.
        done: the order, if it was carried out.
        message: the result of the order.
        trouble: why the database does not answer, without its URL; empty if it answers.
        tasks, task_type: the newest failed tasks of a type, if they were ordered.
    """

    seen: Overview | None = None
    done: Order | None = None
    message: str = ""
    trouble: str = ""
    tasks: Sequence[TaskRow] | None = None
    task_type: str | None = None


class Desk(threading.Thread):
    """Reads the overview at each interval, and carries out orders in between.

    Args:
        storage: used by this thread only.
        interval: seconds between two overviews.
        tell: called in this thread with each answer.
    """

    def __init__(self, storage: TaskStorage, interval: float, tell: Callable[[Answer], None]) -> None:
        super().__init__(name="top", daemon=True)
        self._storage = storage
        self._interval = interval
        self._tell = tell
        self._orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()

    def give(self, order: Order) -> None:
        """Give an order to the thread."""
        self._orders.put(order)

    def close(self, patience: float) -> bool:
        """Stop the thread; return whether it has ended within this many seconds."""
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
    """Carry out an order, then read the overview."""
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
                message = message or f"only the newest {MAX_TASKS} are shown"
        return Answer(look(storage, datetime.now(UTC)), done, message, tasks=tasks, task_type=task_type)
    except DatabaseUnavailableError as error:
        if done is None and order.verb != "look":
            message = "not done: the database does not answer"
        return Answer(done=done, message=message, trouble=str(error).removeprefix(storage.url).strip())
    except GoqueError as error:
        return Answer(message=str(error))


def carry_out(order: Order, storage: TaskStorage) -> str:
    """Carry out an order, and return the message. Raises GoqueError."""
    match order.verb:
        case "pause":
            return (
                f"{order.name} is paused on every node{'' if storage.pause_type(order.name) else ' already'}"
            )
        case "resume":
            return f"{order.name} {'goes on' if storage.resume_type(order.name) else 'is not paused'}"
        case "cancel":
            before = storage.get_task(order.name)
            canceled = storage.cancel_unless_finished(order.name)
            return f"task {order.name} {describe_cancellation(before, canceled=canceled)}"
        case "reset":
            was_reset = storage.reset_unless_claimed(order.name)
            return f"task {order.name} {'reset' if was_reset else 'was new already'}"
        case "reset-type":
            wanted = TaskSearch(task_type=order.name, statuses=(TaskStatus.ATTEMPTS_LEFT,))
            refused: list[TaskStateError] = []
            done = reset_all(storage, wanted, refused.append)
            claimed = f"; {len(refused)} claimed by now" if refused else ""
            return f"reset {done} {'task' if done == 1 else 'tasks'} of {order.name}{claimed}"
    signal_root(order.name, order.pid)
    what = "claim again" if order.verb == "wake" else "claim nothing"
    return f"told pid {order.pid} to {what}; its next heartbeat shows it"


def signal_root(host: str, pid: int) -> None:
    """Send SIGUSR2 to a supervisor of this machine. Raises GoqueError for one of another machine."""
    if host != socket.gethostname():
        raise GoqueError(f"that supervisor runs on {host}; run `kill -USR2 {pid}` there")
    if not _is_root(pid):
        raise GoqueError(
            f"pid {pid} is no supervisor here (another container?): send it SIGUSR2 where it runs"
        )
    try:
        os.kill(pid, signal.SIGUSR2)
    except (ProcessLookupError, PermissionError) as error:
        raise GoqueError(f"pid {pid} cannot be signaled: {error.strerror}") from error


def _is_root(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/comm").read_text("utf-8", "replace").strip() == ROOT_NAME
    except OSError:
        return not Path("/proc/self/comm").exists()  # macOS has no /proc
