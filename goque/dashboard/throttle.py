"""Limits how often a client may give a wrong token, so that nobody guesses it and nobody floods the log."""

from __future__ import annotations

import ipaddress
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_WRONG: Final = 5
"""How many wrong tokens a client may give in `PERIOD` seconds."""

PERIOD: Final = 60.0
MAX_CLIENTS: Final = 1000

log = logging.getLogger("goque.dashboard")


@dataclass
class _Tries:
    count: int
    until: float


class Throttle:
    """Counts the wrong tokens of each client; an IPv6 network of 64 bits is one client.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tries: dict[str, _Tries] = {}
        self._guard = threading.Lock()

    def wait_for(self, client: str) -> int:
        """Return for how many seconds the tokens of a client are refused; 0 if they are checked."""
        with self._guard:
            tries = self._tries.get(_network(client))
            if tries is None or tries.count < MAX_WRONG:
                return 0
            return max(0, math.ceil(tries.until - self._clock()))

    def note_wrong(self, client: str) -> None:
        """Count a wrong token, and log it."""
        log.warning("wrong token from %s", client, extra={"client": client})
        with self._guard:
            tries = self._current(_network(client))
            tries.count += 1
            is_full = tries.count == MAX_WRONG
            if is_full:
                tries.until = self._clock() + PERIOD
        if is_full:
            log.warning(
                "%s gave %d wrong tokens: its tokens are refused for %.0fs", client, MAX_WRONG, PERIOD
            )

    def note_right(self, client: str) -> None:
        """Forget the wrong tokens of a client that has the right one."""
        with self._guard:
            self._tries.pop(_network(client), None)

    def _current(self, network: str) -> _Tries:
        now = self._clock()
        found = self._tries.get(network)
        if found is not None and found.until > now:
            return found
        self._tries.pop(network, None)
        if len(self._tries) >= MAX_CLIENTS:
            del self._tries[next(iter(self._tries))]
        self._tries[network] = made = _Tries(0, now + PERIOD)
        return made


def _network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client.partition("%")[0])
    except ValueError:
        return client
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is None:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
