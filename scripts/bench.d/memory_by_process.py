"""Print the memory of each process of an idle tree with one type and two workers, and which mappings it is in.

Usage: memory_by_process.py [BACKEND]

Each figure is PSS in KiB: a page that n processes share counts as 1/n page. `private` is what would be freed if the
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from backends import available
from idling import family, workers_of
from tree import Tree

from goque import Task

COLUMNS: Final = ("pss", "private", "heap", "anonymous", "libraries", "other")


def kind_of(mapping: str) -> str:
    """Return the column of a mapping of smaps by its name."""
    if mapping == "[heap]":
        return "heap"
    if not mapping:
        return "anonymous"
    return "libraries" if mapping.startswith("/") else "other"


def memory_of(pid: int) -> Counter[str]:
    """Return the columns of one process, in KiB."""
    found: Counter[str] = Counter()
    kind = "other"
    for line in Path(f"/proc/{pid}/smaps").read_text("utf-8", "replace").splitlines():
        first, *rest = line.split(None, 5)
        if not first.endswith(":"):
            kind = kind_of(rest[4] if len(rest) > 4 else "")
        elif first == "Pss:":
            found[kind] += int(rest[0])
            found["pss"] += int(rest[0])
        elif first.startswith("Private_"):
            found["private"] += int(rest[0])
    return found


def print_table(root: int) -> None:
    """Print a row for each process of a tree, and their sum."""
    total: Counter[str] = Counter()
    print(f"{'process':24}" + "".join(f"{name:>11}" for name in COLUMNS))
    for pid in family(root):
        name = Path(f"/proc/{pid}/comm").read_text("utf-8").strip()
        found = memory_of(pid)
        total += found
        print(f"{name:24}" + "".join(f"{found[column]:>11}" for column in COLUMNS))
    print(f"{'sum':24}" + "".join(f"{total[column]:>11}" for column in COLUMNS))


def main(backend_name: str) -> None:
    """Start a tree, let it run a few tasks, and print its memory."""
    (backend,) = available([backend_name])
    with (
        tempfile.TemporaryDirectory(prefix="goque-bench-") as place,
        backend.fresh(Path(place)) as database,
        Tree(database, Path(place), "type-1", types=1, workers=2) as tree,
    ):
        tree.wait_for(lambda: len(workers_of(tree.process.pid)) == 1, 0.05)
        tree.seconds_to_drain([Task("type-1")])
        time.sleep(4)
        print_table(tree.process.pid)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite")
