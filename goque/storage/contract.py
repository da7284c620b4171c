"""The contract of a storage backend: every read and every guarded move that goque makes.

A backend keeps these promises, and `tests/storage` holds every backend to them:

1. Each method is one transaction of its own, committed when it returns, unless `conn` is the caller's.
2. Each move names the status it expects and, for claimed tasks, the owner and the claim: a stale writer
   changes nothing and learns so from what the method returns.
3. "Now" is the database's clock.
4. Payloads stay raw bytes: reading a row never fails on what a payload holds.
5. Errors are `DatabaseUnavailableError` (try again), `SchemaError` (migrate) or a bug.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from goque.errors import ConfigurationError
from goque.outcome import Change, FailedAttempt
from goque.storage.search_types import (
    FailureLine,
    FinishedCount,
    FinishedRun,
    ScheduleRow,
    TaskPage,
    TaskSearch,
)
from goque.task import Task, TaskFilter, TaskRow, TaskStatus, Token

if TYPE_CHECKING:
    from goque.options import ProcessorOptions

SchemaState = Literal["current", "missing", "outdated", "newer", "foreign"]


class TypeCount(msgspec.Struct, frozen=True):
    """How many tasks of a type are in a status."""

    type: str
    status: str
    count: int


class QueueDepth(msgspec.Struct, frozen=True):
    """How many unfinished tasks of a type are in a status.

    Attributes:
        type: the task type.
        status: new, error, pending or processing.
        count: how many.
        waited: seconds for which the longest due unclaimed task of the type has been due, the same in all rows of a
            type; 0 where none is due. Tasks of a paused type wait too.
    """

    type: str
    status: str
    count: int
    waited: float = 0.0


class AttemptRow(msgspec.Struct, frozen=True):
    """One recorded failed attempt, as `goque show` prints it."""

    task_id: str
    node: str | None
    started_at: datetime | None
    ended_at: datetime
    failed: FailedAttempt


class NodeRow(msgspec.Struct, frozen=True):
    """One supervisor as the others see it; `seq` rises with every heartbeat."""

    id: str
    seq: int
    state: str
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    info: str | None = None


class HeldClaim(msgspec.Struct, frozen=True):
    """One claim as the table has it, with the type of its task."""

    token: Token
    type: str


class TypePolicy(msgspec.Struct, frozen=True):
    """What a type's owner publishes, so that any node's healer and cleaner treat the type alike.

    Attributes:
        type: the task type.
        max_attempts: charged attempts until attempts_left.
        strategy: the retry strategy as JSON text; None when a function of the user's decides.
        max_crashes: crashes until attempts_left, or None.
        cleaner_age: seconds that done and canceled tasks are kept.
        cleaner_keep_failed: seconds that tasks in attempts_left are kept.
        healer_age: seconds after which a claimed task without an owner is taken for abandoned.
        paused: whether no node may claim this type.
    """

    type: str
    max_attempts: int
    strategy: str | None
    max_crashes: int | None
    cleaner_age: float
    cleaner_keep_failed: float
    healer_age: float
    paused: bool = False


def policy_of(task_type: str, options: ProcessorOptions) -> TypePolicy:
    """Return what the options of a type's processor publish of it."""
    return TypePolicy(
        type=task_type,
        max_attempts=options.max_attempts,
        strategy=None if options.strategy is None else msgspec.json.encode(options.strategy).decode(),
        max_crashes=options.max_crashes,
        cleaner_age=options.cleaner_updated_at_time_ago,
        cleaner_keep_failed=options.cleaner_keep_failed,
        healer_age=options.healer_updated_at_time_ago,
    )


class Watcher(ABC):
    """Tells a fetcher that new work may have come, sooner than its tick would.

    Attributes:
        hears_every_write: whether `changed` tells of cancels and resets too.
        rests: whether `rest` is of use here.
    """

    hears_every_write: bool = False
    rests: bool = False

    @abstractmethod
    def fileno(self) -> int | None:
        """Return a descriptor that turns readable when something changed, or None to be polled."""

    @abstractmethod
    def changed(self) -> bool:
        """Return whether somebody else may have written since the last call; clears the descriptor."""

    def wrote(self) -> None:
        """Take note that this process has written: what stirs by that is no news."""
        return

    def rest(self, seconds: float) -> None:
        """Keep quiet for so long, and only then tell of what changes meanwhile: it is mostly for others."""
        del seconds

    def found(self, tasks: int) -> None:
        """Take note of how many tasks a claim has found."""
        del tasks

    def ask_again_in(self) -> float | None:
        """Return the seconds after which to ask once more though the descriptor is silent, None for not at all."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Give up what the watcher holds."""


