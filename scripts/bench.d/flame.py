"""Draw flame graphs of a fetcher and a worker that drain tasks that do nothing.

Usage: flame.py BACKEND DIRECTORY [SECONDS]

It needs py-spy, and permission to trace processes: .venv/bin/pip install --editable '.[bench]'
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backends import NAMES, available
from database import BATCH
from idling import processes
from tree import Tree

from goque import Task

ROLES = {"fetcher": "goque:fetcher", "worker": "goque:w0"}
COUNT = 20_000
PY_SPY = Path(sys.executable).parent / "py-spy"


def main(backend: str, directory: str, seconds: float = 6.0) -> None:
    """Keep a tree draining while py-spy samples two of its processes."""
    (found,) = available([backend])
    with (
        tempfile.TemporaryDirectory(prefix="goque-bench-") as files,
        found.fresh(Path(files)) as database,
        Tree(database, Path(files), "noop", batch=BATCH) as tree,
    ):
        tree.warm_up("noop")
        recorders = [
            record(pid_of(tree, name), Path(directory) / f"{backend}-{role}.svg", seconds)
            for role, name in ROLES.items()
        ]
        until = time.monotonic() + seconds + 1
        while time.monotonic() < until:
            rate = COUNT / tree.seconds_to_drain([Task("noop") for _ in range(COUNT)])
            print(f"{rate:,.0f} tasks/s", file=sys.stderr)
        for recorder in recorders:
            if recorder.wait():
                raise SystemExit("flame.py: py-spy failed; see its output above")
    for role in ROLES:
        make_plain(Path(directory) / f"{backend}-{role}.svg", f"A {role} of {backend}, tasks that do nothing")


def record(pid: int, svg: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Start sampling a process."""
    svg.parent.mkdir(parents=True, exist_ok=True)
    options = ["--duration", f"{seconds:.0f}", "--rate", "250", "--nonblocking", "--output", str(svg)]
    return subprocess.Popen([str(PY_SPY), "record", "--pid", str(pid), *options], stdout=subprocess.DEVNULL)


def make_plain(svg: Path, title: str) -> None:
    """Turn py-spy's SVG into a plain picture: remove the script and its controls, and replace the title."""
    text = svg.read_text("utf-8")
    text = re.sub(r"<script\b.*?</script>", "", text, flags=re.DOTALL).replace(' onload="init(evt)"', "")
    text = re.sub(r'<text id="(details|unzoom|search|matched)"[^>]*>[^<]*</text>', "", text)
    text = re.sub(r'(<text id="title"[^>]*>)[^<]*', rf"\g<1>{title}", text)  # py-spy's is its command line
    svg.write_text(text, "utf-8")


def pid_of(tree: Tree, name: str) -> int:
    """Return the first process of the tree whose name begins with `name`."""
    root = tree.process.pid
    return next(pid for pid, parent, found in processes() if parent == root and found.startswith(name))


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in NAMES:
        raise SystemExit(__doc__)
    if not PY_SPY.exists():
        raise SystemExit("flame.py: py-spy is missing; .venv/bin/pip install --editable '.[bench]'")
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
