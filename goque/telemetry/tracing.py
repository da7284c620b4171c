"""OpenTelemetry spans. While tracing is off, each call here costs one comparison.

A task has the trace context of its enqueuer in `metadata.traceparent`, so the span of its handler belongs to the same
trace, also in another process and much later. Names and attributes follow the semantic conventions for messaging.
Tracing never fails a task: if the provider cannot be made, this is logged and there are no spans.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from goque.outcome import Outcome
    from goque.task import Task
    from goque.task_row import TaskRow
    from goque.telemetry.spans import Spans

log: Final = logging.getLogger("goque.tracing")

INSTRUMENTED: Final = "_GOQUE_INSTRUMENTED"
"""Set in a tree started by `opentelemetry-instrument`: each of its processes instruments itself."""

SUPPRESSED: Final = "suppress_instrumentation"
"""The key in OpenTelemetry's context by which instrumented drivers and clients make no spans."""

NOTHING: Final = nullcontext(None)

_factory: Callable[[], Any] | None = None
_spans: Spans | None = None


def set_tracer_provider(factory: Callable[[], Any] | None) -> None:
    """Start tracing with the provider that `factory` makes. Call it where you define the registry.

    Args:
        factory: makes an OpenTelemetry TracerProvider. Each process calls it once, at its first span. Make the threads
            and connections of exporters in it: they would not survive the fork of a worker. None ends tracing.

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
    """Return the start time of an operation, for `tell`; 0 while tracing is off."""
    return 0 if _factory is None else time.time_ns()


def enqueueing(
    tasks: Sequence[Task], operation: str = "enqueue", **attributes: str
) -> AbstractContextManager[None]:
    """Trace the block that inserts tasks, and write its context into their metadata."""
    spans = _spans_of_this_process()
    return NOTHING if spans is None or not tasks else spans.enqueueing(tasks, operation, attributes)


def handling(task: Task) -> AbstractContextManager[Any]:
    """Trace the block that runs a task's handler; pass the yielded span to `ended`."""
    spans = _spans_of_this_process()
    return NOTHING if spans is None else spans.handling(task)


def ended(span: Any, outcome: Outcome, error: BaseException | None) -> None:
    """Record on the span of a handler how it ended."""
    if span is not None and _spans is not None:
        _spans.note_end(span, outcome, error)


def tell(
    operation: str, task_type: str, rows: Sequence[TaskRow], began: int, count: int | None = None
) -> None:
    """Add the span of an operation on many tasks that has just ended, linked to the spans of their enqueues.

    Args:
        operation: claim, dispatch, settle, heal or clean.
        task_type: the type of the tasks.
        rows: the tasks that are known.
        began: the value of `started` from before the operation; 0 adds no span.
        count: the number of tasks, if it is not that of `rows`.
    """
    spans = _spans_of_this_process() if began else None
    if spans is not None:
        spans.tell(operation, task_type, rows, began, count)


def tell_by_type(operation: str, rows: Sequence[TaskRow], began: int) -> None:
    """Add a span for the tasks of each type among these rows."""
    for task_type in {row.type for row in rows}:
        tell(operation, task_type, [row for row in rows if row.type == task_type], began)


def tell_lost(row: TaskRow, outcome: Outcome) -> None:
    """Add the span of a handler whose process died before it could send the span."""
    spans = _spans_of_this_process()
    if spans is not None:
        spans.tell_lost(row, outcome)


def begin_process(*, traced: bool) -> None:
    """Instrument a process of a tree started by `opentelemetry-instrument`."""
    if traced and os.environ.get(INSTRUMENTED):
        from opentelemetry.instrumentation.auto_instrumentation import initialize  # noqa: PLC0415 - only where asked for

        initialize()


def hide_own_statements() -> None:
    """Have instrumented database drivers make no spans in this process from now on.

    A process that polls would make some each second, of no trace. The spans of claims and settles are goque's own.
    """
    if context := _context_of_instrumentation():
        context.attach(context.set_value(SUPPRESSED, True))


def app_code() -> AbstractContextManager[None]:
    """Let instrumented libraries make spans in this block, which runs code of the app."""
    context = _context_of_instrumentation()
    return NOTHING if context is None else _unsuppressed(context)


@contextmanager
def _unsuppressed(context: Any) -> Iterator[None]:
    token = context.attach(context.set_value(SUPPRESSED, False))
    try:
        yield
    finally:
        context.detach(token)


def _context_of_instrumentation() -> Any:
    """Return OpenTelemetry's module, None if nothing has imported it: then nothing is instrumented."""
    return sys.modules.get("opentelemetry.context")


def flush() -> None:
    """Export the waiting spans, for at most two seconds: processes of a tree end without exit handlers."""
    if _spans is not None:
        _spans.flush()


class Instrumentor:
    """The entry point for `opentelemetry-instrument`: spans go to its global provider."""

    def instrument(self, **_: Any) -> None:
        """Start tracing, unless the app has set a provider."""
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
            log.exception("the tracer provider cannot be made; this process does not trace")
            _factory = None
    return _spans


def _forget() -> None:
    """Forget the provider after a fork: its exporter's threads and connections do not exist in the child."""
    global _spans  # noqa: PLW0603 - see set_tracer_provider
    _spans = None


os.register_at_fork(after_in_child=_forget)
