"""What a pool group needs of the tree around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from goque_supervisor.ipc.run_directory import RunDirectory
from goque_supervisor.root.node import NodeView
from goque_supervisor.root.processes import Processes
from goque_supervisor.root.timers import Timers


@dataclass(frozen=True)
class GroupContext:
    """The arguments that all pool groups of a tree share.

    Attributes:
        processes: the processes of the tree.
        timers: the root's timers and clock.
        node: returns the node as it is now.
        run_directory: where the group's sockets and counters are.
        child_restarts: the tree's count of restarts by role.
        on_held: called when the workers of a group have failed to boot too often in a row.
        on_gone: called with the name of a group that has drained and has no process left.
    """

    processes: Processes
    timers: Timers
    node: Callable[[], NodeView]
    run_directory: RunDirectory
    child_restarts: Counter[str]
    on_held: Callable[[], None]
    on_gone: Callable[[str], None]
