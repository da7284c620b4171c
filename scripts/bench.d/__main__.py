"""scripts/bench: runs the workloads one after the other and prints a table, or writes JSON."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import draining
import enqueueing
import waiting
from figure import Figure, machine, report, table

WORKLOADS: Final[dict[str, Callable[[Path, bool], Iterator[Figure]]]] = {
    "enqueue_one": enqueueing.enqueue_one,
    "enqueue_bulk": enqueueing.enqueue_bulk,
    "drain_noop": draining.drain_noop,
    "drain_cpu": draining.drain_cpu,
    "latency": waiting.latency,
    "replace": waiting.replace,
    "idle": waiting.idle,
    "start": waiting.start,
}


def main() -> None:
    """Run what the arguments ask for."""
    options = parse_arguments()
    described = machine()
    figures: list[Figure] = []
    for name in options.only or WORKLOADS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="goque-bench-", dir=options.directory) as directory:
            figures += WORKLOADS[name](Path(directory), options.quick)
    text = json.dumps(report(described, figures), indent=2) + "\n"
    with contextlib.redirect_stdout(sys.stderr if options.json == "-" else sys.stdout):
        print(table(described, figures))
    if options.json == "-":
        sys.stdout.write(text)
    elif options.json:
        Path(options.json).write_text(text, "utf-8")


def parse_arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measure what a task costs, on SQLite."
    )
    parser.add_argument(
        "--quick", action="store_true", help="fewer rounds: under a minute, with a wider spread"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write machine, figures and ratios as JSON; - is stdout"
    )
    parser.add_argument("--only", nargs="+", choices=WORKLOADS, metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument(
        "--directory", metavar="DIR", help="where the databases go [the system's temporary one]"
    )
    return parser.parse_args()


main()
