"""What handlers print, as lines of the log."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from goque import Task
from goque.context import task_context
from goque.telemetry import logs
from goque_supervisor.worker import captured_output
from goque_supervisor.worker.captured_output import CapturedStream


@pytest.fixture(autouse=True)
def _json_lines() -> Iterator[None]:
    logger, last_resort = logging.getLogger("goque"), logging.lastResort
    before = (logger.handlers, logger.level, logger.propagate)
    logs.configure("worker", log_format="json", level="error", task_type="mail")
    yield
    logger.handlers, logger.level, logger.propagate = before
    logging.lastResort = last_resort


@pytest.fixture
def raw() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def stream(raw: io.StringIO) -> CapturedStream:
    return CapturedStream(raw, "stdout")


def lines(capfd: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    told = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert {(line["role"], line["task_type"], line["stream"]) for line in told} <= {
        ("worker", "mail", "stdout")
    }
    return [(line["event"], line["task_id"]) for line in told]


def test_whole_lines_of_a_running_task_are_logged_whatever_the_level(
    capfd: pytest.CaptureFixture[str], stream: CapturedStream, raw: io.StringIO
) -> None:
    task = Task("mail")
    with task_context(task):
        print("one", 2, file=stream)
        print("three\nfour", file=stream, end="")
        assert lines(capfd) == [("one 2", task.id), ("three", task.id)]
        print(" five", file=stream)
    assert lines(capfd) == [("four five", task.id)]
    assert raw.getvalue() == ""


def test_a_line_without_an_end_is_logged_when_its_task_ends(
    capfd: pytest.CaptureFixture[str], stream: CapturedStream
) -> None:
    task, other = Task("mail"), Task("mail")
    for each in (task, other):
        with task_context(each):
            print(each.id[:3], file=stream, end="", flush=True)
    captured_output.end_task(task.id)
    assert lines(capfd) == [(task.id[:3], task.id)]
    captured_output.end_task(task.id)
    captured_output.end_task(other.id)
    assert lines(capfd) == [(other.id[:3], other.id)]


def test_a_line_without_an_end_does_not_fill_the_memory(
    capfd: pytest.CaptureFixture[str], stream: CapturedStream
) -> None:
    with task_context(Task("mail")):
        for _ in range(100):
            print("x" * 1000, file=stream, end="")
    assert len(lines(capfd)) == 1


def test_outside_of_a_task_and_from_logging_all_stays_as_it_was(
    capfd: pytest.CaptureFixture[str],
    stream: CapturedStream,
    raw: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    print("no task", file=stream)
    logger = logging.getLogger("apps.own")
    logger.propagate = False
    monkeypatch.setattr(logger, "handlers", [logging.StreamHandler(stream)])
    with task_context(Task("mail")):
        logger.error("its own format")
    assert raw.getvalue() == "no task\nits own format\n"
    assert lines(capfd) == []


def test_it_is_the_stream_in_all_else(stream: CapturedStream) -> None:
    assert CapturedStream(sys.__stderr__, "stderr").fileno() == 2
    stream.writelines(["a", "b\n"])
    assert stream.getvalue() == "ab\n"
