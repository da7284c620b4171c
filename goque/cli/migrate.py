"""`goque migrate`: brings the schema up to date, or prints what it would do."""

from __future__ import annotations

from typing import Final

import click

from goque.cli.command import command, database_option, option
from goque.config import resolve_database_url

REFUSED: Final[dict[str, str]] = {
    "newer": ", made by a newer goque; upgrade goque",
    "foreign": ", a table goque_task that is not goque's; name another database",
}
"""The states in which `goque migrate` changes nothing, and what to tell the user."""


@command("migrate")
@option("--status", is_flag=True, help="Only list the migrations that would be applied.")
@option("--sql", is_flag=True, help="Only print the SQL, for psql, mysql or sqlite3.")
@database_option
def migrate(database_url: str | None, *, status: bool, sql: bool) -> None:
    """Create or upgrade goque's tables.

    PostgreSQL and MySQL need it before the first use and after an upgrade of goque. SQLite does not need it.
    Several machines may run it at once, and running it again changes nothing.

    \b
    Examples:
      goque migrate --database-url postgresql://me@db/shop
      goque migrate --status
      goque migrate --sql > review.sql
    """
    if status and sql:
        raise click.UsageError("--status and --sql contradict each other; give one of them")
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
