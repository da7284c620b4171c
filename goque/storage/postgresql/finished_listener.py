"""Notifies waiters that their task has finished, at no cost for tasks without a waiter.

1. A waiter registers its task. One thread of the process listens for finished tasks while there are waiters.
2. The thread sends the task's id to the fetchers of its type, on their channel for new tasks. It repeats this.
3. A fetcher that finishes such a task sends a notification in the same transaction. For other tasks it sends none.
4. The thread calls the waiter.

A notification is only a hint. Waiters also poll, and poll more often while the thread cannot listen.
"""

from __future__ import annotations

import json
import logging
import os
import select
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from goque.errors import DatabaseUnavailableError
from goque.storage.postgresql.connection import stay_open_when_idle
from goque.storage.sql.placeholders import percent_placeholders

log: Final = logging.getLogger("goque.storage")

FINISHED_CHANNEL: Final = "SELECT 'goque_ends_' || CAST(CAST('goque_task' AS regclass) AS oid)"

SAY: Final = "SELECT pg_notify(:channel, :said)"

NOTIFY_WATCHED: Final = """
    SELECT pg_notify('goque_' || CAST(CAST('goque_task' AS regclass) AS oid) || '_' || md5(each ->> 0), each ->> 1)
    FROM jsonb_array_elements(CAST(:batch AS jsonb)) AS each"""
"""On the channel of a type, an empty payload announces new tasks. A payload with an id says that a waiter waits."""

NOTIFY_FINISHED: Final = """
    SELECT pg_notify('goque_ends_' || CAST(CAST('goque_task' AS regclass) AS oid), id)
    FROM jsonb_array_elements_text(CAST(:batch AS jsonb)) AS id"""

AWAITED_FOR: Final = 60.0
"""Seconds for which a fetcher remembers that a task has a waiter."""

SAID_EVERY: Final = 20.0
"""Seconds after which the thread sends the id of a waiter's task again."""

MAX_AWAITED: Final = 10_000
LINGER: Final = 5.0
"""Seconds for which the thread continues to listen after the last waiter has left: another may come soon."""

PAUSE: Final = 10.0
"""Seconds between two attempts to listen, after a failure."""


