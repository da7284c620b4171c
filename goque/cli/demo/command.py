"""`goque demo`: a tour of goque at work, on a database and in a directory of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

import click
from rich.console import Console
from rich.syntax import Syntax

from goque.cli.command import command, option
from goque.cli.demo import app
from goque.cli.demo.progress import Progress
from goque.cli.demo.report import Report
from goque.errors import GoqueError
from goque.queue.manager import TaskQueueManager
from goque.task import Task

MAX_SECONDS: Final = 60.0
"""The tour's time limit in seconds; it takes three or four."""

TASKS: Final[tuple[tuple[str, list[Any]], ...]] = (
    ("greet", ["world"]),
    ("call_api", [{}]),
    ("resize", ["cat.png", "dog.png", "broken.png", "owl.png", "fox.png"]),
)

NEXT: Final = """\
an app of your own     the example in README.md has 20 lines; then: goque supervise app:registry
a real load            examples/highlight_stdlib of the source: a few hundred files, all your CPUs
your data so far       goque list, goque stats, goque show ID
every option           goque supervise --help
"""


@command("demo")
@option("--keep", is_flag=True, help="Keep the tour's directory, with app, database and log.")
@click.pass_context
def demo(ctx: click.Context, /, *, keep: bool) -> None:
    """Take a tour: a task that succeeds, one that is retried, and one whose handler segfaults.

    It makes a temporary directory with a small app and a SQLite file, runs `goque supervise` there and prints
    what happens. The exit code is 0 if everything went as expected. It takes a few seconds.
    """
    signal.signal(signal.SIGTERM, _leave)
    directory = Path(tempfile.mkdtemp(prefix="goque-demo-"))
    try:
        promises = Tour(directory, Console(highlight=False)).run()
    finally:
        if keep:
            click.echo(f"\nKept, as asked: cd {directory} && goque list")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    ctx.exit(0 if all(promises.values()) else 1)


class Tour:
    """The tour, from the app to the summary; each method is a chapter."""

    def __init__(self, directory: Path, console: Console) -> None:
        self.directory = directory
        self.console = console
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}
        self.queue = TaskQueueManager(f"sqlite:///{directory}/goque.db")
        self.log = directory / "supervise.log"

    def run(self) -> dict[str, bool]:
        """Run all chapters; return each promise and whether it was kept."""
        with self.queue:
            self._show_app()
            tasks = self._enqueue()
            with self._tree() as tree:
                progress = self._watch(tree, tasks)
            self._show_crash(progress)
            return self._sum_up(progress, tree.returncode)

    def _show_app(self) -> None:
        source = Path(app.__file__).read_text("utf-8")
        (self.directory / "app.py").write_text(source, "utf-8")
        self._chapter("1. An app: handlers on a registry", f"{self.directory}/app.py")
        code = "".join(source.partition("import ctypes")[1:]).rstrip()
        self.console.print(Syntax(code, "python", theme="ansi_dark", background_color="default"))

    def _enqueue(self) -> list[Task]:
        self._chapter("2. Enqueue: a task is a row in a table", "queue.enqueue(type, payload), for each of:")
        tasks = [Task(task_type, payload) for task_type, payloads in TASKS for payload in payloads]
        for task in self.queue.add_tasks(tasks):
            self._say(f"  {task.id}  {task.type:<10}  {task.raw_payload}")
        return tasks

    @contextmanager
    def _tree(self) -> Iterator[subprocess.Popen[bytes]]:
        """Run `goque supervise app:registry` during the block, and stop it at its end."""
        self._chapter("3. Run: a supervision tree of processes", "$ goque supervise app:registry")
        with self.log.open("wb") as log:
            tree = subprocess.Popen(
                [sys.executable, "-m", "goque.cli", "supervise", "app:registry"],
                cwd=self.directory,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            yield tree
        finally:
            tree.terminate()
            tree.wait(MAX_SECONDS)

    def _watch(self, tree: subprocess.Popen[bytes], tasks: list[Task]) -> Progress:
        """Print the changes in the database until every task has ended."""
        progress = Progress(self.queue, tasks, tree.pid)
        while not progress.ended:
            for line in progress.next_lines():
                self._say(f"  {line}")
            if (code := tree.poll()) is not None:
                self._give_up(f"the tree ended with exit code {code} before its tasks had")
            if progress.seconds > MAX_SECONDS:
                self._give_up(f"not all tasks have ended within {MAX_SECONDS:g} seconds")
            time.sleep(0.02)
        return progress

    def _give_up(self, what: str) -> NoReturn:
        for line in self.log.read_text("utf-8", "replace").splitlines()[-20:]:
            self._say(f"  {line}")
        raise GoqueError(f"{what}; above are the last lines of its log")

    def _show_crash(self, progress: Progress) -> None:
        task = progress.task_of("resize", "broken.png")
        self._chapter("4. Look: what happened to that image?", f"$ goque show {task.id}")
        shown = subprocess.run(
            [sys.executable, "-m", "goque.cli", "show", task.id],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        for line in shown.stdout.splitlines():
            self._say(f"  {line}")

    def _sum_up(self, progress: Progress, exit_code: int) -> dict[str, bool]:
        self._chapter("5. In short")
        promises = Report(progress, exit_code).promises()
        for promise, kept in promises.items():
            self._say(f"  {'yes' if kept else 'NO '}  {promise}", style="green" if kept else "bold red")
        if not all(promises.values()):
            self._give_up("the tour did not go as expected")
        self._chapter("What to try next")
        self._say(NEXT.rstrip())
        return promises

    def _chapter(self, title: str, below: str = "") -> None:
        self.console.print()
        self._say(title, style="bold")
        self._say(below or "-" * len(title), style="dim")

    def _say(self, line: str, style: str = "") -> None:
        self.console.print(line, style=style, markup=False, soft_wrap=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an exception, so that the tree is stopped and the directory removed."""
    del frame
    sys.exit(128 + number)
