"""The fetcher's report about a crash to the process that calls the user's functions, as JSON through the root."""

from __future__ import annotations

import msgspec

from goque.outcome import Outcome
from goque.task_row import TaskRow


class CrashReport(msgspec.Struct, frozen=True):
    """The data of a WorkerCrash.

    Attributes:
        row: the task as it was claimed, None if the worker was idle.
        outcome: the outcome of the task's run; if the worker was idle, how its process ended.
        follows: a text that says what happens to the task next.
    """

    row: TaskRow | None
    outcome: Outcome
    follows: str = ""

    @property
    def attempt(self) -> int:
        """The attempt that is charged, 0 for none."""
        return self.row.attempts + 1 if self.row else 0


def encode_crash(report: CrashReport) -> str:
    """Encode a report for the `crash` of `CallbackWanted`."""
    return msgspec.json.encode(report).decode()


def decode_crash(text: str) -> CrashReport:
    """Decode the text of `encode_crash`."""
    return msgspec.json.decode(text, type=CrashReport)
