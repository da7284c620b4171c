"""Reads how much memory the processes of a tree use, without making a heartbeat wait for it.

Workers share most pages with the nursery that forked them. Resident memory counts these pages in each process, so that
the sum of a tree is far too high. The proportional size divides them among the processes that share them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import Final

from goque_supervisor.ipc.os_process import proportional_memory

log = logging.getLogger("goque.lease")

PATIENCE: Final = 0.25
"""Seconds that a report waits for new figures."""

REST: Final = 100
"""A process is next read after this many times as long as it took: the kernel holds its memory map meanwhile."""

MAX_REST: Final = 300.0


class MemoryReader:
    """Reads memory in a thread, because the kernel may make the reader wait as long as a process hangs.

    Args:
        read: returns the memory of a process in bytes, or None.
        patience: seconds to wait for new figures.
    """

    def __init__(
        self, read: Callable[[int], int | None] = proportional_memory, patience: float = PATIENCE
    ) -> None:
        self._read = read
        self._patience = patience
        self._known: dict[int, int] = {}
        self._due: dict[int, float] = {}
        self._thread: threading.Thread | None = None

    def read(self, pids: Collection[int]) -> dict[int, int]:
        """Return the newest figures that are known of these processes; those that could not be read are left out."""
        if self._thread is None or not self._thread.is_alive():
            self._forget(pids)
            try:
                self._thread = threading.Thread(
                    target=self._round, args=(tuple(pids),), name="memory", daemon=True
                )
                self._thread.start()
                self._thread.join(self._patience)
            except RuntimeError as error:  # the system has no thread left; the next report tries again
                self._thread = None
                log.debug("memory is not read this time: %s", error)
        found = {pid: self._known.get(pid) for pid in pids}  # the thread may remove one at any time
        return {pid: size for pid, size in found.items() if size is not None}

    def _forget(self, pids: Collection[int]) -> None:
        for pid in self._due.keys() - set(pids):
            self._due.pop(pid)
            self._known.pop(pid, None)

    def _round(self, pids: Collection[int]) -> None:
        for pid in pids:
            started = time.monotonic()
            if started < self._due.get(pid, 0.0):
                continue
            size = self._read(pid)
            if size is None:
                self._known.pop(pid, None)
            else:
                self._known[pid] = size
            now = time.monotonic()
            self._due[pid] = now + min(MAX_REST, REST * (now - started))
