"""What becomes of a task whose owner is dead: a table of rows."""

from __future__ import annotations

import msgspec
import pytest

from goque import retry
from goque.retry import DEFAULT, Static, Step, exponential
from goque.storage.contract import TypePolicy
from goque.task_row import TaskRow
from goque_supervisor.actors.healing import heal, retry_policy, strategy_of
from unit.rows import row

CAUSE = "node lost: host a (supervisor pid 7) sent no more heartbeats while it ran this task"
POLICY = TypePolicy(
    type="t",
    max_attempts=3,
    strategy=msgspec.json.encode(retry.static(60)).decode(),
    max_crashes=None,
    cleaner_age=1.0,
    cleaner_keep_failed=1.0,
    healer_age=1.0,
)


def held(status: str, *, attempts: int = 0, lost_claims: int = 0, owner: str | None = "n1") -> TaskRow:
    errors = "attempt 1: x\n" * attempts or None
    return row(
        status=status, attempts=attempts, errors=errors, claimed_by=owner, claims=4, lost_claims=lost_claims
    )


@pytest.mark.parametrize(
    ("task", "policy", "expected"),
    [
        (held("processing"), POLICY, ("error", 1, True, 0)),
        (held("processing", attempts=1), POLICY, ("error", 2, True, 0)),
        (held("processing", attempts=2), POLICY, ("attempts_left", 3, True, 0)),
        (held("pending"), POLICY, ("new", 0, False, 1)),
        (held("pending", attempts=1), POLICY, ("error", 1, False, 1)),
        (held("pending", lost_claims=9), POLICY, ("new", 0, False, 10)),
        (held("pending", lost_claims=10), POLICY, ("attempts_left", 0, False, 11)),
        (held("processing", owner=None), POLICY, ("error", 1, True, 0)),
        (held("pending", owner=None), POLICY, ("new", 0, False, 0)),
        (held("processing"), None, ("new", 0, False, 0)),
        (held("processing", attempts=9), None, ("error", 9, False, 0)),
        (held("pending"), None, ("new", 0, False, 0)),
        (held("canceled"), POLICY, ("canceled", 0, False, 0)),
        (held("done", attempts=1), POLICY, ("done", 1, False, 0)),
        (held("new"), POLICY, ("new", 0, False, 0)),
    ],
)
def test_what_ran_is_charged_what_had_not_begun_is_free_and_what_others_moved_stays(
    task: TaskRow, policy: TypePolicy | None, expected: tuple[str, int, bool, int]
) -> None:
    status, attempts, charged, lost_claims = expected
    change = heal(task, CAUSE, policy)
    assert (change.status, change.attempts, change.lost_claims) == (status, attempts, lost_claims)
    assert change.token == task.token
    assert ((change.errors or "").endswith(f"attempt {attempts}: {CAUSE}\n")) == charged
    if charged and status == "error":
        assert change.delay == 0, "a task that lost its node is due at once"


def test_a_task_that_keeps_losing_its_node_before_it_begins_says_so_when_it_is_given_up() -> None:
    change = heal(held("pending", lost_claims=10), CAUSE, POLICY)
    assert "11 nodes in a row died holding this task" in (change.errors or "")
    assert change.failed is not None


def test_a_published_policy_is_read_back() -> None:
    read = retry_policy(POLICY)
    assert (read.max_attempts, read.strategy, read.max_crashes) == (3, retry.static(60), None)
    assert retry_policy(msgspec.structs.replace(POLICY, strategy=None)).strategy is None


@pytest.mark.fault(59)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "garbage",
        "null",
        "{}",
        '{"type": "step", "periods": []}',
        '{"type": "static", "period": -5}',
        '{"type": "static", "period": 1e300}',
        '{"type": "exponential", "base": 1, "maximum": 2, "jitter": 7}',
        '{"type": "exponential", "base": 1, "maximum": 2, "factor": -3}',
        '{"type": "exponential", "base": 1, "maximum": 2, "factor": 1e300}',
        '{"type": "step", "periods": [1, 1e308]}',
        "[" * 10_000,
        "\u017e",
    ],
)
def test_a_published_strategy_that_is_none_is_the_default(text: str) -> None:
    assert strategy_of(text, "mail") == DEFAULT


@pytest.mark.fault(59)
def test_a_published_strategy_is_read() -> None:
    assert strategy_of('{"type": "static", "period": 5}', "mail") == Static(5.0)
    assert strategy_of('{"type": "step", "periods": [1, 2]}', "mail") == Step((1.0, 2.0))
    assert strategy_of(
        '{"type": "exponential", "base": 1, "maximum": 9, "factor": 3}', "mail"
    ) == exponential(1, 9, factor=3)
