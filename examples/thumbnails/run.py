"""Makes thumbnails of a dozen photos and of three files that go wrong.

1. draw the pictures;
2. enqueue a task for each thumbnail, and run `goque supervise app:registry --drain`;
3. tell what became of them, how many processes it took, and what is known of the crash.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

from pictures import PHOTOS, WIDTHS, draw

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = (sys.executable, "-m", "goque.cli")


def main() -> int:
    """Run the example; returns 0 if every task ended as it should."""
    out = parse_arguments()
    pictures, scan = draw(out)
    url = fresh_database(out)
    with goque.TaskQueueManager(url) as queue:
        queue.add_tasks(goque.Task("thumbnail", picture) for picture in pictures)
        crash = queue.enqueue("scan", scan)
        print(f"{len(pictures) + 1} tasks enqueued")
        options = ["--drain", "--database-url", url, "--log-level", "error"]
        ended = subprocess.run([*GOQUE, "supervise", "app:registry", *options], cwd=HERE, check=False)
        tasks = queue.get_tasks(goque.TaskFilter(task_type="thumbnail"))
    print_failures(tasks)
    subprocess.run([*GOQUE, "show", crash.id, "--database-url", url], check=True)
    return verdict(out, tasks, ended.returncode)


def parse_arguments() -> Path:
    """Return where everything goes."""
    parser = argparse.ArgumentParser(description="Make thumbnails with Pillow and goque.")
    parser.add_argument("--out", type=Path, default=HERE / "out", help="where pictures go [out, beside this]")
    out: Path = parser.parse_args().out
    return out.resolve()


def fresh_database(out: Path) -> str:
    """Return the URL of a new database; an earlier run's is deleted."""
    for leftover in out.glob("goque.db*"):
        leftover.unlink()
    return f"sqlite:///{out}/goque.db"


def print_failures(tasks: list[goque.Task]) -> None:
    """Print which pictures were refused, and why."""
    for task in tasks:
        if task.status == goque.TaskStatus.ATTEMPTS_LEFT:
            print(f"refused: {Path(task.payload['file']).name}: {task.errors}", end="", flush=True)


def verdict(out: Path, tasks: list[goque.Task], exit_code: int) -> int:
    """Compare what there is with what there should be."""
    processes = {task.result["process"] for task in tasks if task.result}
    made, refused = len(list(out.glob("thumbnails/*.jpg"))), len(tasks) - PHOTOS * len(WIDTHS)
    print(f"{made} thumbnails, made by {len(processes)} processes: one that is over max_memory is replaced")
    in_quarantine = [file.name for file in out.glob("quarantine/*")]
    good = exit_code == 0 and made == PHOTOS * len(WIDTHS) and in_quarantine == ["scan.pgm"]
    print("As it should be:" if good else "NOT as it should be:", end=" ")
    print(
        f"{refused} refused at once, one crash by a signal, {in_quarantine} in quarantine, nobody else hurt."
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
