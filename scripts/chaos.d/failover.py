"""Fails over from a PostgreSQL to its standby, which has not received the commits of the last second.

What was lost is known exactly. The old primary is started once more where nobody else can reach it, and its tasks are
compared with those of the new primary.
"""

from __future__ import annotations

import time
from typing import Final

from arena import Node
from evidence import LostCommits, TaskState
from private_servers import PrivateServer
from replication import PostgresqlStandby, ask_postgresql, kill
from stage import Stage

LAST: Final = 1.0
"""Seconds before the failover in which the standby receives nothing."""

BEFORE_THE_NEXT_STANDBY: Final = 1.0
"""Seconds in which the new primary has no standby."""

KEPT_FOR_STANDBYS: Final = "wal_keep_size = '256MB'"


class Failovers:
    """Fails a private PostgreSQL over, again and again; each new primary gets a new standby."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        arena = stage.arena
        assert arena.server is not None
        ask_postgresql(arena.server, f"ALTER SYSTEM SET {KEPT_FOR_STANDBYS}")
        ask_postgresql(arena.server, "SELECT pg_reload_conf()")
        arena.standby = PostgresqlStandby(arena.server)

    def fail_over(self, node: Node) -> None:
        """Lose the primary, and with it all commits of its last second."""
        arena = self._stage.arena
        if arena.is_server_down or not isinstance(arena.standby, PostgresqlStandby):
            return
        arena.is_server_down = True
        self._stage.note(None, f"the standby receives nothing for {LAST:g}s")
        arena.standby.wait_until_streaming()
        arena.standby.cut_off()
        self._stage.after(LAST, self._promote)

    def _promote(self) -> None:
        arena = self._stage.arena
        primary, standby = arena.server, arena.standby
        assert primary is not None
        assert isinstance(standby, PostgresqlStandby)
        for proxy in arena.proxies:
            proxy.cut_off()
        kill(primary)
        primary.start()
        before = self._states(primary)
        primary.close()
        standby.promote()
        after = self._states(standby)
        arena.standby = None
        arena.move_to(standby)
        lost = LostCommits.between(before, after, time.time())
        self._stage.lost_commits.append(lost)
        self._stage.note(
            None,
            f"the standby takes over; lost are {len(lost.tasks)} tasks, and what became of {len(lost.moves)} others",
        )
        for proxy in arena.proxies:
            proxy.join()
        self._stage.after(BEFORE_THE_NEXT_STANDBY, self._follow)

    def _follow(self) -> None:
        arena = self._stage.arena
        assert arena.server is not None
        arena.standby = PostgresqlStandby(arena.server)
        arena.is_server_down = False

    def _states(self, server: PrivateServer) -> dict[str, TaskState]:
        schema = self._stage.arena.postgresql_schema
        steps = f"(SELECT count(*) FROM {schema}.goque_step WHERE task_id = task.id)"
        sql = f"SELECT id, status, attempts, claimed_by, claims, lost_claims, {steps} FROM {schema}.goque_task AS task"
        return {str(row[0]): TaskState(*row[1:]) for row in ask_postgresql(server, sql)}
