"""Log lines: one event a line, whatever is logged."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import goque
from goque import ConfigurationError, Task
from goque.context import task_context
from goque.telemetry import logs
from goque.telemetry.rate_limit import RateLimited


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    logger, last_resort = logging.getLogger("goque"), logging.lastResort
    before = (logger.handlers, logger.level, logger.propagate)
    yield
    logger.handlers, logger.level, logger.propagate = before
    logging.lastResort = last_resort


class Hostile:
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def console(**extra: Any) -> logging.Logger:
    logs.configure("fetcher", log_format="console", level="info", of="send_email", **extra)
    return logging.getLogger("goque.test")


def json_logger() -> logging.Logger:
    logs.configure("worker", log_format="json", level="debug", task_type="send_email")
    return logging.getLogger("goque.test")


def test_a_console_line(capfd: pytest.CaptureFixture[str]) -> None:
    console().info("claimed %d", 3, extra={"task_id": "1", "duration": 0.123456789, "why": "a b"})
    line = capfd.readouterr().err
    assert line[2] == line[5] == ":"
    assert line[12:] == " INFO  fetcher[send_email] claimed 3 task_id=1 duration=0.123457 why='a b'\n"


def test_a_json_line(capfd: pytest.CaptureFixture[str]) -> None:
    json_logger().warning("slow", extra={"task_id": "1", "attempt": 2, "duration": 0.5})
    told = json.loads(capfd.readouterr().err)
    assert told.pop("time").endswith("Z")
    assert told == {
        "level": "warning",
        "role": "worker",
        "event": "slow",
        "task_type": "send_email",
        "task_id": "1",
        "attempt": 2,
        "duration": 0.5,
    }


def test_levels_and_a_new_role(capfd: pytest.CaptureFixture[str]) -> None:
    console().debug("not said")
    logs.configure("healer", log_format="console", level="DEBUG")
    logging.getLogger("goque_supervisor.healer").debug("not under goque")
    logging.getLogger("goque").debug("said")
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(" DEBUG healer said")


@pytest.mark.parametrize("make", [console, json_logger])
@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("two\nlines \x1b[2J", ()),
        ("wrong %d", ("text",)),
        ("%s %s", ("one",)),
        ("%s", (Hostile(),)),
        (Hostile(), ()),
        ("surrogate \ud800 %s", ("\x00\udfff",)),
        ("\u2028\x85\u202e", ()),
        ("%s", ("x" * 1_000_000,)),
    ],
)
def test_hostile_text_is_one_inert_line(
    capfd: pytest.CaptureFixture[str], make: Any, message: Any, arguments: tuple[Any, ...]
) -> None:
    make().error(message, *arguments, extra={"odd key\n": Hostile(), "deep": [[Hostile()]], "big": 10**40})
    written = capfd.readouterr().err
    assert written.count("\n") == 1
    assert "\x1b" not in written
    if make is json_logger:
        assert json.loads(written)["role"] == "worker"


@pytest.mark.parametrize("make", [console, json_logger])
def test_a_traceback_belongs_to_its_event(capfd: pytest.CaptureFixture[str], make: Any) -> None:
    make().error("it failed", exc_info=ValueError("first\nsecond\x1b"))
    written = capfd.readouterr().err
    if make is json_logger:
        assert "ValueError: first" in json.loads(written)["exception"]
    else:
        first, *rest = written.splitlines()
        assert first.endswith("it failed")
        assert all(line.startswith("    ") for line in rest)
    assert "\x1b" not in written


@pytest.mark.parametrize("make", [console, json_logger])
def test_a_block_of_lines_belongs_to_its_event(capfd: pytest.CaptureFixture[str], make: Any) -> None:
    make().info("the tree", extra={"block": ["guard", "  worker\nrm -rf /\x1b"]})
    written = capfd.readouterr().err
    if make is json_logger:
        assert json.loads(written)["block"] == ["guard", "  worker\nrm -rf /\x1b"]
    else:
        first, *rest = written.splitlines()
        assert first.endswith("the tree")
        assert rest == ["    guard", r"      worker\nrm -rf /\x1b"]
    make().info("no lines", extra={"block": 5})
    assert "5" in capfd.readouterr().err


def test_a_handler_that_logs_is_told_by_its_task(capfd: pytest.CaptureFixture[str]) -> None:
    logger = json_logger()
    task = Task("resize")
    with task_context(task):
        logger.info("half done")
    told = json.loads(capfd.readouterr().err)
    assert (told["task_type"], told["task_id"], told["attempt"]) == ("resize", task.id, 1)


def test_a_field_of_the_app_does_not_hide_which_task_runs() -> None:
    task = Task("resize")
    event = logging.makeLogRecord({"name": "shop", "task_id": "of another queue", "order": 7})
    with task_context(task):
        assert logs.fields_of(event) == {"task_type": "resize", "task_id": task.id, "attempt": 1, "order": 7}
    assert logs.fields_of(event) == {"task_id": "of another queue", "order": 7}


def test_the_context_values_of_a_handler_are_in_its_lines(capfd: pytest.CaptureFixture[str]) -> None:
    with goque.with_value("outside", "of a handler"):
        json_logger().info("nobody's")
    task = Task(
        "resize", metadata={"tenant": "acme", "n": 7, "long": "x" * 1000, "list": [1, 2], "role": "mine"}
    )
    with task_context(task), goque.with_value("step", "second"):
        json_logger().info("half done")
        console().info("half done", extra={"tenant": "of the line"})
    nobodys, told, line = capfd.readouterr().err.splitlines()
    assert "values" not in json.loads(nobodys)
    values = json.loads(told)["values"]
    assert {
        "tenant": "acme",
        "n": 7,
        "step": "second",
        "list": [1, 2],
        "role": "mine",
    }.items() <= values.items()
    assert len(values["long"]) == 201
    assert " tenant='of the line'" in line
    assert " step=second" in line


def test_a_cyclic_extra_is_written_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    cycle: list[Any] = []
    cycle.append(cycle)
    json_logger().info("round", extra={"cycle": cycle})
    assert json.loads(capfd.readouterr().err)["cycle"] == "[[...]]"


def in_a_process(source: str) -> subprocess.CompletedProcess[str]:
    setup = (
        "import logging, os\nfrom goque.telemetry import logs\n"
        "logs.configure('worker', log_format='console', level='info')\n"
    )
    return subprocess.run([sys.executable, "-c", setup + source], capture_output=True, text=True, check=True)


def test_a_closed_stderr_costs_the_line_only() -> None:
    done = in_a_process("os.close(2)\nlogging.getLogger('goque').error('unheard')\nprint('alive')")
    assert (done.stdout, done.stderr) == ("alive\n", "")


def test_a_pipe_without_reader_costs_the_line_only() -> None:
    source = (
        "r, w = os.pipe(); os.close(r); os.dup2(w, 2)\nlogging.getLogger('goque').error('x')\nprint('alive')"
    )
    assert in_a_process(source).stdout == "alive\n"


@pytest.mark.parametrize(("log_format", "level"), [("xml", "info"), ("json", "loud"), ("console", "notset")])
def test_an_unknown_format_or_level_is_refused(log_format: str, level: str) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        logs.configure("x", log_format=log_format, level=level)


def test_repeats_within_a_period_are_counted_and_held_back(capfd: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    logger = console()
    limit = RateLimited(60, clock=lambda: now[0])
    logger.addFilter(limit)
    try:
        for second in (0, 1, 59, 60, 61, 200):
            now[0] = second
            logger.warning("database is down: %s", second)
            logger.warning("another")
    finally:
        logger.removeFilter(limit)
    lines = [line[13:] for line in capfd.readouterr().err.splitlines() if "another" not in line]
    assert lines == [
        "WARN  fetcher[send_email] database is down: 0",
        "WARN  fetcher[send_email] database is down: 60 repeats=2",
        "WARN  fetcher[send_email] database is down: 200 repeats=1",
    ]


def test_repeats_are_told_apart_by_a_field(capfd: pytest.CaptureFixture[str]) -> None:
    logger = json_logger()
    limited = RateLimited(period=60, clock=lambda: 0.0, field="job")
    logger.addFilter(limited)
    try:
        for job in ("nightly", "weekly", "nightly"):
            logger.error("%s", "it failed", extra={"job": job})
        logger.error("%s", "without the field")
    finally:
        logger.removeFilter(limited)
    assert [json.loads(line).get("job") for line in capfd.readouterr().err.splitlines()] == [
        "nightly",
        "weekly",
        None,
    ]


def test_the_limit_on_repeats_has_bounded_memory() -> None:
    limit = RateLimited(60)
    for number in range(5000):
        assert limit.filter(logging.makeLogRecord({"msg": f"message {number}"}))
    assert len(limit._seen) <= RateLimited.MAX_MESSAGES


def test_one_event_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    monkeypatch.setattr(os, "write", lambda _fd, data: writes.append(bytes(data)) or len(data))
    console().info("x" * 10_000)
    assert len(writes) == 1
