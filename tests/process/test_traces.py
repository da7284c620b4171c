"""One trace over all processes of a tree."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tree import Database, StartTree, Tree, eventually

APP = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
import json

class Lines(SpanExporter):
    def export(self, spans):
        role = Path("/proc/self/comm").read_text().strip().removeprefix("goque:")
        with Path("spans").open("a") as file:
            for span in spans:
                file.write(json.dumps({"role": role, **json.loads(span.to_json(indent=None))}) + "\\n")
        return SpanExportResult.SUCCESS

def provider():
    made = TracerProvider()
    made.add_span_processor(BatchSpanProcessor(Lines()))
    return made

goque.set_tracer_provider(provider)

@registry.processor("mail", workers=1, max_attempts=1, fetch_tick=0.1)
def mail(task):
    if task.payload == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.payload == "follow":
        registry.queue.enqueue("note")

@registry.processor("note", workers=1)
async def write_note(task):
    pass

registry.add_periodic_job(goque.PeriodicJob("greeting", lambda after: None, lambda: Task("note"), run_on_start=True))
"""
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def spans(tree: Tree) -> list[dict[str, Any]]:
    path = tree.directory / "spans"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def named(tree: Tree, name: str) -> list[dict[str, Any]]:
    return [span for span in spans(tree) if span["name"] == name]


def trace_of(span: dict[str, Any]) -> str:
    return str(span["context"]["trace_id"]).removeprefix("0x")


def test_a_request_is_followed_through_every_process_that_works_for_it(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    with tree.database.queue as queue:
        queue.enqueue("mail", "follow", metadata={"traceparent": PARENT})
    eventually(lambda: len(tree.database.tasks("note")) == 2 and tree.database.is_settled())
    assert tree.stop() == 0
    (handled,) = named(tree, "process mail")
    (followed,) = named(tree, "enqueue note")
    notes = named(tree, "process note")
    (scheduled,) = named(tree, "schedule note")
    assert (handled["role"], followed["role"]) == ("w0:mail", "w0:mail")
    assert trace_of(handled) == trace_of(followed) == PARENT.split("-")[1]
    assert handled["parent_id"] == f"0x{PARENT.split('-')[2]}"
    assert followed["parent_id"] == handled["context"]["span_id"]
    assert {note["parent_id"] for note in notes} == {
        followed["context"]["span_id"],
        scheduled["context"]["span_id"],
    }
    assert scheduled["role"] == "scheduler"
    for operation in ("claim mail", "dispatch mail", "settle mail"):
        (span,) = named(tree, operation)
        assert span["role"] == "fetcher"
        assert span["links"][0]["context"]["span_id"] == f"0x{PARENT.split('-')[2]}"


def test_a_handler_that_takes_its_process_along_leaves_a_span(start_tree: StartTree) -> None:
    tree = start_tree("--types", "mail", app=APP)
    with tree.database.queue as queue:
        queue.enqueue("mail", "die", metadata={"traceparent": PARENT})
    eventually(lambda: tree.database.counts("mail") == {"attempts_left": 1})
    assert tree.stop() == 0
    (lost,) = named(tree, "process mail")
    assert (lost["role"], trace_of(lost)) == ("fetcher", PARENT.split("-")[1])
    assert lost["status"] == {"status_code": "ERROR", "description": "worker crashed: signal 9 (SIGKILL)"}


PLAIN = """
@registry.processor("mail", workers=1)
def mail(task):
    print("a handler's word")
"""


def test_opentelemetry_instrument_needs_nothing_of_the_app(start_tree: StartTree) -> None:
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    assert instrument.exists(), "install the development tools again: scripts/check does"
    exporters = {
        "OTEL_TRACES_EXPORTER": "console",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }
    tree = start_tree(app=PLAIN, wrapped_in=[str(instrument)], **exporters)
    with tree.database.queue as queue:
        queue.enqueue("mail", metadata={"traceparent": PARENT})
    eventually(tree.database.is_settled, 60)  # each process imports the instrumentation
    assert b"opentelemetry" not in Path(f"/proc/{tree.root}/maps").read_bytes()
    assert tree.stop() == 0
    assert "a handler's word" in tree.log
    found = {span["name"]: span for span in printed_spans(tree.log)}
    assert {"claim mail", "dispatch mail", "process mail", "settle mail"} <= set(found)
    assert trace_of(found["process mail"]) == PARENT.split("-")[1]


def printed_spans(text: str) -> list[dict[str, Any]]:
    """What the console exporter printed between the lines of the log."""
    found = []
    decoder = json.JSONDecoder()
    start = text.find("{\n")
    while start >= 0:
        span, end = decoder.raw_decode(text, start)
        found.append(span)
        start = text.find("{\n", end)
    return found


INSTRUMENTED = """
import psycopg
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

def instrument(cursor):  # as the instrumentation of each driver does it
    execute = cursor.execute
    def traced(self, query, *args, **kwargs):
        if not is_instrumentation_enabled():
            return execute(self, query, *args, **kwargs)
        note("span", Path("/proc/self/comm").read_text().strip(), *str(query).split()[:2])
        return execute(self, query, *args, **kwargs)
    cursor.execute = traced

instrument(psycopg.Cursor)
goque.set_tracer_provider(trace.get_tracer_provider)

def mine():
    with psycopg.connect(os.environ["DSN"]) as connection:
        connection.cursor().execute("SELECT 'mine'")

@registry.processor("mail", workers=1, fetch_tick=0.05)
def mail(task):
    mine()

def factory():
    mine()
    return Task("mail")

registry.add_periodic_job(goque.PeriodicJob("job", lambda after: None, factory, run_on_start=True))
"""


@pytest.mark.parametrize("backend", ["postgresql"])
def test_an_instrumented_driver_makes_no_spans_of_what_goque_polls(
    start_tree: StartTree, database: Database
) -> None:
    tree = start_tree(app=INSTRUMENTED, DSN=database.url)
    eventually(lambda: tree.database.counts() == {"done": 1}, 60)
    assert tree.stop() == 0
    found = {tuple(line[1:]) for line in tree.journal() if line[0] == "span"}
    assert found == {("goque:w0:mail", "SELECT", "'mine'"), ("goque:scheduler", "SELECT", "'mine'")}
