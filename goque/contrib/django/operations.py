"""The operation of Django's migrations that applies one of goque's own."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from goque.contrib.django.databases import database_alias, storage
from goque.storage.sql.migrate import CREATE_LEDGER, known_migrations, record_of, split_statements


class ApplyMigration(Operation):
    """Apply a migration of goque's on the database that holds its tables, unless `goque migrate` has done so.

    It cannot be undone: there may be tasks.
    """

    reduces_to_sql = True
    reversible = False

    def __init__(self, name: str) -> None:
        self.name = name

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Leave Django's models as they are: none is goque's."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Run the statements on Django's connection, or collect them for `sqlmigrate`."""
        del from_state, to_state
        connection = schema_editor.connection
        if connection.alias != database_alias() or not router.allow_migrate(connection.alias, app_label):
            return
        dialect = storage().dialect
        sql = known_migrations(dialect.name)[self.name]
        statements = (CREATE_LEDGER.strip(), *split_statements(sql), record_of(self.name, dialect))
        if schema_editor.collect_sql:
            schema_editor.collected_sql += [f"{statement};" for statement in statements]
        elif self.name in storage().pending_migrations():
            session = dialect.wrap(connection)
            for statement in statements:
                session.migrate(statement)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing: Django asks whether it is reversible before."""

    def describe(self) -> str:
        """Say what it does, for `migrate --plan`."""
        return f"Apply goque's migration {self.name}"
