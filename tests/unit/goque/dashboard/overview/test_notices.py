"""What is unwell in a queue is said, with what to do; a queue that is well says nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from goque.dashboard.overview.figures import Times, TypeView
from goque.dashboard.overview.notices import MAX_NOTICES, Node, Notice, notices, type_link
from goque.describe.node_info import NodeInfo, PoolInfo, ProcessInfo
from goque.storage.contract import NodeRow

NOW = datetime(2026, 11, 23, 21, tzinfo=UTC)
NO_TIMES = Times(None, None)


def view(name: str = "mail", *, new: int = 0, waited: float = 0.0, is_paused: bool = False) -> TypeView:
    return TypeView(
        name, is_paused, True, new, 0, 0, 0, 0, waited, 0.0, 0, 0, 0, NO_TIMES, NO_TIMES, ""
    )  # fmt: skip


def node(
    *, state: str = "alive", silent: float = 1.0, pool: PoolInfo | None = None, fetcher: bool = True
) -> Node:
    pool = pool or PoolInfo("mail", ("mail",))
    processes = (ProcessInfo(f"fetcher[{pool.name}]", 7),) if fetcher else ()
    info = NodeInfo(pools=(pool,), processes=processes)
    beat = NOW - timedelta(seconds=silent)
    return Node(NodeRow("node-1", 3, state, "worker-1", 700, NOW - timedelta(hours=1), beat), info)


def said(types: list[TypeView], nodes: list[Node]) -> list[Notice]:
    return notices(types, nodes, NOW)


@pytest.mark.parametrize("waited", [0.0, 59.0])
def test_a_queue_that_is_well_says_nothing(waited: float) -> None:
    assert said([view(new=5, waited=waited), view("idle")], [node()]) == []
    assert said([], []) == []


@pytest.mark.parametrize(
    ("types", "nodes", "level", "text", "link"),
    [
        ([view(new=1)], [], "bad", "No supervisor runs; 1 task waits.", "/nodes"),
        ([view()], [node(state="stopped")], "bad", "No supervisor runs; nothing waits.", "/nodes"),
        ([view("sms", new=2, waited=90)], [node()], "bad", "No node runs sms; 2 tasks wait.", type_link("sms")),
        ([view(new=1200, is_paused=True)], [node()], "warn", "Paused: mail; 1,200 tasks wait.", type_link("mail")),
        ([view(new=2, waited=61)], [node()], "warn", "mail: the oldest task has been due for 61 s.", type_link("mail")),
        ([view()], [node(fetcher=False)], "bad", "Pool mail has no fetcher on worker-1: it claims no tasks there.",
         "/nodes#node-node-1"),
        ([view()], [node(pool=PoolInfo("mail", ("mail",), held=True))], "bad",
         "Workers of pool mail do not start on worker-1.", "/types/pool?name=mail"),
        ([view()], [node(silent=25)], "bad", "worker-1 (pid 700) has sent no heartbeat for 25 s.",
         "/nodes#node-node-1"),
        ([view()], [node(), node(state="dead", silent=600)], "warn",
         "Died in the last hour without shutting down: worker-1 (pid 700).", "/nodes#ended"),
    ],
)  # fmt: skip
def test_what_is_unwell_is_said(
    types: list[TypeView], nodes: list[Node], level: str, text: str, link: str
) -> None:
    [found] = said(types, nodes)
    assert (found.level, found.text, found.link) == (level, text, link)
    assert found.advice.endswith(".")


def test_a_node_that_died_long_ago_is_no_news() -> None:
    assert said([view()], [node(), node(state="dead", silent=7200)]) == []


def test_a_paused_type_is_not_late_and_a_stopping_node_needs_no_fetcher() -> None:
    [only] = said([view(new=2, waited=900, is_paused=True)], [node()])
    assert only.text.startswith("Paused")
    stopping = NodeInfo(stopping=True, pools=(PoolInfo("mail", ("mail",)),))
    assert said([view()], [Node(node().row, stopping)]) == []


@pytest.mark.parametrize(("waited", "number"), [(5.0, 0), (90.0, 1)])
def test_a_type_that_nobody_has_published_may_be_run_by_another_library(waited: float, number: int) -> None:
    foreign = replace(view("go_type", new=2, waited=waited), is_published=False)
    assert len(said([foreign], [node()])) == number


def test_a_node_without_a_report_may_run_any_type() -> None:
    assert said([view("sms", new=2)], [node(), Node(node().row, None)]) == []


def test_the_worst_comes_first_and_the_number_is_bounded() -> None:
    late = [view(f"type-{number}", new=1, waited=100.0 + number) for number in range(40)]
    pool = PoolInfo("all", tuple(one.name for one in late))
    dead = [node(state="dead", silent=60) for _ in range(9)]
    found = said([*late, view("sms", new=1)], [node(pool=pool), *dead])
    assert found[0].text == "No node runs sms; 1 task waits."
    assert [one.level for one in found] == sorted((one.level for one in found), key="bad warn".index)
    assert "and 6 more" in found[1].text
    assert len(found) <= MAX_NOTICES


def test_a_link_takes_any_name() -> None:
    assert type_link("a/b?c&d=é ") == "/types/type?name=a%2Fb%3Fc%26d%3D%C3%A9+"
