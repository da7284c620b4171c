"""The page about failures tells the truth: its app fails in the groups that it shows."""

from __future__ import annotations

import json
import re
from pathlib import Path

from page_app import App


def test_the_app_of_the_page_fails_in_the_groups_that_it_shows(tmp_path: Path) -> None:
    app = App("failures.md", tmp_path)
    assert app.drain() == {"resized to 800"}
    told = app.run("-m", "goque.cli", "failures", "--json").splitlines()
    groups = {group["type"]: group for group in map(json.loads, told)}
    shown = re.findall(r"^    (\w+) at (.*)\n    (.*), as in task", app.text, re.MULTILINE)
    assert [(groups[name]["error_class"], groups[name]["line"]) for name in ("send_email", "resize")] == [
        (error_class, line) for error_class, line, _error in shown
    ]
    assert groups["send_email"]["error"] == shown[0][2]
    assert {name: group["count"] for name, group in groups.items()} == {"send_email": 3, "resize": 2}
    assert {group["last_version"] for group in groups.values()} == {"1.4.0"}
    reset = app.run(
        "-m", "goque.cli", "reset", "--failure", groups["send_email"]["group"], "--per-second", "1"
    )
    assert reset == "reset 3 tasks; the last is due in 2s\n"
