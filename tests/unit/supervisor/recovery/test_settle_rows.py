from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from goque.outcome import Change
from goque.task_row import TaskRow, TaskStatus, Token
from goque_supervisor.recovery.settle_rows import Decided, decide_each, settle_each

pytestmark = pytest.mark.fault(59)
NOW = datetime(2026, 11, 23, 21, 2, 33, tzinfo=UTC)
ROWS = [TaskRow(str(n), "mail", "x", b"", "pending", 0, None, None, NOW, None, NOW) for n in range(7)]


def decide(row: TaskRow) -> Change:
    if row.id == "3":
        raise ValueError("not this one")
    return Change(row.token, TaskStatus.NEW, 0)


def test_a_row_that_cannot_be_decided_or_written_keeps_back_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def write(decided: Sequence[Decided]) -> set[Token]:
        assert [row.token for row, _change in decided] == [change.token for _row, change in decided]
        if any(row.id == "5" for row, _change in decided):
            raise ValueError("integer out of range")
        return {row.token for row, _change in decided}

    assert {token.task_id for token in settle_each(decide_each(ROWS, decide), write)} == set("01246")
    [line] = caplog.messages  # one a minute for each type
    assert line == (
        "cannot return task '3' of type 'mail' (ValueError: not this one): it stays claimed for now, and "
        "other tasks are not affected"
    )
