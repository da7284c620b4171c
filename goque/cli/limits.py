"""`goque limits` and `goque limit`: see how limits are used, and change them on all nodes."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Final

import click
import msgspec

from goque.cli.command import command, option
from goque.cli.completion import complete_types
from goque.cli.database import database_option, opened_storage, type_hint
from goque.cli.output import print_json, shortened, table_lines
from goque.cli.parameters.limits import NONE, LimitOrNone, RateOrNone
from goque.cli.parameters.values import WholeNumber
from goque.describe.limit_use import describe_next_start, has_limits, holding_nodes
from goque.describe.limit_words import WITHOUT_KEY, describe_changes, short_limits, shown_key
from goque.errors import ConfigurationError
from goque.storage.contract import KeyUse, LimitUse, NodeRow
from goque.task_rules.limits import LimitChanges, Limits, Rate, check_changes
from goque.telemetry.logs import one_line

HEADER: Final = ("key", "running", "waiting", "next start", "nodes")
INDENT: Final = "  "
MIN_KEY: Final = 12
MAX_NODES: Final = 24
"""The characters of a terminal's line that a key has at least, and its nodes at most."""

Nodes = Mapping[str, NodeRow]


@command("limits")
@click.argument("task_type", metavar="[TYPE]", required=False, shell_complete=complete_types)
@option(
    "--keys",
    "most_keys",
    type=WholeNumber(0, 100_000),
    metavar="N",
    default=20,
    show_default=True,
    help="Show at most N keys of each type.",
)
@option(
    "--json", "as_json", is_flag=True, help="Print a JSON object a line, one for each type with its keys."
)
@database_option
def limits(database_url: str | None, task_type: str | None, most_keys: int, *, as_json: bool) -> None:
    """Show the limits of each type, or of TYPE, and how their places are used.

    For each type it shows the limits, also those set at run time, how many tasks hold a place, how many wait, and when
    the next one may start. Below the type are its keys, those with the most running tasks first, and the nodes that
    hold their places: `vm`, or `vm pid 12` if several nodes run on that host. A claimed task holds a place until its
    claim ends.

    \b
    Examples:
      goque limits
      goque limits sync --keys 100
      goque limits --json | jq '.keys[] | select(.waiting > 100)'
    """
    with opened_storage(database_url) as storage:
        if task_type and (hint := type_hint(storage, task_type)):
            raise ConfigurationError(hint)
        found = storage.limit_uses(task_type, most_keys=max(1, most_keys))
        paused = {policy.type for policy in storage.type_policies().values() if policy.paused}
        nodes = {node.id: node for node in storage.nodes()}
    uses = [
        msgspec.structs.replace(
            use, keys=use.keys[:most_keys], has_more_keys=use.has_more_keys or len(use.keys) > most_keys
        )
        for use in found
        if has_limits(use)
    ]
    if not uses:
        _say_that_there_is_none(task_type)
    for number, use in enumerate(uses):
        if as_json:
            print_json(_as_json(use, nodes, paused=use.type in paused))
            continue
        for line in ("", *_lines(use, nodes, paused=use.type in paused))[0 if number else 1 :]:
            click.echo(line)
        if use.has_more_keys and most_keys:
            click.echo(f"{INDENT}only {len(use.keys)} keys are shown; --keys shows more", err=True)


