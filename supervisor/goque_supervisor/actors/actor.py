"""The loop of goque's own processes: do a unit of work, then wait until the next is due or the root sends a message."""

from __future__ import annotations

import logging
import os
import random
import select
import time
from abc import ABC, abstractmethod
from typing import Any, Final

from goque.errors import DatabaseUnavailableError
from goque.storage import TaskStorage, open_storage
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Beat, Message, Ready, Stop
from goque_supervisor.outage import Outage
from goque_supervisor.wait_for_database import wait_for_database

BEAT_PERIOD: Final = 2.0
MAX_BACKOFF: Final = 5.0


class Actor(ABC):
    """One process with one loop. It keeps state that must survive it in the database.

    Attributes:
        longest_backoff: the maximum of seconds between tries while the database is not available.
    """

    longest_backoff: float = MAX_BACKOFF

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        self.boot = boot
        self.channel = channel
        self.stopping = False
        self.storage: TaskStorage = open_storage(boot["database_url"])
        self.log = logging.getLogger(f"goque.{boot['role']}")
        self._outage = Outage(channel.send, self.log)
        self._retry_at = 0.0

    def run(self) -> None:
        """Work and wait until the root sends Stop, or is gone."""
        if wait_for_database(
            self.start, self._wait_and_continue, self.channel.send, node_is_up=self.boot["node_is_up"]
        ):
            self.channel.send(Ready(self.info()))
        while not self.stopping:
            self._wait(self._work())
        self.finish()

    def start(self) -> None:
        """Prepare. If this raises a GoqueError, the root knows that this process cannot work.

        If another writer has locked the database, `run` calls this again.
        """
        self.storage.require_schema()

    def info(self) -> dict[str, Any]:
        """Return the `info` for the Ready message to the root."""
        return {}

    @abstractmethod
    def run_once(self) -> float:
        """Do one unit of work. Returns the seconds until the next unit."""

    def on_message(self, message: Message) -> None:
        """Handle a message of the root other than Stop."""
        self.log.error("dropped an unexpected %s", type(message).__name__)

    def finish(self) -> None:
        """Clean up before the process ends."""
        self.storage.close()

    def _work(self) -> float:
        if (left := self._retry_at - time.monotonic()) > 0:
            return left  # a message of the root ended the wait
        try:
            pause = self.run_once()
        except DatabaseUnavailableError as error:
            self._outage.failed(str(error))
            longest = min(self.longest_backoff, 0.2 * 2.0 ** min(self._outage.failures, 100))
            pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries
            self._retry_at = time.monotonic() + pause
        else:
            self._outage.answered()
        return pause

    def _wait_and_continue(self, pause: float) -> bool:
        self._wait(pause)
        return not self.stopping

    def _wait(self, pause: float) -> None:
        until = time.monotonic() + pause
        while not self.stopping:
            self.channel.send(Beat())
            left = until - time.monotonic()
            if left <= 0:
                return
            if self._listen(min(left, BEAT_PERIOD)):
                return

    def go_on(self) -> bool:
        """Send a beat and read messages during long work. Returns whether to continue the work."""
        self.channel.send(Beat())
        self._listen(0.0)
        return not self.stopping

    def _listen(self, timeout: float) -> bool:
        """Wait for messages of the root and handle them. Returns whether one came before the timeout."""
        readable, _, _ = select.select([self.channel], [], [], timeout)
        if not readable:
            return False
        for message in self.channel.receive():
            self._handle(message)
        if self.channel.closed:
            os._exit(0)  # the root is gone: no process of the tree may outlive it
        return True

    def _handle(self, message: Message) -> None:
        if isinstance(message, Stop):
            self.stopping = True
        else:
            self.on_message(message)
