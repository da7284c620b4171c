"""Enqueues the lines of a JSONL file in batches. A bad line is reported and stops no other."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Final, NamedTuple, Self

import click
import msgspec

from goque.cli.output import exists_already, holds_unique_key
from goque.cli.parameters.values import seconds_of
from goque.errors import GoqueError
from goque.payload import MAX_PAYLOAD_LIMIT
from goque.queue.manager import TaskQueueManager
from goque.queue.manager_base import PrepareTasks
from goque.storage import TaskStorage
from goque.storage.in_halves import write_in_halves
from goque.task import NO_TASK_PAYLOAD, Task
from goque.telemetry.logs import one_line, text_of

BATCH: Final = 500
BATCH_BYTES: Final = 8 * 1024 * 1024
MAX_LINE: Final = MAX_PAYLOAD_LIMIT + 1024 * 1024
"""The longest possible line in bytes: the largest payload, and room for the rest of its object."""


class Line(NamedTuple):
    """One line of the file: its number from 1, its text, and the offset of its end."""

    number: int
    text: bytes
    end: int


class TaskObject(msgspec.Struct, forbid_unknown_fields=True):
    """A line that is an object with the type, the payload and the options of a task."""

    type: str
    payload: msgspec.Raw = NO_TASK_PAYLOAD
    external_id: str | None = None
    delay: float | str | None = None
    run_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    priority: int | None = None
    limit_key: str | None = None
    metadata: dict[str, Any] | None = None


class LineReader:
    """Makes the task of a line.

    Args:
        task_type: the type of all tasks, if the lines are payloads; None if the lines are objects.
        defaults: delay, run_at, priority and limit_key for tasks without their own.
    """

    def __init__(self, task_type: str | None, defaults: dict[str, Any]) -> None:
        self.task_type = task_type
        self.defaults = defaults
        self._decode = msgspec.json.Decoder(TaskObject).decode

    def task(self, text: bytes) -> Task:
        """Make the task of one line. Raises ValueError or GoqueError for a bad one."""
        if len(text) >= MAX_LINE:
            raise ValueError(f"longer than {MAX_LINE} bytes")
        if self.task_type is not None:
            return Task(self.task_type, msgspec.Raw(text), **self.defaults)
        parsed = self._decode(text)
        silent = parsed.delay is None and parsed.run_at is None
        return Task(
            parsed.type,
            parsed.payload,
            external_id=parsed.external_id,
            metadata=parsed.metadata,
            delay=self.defaults["delay"] if silent else _delay_of(parsed),
            run_at=self.defaults["run_at"] if silent else parsed.run_at,
            priority=self.defaults["priority"] if parsed.priority is None else parsed.priority,
            limit_key=self.defaults["limit_key"] if parsed.limit_key is None else parsed.limit_key,
        )


def _delay_of(parsed: TaskObject) -> float | None:
    """Return the delay of a line in seconds. Raises ValueError for text that is no length of time."""
    if not isinstance(parsed.delay, str):
        return parsed.delay
    seconds = seconds_of(parsed.delay)
    if seconds is None:
        raise ValueError(f"delay must be seconds, or text such as '5m' or '2h', not {parsed.delay!r:.80}")
    return seconds


def enqueue_lines(
    storage: TaskStorage, file: BinaryIO, reader: LineReader, prepare_tasks: PrepareTasks | None = None
) -> bool:
    """Enqueue every good line, report every bad one, and return whether all were good.

    Args:
        storage: where to.
        file: the lines.
        reader: makes the task of each.
        prepare_tasks: that of a registry, see `TaskQueueManager`; None for a bare queue.
    """
    queue = TaskQueueManager(storage, prepare_tasks=prepare_tasks)
    enqueued = bad = last = 0
    try:
        with Progress(size_of(file)) as progress:
            for batch in batches(read_lines(file)):
                added, refused = _enqueue_batch(queue, batch, reader, progress.report)
                enqueued += added
                bad += refused
                last = batch[-1].number
                progress.advance_to(batch[-1].end, enqueued)
    except BaseException:
        if last:
            summary = f"enqueued {_count(enqueued, 'task')}, all good lines up to line {last}"
            click.echo(f"goque: stopped; {summary}", err=True)
        raise
    click.echo(f"enqueued {_count(enqueued, 'task')} in {storage.url}")
    if bad:
        click.echo(f"goque: {bad} {'line was' if bad == 1 else 'lines were'} not enqueued", err=True)
    return not bad


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _enqueue_batch(
    queue: TaskQueueManager, batch: list[Line], reader: LineReader, report: Callable[[str], None]
) -> tuple[int, int]:
    tasks: dict[int, Task] = {}
    refused: dict[int, str] = {}
    for line in batch:
        try:
            tasks[line.number] = reader.task(line.text)
        except (ValueError, RecursionError, msgspec.MsgspecError, GoqueError) as error:
            refused[line.number] = text_of(error)
    try:
        added = _add(queue, list(tasks.items()), refused)
        for number, task in tasks.items():
            if task.id not in added and number not in refused and not _is_debounced(task):
                refused[number] = _taken(task)
    finally:
        for number in sorted(refused):
            report(f"goque: line {number}: {one_line(refused[number])}")
    return len(tasks.keys() - refused.keys()), len(refused)


def _is_debounced(task: Task) -> bool:
    """Return whether a task that is not there itself is put into one that waits."""
    return task.unique_rule is not None and task.unique_rule.debounce is not None


def _taken(task: Task) -> str:
    """Say why a task was left out: of a line without an external id of its own only a unique key can be taken."""
    is_named = not task.external_id.startswith("internal-")
    return (
        exists_already(task.type, task.external_id)
        if is_named or not task.unique_key
        else holds_unique_key(task)
    )


def _add(queue: TaskQueueManager, tasks: list[tuple[int, Task]], refused: dict[int, str]) -> set[str]:
    """Add all tasks but those that goque or the database refuses, which it finds by halves. Returns their ids."""

    def add(these: Sequence[tuple[int, Task]]) -> set[str]:
        return {task.id for task in queue.add_tasks([task for _, task in these], on_conflict="skip")}

    def refuse(numbered: tuple[int, Task], error: Exception) -> set[str]:
        refused[numbered[0]] = text_of(error)
        return set()

    return write_in_halves(tasks, add, refuse)


def batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """Group lines into batches of one transaction each, bounded in number and in bytes."""
    batch: list[Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.text)
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_lines(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines that are not empty. Lines that are too long are cut, to save memory."""
    number = end = 0
    while text := _read_line(file):
        number += 1
        end += len(text)
        whole = text
        while len(whole) == MAX_LINE and not whole.endswith(b"\n"):
            whole = _read_line(file)  # skip the rest of the line
            end += len(whole)
        text = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
        if text.strip():
            yield Line(number, text.strip(), end)


