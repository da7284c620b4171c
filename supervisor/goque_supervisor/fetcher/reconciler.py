"""Compare the claims in the table with the tasks in flight.

They differ after a failover or a restore that lost commits, and when somebody else has changed the owner of a row:

- If a claim in the table is not in flight, no worker has the task. The fetcher releases the claim, uncharged.
- If a task is in flight and its row is older, the database has lost commits. The fetcher tells the root, and the node
  takes a new name, so that no later claim can be confused with a lost one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from goque.task_row import TaskRow, Token
from goque_supervisor.fetcher.database import TaskDatabase
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.orders import Orders
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.fetcher.settled_claims import SettledClaims
from goque_supervisor.ipc.control import CommitsLost, Message
from goque_supervisor.recovery.unheld_claims import log_released

log = logging.getLogger("goque.fetcher")

MAX_PERIOD: Final = 20.0
MAX_CONFIRMATION: Final = 10.0
SOME_IDS: Final = 5
BATCH: Final = 200


@dataclass(frozen=True)
class Differences:
    """The confirmed differences between the table and the tasks in flight.

    Attributes:
        unheld: claims that are in the table and not in flight.
        missing: tasks in flight whose claim is not in the table.
        are_suspected: whether there are other differences, which a second look must confirm.
    """

    unheld: list[Token]
    missing: list[ClaimedTask]
    are_suspected: bool


@dataclass
class Comparison:
    """Compares the table with the tasks in flight. Two looks in a row must see a difference. No I/O here.

    For claims under a former name one look is enough, because there are no new ones.
    """

    _suspects: set[Token] = field(default_factory=set)

    def look(
        self,
        in_table: Collection[Token],
        in_flight: Mapping[str, ClaimedTask],
        in_doubt: Collection[Token],
        owner: str,
    ) -> Differences:
        """Return the differences, after a look at the table.

        Args:
            in_table: the claims under all names of this node.
            in_flight: the tasks in flight by id.
            in_doubt: claims whose commit was not answered; the next claim finds them.
            owner: the name under which the node claims now.
        """
        unheld = {token for token in in_table if token.task_id not in in_flight and token not in in_doubt}
        known = set(in_table)
        missing = {
            task.row.token: task
            for task in in_flight.values()
            if task.row.token not in known and task.row.claimed_by == owner
        }
        seen = unheld | missing.keys()
        confirmed = {token for token in seen if token in self._suspects or token.owner != owner}
        self._suspects = seen
        return Differences(
            sorted(unheld & confirmed, key=lambda token: token.task_id),
            [task for token, task in missing.items() if token in confirmed],
            bool(seen - confirmed),
        )


class Reconciler:
    """Compares the table with the tasks in flight from time to time, and when an acknowledged write is missing.

    Args:
        database: the fetcher's database.
        in_flight: the tasks in flight.
        orders: the current orders.
        schedule: the next times of the loop.
        tell_root: sends a message to the root.
        rows_stay: whether the table keeps the rows of finished tasks for longer than a minute.
        node_timeout: seconds. It sets the time until a difference is confirmed, which is longer than the time until a
            heartbeat shows that the node was declared dead.
    """

    def __init__(
        self,
        database: TaskDatabase,
        in_flight: InFlight,
        orders: Orders,
        schedule: Schedule,
        tell_root: Callable[[Message], None],
        *,
        node_timeout: float,
        rows_stay: bool,
    ) -> None:
        self._database = database
        self._in_flight = in_flight
        self._orders = orders
        self._schedule = schedule
        self._tell_root = tell_root
        self._period = min(MAX_PERIOD, node_timeout * 2 / 3)
        self._confirmation = min(MAX_CONFIRMATION, node_timeout / 3)
        self._is_after_outage = False
        self._comparison = Comparison()
        self._settled = SettledClaims(rows_stay=rows_stay)
        self._set_aside: set[Token] = set()
        self._reported = self._name = ""

    def settled(self, tokens: list[Token], now: float) -> None:
        """Remember claims whose settlement the database has acknowledged."""
        self._settled.add(tokens, now)

    def run_if_due(self, now: float) -> bool:
        """Compare with the table if it is time. Returns whether something was written."""
        owner = self._orders.owner
        if self._database.has_recovered:
            self._database.has_recovered = False
            self._is_after_outage = True
            self._schedule.reconcile_now()
        if now < self._schedule.reconcile_at or not owner or self._database.is_away(now):
            return False
        self._schedule.reconcile_at = now + self._period
        claims = self._database.claims(self._orders.all_owners)
        if claims is None:
            return False
        in_table, in_doubt = claims
        found = self._comparison.look(in_table, self._in_flight.by_id, in_doubt, owner)
        if found.are_suspected:
            self._schedule.reconcile_within(now, self._confirmation)
        if found.missing:
            self.check_missing(found.missing)
        if undone := self._settled.undone(in_table):
            self._report(undone)
        self._check_settled(now)
        self._is_after_outage = False
        return self._release(found.unheld)

    def _release(self, unheld: list[Token]) -> bool:
        """Release a batch of claims; those that could not be released before come last."""
        self._set_aside &= set(unheld)
        batch = sorted(unheld, key=self._set_aside.__contains__)[:BATCH]
        released = self._database.release_unheld(batch) if batch else None
        if released is None:
            return False
        self._set_aside |= set(batch) - released
        if len(unheld) - len(released) > len(self._set_aside):
            self._schedule.reconcile_now()
        log_released(log, released)
        if released:
            self._schedule.claim_now()
        return bool(released)

    def move_to_new_name(self) -> None:
        """Move the claims of the tasks in flight to the node's new name, so that healers do not return them.

        A claim that is missing in the table stays under the old name. Its settlement will change nothing.
        """
        owner = self._orders.owner
        tasks = [task for task in self._in_flight.by_id.values() if task.row.claimed_by != owner]
        moved = self._database.move_claims([task.row.token for task in tasks], owner)
        if moved is None:
            return
        self._orders.is_renamed = False
        if owner != self._name:
            self._name = owner
            self._settled.clear()
        for task in tasks:
            row = msgspec.structs.replace(task.row, claimed_by=owner)
            if row.token in moved:
                task.row = row

    def claimed_again(self, former: Iterable[TaskRow]) -> None:
        """Check claims of tasks that are in flight already. These tasks continue, and settle the new claim.

        Args:
            former: the former rows of these tasks.
        """
        for row in former:
            again = self._in_flight.by_id[row.id].row
            log.info(
                "task %s was claimed again while it is in flight on this node: goque does not run it twice",
                row.id,
            )
            if row.claimed_by == self._orders.owner and again.claims <= row.claims:
                self._report(
                    f"claim {row.claims} of task {row.id} was acknowledged, but the task could be claimed again "
                    f"as claim {again.claims}"
                )

    def check_missing(self, tasks: Sequence[ClaimedTask]) -> None:
        """Report lost commits if one of these tasks, whose claim is not in the table, has an older row now."""
        owner = self._orders.owner
        suspects = {
            task.row.id: task.row for task in tasks if task.row.claimed_by == owner and not task.canceled
        }
        for row in self._database.rows(list(suspects)[:SOME_IDS]) or ():
            before = suspects[row.id]
            if row.claims < before.claims:
                self._report(
                    f"claim {before.claims} of task {row.id} was acknowledged, but the table has {row.claims} claims"
                )

    def _check_settled(self, now: float) -> None:
        """Report lost commits if the table has lost a settlement that it acknowledged recently."""
        sample = self._settled.sample(now)
        rows = self._database.rows([token.task_id for token in sample]) if sample else None
        if rows is not None and (
            lost := self._settled.judge(sample, rows, after_outage=self._is_after_outage)
        ):
            self._report(lost)

    def _report(self, what: str) -> None:
        """Tell the root, once for each name of the node. The root stops all claims until there is a new name."""
        owner = self._orders.owner
        if owner != self._reported:
            self._reported = owner
            self._settled.clear()
            self._tell_root(CommitsLost(owner, what))
