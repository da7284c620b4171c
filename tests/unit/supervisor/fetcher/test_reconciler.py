"""What a look at the table finds: claims that nobody holds, and claims in flight that the table does not know."""

from __future__ import annotations

from typing import Any

import pytest

from goque.task_row import TaskRow, Token
from goque_supervisor.fetcher.in_flight import ClaimedTask, InFlight
from goque_supervisor.fetcher.orders import Orders
from goque_supervisor.fetcher.reconciler import Comparison, Reconciler
from goque_supervisor.fetcher.schedule import Schedule
from goque_supervisor.ipc.control import CommitsLost
from unit.rows import row

NOW = 1000.0
OURS = Token("a", 1, "n2")
FORMER = Token("a", 1, "n1")


def held(token: Token, **columns: Any) -> ClaimedTask:
    return ClaimedTask(row(id=token.task_id, claims=token.claims, claimed_by=token.owner, **columns))


def test_a_claim_that_nobody_holds_counts_at_the_second_look() -> None:
    comparison = Comparison()
    first = comparison.look([OURS], {}, set(), "n2")
    assert (first.unheld, first.are_suspected) == ([], True)
    second = comparison.look([OURS], {}, set(), "n2")
    assert (second.unheld, second.are_suspected) == ([OURS], False)


def test_a_claim_under_a_former_name_counts_at_once() -> None:
    assert Comparison().look([FORMER], {}, set(), "n2").unheld == [FORMER]


@pytest.mark.parametrize("claims", [1, 2, 7])
def test_a_row_of_a_task_in_flight_is_held_whatever_claim_it_shows(claims: int) -> None:
    comparison = Comparison()
    for _look in range(3):
        found = comparison.look([Token("a", claims, "n2")], {"a": held(OURS)}, set(), "n2")
        assert found.unheld == []


def test_a_claim_in_doubt_is_left_alone() -> None:
    comparison = Comparison()
    for _look in range(3):
        assert comparison.look([OURS], {}, {OURS}, "n2").unheld == []


def test_a_difference_that_is_gone_at_the_next_look_is_forgotten() -> None:
    comparison = Comparison()
    comparison.look([OURS], {}, set(), "n2")
    comparison.look([], {}, set(), "n2")
    assert comparison.look([OURS], {}, set(), "n2").unheld == []


def test_a_task_in_flight_whose_claim_is_not_in_the_table_is_missing_at_the_second_look() -> None:
    comparison, task = Comparison(), held(OURS)
    assert comparison.look([], {"a": task}, set(), "n2").missing == []
    assert comparison.look([], {"a": task}, set(), "n2").missing == [task]


def test_a_task_in_flight_under_a_former_name_is_not_missing() -> None:
    comparison, task = Comparison(), held(FORMER)
    for _look in range(2):
        assert comparison.look([], {"a": task}, set(), "n2").missing == []


class Table:
    """A fetcher's database: what the table has, and what was asked of it."""

    def __init__(self) -> None:
        self.in_table: list[Token] = []
        self.found: dict[str, TaskRow] = {}
        self.has_recovered = False
        self.returned: list[Token] = []
        self.stuck: set[Token] = set()
        self.is_down = False

    def is_away(self, _now: float) -> bool:
        return self.is_down

    def claims(self, _owners: list[str]) -> tuple[list[Token], set[Token]] | None:
        return None if self.is_down else (self.in_table, set())

    def release_unheld(self, tokens: list[Token]) -> set[Token]:
        released = set(tokens) - self.stuck
        self.returned += released
        self.in_table = [token for token in self.in_table if token not in released]
        return released

    def rows(self, ids: list[str]) -> list[TaskRow]:
        return [self.found[task_id] for task_id in ids if task_id in self.found]

    def move_claims(self, tokens: list[Token], owner: str) -> set[Token]:
        kept = [token for token in tokens if token in self.in_table]
        self.in_table = [Token(token.task_id, token.claims, owner) for token in kept]
        return set(self.in_table)


class Setup:
    def __init__(self, owner: str = "n1") -> None:
        self.table: Any = Table()
        self.in_flight = InFlight(lambda _task: True, lambda _type: False)
        self.orders = Orders()
        self.orders.claim_as(owner)
        self.schedule = Schedule()
        self.told: list[Any] = []
        self.reconciler = Reconciler(
            self.table,
            self.in_flight,
            self.orders,
            self.schedule,
            self.told.append,
            node_timeout=30.0,
            rows_stay=True,
        )

    def claim(self, task_id: str = "a", claims: int = 1, owner: str = "n1") -> None:
        former = self.in_flight.add([row(id=task_id, claims=claims, claimed_by=owner)])
        self.reconciler.claimed_again(former)


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_looks_are_a_period_apart_and_a_difference_is_confirmed_sooner(setup: Setup) -> None:
    setup.reconciler.run_if_due(NOW)
    assert setup.schedule.reconcile_at == NOW + 20
    setup.table.in_table = [Token("a", 1, "n1")]
    assert not setup.reconciler.run_if_due(NOW + 19)
    assert not setup.reconciler.run_if_due(NOW + 20)
    assert setup.schedule.reconcile_at == NOW + 30
    assert setup.reconciler.run_if_due(NOW + 30)
    assert setup.table.returned == [Token("a", 1, "n1")]


