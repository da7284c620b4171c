"""The example of the page on replays ends as the page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from page_app import App, clean_environment


def replay(app: App, *options: str, code: int) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", "goque.cli", "replay", *options, "--app", "app:registry"],
        cwd=app.directory,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines()


def test_the_task_of_the_page_fails_and_is_fixed_as_it_says(tmp_path: Path) -> None:
    app = App("replay.md", tmp_path)
    assert app.drain() == set()
    printed = replay(app, "order-7", code=1)
    for line in (
        "    ZeroDivisionError: division by zero",
        '        return {"total": sum(prices), "mean": sum(prices) / len(prices)}',
        "  compared:      the same failure as attempt 1 in the table",
        "nothing was written to goque's tables",
    ):
        assert line in printed
        assert line in app.text
    source = (tmp_path / "app.py").read_text("utf-8")
    (tmp_path / "app.py").write_text(source.replace("/ len(prices)", "/ max(1, len(prices))"), "utf-8")
    printed = replay(app, "order-7", code=0)
    for line in (
        '  result:        {"total":0,"mean":0.0}',
        "  would have been enqueued with its end:",
        '    archive  {"order":7}',
    ):
        assert line in printed
        assert line in app.text
    [header, row, summary] = replay(app, "--failed", "--type", "invoice", code=0)
    assert header in app.text
    assert row.startswith("fixed  ")
    assert summary.startswith("1 task replayed: 1 fixed, 0 same failure, 0 new failure")
