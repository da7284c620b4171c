"""scripts/chaos: run two trees on one database, cause faults, and check every task at the end."""

from __future__ import annotations

import argparse
import math
import random
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parent.parent
TESTS: Final = ROOT / "tests"
PLACES: Final = (HERE, TESTS / "process" / "failover", TESTS / "process", TESTS, ROOT / "scripts")
sys.path[:0] = map(str, PLACES)

from arena import NoDatabaseError  # noqa: E402 - the path must be set first
from chaos import GUARDS, Chaos  # noqa: E402 - the same


def main() -> int:
    """Run the command of the arguments. Returns the exit code."""
    options = parse_arguments()
    try:
        return prove(options) if options.prove else run(options)
    except NoDatabaseError as error:
        print(f"scripts/chaos: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Run once. Returns the exit code."""
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    chaos = Chaos(options.database_url, seed, options.seconds, rate=options.rate, keep=options.keep)
    chaos.run()
    print(chaos.report())
    return 1 if chaos.complaints else 0


def prove(options: argparse.Namespace) -> int:
    """Check that a run fails when any one guard is switched off. Returns the exit code."""
    unseen = []
    for guard in options.guard or GUARDS:
        for seed in range(options.seed or 1, (options.seed or 1) + 3):
            chaos = Chaos(
                options.database_url,
                seed,
                options.seconds,
                rate=options.rate,
                sabotage=guard,
                keep=options.keep,
            )
            chaos.run()
            if chaos.complaints:
                break
        else:
            unseen.append(guard)
            print(f"{guard} switched off: NOT DETECTED")
            continue
        print(f"{guard} switched off: detected, {len(chaos.complaints)} complaints (seed {seed}), such as")
        for complaint in chaos.complaints[:3]:
            print(f"  {complaint}")
    return 1 if unseen else 0


def parse_arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Kill and stop the processes of trees and cut their connections while tasks run. Then check that "
        "no task is lost or run twice, and that nothing is left behind. Exit code 0: all is well. 1: there are "
        "complaints. 2: the run could not start.",
    )
    parser.add_argument("--seconds", type=positive, default=60.0, help="how long to cause faults [60]")
    parser.add_argument("--seed", type=int, help="repeat the acts of an earlier run [random, and printed]")
    parser.add_argument(
        "--database-url",
        default="sqlite",
        metavar="URL",
        help="a server, on which a temporary database is made, or a new SQLite file. sqlite stands for a temporary "
        "file, postgresql and mysql for a private server, which is also stopped and restarted. A private PostgreSQL "
        "also fails over to a standby that has not received the last second [sqlite]",
    )
    parser.add_argument("--rate", type=positive, default=30.0, help="tasks a second to enqueue [30]")
    parser.add_argument(
        "--keep", action="store_true", help="keep the diary and the logs, and print their path"
    )
    parser.add_argument(
        "--prove",
        action="store_true",
        help="switch off one guard after the other, and check that the run fails; up to 3 seeds for each guard",
    )
    parser.add_argument("--guard", action="append", choices=GUARDS, help="with --prove: only this one")
    options = parser.parse_args()
    if options.guard and not options.prove:
        parser.error("--guard goes with --prove")
    return options


def positive(text: str) -> float:
    """Read a number above zero."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


sys.exit(main())
