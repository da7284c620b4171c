"""Which nodes a healer declares dead, as histories of what it sees."""

from __future__ import annotations

from datetime import UTC, datetime

from goque.storage.contract import NodeRow
from goque_supervisor.actors.silent_nodes import SilentNodes

TIMEOUT = 30.0
PERIOD = TIMEOUT / 6
START = 1000.0


def node(name: str, seq: int) -> NodeRow:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    return NodeRow(
        id=name,
        seq=seq,
        state="alive",
        host="h",
        pid=7,
        started_at=long_ago,
        heartbeat_at=long_ago,
        info=None,
    )


def dead_after(nodes: SilentNodes, looks: list[list[NodeRow]], *, began: float = START) -> list[list[str]]:
    """Return the names of the dead nodes of each look, one period after the other."""
    return [
        [found.id for found, _seconds in nodes.look(rows, began + number * PERIOD)]
        for number, rows in enumerate(looks)
    ]


def test_a_node_is_dead_after_the_same_heartbeat_for_node_timeout() -> None:
    looks = [[node("silent", 5), node("living", number)] for number in range(8)]
    assert dead_after(SilentNodes(TIMEOUT), looks) == [[], [], [], [], [], [], ["silent"], []]


def test_it_says_for_how_long_the_node_was_silent() -> None:
    nodes = SilentNodes(TIMEOUT)
    dead_after(nodes, [[node("a", 1)]] * 6)
    [(_node, seconds)] = nodes.look([node("a", 1)], START + 31.0)
    assert seconds == 31.0


def test_a_long_pause_between_two_looks_proves_nothing() -> None:
    nodes = SilentNodes(TIMEOUT)
    dead_after(nodes, [[node("a", 1)]] * 6)
    assert nodes.look([node("a", 1)], START + 5 * PERIOD + TIMEOUT / 2 + 0.1) == []
    again = START + 5 * PERIOD + TIMEOUT / 2 + 0.1 + PERIOD
    assert dead_after(nodes, [[node("a", 1)]] * 6, began=again) == [[], [], [], [], [], ["a"]]


def test_a_heartbeat_that_is_older_than_before_gives_every_node_its_whole_time_again() -> None:
    """A failover lost the last heartbeats. The node that seems silent may have sent some that were lost too."""
    nodes = SilentNodes(TIMEOUT)
    dead_after(nodes, [[node("seen later", 10 + number), node("a", 1)] for number in range(5)])
    lost = [[node("seen later", 12), node("a", 1)]]
    goes_on = [[node("seen later", 20 + number), node("a", 1)] for number in range(6)]
    found = dead_after(nodes, [*lost, *goes_on], began=START + 5 * PERIOD)
    assert found == [[], [], [], [], [], [], ["a"]]


def test_after_an_outage_every_node_has_its_whole_time_again() -> None:
    nodes = SilentNodes(TIMEOUT)
    dead_after(nodes, [[node("a", 1)]] * 6)
    nodes.look_at_unknown(["gone"], START + 5 * PERIOD)
    nodes.forget()
    began = START + 6 * PERIOD
    assert dead_after(nodes, [[node("a", 1)]] * 6, began=began) == [[]] * 6
    assert nodes.look_at_unknown(["gone"], began) == []


def test_an_owner_without_a_row_is_dead_after_node_timeout_unless_its_row_comes() -> None:
    nodes = SilentNodes(TIMEOUT)
    assert nodes.look_at_unknown(["gone", "comes"], START) == []
    assert nodes.look_at_unknown(["gone"], START + 15) == []
    assert nodes.look_at_unknown(["gone", "comes"], START + 30) == ["gone"]
