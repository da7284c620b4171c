"""Follow-ups: tasks that a handler leaves behind, which are inserted in the transaction that writes its end.

An attempt that fails, is canceled or loses its claim inserts none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, Unpack, overload

from goque.context import current_task, values
from goque.errors import ConfigurationError, GoqueError
from goque.flows.plan import FlowToInsert
from goque.flows.task_to_insert import TaskToInsert
from goque.handlers.flow import Flow, plan_of, refuse_tasks_of_flows
from goque.handlers.handler import Handler, task_of
from goque.payload import max_payload
from goque.task import NO_TASK_PAYLOAD, Task, TaskOptions
from goque.task_rules.uniqueness import OnConflict, check_on_conflict
from goque.telemetry import tracing

MOST: Final = 10_000
"""How many follow-ups one attempt may have."""

PrepareTasks = Callable[[list[Task]], object]

_prepare: PrepareTasks | None = None


class FollowUps:
    """The follow-ups of one attempt. Its task keeps them, so an attempt without any costs nothing."""

    def __init__(self) -> None:
        self._tasks: list[TaskToInsert] = []
        self._flows: list[FlowToInsert] = []
        self._number = 0
        self._size = 0
        self._is_closed = False

    def add_task(self, task: TaskToInsert) -> None:
        """Take a task.

        Raises:
            GoqueError: the handler has ended.
            ConfigurationError: there are too many, or they are too large.
        """
        self._admit(1, task.size)
        self._tasks.append(task)

    def add_flow(self, flow: FlowToInsert) -> None:
        """Take a flow, of which each task counts; the errors are those of `add_task`."""
        if any(flow.id == taken.id for taken in self._flows):
            raise ConfigurationError(f"flow {flow.name!r} is a follow-up already")
        self._admit(len(flow.tasks), flow.size)
        self._flows.append(flow)

    def _admit(self, number: int, size: int) -> None:
        if self._is_closed:
            raise GoqueError("follow_up is too late: the handler has ended")
        if self._number + number > MOST:
            raise ConfigurationError(
                f"an attempt has at most {MOST} follow-ups; enqueue the others in one of them"
            )
        if self._size + size > max_payload():
            raise ConfigurationError(
                f"the follow-ups of an attempt have more than max_payload {max_payload()} bytes in all; "
                "store the data elsewhere and pass its key"
            )
        self._number += number
        self._size += size

    def close(self) -> tuple[tuple[TaskToInsert, ...], tuple[FlowToInsert, ...]]:
        """Take no more, and return what the handler asked for."""
        self._is_closed = True
        return tuple(self._tasks), tuple(self._flows)


ENDED: Final = FollowUps()
"""Of each task whose handler has ended without any: what it started and left running must not add one."""

ENDED.close()


def close_follow_ups(task: Task) -> None:
    """Take no more follow-ups of a handler that has ended."""
    if task.follow_ups is None:
        task.follow_ups = ENDED
    task.follow_ups.close()


def prepare_follow_ups_by(prepare: PrepareTasks | None) -> PrepareTasks | None:
    """Say what completes and checks the follow-ups of all handlers in this process; return what did before.

    A worker runs the handlers of one app, so this is a fact of its process.
    """
    global _prepare
    before, _prepare = _prepare, prepare
    return before


@contextmanager
def preparing_by(prepare: PrepareTasks) -> Iterator[None]:
    """Do so in the block, for handlers that run in the calling process."""
    before = prepare_follow_ups_by(prepare)
    try:
        yield
    finally:
        prepare_follow_ups_by(before)


@overload
def follow_up(handler_or_type: Flow) -> Flow: ...
@overload
def follow_up(
    handler_or_type: Handler[Any] | Task | str,
    payload: Any = ...,
    *,
    on_conflict: OnConflict = ...,
    **options: Unpack[TaskOptions],
) -> Task: ...
def follow_up(
    handler_or_type: Handler[Any] | Task | str | Flow,
    payload: Any = NO_TASK_PAYLOAD,
    *,
    on_conflict: OnConflict = "raise",
    **options: Unpack[TaskOptions],
) -> Task | Flow:
    """Insert a task or a flow when the handler that runs here ends well, in the transaction that writes its end.

    An attempt that fails, crashes, times out, is canceled or loses its claim inserts nothing. If another task has the
    external id or the unique key by then, the attempt fails with that error, unless `on_conflict` says otherwise.

    Args:
        handler_or_type: the `goque.Handler` of the type, or the type; or a flow, or a task that was built before.
        payload: the payload, with a handler or a type.
        on_conflict: as of `TaskQueueManager.add_task`.
        options: the other keywords of `Task`. `delay` counts from the end of the handler.

    Returns: the task or the flow, which is not in the table yet.

    Raises:
        GoqueError: no handler runs here.
        ConfigurationError, PayloadEncodeError, InvalidPayloadFormatError: see `Task` and `Flow`; or there are more than
            10,000 follow-ups, or their payloads are larger than `max_payload` in all.
        UnknownTypeError: the app has no such type.
    """
    running = current_task()
    if running is None:
        raise GoqueError("follow_up works only in a handler; elsewhere, call enqueue")
    if "conn" in options:
        raise ConfigurationError(
            "follow_up takes no conn, because goque inserts the task when the handler ends; "
            "call enqueue to use your connection"
        )
    check_on_conflict(on_conflict)
    if running.follow_ups is None:
        running.follow_ups = FollowUps()
    if isinstance(handler_or_type, Flow):
        if payload is not NO_TASK_PAYLOAD or options or on_conflict != "raise":
            raise ConfigurationError(
                "follow_up(flow) takes no payload and no options, because the tasks of the flow have them"
            )
        plan = plan_of(handler_or_type)
        with _prepared(plan.tasks):
            running.follow_ups.add_flow(FlowToInsert.of(plan))
        return handler_or_type
    task = task_of(handler_or_type, payload, options)
    refuse_tasks_of_flows([task])
    with _prepared([task]):
        running.follow_ups.add_task(TaskToInsert.of(task, on_conflict))
    return task


def _prepared(tasks: list[Task]) -> AbstractContextManager[None]:
    """Complete tasks as an enqueue does, and trace the block."""
    carried = values()
    for task in tasks:
        if carried:
            task.metadata = {**carried, **task.metadata}
    if _prepare is not None:
        _prepare(tasks)
    for task in tasks:
        if task.unique_rule is not None:
            task.unique_rule.refuse_incomplete()
    return tracing.enqueueing(tasks)