def _read_line(file: BinaryIO) -> bytes:
    try:
        return file.readline(MAX_LINE)
    except OSError as error:
        name = "standard input" if file.fileno() == 0 else file.name
        why = "it is closed" if error.errno == errno.EBADF else error.strerror
        raise GoqueError(f"{name} cannot be read: {why}") from error


def size_of(file: BinaryIO) -> int | None:
    """Return the length of a regular file, None for a pipe or a terminal."""
    try:
        status = os.fstat(file.fileno())
    except (OSError, ValueError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


class Progress:
    """A progress bar on standard error, if that is a terminal.

    Args:
        total: the size of the file in bytes, None if it is not known.
    """

    def __init__(self, total: int | None) -> None:
        self._bar: Any = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            columns = (
                SpinnerColumn(),
                BarColumn(),
                TextColumn("{task.fields[enqueued]} tasks"),
                TimeRemainingColumn(),
            )
            self._bar = Bar(*columns, console=Console(stderr=True))
            self._row = self._bar.add_task("", total=total, enqueued=0)

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the bar and leave it on the screen."""
        if self._bar:
            self._bar.stop()

    def advance_to(self, position: int, enqueued: int) -> None:
        """Show the position in the file and the number of enqueued tasks."""
        if self._bar:
            self._bar.update(self._row, completed=position, enqueued=enqueued)

    def report(self, line: str) -> None:
        """Write a line, above the bar if there is one."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line, err=True)
