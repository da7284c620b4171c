"""The page on Sentry tells the truth: its app reports each failure once, and its hook reports frames with variables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_app import App

TRANSPORT = """
import os
import sentry_sdk.transport
class Transport(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        for item in envelope.items:
            event = item.get_event()
            frames = event["exception"]["values"][-1]["stacktrace"]["frames"] if "exception" in event else [{}]
            told = event.get("message"), event["tags"], event.get("fingerprint"), frames[-1].get("vars")
            os.write(2, f"sentry {told}\\n".encode())
"""


@pytest.fixture
def app(tmp_path: Path) -> App:
    made = App("sentry.md", tmp_path)
    for name, text in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", made.text, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(text, "utf-8")
    source = (tmp_path / "app.py").read_text("utf-8")
    told = source.replace("init()", "init(dsn='https://key@localhost/1', transport=Transport)")
    (tmp_path / "app.py").write_text(TRANSPORT + told, "utf-8")
    return made


def events(app: App, registry: str) -> list[str]:
    command = ("-m", "goque.cli", "supervise", registry, "--drain", "--log-level", "critical")
    return [line for line in app.run_both(*command).stderr.splitlines() if line.startswith("sentry")]


def test_sentry_gets_the_last_failure(app: App) -> None:
    app.run("app.py")
    (event,) = events(app, "app:registry")
    tags = {"task_type": "send_email", "cause": "failed"}
    error = "send_email: ConnectionError: no such host"
    assert event == f"sentry {(error, tags, ['send_email', 'ConnectionError'], None)}"


def test_the_hook_reports_the_variables_of_the_frame(app: App) -> None:
    source = (app.directory / "app.py").read_text("utf-8")
    without = source.replace("if failure.final", 'if failure.final and failure.cause != "failed"')
    (app.directory / "app.py").write_text(without, "utf-8")
    app.run("-m", "goque.cli", "enqueue", "charge", "7")
    (event,) = events(app, "with_frames:registry")
    assert event == f"sentry {(None, {'task_type': 'charge'}, None, {'amount': '7'})}"
