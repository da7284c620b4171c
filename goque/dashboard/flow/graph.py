"""The tasks of a flow as a graph: which task needs which, how deep each one is, and where a failure went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from goque.task_row import TaskStatus

BLOCKED: Final = "blocked"
ENDED_BADLY: Final = frozenset({TaskStatus.ATTEMPTS_LEFT.value, TaskStatus.CANCELED.value})


class FlowNode(msgspec.Struct, frozen=True):
    """A task of a flow; `needs` are ids, `href` is the page of the task, `note` is a line for its tooltip."""

    id: str
    type: str
    status: str
    needs: tuple[str, ...]
    href: str = ""
    note: str = ""


@dataclass(frozen=True)
class Graph:
    """The tasks with their needs as positions in `nodes`; each need is in a lower layer than its dependent.

    `outside` counts the needs of each task that are no tasks of the flow. `circular` counts the needs that were left
    out because they would close a circle.
    """

    nodes: Sequence[FlowNode]
    needs: Sequence[Sequence[int]]
    outside: Sequence[int]
    layers: Sequence[int]
    circular: int

    def passed_failure(self, need: int, dependent: int) -> bool:
        """Return whether the bad end of a need canceled its dependent."""
        return self.nodes[dependent].status == TaskStatus.CANCELED and self.nodes[need].status in ENDED_BADLY

    def is_on_failed_path(self, at: int) -> bool:
        """Return whether a task failed, or was canceled because of a need."""
        if self.nodes[at].status == TaskStatus.ATTEMPTS_LEFT:
            return True
        return any(self.passed_failure(need, at) for need in self.needs[at])


def read_graph(nodes: Sequence[FlowNode]) -> Graph:
    """Resolve the needs of tasks. The first of several tasks with one id counts; a task does not need itself."""
    by_id: dict[str, FlowNode] = {}
    for node in nodes:
        by_id.setdefault(node.id, node)
    unique = list(by_id.values())
    places = {node.id: at for at, node in enumerate(unique)}
    wanted: list[list[int]] = []
    outside: list[int] = []
    for at, node in enumerate(unique):
        distinct = dict.fromkeys(node.needs)
        found = [places[need] for need in distinct if need in places]
        outside.append(len(distinct) - len(found))
        wanted.append([need for need in found if need != at])
    layers = find_layers(wanted)
    needs = [[need for need in some if layers[need] < layers[at]] for at, some in enumerate(wanted)]
    selves = sum(node.id in node.needs for node in unique)
    circular = selves + sum(map(len, wanted)) - sum(map(len, needs))
    return Graph(unique, needs, outside, layers, circular)


def find_layers(needs: Sequence[Sequence[int]]) -> list[int]:
    """Return the length of the longest path to each task from a task without needs, in linear time.

    A circle is cut at its first task: that one is placed before its needs.
    """
    dependents: list[list[int]] = [[] for _ in needs]
    for at, some in enumerate(needs):
        for need in some:
            dependents[need].append(at)
    missing = [len(some) for some in needs]
    layers = [0] * len(needs)
    is_placed = [False] * len(needs)
    ready = [at for at, count in enumerate(missing) if count == 0]
    for first in range(len(needs)):
        while ready:
            at = ready.pop()
            is_placed[at] = True
            for dependent in dependents[at]:
                if is_placed[dependent]:
                    continue
                layers[dependent] = max(layers[dependent], layers[at] + 1)
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    ready.append(dependent)
        if not is_placed[first]:
            ready.append(first)
    return layers
