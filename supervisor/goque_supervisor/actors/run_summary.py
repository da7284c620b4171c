"""Log once a minute how many tasks have ended, and how."""

from __future__ import annotations

import logging
import time
from collections import Counter
from pathlib import Path
from typing import Final

from goque_supervisor.metrics.counters import RUN_ENDS, read_counters

PERIOD: Final = 60.0


class RunSummary:
    """Compares the counters of a tree with those of a minute ago.

    The monitor logs the summary. A tree without a monitor has its lease do so.
    """

    def __init__(self, run_directory: Path, log: logging.Logger) -> None:
        self._run_directory = run_directory
        self._log = log
        self._logged: Counter[str] = Counter()
        self.due_at = time.monotonic() + PERIOD

    def log_if_due(self, now: float) -> None:
        """Log the runs of the last minute. It logs nothing if there were none."""
        if now < self.due_at:
            return
        self.due_at = now + PERIOD
        ended: Counter[str] = Counter()
        for counts in read_counters(self._run_directory).values():
            ended.update({status: int(counts[f"processed:{status}"]) for status in RUN_ENDS})
        recent = ended - self._logged
        self._logged = ended
        if recent:
            parts = ", ".join(f"{count} {status}" for status, count in sorted(recent.items()))
            self._log.info("runs of tasks in the last minute: %s", parts)
