"""Does to trees and databases what no queue should have to bear, one seeded choice after the other.

What is stopped goes on again, and what is killed for good is started again, after a while that was chosen with it.
Two faults at a time that no tree can bear are left out: the root and its guard in one moment.
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
    """Acts upon an arena until a given time, then makes all well again.

    Args:
        arena: where.
        seed: of its choices.
        favourite: the name of an act to choose as often as all others together.

    Attributes:
        stage: what it has done, and what is still to happen.
    """

    def __init__(self, arena: Arena, seed: int, *, favourite: str = "") -> None:
        self.stage = Stage(arena, seed)
        self.processes = ProcessActs(self.stage)
        self.databases = DatabaseActs(self.stage)
        self.failovers = Failovers(self.stage) if can_fail_over(arena) else None
        self._favourite = favourite

    def run(self, seconds: float) -> None:
        """Act for so many seconds, then let everything go on."""
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
        """Let everything go on, and what is down start."""
        while self.stage.later:
            time.sleep(max(0.0, self.stage.later[0][0] - time.monotonic()))
            self.stage.run_later(time.monotonic())
            self.watch()
        for pid in list(self.stage.stopped):
            self.stage.resume(pid)

    def watch(self) -> None:
        """See that no tree has ended by itself; one that could not start, for what was done to it, is started again."""
        for node in self.stage.arena.nodes:
            code = node.tree.process.poll()
            if code is None or node.is_down:
                continue
            if code not in (2, 3) or "up as pid" in node.tree.log:
                raise AssertionError(
                    f"the tree of node {node.name} (pid {node.tree.root}) ended by itself with {code}"
                )
            self.stage.note(node, f"could not start ({code}), and is started again")
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
