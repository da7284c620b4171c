"""A run that went well and took long is on record: when it began, how long it took, and who ran it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from backends import add, claim, row_of

from goque.outcome import RECORDED_SECONDS, Outcome, OutcomeKind, settle
from goque.task_rules.retry_policy import RetryPolicy

POLICY = RetryPolicy()


def end_well(storage, row, seconds, *, policy=POLICY, **more):
    """Write that the run of a claimed task went well after some seconds in worker 77."""
    outcome = Outcome(OutcomeKind.DONE, duration=seconds, pid=77, **more)
    change = settle(outcome, row, policy, "v7")
    assert storage.settle_if_held([change], node="node-1") == {row.token}


def claimed(storage):
    add(storage)
    [row] = claim(storage)
    storage.mark_processing([row.token])
    return row


@pytest.mark.parametrize("more", [{}, {"result": b"7"}], ids=["plain", "with a result"])
def test_a_long_run_that_went_well_is_on_record_and_is_no_failure(storage, more):
    row = claimed(storage)
    end_well(storage, row, 2.5, **more)
    [run] = storage.attempts(row.id)
    assert (run.node, run.failed.worker_pid, run.failed.attempt, run.failed.app_version) == (
        "node-1",
        77,
        1,
        "v7",
    )
    assert run.ended_at - run.started_at == timedelta(seconds=2.5)
    assert run.ended_at == row_of(storage, row).updated_at
    assert row_of(storage, row).status == "done"
    assert storage.failed_attempts(row.id) == []
    assert storage.failures() == []
    assert storage.failure_groups() == []


def test_a_short_run_leaves_no_record(storage):
    row = claimed(storage)
    end_well(storage, row, RECORDED_SECONDS * 0.99)
    assert storage.attempts(row.id) == []
    assert row_of(storage, row).status == "done"


def test_a_long_run_whose_task_is_deleted_with_its_success_leaves_nothing(storage):
    row = claimed(storage)
    end_well(storage, row, 60.0, policy=RetryPolicy(deletes_done=True))
    assert storage.get_task(row.id) is None
    assert storage.attempts(row.id) == []


def test_a_long_run_whose_claim_is_lost_leaves_no_record(storage, other):
    row = claimed(storage)
    other.cancel_unless_finished(row.id)
    change = settle(Outcome(OutcomeKind.DONE, duration=9.0, pid=77), row, RetryPolicy())
    assert storage.settle_if_held([change], node="node-1") == set()
    assert storage.attempts(row.id) == []


def test_the_record_of_a_long_run_goes_with_its_task(storage):
    row = claimed(storage)
    end_well(storage, row, 2.5)
    assert storage.delete_if_finished([row.id]) == {row.id}
    assert storage.attempts(row.id) == []
