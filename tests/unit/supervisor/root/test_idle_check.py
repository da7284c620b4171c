"""When a tree with --drain has nothing left to do: rounds of questions and answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from goque_supervisor.ipc.control import CheckIdle, Drained, Idle
from goque_supervisor.root.idle_check import IdleCheck
from goque_supervisor.root.node import NodeView
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app


@dataclass
class Group:
    idle: bool = False
    idle_check: int = 0
    asked: list[int] = field(default_factory=list)

    def ask_idle(self, check: int) -> None:
        self.asked.append(check)


class Groups(list[Group]):
    are_reporting = False
    held: Sequence[str] = ()


class Rounds:
    def __init__(self, *, has_recovered: bool = True) -> None:
        self.groups = Groups([Group(), Group()])
        self.is_busy = False
        self.ends: list[tuple[str, int]] = []
        node = NodeView(is_up=True, ends_when_idle=True)
        self.check = IdleCheck(
            self.groups, self, lambda *end: self.ends.append(end), lambda: node, has_healer=not has_recovered
        )

    def answer(self, number: int, *, idle: bool, check: int = 0) -> None:
        self.groups[number].idle, self.groups[number].idle_check = idle, check
        self.check.look()

    def answer_all(self) -> None:
        for number in range(len(self.groups)):
            self.answer(number, idle=True, check=self.asked[-1])

    @property
    def asked(self) -> list[int]:
        assert self.groups[0].asked == self.groups[1].asked
        return self.groups[0].asked


def test_all_are_asked_once_more_when_all_are_idle_and_it_ends_when_all_agree_in_one_round() -> None:
    rounds = Rounds()
    rounds.answer(0, idle=True)
    number = len(rounds.asked)
    assert number == 0
    rounds.answer(1, idle=True)
    (number,) = rounds.asked
    rounds.answer(0, idle=True, check=number)
    assert rounds.ends == []
    rounds.answer(1, idle=True, check=number)
    assert rounds.ends == [("drained", 0)]
    assert rounds.asked == [number]


def test_one_that_got_work_meanwhile_ends_the_round_and_all_are_asked_again() -> None:
    rounds = Rounds()
    rounds.answer(0, idle=True)
    rounds.answer(1, idle=True)
    (first,) = rounds.asked
    rounds.answer(0, idle=True, check=first)
    rounds.answer(1, idle=False)
    rounds.answer(1, idle=True, check=first)
    assert rounds.ends == []
    _first, second = rounds.asked
    assert second > first
    rounds.answer(1, idle=True, check=second)
    rounds.answer(0, idle=True, check=first)  # a late answer to the round that ended
    assert rounds.ends == []
    rounds.answer(0, idle=True, check=second)
    assert rounds.ends == [("drained", 0)]


def test_nothing_ends_before_the_tasks_of_dead_trees_are_in_the_table_again() -> None:
    rounds = Rounds(has_recovered=False)
    rounds.answer(0, idle=True)
    rounds.answer(1, idle=True)
    assert rounds.asked == []
    rounds.check.on_recovered()
    (number,) = rounds.asked
    rounds.answer(0, idle=True, check=number)
    rounds.answer(1, idle=True, check=number)
    assert rounds.ends == [("drained", 0)]


@pytest.mark.parametrize("which", ["of a pool", "of the healer"])
def test_nothing_ends_while_on_failure_is_called_and_all_are_asked_after_it(which: str) -> None:
    rounds = Rounds()
    rounds.answer(0, idle=True)
    rounds.answer(1, idle=True)
    rounds.groups.are_reporting = which == "of a pool"
    rounds.is_busy = which == "of the healer"
    rounds.answer_all()
    assert (rounds.ends, len(rounds.asked)) == ([], 1)
    rounds.groups.are_reporting = rounds.is_busy = False
    rounds.check.look()  # its process has ended
    assert (rounds.ends, len(rounds.asked)) == ([], 2)
    rounds.answer_all()
    assert rounds.ends == [("drained", 0)]


def test_a_pool_whose_workers_cannot_boot_is_no_success(caplog: pytest.LogCaptureFixture) -> None:
    rounds = Rounds()
    rounds.groups.held = ["pool 'b'"]
    rounds.answer(0, idle=True)
    rounds.answer(1, idle=True)
    rounds.answer_all()
    assert [code for _reason, code in rounds.ends] == [4]
    assert "workers of pool 'b' cannot boot: their tasks stay in the queue" in caplog.text


def test_a_tree_that_loses_its_last_busy_pool_to_a_reload_still_ends(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", workers=1), drain=True)
    tree.comes_up()
    tree.becomes_ready("healer", recovered=True)
    tree.sends("fetcher[mail]", Idle(idle=True))
    tree.root.on_reloaded(describe_app("mail", workers=1), 2)
    tree.sends("fetcher[report]", Drained())
    tree.ends("worker[report:0]")
    tree.ends("fetcher[report]")
    asked = tree.sent("fetcher[mail]", CheckIdle)[-1].check
    tree.sends("fetcher[mail]", Idle(idle=True, check=asked))
    assert tree.root.node.is_stopping


def test_a_tree_with_drain_stops_in_order_when_it_is_idle(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", workers=1), drain=True)
    tree.comes_up()
    tree.becomes_ready("healer", recovered=True)
    tree.did()
    assert tree.processes.boots["fetcher[mail]"]["drain"] is True
    tree.sends("fetcher[mail]", Idle(idle=True, check=1))
    assert tree.did("Drain", "stop healer") == ["stop healer", "fetcher[mail] <- Drain()"]


def test_a_fetcher_that_dies_is_not_idle_until_the_next_one_says_so(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", workers=1), drain=True)
    tree.comes_up()
    tree.becomes_ready("healer", recovered=True)
    for name in ("fetcher[mail]", "fetcher[report]"):
        tree.sends(name, Idle(idle=True))
    asked = tree.sent("fetcher[mail]", CheckIdle)[-1].check
    tree.sends("fetcher[mail]", Idle(idle=True, check=asked))
    tree.ends("fetcher[mail]")
    tree.sends("fetcher[report]", Idle(idle=True, check=asked))
    assert not tree.root.node.is_stopping


def test_a_tree_with_drain_and_no_type_ends_at_once(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app(), drain=True, roles=("healer", "cleaner"))
    tree.comes_up()
    assert tree.root.node.is_stopping


def test_a_tree_without_drain_goes_on_when_it_is_idle(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", workers=1))
    tree.comes_up()
    tree.becomes_ready("healer", recovered=True)
    tree.sends("fetcher[mail]", Idle(idle=True, check=1))
    assert not tree.root.node.is_stopping
