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
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from goque.outcome import Outcome
    from goque.task import Task, TaskRow

log: Final = logging.getLogger("goque.tracing")

INSTRUMENTED: Final = "_GOQUE_INSTRUMENTED"
"""Set in a tree that `opentelemetry-instrument` started: each of its processes instruments itself."""

MOST_LINKS: Final = 128
FLUSH_MILLISECONDS: Final = 2000
SYSTEM: Final = "goque"
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
    operation: str, task_type: str, rows: Iterable[TaskRow], began: int, count: int | None = None
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
        spans.tell(operation, task_type, list(rows), began, count)


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


class Spans:
    """Makes spans with one provider, in one process."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry import trace  # noqa: PLC0415 - only where somebody traces
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - the same
            TraceContextTextMapPropagator,
        )

        from goque.version import __version__  # noqa: PLC0415 - the same

        self._provider = provider
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("goque", __version__)
        self._kinds = {
            "enqueue": trace.SpanKind.PRODUCER,
            "schedule": trace.SpanKind.PRODUCER,
            "claim": trace.SpanKind.CLIENT,
            "settle": trace.SpanKind.CLIENT,
        }

    @contextmanager
    def enqueueing(self, tasks: Sequence[Task], operation: str, more: dict[str, str]) -> Iterator[None]:
        """See the function of this name."""
        types = {task.type for task in tasks}
        name = next(iter(types)) if len(types) == 1 else None
        attributes: dict[str, Any] = _attributes(operation, name, "send") | more
        if len(tasks) == 1:
            attributes |= _of_message(tasks[0])
        else:
            attributes["messaging.batch.message_count"] = len(tasks)
        parent = None
        if not self._trace.get_current_span().get_span_context().is_valid and len(tasks) == 1:
            parent = self._propagator.extract(_carrier(tasks[0].metadata))
        title = f"{operation} {name}" if name else operation
        with self._tracer.start_as_current_span(title, parent, self._kinds[operation], attributes=attributes):
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            for task in tasks:
                task.metadata = {**task.metadata, **carrier}
            yield

    @contextmanager
    def handling(self, task: Task) -> Iterator[Any]:
        """See the function of this name."""
        parent = self._propagator.extract(_carrier(task.metadata))
        creator = self._trace.get_current_span(parent).get_span_context()
        with self._tracer.start_as_current_span(
            f"process {task.type}",
            parent,
            self._trace.SpanKind.CONSUMER,
            attributes=_attributes("process", task.type, "process")
            | _of_message(task)
            | {"goque.task.attempt": task.attempts + 1},
            links=[self._trace.Link(creator)] if creator.is_valid else None,
        ) as span:
            yield span

    def note_end(self, span: Any, outcome: Outcome, error: BaseException | None) -> None:
        """See `ended`."""
        span.set_attribute("goque.task.outcome", str(outcome.kind))
        if outcome.kind in ("failed", "timeout", "crash"):
            if error is not None:
                span.record_exception(error)
            span.set_attribute("error.type", "timeout" if error is None else type(error).__qualname__)
            span.set_status(self._trace.Status(self._trace.StatusCode.ERROR, outcome.error[:1000]))

    def tell(
        self, operation: str, task_type: str, rows: list[TaskRow], began: int, count: int | None
    ) -> None:
        """See the function of this name."""
        kinds = {"claim": "receive", "settle": "settle"}
        attributes = _attributes(operation, task_type, kinds.get(operation))
        attributes["messaging.batch.message_count"] = len(rows) if count is None else count
        self._tracer.start_span(
            f"{operation} {task_type}",
            kind=self._kinds.get(operation, self._trace.SpanKind.INTERNAL),
            attributes=attributes,
            links=[link for row in rows[:MOST_LINKS] if (link := self._link(row))],
            start_time=began,
        ).end()

    def tell_lost(self, row: TaskRow, outcome: Outcome) -> None:
        """See the function of this name."""
        link = self._link(row)
        span = self._tracer.start_span(
            f"process {row.type}",
            self._propagator.extract(_carrier_of(row)),
            self._trace.SpanKind.CONSUMER,
            attributes=_attributes("process", row.type, "process")
            | _of_message(row)
            | {"goque.task.attempt": row.attempts + 1},
            links=[link] if link else None,
            start_time=time.time_ns() - int(outcome.duration * 1e9),
        )
        self.note_end(span, outcome, None)
        span.set_attribute("error.type", str(outcome.kind))
        span.end()

    def flush(self) -> None:
        """See the function of this name."""
        force_flush = getattr(self._provider, "force_flush", None)
        if force_flush is not None:
            force_flush(FLUSH_MILLISECONDS)

    def _link(self, row: TaskRow) -> Any:
        carrier = _carrier_of(row)
        if not carrier:
            return None
        creator = self._trace.get_current_span(self._propagator.extract(carrier)).get_span_context()
        return self._trace.Link(creator) if creator.is_valid else None


def _spans_of_this_process() -> Spans | None:
    global _factory, _spans  # noqa: PLW0603 - see set_tracer_provider
    if _factory is None:
        return None
    if _spans is None:
        try:
            _spans = Spans(_factory())
        except Exception:
            log.exception("the tracer provider cannot be made: nothing is traced in this process")
            _factory = None
    return _spans


def _attributes(operation: str, destination: str | None, kind: str | None) -> dict[str, Any]:
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _of_message(task: Task | TaskRow) -> dict[str, Any]:
    size = len(task.raw_payload if hasattr(task, "raw_payload") else task.payload)
    return {
        "messaging.message.id": task.id,
        "messaging.message.body.size": size,
        "goque.task.external_id": task.external_id,
    }


def _carrier(metadata: Any) -> dict[str, str]:
    """Return what of a task's metadata tells of its trace; the rest of it may be anything."""
    found = {name: metadata.get(name) for name in ("traceparent", "tracestate")}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _carrier_of(row: TaskRow) -> dict[str, str]:
    if not row.metadata or b"traceparent" not in row.metadata:
        return {}
    import msgspec  # noqa: PLC0415 - an instrumented process that never enqueues must not wait for it

    try:
        return _carrier(msgspec.json.decode(row.metadata, type=dict[str, Any]))
    except (msgspec.MsgspecError, ValueError):
        return {}


def _forget() -> None:
    """After a fork: threads and connections of the exporter stayed behind."""
    global _spans  # noqa: PLW0603 - see set_tracer_provider
    _spans = None


os.register_at_fork(after_in_child=_forget)
