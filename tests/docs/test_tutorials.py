"""The pages for beginners, followed to the letter: each command prints what its page shows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_database import PostgresqlShop
from tutorial import Walk

from goque.storage.sql.migrate import TABLES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_five_minutes_on_sqlite(tmp_path: Path) -> None:
    done = Walk(DOCS / "getting_started.md", tmp_path).run()
    assert [line.split()[1] for line in done if line.startswith("goque ")] == [
        *(
            "--version",
            "migrate",
            "check",
            "enqueue",
            "stats",
            "supervise",
            "stats",
            "list",
            "show",
            "reset",
            "list",
        )
    ]


def test_an_app_in_several_modules(tmp_path: Path) -> None:
    done = Walk(DOCS / "modules.md", tmp_path).run()
    assert done == ["python shop.py", "goque check app:registry", "goque supervise app:registry --drain"]


def test_alembic_beside_goque_on_one_database(tmp_path: Path) -> None:
    done = Walk(DOCS / "alembic.md", tmp_path).run()
    assert done.count("alembic upgrade head") == 2


def test_the_rights_on_the_page_are_on_every_table() -> None:
    (grant,) = re.findall(
        r"^GRANT .*?^TO",
        (DOCS / "getting_started_postgresql.md").read_text("utf-8"),
        re.DOTALL | re.MULTILINE,
    )
    assert set(re.findall(r"goque_\w+", grant)) == {*TABLES, "goque_migration"}


@pytest.fixture
def postgresql() -> Iterator[PostgresqlShop]:
    shop = PostgresqlShop()
    yield shop
    shop.drop()


def test_on_postgresql(tmp_path: Path, postgresql: PostgresqlShop) -> None:
    Walk(DOCS / "getting_started_postgresql.md", tmp_path, postgresql.url).run()
    assert postgresql.execute("SELECT count(*) FROM orders") == 1
