"""Cause faults in trees and databases, one seeded choice after the other.

Each act also chooses when a stopped process is resumed, or a killed tree is started again. The nemesis never kills the
root and its guard at the same time, because no tree can survive that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from arena import Arena, Node
from database_acts import DatabaseActs
from databases import PostgresqlDatabase, SqliteDatabase
from failover import Failovers
from process_acts import ProcessActs
from stage import Stage

PAUSE: Final = (0.1, 0.8)


class Nemesis:
    """Causes faults in an arena for some time, then restores everything.

    Args:
        arena: the database and the nodes.
        seed: the seed of its choices.
        favourite: the name of an act to choose as often as all others together.

    Attributes:
        stage: its past acts and its scheduled calls.
    """

    def __init__(self, arena: Arena, seed: int, *, favourite: str = "") -> None:
        self.stage = Stage(arena, seed)
        self.processes = ProcessActs(self.stage)
        self.databases = DatabaseActs(self.stage)
        self.failovers = Failovers(self.stage) if can_fail_over(arena) else None
        self._favourite = favourite

    def run(self, seconds: float) -> None:
        """Cause faults for this number of seconds."""
        until = time.monotonic() + seconds
        acts = self._weighted_acts()
        total = sum(weight for _, weight in acts)
        acts = [(act, total if act.__name__ == self._favourite else weight) for act, weight in acts]
        next_at = time.monotonic()
        while (now := time.monotonic()) < until:
            self.stage.run_later(now)
            self.watch()
            if now < next_at or self.stage.is_alone:
                time.sleep(0.02)
                continue
            act = self.stage.random.choices([act for act, _ in acts], [weight for _, weight in acts])[0]
            act(self.stage.random.choice(self.stage.arena.nodes))
            next_at = time.monotonic() + self.stage.random.uniform(*PAUSE)

    def make_well(self) -> None:
        """Run all scheduled calls, which start what is down, and resume all stopped processes."""
        self.watch()  # the last fault may have kept a tree from starting
        while self.stage.later:
            time.sleep(max(0.0, self.stage.later[0][0] - time.monotonic()))
            self.stage.run_later(time.monotonic())
            self.watch()
        for pid in list(self.stage.stopped):
            self.stage.resume(pid)

    def watch(self) -> None:
        """Check that no tree has ended by itself. Start a tree again if a fault kept it from starting."""
        for node in self.stage.arena.nodes:
            code = node.tree.process.poll()
            if code is None or node.is_down:
                continue
            if code not in (2, 3) or "up as pid" in node.tree.log:
                raise AssertionError(
                    f"the tree of node {node.name} (pid {node.tree.root}) ended by itself with {code}"
                )
            self.stage.note(node, f"could not start ({code}); another starts")
            node.is_down = True
            self.stage.after(0.5, node.start)

    def _weighted_acts(self) -> list[tuple[Callable[[Node], None], int]]:
        acts = [
            (self.processes.kill_worker, 10),
            (self.processes.kill_actor, 10),
            (self.processes.stop_something, 8),
            (self.processes.kill_root, 3),
            (self.processes.end_tree, 2),
            (self.processes.reload, 3),
            (self.processes.freeze, 3),
            (self.processes.mute, 3),
            (self.databases.silence_and_kill_fetchers, 3),
        ]
        if isinstance(self.stage.arena.database, SqliteDatabase):
            return [*acts, (self.databases.lock, 3)]
        acts += [(self.databases.cut, 4), (self.databases.cut_off, 2), (self.databases.kill_connections, 2)]
        if self.failovers is not None:
            acts.append((self.failovers.fail_over, 2))
        if self.stage.arena.server is not None:
            acts += [(self.databases.restart_server, 1), (self.databases.pause_server, 1)]
        return acts


def can_fail_over(arena: Arena) -> bool:
    """Whether its server is a private PostgreSQL, which may have a standby."""
    return arena.server is not None and isinstance(arena.database, PostgresqlDatabase)
