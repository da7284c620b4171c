"""The state of `goque top`'s screen: the cursor, the keys and the open question. No I/O happens here.

A key either changes the screen at once, or makes an `Order` for the database thread (orders.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from goque.cli.output import fitted
from goque.cli.top.help_lines import help_lines
from goque.cli.top.lines import Line, Target, last_error, overview_lines, task_lines
from goque.cli.top.orders import Answer, Order
from goque.describe.overview import NodeLine, Overview, TypeLine
from goque.task_row import TaskRow
from goque.telemetry.logs import one_line

MOVES: Final = {"up": -1, "k": -1, "down": 1, "j": 1, "home": -(10**6), "end": 10**6}
LEGEND: Final = {
    "type": "p pause/resume  r reset failed  enter failed tasks",
    "node": "d drain, or go on",
    "worker": "c cancel what it runs",
    "process": "",
    "task": "r reset  c cancel  esc back",
    "": "",
}
LOOKING: Final = "looking"
ALWAYS: Final = "a processes  ? help  q quit"


@dataclass
class Screen:
    """What the screen shows.

    Attributes:
        where: the database, with its password hidden.
        seen: the newest overview.
        trouble: why there is no newer one, empty if there is.
        message: the result of the last order.
        question: the order that waits for a yes.
        is_over: whether the user has quit.
        is_helping: whether the keys and columns are explained instead of the overview.
    """

    where: str
    seen: Overview | None = None
    trouble: str = ""
    message: str = ""
    question: Order | None = None
    is_over: bool = False
    is_helping: bool = False
    all_processes: bool = False
    _cursor: Target | None = None
    _offset: int = 0
    _type: str | None = None
    _tasks: Sequence[TaskRow] = ()
    _switched: dict[tuple[str, int], bool] = field(default_factory=dict)

    # -- what comes in -------------------------------------------------------------------------------

    def take(self, answer: Answer) -> None:
        """Apply an answer of the database thread."""
        self.trouble = answer.trouble
        self.seen = answer.seen or self.seen
        self.message = answer.message or ("" if self.message == LOOKING else self.message)
        if answer.tasks is not None and answer.task_type == self._type:
            self._tasks = answer.tasks
        if answer.done is not None and answer.done.verb in ("drain", "wake"):
            self._switched[answer.done.name, answer.done.pid] = answer.done.verb == "drain"
        for node in self._nodes:
            if node.info is not None and self._switched.get((node.row.host, node.row.pid)) == node.info.quiet:
                del self._switched[node.row.host, node.row.pid]

    def press(self, key: str) -> Order | None:
        """Apply a key; return the order for the database, if there is one."""
        if self.question is not None:
            order, self.question = self.question, None
            self.message = "" if key == "y" else "nothing was changed"
            return order if key == "y" else None
        self.message = ""
        if self.is_helping and key != "ctrl-c":
            self.is_helping = False
            return None
        match key:
            case "q" | "ctrl-c":
                self.is_over = True
            case "escape" | "left" if self._type is not None:
                self._cursor, self._type = Target("type", self._type), None
            case "?":
                self.is_helping = True
            case "a":
                self.all_processes = not self.all_processes
            case _ if key in MOVES:
                self._move(MOVES[key])
            case _ if self._cursor is not None:
                return self._act(key, self._cursor)
        return None

    def _act(self, key: str, target: Target) -> Order | None:
        match target.kind, key:
            case "type", "p":
                paused = any(kind.type == target.name and kind.paused for kind in self._kinds)
                return Order("resume" if paused else "pause", target.name)
            case "type", "r":
                self._ask(Order("reset-type", target.name), f"reset all failed tasks of {target.name}")
            case "type", "enter" | "right":
                self._type, self._tasks, self._cursor = target.name, (), None
                self.message = LOOKING
                return Order("tasks", target.name)
            case "worker", "c" if target.task_id is None:
                self.message = "it runs nothing"
            case "worker", "c":
                assert target.task_id is not None
                self._ask(Order("cancel", target.task_id), f"cancel task {target.task_id}")
            case "task", "c" | "r":
                verb = "cancel" if key == "c" else "reset"
                self._ask(Order(verb, target.name, self._type), f"{verb} task {target.name}")
            case "node", "d":
                self._drain(target)
            case _:
                self.message = f"{one_line(key)}: no such key here; ? shows the keys"
        return None

    def _drain(self, target: Target) -> None:
        (node,) = [node for node in self._nodes if node.row.id == target.name]
        row = node.row
        quiet = self._switched.get(
            (row.host, row.pid), bool(node.info and node.info.quiet)
        )  # the report may not have it yet
        verb = "wake" if quiet else "drain"
        what = "claims again" if quiet else "claims nothing more, what runs goes on"
        self._ask(
            Order(verb, row.host, pid=row.pid), f"{verb} pid {row.pid} on {row.host}, so that it {what}"
        )

    def _ask(self, order: Order, what: str) -> None:
        self.question = order
        self.message = f"[y/n] {one_line(what)}?"

    # -- what is shown -------------------------------------------------------------------------------

    @property
    def _kinds(self) -> Sequence[TypeLine]:
        return self.seen.types if self.seen else ()

    @property
    def _nodes(self) -> Sequence[NodeLine]:
        return self.seen.nodes if self.seen else ()

    def lines(self, width: int, height: int) -> list[Line]:
        """Return the lines of the screen, no more than `height`, the cursor among them."""
        body = self._body(width)
        spots = [number for number, line in enumerate(body) if line.target]
        at = next((number for number in spots if body[number].is_about(self._cursor)), None)
        if at is None and spots:
            at = spots[0]
        if not self.is_helping:
            self._cursor = body[at].target if at is not None else None
        room = max(1, height - 3)
        if at is not None:
            first = 0 if at == spots[0] else at  # with the header above it
            self._offset = max(min(self._offset, first), at - room + 1)
        self._offset = max(0, min(self._offset, len(body) - room))
        shown = [
            Line(f"> {line.text[2:]}", f"{line.style} reverse".strip(), line.target) if number == at else line
            for number, line in enumerate(body)
        ][self._offset : self._offset + room]
        shown += [Line("")] * (room - len(shown))
        return [self._title(width), *shown, *self._foot(width)]

    def _body(self, width: int) -> list[Line]:
        if self.is_helping:
            return list(help_lines(width))
        if self._type is not None:
            return list(task_lines(self._tasks, width))
        if self.seen is None:
            return []
        return list(overview_lines(self.seen, width, all_processes=self.all_processes))

    def _move(self, by: int) -> None:
        spots = [line.target for line in self._body(80) if line.target]
        if spots:
            at = next(
                (number for number, spot in enumerate(spots) if Line("", target=spot).is_about(self._cursor)),
                0,
            )
            self._cursor = spots[max(0, min(at + by, len(spots) - 1))]

    def _title(self, width: int) -> Line:
        what = f"failed tasks of {one_line(self._type)}" if self._type is not None else "goque top"
        when = f"{self.seen.at.astimezone():%H:%M:%S}" if self.seen else ""
        if self.trouble:
            since = f", and what is shown is of {when}" if when else ""
            return Line(fitted(f"the database does not answer{since}", width), "bold white on red")
        return Line(
            f"{fitted(f'{what}  {one_line(self.where)}', width - len(when) - 1)} {when}", "bold reverse"
        )

    def _foot(self, width: int) -> list[Line]:
        legend = LEGEND[self._cursor.kind if self._cursor else ""]
        keys = f"{legend}  {ALWAYS}" if self._type is None else f"{legend or 'esc back'}  ? help"
        keys = "any key goes back" if self.is_helping else keys
        style = "bold yellow" if self.question else "bold"
        about = self._cursor.name if self._cursor and self._cursor.kind == "task" else ""
        error = next((last_error(row) for row in self._tasks if row.id == about), "")
        text = self.message or one_line(self.trouble) or error
        return [Line(fitted(text, width), style), Line(fitted(keys.strip(), width), "dim")]
