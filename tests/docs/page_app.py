"""The Python of a page as an app: what a reader who copies it all would have."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parents[2] / "docs"


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("GOQUE_")}


class App:
    """The Python of one page as the module `app` in a directory of its own, beside the tests that the page names."""

    def __init__(self, page: str, directory: Path) -> None:
        self.text = (DOCS / page).read_text("utf-8")
        blocks = re.findall(r"^```python\n(.*?)^```", self.text, re.DOTALL | re.MULTILINE)
        self.directory = directory
        tests = [block for block in blocks if block.startswith("# test_")]
        for test in tests:
            (directory / test.split()[1]).write_text(test, "utf-8")
        (directory / "app.py").write_text("\n\n".join(one for one in blocks if one not in tests), "utf-8")

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, *command], cwd=self.directory, env=clean_environment())

    def run(self, *command: str) -> str:
        return self.run_both(*command).stdout

    def run_both(self, *command: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.directory,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done

    def drain(self) -> set[str]:
        """Enqueue what the page enqueues, run it all, and return the lines that handlers print."""
        return set(self.drain_in_order())

    def drain_in_order(self) -> list[str]:
        self.run("app.py")
        command = ("-m", "goque.cli", "supervise", "app:registry", "--drain", "--log-format", "json")
        told = map(json.loads, self.run_both(*command).stderr.splitlines())
        return [line["event"] for line in told if "stream" in line]

    def tasks(self) -> list[dict[str, Any]]:
        lines = self.run("-m", "goque.cli", "list", "--json").splitlines()
        return [json.loads(line) for line in lines]