class AsyncTasks(ABC):
    """What applications ask for, awaited; each call does what the one of the same name in `TaskStorage` does."""

    @abstractmethod
    async def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free."""

    @abstractmethod
    async def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""

    @abstractmethod
    async def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""

    @abstractmethod
    async def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped."""

    @abstractmethod
    async def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors."""


class TaskStorage(ABC):
    """Everything that goque asks of a database; open one with `goque.open_storage(url)`."""

    url: str
    """Where it is, with the password hidden."""

    def asyncio_tasks(self) -> AsyncTasks:
        """Return what applications ask for, in transactions of asyncio connections.

        Raises:
            ConfigurationError: this storage knows none.
        """
        raise ConfigurationError(f"{self.url} takes no asyncio connection; give it a synchronous one")

    # -- what applications ask for ------------------------------------------------------------------

    @abstractmethod
    def insert_tasks(
        self, tasks: Sequence[Task], *, on_conflict: Literal["raise", "skip"] = "raise", conn: Any = None
    ) -> list[Task]:
        """Insert all tasks or none; with "skip", those whose type and external id are free.

        Sets `created_at` and `next_attempt_at` of the tasks that it returns: the inserted ones, in order.
        In a caller's transaction (`conn`) it neither commits nor rolls back, and a duplicate leaves that
        transaction usable.

        Raises:
            DuplicateTaskError: a type and external id are taken, by a row or twice in `tasks`.
        """

    @abstractmethod
    def get_task(self, task_id: str, *, conn: Any = None) -> TaskRow | None:
        """Read one task, or None."""

    @abstractmethod
    def find_tasks(self, task_filter: TaskFilter, *, limit: int, conn: Any = None) -> list[TaskRow]:
        """Read up to `limit` tasks that the filter admits, newest first."""

    @abstractmethod
    def cancel_unless_finished(self, task_id: str, *, conn: Any = None) -> bool:
        """Cancel a task that is not terminal; a running one keeps `claimed_by` until it has stopped.

        Returns whether this call canceled it. Raises TaskNotFoundError.
        """

    @abstractmethod
    def reset_unless_claimed(self, task_id: str, *, conn: Any = None) -> bool:
        """Make an error or terminal task new again: attempts 0, due now, a line in errors.

        Returns False for a task that was new already. Raises TaskNotFoundError, or TaskStateError while
        somebody holds it.
        """

    def on_finished(
        self, task_id: str, task_type: str, call: Callable[[], None]
    ) -> AbstractContextManager[Callable[[], bool]]:
        """Have `call` called, in any thread, soon after a task has ended, for the length of the block.

        The block gets a function that says whether that can be relied on at present. It is a hint all the same:
        look at the row, too. A database that tells nobody leaves this as it is.
        """
        del task_id, task_type, call
        return nullcontext(lambda: False)

    @abstractmethod
    def count_tasks(self) -> list[TypeCount]:
        """Count all tasks by type and status, in that order."""

    @abstractmethod
    def queue_depths(self) -> list[QueueDepth]:
        """Count the tasks that are not terminal, by type and status, in that order; finished ones cost nothing."""

    @abstractmethod
    def failed_attempts(self, task_id: str) -> list[AttemptRow]:
        """Read the recorded failed attempts of a task, oldest first."""

    # -- what people ask for who look at it ----------------------------------------------------------

    @abstractmethod
    def search_tasks(self, search: TaskSearch, *, before: str | None = None, limit: int = 50) -> TaskPage:
        """Read up to `limit` tasks, newest first, that are older than the id `before`.

        It looks at a bounded number of tasks, and says where it stopped before the page was full.
        """

    @abstractmethod
    def task_types(self) -> list[str]:
        """Return the types that have tasks, in their order, the first 501 at most."""

    @abstractmethod
    def finished_counts(
        self, task_types: Sequence[str], since: datetime, until: datetime, *, step: int
    ) -> list[FinishedCount]:
        """Count the tasks of some types that ended in a span of time, by type, status and slot.

        It costs as much as ended in that span, so ask for short ones.

        Args:
            task_types: the types.
            since: the first instant of the span.
            until: the first instant after it.
            step: seconds that a slot is long.
        """

    @abstractmethod
    def finished_lately(
        self, task_types: Sequence[str], since: datetime, until: datetime, *, limit: int
    ) -> list[FinishedRun]:
        """Read the newest done tasks of a span, up to `limit` of each of some types."""

    @abstractmethod
    def failures(self, *, after: int = 0, until: int = 2**62, limit: int = 100) -> list[FailureLine]:
        """Read the newest failed attempts whose ids lie between two, newest first.

        An attempt that is written later may have a smaller id than one that was read, if only by a little.
        """

    @abstractmethod
    def recent_nodes(self) -> list[NodeRow]:
        """Read the nodes that beat last, those that have ended too, newest beat first."""

    @abstractmethod
    def schedules(self) -> list[ScheduleRow]:
        """Read what is known of periodic jobs, by name."""

    # -- what a fetcher asks for -------------------------------------------------------------------

    @abstractmethod
    def claim_due(
        self, task_type: str, owner: str, limit: int, *, timeout: float | None = None
    ) -> list[TaskRow]:
        """Claim up to `limit` due tasks of a type, highest priority first, then the longest due.

        The rows come back as they are after the claim: `pending`, `claimed_by` the owner, `claims` risen.
        A paused type claims nothing.

        Args:
            task_type: the type.
            owner: who claims.
            limit: how many tasks at most.
            timeout: seconds that the database may keep a statement waiting; None for as long as it ever may.

        Raises:
            DatabaseUnavailableError: it kept it waiting longer, or cannot be reached.
        """

    @abstractmethod
    def seconds_until_due(self, task_type: str) -> float | None:
        """Return the seconds until the next unclaimed task is due (0 if one is), None if none waits."""

    @abstractmethod
    def mark_processing(self, tokens: Collection[Token]) -> None:
        """Move claimed tasks from pending to processing, where the claim still holds."""

    @abstractmethod
    def settle_if_held(self, changes: Sequence[Change], *, node: str | None = None) -> set[Token]:
        """Write the moves whose claim still holds and record their failed attempts, in one transaction.

        A move whose claim holds no more changes nothing but `claimed_by`, which is cleared if it still
        names this claim (somebody canceled or finished the task meanwhile). The owner may be empty in a
        token: then the row must have no owner, as one claimed by the original has none.

        Args:
            changes: the moves, each for another task.
            node: written into goque_attempt as where the attempt ran.

        Returns: the tokens whose move was written.
        """

    @abstractmethod
    def claimed_by_owner(
        self, owner: str, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read tasks that an owner holds, whatever their status, oldest id first."""

    @abstractmethod
    def changed_by_others(self, owner: str, task_type: str) -> list[Token]:
        """Return the claims of an owner whose task is neither pending nor processing any more."""

    @abstractmethod
    def claims_of_owner(self, owner: str, task_type: str | None = None) -> list[HeldClaim]:
        """Return every claim of an owner, whatever the status of its task."""

    @abstractmethod
    def move_claims(self, tokens: Collection[Token], owner: str) -> None:
        """Write another owner into claims that still hold; nothing else of their tasks changes."""

    @abstractmethod
    def claims_in_doubt(self, task_type: str) -> set[Token]:
        """Return the claims of this process whose commit was not answered, and which it will still look for."""

    @abstractmethod
    def watch(self, task_type: str) -> Watcher:
        """Start to watch for new work of a type."""

    # -- nodes: the lease and the healer -----------------------------------------------------------

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
    def settle_unowned_if_unchanged(self, rows: Sequence[TaskRow], changes: Sequence[Change]) -> int:
        """Write moves of rows without an owner that are still as they were read; returns how many."""

    # -- retention ---------------------------------------------------------------------------------

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

    # -- types and schedules -----------------------------------------------------------------------

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

    # -- the database itself -----------------------------------------------------------------------

    @abstractmethod
    def ping(self) -> None:
        """Make one round trip. Raises DatabaseUnavailableError."""

    @abstractmethod
    def rehearse_writing(self) -> None:
        """Write as a supervisor does at its start, and take it back.

        Raises:
            DatabaseUnavailableError: the server takes no writes, or not from this user.
        """

    @abstractmethod
    def schema_state(self) -> SchemaState:
        """Say whether the schema is the one that this version of goque expects."""

    @abstractmethod
    def require_schema(self) -> None:
        """Raise SchemaError with what to do unless the schema is current; an embedded database creates it."""

    @abstractmethod
    def migrate(self) -> list[str]:
        """Bring the schema up to date and return the names of the migrations that were applied."""

    @abstractmethod
    def pending_migrations(self) -> dict[str, str]:
        """Return the migrations that are still to be applied: name to SQL text."""

    @abstractmethod
    def migration_script(self) -> str:
        """Return SQL that does what `migrate` would do, for a client of the database; empty where it is current.

        Raises SchemaError where `migrate` would.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every connection of this process; a later call opens a new one."""
