"""The ordered end of a tree: who is told what, what is finished, what is given back, and how long it may take.

1. scheduler, cleaner and healer end, and fetchers stop claiming and give back what has not begun;
2. running handlers go on until the deadline, then their workers are killed and their tasks given back, uncharged;
3. each fetcher writes the last results and says Drained; its workers end, then it ends;
4. lease and monitor end last; the root sweeps up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goque_supervisor.root.child import Child
    from goque_supervisor.root.supervisor import Root

log = logging.getLogger("goque.supervisor")

WRITE_LIMIT = 5.0
FIRST_TO_END = ("scheduler", "cleaner", "healer", "reloader")


class Shutdown:
    """One shutdown; `advance` moves it on whenever something has ended."""

    def __init__(self, root: Root, reason: str, exit_code: int) -> None:
        self._root = root
        self._reason = reason
        self._asked_code = exit_code
        self._at_deadline = False
        self._last = False

    def begin(self) -> None:
        """Start the shutdown."""
        limit = self._root.options.shutdown_timeout
        runs = any(worker.box and worker.box.read().running for worker in self._workers())
        log.info(
            "stopping (%s): %s", self._reason, f"running handlers have {limit:g}s" if runs else "nothing runs"
        )
        for name in FIRST_TO_END:
            child = self._root.family.children.named(name)
            if child is not None:
                self._root.family.stop(child)
        for group in self._root.groups.values():
            group.drain()
        self._root.timers.after(limit, lambda: self._end_running("at the deadline"))
        self.advance()

    def hurry(self, reason: str) -> None:
        """Give back now what is still running."""
        log.info("%s again: stopping now", reason)
        self._end_running("at the second signal")

    def advance(self) -> None:
        """Take the next step once all before it is done."""
        root = self._root
        if not all(group.is_gone for group in root.groups.values()):
            return
        if any(root.family.children.named(name) for name in FIRST_TO_END):
            return
        if not self._last:
            self._last = True
            for name in ("lease", "monitor"):
                child = root.family.children.named(name)
                if child is not None:
                    root.family.stop(child)
        if len(root.family.children) == 0 and root.exit_code is None:
            root.exit_code = self._exit_code()
            log.info("stopped")

    def _end_running(self, when: str) -> None:
        if self._at_deadline:
            return
        self._at_deadline = True
        running = sum(len(worker.box.read().running) for worker in self._workers() if worker.box is not None)
        if running:
            log.warning("%d task(s) still running %s: they are stopped and given back", running, when)
        for group in self._root.groups.values():
            group.kill_workers("shutdown")
        self._root.timers.after(WRITE_LIMIT, self._on_last_deadline)
        self.advance()

    def _workers(self) -> Iterator[Child]:
        for group in self._root.groups.values():
            yield from group.workers

    def _on_last_deadline(self) -> None:
        if self._root.exit_code is not None:
            return
        undrained = [name for name, group in self._root.groups.items() if group.drained is None]
        for child in self._root.family.children:
            self._root.family.kill(child, "shutdown")
        if undrained:
            self._root.leave_black_boxes = True
            self._root.give_up(
                f"the last results of {', '.join(undrained)} could not be written to the database; "
                "they are healed as after the loss of a node",
                3,
            )
        else:
            self._root.exit_code = self._exit_code()
        unwritten = f"; unwritten: {', '.join(undrained)}" if undrained else ""
        log.info("stopped by force, with exit code %s%s", self._root.exit_code, unwritten)

    def _exit_code(self) -> int:
        unwritten = sum(group.drained.unwritten for group in self._root.groups.values() if group.drained)
        return 3 if unwritten else self._asked_code
