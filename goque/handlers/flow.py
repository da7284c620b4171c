"""A flow, as an application builds it: tasks, and which of them need which others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Unpack

from goque.errors import ConfigurationError, GoqueError
from goque.flows.plan import Edge, FlowPlan, Wants
from goque.handlers.handler import Handler, task_of
from goque.identifiers import is_task_id, new_task_id
from goque.task import NO_TASK_PAYLOAD, Task, TaskOptions
from goque.task_rules.checks import check_name

MOST_TASKS: Final = 100_000


class Flow:
    """Tasks that are inserted together, of which some need others.

    A task with needs is `blocked` until they have ended; then its handler finds them in `goque.current_task().needs`.

    Args:
        name: what people call it; it need not be unique.

    Attributes:
        id: its id.
        name: its name.

    Raises:
        ConfigurationError: the name is not a text of 1 to 255 characters.
    """

    def __init__(self, name: str) -> None:
        check_name("the name of a flow", name)
        self.id: str = new_task_id()
        self.name: str = name
        self._tasks: dict[str, Task] = {}
        self._needs: dict[str, tuple[Task | str, ...]] = {}
        self._wants: dict[str, Wants] = {}
        self._is_taken = False

    @property
    def tasks(self) -> list[Task]:
        """Its tasks, in the order in which they were added."""
        return list(self._tasks.values())

    def add(
        self,
        task: Task | Handler[Any] | str,
        payload: Any = NO_TASK_PAYLOAD,
        *,
        needs: Iterable[Task | str] = (),
        when: Wants = "done",
        **options: Unpack[TaskOptions],
    ) -> Task:
        """Add a task, and return it.

        Args:
            task: a task that was built before, as by `handler.task(…)`; or a `goque.Handler` or a type, with a payload.
            payload: the payload, if `task` is a handler or a type.
            needs: the tasks that must have ended before it may run: tasks of this flow, or ids of tasks that exist.
            when: "done" if each must be done, else this task is canceled; "ended" if failed and canceled ones do too.
            options: the other keywords of `Task`, if `task` is a handler or a type.

        Raises:
            ConfigurationError: an argument is not valid, or the task is in the flow already.
            GoqueError: the flow was enqueued, or is a follow-up.
        """
        made = task_of(task, payload, options)
        if self._is_taken:
            raise GoqueError(
                f"flow {self.name!r} was enqueued or given to follow_up already; add all tasks before that"
            )
        if made.id in self._tasks:
            raise ConfigurationError(f"task {made.id} of type {made.type!r} is in the flow already")
        if _is_in_queue(made):
            raise ConfigurationError(
                f"task {made.id} of type {made.type!r} is in the queue already; others may need it by its id"
            )
        if when not in ("done", "ended"):
            raise ConfigurationError(f"when must be 'done' or 'ended', not {when!r:.80}")
        self._needs[made.id] = _checked_needs(needs, made)
        self._wants[made.id] = when
        self._tasks[made.id] = made
        made.flow_name = self.name
        return made

    def plan(self) -> FlowPlan:
        """Return what is to be inserted.

        Raises:
            ConfigurationError: the flow has no task, too many, or a circle; or a need is neither in the flow nor an id.
        """
        if not self._tasks:
            raise ConfigurationError(f"flow {self.name!r} has no task; add one")
        if len(self._tasks) > MOST_TASKS:
            raise ConfigurationError(
                f"flow {self.name!r} has {len(self._tasks)} tasks, more than {MOST_TASKS}; "
                "enqueue the others in one of its tasks"
            )
        edges = [
            Edge(task_id, position, self._id_of(need, task_id), self._wants[task_id])
            for task_id, needs in self._needs.items()
            for position, need in enumerate(needs)
        ]
        self._refuse_circle(edges)
        self._is_taken = True
        return FlowPlan(self.id, self.name, self.tasks, edges)

    def _id_of(self, need: Task | str, task_id: str) -> str:
        if isinstance(need, str) or need.id in self._tasks or _is_in_queue(need):
            return need if isinstance(need, str) else need.id
        raise ConfigurationError(
            f"task {self._named(task_id)} needs task {need.id} of type {need.type!r}, which is neither in flow "
            f"{self.name!r} nor in the queue; add it to the flow"
        )

    def _named(self, task_id: str) -> str:
        return f"{task_id} of type {self._tasks[task_id].type!r}"

    def _refuse_circle(self, edges: Iterable[Edge]) -> None:
        open_needs = dict.fromkeys(self._tasks, 0)
        dependents: dict[str, list[str]] = {}
        for edge in edges:
            if edge.needs_id in self._tasks:
                open_needs[edge.task_id] += 1
                dependents.setdefault(edge.needs_id, []).append(edge.task_id)
        free = [task_id for task_id, number in open_needs.items() if not number]
        while free:
            done = free.pop()
            del open_needs[done]
            for dependent in dependents.get(done, ()):
                open_needs[dependent] -= 1
                if not open_needs[dependent]:
                    free.append(dependent)
        if open_needs:
            first = next(iter(open_needs))
            raise ConfigurationError(
                f"flow {self.name!r} has a circle: "
                f"task {self._named(first)} needs itself, directly or through other tasks"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r} {self.id} of {len(self._tasks)} tasks>"


def _is_in_queue(task: Task) -> bool:
    """Return whether a task was inserted, or read from the table, as that of the handler that runs."""
    return task.inserted or task.created_at is not None


def _checked_needs(needs: Iterable[Task | str], task: Task) -> tuple[Task | str, ...]:
    if isinstance(needs, str | Task) or not isinstance(needs, Iterable):
        raise ConfigurationError(f"needs must be a list of tasks or ids, not {needs!r:.80}")
    found: dict[str, Task | str] = {}
    for need in needs:
        if not isinstance(need, Task) and not (isinstance(need, str) and is_task_id(need)):
            raise ConfigurationError(
                f"needs of {task.type!r} must be tasks or ids of tasks, not {need!r:.80}"
            )
        found.setdefault(need if isinstance(need, str) else need.id, need)
    return tuple(found.values())


def refuse_tasks_of_flows(tasks: Iterable[Task]) -> None:
    """Refuse to insert a task without its flow, which would insert it without its needs.

    Raises:
        ConfigurationError: a task was added to a flow.
    """
    for task in tasks:
        if task.flow_name is not None:
            raise ConfigurationError(
                f"task {task.id} of type {task.type!r} is in flow {task.flow_name!r}; enqueue the flow"
            )


def flow_id_of(flow: object) -> str:
    """Return the id of a flow that is given itself, or by its id.

    Raises:
        ConfigurationError: it is neither.
    """
    if isinstance(flow, Flow):
        return flow.id
    if not isinstance(flow, str):
        raise ConfigurationError(f"give a goque.Flow or the id of a flow, not {flow!r:.80}")
    return flow


def plan_of(flow: object) -> FlowPlan:
    """Return the plan of a flow, which takes no more tasks then.

    Raises:
        ConfigurationError: it is no flow, or not a valid one.
    """
    if not isinstance(flow, Flow):
        raise ConfigurationError(f"give a goque.Flow, not {flow!r:.80}")
    return flow.plan()
