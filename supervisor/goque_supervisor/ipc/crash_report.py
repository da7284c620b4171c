"""What the fetcher tells the process that calls a user's functions about a crash, as JSON through the root."""

from __future__ import annotations

import msgspec

from goque.outcome import Outcome
from goque.task import TaskRow


class CrashReport(msgspec.Struct, frozen=True):
    """A WorkerCrash as it crosses processes.

    Attributes:
        row: the task as it was claimed, None if the worker was idle.
        outcome: how the task's run ended; if the worker was idle, how its process ended.
        follows: what happens to the task next, in words.
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
    """Decode what `encode_crash` made."""
    return msgspec.json.decode(text, type=CrashReport)
