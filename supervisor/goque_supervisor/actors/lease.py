"""The lease: announces this node and keeps its heartbeat rising, so that others know that it lives.

Each heartbeat carries how the tree stands (goque/describe/node_info.py), for whoever looks at the database.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from pathlib import Path
from typing import Any

from goque.describe.node_info import encode_info
from goque.errors import DatabaseUnavailableError
from goque_supervisor.actors.actor import Actor
from goque_supervisor.actors.node_report import NodeReport
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import LeaseRenewed, Message, Ready, TreeState


class Lease(Actor):
    """Beats a sixth of node_timeout apart; a node that others declared dead goes on under a new name.

    The root is told of each beat that was written: when there is none for long, it acts upon that (tenure.py).
    """

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.owner: str = boot["owner"]
        self.longest_backoff = min(self.longest_backoff, self._period)
        self._sent_at = 0.0
        self._due = 0.0
        self._state: dict[str, Any] = {}
        self._census = NodeReport(Path(boot["run_directory"]), boot["app"], boot["node_timeout"])

    @property
    def _period(self) -> float:
        """Seconds between beats, and between tries: when the database returns, others start to count at once."""
        return float(self.boot["node_timeout"]) / 6

    def start(self) -> None:
        """Register the node; the next lease of this tree goes on at once."""
        if not self.owner:
            super().start()
            self._register()

    def info(self) -> dict[str, Any]:
        """Return the name under which this node claims."""
        return {"owner": self.owner, "sent_at": self._sent_at}

    def run_once(self) -> float:
        """Beat once, if it is time."""
        sent_at = time.monotonic()
        if sent_at < self._due:
            return self._due - sent_at
        if self.storage.beat(self.owner, info=self._news()):
            self.channel.send(LeaseRenewed(sent_at))
        else:
            self.log.warning("node %s was declared dead by others: going on under a new name", self.owner)
            self._register()
            self.channel.send(Ready(self.info()))
        self._due = sent_at + self._period
        return self._due - time.monotonic()

    def on_message(self, message: Message) -> None:
        """Note how the tree stands."""
        if isinstance(message, TreeState):
            if not self._state:
                self._due = 0.0  # whoever looks sees the tree as soon as it is up
            self._state = message.state
        else:
            super().on_message(message)

    def _news(self) -> str | None:
        """Return what the next heartbeat tells; nothing is worth missing one for."""
        if not self._state:
            return None
        try:
            return encode_info(self._census.take(self._state))
        except Exception:
            self.log.exception("how the tree stands is not told this time")
            return None

    def finish(self) -> None:
        """Say that this node ended on its own accord."""
        try:
            if self.owner:
                self.storage.retire_node(self.owner)
        except DatabaseUnavailableError as error:
            self.log.warning(
                "the end of this node is not written (%s): others will notice by its silence", error
            )
        self._census.close()
        super().finish()

    def _register(self) -> None:
        owner = str(uuid.uuid4())
        sent_at = time.monotonic()
        self.storage.register_node(owner, host=socket.gethostname(), pid=os.getppid())
        self.owner = owner  # not before: a start that found the database locked is made again
        self._sent_at = sent_at


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the lease in this process."""
    Lease(boot, channel).run()
