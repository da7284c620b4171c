"""Tells the root of failed attempts, for the app's `on_failure`; without one it tells nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from goque.outcome import Change
from goque_supervisor.fetcher.in_flight import ClaimedTask
from goque_supervisor.ipc.control import AttemptsFailed, Message
from goque_supervisor.ipc.failure_report import encode_failure

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Characters of one message to the root, unless a single report is longer."""


class FailureReports:
    """Reports each failed attempt once, after it is committed.

    Args:
        tell_root: sends a message to the root.
        wanted: whether the registry has an `on_failure`.
    """

    def __init__(self, tell_root: Callable[[Message], None], *, wanted: bool) -> None:
        self._tell_root = tell_root
        self._wanted = wanted

    def tell(self, settled: Iterable[tuple[ClaimedTask, Change, bool]]) -> None:
        """Report the failed attempts among tasks with their changes, and whether these were written."""
        if not self._wanted:
            return
        reports: list[str] = []
        size = 0
        for task, change, written in settled:
            if not written or change.failed is None or change.attempts <= task.row.attempts:
                continue
            report = encode_failure(task.row, change, change.failed)
            if reports and size + len(report) > MAX_MESSAGE:
                self._tell_root(AttemptsFailed(reports))
                reports, size = [], 0
            reports.append(report)
            size += len(report)
        if reports:
            self._tell_root(AttemptsFailed(reports))
