"""`goque check`: whether an app would run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import click
import msgspec

from goque.cli.command import LOG_LEVEL, command
from goque.cli.database import database_option, require_file, required_app
from goque.cli.selection import selection_options, supervise_options
from goque.describe.limit_words import describe_changes, short_rate
from goque.options import ProcessorOptions, ProcessorSpec
from goque.pools.options import PoolSpec
from goque.storage.contract import QueueDepth, TypePolicy
from goque.telemetry.logs import one_line


@command("check")
@click.argument("app", required=False)
@selection_options
@database_option
@click.pass_context
def check(ctx: click.Context, /, app: str | None, **options: Any) -> None:
    """Check whether `goque supervise APP` would start, and show what it would run.

    APP is module:attribute, such as app:registry. You can leave it out if the app is configured.

    The command imports the app in a separate process, connects to the database and checks the schema. It prints each
    type with its options and each periodic job with its next run. A type is marked `unknown` if tasks of it wait and
    no supervisor has ever run it, for example because its name is misspelt. A SQLite file must exist: `goque migrate`
    creates it.

    \b
    Examples:
      goque check app:registry && goque supervise app:registry
      goque check app:registry --types send_email
    """
    from goque.storage import open_storage
    from goque_supervisor.nursery.dry_run import dry_run

    app = required_app(app)
    plan = dry_run(supervise_options(app, ctx.meta.get(LOG_LEVEL) or "warning", **options))
    click.echo(f"app       {app} imports")
    require_file(plan.database_url, app)
    storage = open_storage(plan.database_url)
    try:
        storage.ping()
        click.echo(f"database  {storage.url} answers")
        storage.require_schema()
        storage.rehearse_writing()
        click.echo("schema    is up to date")
        policies = storage.type_policies()
        depths = storage.queue_depths() if plan.types else []
    finally:
        storage.close()
    pool_of = {task_type: pool for pool in plan.pools for task_type in pool.types}
    for pool in plan.pools:
        if pool.types != (pool.name,):
            click.echo(f"pool      {one_line(pool.name)}: {_pairs(_shown_of_pool(pool))}")
    for spec in plan.types:
        notes = _notes(policies.get(spec.type))
        click.echo(f"type      {one_line(spec.type)}{notes}: {_options(spec, pool_of[spec.type])}")
    for job in plan.jobs:
        click.echo(f"job       {one_line(job.name)}: {job.next_run}")
    for task_type, count in _left_alone(depths, {*policies, *(spec.type for spec in plan.types)}).items():
        waiting = "1 task waits" if count == 1 else f"{count} tasks wait"
        click.echo(f"unknown   {one_line(task_type)}: {waiting}, and no supervisor has run this type yet")


def _notes(policy: TypePolicy | None) -> str:
    """Say what people have set at run time for a type."""
    notes = ["paused"] if policy is not None and policy.paused else []
    if policy is not None and (changes := describe_changes(policy.changes)):
        notes.append(f"set at run time: {changes}")
    return f" ({'; '.join(notes)})" if notes else ""


def _left_alone(depths: Iterable[QueueDepth], known: set[str]) -> Counter[str]:
    """Count the unfinished tasks of types that neither this app nor any supervisor has run."""
    counts: Counter[str] = Counter()
    for depth in depths:
        if depth.type not in known:
            counts[depth.type] += depth.count
    return counts


def _options(spec: ProcessorSpec, pool: PoolSpec) -> str:
    """Format the options that differ from their defaults, and the most important ones in any case."""
    chosen = msgspec.to_builtins(spec.options)
    own = pool.types == (spec.type,) and pool.name == spec.type
    shown = {
        "handler": "async" if spec.is_async else "def",
        **(_shown_of_own_pool(spec, pool) if own else {"pool": one_line(pool.name)}),
        "timeout": spec.options.timeout,
        "max_attempts": spec.options.max_attempts,
        **chosen,
    }
    for name in ("limits", "takes_turns"):
        shown.pop(name, None)
    strategy = shown.pop("strategy", None)
    if "strategy" in chosen:
        shown["next_attempt_at"] = "a function" if strategy is None else _strategy(strategy)
    return _pairs({**shown, **_limits(spec.options)})


def _limits(options: ProcessorOptions) -> dict[str, object]:
    """Return the limits that a type has, by the names of its options."""
    limits = options.limits
    named = {
        "limit_key": "given" if options.takes_turns else None,
        "limit": limits.limit,
        "limit_per_key": limits.per_key,
        "rate": None if limits.rate is None else short_rate(limits.rate),
    }
    return {name: value for name, value in named.items() if value is not None}


def _shown_of_pool(pool: PoolSpec) -> dict[str, object]:
    """Return the options of a pool that differ from their defaults, and the number of workers in any case."""
    return {"workers": pool.options.workers, **msgspec.to_builtins(pool.options)}


def _shown_of_own_pool(spec: ProcessorSpec, pool: PoolSpec) -> dict[str, object]:
    """Return the same for a type that has the pool alone, with the workers of its kind of handler."""
    shown = _shown_of_pool(pool)
    shown["workers"] = shown.pop("async_workers", 1) if spec.is_async else pool.options.workers
    return shown


def _pairs(shown: Mapping[str, object]) -> str:
    return " ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in shown.items()
    )


def _strategy(strategy: dict[str, object]) -> str:
    parts = ", ".join(f"{name}={value}" for name, value in strategy.items() if name != "type")
    return f"{strategy.get('type')}({parts})"
