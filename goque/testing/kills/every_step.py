"""The test of a handler that is killed at each point of its steps."""

from __future__ import annotations

import pprint
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from goque.errors import ConfigurationError
from goque.handlers.handler import Handler
from goque.handlers.processor_table import processors_of
from goque.queue.manager_base import ManagerBase, with_values_of_context
from goque.task import NO_TASK_PAYLOAD, Task
from goque.task_row import TaskStatus
from goque.task_rules.need import Need
from goque.testing.kills.doomed_run import Ended
from goque.testing.kills.step_keeper import StepKeeper
from goque.testing.kills.trial import Trial

if TYPE_CHECKING:
    from goque.registry import Registry

MAX_SHOWN: Final = 4_000


def goque_kill_at_every_step(
    handler: Handler[Any] | Registry | Callable[..., Any],
    payload: Any = NO_TASK_PAYLOAD,
    *,
    state: Callable[[], Any] | None = None,
    reset: Callable[[], object] | None = None,
    signals: Mapping[str, Any] = {},
    needs: Sequence[Need] = (),
    queue: ManagerBase | None = None,
) -> list[str]:
    """Kill a handler at each point of its steps, run it again, and compare what it leaves behind with one quiet run.

    Each run is forked from this process and kills itself by SIGKILL, so no `finally` block runs, as in a crash. Of a
    step it is killed before its function, after it, and after its record. In a transaction of yours it is killed
    before and after the insert of the record. More points are each progress, sleep and wait, and the end of the
    handler, before that is recorded. Sleeps end at once.

    Args:
        handler: a `goque.Handler`, a function that could be registered, `def` or `async def`, or a registry.
        payload: the payload, or a task; with a registry it must be a task.
        state: returns what the handler has left behind, such as files and rows, to be compared by `==`. Without it
            these are what the handler returned, its recorded steps and its follow-ups.
        reset: puts everything back to the start; it is called before each kill.
        signals: the values of the signals that come, by name. Where none comes, a wait with a timeout ends at once.
        needs: what the handler finds in `task.needs`.
        queue: keeps the steps, for a handler that records one in its own transaction. It has no other task of the type.

    Returns: the points at which the handler was killed, such as `before step 'charge'`.

    Raises:
        AssertionError: what is left differs, or the handler fails; the message names the point and shows both states.
        ConfigurationError: `reset` leaves something behind, the points change from run to run, or an argument is wrong.
        GoqueError: the process of the handler has died by itself.
    """
    __tracebackhide__ = True
    registry, task = _task_of(handler, payload)
    trial = Trial(registry, task, StepKeeper(signals), needs, queue)
    start = _Start(state, reset)
    start.restore()
    with trial.without_steps():
        points, ended = trial.run(None)
        wanted = _left(trial, state, _good(ended, "in its first run, without a kill"))
    for number, point in enumerate(points):
        start.restore()
        with trial.without_steps():
            reached, ended = trial.run(number)
            if ended is not None:
                raise ConfigurationError(
                    f"the handler ends before it can be killed {point}: it has {len(reached)} points now, and had "
                    f"{len(points)} in the first run; does reset= put everything back to the start?"
                )
            _, ended = trial.run(None, attempts=1)
            found = _left(trial, state, _good(ended, f"in its second run, after a kill ({reached[-1]})"))
        if found != wanted:
            raise AssertionError(
                f"a kill changes what the handler leaves: it was killed {reached[-1]}, and then run again\n"
                f"without a kill: {_shown(wanted)}\nafter the kill: {_shown(found)}"
            )
    return points


def _task_of(handler: Any, payload: Any) -> tuple[Registry, Task]:
    """Return a registry with the processor, and the task to run."""
    from goque.registry import Registry  # noqa: PLC0415 - it imports what tests without a queue do not need

    registry: Any = handler
    task = payload
    if isinstance(handler, Registry):
        if not isinstance(payload, Task):
            raise ConfigurationError(
                "with a registry the payload must be a goque.Task, whose type names the handler"
            )
    elif isinstance(handler, Handler):
        registry = handler._registry  # noqa: SLF001 - private to goque, not to the class
        task = payload if isinstance(payload, Task) else handler.task(payload)
    else:
        registry = Registry(strict=False)  # it knows no other types, which follow-ups may have
        name = getattr(handler, "__name__", "handler")
        task = payload if isinstance(payload, Task) else Task(name, payload)
        registry.add_processor(task.type, handler)
    processors_of(registry).get(task.type)
    (task,) = with_values_of_context([task])
    return registry, task


class _Start:
    """What is there before the handler has run.

    Args:
        state: returns it; None if there is nothing to look at.
        reset: puts it back; None if nothing need be done.
    """

    def __init__(self, state: Callable[[], Any] | None, reset: Callable[[], object] | None) -> None:
        self._look = state
        self._reset = reset
        self._first: list[Any] = []

    def restore(self) -> None:
        """Put everything back to the start.

        Raises:
            ConfigurationError: the state is not that of the start.
        """
        __tracebackhide__ = True
        if self._reset is not None:
            self._reset()
        if self._look is None:
            return
        now = _state_or_error(self._look)
        self._first = self._first or [now]
        if now != self._first[0]:
            what = (
                "reset= does not put"
                if self._reset
                else "the handler has changed the state; give reset= to put"
            )
            raise ConfigurationError(
                f"{what} everything back to the start\nat the start: {_shown(self._first[0])}\nnow: {_shown(now)}"
            )


def _state_or_error(look: Callable[[], Any]) -> Any:
    """Return the state, or why there is none yet, such as that a file is missing."""
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - of the user's function
        return f"{type(error).__qualname__}: {error}"


def _left(trial: Trial, state: Callable[[], Any] | None, ended: Ended) -> Any:
    return trial.left(ended) if state is None else state()


def _good(ended: Ended | None, what: str) -> Ended:
    """Return a run's end if the handler would not run again after it.

    Raises:
        AssertionError: it failed, or waits.
    """
    __tracebackhide__ = True
    assert ended is not None, "only a run that is to be killed has no end"
    if ended.status in (TaskStatus.DONE, TaskStatus.CANCELED):
        return ended
    if ended.waits:
        raise AssertionError(f"the handler does not end: it {ended.waits}; give its value in signals=")
    raise AssertionError(f"the handler fails {what}\n{ended.traceback}")


def _shown(state: Any) -> str:
    text = state if isinstance(state, str) else pprint.pformat(state, width=110, sort_dicts=False)
    text = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
    return f"\n{text}" if "\n" in text else text
