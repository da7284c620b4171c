"""`goque migrate`: brings the schema up to date, or prints what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from goque.cli.command import command, option
from goque.cli.database import database_option, find_database_url, missing_file

if TYPE_CHECKING:
    from goque.storage import TaskStorage

REFUSED: Final[dict[str, str]] = {
    "newer": ", made by a newer goque; upgrade goque",
    "foreign": ", a table goque_task that is not goque's; name another database",
}
"""The states in which `goque migrate` changes nothing, and what to tell the user."""

GO_VERSION: Final = 20251029020834
"""The migration of the Go library that makes the table, as goose numbers it."""


@command("migrate")
@option("--status", is_flag=True, help="Only list the migrations that would be applied.")
@option("--sql", is_flag=True, help="Only print the SQL, for psql, mysql or sqlite3.")
@option("--for-go", is_flag=True, help="Also apply the Go library's own migration.")
@database_option
def migrate(database_url: str | None, *, status: bool, sql: bool, for_go: bool) -> None:
    """Create or upgrade goque's tables.

    PostgreSQL and MySQL need it before the first use and after an upgrade of goque. SQLite does not need it.
    Several machines may run it at once, and running it again changes nothing.

    Give --for-go if a service with the Go library uses the same table. Then the command also creates the two indexes of
    that library and records its migration in goose_db_version, so that `goose up` has nothing left to do.

    \b
    Examples:
      goque migrate --database-url postgresql://me@db/shop
      goque migrate --status
      goque migrate --sql > review.sql
      goque migrate --for-go
    """
    if status and sql:
        raise click.UsageError("--status and --sql contradict each other; give one of them")
    if status and for_go:
        raise click.UsageError("--status lists goque's own migrations; give --for-go without it")
    from goque.storage import open_storage

    url = find_database_url(database_url)
    storage = open_storage(url)
    try:
        if status:
            _print_status(storage, is_missing=missing_file(url) is not None)
        elif sql:
            if script := storage.migration_script(for_go=for_go):
                click.echo(script)
        else:
            applied = storage.migrate()
            for name in applied:
                click.echo(f"applied {name}")
            click.echo(f"schema of {storage.url} is up to date")
            if for_go:
                storage.prepare_for_go()
                click.echo(
                    f"the indexes of the Go library exist, and its migration {GO_VERSION} is recorded as applied"
                )
    finally:
        storage.close()


def _print_status(storage: TaskStorage, *, is_missing: bool) -> None:
    """Print the state of the schema and what is to be applied.

    Args:
        storage: the database.
        is_missing: whether it is a file that does not exist; to look into it would create it.
    """
    from goque.storage.sql.migrate import known_migrations

    state = "missing" if is_missing else storage.schema_state()
    click.echo(f"schema of {storage.url}: {state}{REFUSED.get(state, '')}")
    if state in REFUSED:
        return
    for name in known_migrations("sqlite") if is_missing else storage.pending_migrations():
        click.echo(f"to be applied: {name}")
