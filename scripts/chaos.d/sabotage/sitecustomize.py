"""Switch one guard of goque off, so that the chaos run can prove that it detects the resulting errors.

Python imports this module at its start if the directory is on the path. That is the case only in the trees of
`--prove`.
"""

from __future__ import annotations

import os
import time
from typing import Any


def owner_guard() -> None:
    """Write the outcomes of tasks even if another owner holds them now."""
    import msgspec

    from goque.storage.sql.claiming.claims import SqlClaims
    from goque.task_filter import TaskFilter
    from goque.task_row import Token

    settle = SqlClaims.settle_if_held

    def settle_whoever_holds(self: Any, changes: Any, *, node: str | None = None) -> Any:
        ids = list({change.token.task_id for change in changes})
        rows = {row.id: row for row in self.find_tasks(TaskFilter(ids=ids), limit=len(ids))}
        tokens = {}
        for change in changes:
            row = rows.get(change.token.task_id)
            tokens[change.token] = Token(row.id, row.claims, row.claimed_by or "") if row else change.token
        replaced = [msgspec.structs.replace(change, token=tokens[change.token]) for change in changes]
        written = settle(self, replaced, node=node)
        return {token for token, current in tokens.items() if current in written}

    SqlClaims.settle_if_held = settle_whoever_holds


def black_box() -> None:
    """Read every black box as empty."""
    from goque_supervisor.ipc.blackbox import BlackBox
    from goque_supervisor.ipc.box_records import Contents

    BlackBox.read = lambda self: Contents({}, {})


def ack_after_commit() -> None:
    """Acknowledge a result when it arrives, not when it is committed."""
    from goque_supervisor.fetcher.results import ResultReceiver
    from goque_supervisor.ipc import messages

    receive = ResultReceiver.receive
    sockets: list[Any] = []
    take = ResultReceiver.take

    def receive_from(self: Any, socket: Any) -> None:
        sockets[:] = [socket]
        receive(self, socket)

    def take_and_acknowledge(self: Any, worker: Any, result: Any) -> None:
        take(self, worker, result)
        for socket in sockets:
            socket.send(worker.identity, messages.encode(messages.Jobs([], [result.seq])))

    ResultReceiver.receive = receive_from
    ResultReceiver.take = take_and_acknowledge


def group_kill() -> None:
    """Kill workers, but not the processes that they have started."""
    from goque_supervisor.ipc import os_process

    os_process.kill_group = lambda group: None


def count_under_the_lock() -> None:
    """Count the claims of a limited type a moment before its lock is taken, so that two nodes count the same."""
    from goque.storage.sql.call_policy import PINNED_READ
    from goque.storage.sql.claiming.claims import SqlClaims
    from goque.storage.sql.claiming.limited_claim import LimitedClaim

    claim = SqlClaims._claim_by_limits
    count = LimitedClaim._held
    counted: dict[str, dict[str, int]] = {}

    def count_and_claim(self: Any, task_type: str, *arguments: Any) -> Any:
        counted[task_type] = self._run(
            lambda session: count(self._limited_claim, session, task_type), PINNED_READ
        )
        time.sleep(0.02)
        return claim(self, task_type, *arguments)

    SqlClaims._claim_by_limits = count_and_claim
    LimitedClaim._held = lambda self, session, task_type: counted[task_type]


if guard := os.environ.get("GOQUE_CHAOS_SABOTAGE"):
    {
        "owner-guard": owner_guard,
        "black-box": black_box,
        "ack-after-commit": ack_after_commit,
        "group-kill": group_kill,
        "count-under-the-lock": count_under_the_lock,
    }[guard]()
