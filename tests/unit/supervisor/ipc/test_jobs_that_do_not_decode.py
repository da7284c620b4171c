from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from goque.outcome import OutcomeKind
from goque.task_row import TaskRow
from goque_supervisor.ipc.messages import Job, Jobs, decode_each_job, encode

pytestmark = pytest.mark.fault(59)
NOW = datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)


def row(**fields: Any) -> TaskRow:
    usual = TaskRow("id", "mail", "x", b"{}", "pending", 0, None, None, NOW, None, NOW)
    return msgspec.structs.replace(usual, **fields)


def test_jobs_that_decode_are_as_they_were_sent() -> None:
    sent = Jobs([Job(1, row()), Job(2, row(attempts=3))], [7])
    assert decode_each_job(encode(sent)) == (sent, [])


def test_a_job_that_does_not_decode_is_a_failed_attempt_and_the_others_remain() -> None:
    jobs, refused = decode_each_job(encode(Jobs([Job(1, row(attempts=1.5)), Job(2, row())], [7])))
    assert jobs == Jobs([Job(2, row())], [7])
    [result] = refused
    assert (result.seq, result.outcome.kind, result.outcome.undecodable) == (1, OutcomeKind.FAILED, True)
    assert "cannot decode this task's row" in result.outcome.error
