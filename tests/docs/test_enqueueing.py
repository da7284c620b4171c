"""docs/enqueueing.md tells the truth: each of its programs runs, and leaves what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pymysql
import pytest
from page_database import Shop, shop_of

from goque.task_filter import TaskFilter

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "enqueueing.md").read_text("utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)

DJANGO = """
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "shop.db"}}, LOGGING_CONFIG=None
)
import django

django.setup()
"""


def name_of(program: str) -> str:
    """Return what a program is about: the first library that it imports, or the call that it shows."""
    libraries = re.findall(r"^(?:import|from) (\w+)", program, re.MULTILINE)
    calls = re.findall(r"queue\.(\w+)\(", program)
    return "-".join([*(name for name in libraries if name != "goque"), calls[-1]])


@pytest.fixture
def shop(program: str, tmp_path: Path) -> Iterator[Shop]:
    try:
        made = shop_of(program, tmp_path)
    except (psycopg.OperationalError, pymysql.OperationalError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO SERVER, run `scripts/services up`: {str(error).strip()}")
    yield made
    made.drop()


def run(program: str, shop: Shop, folder: Path) -> str:
    text = shop.moved_here(program).replace("timeout=10).result", "timeout=0.1).result")
    if "django" in text:
        text = f"{DJANGO}\n{text}\nplace_order(7)\n"
    (folder / "program.py").write_text(text, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def external_ids(shop: Shop, task_type: str) -> list[str]:
    rows = shop.storage.find_tasks(TaskFilter(task_type=task_type), limit=10_000)
    return sorted(row.external_id for row in rows)


IN_A_TRANSACTION = [program for program in PROGRAMS if "INSERT INTO orders" in program]


@pytest.mark.parametrize("program", IN_A_TRANSACTION, ids=map(name_of, IN_A_TRANSACTION))
def test_a_row_and_its_task_are_there_together(program: str, shop: Shop, tmp_path: Path) -> None:
    run(program, shop, tmp_path)
    assert shop.execute("SELECT count(*) FROM orders") == 1
    assert external_ids(shop, "send_receipt") == ["order-7"]


@pytest.mark.parametrize("program", IN_A_TRANSACTION, ids=map(name_of, IN_A_TRANSACTION))
def test_neither_is_there_when_the_transaction_is_rolled_back(
    program: str, shop: Shop, tmp_path: Path
) -> None:
    last = list(re.finditer(r"^( *).*queue\.enqueue\(.*\n", program, re.MULTILINE))[-1]
    failing = f"{program[: last.end()]}{last[1]}raise SystemExit(0)\n{program[last.end() :]}"
    run(failing, shop, tmp_path)
    assert shop.execute("SELECT count(*) FROM orders") == 0
    assert external_ids(shop, "send_receipt") == []


def test_each_library_that_the_page_names_has_a_program() -> None:
    assert len(IN_A_TRANSACTION) == 7
    for library in ("sqlite3", "psycopg", "pymysql", "sqlalchemy", "django", "sqlalchemy.ext.asyncio"):
        assert any(f"import {library}" in program or f"from {library}" in program for program in PROGRAMS)


ONE, DECLARED, BARE, BACKGROUND, WAITING = (
    program for program in PROGRAMS if program not in IN_A_TRANSACTION
)


@pytest.mark.parametrize("program", [ONE])
def test_the_first_program_adds_what_it_says(shop: Shop, program: str, tmp_path: Path) -> None:
    run(program, shop, tmp_path)
    assert "order-6" in external_ids(shop, "send_receipt")
    assert len(external_ids(shop, "send_receipt")) == 1001


@pytest.mark.parametrize("program", [DECLARED, BARE])
def test_types_that_run_elsewhere_are_enqueued(shop: Shop, program: str, tmp_path: Path) -> None:
    run(program, shop, tmp_path)
    expected = {"send_sms": 1} if program is DECLARED else {"send_receipt": 1, "resize": 1}
    assert {name: len(external_ids(shop, name)) for name in expected} == expected


@pytest.mark.parametrize("program", [BACKGROUND])
def test_the_background_is_drained(shop: Shop, program: str, tmp_path: Path) -> None:
    run(program, shop, tmp_path)
    assert external_ids(shop, "send_receipt") == ["order-7", "order-8", "order-9"]


@pytest.mark.parametrize("program", [WAITING])
def test_a_wait_ends(shop: Shop, program: str, tmp_path: Path) -> None:
    assert run(program, shop, tmp_path) == "not resized yet\n"
