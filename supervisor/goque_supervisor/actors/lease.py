"""The lease: registers this node and writes its heartbeats, so that other nodes know that it is alive.

Each heartbeat contains the state of the tree (goque/describe/node_info.py), for `goque top` and the dashboard. It also
checks that the table still has the last heartbeat. If not, commits were lost, and the node takes a new name.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from goque.describe.node_info import encode_info
from goque.errors import DatabaseUnavailableError
from goque_supervisor.actors.actor import Actor
from goque_supervisor.actors.heartbeats import Heartbeats, Verdict
from goque_supervisor.actors.node_report import NodeReport
from goque_supervisor.actors.own_claims import OwnClaims
from goque_supervisor.actors.run_rollup import RunRollup
from goque_supervisor.actors.run_summary import RunSummary
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import CommitsLost, LeaseRenewed, Message, Ready, TakeNewName, TreeState
from goque_supervisor.metrics.run_counters import read_run_counters

MAX_FORMER: Final = 16
"""How many former names of the node the lease keeps alive. Healers return the tasks of older names."""


class Lease(Actor):
    """Writes six heartbeats in each node_timeout, and takes a new name when the old one is no longer safe.

    It reports each written heartbeat to the root. Without reports, the root's lease expires (root/lease_clock.py).
    """

    def __init__(self, boot: dict[str, Any], channel: Channel) -> None:
        super().__init__(boot, channel)
        self.owner: str = boot["owner"]
        self.former_owners: list[str] = boot["former_owners"][-MAX_FORMER:]
        self.longest_backoff = min(self.longest_backoff, self._period)
        self._heartbeats = Heartbeats(max(1, boot["seq"]))
        self._own_claims = OwnClaims(self.storage, boot["node_timeout"])
        self._held_names = list(self.former_owners)
        self._must_rename = False
        self._sent_at = 0.0
        self._due = 0.0
        self._state: dict[str, Any] = {}
        run_directory = Path(boot["run_directory"])
        self._node_report = NodeReport(run_directory, boot["app"], boot["node_timeout"])
        self._summary = RunSummary(run_directory, self.log) if boot["logs_summary"] else None
        self._run_rollup = RunRollup(self.storage, lambda: read_run_counters(run_directory))

    @property
    def _period(self) -> float:
        """Seconds between heartbeats, and between tries: when the database is back, other nodes soon expect one."""
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
        """Write one heartbeat if it is due, and check the tasks that are claimed in this node's names."""
        sent_at = time.monotonic()
        self._log_summary(sent_at)
        if sent_at < self._due:
            return self._due - sent_at
        if self._must_rename:
            self._take_new_name()
        else:
            self._beat(sent_at)
        self._end_former_names()
        if self._state:
            owners = [*self._held_names, self.owner]
            self._own_claims.return_unheld_if_due(owners, self._state["held_types"], sent_at)
        self._write_rollup(lambda: self._run_rollup.write_if_due(sent_at))
        self._due = sent_at + self._period
        return self._due - time.monotonic()

    def _beat(self, sent_at: float) -> None:
        heartbeats, news = self._heartbeats, self._news()
        while not self.storage.beat_after(self.owner, heartbeats.acknowledged, heartbeats.next(), info=news):
            row = self.storage.node(self.owner)
            match heartbeats.judge(row):
                case Verdict.COUNTED:
                    break
                case Verdict.BEHIND:
                    continue
                case Verdict.COMMITS_LOST:
                    # the root logs the loss, because a fetcher may report it too, and logs it only once
                    self.channel.send(CommitsLost(self.owner, heartbeats.describe_loss(row)))
                case Verdict.DECLARED_DEAD:
                    self.log.warning(
                        "another node has declared node %s dead: this node continues under a new name",
                        self.owner,
                    )
                case Verdict.OVERWRITTEN:
                    self.log.error(
                        "another program has changed the row of node %s: this node continues under a new name",
                        self.owner,
                    )
            self._take_new_name()
            return
        heartbeats.acknowledge()
        self.channel.send(LeaseRenewed(sent_at, heartbeats.acknowledged))

    def _write_rollup(self, write: Callable[[], None]) -> None:
        """Write what was run to the table. An error here must not delay the next heartbeat."""
        try:
            write()
        except DatabaseUnavailableError as error:
            self.log.debug("what was run is written later: %s", error)
        except Exception:
            self.log.exception("what was run cannot be written for the dashboard; tasks are not affected")

    def _log_summary(self, now: float) -> None:
        """Log how many tasks have ended, if no monitor does. An error here must not prevent the heartbeat."""
        try:
            if self._summary is not None:
                self._summary.log_if_due(now)
        except Exception:
            self.log.exception("cannot read how many tasks have ended: there is no summary of this minute")

    def _take_new_name(self) -> None:
        former = self.owner
        self._register()
        self.former_owners = [*self.former_owners, former][-MAX_FORMER:]
        self._held_names = list(self.former_owners)  # all: the commits that ended them may be lost
        self._must_rename = False
        self.channel.send(Ready(self.info()))

    def _end_former_names(self) -> None:
        """Write heartbeats for a former name while tasks run under it, so that no healer returns them; then end it."""
        for name in list(self._held_names):
            if self.storage.claims_of_owner(name):
                self.storage.beat(name)
            else:
                self.storage.retire_node(name)
                self._held_names.remove(name)

    def on_message(self, message: Message) -> None:
        """Keep the state of the tree for the next heartbeat, and take another name if the root asks for it."""
        match message:
            case TreeState(state):
                if not self._state:
                    self._due = 0.0  # write at once, so that the tree is seen as soon as it runs
                self._state = state
            case TakeNewName(owner):
                if owner == self.owner:
                    self._must_rename, self._due = True, 0.0
            case _:
                super().on_message(message)

    def _news(self) -> str | None:
        """Return the state of the tree for the next heartbeat. An error here must not prevent the heartbeat."""
        if not self._state:
            return None
        try:
            return encode_info(self._node_report.collect(self._state))
        except Exception:
            self.log.exception("cannot collect the state of the tree: this heartbeat does not include it")
            return None

    def finish(self) -> None:
        """Return all tasks that are left in this node's names, and record that the node has shut down."""
        names = [*self.former_owners, self.owner] if self.owner else []
        try:
            self._own_claims.return_all(names)
            for name in names:
                self.storage.retire_node(name)
            self._write_rollup(self._run_rollup.write)
        except DatabaseUnavailableError as error:
            self.log.warning(
                "cannot record in the database that this node has ended (%s): other nodes notice it after node_timeout",
                error,
            )
        self._node_report.close()
        super().finish()

    def _register(self) -> None:
        owner = str(uuid.uuid4())
        sent_at = time.monotonic()
        self.storage.register_node(owner, host=socket.gethostname(), pid=os.getppid())
        self.owner = owner  # not before: a start that found the database locked is repeated
        self._heartbeats = Heartbeats()
        self._sent_at = sent_at


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the lease in this process."""
    Lease(boot, channel).run()
