"""Every example runs, as its own README says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(*command: str, cwd: Path, stdin: str | None = None) -> str:
    """Run a command that must succeed, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_has_a_test() -> None:
    assert [path.name for path in EXAMPLES.iterdir() if (path / "README.md").exists()] == ["highlight_stdlib"]


def test_highlight_stdlib_renders_all_but_the_broken_file(tmp_path: Path) -> None:
    told = run("run.py", "--every", "25", "--out", str(tmp_path), cwd=EXAMPLES / "highlight_stdlib")
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) >= 20
    assert f"{len(pages)} pages, one file refused, one handler crashed, nothing else hurt" in told
    assert "speed-up" in told
    assert "can't decode byte 0xc9" in told
    assert "signal:        11 (SIGSEGV)" in told
    assert "in segfault" in told


def test_highlight_stdlib_starts_afresh(tmp_path: Path) -> None:
    first = run("run.py", "--every", "200", "--out", str(tmp_path), cwd=EXAMPLES / "highlight_stdlib")
    again = run("run.py", "--every", "200", "--out", str(tmp_path), cwd=EXAMPLES / "highlight_stdlib")
    assert first.splitlines()[-1] == again.splitlines()[-1]
    assert not list(tmp_path.rglob("tmp*")), "a page was left half written"


def test_highlight_stdlib_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOQUE_DATABASE_URL", f"sqlite:///{tmp_path}/goque.db")
    here = EXAMPLES / "highlight_stdlib"
    payloads = [json.loads(line) for line in run("sources.py", cwd=here).splitlines()]
    assert payloads[-1]["file"].endswith("not_utf8.txt")
    payloads = [{**payload, "page": str(tmp_path / f"{n}.html")} for n, payload in enumerate(payloads[-5:])]
    lines = "".join(json.dumps(payload) + "\n" for payload in payloads)
    assert run("-m", "goque.cli", "enqueue", "highlight", "--jsonl", "-", cwd=here, stdin=lines).endswith(
        "enqueued 5 tasks\n"
    )
    run("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=here)
    counts = run("-m", "goque.cli", "stats", "--json", cwd=here).splitlines()
    assert {json.loads(line)["status"]: json.loads(line)["count"] for line in counts} == {
        "attempts_left": 1,
        "done": 4,
    }
