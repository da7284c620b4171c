"""scripts/bench: run the workloads one after the other, and print a table or write JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import baseline
import crowding
import draining
import enqueueing
import filling
import flowing
import growing
import idling
import limiting
import many_types
import peers
import scaling
import stepping
import viewing
import waiting
import writing
from backends import NAMES, NoServerError, available
from database import Backend
from figure import Figure, report, table
from machine import machine
from workload import Run

WORKLOADS: Final[dict[str, Callable[[Run], Iterator[Figure]]]] = {
    "enqueue_one": enqueueing.enqueue_one,
    "enqueue_bulk": enqueueing.enqueue_bulk,
    "drain_noop": draining.drain_noop,
    "drain_waiting": draining.drain_waiting,
    "drain_cpu": draining.drain_cpu,
    "latency": waiting.latency,
    "idle": idling.idle,
    "many_types": many_types.many_types,
    "limits": limiting.limits,
    "flows": flowing.flows,
    "steps": stepping.steps,
    "big_table": filling.big_table,
    "start": waiting.start,
    "replace": waiting.replace,
}
LONG: Final[dict[str, Callable[[Run], Iterator[Figure]]]] = {
    "scaling": scaling.scaling,
    "crowd": crowding.crowd,
    "memory": scaling.memory,
    "sweep": scaling.sweep,
    "growth": growing.growth,
    "views": viewing.views,
    "written": writing.written,
}
"""Workloads that --quick skips, unless --only names them."""

GOQUE: Final = (
    "one supervisor with two worker processes (but where it says otherwise); each claim and each end is committed, "
    "and a claim takes at most 1,000 tasks that do nothing"
)
"""How goque runs in the workloads, in one line."""


def main() -> None:
    """Run the workloads that the arguments select."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that databases are dropped and trees stopped
    parser = make_parser()
    options = parser.parse_args()
    try:
        check_places(options)
        before = baseline.read(options.baseline) if options.baseline else None
        backends = available(options.backend)
        others = peers.installed(options.peers) if options.peers else ()
    except (NoServerError, baseline.BaselineError, peers.PeersError, OSError) as error:
        parser.exit(1, f"scripts/bench: {error}\n")
    described = {**machine(backends), "run": "quick" if options.quick else "full"}
    names = options.only or ([*WORKLOADS] if options.quick else [*WORKLOADS, *LONG])
    method = methods(names, others)
    figures: list[Figure] = []
    for backend in backends:
        for name in names:
            print(f"{backend.name}.{name} ...", file=sys.stderr, flush=True)
            figures += measure(name, backend, options, others)
            if options.json not in (None, "-"):  # after each workload, because a later one may fail
                Path(options.json).write_text(as_json(described, method, figures), "utf-8")
    result = report(described, method, figures)
    with contextlib.redirect_stdout(sys.stderr if options.json == "-" else sys.stdout):
        print(table(described, method, figures))
        if before is not None:
            print(baseline.compare(before, result))
    if options.json == "-":
        sys.stdout.write(as_json(described, method, figures))


def check_places(options: argparse.Namespace) -> None:
    """Check that the report and the database files can be written, before the workloads take minutes.

    Raises:
        OSError: a file cannot be written.
    """
    if options.json not in (None, "-"):
        with Path(options.json).open("a"):
            pass
    if options.directory:
        tempfile.TemporaryDirectory(dir=options.directory).cleanup()


def methods(names: list[str], others: tuple[peers.PeerProgram, ...]) -> dict[str, str]:
    """Return a line for each column of the report, and for each workload, that says how it is measured."""
    columns = {"goque": GOQUE, **{program.title: program.product.method for program in others}}
    return columns | {name: str((WORKLOADS | LONG)[name].__doc__).partition("\n")[0] for name in names}


def as_json(described: dict[str, Any], method: dict[str, str], figures: list[Figure]) -> str:
    """Return a report as JSON text."""
    return json.dumps(report(described, method, figures), indent=2) + "\n"


def measure(
    name: str, backend: Backend, options: argparse.Namespace, others: tuple[peers.PeerProgram, ...]
) -> list[Figure]:
    """Run one workload on one backend."""
    with tempfile.TemporaryDirectory(prefix="goque-bench-", dir=options.directory) as directory:
        fitting = tuple(peer for peer in others if peer.backend == backend.name)
        return list((WORKLOADS | LONG)[name](Run(backend, Path(directory), options.quick, fitting)))


def make_parser() -> argparse.ArgumentParser:
    """Describe the options."""
    names = [*WORKLOADS, *LONG]
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure the cost of a task, and compare it with the cost of the bare SQL.",
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="fewer rounds, smaller tables: under a minute a backend")
    add(
        "--backend",
        nargs="+",
        choices=NAMES,
        metavar="NAME",
        help=f"{', '.join(NAMES)} [sqlite, and each server that scripts/services reaches]",
    )
    add("--only", nargs="+", choices=names, metavar="WORKLOAD", help=", ".join(names))
    add("--json", metavar="FILE", help="write machine, figures and ratios as JSON; - means standard output")
    add("--baseline", metavar="FILE", help="compare the ratios with those of this earlier JSON report")
    add(
        "--peers",
        nargs="?",
        const=peers.DEFAULT_PYTHON,
        metavar="PYTHON",
        help=f"also run the other queues that this interpreter has installed [{peers.DEFAULT_PYTHON}]",
    )
    add("--directory", metavar="DIR", help="the directory for SQLite databases [the system's temporary one]")
    return parser


main()
