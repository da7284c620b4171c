"""scripts/chaos: two trees, one database, handlers of every temper, a nemesis; at the end everything must add up."""

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

from arena import NoDatabaseError  # noqa: E402 - its modules are found by now
from chaos import GUARDS, Chaos  # noqa: E402 - its modules are found by now


def main() -> int:
    """Do what the arguments ask for; returns the exit code."""
    options = parse_arguments()
    try:
        return prove(options) if options.prove else run(options)
    except NoDatabaseError as error:
        print(f"scripts/chaos: {error}", file=sys.stderr)
        return 2


def run(options: argparse.Namespace) -> int:
    """Run once; returns the exit code."""
    seed = random.SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    chaos = Chaos(options.database_url, seed, options.seconds, rate=options.rate, keep=options.keep)
    chaos.run()
    print(chaos.report())
    return 1 if chaos.complaints else 0


def prove(options: argparse.Namespace) -> int:
    """See that the run goes red with any one guard switched off; returns the exit code."""
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
            print(f"{guard} switched off: NOT SEEN")
            continue
        print(f"{guard} switched off: red, with {len(chaos.complaints)} complaints (seed {seed}), such as")
        for complaint in chaos.complaints[:3]:
            print(f"  {complaint}")
    return 1 if unseen else 0


def parse_arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="scripts/chaos",
        description="Kill, stop and cut off what trees are made of while tasks run, then see that nothing is lost, "
        "doubled or left behind. Exit code 0 if all adds up, 1 if not, 2 if it cannot be run.",
    )
    parser.add_argument("--seconds", type=positive, default=60.0, help="how long to go on [60]")
    parser.add_argument("--seed", type=int, help="choose the same acts again [random, and printed]")
    parser.add_argument(
        "--database-url",
        default="sqlite",
        metavar="URL",
        help="a server on which a database of its own is made, or a file to be; or sqlite, postgresql or mysql for a "
        "temporary file or a private server, which is then ended and stopped as well, and a postgresql fails over to a "
        "standby that has not received the last second [sqlite]",
    )
    parser.add_argument("--rate", type=positive, default=30.0, help="tasks a second to enqueue [30]")
    parser.add_argument("--keep", action="store_true", help="keep diary and logs, and say where")
    parser.add_argument(
        "--prove",
        action="store_true",
        help="switch off one guard after the other, and see that each run goes red; up to 3 seeds each",
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
        raise argparse.ArgumentTypeError(f"{text} is no number above 0")
    return number


sys.exit(main())
