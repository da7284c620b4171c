"""What the root does about its node's lease: claim under its name, and stop claiming while it is lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from goque_supervisor.root.lease_clock import LeaseClock

log = logging.getLogger("goque.supervisor")


class Claimers(Protocol):
    """Those that claim tasks and run them; the pool groups are."""

    def new_owner(self, owner: str) -> None:
        """Claim under this name from now on; empty to claim nothing."""

    def kill_workers(self, reason: str) -> None:
        """Kill all workers; their running tasks are requeued."""


class NodeLease:
    """The lease of this node, as its heartbeats show it.

    Args:
        clock: judges when the lease is lost.
        claimers: whoever claims under the lease.
        kills: whether running handlers are killed when the lease is lost, or may finish.
        describe: called with all names of the node before anything is claimed under a new one.
        ask_new_name: asks the lease's process for another name than this one.
    """

    def __init__(
        self,
        clock: LeaseClock,
        claimers: Claimers,
        *,
        kills: bool,
        describe: Callable[[list[str]], None],
        ask_new_name: Callable[[str], None],
    ) -> None:
        self.clock = clock
        self._claimers = claimers
        self._kills = kills
        self._describe = describe
        self._ask_new_name = ask_new_name

    def on_ready(self, owner: str, sent_at: float) -> None:
        """Take the name that the lease's process has written to the database."""
        if owner == self.clock.owner:
            if self.clock.is_suspect:
                self._ask_new_name(owner)  # the process that was asked has died
            return  # another process goes on under the same name: its first heartbeat tells whether the lease holds
        replaced = self.clock.begin(owner, sent_at)
        if replaced and self._kills:
            self._claimers.kill_workers("lease")  # other nodes run the same tasks by now
        self._describe(self.clock.all_owners)
        self._claimers.new_owner(self.clock.may_claim_as)

    def on_commits_lost(self, owner: str, what: str) -> None:
        """Stop claiming until the node has a new name: claims under the old one could repeat lost ones."""
        if owner != self.clock.owner or self.clock.is_suspect:
            return  # noticed before
        log.error(
            "the database has lost commits of node %s: %s; this node continues under a new name", owner, what
        )
        self.clock.is_suspect = True
        self._claimers.new_owner(self.clock.may_claim_as)
        self._ask_new_name(owner)

    def on_renewed(self, sent_at: float, seq: int) -> None:
        """Record a heartbeat that the database took, by when it was sent."""
        if self.clock.renewed(sent_at, seq) and not self.clock.is_suspect:
            log.info("this node holds its lease again: fetchers claim tasks again")
            self._claimers.new_owner(self.clock.may_claim_as)

    def check(self, now: float) -> float:
        """Stop claiming once the lease is lost; returns the seconds until it can be.

        The workers are killed before anything else is done, for other nodes may soon run their tasks.
        """
        if self.clock.expire(now):
            if self._kills:
                self._claimers.kill_workers("lease")
            self._claimers.new_owner(self.clock.may_claim_as)
            log.error(
                "the lease is lost: fetchers claim no tasks until the database accepts heartbeats again; "
                "running handlers %s",
                "are killed" if self._kills else "finish",
            )
        return self.clock.seconds_left(now)
