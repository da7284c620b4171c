"""`goque check`: would this app run?"""

from __future__ import annotations

from datetime import UTC, datetime

import click
import msgspec

from goque.cli.command import command, database_option
from goque.logs import one_line
from goque.options import ProcessorSpec
from goque.periodic import PeriodicJob, PeriodicJobError, next_slot, slot_text


@command("check")
@click.argument("app")
@database_option
def check(app: str, database_url: str | None) -> None:
    """Import APP, reach its database, compare the schema, and print what `goque supervise` would run.

    \b
    Example:
      goque check app:registry && goque supervise app:registry
    """
    from goque.app import load_registry
    from goque.config import resolve_database_url
    from goque.storage import open_storage

    registry = load_registry(app)
    click.echo(f"app       {app} imports")
    storage = open_storage(resolve_database_url(database_url, registry_url=registry.database_url))
    try:
        storage.ping()
        click.echo(f"database  {storage.url} answers")
        storage.require_schema()
        click.echo("schema    is up to date")
    finally:
        storage.close()
    for spec in registry.specs():
        click.echo(f"type      {one_line(spec.type)}: {_options(spec)}")
    for job in registry.jobs:
        click.echo(f"job       {one_line(job.name)}: {_next_run(job)}")
    if not registry.task_types:
        click.echo(
            "goque: the registry has no processors, so nothing would run; add one with add_processor",
            err=True,
        )


def _options(spec: ProcessorSpec) -> str:
    """Say the options that were chosen; those left at their defaults only where everybody asks for them."""
    chosen = msgspec.to_builtins(spec.options)
    shown = {
        "handler": "async" if spec.is_async else "def",
        "workers": spec.options.workers,
        "timeout": spec.options.timeout,
        "max_attempts": spec.options.max_attempts,
        **chosen,
    }
    strategy = shown.pop("strategy", None)
    if "strategy" in chosen:
        shown["next_attempt_at"] = "a function" if strategy is None else _strategy(strategy)
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in shown.items()
    )


def _strategy(strategy: dict[str, object]) -> str:
    parts = ", ".join(f"{name}={value}" for name, value in strategy.items() if name != "type")
    return f"{strategy.get('type')}({parts})"


def _next_run(job: PeriodicJob) -> str:
    try:
        slot = next_slot(job, datetime.now(UTC))
    except PeriodicJobError as error:
        return one_line(str(error))
    return "its schedule has ended" if slot is None else f"next at {slot_text(slot)}, misfire={job.misfire}"
