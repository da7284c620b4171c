"""Bulk actions: resets or cancels all tasks of a search in a thread, each at most once.

A cancel begins with the newest task. A reset begins with the oldest, so that tasks follow which were canceled because
of one that they need.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, TypeVar

from goque.errors import DatabaseUnavailableError, GoqueError, TaskNotFoundError, TaskStateError
from goque.storage import TaskStorage
from goque.storage.resets import oldest_first
from goque.storage.search_types import TaskSearch

AT_ONCE: Final = 200
TRIES: Final = 20
PAUSE: Final = 0.5
SHOWN_FOR: Final = 60.0

ResultT = TypeVar("ResultT")

log = logging.getLogger("goque.dashboard")


class BusyError(GoqueError):
    """Another bulk action is running."""


@dataclass(frozen=True)
class Progress:
    """The progress of a bulk action.

    Attributes:
        what: the action in words, `reset all tasks that are waiting (error)`.
        moved: how many tasks were changed.
        passed: how many were found but could no longer be changed.
        is_over: whether it has ended.
        trouble: why it ended early.
    """

    what: str
    moved: int = 0
    passed: int = 0
    is_over: bool = False
    trouble: str | None = None


@dataclass
class Bulk:
    """Runs at most one bulk action at a time."""

    _lock: threading.Lock = field(default_factory=threading.Lock)
    _progress: Progress | None = None
    _ended_at: float = 0.0
    _is_stopped: bool = False
    _thread: threading.Thread | None = None

    def close(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def progress(self) -> Progress | None:
        """Return the progress of the running action, or of one that ended within the last minute."""
        progress = self._progress
        recent = progress is not None and (
            not progress.is_over or time.monotonic() - self._ended_at < SHOWN_FOR
        )
        return progress if recent else None

    def start(
        self,
        what: str,
        storage: TaskStorage,
        search: TaskSearch,
        move: Callable[[str], bool],
        who: str,
        *,
        is_reset: bool = False,
    ) -> None:
        """Start a bulk action.

        Args:
            what: the action in words.
            storage: where the tasks are.
            search: the tasks.
            move: changes one of them.
            who: who asked for it.
            is_reset: whether to begin with the oldest, and to try again what was refused.

        Raises:
            BusyError: another one is running.
        """
        self._start(what, who, lambda: self._change_found(storage, search, move, is_reset=is_reset))

    def start_steps(self, what: str, steps: Iterable[tuple[int, int]], who: str) -> None:
        """Start a bulk action that goes in steps of its own.

        Args:
            what: the action in words.
            steps: after each step, how many tasks were changed and how many were left, from the beginning.
            who: who asked for it.

        Raises:
            BusyError: another one is running.
        """
        self._start(what, who, lambda: self._follow(steps))

    def _start(self, what: str, who: str, work: Callable[[], None]) -> None:
        with self._lock:
            if self._progress is not None and not self._progress.is_over:
                raise BusyError(f"wait until this bulk action has ended, or stop it: {self._progress.what}")
            self._progress, self._is_stopped = Progress(what), False
        self._thread = threading.Thread(target=self._run, args=(work, who), name="goque bulk", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the running action after its current task."""
        self._is_stopped = True

    def _change_found(
        self, storage: TaskStorage, search: TaskSearch, move: Callable[[str], bool], *, is_reset: bool
    ) -> None:
        found = _found(storage, search)
        refused = self._move_all(oldest_first(found) if is_reset else found, move)
        while is_reset and refused and not self._is_stopped:
            again = self._move_all(refused, move, are_passed=True)
            if len(again) == len(refused):
                break
            refused = again

    def _follow(self, steps: Iterable[tuple[int, int]]) -> None:
        for moved, passed in steps:
            self._progress = replace(self._now(), moved=moved, passed=passed)
            if self._is_stopped:
                break

    def _run(self, work: Callable[[], None], who: str) -> None:
        trouble: str | None = "it ended with an error; see the log"
        try:
            work()
            trouble = "somebody stopped it" if self._is_stopped else None
        except GoqueError as error:
            trouble = str(error)
        except Exception:
            log.exception("a bulk action failed")
        finally:
            self._ended_at = time.monotonic()
            self._progress = progress = replace(self._now(), is_over=True, trouble=trouble)
            log.info(
                "%s: %s: %d changed, %d unchanged%s",
                who,
                progress.what,
                progress.moved,
                progress.passed,
                f"; {trouble}" if trouble else "",
                extra={"viewer": who},
            )

    def _move_all(
        self, task_ids: Iterable[str], move: Callable[[str], bool], *, are_passed: bool = False
    ) -> list[str]:
        """Change tasks, and return those that were refused; `are_passed` if they count as such already."""
        refused = []
        for task_id in task_ids:
            if self._is_stopped:
                break
            moved = False
            try:
                moved = _insist(partial(move, task_id))
            except TaskNotFoundError:
                pass
            except TaskStateError:
                refused.append(task_id)
            now = self._now()
            passed = now.passed - moved if are_passed else now.passed + (not moved)
            self._progress = replace(now, moved=now.moved + moved, passed=passed)
        return refused

    def _now(self) -> Progress:
        assert self._progress is not None
        return self._progress


def _found(storage: TaskStorage, search: TaskSearch) -> Iterator[str]:
    """Yield the tasks of a search page by page; a task that matches again later is on an earlier page."""
    before: str | None = None
    while True:
        page = _insist(partial(storage.search_tasks, search, before=before, limit=AT_ONCE))
        yield from (line.id for line in page.lines)
        before = page.before
        if before is None:
            return


def _insist(attempt: Callable[[], ResultT]) -> ResultT:
    """Retry for some seconds while the database is unavailable."""
    for _ in range(TRIES):
        try:
            return attempt()
        except DatabaseUnavailableError:
            time.sleep(PAUSE)
    return attempt()
