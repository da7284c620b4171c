"""The README tells the truth: its example runs, its commands exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from goque.cli.group import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def run(*command: str, cwd: Path) -> str:
    return run_both(*command, cwd=cwd).stdout


def run_both(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, *command], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("GOQUE_DATABASE_URL", raising=False)
    example, in_a_transaction, service, its_tests = blocks("python")
    files = {"app.py": example, "order.py": in_a_transaction, "shop.py": service, "test_shop.py": its_tests}
    for name, text in files.items():
        (tmp_path / name).write_text(text, "utf-8")
    return tmp_path


def test_the_example_runs(project: Path) -> None:
    assert run("app.py", cwd=project).startswith("enqueued ")
    log = run_both("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=project).stderr
    assert "INFO  worker[default] to ada@example.com: hello task_type=send_email task_id=" in log


def test_the_example_has_twenty_lines() -> None:
    assert len(blocks("python")[0].splitlines()) <= 22


def test_enqueueing_shares_the_callers_transaction(project: Path) -> None:
    run("app.py", cwd=project)
    run("order.py", cwd=project)
    rows = [json.loads(line) for line in run("-m", "goque.cli", "list", "--json", cwd=project).splitlines()]
    assert rows[0]["external_id"] == "order-7"


def test_the_larger_app_ends_its_flow_in_order(project: Path) -> None:
    run("shop.py", cwd=project)
    log = run_both("-m", "goque.cli", "supervise", "shop:registry", "--drain", cwd=project).stderr
    printed = re.findall(r"worker\[default\] (\w+ .*?) task_type=", log)
    assert printed == ["published holiday with small-cat.jpg small-dog.jpg", "mail to ada@example.com"]


def test_the_tests_of_the_larger_app_pass(project: Path) -> None:
    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py", cwd=project)
    assert "2 passed" in told


def test_the_pictures_are_there() -> None:
    pictures = re.findall(r'src="([^"]+)"', README)
    assert len(pictures) == 2
    assert all((ROOT / picture).exists() for picture in pictures)


def test_every_command_it_names_exists() -> None:
    named = set(re.findall(r"^(?:\$ )?goque (\w+)", README, re.MULTILINE))
    assert named <= set(COMMANDS)
    assert len(named) >= 7


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("https://"):
            assert ((ROOT / page).parent / target).exists(), f"{page} points to {target}, which is not there"
