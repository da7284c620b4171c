"""Switch one guard of goque off, so that the chaos run can prove that it detects the resulting errors.

Python imports this module at its start if the directory is on the path. That is the case only in the trees of
`--prove`.
"""

from __future__ import annotations

import os
from typing import Any


def owner_guard() -> None:
    """Write the outcomes of tasks even if another owner holds them now."""
    import msgspec

    from goque.storage.sql.claiming.claims import SqlClaims
    from goque.task import TaskFilter, Token

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
    from goque_supervisor.ipc.blackbox import BlackBox, Contents

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


if guard := os.environ.get("GOQUE_CHAOS_SABOTAGE"):
    {
        "owner-guard": owner_guard,
        "black-box": black_box,
        "ack-after-commit": ack_after_commit,
        "group-kill": group_kill,
    }[guard]()
