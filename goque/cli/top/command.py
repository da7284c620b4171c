"""`goque top`: waiting and running tasks, live in the terminal; as plain lines without one."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from goque.cli.command import command, option
from goque.cli.database import database_option, opened_storage
from goque.cli.parameters.values import Seconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Group
    from rich.live import Live

    from goque.cli.top.lines import Line
    from goque.cli.top.screen import Screen
    from goque.storage import TaskStorage

PLAIN_WIDTH: Final = 100
REDRAW: Final = 1.0


@command("top")
@option(
    "--interval",
    type=Seconds(zero=False),
    default=2,
    show_default=True,
    help="How often to read the database.",
)
@option("--once", is_flag=True, help="Print the overview once as plain lines, and exit.")
@database_option
def top(database_url: str | None, interval: float, *, once: bool) -> None:
    """Show waiting and running tasks, live, on every node of a database.

    Below the task types it lists each node with its workers, what each worker runs and for how long, and the progress
    that the task has reported. Nodes report with every heartbeat, six times in their --node-timeout. Without a terminal
    it prints plain lines at each interval.

    \b
    Columns:
      WAITING       tasks that no node has claimed
      RETRY         waiting tasks that have failed before
      BUSY          tasks that a node has claimed
      LATENCY       how long the oldest due task has waited
      RUNS/S, FAILED, TOOK
                    runs per second, failed runs, and the mean duration,
                    all in the last minute
      WORKERS       running workers / wanted workers
      MEM, CPU      memory, where shared memory is divided among the processes
                    that share it; and the share of one processor

    \b
    Keys, which act on the line of the cursor:
      up, down, k, j   move it
      p                pause a type on every node, or resume it
      enter            list a type's failed tasks; escape goes back
      r                reset a type's failed tasks, or one task
      c                cancel a worker's running task, or one task
      d                drain a node of this machine, or resume it
      a                also show processes that run no tasks
      ?                show the keys and the columns
      q                quit

    \b
    Examples:
      goque top
      goque top --once --database-url postgresql://me@db/shop
    """
    with opened_storage(database_url) as storage:
        if once or not _is_terminal():
            _print_looks(storage, interval, once=once)
        else:
            _show(storage, interval)


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _print_looks(storage: TaskStorage, interval: float, *, once: bool) -> None:
    from goque.cli.top.lines import overview_lines
    from goque.describe.overview import look
    from goque.errors import DatabaseUnavailableError

    while True:
        try:
            seen = look(storage, datetime.now(UTC))
        except DatabaseUnavailableError as error:
            if once:
                raise
            click.echo(f"goque: the database is not available: {error}", err=True)
        else:
            click.echo(f"{seen.at:%Y-%m-%dT%H:%M:%SZ}  {storage.url}")
            for line in overview_lines(seen, PLAIN_WIDTH):
                click.echo(line.text.rstrip())
        if once:
            return
        click.echo()
        time.sleep(interval)


def _show(storage: TaskStorage, interval: float) -> None:
    import queue

    from rich.console import Console
    from rich.live import Live

    from goque.cli.top.keys import read_keys, unbuffered
    from goque.cli.top.orders import Answer, Desk
    from goque.cli.top.screen import Screen

    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    reader, writer = os.pipe()

    def tell(answer: Answer) -> None:
        answers.put(answer)
        os.write(writer, b".")

    desk = Desk(storage, interval, tell)
    screen = Screen(storage.url)
    console = Console(highlight=False)
    live = Live(
        console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    )
    signal.signal(signal.SIGTERM, _end)  # so that the terminal is restored
    signal.signal(signal.SIGWINCH, lambda *_: os.write(writer, b"."))
    desk.start()
    with unbuffered(0), live:
        while not screen.is_over:
            _draw(live, screen)
            ready, _, _ = select.select([0, reader], [], [], REDRAW)
            if reader in ready:
                os.read(reader, 1024)
                while not answers.empty():
                    screen.take(answers.get())
            if 0 in ready:
                keys = read_keys(0)
                for key in ["q"] if keys is None else keys:
                    if order := screen.press(key):
                        desk.give(order)
    desk.close(patience=2.0)


def _end(number: int, frame: object) -> None:
    del frame
    sys.exit(128 + number)


def _draw(live: Live, screen: Screen) -> None:
    live.update(_rendered(screen.lines(*live.console.size)), refresh=True)


def _rendered(lines: Iterable[Line]) -> Group:
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text(line.text, line.style, no_wrap=True, overflow="crop") for line in lines))