@command("limit")
@click.argument("task_type", metavar="TYPE", shell_complete=complete_types)
@option(
    "--limit",
    "most",
    type=LimitOrNone(),
    metavar="N",
    envvar="GOQUE_TYPE_LIMIT",  # GOQUE_LIMIT is how many tasks `goque list` prints
    help="How many tasks of TYPE may run at once on all nodes; none for no limit.",
)
@option(
    "--per-key",
    type=LimitOrNone(),
    metavar="N",
    help="How many tasks with the same limit_key may run at once on all nodes; none for no limit.",
)
@option(
    "--rate",
    type=RateOrNone(),
    metavar="COUNT/TIME",
    help="How many tasks of TYPE may start in a time, such as 100/60, 100/60s or 5/1m; none for no rate.",
)
@option(
    "--burst",
    type=LimitOrNone(),
    metavar="N",
    help="How many tasks may start at once after a time without starts; none for COUNT.",
)
@option(
    "--rate-per-key/--rate-per-type",
    "rate_per_key",
    default=None,
    envvar="GOQUE_RATE_PER_KEY",  # the option has two names
    help="Whether the rate is for each limit_key, or for all tasks of TYPE together.",
)
@option(
    "--clear",
    is_flag=True,
    help="Return to the limits that the processor declares. Limits set at run time and delays by RateLimited are "
    "removed.",
)
@database_option
def limit(
    database_url: str | None,
    task_type: str,
    *,
    clear: bool,
    **given: Any,
) -> None:
    """Change limits of TYPE on all nodes, and print the new limits. Each node follows within its fetch_tick.

    Limits that you leave out do not change. A new rate keeps its burst and stays per key or per type, unless you give
    these options. If you lower a limit, running tasks continue, and claimed tasks that have not started are requeued.

    \b
    Examples:
      goque limit sync --limit 20 --per-key 2
      goque limit sync --rate 100/60 --burst 10
      goque limit sync --rate 50/60
      goque limit sync --burst none --rate-per-type
      goque limit sync --rate none
      goque limit sync --clear
    """
    _refuse_contradictions(given, clear=clear)
    with opened_storage(database_url) as storage:
        policy = storage.type_policies().get(task_type)
        changes = None if clear else _changes(policy.effective_limits.rate if policy else None, **given)
        then = storage.set_limits(task_type, changes)
    click.echo(f"{one_line(task_type)}: {short_limits(then)}")


def _refuse_contradictions(given: Mapping[str, Any], *, clear: bool) -> None:
    """Raise click.UsageError if the options do not go together, or are none."""
    is_given = any(value is not None for value in given.values())
    if clear and is_given:
        raise click.UsageError("--clear and the other options contradict each other; give one of them")
    if not clear and not is_given:
        raise click.UsageError(
            "give --limit, --per-key or --rate, or --clear to remove limits that were set at run time"
        )
    if given["rate"] == NONE and (given["burst"] is not None or given["rate_per_key"] is not None):
        raise click.UsageError("--rate none removes the rate; leave out the other options of a rate")


def _changes(
    now: Rate | None,
    most: int | str | None,
    per_key: int | str | None,
    **rate: Any,
) -> LimitChanges:
    """Return what the options set, where a type has a rate now. Raises click.UsageError if they do not go together."""
    return check_changes(_chosen(most), _chosen(per_key), _rate(now, **rate))


def _rate(
    now: Rate | None, rate: Rate | str | None, burst: int | str | None, *, rate_per_key: bool | None
) -> Rate | msgspec.UnsetType | None:
    """Return the rate that the options set; what they leave out is as it is now."""
    is_changed = burst is not None or rate_per_key is not None
    if rate is None and not is_changed:
        return msgspec.UNSET
    if rate == NONE:
        return None
    of = rate if isinstance(rate, Rate) else now
    if of is None:
        raise click.UsageError(
            "--burst, --rate-per-key and --rate-per-type change a rate, and the type has none; give --rate COUNT/TIME"
        )
    kept_burst, kept_per_key = (now.burst, now.per_key) if now else (None, False)
    return Rate(
        of.count,
        of.per,
        kept_burst if burst is None else None if burst == NONE else int(burst),
        kept_per_key if rate_per_key is None else rate_per_key,
    )


def _chosen(value: Any) -> Any:
    return msgspec.UNSET if value is None else None if value == NONE else value


