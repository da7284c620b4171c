"""The start banner: what a person sees who starts a tree in a terminal. It shows what runs, and how to stop it.

Standard library only, since the root writes it. It never goes to a log file or a JSON log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from goque.telemetry.log_output import say
from goque_supervisor.root.tree import PoolGroupSpec
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

MAX_NAMES: Final = 12
MAX_NAME: Final = 32


def announce(
    options: SuperviseOptions,
    app: dict[str, Any],
    pools: Sequence[PoolGroupSpec],
    services: Sequence[str],
) -> None:
    """Report a tree that has just come up: by a banner to a person, by a line to a log; see `banner`."""
    pid = os.getpid()
    if is_watched(options):
        say(banner(options, app, pools, services, pid))
        return
    names = "; ".join(f"{pool.name} ({_workers(pool)}){_types_of(pool)}" for pool in pools)
    log.info(
        "up as pid %d; database %s; pools (workers): %s",
        pid,
        app["database"],
        names or "none in this process",
    )


def is_watched(options: SuperviseOptions) -> bool:
    """Return whether a person reads our standard error: it is a terminal and the log format is for people."""
    chatty = options.log_level in ("info", "debug")
    return bool(options.app) and options.log_format == "console" and chatty and os.isatty(2)


def banner(
    options: SuperviseOptions,
    app: dict[str, Any],
    pools: Sequence[PoolGroupSpec],
    services: Sequence[str],
    pid: int,
) -> str:
    """Describe a tree that has just come up.

    Args:
        options: what it was started with.
        app: the description that the app's nursery sent.
        pools: the pools that run here.
        services: the other roles that run here.
        pid: the root's process id.
    """
    parts = [
        ("database", [app["database"]]),
        ("pools", list(_pools(pools))),
        ("jobs", _shortened(app["job_names"]) if "scheduler" in services else []),
        ("besides", [", ".join(services)] if services else []),
        ("metrics", [f"http://{options.http}/metrics, /healthz, /readyz"] if options.http else []),
        ("look", ["goque top"]),
        (
            "reload",
            [f"on changes of the source, or kill -HUP {pid}" if options.reload else f"kill -HUP {pid}"],
        ),
        ("stop", [_stop(options)]),
    ]
    lines = ["", f"  {options.app} is up as pid {pid}", ""]
    for title, values in parts:
        lines += [f"  {title if number == 0 else '':<9} {value}" for number, value in enumerate(values)]
    return "\n".join([*lines, "", ""])


def _workers(pool: PoolGroupSpec) -> str:
    """Return the numbers of workers of both kinds."""
    if pool.plain_workers and pool.async_workers:
        return f"{pool.plain_workers} + {pool.async_workers} async"
    return str(pool.workers)


def _types_of(pool: PoolGroupSpec) -> str:
    """Return the types of a pool that is not named like its only type."""
    return "" if pool.types == [pool.name] else f": {_shortened(pool.types)[0]}"


def _pools(pools: Sequence[PoolGroupSpec]) -> Iterator[str]:
    width = min(MAX_NAME, max((len(pool.name) for pool in pools), default=0))
    for pool in pools[:MAX_NAMES]:
        workers = f"{_workers(pool)} {'worker' if pool.workers == 1 else 'workers'}"
        if pool.types == [pool.name]:
            yield f"{pool.name:<{width}}  {workers}, {_options(pool.processors[0])}"
            continue
        yield f"{pool.name:<{width}}  {workers} for {len(pool.types)} {'type' if len(pool.types) == 1 else 'types'}"
        yield from _types(pool)
    if len(pools) > MAX_NAMES:
        yield f"and {len(pools) - MAX_NAMES} more"
    if not pools:
        yield "none in this process"


def _types(pool: PoolGroupSpec) -> Iterator[str]:
    width = min(MAX_NAME, max(map(len, pool.types)))
    for spec in pool.processors[:MAX_NAMES]:
        yield f"  {spec['type']:<{width}}  {_options(spec)}"
    if len(pool.types) > MAX_NAMES:
        yield f"  and {len(pool.types) - MAX_NAMES} more"


def _options(spec: dict[str, Any]) -> str:
    timeout, attempts = spec["options"]["timeout"], spec["options"]["max_attempts"]
    said = [f"timeout {timeout:g}s", f"{attempts} {'attempt' if attempts == 1 else 'attempts'}"]
    return ", ".join([*said, *_limits(spec["options"].get("limits") or {})])


def _limits(limits: dict[str, Any]) -> Iterator[str]:
    """Say what bounds a type over all nodes, by its processor."""
    if limits.get("limit"):
        yield f"limit {limits['limit']}"
    if limits.get("per_key"):
        yield f"{limits['per_key']} per key"
    if rate := limits.get("rate"):
        yield f"rate {rate['count']}/{rate['per']:.15g}{' for each key' if rate.get('per_key') else ''}"


def _shortened(names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return [", ".join(names[:MAX_NAMES]) + more]


def _stop(options: SuperviseOptions) -> str:
    if options.drain:
        return "when nothing is left to do, or Ctrl-C"
    return f"Ctrl-C: running handlers have {options.shutdown_timeout:g}s; a second one stops at once"
