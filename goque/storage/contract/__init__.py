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

from goque.errors import ConfigurationError
from goque.storage.contract.claims import Claims
from goque.storage.contract.failures import (
    Failures,
    FailureSummary,
    GroupAttempt,
    OpenTask,
    OpenTasks,
    Resets,
)
from goque.storage.contract.flow_reads import (
    FlowCount,
    FlowLines,
    FlowOverview,
    FlowReads,
    FlowTask,
    Neighbor,
    TaskLinks,
)
from goque.storage.contract.flows import FlowRecord, Flows
from goque.storage.contract.limits import HeldTask, KeyUse, LimitControl, LimitLoad, LimitUse, Owner
from goque.storage.contract.records import (
    ANY_PRIORITY,
    MAX_GROUPS,
    AttemptRow,
    Claim,
    DueLevel,
    HeldBack,
    HeldClaim,
    NodeRow,
    QueueDepth,
    SchemaState,
    TypeCount,
    TypePolicy,
    policy_of,
)
from goque.storage.contract.rollups import RollupRow, Rollups
from goque.storage.contract.search import Search
from goque.storage.contract.stacks import ClaimNews, StackRequest, Stacks
from goque.storage.contract.step_records import RecordedValues, StepOverview, StepRecords, StepRow
from goque.storage.contract.tasks import AsyncTasks, Tasks
from goque.storage.contract.upkeep import Upkeep
from goque.storage.contract.watcher import Watcher

__all__ = [
    "ANY_PRIORITY",
    "MAX_GROUPS",
    "AsyncTasks",
    "AttemptRow",
    "Claim",
    "ClaimNews",
    "Claims",
    "DueLevel",
    "FailureSummary",
    "Failures",
    "FlowCount",
    "FlowLines",
    "FlowOverview",
    "FlowReads",
    "FlowRecord",
    "FlowTask",
    "Flows",
    "GroupAttempt",
    "HeldBack",
    "HeldClaim",
    "HeldTask",
    "KeyUse",
    "LimitControl",
    "LimitLoad",
    "LimitUse",
    "Neighbor",
    "NodeRow",
    "OpenTask",
    "OpenTasks",
    "Owner",
    "QueueDepth",
    "RecordedValues",
    "Resets",
    "RollupRow",
    "Rollups",
    "SchemaState",
    "Search",
    "StackRequest",
    "Stacks",
    "StepOverview",
    "StepRecords",
    "StepRow",
    "TaskLinks",
    "TaskStorage",
    "Tasks",
    "TypeCount",
    "TypePolicy",
    "Upkeep",
    "Watcher",
    "policy_of",
]


class TaskStorage(
    Tasks, Claims, Upkeep, LimitControl, Flows, FlowReads, StepRecords, Rollups, Stacks, Search, Failures, ABC
):
    """Everything that goque asks of a database; open one with `goque.open_storage(url)`.

    A caller that needs one part only can name it: `Tasks`, `Claims`, `Upkeep`, `LimitControl` or `Search`.
    """

    url: str
    """The address of the database, with the password hidden."""

    def asyncio_tasks(self) -> AsyncTasks:
        """Return what applications ask for, in transactions of asyncio connections.

        Raises:
            ConfigurationError: this storage knows none.
        """
        raise ConfigurationError(f"{self.url} supports no asyncio connection; give a synchronous one")

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
    def prepare_for_go(self) -> None:
        """Make the Go library's indexes, and enter its migration in goose's ledger as applied, where they are missing.

        Raises:
            SchemaError: the schema is not current; call `migrate` first.
        """

    @abstractmethod
    def pending_migrations(self) -> dict[str, str]:
        """Return the migrations that are still to be applied: name to SQL text."""

    @abstractmethod
    def migration_script(self, *, for_go: bool = False) -> str:
        """Return SQL that does what `migrate` would do, for a client of the database; empty where it is current.

        With `for_go` it also does what `prepare_for_go` would do. Raises SchemaError where `migrate` would.
        """

    @abstractmethod
    def close(self) -> None:
        """Close every connection of this process; a later call opens a new one."""
