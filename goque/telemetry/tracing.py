"""OpenTelemetry spans, if somebody asks for them; until then each call here ends at one comparison.

A task carries the context of whoever enqueued it in `metadata.traceparent`, so that the span of its handler belongs
to the same trace, in whatever process and however much later it runs. Names and attributes follow the semantic
conventions for messaging. Nothing here may fail a task: a provider that cannot be made is logged, and there are no
spans then.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from goque.outcome import Outcome
    from goque.task import Task, TaskRow
    from goque.telemetry.spans import Spans

log: Final = logging.getLogger("goque.tracing")

INSTRUMENTED: Final = "_GOQUE_INSTRUMENTED"
"""Set in a tree that `opentelemetry-instrument` started: each of its processes instruments itself."""

NOTHING: Final = nullcontext(None)

_factory: Callable[[], Any] | None = None
_spans: Spans | None = None


def set_tracer_provider(factory: Callable[[], Any] | None) -> None:
    """Trace from now on, with the provider that `factory` makes; call it where the registry is defined.

    Args:
        factory: makes an OpenTelemetry TracerProvider; called in each process when its first span begins, once. Threads
            and connections of exporters belong in there: they would not survive the fork of a worker. None ends
            tracing.

    Raises:
        ConfigurationError: it cannot be called, or OpenTelemetry is not installed.
    """
    global _factory, _spans
    if factory is not None:
        if not callable(factory):
            raise ConfigurationError(
                f"set_tracer_provider takes a function that makes a provider, not {factory!r:.80}"
            )
        if find_spec("opentelemetry") is None:
            raise ConfigurationError("tracing needs OpenTelemetry; pip install 'goque[otel]'")
    _factory, _spans = factory, None


def is_on() -> bool:
    """Return whether this process traces."""
    return _factory is not None


def started() -> int:
    """Return when an operation begins, for `tell`; 0 while nothing is traced."""
    return 0 if _factory is None else time.time_ns()


def enqueueing(
    tasks: Sequence[Task], operation: str = "enqueue", **attributes: str
) -> AbstractContextManager[None]:
    """Trace the block that inserts tasks, and leave its context in their metadata."""
    spans = _spans_of_this_process()
    return NOTHING if spans is None or not tasks else spans.enqueueing(tasks, operation, attributes)


def handling(task: Task) -> AbstractContextManager[Any]:
    """Trace the block that runs a task's handler; what it gives is for `ended`."""
    spans = _spans_of_this_process()
    return NOTHING if spans is None else spans.handling(task)


def ended(span: Any, outcome: Outcome, error: BaseException | None) -> None:
    """Note on the span of a handler how it ended."""
    if span is not None and _spans is not None:
        _spans.note_end(span, outcome, error)


def tell(
    operation: str, task_type: str, rows: Sequence[TaskRow], began: int, count: int | None = None
) -> None:
    """Add the span of an operation on many tasks that has just ended, linked to those who enqueued them.

    Args:
        operation: claim, dispatch, settle, heal or clean.
        task_type: the type of the tasks.
        rows: the tasks, as far as they are known.
        began: what `started` returned before it; 0 adds nothing.
        count: how many tasks, if not as many as `rows`.
    """
    spans = _spans_of_this_process() if began else None
    if spans is not None:
        spans.tell(operation, task_type, rows, began, count)


def tell_lost(row: TaskRow, outcome: Outcome) -> None:
    """Add the span of a handler whose process took its own span along."""
    spans = _spans_of_this_process()
    if spans is not None:
        spans.tell_lost(row, outcome)


def begin_process(*, traced: bool) -> None:
    """Instrument a process of a tree that `opentelemetry-instrument` started."""
    if traced and os.environ.get(INSTRUMENTED):
        from opentelemetry.instrumentation.auto_instrumentation import initialize  # noqa: PLC0415 - only where asked for

        initialize()


def flush() -> None:
    """Export what waits for it, for at most two seconds: a process of a tree ends without exit handlers."""
    if _spans is not None:
        _spans.flush()


class Instrumentor:
    """What `opentelemetry-instrument` finds by the entry point of this package: traces go to its global provider."""

    def instrument(self, **_: Any) -> None:
        """Trace, unless the app has chosen a provider."""
        os.environ[INSTRUMENTED] = "1"
        if _factory is None:
            from opentelemetry import trace  # noqa: PLC0415 - whoever calls this has it

            set_tracer_provider(trace.get_tracer_provider)

    def uninstrument(self, **_: Any) -> None:
        """Trace no more."""
        set_tracer_provider(None)


def _spans_of_this_process() -> Spans | None:
    global _factory, _spans  # noqa: PLW0603 - see set_tracer_provider
    if _factory is None:
        return None
    if _spans is None:
        from goque.telemetry.spans import Spans  # noqa: PLC0415 - only where somebody traces

        try:
            _spans = Spans(_factory())
        except Exception:
            log.exception("the tracer provider cannot be made: nothing is traced in this process")
            _factory = None
    return _spans


def _forget() -> None:
    """After a fork: threads and connections of the exporter stayed behind."""
    global _spans  # noqa: PLW0603 - see set_tracer_provider
    _spans = None


os.register_at_fork(after_in_child=_forget)
