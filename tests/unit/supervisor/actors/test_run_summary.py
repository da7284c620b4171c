"""The line of each minute about ended tasks, from counters in a directory."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from goque_supervisor.actors.run_summary import PERIOD, RunSummary
from goque_supervisor.metrics.counters import Counters


def test_each_minute_tells_what_has_ended_since_the_last_and_a_quiet_one_tells_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    counters = Counters(str(tmp_path / "fetcher-mail.counters"), "mail")
    summary = RunSummary(tmp_path, logging.getLogger("goque.lease"))
    counters.count("processed:done", 3)
    counters.count("processed:error")
    first = summary.due_at
    summary.log_if_due(first - 1)
    assert caplog.messages == []
    summary.log_if_due(first)
    counters.count("processed:done")
    summary.log_if_due(first + PERIOD)
    summary.log_if_due(first + 2 * PERIOD)
    assert caplog.messages == [
        "runs of tasks in the last minute: 3 done, 1 error",
        "runs of tasks in the last minute: 1 done",
    ]
