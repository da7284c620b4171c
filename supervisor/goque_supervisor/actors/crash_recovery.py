"""Recover the tasks of a tree that died on this machine. Its black boxes record which of them ran or had ended.

A node on another machine must wait until the heartbeats stop. On the same machine goque need not wait: if the lock of
a run directory is free, the root is dead, and the directory still has the tree's files.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from goque.errors import DatabaseUnavailableError
from goque.outcome import Change, Outcome, OutcomeKind, release, settle
from goque.storage import TaskStorage
from goque.storage.contract import TypePolicy
from goque.task_row import TaskRow, TaskStatus, Token
from goque.task_rules.retry_policy import RetryPolicy
from goque_supervisor.actors.healing import retry_policy
from goque_supervisor.ipc import messages, os_process
from goque_supervisor.ipc.blackbox import BlackBox, is_shortage
from goque_supervisor.ipc.box_records import Running
from goque_supervisor.ipc.run_directory import RunDirectory, abandoned_runs
from goque_supervisor.recovery.settle_rows import Decided, decide_each, settle_each

log = logging.getLogger("goque.healer")


@dataclass
class CrashRecovery:
    """Searches the base of this tree's run directory for dead trees that used the same database.

    Attributes:
        storage: the database.
        base: the directory with the run directories.
        database: the fingerprint of the database's URL.
        tell: called with the rows that were returned, as they were before, and their changes.
    """

    storage: TaskStorage
    base: Path
    database: str
    tell: Callable[[Iterable[Decided]], object] = list

    def run(self) -> None:
        """Recover every dead tree that is found. A tree that cannot be recovered does not delay the others.

        Raises:
            DatabaseUnavailableError: the database does not answer; a later call recovers what is left.
            OSError: this process has no descriptors or no memory left; a later call recovers what is left.
        """
        for directory, tree in abandoned_runs(self.base):
            try:
                self._recover_or_remove(directory, tree)
            except DatabaseUnavailableError:
                raise
            except Exception as error:
                if is_shortage(error):
                    raise
                log.error(  # noqa: TRY400 - one line for each directory
                    "cannot recover the tree that used %s (%s: %s): a healer returns its tasks after node_timeout",
                    directory.path,
                    type(error).__name__,
                    error,
                )
            finally:
                for lock in directory.locks:
                    os.close(lock)

    def _recover_or_remove(self, directory: RunDirectory, tree: dict[str, Any]) -> None:
        if not tree:
            os_process.kill_users_of(directory.path)
            directory.remove()
        elif tree["database"] == self.database:
            self._recover(directory, tree)

    def _recover(self, directory: RunDirectory, tree: dict[str, Any]) -> None:
        if tree["boot"] != os_process.boot_id():
            log.info(
                "an earlier tree ended when its machine or container stopped: "
                "a healer returns its tasks after node_timeout"
            )
            directory.remove()
            return
        os_process.kill_users_of(directory.path)
        running, finished = _read_boxes(directory.path)
        end = "stopped without access to its database" if tree.get("stopped") else "was killed"
        for owner in tree["owners"]:
            self._declare_dead(owner)
            self._return_tasks(owner, f"supervisor pid {tree['pid']} {end}", running, finished)
        directory.remove()

    def _declare_dead(self, owner: str) -> None:
        for node in self.storage.nodes():
            if node.id == owner and node.state == "alive":
                self.storage.mark_node_dead(owner, node.seq)

    def _return_tasks(
        self,
        owner: str,
        end: str,
        running: dict[tuple[str, int], tuple[Running, int]],
        finished: dict[tuple[str, int], bytes],
    ) -> None:
        policies = self.storage.type_policies()
        rows = self.storage.claimed_by_owner(owner, limit=100_000)

        def decide(row: TaskRow) -> Change:
            key = (row.id, row.claims)
            if key in finished and (ended := _decode(finished[key], row.id)) is not None:
                outcome = ended
            elif key in running:
                begun, pid = running[key]
                outcome = Outcome(
                    OutcomeKind.LOST_RUNNING,
                    f"node lost: {end} while it ran this task",
                    duration=max(0.0, time.monotonic() - begun.started),
                    pid=pid,
                )
            else:
                outcome = Outcome(OutcomeKind.UNSTARTED)
            return _change(row, outcome, policies.get(row.type))

        def write(these: Sequence[Decided]) -> set[Token]:
            return self.storage.settle_if_held([change for _row, change in these], node=owner)

        decided = decide_each(rows, decide)
        for start in range(0, len(decided), 500):
            batch = decided[start : start + 500]
            written = settle_each(batch, write)
            self.tell(pair for pair in batch if pair[0].token in written)
        if rows:
            log.warning("recovered %d task(s) of an earlier tree: %s", len(rows), end)


def _decode(outcome: bytes, task_id: str) -> Outcome | None:
    try:
        return messages.decode_outcome(outcome)
    except (msgspec.MsgspecError, ValueError) as error:
        log.warning("cannot read the outcome of task %s in a black box, and ignores it: %s", task_id, error)
        return None


def _change(row: TaskRow, outcome: Outcome, policy: TypePolicy | None) -> Change:
    if row.status not in (TaskStatus.PENDING, TaskStatus.PROCESSING):
        return release(row)
    return settle(outcome, row, RetryPolicy() if policy is None else retry_policy(policy))


def _read_boxes(
    path: Path,
) -> tuple[dict[tuple[str, int], tuple[Running, int]], dict[tuple[str, int], bytes]]:
    """Return the running tasks with their worker's pid, and the encoded outcomes, by task id and claim."""
    running: dict[tuple[str, int], tuple[Running, int]] = {}
    finished: dict[tuple[str, int], bytes] = {}
    for box_path in path.glob("*.box"):
        try:
            box = BlackBox(box_path)
        except (OSError, ValueError) as error:
            if is_shortage(error):
                raise  # a later healer will have descriptors: the outcomes in the box must not be lost
            log.error(  # noqa: TRY400 - the line has the error
                "cannot read the black box %s of a dead worker (%s): its tasks count as not started",
                box_path.name,
                error,
            )
            continue
        contents, pid = box.read(), box.pid
        box.close()
        if contents.broken:
            log.error(
                "the black box %s of a dead worker is damaged (%s): tasks in later records count as not started",
                box_path.name,
                contents.broken,
            )
        running |= {(entry.task_id, entry.claims): (entry, pid) for entry in contents.running.values()}
        finished |= {(entry.task_id, entry.claims): outcome for entry, outcome in contents.finished.values()}
    return running, finished
