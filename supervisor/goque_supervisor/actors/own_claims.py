"""Return tasks that the table shows as claimed by this node although no process of its tree holds them.

Each fetcher does this for its own type (fetcher/reconciler.py). This module does it for types that no fetcher of the
tree runs any more, and for all types when the tree has stopped.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Final

from goque.storage import TaskStorage
from goque.task_row import Token
from goque_supervisor.recovery.unheld_claims import log_released, release_unheld

log = logging.getLogger("goque.lease")

MAX_PERIOD: Final = 20.0
BATCH: Final = 500


@dataclass
class OwnClaims:
    """Looks at the table from time to time, and returns a task, uncharged, if two looks in a row have found it.

    Args:
        storage: the database.
        node_timeout: the node timeout, in seconds.
    """

    storage: TaskStorage
    node_timeout: float
    _due: float = 0.0
    _suspects: set[Token] = field(default_factory=set)

    def return_unheld_if_due(self, owners: Iterable[str], fetched_types: Collection[str], now: float) -> None:
        """Return the tasks of types that no fetcher of the tree runs."""
        if now < self._due:
            return
        self._due = now + min(MAX_PERIOD, self.node_timeout * 2 / 3)
        found = {
            held.token
            for owner in owners
            for held in self.storage.claims_of_owner(owner)
            if held.type not in fetched_types
        }
        confirmed, self._suspects = found & self._suspects, found - self._suspects
        self._return(confirmed)

    def return_all(self, owners: Iterable[str]) -> None:
        """Return all tasks claimed under these names, because no process of the tree holds a task any more."""
        self._return([held.token for owner in owners for held in self.storage.claims_of_owner(owner)])

    def _return(self, tokens: Collection[Token]) -> None:
        ordered = sorted(tokens, key=lambda token: token.task_id)
        released: set[Token] = set()
        for start in range(0, len(ordered), BATCH):
            released |= release_unheld(self.storage, ordered[start : start + BATCH])
        log_released(log, released)
