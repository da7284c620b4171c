"""What the lease, the healer, the cleaner and the scheduler ask of a storage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

from goque.outcome import Change
from goque.storage.contract.records import NodeRow, TypePolicy
from goque.task_row import TaskRow, TaskStatus, Token


class Upkeep(Protocol):
    """Keep nodes, types and schedules, and delete what is finished."""

    @abstractmethod
    def register_node(self, node_id: str, *, host: str, pid: int, info: str | None = None) -> None:
        """Announce a living supervisor; its seq starts at 1."""

    @abstractmethod
    def beat(self, node_id: str, *, info: str | None = None) -> bool:
        """Raise a living node's seq; False when the node is not alive any more for the others.

        Args:
            node_id: the node.
            info: what it tells of itself from now on; None leaves what it told before.
        """

    @abstractmethod
    def beat_after(self, node_id: str, acknowledged: int, seq: int, *, info: str | None = None) -> bool:
        """Set a living node's seq, if it is at least `acknowledged` and lower than `seq`; else change nothing.

        A caller raises `seq` with every try, because a try that was not answered may count all the same.
        """

    @abstractmethod
    def node(self, node_id: str) -> NodeRow | None:
        """Read one node, whatever its state; None if there is no row of it."""

    @abstractmethod
    def retire_node(self, node_id: str) -> None:
        """Mark a node as stopped on its own accord."""

    @abstractmethod
    def nodes(self) -> list[NodeRow]:
        """Read every node that is alive, or that is not but may still hold tasks."""

    @abstractmethod
    def unknown_owners(self) -> list[str]:
        """Read up to 1,000 names that own tasks and that no node has."""

    @abstractmethod
    def mark_node_dead(self, node_id: str, seen_seq: int) -> bool:
        """Declare a node dead if its seq is still the one seen; False if it moved or was marked before."""

    @abstractmethod
    def unowned_claims(
        self, older_than: float, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read pending and processing rows without an owner, unchanged for so many seconds, oldest first.

        Args:
            older_than: seconds since the last move.
            task_type: the type, or None for all types without a published policy.
            limit: the bound of one batch.
        """

    @abstractmethod
    def settle_unowned_if_unchanged(self, rows: Sequence[TaskRow], changes: Sequence[Change]) -> set[Token]:
        """Write the changes of rows without an owner that are still as they were read; returns their claims."""

    @abstractmethod
    def delete_finished(
        self,
        task_type: str | None,
        statuses: Iterable[TaskStatus],
        age: float,
        *,
        limit: int = 1000,
        known: Collection[str] = (),
    ) -> int:
        """Delete up to `limit` unheld tasks in these statuses, last moved more than `age` seconds ago.

        Args:
            task_type: the type, or None for all types without a published policy.
            statuses: terminal statuses only.
            age: seconds since the last move.
            limit: the bound of one batch; call again while it is reached.
            known: types that do not count as unpublished, although they have no published policy yet.

        Returns: how many tasks went, their attempts with them.
        """

    @abstractmethod
    def delete_dead_nodes(self, age: float) -> int:
        """Delete nodes that are not alive, hold nothing, and last beat more than `age` seconds ago."""

    @abstractmethod
    def publish_types(self, policies: Sequence[TypePolicy]) -> None:
        """Write the policies of types that this node owns; leaves `paused` as it is in the database."""

    @abstractmethod
    def type_policies(self) -> dict[str, TypePolicy]:
        """Read every published policy by type."""

    @abstractmethod
    def pause_type(self, task_type: str) -> bool:
        """Let no node claim a type; False if it is paused already.

        Raises:
            ConfigurationError: no supervisor has published this type.
        """

    @abstractmethod
    def resume_type(self, task_type: str) -> bool:
        """Let every node claim a type again; False if it is not paused. Raises as `pause_type`."""

    @abstractmethod
    def last_slot(self, job_name: str) -> datetime | None:
        """Return the newest slot of a periodic job that was enqueued, None before the first."""

    @abstractmethod
    def record_slot(self, job_name: str, slot: datetime) -> None:
        """Remember a slot as enqueued; an older slot than the remembered one changes nothing."""

    @abstractmethod
    def paused_jobs(self) -> frozenset[str]:
        """Return the names of the periodic jobs that are paused."""

    @abstractmethod
    def pause_job(self, job_name: str, now: datetime) -> bool:
        """Pause a periodic job on every node; False if it is paused already.

        Args:
            job_name: the job, which need not have run before.
            now: the present, from which a job that is new counts its slots.
        """

    @abstractmethod
    def resume_job(self, job_name: str, now: datetime) -> bool:
        """Let a paused job go on with its first slot after `now`; False if it is not paused."""
