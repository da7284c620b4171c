"""A migration operation for Django that applies one of goque's migrations."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.migrations.operations.base import Operation

from goque.contrib.django.databases import database_alias, storage
from goque.storage.sql.migrate import CREATE_LEDGER, known_migrations, record_of, split_statements


class ApplyMigration(Operation):
    """Apply a migration of goque on its database, unless it has been applied, or is for another kind of database.

    It cannot be reversed, because the tables may have tasks.
    """

    reduces_to_sql = True
    reversible = False

    def __init__(self, name: str) -> None:
        self.name = name

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Change no model of Django: goque has none."""

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Run the statements on Django's connection, or collect them for `sqlmigrate`."""
        del from_state, to_state
        connection = schema_editor.connection
        if connection.alias != database_alias() or not router.allow_migrate(connection.alias, app_label):
            return
        dialect = storage().dialect
        sql = known_migrations(dialect.name).get(self.name)
        if sql is None:
            return
        statements = (CREATE_LEDGER.strip(), *split_statements(sql), record_of(self.name, dialect))
        if schema_editor.collect_sql:
            schema_editor.collected_sql += [f"{statement};" for statement in statements]
        elif self.name in storage().pending_migrations():
            session = dialect.wrap(connection)
            for statement in statements:
                session.migrate(statement)

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        """Do nothing; Django checks `reversible` before."""

    def describe(self) -> str:
        """Return the description for `migrate --plan`."""
        return f"Apply goque migration {self.name}"
