"""`goque migrate`: bring the schema up to date, or say what that would do."""

from __future__ import annotations

from typing import Final

import click

from goque.cli.command import command, database_option, option
from goque.config import resolve_database_url

REFUSED: Final[dict[str, str]] = {
    "newer": ", made by a later goque; upgrade goque",
    "foreign": ", a table goque_task that is not goque's; name another database",
}
"""States in which `goque migrate` changes nothing, and why."""


@command("migrate")
@option("--status", is_flag=True, help="Only say which migrations are still to be applied.")
@option("--sql", is_flag=True, help="Only print SQL that does the same, for psql, mysql or sqlite3.")
@database_option
def migrate(database_url: str | None, *, status: bool, sql: bool) -> None:
    """Create or upgrade goque's tables.

    PostgreSQL and MySQL need it before the first use and after an upgrade of goque; SQLite does it by itself.
    Several may do so at once, and doing it again changes nothing.

    \b
    Examples:
      goque migrate --database-url postgresql://me@db/shop
      goque migrate --status
      goque migrate --sql > review.sql
    """
    if status and sql:
        raise click.UsageError("--status and --sql are two questions; ask one of them")
    from goque.storage import open_storage

    storage = open_storage(resolve_database_url(database_url))
    try:
        if status:
            state = storage.schema_state()
            click.echo(f"schema of {storage.url}: {state}{REFUSED.get(state, '')}")
            for name in storage.pending_migrations() if state not in REFUSED else ():
                click.echo(f"to be applied: {name}")
        elif sql:
            if script := storage.migration_script():
                click.echo(script)
        else:
            applied = storage.migrate()
            for name in applied:
                click.echo(f"applied {name}")
            click.echo(f"schema of {storage.url} is up to date")
    finally:
        storage.close()
