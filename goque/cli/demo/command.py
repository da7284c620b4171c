"""`goque demo`: a tour of goque at work, on a database and in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click
from rich.console import Console
from rich.syntax import Syntax

from goque.cli.command import command, option
from goque.cli.demo import app
from goque.cli.demo.dashboard import dashboard, is_installed
from goque.cli.demo.live import live_screen
from goque.cli.demo.load import (
    CALLS,
    UNWATCHED_SECONDS,
    WATCHED_SECONDS,
    choose,
    seconds_alone,
    size_of,
    source_files,
    tasks_for,
)
from goque.cli.demo.progress import Progress
from goque.cli.demo.report import Report
from goque.cpus import available_cpus
from goque.errors import GoqueError
from goque.queue.manager import TaskQueueManager

MAX_SECONDS: Final = 120.0
"""The time limit for all tasks in seconds; they take about eight, or longer beside other programs."""

NEXT: Final = """\
an app of your own     the example in README.md has 20 lines; then: goque supervise app:registry
every option           goque supervise --help
"""


@command("demo", knows_app=False)
@option("--keep", is_flag=True, help="Keep the tour's directory, with app, database and log.")
@click.pass_context
def demo(ctx: click.Context, /, *, keep: bool) -> None:
    """Take a tour: watch real work on all CPUs, a handler that segfaults, and calls that are retried.

    It makes a temporary directory with a small app and a SQLite file, runs `goque supervise` there and shows
    what happens. This takes about 15 seconds. In a terminal it then serves the dashboard until Ctrl-C. The exit code is
    0 if everything went as expected.
    """
    signal.signal(signal.SIGTERM, _leave)
    directory = Path(tempfile.mkdtemp(prefix="goque-demo-"))
    try:
        promises = Tour(directory, Console(highlight=False), keep=keep).run()
    finally:
        if keep:
            click.echo(f"\nKept, as asked: cd {directory} && goque list")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    ctx.exit(0 if all(promises.values()) else 1)


class Tour:
    """The tour, from the app to the summary; each method is a chapter."""

    def __init__(self, directory: Path, console: Console, *, keep: bool) -> None:
        self.directory = directory
        self.console = console
        self.keep = keep
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        self.queue = TaskQueueManager(f"sqlite:///{directory}/goque.db")
        self.log = directory / "supervise.log"

    def run(self) -> dict[str, bool]:
        """Run all chapters; return each promise and whether it was kept."""
        with self.queue:
            self._show_app()
            available = source_files()
            alone = seconds_alone(available, self.directory)
            seconds = WATCHED_SECONDS if self.console.is_terminal else UNWATCHED_SECONDS
            files = choose(available, alone, available_cpus(), seconds)
            total = self._enqueue(files)
            with self._tree() as tree:
                progress = self._watch(tree, total)
                report = Report(self.queue, progress, len(files))
                self._show_crash(report)
                self._sum_up(files, alone, progress, report)
                self._show_dashboard(tree)
            return self._end(report, tree.returncode)

    def _show_app(self) -> None:
        source = Path(app.__file__).read_text("utf-8")
        (self.directory / "app.py").write_text(source, "utf-8")
        (self.directory / "pages").mkdir()
        self._chapter("1. An app: handlers on a registry", f"{self.directory}/app.py")
        code = "".join(source.partition("registry = ")[1:]).rstrip()
        self.console.print(Syntax(code, "python", theme="ansi_dark", background_color="default"))

    def _enqueue(self, files: Sequence[Path]) -> int:
        tasks = tasks_for(files)
        began = time.perf_counter()
        self.queue.add_tasks(tasks)
        took = time.perf_counter() - began
        self._chapter("2. Enqueue: a task is a row in a table", "registry.queue.add_tasks(…)")
        self._say(
            f"  {len(files)} files of Python's library to render, one broken file, {CALLS} calls: "
            f"{len(tasks)} tasks in {took * 1000:.0f} ms"
        )
        return len(tasks)

    @contextmanager
    def _tree(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run `goque supervise app:registry` during the block, and stop it at its end."""
        self._chapter("3. Run: a supervision tree of processes", "$ goque supervise app:registry")
        with self.log.open("wb") as log:
            tree = subprocess.Popen(
                # a node reports its workers six times in its timeout: here once a second
                [sys.executable, "-m", "goque.cli", "supervise", "app:registry", "--node-timeout", "6"],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,  # Ctrl-C reaches this process alone, which stops the tree in order
            )
        try:
            yield tree
        finally:
            tree.terminate()
            tree.wait(MAX_SECONDS)

    def _watch(self, tree: subprocess.Popen[bytes], total: int) -> Progress:
        """Show what happens in the database until every task has ended."""
        progress = Progress(self.queue, total, tree.pid)
        with live_screen(self.console, self.queue.storage) as screen:
            while not progress.has_ended:
                for line in progress.next_lines():
                    self._say(f"  {line}")
                screen.draw(progress)
                if (code := tree.poll()) is not None:
                    self._give_up(f"the tree ended with exit code {code} before its tasks had")
                if progress.seconds > MAX_SECONDS:
                    self._give_up(f"not all tasks have ended within {MAX_SECONDS:g} seconds")
                time.sleep(0.05)
        return progress

    def _give_up(self, what: str) -> NoReturn:
        for line in self.log.read_text("utf-8", "replace").splitlines()[-20:]:
            self._say(f"  {line}")
        raise GoqueError(f"{what}; above are the last lines of its log")

    def _show_crash(self, report: Report) -> None:
        task_id = report.broken.id if report.broken else "ID"
        self._chapter("4. Look: what happened to that file?", f"the short form of: goque show {task_id}")
        for line in report.crash_lines():
            self._say(f"  {line}")

    def _sum_up(self, files: Sequence[Path], alone: float, progress: Progress, report: Report) -> None:
        self._chapter("5. In short")
        seconds, cpus = progress.seconds, available_cpus()
        speed = f"{progress.total} tasks in {seconds:.1f}s, from the start of the tree to the last page"
        ratio = alone * size_of(files) / seconds
        if cpus > 1 and ratio > 1:
            speed += f": {ratio:.1f} times as fast as one process alone, on {cpus} CPUs"
        self._say(f"  {speed}")
        self._say_promises(report.promises())

    def _show_dashboard(self, tree: subprocess.Popen[bytes]) -> None:
        """Serve the dashboard until Ctrl-C in a terminal; elsewhere say how to open it."""
        self._chapter("6. Look around: the dashboard")
        if not is_installed():
            self._say("  it needs more packages: pip install 'goque[dashboard]'")
        elif not self.console.is_terminal:
            where = (
                f"--database-url sqlite:///{self.directory}/goque.db" if self.keep else "--database-url URL"
            )
            hint = "" if self.keep else " on the data that `goque demo --keep` leaves"
            self._say(f"  goque dashboard {where} serves it{hint}")
        else:
            with dashboard(self.directory, self.env) as address:
                self._say(f"  {address}", style="bold underline")
                self._say("  These tasks, this tree: reset the failed task there, and it crashes once more.")
                self._say("  Ctrl-C ends the demo.", style="dim")
                try:
                    tree.wait()
                except KeyboardInterrupt:
                    self._say("")

    def _end(self, report: Report, exit_code: int) -> dict[str, bool]:
        last = report.last_promises(exit_code)
        self._say_promises(last)
        promises = report.promises() | last
        if not all(promises.values()):
            self._give_up("the tour did not go as expected")
        self._chapter("What to try next")
        self._say(NEXT.rstrip())
        return promises

    def _say_promises(self, promises: dict[str, bool]) -> None:
        for promise, kept in promises.items():
            self._say(f"  {'yes' if kept else 'NO '}  {promise}", style="green" if kept else "bold red")

    def _chapter(self, title: str, below: str = "") -> None:
        self.console.print()
        self._say(title, style="bold")
        if below:
            self._say(below, style="dim")

    def _say(self, line: str, style: str = "") -> None:
        self.console.print(line, style=style, markup=False, soft_wrap=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an exception, so that the tree is stopped and the directory removed."""
    del frame
    sys.exit(128 + number)
