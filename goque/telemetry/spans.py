"""Makes goque's spans, by the semantic conventions for messaging. `tracing` imports it only while tracing is on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
from opentelemetry import context, trace

from goque.version import __version__

if TYPE_CHECKING:
    from goque.outcome import Outcome
    from goque.task import Task
    from goque.task_row import TaskRow

MAX_LINKS: Final = 128
FLUSH_MILLISECONDS: Final = 2000
SYSTEM: Final = "goque"
MAX_DESCRIPTION: Final = 1000
NOWHERE: Final = context.Context()

_KINDS: Final = {
    "enqueue": trace.SpanKind.PRODUCER,
    "schedule": trace.SpanKind.PRODUCER,
    "claim": trace.SpanKind.CLIENT,
    "settle": trace.SpanKind.CLIENT,
}
_TYPES: Final = {"claim": "receive", "settle": "settle"}
_TRACEPARENT: Final = re.compile("[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class Spans:
    """Makes spans with one provider, in one process.

    It adds attributes and links, which are expensive, only after the sampler has chosen the span.
    """

    def __init__(self, provider: Any) -> None:
        self.start = provider.get_tracer("goque", __version__).start_span
        self._provider = provider

    @contextmanager
    def enqueueing(self, tasks: Sequence[Task], operation: str, more: dict[str, str]) -> Iterator[None]:
        """See the function of this name in `tracing`."""
        types = {task.type for task in tasks}
        name = next(iter(types)) if len(types) == 1 else None
        parent = None
        if len(tasks) == 1 and not trace.get_current_span().get_span_context().is_valid:
            parent, _ = self.parent_of(tasks[0].metadata)
        span = self.start(f"{operation} {name}" if name else operation, parent, _KINDS[operation])
        if span.is_recording():
            span.set_attributes(_attributes(operation, name, "send") | more)
            if len(tasks) == 1:
                span.set_attributes(_of_message(tasks[0]))
            else:
                span.set_attribute("messaging.batch.message_count", len(tasks))
        made = span.get_span_context()
        traceparent = f"00-{made.trace_id:032x}-{made.span_id:016x}-{made.trace_flags:02x}"
        carrier = {"traceparent": traceparent}
        if made.trace_state:
            carrier["tracestate"] = made.trace_state.to_header()
        for task in tasks:
            task.metadata = {**task.metadata, **carrier}
        with trace.use_span(span, end_on_exit=True):
            yield

    def handling(self, task: Task) -> HandlerSpan:
        """See the function of this name in `tracing`."""
        parent, creator = self.parent_of(task.metadata)
        span = self.start(f"process {task.type}", parent or NOWHERE, trace.SpanKind.CONSUMER)
        if span.is_recording():
            self._describe_handler(span, task, creator)
        return HandlerSpan(span)

    def note_end(self, span: Any, outcome: Outcome, error: BaseException | None) -> None:
        """See `tracing.ended`."""
        if not span.is_recording():
            return
        span.set_attribute("goque.task.outcome", str(outcome.kind))
        if outcome.kind in ("failed", "timeout", "crash"):
            if error is not None:
                span.record_exception(error)
            span.set_attribute("error.type", str(outcome.kind) if error is None else type(error).__qualname__)
            span.set_status(trace.StatusCode.ERROR, outcome.error[:MAX_DESCRIPTION])

    def tell(
        self, operation: str, task_type: str, rows: Sequence[TaskRow], began: int, count: int | None
    ) -> None:
        """See the function of this name in `tracing`."""
        kind = _KINDS.get(operation, trace.SpanKind.INTERNAL)
        span = self.start(f"{operation} {task_type}", NOWHERE, kind, start_time=began)
        if span.is_recording():
            span.set_attributes(_attributes(operation, task_type, _TYPES.get(operation)))
            span.set_attribute("messaging.batch.message_count", len(rows) if count is None else count)
            for row in rows[:MAX_LINKS]:
                _, creator = self.parent_of(_carrier_of(row))
                if creator is not None:
                    span.add_link(creator)
        span.end()

    def tell_lost(self, row: TaskRow, outcome: Outcome) -> None:
        """See the function of this name in `tracing`."""
        parent, creator = self.parent_of(_carrier_of(row))
        span = self.start(
            f"process {row.type}",
            parent or NOWHERE,
            trace.SpanKind.CONSUMER,
            start_time=time.time_ns() - int(outcome.duration * 1e9),
        )
        if span.is_recording():
            self._describe_handler(span, row, creator)
            self.note_end(span, outcome, None)
        span.end()

    def flush(self) -> None:
        """See the function of this name in `tracing`."""
        force_flush = getattr(self._provider, "force_flush", None)
        if force_flush is not None:
            force_flush(FLUSH_MILLISECONDS)

    def parent_of(self, carrier: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the parent context and the span of the enqueue; None for both if the metadata has no trace."""
        text = carrier.get("traceparent")
        found = _TRACEPARENT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            return None, None
        state = carrier.get("tracestate")
        creator = trace.SpanContext(
            int(found[1], 16),
            int(found[2], 16),
            is_remote=True,
            trace_flags=trace.TraceFlags(int(found[3], 16)),
            trace_state=trace.TraceState.from_header([state]) if isinstance(state, str) else None,
        )
        if not creator.is_valid:
            return None, None
        return trace.set_span_in_context(trace.NonRecordingSpan(creator), NOWHERE), creator

    def _describe_handler(self, span: Any, task: Task | TaskRow, creator: Any) -> None:
        span.set_attributes(_attributes("process", task.type, "process"))
        span.set_attributes(_of_message(task))
        span.set_attribute("goque.task.attempt", task.attempts + 1)
        if creator is not None:
            span.add_link(creator)


class HandlerSpan:
    """The span of a handler's run; an exception that leaves the block marks it as failed."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> Any:
        made = trace.set_span_in_context(self._span)
        self._token = context.attach(made)
        return self._span

    def __exit__(self, kind: object, error: BaseException | None, stack: object) -> None:
        context.detach(self._token)
        if error is not None and self._span.is_recording():
            self._span.record_exception(error)
            self._span.set_status(trace.StatusCode.ERROR, str(error)[:MAX_DESCRIPTION])
        self._span.end()


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


def _carrier_of(row: TaskRow) -> Mapping[str, Any]:
    """Return the metadata of a task, which may have a trace; empty if it is no JSON object."""
    if not row.metadata or b"traceparent" not in row.metadata:
        return {}
    try:
        return msgspec.json.decode(row.metadata, type=dict[str, Any])
    except (msgspec.MsgspecError, ValueError):
        return {}
