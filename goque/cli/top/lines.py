"""Formats what `goque top` shows: an overview, and the failed tasks of a type. No I/O happens here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from goque.cli.output import fitted, shortened
from goque.describe.functions import FunctionLine
from goque.describe.node_info import ProcessInfo, Runs, WorkerInfo
from goque.describe.overview import NodeLine, Overview, TypeLine
from goque.describe.status_words import word_of
from goque.describe.step_words import percent
from goque.describe.task_state import lasting
from goque.identifiers import function_of
from goque.task_row import TaskRow
from goque.telemetry.logs import one_line

MIN_WIDTH: Final = 40
USUAL_WIDTH: Final = 80
LONG_RUN: Final = 1.0
BAR: Final = 20
MAX_PROGRESS: Final = 3
"""Of how many tasks of one worker the progress is shown."""

UNKNOWN_LATE: Final = 15.0
"""Seconds without a heartbeat after which a node is shown in red, if its node_timeout is not known."""

_TYPE_HEADER: Final = (
    f"{'WAITING':>7} {'RETRY':>6} {'BUSY':>5} {'LATENCY':>7} {'RUNS/S':>6} {'FAILED':>6} {'TOOK':>6} WORKERS"
)
_BLOCKED_HEADER: Final = f"{'BLOCKED':>7} "
"""Before the other figures, only if a task is blocked: a terminal has few columns."""

_WORKER_HEADER: Final = f"{'PID':>7} {'MEM':>5} {'CPU':>4}  {'RUNS':<36} {'FOR':>5}"


@dataclass(frozen=True)
class Target:
    """The object of a line, on which a pressed key acts.

    Attributes:
        kind: `type`, `node`, `worker`, `process` or `task`.
        name: the type, the node's id, the process's name or the task's id.
        node: the node, of a process.
        task_id: the worker's running task, None if it is idle.
    """

    kind: str
    name: str
    node: str = ""
    task_id: str | None = None


@dataclass(frozen=True)
class Line:
    """One line of the screen; `style` is a style of rich."""

    text: str
    style: str = ""
    target: Target | None = None

    def is_about(self, target: Target | None) -> bool:
        """Return whether this line is about the same object as a line of an earlier overview."""
        ours = self.target
        return (
            ours is not None
            and target is not None
            and (ours.kind, ours.name, ours.node)
            == (
                target.kind,
                target.name,
                target.node,
            )
        )


def overview_lines(seen: Overview, width: int, *, all_processes: bool = False) -> Iterator[Line]:
    """Yield the types, and then each node with its workers.

    Args:
        seen: the overview.
        width: the columns of the terminal.
        all_processes: whether to also show processes that run no tasks.
    """
    has_blocked = any(kind.blocked for kind in seen.types)
    header = f"{_BLOCKED_HEADER}{_TYPE_HEADER}" if has_blocked else _TYPE_HEADER
    elastic = _name_width(width, len(header) + 3, _type_names(seen.types))
    yield Line(f"  {fitted('TYPE', elastic)} {header}", "bold")
    if not seen.types:
        yield Line("  no task types: no task was enqueued here, and no supervisor has run", "dim")
    for kind in seen.types:
        blocked = f"{amount(kind.blocked):>7} " if has_blocked else ""
        figures = f"{blocked}{_figures(kind)}"
        yield Line(f"  {_name(kind, elastic)} {figures}", _type_style(kind), Target("type", kind.type))
        for function in kind.functions:
            name = fitted(one_line(function.name) or "not named", elastic - 2)
            yield Line(f"    {name} {' ' * len(blocked)}{_figures_of_function(function)}", "dim")
    yield Line("")
    if not seen.nodes:
        yield Line("  no supervisor runs: `goque supervise APP` starts one", "yellow")
    for node in seen.nodes:
        yield from _node_lines(node, width, all_processes=all_processes)


def task_lines(rows: Sequence[TaskRow], width: int) -> Iterator[Line]:
    """Yield a line for each task: id, status, attempts, the function if its type has several, its last error."""
    yield Line(f"  {'ID':<36} {'STATUS':<8} FAILURES  LAST ERROR", "bold")
    if not rows:
        yield Line("  no task of this type has failed", "dim")
    for row in rows:
        function = one_line(function_of(row.type, row.external_id))
        what = f"{function}: {last_error(row)}" if function else last_error(row)
        text = f"  {one_line(row.id):<36} {word_of(row.status):<8} {row.attempts:>8}  {what}"
        yield Line(fitted(text, width), target=Target("task", row.id))


def last_error(row: TaskRow) -> str:
    """Return the last line of a task's errors without the number of its attempt."""
    line = one_line((row.errors or "").rstrip().rpartition("\n")[2])
    return line.partition(": ")[2] if line.startswith("attempt ") else line


