"""A crash report crosses processes whole."""

from __future__ import annotations

import pytest

from goque.outcome import Outcome, OutcomeKind
from goque.task_rules.crash_evidence import CrashEvidence
from goque_supervisor.ipc.crash_report import CrashReport, decode_crash, encode_crash
from unit.rows import row

CRASHED = Outcome(OutcomeKind.CRASHED, "signal 11 (SIGSEGV)", pid=7, crash=CrashEvidence(None, 11))


@pytest.mark.parametrize(
    ("report", "attempt"),
    [
        (CrashReport(row(attempts=2), CRASHED, "it runs again in 10 s"), 3),
        (CrashReport(None, CRASHED), 0),
    ],
    ids=["a task", "an idle worker"],
)
def test_a_report_is_decoded_as_it_was(report: CrashReport, attempt: int) -> None:
    decoded = decode_crash(encode_crash(report))
    assert decoded == report
    assert decoded.attempt == attempt
