"""The page on testing on servers tells the truth: its tests pass on a PostgreSQL, with the fixtures of the plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from page_app import DOCS, clean_environment
from page_database import PostgresqlShop

PAGE = "testing_on_servers.md"


@pytest.fixture
def server() -> Iterator[str]:
    try:
        shop = PostgresqlShop()
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO SERVER, run `scripts/services up`: {str(error).strip()}")
    yield shop.url
    shop.drop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    text = (DOCS / PAGE).read_text("utf-8")
    for name, block in re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        (tmp_path / name).write_text(block, "utf-8")
    return tmp_path


def run_pytest(project: Path, url: str | None) -> str:
    named = {"GOQUE_TEST_DATABASE_URL": url} if url else {}
    outside = {name: value for name, value in clean_environment().items() if "XDIST" not in name}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=project,
        env=outside | named,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_tests_of_the_page_pass_on_a_server(project: Path, server: str) -> None:
    assert "3 passed" in run_pytest(project, server)


def test_without_the_fixture_of_the_page_they_pass_too(project: Path, server: str) -> None:
    (project / "conftest.py").unlink()
    assert "3 passed" in run_pytest(project, server)


def test_they_are_skipped_without_a_server(project: Path) -> None:
    assert "3 skipped" in run_pytest(project, None)
