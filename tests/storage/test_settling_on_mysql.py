"""Plain successes of MySQL and MariaDB, which one statement writes where it can."""

from __future__ import annotations

import pytest
from backends import MysqlBackend, add, claim, done, row_of

UNDO_ENDS = """
    CREATE TRIGGER undo_ends BEFORE UPDATE ON goque_task FOR EACH ROW
    IF OLD.external_id = 'stuck' AND NEW.status = 'done' THEN
        SET NEW.status = OLD.status, NEW.claimed_by = OLD.claimed_by, NEW.lost_claims = 7;
    END IF"""


@pytest.fixture
def backend(mysql: MysqlBackend) -> MysqlBackend:
    return mysql


def test_a_batch_with_a_lost_claim_is_written_without_it(storage, backend):
    tasks = [add(storage) for _ in range(5)]
    rows = claim(storage)
    backend.execute("UPDATE goque_task SET claims = claims + 1 WHERE id = :id", id=rows[2].id)
    written = storage.settle_if_held([done(row) for row in rows])
    assert written == {row.token for row in rows} - {rows[2].token}
    assert sorted(row_of(storage, task).status for task in tasks) == ["done"] * 4 + ["pending"]


def test_an_end_that_a_trigger_undoes_is_not_reported_as_written(storage, backend):
    backend.execute(UNDO_ENDS)
    stuck, other = add(storage, external_id="stuck"), add(storage)
    rows = claim(storage)
    written = storage.settle_if_held([done(row) for row in rows])
    assert {token.task_id for token in written} == {other.id}
    assert (row_of(storage, stuck).status, row_of(storage, other).status) == ("pending", "done")