class WatchedIds:
    """The tasks of which a fetcher knows that they have a waiter: a bounded number, each for a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def __bool__(self) -> bool:
        return bool(self._until)

    def add(self, task_id: str) -> None:
        """Remember an id, and forget the oldest id if there are too many."""
        self._until.pop(task_id, None)
        self._until[task_id] = self._clock() + AWAITED_FOR
        if len(self._until) > MAX_AWAITED:
            del self._until[next(iter(self._until))]

    def among(self, task_ids: Iterable[str]) -> list[str]:
        """Return the ids that have a waiter."""
        now = self._clock()
        while self._until and next(iter(self._until.values())) < now:
            del self._until[next(iter(self._until))]
        return [task_id for task_id in task_ids if task_id in self._until]


@dataclass(eq=False)
class Waiter:
    """A call of this process that waits for the end of a task."""

    task_id: str
    task_type: str
    call: Callable[[], None]
    say_at: float = 0.0


class FinishedListener:
    """Listens for finished tasks, in one thread with its own connection, while this process has waiters.

    Args:
        connect: opens a connection in autocommit mode.
        times_connected: returns how often the main connection was opened. A new one may be to another server.
    """

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], times_connected: Callable[[], int] = lambda: 0
    ) -> None:
        self._connect = connect
        self._times_connected = times_connected
        self.start_anew()
        _all.add(self)

    def start_anew(self) -> None:
        """Reset to the state without waiters, thread and connection."""
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._thread: threading.Thread | None = None
        self._bell: socket.socket | None = None
        self._connection: psycopg.Connection[Any] | None = None
        self._closing = False
        self._hears = False
        self._failed = False

    def after_fork(self) -> None:
        """Leave thread and connection to the parent. The child keeps the connection open: closing it would write."""
        if self._connection is not None:
            _abandoned.append(self._connection)
        self.start_anew()

    @contextmanager
    def told(self, task_id: str, task_type: str, call: Callable[[], None]) -> Iterator[Callable[[], bool]]:
        """Call `call` when the task finishes during the block.

        The block receives a function that returns whether the thread is listening now.
        """
        waiter = Waiter(task_id, task_type, call)
        with self._lock:
            self._waiters.append(waiter)
            self._see_to_the_thread()
        try:
            yield lambda: self._hears
        finally:
            with self._lock:
                if waiter in self._waiters:  # not in a child that was forked meanwhile
                    self._waiters.remove(waiter)

    def close(self) -> None:
        """Stop the thread and close its connection. Remaining waiters poll."""
        with self._lock:
            thread, self._closing = self._thread, self._thread is not None
            self._ring()
        if thread is not None:
            thread.join()

    def _see_to_the_thread(self) -> None:
        if self._thread is None:
            self._closing = False
            self._bell, bell = socket.socketpair()
            self._bell.setblocking(False)
            self._thread = threading.Thread(
                target=self._run, args=(bell,), name="goque-ends-of-tasks", daemon=True
            )
            self._thread.start()
        self._ring()

    def _ring(self) -> None:
        if self._bell is not None:
            with suppress(BlockingIOError):  # the buffer is full, so the thread wakes up anyway
                self._bell.send(b".")

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self, bell: socket.socket) -> None:
        with bell:
            while (pause := self._listen_or_say_why_not(bell)) is not None:
                select.select([bell], [], [], pause)
                if not self._goes_on():
                    return

    def _listen_or_say_why_not(self, bell: socket.socket) -> float | None:
        """Listen while there are waiters. Returns None when they are gone, else the seconds until the next try."""
        try:
            with closing(self._connect()) as self._connection:
                stay_open_when_idle(self._connection)
                return self._listen(self._connection, bell)
        except (DatabaseUnavailableError, psycopg.Error) as error:
            self._hears = False
            if not self._failed:
                log.info("cannot listen for finished tasks (%s): waiting calls poll instead", error)
            self._failed = True
            return PAUSE

    def _goes_on(self, idle_since: float | None = None) -> bool:
        """Return whether the thread must go on. After False it must end: the next waiter starts another thread."""
        with self._lock:
            idle = not self._waiters and (idle_since is None or time.monotonic() - idle_since >= LINGER)
            if not self._closing and not idle:
                return True
            self._thread, self._hears, self._closing = None, False, False
            if self._bell is not None:
                self._bell.close()
                self._bell = None
            return False

    def _listen(self, connection: psycopg.Connection[Any], bell: socket.socket) -> float | None:
        follows = self._times_connected()
        [(channel,)] = connection.execute(FINISHED_CHANNEL).fetchall()
        connection.execute(f'LISTEN "{channel}"')  # made of an oid
        proof = str(uuid.uuid4())  # a pooler may accept LISTEN and then drop the notifications
        connection.execute(percent_placeholders(SAY), {"channel": channel, "said": proof})
        busy_at, pause = time.monotonic(), 0.0  # no wait: the proof arrives with the answer to the statement
        while True:
            if self._waiters:
                busy_at = time.monotonic()
            if not self._goes_on(busy_at):
                return None
            if follows and self._times_connected() != follows:
                self._say_all_again()
                return 0.0
            follows = follows or self._times_connected()
            self._say_awaited(connection)
            readable, _, _ = select.select([connection.fileno(), bell.fileno()], [], [], pause)
            pause = LINGER
            if bell.fileno() in readable:
                bell.recv(4096)
            for notification in connection.notifies(timeout=0):
                if notification.payload == proof:
                    self._hears, self._failed = True, False
                self._tell(notification.payload)

    def _say_all_again(self) -> None:
        """Send all ids again after connecting to the next server, because its fetchers do not know them."""
        self._hears = False
        with self._lock:
            for waiter in self._waiters:
                waiter.say_at = 0.0

    def _say_awaited(self, connection: psycopg.Connection[Any]) -> None:
        now = time.monotonic()
        with self._lock:
            due = [waiter for waiter in self._waiters if waiter.say_at <= now]
            for waiter in due:
                waiter.say_at = now + SAID_EVERY
        if due:
            batch = json.dumps([[waiter.task_type, waiter.task_id] for waiter in due])
            connection.execute(percent_placeholders(NOTIFY_WATCHED), {"batch": batch})

    def _tell(self, task_id: str) -> None:
        with self._lock:
            calls = [waiter.call for waiter in self._waiters if waiter.task_id == task_id]
        for call in calls:
            with suppress(RuntimeError):  # the event loop of an asyncio waiter is closed
                call()


_abandoned: Final[list[psycopg.Connection[Any]]] = []
_all: Final[weakref.WeakSet[FinishedListener]] = weakref.WeakSet()


def _after_fork() -> None:
    for listener in list(_all):
        listener.after_fork()


os.register_at_fork(after_in_child=_after_fork)
