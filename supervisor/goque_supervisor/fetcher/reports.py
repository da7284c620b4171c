"""Tell the root whether the pool of a fetcher is idle or drained."""

from __future__ import annotations

from collections.abc import Callable

from goque_supervisor.fetcher.claiming.claims import Claims
from goque_supervisor.fetcher.dead_workers import DeadWorkers
from goque_supervisor.fetcher.in_flight import InFlight
from goque_supervisor.fetcher.orders import Orders
from goque_supervisor.ipc.control import Drained, Idle, Message


class Reports:
    """What the root is told, each when it has changed or is due.

    Args:
        in_flight: the tasks in flight.
        dead_workers: the workers whose black boxes are still to be read.
        claims: what was claimed, and what is due.
        orders: the orders of the root.
        tell_root: sends a message to the root.
        reports_idle: whether the root waits until all pools are idle.
    """

    def __init__(
        self,
        in_flight: InFlight,
        dead_workers: DeadWorkers,
        claims: Claims,
        orders: Orders,
        tell_root: Callable[[Message], None],
        *,
        reports_idle: bool,
    ) -> None:
        self._in_flight = in_flight
        self._dead_workers = dead_workers
        self._claims = claims
        self._orders = orders
        self._tell_root = tell_root
        self._reports_idle = reports_idle
        self._idle: bool | None = None
        self._drained = False

    def tell(self, now: float) -> None:
        """Tell what has changed."""
        if self._reports_idle:
            self._tell_idle(now)
        if self._orders.draining and not self._in_flight and not self._drained:
            self._drained = True
            self._tell_root(Drained())

    def _tell_idle(self, now: float) -> None:
        has_looked = self._orders.paused or self._claims.has_looked(now)
        has_work = bool(self._in_flight) or self._dead_workers.is_pending
        idle = has_looked and not has_work and (self._orders.paused or not self._claims.leaves_due)
        check = self._orders.idle_check
        if idle != self._idle or (check and (has_looked or not idle)):
            self._tell_root(Idle(idle, check))
            self._idle, self._orders.idle_check = idle, 0
