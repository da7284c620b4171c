"""The start banner: what a person sees who starts a tree in a terminal. It shows what runs, and how to stop it.

Standard library only, since the root writes it. It never goes to a log file or a JSON log.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final

from goque.telemetry.log_output import say
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")

MAX_NAMES: Final = 12
MAX_NAME: Final = 32


def announce(
    options: SuperviseOptions, app: dict[str, Any], types: Sequence[dict[str, Any]], services: Sequence[str]
) -> None:
    """Report a tree that has just come up: by a banner to a person, by a line to a log; see `banner`."""
    pid = os.getpid()
    if is_watched(options):
        say(banner(options, app, types, services, pid))
        return
    names = ", ".join(f"{spec['type']} ({spec['options']['workers']})" for spec in types)
    log.info("up as pid %d; task types (workers): %s", pid, names or "none in this process")


def is_watched(options: SuperviseOptions) -> bool:
    """Return whether a person reads our standard error: it is a terminal and the log format is for people."""
    chatty = options.log_level in ("info", "debug")
    return bool(options.app) and options.log_format == "console" and chatty and os.isatty(2)


def banner(
    options: SuperviseOptions,
    app: dict[str, Any],
    types: Sequence[dict[str, Any]],
    services: Sequence[str],
    pid: int,
) -> str:
    """Describe a tree that has just come up.

    Args:
        options: what it was started with.
        app: the description that the app's nursery sent.
        types: the types that run here, each a ProcessorSpec as plain data.
        services: the other roles that run here.
        pid: the root's process id.
    """
    parts = [
        ("database", [app["database"]]),
        ("types", list(_types(types))),
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


def _types(types: Sequence[dict[str, Any]]) -> Iterator[str]:
    width = min(MAX_NAME, max((len(spec["type"]) for spec in types), default=0))
    for spec in types[:MAX_NAMES]:
        chosen = spec["options"]
        workers, attempts = chosen["workers"], chosen["max_attempts"]
        yield (
            f"{spec['type']:<{width}}  {workers} {'worker' if workers == 1 else 'workers'}, "
            f"timeout {chosen['timeout']:g}s, {attempts} {'attempt' if attempts == 1 else 'attempts'}"
        )
    if len(types) > MAX_NAMES:
        yield f"and {len(types) - MAX_NAMES} more"
    if not types:
        yield "none in this process"


def _shortened(names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return [", ".join(names[:MAX_NAMES]) + more]


def _stop(options: SuperviseOptions) -> str:
    if options.drain:
        return "when nothing is left to do, or Ctrl-C"
    return f"Ctrl-C: running handlers have {options.shutdown_timeout:g}s; a second one stops at once"