def _name_width(width: int, others: int, names: Iterable[str]) -> int:
    """Return the columns for names: on a wide terminal as many as the longest needs, so that figures stay beside names.

    Args:
        width: the columns of the terminal.
        others: how many of them the other cells of a line take.
        names: the names.
    """
    from rich.cells import cell_len

    room = max(MIN_WIDTH, width) - others
    return min(room, max(USUAL_WIDTH - others, *(cell_len(one_line(name)) for name in names), 0))


def _type_names(kinds: Iterable[TypeLine]) -> Iterator[str]:
    for kind in kinds:
        yield f"{kind.type}{_note(kind)}"
        yield from (f"  {function.name}" for function in kind.functions)


def _note(kind: TypeLine) -> str:
    return " (paused)" if kind.paused else " (held)" if kind.held else ""


def _name(kind: TypeLine, width: int) -> str:
    note = _note(kind)
    name = one_line(kind.type)
    return fitted(name, width) if not note else fitted(fitted(name, width - len(note)).rstrip() + note, width)


def _type_style(kind: TypeLine) -> str:
    if kind.held:
        return "red"
    return "yellow" if kind.paused or (kind.new + kind.error and not kind.workers) else ""


def _figures(kind: TypeLine) -> str:
    waited = span(kind.waited) if kind.waited >= 1 else "0s"
    runs = _runs(Runs(kind.runs_a_second, kind.failed, kind.took))
    return (
        f"{amount(kind.new + kind.error):>7} {amount(kind.error):>6} {amount(kind.claimed):>5} {waited:>7} {runs} "
        f"{f'{kind.workers}/{kind.slots}':>7}"
    )


def _figures_of_function(function: FunctionLine) -> str:
    waiting, error, claimed = (
        "-" if count is None else amount(count)
        for count in (function.waiting, function.error, function.claimed)
    )
    return f"{waiting:>7} {error:>6} {claimed:>5} {'':>7} {_runs(function.runs)}"


def _runs(runs: Runs) -> str:
    rate = f"{runs.a_second:.1f}" if runs.a_second < 1000 else amount(int(runs.a_second))
    took = "-" if runs.took is None else span(runs.took)
    return f"{rate:>6} {amount(runs.failed):>6} {took:>6}"


def _node_lines(node: NodeLine, width: int, *, all_processes: bool) -> Iterator[Line]:
    target = Target("node", node.row.id)
    yield Line(fitted(f"  {', '.join(_facts(node))}", width), _node_style(node), target)
    info = node.info
    if info is None:
        yield Line("    has not reported its processes (it has just started, or is another version)", "dim")
        return
    if notes := "; ".join(_notes(node)):
        yield Line(fitted(f"    {notes}", width), "yellow")
    names = [_worker_name(worker) for pool in info.pools for worker in pool.workers]
    names += [process.name for process in info.processes] * all_processes
    elastic = _name_width(width, len(_WORKER_HEADER) + 5, names)
    yield Line(f"    {fitted('WORKER', elastic)} {_WORKER_HEADER}", "dim")
    for pool in info.pools:
        for worker in sorted(pool.workers, key=_slot):
            run = worker.runs[0] if worker.runs else None
            place = Target("worker", worker.name, node.row.id, run.task_id if run else None)
            yield Line(_worker_text(worker, node, elastic), "" if run else "dim", place)
            yield from _progress_lines(worker, width)
    if all_processes:
        for process in info.processes:
            text = f"    {fitted(one_line(process.name), elastic)} {_usage(process)}"
            yield Line(text, "dim", Target("process", process.name, node.row.id))


