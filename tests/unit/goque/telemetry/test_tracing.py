"""Spans of the enqueuer, the handler and what lies between, with an exporter in memory."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import goque
from goque import ConfigurationError, Task, TaskQueueManager
from goque.outcome import Outcome, OutcomeKind
from goque.task_row import TaskRow
from goque.telemetry import tracing


class Recorder:
    """Counts how often its provider was made, and keeps what ended."""

    def __init__(self) -> None:
        self.made = 0
        self.exporter = InMemorySpanExporter()

    def __call__(self) -> TracerProvider:
        self.made += 1
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        return provider

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    made = Recorder()
    goque.set_tracer_provider(made)
    yield made
    goque.set_tracer_provider(None)


def row_of(task: Task, **fields: Any) -> TaskRow:
    metadata = msgspec.json.encode(task.metadata)
    moment = task.created_at
    return TaskRow(
        task.id,
        task.type,
        task.external_id,
        b"{}",
        "processing",
        0,
        None,
        metadata,
        moment,
        None,
        moment,
        **fields,
    )


def test_while_it_is_off_nothing_is_made_and_nothing_is_added() -> None:
    task = Task("mail")
    assert not tracing.is_on()
    assert tracing.enqueueing([task]) is tracing.handling(task) is tracing.NOTHING
    assert tracing.started() == 0
    with tracing.enqueueing([task]):
        pass
    tracing.tell("claim", "mail", [], tracing.started())
    tracing.flush()
    assert task.metadata == {}


def test_a_trace_goes_from_the_enqueuer_into_the_handler(recorder: Recorder, tmp_path: Any) -> None:
    with TaskQueueManager(f"sqlite:///{tmp_path}/goque.db") as queue:
        task = queue.enqueue("mail", {"n": 1}, external_id="order-7")
        stored = queue.get_task(task.id)
    with tracing.handling(stored) as span:
        tracing.ended(span, Outcome(OutcomeKind.DONE), None)
    enqueued, handled = recorder.spans
    assert (enqueued.name, enqueued.kind) == ("enqueue mail", SpanKind.PRODUCER)
    assert (handled.name, handled.kind) == ("process mail", SpanKind.CONSUMER)
    assert handled.context.trace_id == enqueued.context.trace_id
    assert handled.parent.span_id == handled.links[0].context.span_id == enqueued.context.span_id
    ids = f"00-{enqueued.context.trace_id:032x}-{enqueued.context.span_id:016x}-"
    assert stored.metadata["traceparent"].startswith(ids)
    assert dict(enqueued.attributes) == {
        "messaging.system": "goque",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": "mail",
        "messaging.message.id": task.id,
        "messaging.message.body.size": 7,
        "goque.task.external_id": "order-7",
    }
    assert handled.attributes["goque.task.attempt"] == 1
    assert handled.status.status_code is StatusCode.UNSET


def test_what_a_handler_enqueues_belongs_to_its_trace(recorder: Recorder, tmp_path: Any) -> None:
    with TaskQueueManager(f"sqlite:///{tmp_path}/goque.db") as queue:
        first = queue.enqueue("mail")
        with goque.with_values(first.metadata), tracing.handling(first):
            second = queue.enqueue("receipt")
            queue.add_task_in_background(third := Task("receipt"))
            queue.wait_background_adds()
        assert queue.get_task(third.id).metadata["traceparent"][:35] == first.metadata["traceparent"][:35]
    assert second.metadata["traceparent"][:35] == first.metadata["traceparent"][:35]
    assert second.metadata["traceparent"] != first.metadata["traceparent"]


def test_tasks_that_are_added_together_share_one_span(recorder: Recorder, tmp_path: Any) -> None:
    with TaskQueueManager(f"sqlite:///{tmp_path}/goque.db") as queue:
        tasks = queue.add_tasks([Task("mail"), Task("sms"), Task("mail")])
        queue.add_tasks([])
    (span,) = recorder.spans
    assert (span.name, span.attributes["messaging.batch.message_count"]) == ("enqueue", 3)
    assert len({task.metadata["traceparent"] for task in tasks}) == 1


def test_a_failed_handler_is_an_error(recorder: Recorder) -> None:
    with tracing.handling(Task("mail")) as span:
        tracing.ended(span, Outcome(OutcomeKind.FAILED, "boom"), ValueError("boom"))
    (handled,) = recorder.spans
    assert (handled.status.status_code, handled.status.description) == (StatusCode.ERROR, "boom")
    assert handled.attributes["error.type"] == "ValueError"
    assert handled.events[0].name == "exception"


def test_operations_are_linked_to_those_who_enqueued(recorder: Recorder) -> None:
    tasks = [Task("mail") for _ in range(3)]
    with tracing.enqueueing(tasks[:1]):
        pass
    rows = [row_of(task) for task in tasks]
    rows[2].metadata = b'{"traceparent": "no such thing"}'
    rows.append(row_of(Task("mail")))
    rows[3].metadata = b"traceparent, and no JSON"
    tracing.tell("claim", "mail", rows, tracing.started())
    tracing.tell("clean", "mail", (), tracing.started(), 1000)
    enqueued, claimed, cleaned = recorder.spans
    assert (claimed.name, claimed.kind) == ("claim mail", SpanKind.CLIENT)
    assert [link.context.span_id for link in claimed.links] == [enqueued.context.span_id]
    assert claimed.attributes["messaging.batch.message_count"] == 4
    assert claimed.attributes["messaging.operation.type"] == "receive"
    assert (cleaned.name, cleaned.kind) == ("clean mail", SpanKind.INTERNAL)
    assert cleaned.attributes["messaging.batch.message_count"] == 1000


def test_a_crashed_handler_has_a_span_all_the_same(recorder: Recorder) -> None:
    task = Task("mail")
    with tracing.enqueueing([task]):
        pass
    tracing.tell_lost(
        row_of(task), Outcome(OutcomeKind.CRASHED, "worker crashed: signal 11 (SIGSEGV)", duration=1.5)
    )
    enqueued, lost = recorder.spans
    assert lost.context.trace_id == enqueued.context.trace_id
    assert lost.status.description == "worker crashed: signal 11 (SIGSEGV)"
    assert lost.attributes["error.type"] == "crash"
    assert lost.end_time - lost.start_time == pytest.approx(1.5e9, rel=0.1)


def test_the_provider_is_made_once_in_each_process_and_when_it_is_needed(recorder: Recorder) -> None:
    assert recorder.made == 0
    for _ in range(2):
        with tracing.handling(Task("mail")):
            pass
    assert recorder.made == 1
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        with tracing.handling(Task("mail")):
            pass
        os.write(writer, str(recorder.made).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 10) == b"2"
    os.close(reader)
    os.close(writer)


def test_a_provider_that_cannot_be_made_costs_the_spans_only(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> TracerProvider:
        raise OSError("no collector")

    goque.set_tracer_provider(broken)
    caplog.set_level(logging.ERROR, "goque")
    for _ in range(2):
        with tracing.handling(Task("mail")) as span:
            tracing.ended(span, Outcome(OutcomeKind.DONE), None)
    assert caplog.text.count("this process does not trace") == 1


def test_what_is_no_factory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="takes a function"):
        goque.set_tracer_provider(TracerProvider())  # type: ignore[arg-type]  # the mistake to be told of
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install 'goque\\[otel\\]'"):
        goque.set_tracer_provider(TracerProvider)