def _say_that_there_is_none(task_type: str | None) -> None:
    """Say that no type has limits, and how to set one."""
    who = "no type has" if task_type is None else f"{one_line(task_type)} has no"
    name = "TYPE" if task_type is None else shlex.quote(one_line(task_type))
    click.echo(f"{who} limits; `goque limit {name} --limit 5` sets one", err=True)


def _lines(use: LimitUse, nodes: Nodes, *, paused: bool) -> Iterator[str]:
    yield f"{one_line(use.type)}: {short_limits(use.limits)}"
    if changed := describe_changes(use.changes):
        yield f"{INDENT}set at run time: {changed}; declared: {short_limits(use.declared)}"
    starts = describe_next_start(use, paused=paused)
    text = f"{_of(use.running, use.limits.limit)} running, {use.waiting} waiting, next start: {starts}"
    if [key.key for key in use.keys] == [""]:  # the line of the type says all but where they run
        where = _nodes(use.keys[0], nodes)
        yield f"{INDENT}{text}{f', on {one_line(where)}' if where else ''}"
        return
    yield f"{INDENT}{text}"
    if use.keys:
        yield from _table(use, nodes, paused=paused)


def _table(use: LimitUse, nodes: Nodes, *, paused: bool) -> Iterator[str]:
    """Yield a line for each key; on a terminal they fit its width, and long keys and lists of nodes are cut."""
    rows = [
        [
            one_line(shown_key(key.key)) if key.key else WITHOUT_KEY,
            _of(key.running, use.limits.per_key if key.key else None),
            str(key.waiting),
            describe_next_start(use, key, paused=paused),
            one_line(_nodes(key, nodes)) or "-",
        ]
        for key in use.keys
    ]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns - len(INDENT)
        rows = [[*cells, shortened(where, MAX_NODES)] for *cells, where in rows]
        others = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)][1:]
        left = max(MIN_KEY, width - sum(others) - 2 * len(others))
        rows = [[shortened(key, left), *cells] for key, *cells in rows]
    for line in table_lines(HEADER, rows):
        yield f"{INDENT}{line}"


def _of(running: int, most: int | None) -> str:
    return str(running) if most is None else f"{running}/{most}"


def _nodes(key: KeyUse, nodes: Nodes) -> str:
    others = [f"others ({key.left_out} tasks)"] if key.left_out else []
    return ", ".join([*holding_nodes(key.owners, nodes), *others])


def _as_json(use: LimitUse, nodes: Nodes, *, paused: bool) -> dict[str, Any]:
    changes = None if use.changes is None else _limits_json(use.changes)
    return {
        "type": use.type,
        "paused": paused,
        "limits": _limits_json(use.limits),
        "declared": _limits_json(use.declared),
        "set_at_run_time": changes or None,
        "running": use.running,
        "waiting": use.waiting,
        "next_start": use.next_start,
        "due_in": use.due_in,
        "start_in": use.start_in,
        "keys": [
            {
                "key": key.key or None,
                "running": key.running,
                "waiting": key.waiting,
                "next_start": key.next_start,
                "due_in": key.due_in,
                "nodes": holding_nodes(key.owners, nodes),
                "owners": [{"claimed_by": one.owner, "running": one.running} for one in key.owners],
                "left_out": key.left_out,
                "holders": [{"id": held.id, "claimed_by": held.owner} for held in key.holders],
            }
            for key in use.keys
        ],
        "has_more_keys": use.has_more_keys,
    }


def _limits_json(limits: Limits | LimitChanges) -> dict[str, Any]:
    """Return limits by the names of the options of a processor; what was not set at run time is left out."""
    named = {"limit": limits.limit, "limit_per_key": limits.per_key, "rate": limits.rate}
    return {name: _rate_json(value) for name, value in named.items() if value is not msgspec.UNSET}


def _rate_json(value: Any) -> Any:
    if not isinstance(value, Rate):
        return value
    return {"count": value.count, "per": value.per, "burst": value.burst, "per_key": value.per_key}
