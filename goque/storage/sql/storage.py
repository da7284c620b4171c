"""A storage on any SQL database: the logic once, what differs in a dialect."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from goque.errors import DatabaseUnavailableError
from goque.storage.contract import Claim, SchemaState
from goque.storage.foreign_servers import refuse_foreign_server
from goque.storage.sql.call_policy import READ
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.failures.reads import SqlFailures
from goque.storage.sql.flow_reads import SqlFlowReads
from goque.storage.sql.flow_storage import SqlFlows
from goque.storage.sql.limit_control import SqlLimitControl
from goque.storage.sql.migrate import Migrations, known_migrations, migration_script, schema_error
from goque.storage.sql.rollups.rollups import SqlRollups
from goque.storage.sql.runner import PATIENCE
from goque.storage.sql.stacks.requests import SqlStacks
from goque.storage.sql.step_calls.calls import SqlStepRecords
from goque.task_row import HAS_NEEDS, TaskRow


class SqlStorage(SqlFlows, SqlFlowReads, SqlStepRecords, SqlRollups, SqlLimitControl, SqlStacks, SqlFailures):
    """The contract of a storage, kept by statements; `goque.open_storage(url)` makes one.

    Args:
        dialect: the kind and the address of the database.
        patience: seconds that a call of an application's waits for other writers.
    """

    def __init__(self, dialect: Dialect, *, patience: float = PATIENCE) -> None:
        super().__init__(dialect, patience=patience)
        self._migrations = Migrations(dialect, self._connections)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the connections behind when another process gets a copy."""
        return partial(type(self), patience=self._patience), (self._dialect,)

    def claim_due(
        self,
        task_type: str,
        owner: str,
        limit: int,
        *,
        timeout: float | None = None,
        priority: int | None = None,
    ) -> list[TaskRow]:
        """Claim due tasks of a type, each with what it needs."""
        rows = super().claim_due(task_type, owner, limit, timeout=timeout, priority=priority)
        return self._claimed_with_needs(rows)

    def claim_in_turns(
        self, wanted: Sequence[Claim], owner: str, *, timeout: float | None = None
    ) -> list[TaskRow]:
        """Claim due tasks of several types, each with what it needs."""
        return self._claimed_with_needs(super().claim_in_turns(wanted, owner, timeout=timeout))

    def claimed_by_owner(
        self, owner: str, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read tasks that an owner holds, each with what it needs."""
        return self._with_needs(super().claimed_by_owner(owner, task_type, limit=limit))

    def _claimed_with_needs(self, rows: list[TaskRow]) -> list[TaskRow]:
        try:
            return self._with_needs(rows)
        except DatabaseUnavailableError:
            self.doubt(rows)  # the next claim returns them
            raise

    def _with_needs(self, rows: list[TaskRow]) -> list[TaskRow]:
        needing = [row for row in rows if row.flags and row.flags & HAS_NEEDS]
        if needing:
            needs = self.needs_of([row.id for row in needing])
            for row in needing:
                row.needs = needs.get(row.id, ())
        return rows

    @property
    def dialect(self) -> Dialect:
        """The kind and the address of the database."""
        return self._dialect

    def ping(self) -> None:
        """Make one round trip."""
        self._run(lambda session: session.rows(self._sql.ping), READ)

    def schema_state(self) -> SchemaState:
        """Say whether the schema is the one that this version of goque expects."""
        return self._migrations.state()

    def require_schema(self) -> None:
        """Raise SchemaError with what to do unless the schema is current; an embedded database creates it."""
        if self._sql.version:
            [(banner,)] = self._run(lambda session: session.rows(self._sql.version), READ)
            refuse_foreign_server(self._dialect.read_text(banner), self.url)
        state = self.schema_state()
        if state in ("missing", "outdated") and self._dialect.creates_schema:
            self.migrate()
        elif state != "current":
            raise schema_error(state, self._dialect)

    def migrate(self) -> list[str]:
        """Bring the schema up to date and return the names of the migrations that were applied."""
        return self._migrations.apply()

    def prepare_for_go(self) -> None:
        """Make the Go library's indexes, and enter its migration in goose's ledger as applied."""
        self._migrations.prepare_for_go()

    def pending_migrations(self) -> dict[str, str]:
        """Return the migrations that are still to be applied: name to SQL text."""
        return self._migrations.pending()

    def migration_script(self, *, for_go: bool = False) -> str:
        """Return SQL that does what `migrate` would do; an embedded database that is not there is not made."""
        if not self._dialect.exists():
            return migration_script(self._dialect, known_migrations(self._dialect.name), for_go=for_go)
        return self._migrations.script(for_go=for_go)

    def use_clock(self, clock: Callable[[], datetime] | None) -> None:
        """Reckon by another clock than the database's, from the next call on; None ends that. For tests."""
        self._dialect.clock = clock
        self.close()

    def close(self) -> None:
        """Close every connection of this process; a later call opens a new one."""
        self._connections.close()
        self._dialect.forget()
