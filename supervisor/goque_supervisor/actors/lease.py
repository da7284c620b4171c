"""The lease: registers this node and writes its heartbeats, so that other nodes know that it lives.

Each heartbeat carries the state of the tree (goque/describe/node_info.py), for `goque top` and the dashboard.
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
    """Writes six heartbeats in each node_timeout; a node that others declared dead goes on under a new name.

    It tells the root of each heartbeat that was written. Without one, the lease expires there (root/lease_clock.py).
    """

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.owner: str = boot["owner"]
        self.longest_backoff = min(self.longest_backoff, self._period)
        self._sent_at = 0.0
        self._due = 0.0
        self._state: dict[str, Any] = {}
        self._node_report = NodeReport(Path(boot["run_directory"]), boot["app"], boot["node_timeout"])

    @property
    def _period(self) -> float:
        """Seconds between heartbeats, and between tries: when the database is back, others soon count our silence."""
        return float(self.boot["node_timeout"]) / 6

    def start(self) -> None:
        """Register the node, unless an earlier lease of this tree has registered it."""
        if not self.owner:
            super().start()
            self._register()

    def info(self) -> dict[str, Any]:
        """Return the name under which this node claims."""
        return {"owner": self.owner, "sent_at": self._sent_at}

    def run_once(self) -> float:
        """Write one heartbeat, if it is due."""
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
        """Keep the state of the tree for the next heartbeat."""
        if isinstance(message, TreeState):
            if not self._state:
                self._due = 0.0  # write at once, so that the tree is seen as soon as it runs
            self._state = message.state
        else:
            super().on_message(message)

    def _news(self) -> str | None:
        """Return what the next heartbeat carries. An error here must not prevent the heartbeat."""
        if not self._state:
            return None
        try:
            return encode_info(self._node_report.collect(self._state))
        except Exception:
            self.log.exception("this heartbeat carries no state of the tree")
            return None

    def finish(self) -> None:
        """Record that this node ended in order."""
        try:
            if self.owner:
                self.storage.retire_node(self.owner)
        except DatabaseUnavailableError as error:
            self.log.warning(
                "the end of this node could not be written (%s): other nodes will notice its silence", error
            )
        self._node_report.close()
        super().finish()

    def _register(self) -> None:
        owner = str(uuid.uuid4())
        sent_at = time.monotonic()
        self.storage.register_node(owner, host=socket.gethostname(), pid=os.getppid())
        self.owner = owner  # not before: a start that found the database locked is repeated
        self._sent_at = sent_at


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the lease in this process."""
    Lease(boot, channel).run()