def _facts(node: NodeLine) -> Iterator[str]:
    row, info = node.row, node.info
    yield f"NODE {one_line(row.host)} pid {row.pid}"
    if row.state != "alive":
        yield f"{one_line(row.state)}, and its tasks are being returned"
        return
    if info is not None and (info.stopping or info.quiet):
        yield "STOPPING" if info.stopping else "DRAINED: claims nothing"
    yield f"seen {lasting(node.silent)} ago"
    if info is not None:
        yield one_line(info.app) or "a registry"
        yield f"up {lasting(info.seconds + node.silent)}"
        memory = [one.memory for one in _processes(node) if one.memory is not None]
        if memory:
            yield size(sum(memory))
        cpu = [one.cpu for one in _processes(node) if one.cpu is not None]
        if cpu:
            yield f"{sum(cpu):.0%} CPU"


def _node_style(node: NodeLine) -> str:
    late = node.info.node_timeout / 2 if node.info else UNKNOWN_LATE
    if node.row.state != "alive" or node.silent > late:
        return "bold red"
    return "bold yellow" if node.info and (node.info.quiet or node.info.stopping) else "bold"


def _notes(node: NodeLine) -> Iterator[str]:
    info = node.info
    if info is None:
        return
    reasons: dict[str, int] = {}
    for pool in info.pools:
        for reason, count in pool.restarts.items():
            reasons[reason] = reasons.get(reason, 0) + count
    if reasons:
        yield f"workers replaced: {_counts(reasons)}"
    if info.restarts:
        yield f"restarts: {_counts(info.restarts)}"
    for pool in info.pools:
        if pool.held:
            yield f"workers of {one_line(pool.name)} do not boot"
    if info.left_out:
        yield f"{info.left_out} workers more"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {one_line(str(name))}" for name, count in sorted(counts.items()))


def _processes(node: NodeLine) -> Iterator[ProcessInfo]:
    if node.info is not None:
        yield from node.info.processes
        for pool in node.info.pools:
            yield from pool.workers


def _worker_name(worker: WorkerInfo) -> str:
    return worker.name.removeprefix("worker[").removesuffix("]")


def _worker_text(worker: WorkerInfo, node: NodeLine, elastic: int) -> str:
    name, _, slot = one_line(_worker_name(worker)).rpartition(":")
    name = f"{shortened(name, elastic - len(slot) - 1)}:{slot}"
    if worker.runs:
        run = worker.runs[0]
        count = len(worker.runs) + worker.more
        what = one_line(run.task_id)[:36] if count == 1 else f"{count} tasks, the longest"
        # a task that had just started has probably ended by now; a long one probably runs on
        seconds = run.seconds + node.silent if run.seconds >= LONG_RUN else run.seconds
        doing = f"{what:<36} {span(seconds):>5}"
    else:
        doing = {"booting": "boots", "ending": "ends"}.get(worker.state, "idle")
    return f"    {fitted(name, elastic)} {_usage(worker)}  {doing}"


def _progress_lines(worker: WorkerInfo, width: int) -> Iterator[Line]:
    """Yield how far the tasks of a worker say that they are; with several, the end of each id."""
    reported = [run for run in worker.runs if run.progress is not None]
    for run in reported[:MAX_PROGRESS]:
        done = round(min(1.0, max(0.0, run.progress or 0.0)) * BAR)
        which = f"…{one_line(run.task_id)[-8:]} " if len(worker.runs) + worker.more > 1 else ""
        text = (
            f"{which}[{'#' * done}{'-' * (BAR - done)}] {percent(run.progress or 0.0)}  {one_line(run.note)}"
        )
        yield Line(fitted(f"      {text}", width).rstrip())


def _usage(process: ProcessInfo) -> str:
    memory = "-" if process.memory is None else size(process.memory)
    cpu = "-" if process.cpu is None else f"{process.cpu:.0%}"
    return f"{process.pid:>7} {memory:>5} {cpu:>4}"


def _slot(worker: WorkerInfo) -> tuple[int, str]:
    number = worker.name.rstrip("]").rpartition(":")[2]
    return (int(number) if number.isdecimal() else 0, worker.name)


def amount(count: int) -> str:
    """Return a count in at most five characters: 99999, 123k, 4.5M."""
    if count < 100_000:
        return str(count)
    return f"{count // 1000}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


def span(seconds: float) -> str:
    """Return a time in at most five characters: <1ms, 28ms, 2.5s, 45m."""
    if seconds < 0.001:
        return "<1ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    return f"{seconds:.1f}s" if seconds < 10 else lasting(seconds)


def size(count: int) -> str:
    """Return bytes in at most five characters: 45M, 1.2G."""
    return f"{count / 2**20:.0f}M" if count < 1000 * 2**20 else f"{count / 2**30:.1f}G"
