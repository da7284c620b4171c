"""Tells the root of failed attempts, for the functions of the app; an app without such functions is told nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from goque_supervisor.ipc.control import AttemptsFailed, Message
from goque_supervisor.ipc.failure_report import Reported, encode_failure, failure_report
from goque_supervisor.recovery.settle_rows import Decided

MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Characters of one message to the root, unless a single report is longer."""


class FailureReports:
    """Reports each failed attempt once, after it is committed.

    Args:
        tell_root: sends a message to the root.
        wanted: which attempts of each type are reported, as values of `Reported`; none of a type that is not named.
    """

    def __init__(self, tell_root: Callable[[Message], None], wanted: Mapping[str, str]) -> None:
        self._tell_root = tell_root
        self._wanted = {name: which for name, which in wanted.items() if which != Reported.NONE}

    def tell(self, written: Iterable[Decided]) -> None:
        """Report the failed attempts among rows, as they were before, with their committed changes."""
        if not self._wanted:
            return
        reports: list[str] = []
        size = 0
        for row, change in written:
            which = self._wanted.get(row.type)
            if change.failed is None or not change.failed.is_failure or which is None:
                continue
            report = failure_report(row, change, change.failed)
            if which != Reported.ALL and not report.is_final_without_worker:
                continue
            text = encode_failure(report)
            if reports and size + len(text) > MAX_MESSAGE:
                self._tell_root(AttemptsFailed(reports))
                reports, size = [], 0
            reports.append(text)
            size += len(text)
        if reports:
            self._tell_root(AttemptsFailed(reports))