@pytest.mark.parametrize(("owner", "is_down"), [("", False), ("n1", True)])
def test_nothing_is_looked_at_without_a_lease_or_a_database(owner: str, is_down: bool) -> None:
    setup = Setup(owner)
    setup.table.is_down = is_down
    assert not setup.reconciler.run_if_due(NOW)
    assert setup.schedule.reconcile_at == 0.0


def test_many_are_returned_in_batches_without_a_pause(setup: Setup) -> None:
    setup.table.in_table = [Token(f"t{n:03}", 1, "n0") for n in range(450)]
    for _turn in range(3):
        assert setup.reconciler.run_if_due(NOW)
    assert setup.table.in_table == []


def test_claims_that_cannot_be_released_keep_back_no_others_and_are_not_called_released(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    setup.table.in_table = [Token(f"t{n:03}", 1, "n0") for n in range(450)]
    setup.table.stuck = set(setup.table.in_table[:250])
    assert [setup.reconciler.run_if_due(NOW) for _turn in range(3)] == [False, True, True]
    assert set(setup.table.in_table) == setup.table.stuck
    assert "returned 150 task(s)" in caplog.text
    assert setup.schedule.reconcile_at == NOW + 20  # nothing but the stuck ones is left
    caplog.clear()
    assert not setup.reconciler.run_if_due(NOW + 20)
    assert setup.schedule.reconcile_at == NOW + 40
    assert caplog.text == ""


def test_a_task_that_is_claimed_again_is_not_run_twice_and_its_end_settles_the_new_claim(
    setup: Setup,
) -> None:
    setup.claim()
    task = setup.in_flight.by_id["a"]
    task.marked = True
    setup.claim()
    assert list(setup.in_flight.waiting(is_async=False)) == [task]
    assert (len(setup.in_flight), task.marked, task.row.claims) == (1, False, 1)
    [told] = setup.told
    assert isinstance(told, CommitsLost)
    assert (told.owner, "claim 1 of task a" in told.what) == ("n1", True)


@pytest.mark.parametrize(("claims", "owner"), [(2, "n1"), (1, "n2")])
def test_a_claim_that_somebody_else_gave_back_or_that_is_known_to_be_lost_is_no_news(
    setup: Setup, claims: int, owner: str
) -> None:
    setup.claim()
    setup.orders.claim_as(owner)
    setup.claim(claims=claims, owner=owner)
    assert setup.told == []
    assert setup.in_flight.by_id["a"].row.claimed_by == owner


def test_each_name_is_reported_once(setup: Setup) -> None:
    for task_id in "ab":
        setup.claim(task_id)
        setup.claim(task_id)
    assert len(setup.told) == 1
    setup.orders.claim_as("n2")
    for _claim in range(2):
        setup.claim("c", owner="n2")
    assert [message.owner for message in setup.told] == ["n1", "n2"]


@pytest.mark.parametrize(
    ("found", "reported"),
    [
        ({"claims": 0}, True),
        ({"claims": 1}, False),
        ({"claims": 2, "claimed_by": "n9"}, False),
        (None, False),
    ],
    ids=["moved back", "given back by another", "claimed by another", "deleted"],
)
def test_a_missing_claim_shows_lost_commits_only_if_its_row_has_moved_back(
    setup: Setup, found: dict[str, Any] | None, reported: bool
) -> None:
    setup.claim()
    if found is not None:
        setup.table.found = {"a": row(id="a", **found)}
    for look in range(2):
        setup.reconciler.run_if_due(NOW + 30 * look)
    assert bool(setup.told) is reported


def test_an_end_that_was_acknowledged_and_is_undone_shows_lost_commits(setup: Setup) -> None:
    setup.reconciler.settled([Token("a", 1, "n1")], NOW)
    setup.table.in_table = [Token("a", 1, "n1")]
    setup.reconciler.run_if_due(NOW + 1)
    [told] = setup.told
    assert told.what == "the end of claim 1 of task a was acknowledged, but the table shows it as claimed"


@pytest.mark.parametrize("after_outage", [False, True])
def test_a_finished_task_that_is_gone_shows_lost_commits_only_after_an_outage(
    setup: Setup, after_outage: bool
) -> None:
    setup.reconciler.settled([Token("a", 1, "n1")], NOW)
    setup.table.has_recovered = after_outage
    setup.reconciler.run_if_due(NOW + 1)
    assert bool(setup.told) is after_outage


def test_an_outage_is_followed_by_a_look_at_once(setup: Setup) -> None:
    setup.reconciler.run_if_due(NOW)
    setup.table.has_recovered = True
    setup.table.in_table = [Token("a", 1, "n1")]
    setup.reconciler.run_if_due(NOW + 1)
    assert setup.schedule.reconcile_at == NOW + 11


def test_tasks_in_flight_move_to_a_new_name_if_the_table_still_has_their_claims(setup: Setup) -> None:
    setup.claim("kept")
    setup.claim("lost")
    setup.table.in_table = [Token("kept", 1, "n1")]
    setup.orders.claim_as("n2")
    setup.orders.is_renamed = True
    setup.reconciler.move_to_new_name()
    owners = {task_id: task.row.claimed_by for task_id, task in setup.in_flight.by_id.items()}
    assert owners == {"kept": "n2", "lost": "n1"}
    assert not setup.orders.is_renamed


def test_what_is_forgotten_may_have_been_forgotten_before(setup: Setup) -> None:
    setup.claim()
    task = setup.in_flight.by_id["a"]
    setup.in_flight.forget([task, task])
    assert len(setup.in_flight) == 0
