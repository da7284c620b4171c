"""The page about stacks tells the truth: its app, looked at, does what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from eventually import eventually
from page_app import App, clean_environment


def test_a_look_at_the_app_of_the_page_shows_what_the_page_shows(tmp_path: Path) -> None:
    app = App("stack.md", tmp_path)
    goque = ("-m", "goque.cli")
    app.run(
        *goque, "enqueue", "crawl", '"https://example.com"', "--external-id", "slow", "--app", "app:registry"
    )
    tree = subprocess.Popen(
        [sys.executable, *goque, "supervise", "app:registry", "--shutdown-timeout", "0"],
        cwd=tmp_path,
        env=clean_environment(),
    )
    try:
        eventually(lambda: app.tasks()[0]["status"] == "processing", within=30)
        printed = app.run(*goque, "stack", "slow", "--app", "app:registry")
        from_python = app.run("-c", "import app; print(app.what_runs())")
    finally:
        tree.terminate()
        assert tree.wait(30) == 0
    [shown] = re.findall(r"^\$ goque stack slow\n(.*?)^```", app.text, re.DOTALL | re.MULTILINE)
    assert (
        _without_what_differs(printed) == _without_what_differs(from_python) == _without_what_differs(shown)
    )


def _without_what_differs(text: str) -> list[str]:
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", text)
    text = re.sub(r"running for [\d.]+ s", "running for SECONDS s", text)
    text = re.sub(r"on \S+, worker pid \d+", "on HOST, worker pid PID", text)
    return re.sub(r'File ".*/app.py"', 'File "app.py"', text).strip().splitlines()
