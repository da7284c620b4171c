"""The guides tell the truth: their apps end as they say, and whoever follows them to the letter gets what they show."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from page_app import DOCS, App
from page_database import MysqlShop, PostgresqlShop, Shop, SqliteShop
from tutorial import Walk

from goque.storage import open_storage
from goque.task_row import TaskStatus
from goque_supervisor.settings import ROLES


def ends(app: App) -> dict[str, tuple[str, int]]:
    return {task["external_id"]: (task["status"], task["attempts"]) for task in app.tasks()}


def test_repeatable_handlers_do_no_harm_the_second_time(tmp_path: Path) -> None:
    app = App("delivery.md", tmp_path)
    printed = app.drain()
    for task in app.tasks():
        app.run("-m", "goque.cli", "reset", task["id"])
    app.run("-m", "goque.cli", "supervise", "app:registry", "--drain")
    [charged] = [task for task in app.tasks() if task["type"] == "charge_card"]
    assert printed == {f"charging with the idempotency key {charged['id']}"}
    with closing(sqlite3.connect(tmp_path / "shop.db")) as shop:
        assert shop.execute("SELECT count(*) FROM invoice").fetchone() == (1,)
        assert shop.execute("SELECT pieces FROM stock").fetchone() == (9,)


def test_each_crash_ends_its_own_task_with_the_error_on_the_page(tmp_path: Path) -> None:
    app = App("crash_isolation.md", tmp_path)
    assert app.drain() == {f"fine {number}" for number in range(20)}
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| (?:`(.*)`)? ?\|$", app.text, re.MULTILINE)
    assert {row[0] for row in rows} == {"segfault", "exit", "killed", "hang", "fine"}
    tasks = {task["type"]: task for task in app.tasks()}
    for task_type, status, error in rows:
        assert tasks[task_type]["status"] == status
        assert tasks[task_type]["errors"] == (f"attempt 1: {error}\n" if error else None)


def test_timeouts_are_as_polite_as_the_page_says(tmp_path: Path) -> None:
    app = App("timeouts.md", tmp_path)
    pages = {f"page {number}" for number in range(3)}
    assert app.drain() == {"put back what was borrowed", "telling customers"} | pages
    [polite] = [task for task in app.tasks() if task["type"] == "polite"]
    assert polite["errors"] == "attempt 1: task processing timeout: 0.3s\n"


def test_heavy_work_is_done(tmp_path: Path) -> None:
    assert {line.split()[0] for line in App("cpu_heavy.md", tmp_path).drain()} == set("01234567")


def test_what_was_imported_is_shared_by_workers(tmp_path: Path) -> None:
    said = App("memory.md", tmp_path).drain()
    assert "answer 42" in said
    assert {line.partition("loaded")[2] for line in said - {"answer 42"}} == {" in this process: False"}


def test_old_and_new_payloads_reach_the_same_handler(tmp_path: Path) -> None:
    assert App("upgrading.md", tmp_path).drain() == {
        "ada@example.com old en",
        "ada@example.com new cs",
        "bob@example.com newer en",
    }


@pytest.mark.parametrize(
    ("page", "printed"), [("from_celery.md", "delivered 7"), ("from_rq.md", "receipt for 7")]
)
def test_the_app_beside_another_queue_runs_now_and_in_an_hour(
    page: str, printed: str, tmp_path: Path
) -> None:
    app = App(page, tmp_path)
    assert app.drain() == {printed}
    assert sorted(task["status"] for task in app.tasks()) == ["done", "new"]


def test_the_canvases_of_celery_are_flows_that_return_what_theirs_do(tmp_path: Path) -> None:
    program = (
        "import app, goque\n"
        "flows = app.canvas()\n"
        "app.registry.queue.drain_inline(app.registry)\n"
        "for flow in flows:\n"
        "    state = app.registry.queue.get_flow(flow.id)\n"
        "    needed = {need for needs in state.needs.values() for need in needs}\n"
        "    print(state.name, state.status, len(state.tasks), len(needed))\n"
        "chord = app.registry.queue.get_flow(flows[2].id)\n"
        "print([task.result for task in chord.tasks if task.type == 'add'][-1])\n"
    )
    told = App("from_celery.md", tmp_path).run("-c", program)
    shapes = ["chain done 3 2", "group done 10 0", "chord done 12 11", "link done 3 1", "chunks done 10 0"]
    assert told.splitlines() == [*shapes, str(2 * sum(range(10)))]


@pytest.mark.parametrize("page", ["outbox.md", "flask.md"])
def test_who_follows_the_guide_gets_what_it_shows(page: str, tmp_path: Path) -> None:
    assert len(Walk(DOCS / page, tmp_path).run()) >= 2


def blocks_of_sql(page: str, verb: str) -> list[str]:
    blocks = re.findall(r"^```sql\n(.*?)^```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [block for block in blocks if block.startswith(verb)]


@pytest.fixture(params=[PostgresqlShop, MysqlShop, SqliteShop])
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    made = SqliteShop(tmp_path) if request.param is SqliteShop else request.param()
    yield made
    made.drop()


def test_a_task_that_sql_inserts_is_run(shop: Shop, tmp_path: Path) -> None:
    kinds = [PostgresqlShop, MysqlShop, SqliteShop]
    [insert] = [
        sql
        for sql, kind in zip(blocks_of_sql("table.md", "INSERT"), kinds, strict=True)
        if kind is type(shop)
    ]
    shop.execute(insert)
    (tmp_path / "app.md").write_text(APP_FOR_SQL, "utf-8")
    app = App(str(tmp_path / "app.md"), tmp_path)
    told = app.run_both("-m", "goque.cli", "supervise", "app:registry", "--drain", "--database-url", shop.url)
    assert "mail to ada@example.com" in told.stderr
    assert shop.execute("SELECT count(*) FROM goque_task WHERE status = 'done'") == 1


APP_FOR_SQL = """
```python
import goque

registry = goque.Registry()


@registry.processor("send_email", workers=1)
def send_email(task):
    print("mail to", task.payload["to"])
```
"""


@pytest.mark.parametrize("page", ["table.md", "postgresql_tuning.md", "troubleshooting.md"])
def test_the_questions_in_sql_are_answered_by_postgresql(page: str) -> None:
    shop = PostgresqlShop()
    try:
        for sql in blocks_of_sql(page, "SELECT") + blocks_of_sql(page, "DELETE"):
            shop.execute(sql)
    finally:
        shop.drop()


def test_the_columns_on_the_page_are_those_of_the_tables(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path}/goque.db")
    storage.migrate()
    storage.close()
    text = (DOCS / "table.md").read_text("utf-8")
    tasks, others = text.split("## The others")
    with closing(sqlite3.connect(tmp_path / "goque.db")) as database:
        there = {
            table: [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
            for (table,) in database.execute(
                "SELECT name FROM sqlite_schema WHERE name LIKE 'goque%' AND type = 'table'"
            )
        }
        for query in blocks_of_sql("table.md", "SELECT") + blocks_of_sql("troubleshooting.md", "DELETE"):
            database.execute(query)
    assert re.findall(r"^\| `(\w+)` \|", tasks, re.MULTILINE) == there["goque_task"]
    told = dict(re.findall(r"^\| `(goque_\w+)` \|.*?\| (.*) \|$", others, re.MULTILINE))
    assert told.keys() == there.keys() - {"goque_task"}
    for table in told.keys() - {"goque_type"}:
        assert re.findall(r"`(\w+)`", told[table]) == [
            name for name in there[table] if name != "id" or table != "goque_attempt"
        ]


PAGES_WITH_PYTHON = sorted(
    path.name for path in DOCS.glob("*.md") if "```python\n" in path.read_text("utf-8")
)


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON)
def test_the_python_of_every_page_is_run_by_a_test(page: str) -> None:
    stem = page.removesuffix(".md")
    tests = [path.read_text("utf-8") for path in DOCS.parent.glob("tests/**/test_*.py")]
    assert any(f'"{page}"' in text or f'"{stem}"' in text for text in tests), (
        f"no test names {page}: run what it shows, see test_guides.py"
    )


def test_the_life_of_a_task_is_told_and_drawn_with_every_status() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| .* \| (yes)? ?\|$", (DOCS / "life.md").read_text("utf-8"), re.MULTILINE
    )
    assert {name: bool(ended) for name, ended in rows} == {
        status.value: status.is_terminal for status in TaskStatus
    }
    picture = (DOCS / "life.svg").read_text("utf-8")
    assert [status for status in TaskStatus if f">{status}<" not in picture] == []


def test_the_tree_is_told_with_every_role_that_a_supervisor_runs() -> None:
    page = (DOCS / "tree.md").read_text("utf-8")
    told = re.findall(r"^\| (\w+)(?:, .*?)? \| .* \| .* \|$", page, re.MULTILINE)
    assert {"root", "guard", "nurseries", "lease", "fetcher", "worker"} <= set(told)
    assert set(told) >= set(ROLES) - {"processors"}
