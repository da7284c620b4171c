"""The page on logging tells the truth: each way of logging comes out as it says, once, with its task."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from page_app import App

PAGE = "logging.md"
HANDLER = """
import goque, sys
from pathlib import Path
registry = globals().get("registry") or goque.Registry()

@registry.processor("send_email", max_attempts=1)
def send_email(to: str) -> None:
    LOG
    raise ConnectionError("no such host")
"""


def blocks(app: App) -> dict[str, str]:
    """Return the Python of the page by the comment that begins it."""
    found = re.findall(r"^```python\n# ([^\n]*)\n(.*?)^```", app.text, re.DOTALL | re.MULTILINE)
    return dict(found)


def told(app: App, source: str, *options: str) -> list[dict[str, Any]]:
    """Run a task of this source; return the JSON lines of the app, and other lines as events without a task."""
    (app.directory / "app.py").write_text(source, "utf-8")
    app.run("-m", "goque.cli", "enqueue", "send_email", '"ada@example.com"')
    command = ("-m", "goque.cli", "supervise", "app:registry", "--drain", "--log-format", "json", *options)
    lines = app.run_both(*command).stderr.splitlines()
    events = [json.loads(line) if line.startswith("{") else {"role": "", "event": line} for line in lines]
    return [event for event in events if event["role"] in ("worker", "")]


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(PAGE, tmp_path)


def test_the_first_example_logs_what_the_page_shows(app: App) -> None:
    shown = re.findall(
        r"^\S+ INFO  worker\[default\] (.*?) task_type=.* attempt=1(.*)$", app.text, re.MULTILINE
    )
    events = told(app, blocks(app)["app.py"])
    assert [f"app: {line['event']}" if "logger" in line else line["event"] for line in events] == [
        event for event, _fields in shown
    ]
    assert {(line["task_type"], line["attempt"]) for line in events} == {("send_email", 1)}
    assert events[-1].keys() == json.loads(app.text.partition("```json\n")[2].partition("\n")[0]).keys()
    fine = told(app, blocks(app)["app.py"], "--log-level", "debug")
    assert "only with --log-level debug" in [line["event"] for line in fine]


@pytest.mark.parametrize(
    ("block", "log", "wanted"),
    [
        ("dictConfig", "logging.getLogger('shop').info('sent', extra={'n': 1})", {"logger": "shop", "n": 1}),
        ("structlog", "log.info('sent', n=1)", {"logger": "shop", "n": 1}),
        ("loguru", "logger.bind(n=1).info('sent')", {"logger": "app", "extra": {"n": 1}}),
    ],
)
def test_other_ways_of_logging_give_one_line_with_the_task(
    app: App, block: str, log: str, wanted: dict[str, Any]
) -> None:
    (line,) = told(app, blocks(app)[block] + HANDLER.replace("LOG", log))
    assert (line["event"], line["task_type"], line["attempt"]) == ("sent", "send_email", 1)
    assert wanted.items() <= line.items()


def test_a_filter_adds_the_task_to_a_format_of_the_apps_own(app: App) -> None:
    (line,) = told(
        app, blocks(app)["a filter"] + HANDLER.replace("LOG", "logging.getLogger('shop').info('sent')")
    )
    assert re.fullmatch(r"INFO [0-9a-f-]{36} sent", line["event"])


def test_what_loguru_logs_with_an_exception_has_its_traceback_once(app: App) -> None:
    log = "\n    try:\n        1 / 0\n    except ZeroDivisionError:\n        logger.exception('oops')"
    (line,) = told(app, blocks(app)["loguru"] + HANDLER.replace("LOG", log))
    assert line["event"] == "oops"
    assert line["exception"].endswith("ZeroDivisionError: division by zero")
