"""The schema, from numbered SQL files: each applied once, whole, by whoever comes first."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Final

from goque.errors import SchemaError
from goque.storage.contract import SchemaState
from goque.storage.sql.connections import Connections
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.session import DatabaseLockedError, Session
from goque.version import __version__

TABLES: Final = (
    "goque_attempt",
    "goque_task",
    "goque_schedule",
    "goque_node",
    "goque_type",
    "goque_limit",
    "goque_need",
    "goque_flow",
    "goque_flow_task",
    "goque_step",
    "goque_failure_group",
    "goque_failure_hour",
    "goque_rollup",
    "goque_stack",
)
"""The tables with rows of the application; the ledger of migrations is not among them."""

MIGRATIONS_A_MAJOR_VERSION: Final = 1000
"""Migrations of major version N are numbered from N * 1000. Within a major version they only add, so code
goes on working on a schema that a later minor version has extended, as it must during a deploy."""

ORIGINAL_COLUMNS: Final = frozenset(
    {
        "id",
        "type",
        "external_id",
        "payload",
        "status",
        "attempts",
        "errors",
        "metadata",
        "created_at",
        "updated_at",
        "next_attempt_at",
    }
)

CREATE_LEDGER: Final = """
    CREATE TABLE IF NOT EXISTS goque_migration (
        name       VARCHAR(255) PRIMARY KEY,
        applied_at VARCHAR(64)  NOT NULL
    )"""


class Migrations:
    """What is applied in a database, and what is still to be."""

    def __init__(self, dialect: Dialect, connections: Connections) -> None:
        self._dialect = dialect
        self._connections = connections

    def state(self) -> SchemaState:
        """Compare the database with the files of this version."""
        applied = self._applied()
        if any(_is_of_later_major_version(name) for name in applied):
            return "newer"
        if applied >= known_migrations(self._dialect.name).keys():
            return "current"
        with self._connections as session:
            columns = self._dialect.columns(session, "goque_task")
        if not columns:
            return "missing"
        return "outdated" if columns >= ORIGINAL_COLUMNS else "foreign"

    def pending(self) -> dict[str, str]:
        """Return what is still to be applied: name to SQL text."""
        applied = self._applied()
        return {
            name: sql for name, sql in known_migrations(self._dialect.name).items() if name not in applied
        }

    def script(self, *, for_go: bool = False) -> str:
        """Return SQL that does what `apply` would do, the ledger included; empty where nothing is pending.

        Args:
            for_go: whether it also does what `prepare_for_go` would do.

        Raises:
            SchemaError: the database holds something else under goque's names, or a later goque's schema.
        """
        state = self.state()
        if state in ("newer", "foreign"):
            raise schema_error(state, self._dialect)
        return migration_script(self._dialect, self.pending(), for_go=for_go)

    def apply(self) -> list[str]:
        """Apply what is pending and return its names.

        Raises:
            SchemaError: the database holds something else under goque's names, or a later goque's schema.
        """
        state = self.state()
        if state in ("newer", "foreign"):
            raise schema_error(state, self._dialect)
        return [name for name, sql in self.pending().items() if self._apply_one(name, sql)]

    def prepare_for_go(self) -> None:
        """Make the Go library's indexes, and enter its migration in goose's ledger as applied, where they are missing.

        Raises:
            SchemaError: the schema is not current.
        """
        state = self.state()
        if state != "current":
            raise schema_error(state, self._dialect)
        with self._connections as session, session.migrating():
            for statement in split_statements(go_script(self._dialect.name)):
                session.migrate(statement)

    def _apply_one(self, name: str, sql: str) -> bool:
        with self._connections as session, session.migrating():
            session.run(CREATE_LEDGER)
            if name in _names(session, self._dialect):
                return False  # another process was faster; it held the lock that we waited for
            for statement in split_statements(sql):
                session.migrate(statement)
            session.run(self._dialect.sql.record_migration, {"name": name})
        return True

    def _applied(self) -> set[str]:
        try:
            with self._connections as session:
                return _names(session, self._dialect)
        except DatabaseLockedError:
            raise
        except SchemaError:
            return set()


def known_migrations(dialect_name: str) -> dict[str, str]:
    """Return the migrations of this version in their order: name to SQL text."""
    # not importlib.resources: it takes 3 MiB in each process that looks at the schema
    folder = Path(__file__).parents[1] / "migrations" / dialect_name
    return {path.stem: path.read_text("utf-8") for path in sorted(folder.glob("*.sql"))}


def go_script(dialect_name: str) -> str:
    """Return the SQL that makes the Go library's indexes and the entry of its migration."""
    return (Path(__file__).parents[1] / "migrations" / "for_go" / f"{dialect_name}.sql").read_text("utf-8")


def migration_script(dialect: Dialect, pending: dict[str, str], *, for_go: bool = False) -> str:
    """Return the SQL of migrations with the rows of the ledger, for a client of the database to run."""
    if not pending and not for_go:
        return ""
    parts = [f"{dedent(CREATE_LEDGER).strip()};"] if pending else []
    for name, sql in pending.items():
        parts.append(f"-- {name}\n{sql.rstrip()}\n\n{record_of(name, dialect)};")
    if for_go:
        parts.append(go_script(dialect.name).rstrip())
    return "\n\n".join((dialect.script_begin, *parts, dialect.script_end)).strip()


def record_of(name: str, dialect: Dialect) -> str:
    """Return the SQL that writes into the ledger that a migration is applied."""
    return f"INSERT INTO goque_migration (name, applied_at)\nVALUES ('{name}', {dialect.now_text})"


def split_statements(sql: str) -> list[str]:
    """Split a migration into its statements: each ends with a semicolon at the end of a line."""
    return [part.strip() for part in f"{sql}\n".split(";\n") if part.strip()]


def schema_error(state: SchemaState, dialect: Dialect) -> SchemaError:
    """Say what is wrong with a schema and what to do."""
    sentences: dict[SchemaState, str] = {
        "missing": "has no goque tables; run `goque migrate`",
        "outdated": "has an older schema than this version of goque; run `goque migrate`",
        "newer": f"has the schema of a later version of goque than this one, {__version__}; upgrade goque",
        "foreign": "has a table goque_task that is not goque's; name another database",
    }
    return SchemaError(f"{dialect.url} {sentences[state]}")


def _names(session: Session, dialect: Dialect) -> set[str]:
    return {dialect.read_text(row[0]) for row in session.rows(dialect.sql.applied_migrations)}


def _is_of_later_major_version(name: str) -> bool:
    number = name.partition("_")[0]
    next_major = int(__version__.partition(".")[0]) + 1
    return number.isdecimal() and int(number) >= next_major * MIGRATIONS_A_MAJOR_VERSION
