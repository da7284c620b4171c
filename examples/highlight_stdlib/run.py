"""Renders the standard library to HTML twice: a sample in this process alone, then all of it with goque.

1. render a sample here, for comparison;
2. enqueue a task for each file, one that cannot be decoded, and one whose handler segfaults;
3. run `goque supervise app:registry --drain`, and show from the database how far it is;
4. tell what became of all tasks, how fast it was, and what is known of the crash.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from app import Source, page_of, write_page
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from sources import BROKEN, HERE, sources, standard_library

import goque
from goque.cpus import available_cpus

SAMPLE: Final = 8
"""One file in so many is rendered in this process alone, taken evenly from the largest to the smallest."""

STATUSES: Final = tuple(goque.TaskStatus)
console = Console(highlight=False)


def main() -> int:
    """Run the example; returns 0 if every task ended as it should."""
    options = parse_arguments()
    files = standard_library()[:: options.every]
    say(f"{len(files)} files of the standard library, {size_of(files) / 1e6:.1f} MB, into {options.out}")
    alone = bytes_a_second_alone(files[min(SAMPLE // 2, len(files) - 1) :: SAMPLE])
    queue = fresh_queue(options.out)
    with queue:
        crash = enqueue(queue, [*files, BROKEN], options.out)
        began = time.monotonic()
        with supervisor(queue_url(options.out)) as tree:
            show_progress(queue, tree, len(files) + 2)
        seconds = time.monotonic() - began
        print_counts(queue)
        print_speed(files, seconds, alone)
        print_failures(queue)
        print_crash(queue, crash, options.out)
        return verdict(queue, len(files), tree.returncode)


def parse_arguments() -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description="Render the standard library to HTML with goque.")
    parser.add_argument(
        "--out", type=Path, default=HERE / "out", help="where the pages go [out, beside this]"
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take only every N-th file")
    options = parser.parse_args()
    if options.every < 1:
        parser.error("--every must be 1 or more")
    options.out = options.out.resolve()
    return options


def bytes_a_second_alone(sample: list[Path]) -> float:
    """Render a sample in this process, as a script without goque would, and return its speed."""
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        for source in sources(sample, Path(directory)):
            write_page(Path(source.page), page_of(Path(source.file)))
        seconds = time.monotonic() - began
    say(f"alone   one process, a sample of {len(sample)} files: {seconds:.1f} s")
    return size_of(sample) / seconds


def fresh_queue(out: Path) -> goque.TaskQueueManager:
    """Open a queue on a new database; an earlier run's is deleted."""
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob("goque.db*"):
        leftover.unlink()
    return goque.TaskQueueManager(queue_url(out))


def queue_url(out: Path) -> str:
    """Return where the tasks of this run are."""
    return f"sqlite:///{out}/goque.db"


def enqueue(queue: goque.TaskQueueManager, files: list[Path], out: Path) -> goque.Task:
    """Enqueue a task for each file, and the one that crashes, in one transaction; returns that one."""
    crash = goque.Task("segfault", Source(str(BROKEN), ""))
    began = time.monotonic()
    tasks = queue.add_tasks([crash, *(goque.Task("highlight", source) for source in sources(files, out))])
    say(f"goque   {len(tasks)} tasks enqueued in {(time.monotonic() - began) * 1000:.0f} ms")
    return crash


@contextmanager
def supervisor(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start `goque supervise app:registry --drain`; at the end of the block it is gone in any case."""
    options = ["--drain", "--database-url", url, "--log-level", "error"]
    tree = subprocess.Popen(
        [sys.executable, "-m", "goque.cli", "supervise", "app:registry", *options], cwd=HERE
    )
    try:
        yield tree
    finally:
        tree.terminate()
        tree.wait()


def show_progress(queue: goque.TaskQueueManager, tree: subprocess.Popen[bytes], total: int) -> None:
    """Show how many tasks have ended, until the supervisor has."""
    columns = (TextColumn("goque  "), BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=console) as bar:
        row = bar.add_task("", total=total)
        while tree.poll() is None:
            update(bar, row, queue)
            time.sleep(0.1)
        update(bar, row, queue)


def update(bar: Progress, row: int, queue: goque.TaskQueueManager) -> None:
    """Read the counts from the database, as `goque stats` does."""
    counts = queue.storage.count_tasks()
    ended = sum(count.count for count in counts if goque.TaskStatus(count.status).is_terminal)
    failed = sum(count.count for count in counts if count.status in ("error", "attempts_left"))
    bar.update(row, completed=ended, description=f"{failed} failed")


def print_counts(queue: goque.TaskQueueManager) -> None:
    """Print a table by type and status."""
    counts = {(count.type, count.status): count.count for count in queue.storage.count_tasks()}
    table = Table()
    for name in ("type", *STATUSES):
        table.add_column(name, no_wrap=True, min_width=len(name))
    for task_type in sorted({task_type for task_type, _status in counts}):
        table.add_row(task_type, *(str(counts.get((task_type, status), "")) for status in STATUSES))
    console.print(table)


def print_speed(files: list[Path], seconds: float, alone: float) -> None:
    """Print the rate, and the speed-up over one process by bytes, since files differ in size."""
    rate = size_of(files) / seconds
    say(
        f"{len(files) + 2} tasks in {seconds:.1f} s from start to exit of the supervisor: "
        f"{(len(files) + 2) / seconds:.0f} tasks a second, {rate / 1e6:.2f} MB/s"
    )
    if available_cpus() > 1:
        say(
            f"one process alone: {alone / 1e6:.2f} MB/s; speed-up {rate / alone:.2f} with {available_cpus()} CPUs"
        )


def print_failures(queue: goque.TaskQueueManager) -> None:
    """Print which tasks were given up, and why."""
    for task in queue.get_tasks(goque.TaskFilter(status=goque.TaskStatus.ATTEMPTS_LEFT)):
        say(f"\ngiven up: {task.type} {task.raw_payload}")
        for line in (task.errors or "").splitlines():
            say(f"  {line}")


def print_crash(queue: goque.TaskQueueManager, crash: goque.Task, out: Path) -> None:
    """Print the report of the last crash, as `goque show` has it, without the task's columns."""
    say(f"\nthe last crash, from: goque show {crash.id} --database-url {queue_url(out)}")
    command = [sys.executable, "-m", "goque.cli", "show", crash.id, "--database-url", queue_url(out)]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    attempts = queue.get_task(crash.id).attempts
    last = report.partition(f"\nattempt {attempts}: ")[2].partition("\n\nclaims:")[0]
    for line in f"attempt {attempts}: {last}".splitlines():
        say(f"  {line}")


def verdict(queue: goque.TaskQueueManager, files: int, exit_code: int) -> int:
    """Compare the ends of all tasks with what they had to be."""
    counts = {(count.type, str(count.status)): count.count for count in queue.storage.count_tasks()}
    expected = {
        ("highlight", "done"): files,
        ("highlight", "attempts_left"): 1,
        ("segfault", "attempts_left"): 1,
    }
    if exit_code == 0 and counts == expected:
        say(f"\nAs it should be: {files} pages, one file refused, one handler crashed, nothing else hurt.")
        return 0
    say(f"\nNot as it should be: expected {expected}, got {counts}; the supervisor ended with {exit_code}")
    return 1


def size_of(files: list[Path]) -> int:
    """Return the bytes of all files together."""
    return sum(file.stat().st_size for file in files)


def say(line: str) -> None:
    """Print a line as it is, however wide the terminal."""
    console.print(line, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
