"""The pages of docs/ tell the truth: their Python runs, their tables are the code's, their links lead somewhere."""

from __future__ import annotations

import json
import re
import runpy
import sqlite3
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from page_app import App

import goque
from goque import retry
from goque.callbacks import CODE_OPTIONS
from goque.options import _CHECKS, ProcessorOptions, _duration_or_zero, _optional_duration, check_duration
from goque.pools.options import PoolOptions

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
APPS = [
    f"{name}.md"
    for name in [
        "handlers",
        "unique_tasks",
        "limits",
        "flows",
        "steps",
        "replay",
        "payloads",
        "asyncio",
        "context",
        "retries",
        "priorities",
        "results",
        "periodic",
        "upkeep",
        "observability",
        "delivery",
        "crash_isolation",
        "timeouts",
        "cpu_heavy",
        "memory",
        "upgrading",
        "from_celery",
        "from_rq",
        "when_to_use",
    ]
]
PAGES = sorted(path.name for path in DOCS.glob("*.md"))


@pytest.mark.parametrize("page", APPS)
def test_the_python_of_a_page_is_an_app_that_would_run(page: str, tmp_path: Path) -> None:
    app = App(page, tmp_path)
    app.run("-m", "goque.cli", "migrate", "--app", "app:registry")
    assert "app       app:registry imports" in app.run("-m", "goque.cli", "check", "app:registry")


def test_the_tasks_of_the_page_on_handlers_end_as_it_says(tmp_path: Path) -> None:
    app = App("handlers.md", tmp_path)
    printed = app.drain()
    assert printed >= {
        "hello Ada",
        "to 640",
        "email to ada@example.com at attempt 1",
        "report 11 asked for as november",
        "+420 123",
        "cleaning up",
        "begins order-7",
        "ended order-7 by ValueError",
    }
    tasks = app.tasks()
    ends = {task["external_id"]: (task["status"], task["attempts"]) for task in tasks}
    assert ends["closed"] == ("canceled", 0)
    assert ends["busy"] == ("done", 2)
    assert ends["order-7"] == ("attempts_left", 1)
    by_type = {(task["type"], task["status"]): task for task in tasks}
    assert "payload does not decode" in by_type["send_email", "canceled"]["errors"]
    assert by_type["render", "attempts_left"]["errors"] == "attempt 1: task processing timeout: 0.2s\n"
    assert by_type["count", "done"]["result"] == {"a": 2, "b": 1}


def test_the_values_of_the_page_on_context_arrive(tmp_path: Path) -> None:
    assert App("context.md", tmp_path).drain() == {"for acme in cs", "logged for acme"}


def test_the_payloads_of_their_page_become_what_it_says(tmp_path: Path) -> None:
    app = App("payloads.md", tmp_path)
    assert app.drain() == {
        "order of 2026 for 5.75",
        "to 640",
        "to Main St",
        "through 3 4",
        "invoice 7",
        "invoice 8",
        "hello Ada",
    }
    tasks = {task["external_id"]: task for task in app.tasks()}
    assert tasks["bad"]["errors"] in app.text
    assert tasks["no name"]["status"] == "canceled"


def test_the_coroutines_of_the_page_on_asyncio_end_as_it_says(tmp_path: Path) -> None:
    app = App("asyncio.md", tmp_path)
    expected = {f"fetched {page} then parse" for page in range(3)} | {f"parsed {page}" for page in range(3)}
    assert app.drain() == expected | {"put things back"}
    [slow] = [task for task in app.tasks() if task["type"] == "slow"]
    assert slow["errors"] == "attempt 1: task processing timeout: 0.2s\n"


def test_the_tasks_of_the_page_on_priorities_run_in_its_order(tmp_path: Path) -> None:
    app = App("priorities.md", tmp_path)
    assert app.drain_in_order() == ["email password 100", "email receipt 5", "email newsletter -10"]


def test_the_page_on_unique_tasks_prints_what_it_says(tmp_path: Path) -> None:
    app = App("unique_tasks.md", tmp_path)
    assert f"```text\n{app.run('app.py')}```" in app.text


def test_the_limits_of_their_page_hold_back_what_it_says(tmp_path: Path) -> None:
    app = App("limits.md", tmp_path)
    mails = {f"mail to {reader}" for reader in ("ada", "bob", "cleo")}
    pages = {"sync bolt 0"} | {f"sync acme {number}" for number in range(7)}
    printed = app.drain()
    assert printed - mails == pages | {"called for idle"}
    assert len(printed & mails) == 2
    left = [task for task in app.tasks() if task["status"] != "done"]
    assert {(task["type"], task["status"], task["attempts"]) for task in left} == {
        ("newsletter", "new", 0),
        ("call", "new", 0),
    }
    assert len(left) == 2
    told = app.run("-c", "import app; app.at_night(); app.in_the_morning()")
    assert f"These print `{'` and `'.join(told.splitlines())}`" in app.text


def test_the_flows_of_their_page_end_as_it_says(tmp_path: Path) -> None:
    app = App("flows.md", tmp_path)
    failing = app.run("app.py").strip()
    command = ("-m", "goque.cli", "supervise", "app:registry", "--drain", "--log-format", "json")
    told = [json.loads(line) for line in app.run_both(*command).stderr.splitlines()]
    printed = {line["event"] for line in told if "stream" in line}
    expected = {"registered ada", "welcome ada", "report of monday 42", "tidy monday mail_report done None"}
    assert printed >= expected
    [tidied] = printed - expected
    cause = "needs add_up ID: needs fetch_sales ID: ConnectionError: oslo does not answer"
    assert re.sub(r"[0-9a-f-]{36}", "ID", tidied) == f"tidy tuesday mail_report canceled {cause}"
    errors = "".join(task["errors"] for task in app.tasks() if task["status"] == "canceled")
    assert sorted(re.findall(r"^canceled: needs .*", app.text, re.MULTILINE)) == sorted(
        re.sub(r"[0-9a-f-]{36}", "0198d0f2-…", errors).splitlines()
    )
    waiting = {task["type"] for task in app.tasks() if task["status"] == "new"}
    assert waiting == {"remind"}
    assert app.run("-c", f"import app; print(app.watch({failing!r}))") == (
        "['report of tuesday', 'failed', 'fetch_sales']\n"
    )
    assert app.run("-c", f"import app; print(app.try_again({failing!r}))") == "open\n"
    again = {task["type"] for task in app.tasks() if task["status"] == "blocked"}
    assert again == {"add_up", "mail_report"}


def test_what_else_the_page_on_flows_enqueues_runs(tmp_path: Path) -> None:
    app = App("flows.md", tmp_path)
    app.run("-m", "goque.cli", "migrate", "--app", "app:registry")
    program = (
        "import app, goque\n"
        "queue = app.registry.queue\n"
        "flow = app.close_day('friday', ['prague'])\n"
        "queue.enqueue('nightly', 'sunday')\n"
        "queue.drain_inline(app.registry)\n"
        "late = app.after(flow.tasks[0].id)\n"
        "queue.drain_inline(app.registry)\n"
        "print([queue.get_flow(each.id).status for each in (flow, late)])\n"
        "try:\n"
        "    app.close_day('friday', ['tokyo'])\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, len(queue.get_tasks(goque.TaskFilter(task_type='fetch_sales'))))\n"
    )
    assert app.run("-c", program).splitlines() == [
        "report of friday 30",
        "tidy friday mail_report done None",
        "report of sunday 42",
        "tidy sunday mail_report done None",
        "['done', 'done']",
        "IntegrityError 3",
    ]


def test_the_steps_of_their_page_are_run_once_and_end_as_it_says(tmp_path: Path) -> None:
    app = App("steps.md", tmp_path)
    printed = Counter(app.drain_in_order())
    pages = Counter({f"recognise page {number}": 2 if number == 2 else 1 for number in range(4)})
    others = ["download https://example.com/contract.tiff", "pages 201 plain 202", "mail about order 7"]
    assert printed == pages + Counter([*others, "letter to ada", "letter to bob"])
    tasks = {task["type"]: task for task in app.tasks()}
    assert f"```text\n{tasks['ocr']['errors']}```" in app.text
    assert tasks["ocr"]["result"] == sum(200 + number for number in range(4))
    assert tasks["translate"]["result"] == ["text in cs", "text in de"]
    ended = {name: task["status"] for name, task in tasks.items() if name != "publish"}
    assert set(ended.values()) == {"done"}
    assert (tasks["publish"]["status"], tasks["publish"]["attempts"]) == ("new", 0)
    with closing(sqlite3.connect(tmp_path / "goque.db")) as database:
        assert database.execute("SELECT number FROM invoice").fetchall() == [(7,)]


def test_a_signal_of_the_page_on_steps_lets_its_handler_go_on(tmp_path: Path) -> None:
    app = App("steps.md", tmp_path)
    app.run("-m", "goque.cli", "migrate", "--app", "app:registry")
    program = (
        "import app\n"
        "from goque.testing import frozen_time\n"
        "queue = app.registry.queue\n"
        "read, unread = app.publish.enqueue(), app.publish.enqueue()\n"
        "with frozen_time(queue) as clock:\n"
        "    queue.drain_inline(app.registry)\n"
        "    clock.advance(3600)\n"
        "    queue.drain_inline(app.registry)\n"
        "    print(app.approve(read.id, 'ada'), app.approve(read.id, 'bob'))\n"
        "    queue.drain_inline(app.registry)\n"
        "    clock.advance(86400)\n"
        "    queue.drain_inline(app.registry)\n"
        "for task in (read, unread):\n"
        "    print(queue.get_task(task.id).result)\n"
    )
    assert app.run("-c", program).splitlines() == [
        "True False",
        "a draft, approved by ada",
        "a draft, which nobody has read",
    ]


def test_the_tests_of_the_page_on_steps_pass(tmp_path: Path) -> None:
    app = App("steps.md", tmp_path)
    app.run("-m", "goque.cli", "migrate", "--app", "app:registry")
    assert "2 passed" in app.run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py")


def test_the_picture_of_the_flow_is_what_the_script_draws() -> None:
    draw = runpy.run_path(str(ROOT / "scripts" / "draw_flow_ends.py"))["draw"]
    assert (DOCS / "flows.svg").read_text("utf-8") == draw()


def test_the_picture_of_the_turns_is_what_the_script_draws() -> None:
    draw = runpy.run_path(str(ROOT / "scripts" / "draw_limits.py"))["draw"]
    assert (DOCS / "limits.svg").read_text("utf-8") == draw()


def test_the_table_of_rates_is_what_the_algorithm_grants() -> None:
    text = (DOCS / "limits.md").read_text("utf-8")
    rows = re.findall(r"^\| `Rate\((.*)\)` \| (\S+) s\b.*? \| (\d+)", text, re.MULTILINE)
    assert len(rows) == 4
    for given, interval, most in rows:
        rate = eval(f"Rate({given})", {"Rate": goque.Rate})
        assert rate.interval == float(interval)
        assert (rate.burst or rate.count) + rate.count * 60 / rate.per == int(most)


def test_the_results_of_their_page_are_kept_and_waited_for(tmp_path: Path) -> None:
    app = App("results.md", tmp_path)
    assert app.run("app.py") == "nobody has counted yet\n"
    app.run("-m", "goque.cli", "supervise", "app:registry", "--drain")
    large, counted = app.tasks()
    assert counted["result"] == {"a": 2, "b": 1}
    assert '{"a":2,"b":1}' in app.run("-m", "goque.cli", "show", counted["id"])
    said = large["errors"].partition("attempt 1: ")[2].strip()
    assert said in " ".join(app.text.split())


def test_the_cleaner_of_the_page_on_upkeep_deletes_what_it_says(tmp_path: Path) -> None:
    app = App("upkeep.md", tmp_path)
    app.drain()
    tree = app.start("-m", "goque.cli", "supervise", "app:registry")
    try:
        deadline = time.monotonic() + 30
        while len(tasks := app.tasks()) > 1:
            assert time.monotonic() < deadline, tasks
    finally:
        tree.terminate()
        assert tree.wait(60) == 0
    assert [task["external_id"] for task in tasks] == ["failed, and kept"]


def test_the_tasks_of_the_page_on_retries_end_as_it_says(tmp_path: Path) -> None:
    app = App("retries.md", tmp_path)
    app.drain()
    ends = {task["external_id"]: (task["status"], task["attempts"]) for task in app.tasks()}
    assert ends == {
        "no file": ("attempts_left", 1),
        "no sense": ("attempts_left", 1),
        "no line": ("attempts_left", 5),
    }


def options_on_the_page(
    page: str = "handlers.md", title: str = "## All options"
) -> dict[str, tuple[str, str]]:
    text = (DOCS / page).read_text("utf-8").partition(title)[2]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|", text, re.MULTILINE)
    return {name: (default.strip("`"), unit) for name, default, unit in rows}


def test_the_table_of_options_is_that_of_the_code() -> None:
    assert set(options_on_the_page()) == _CHECKS.keys() | CODE_OPTIONS


@pytest.mark.parametrize("name", sorted(_CHECKS))
def test_an_option_has_the_default_and_the_unit_that_the_page_says(name: str) -> None:
    default, unit = options_on_the_page()[name]
    value = getattr(ProcessorOptions(), name)
    expected = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    assert default == expected
    durations = (check_duration, _duration_or_zero, _optional_duration)
    assert (unit == "seconds") == (_CHECKS[name] in durations)


def test_the_table_of_the_options_of_pools_is_that_of_the_code() -> None:
    table = options_on_the_page("pools.md", "## Options")
    defaults = PoolOptions()
    named = {"workers": "CPUs", "min_workers": "1"}
    assert table.keys() == set(PoolOptions.__struct_fields__)
    for name, (default, unit) in table.items():
        value = getattr(defaults, name)
        expected = "none" if value is None else f"{value:g}"
        assert default == named.get(name, expected)
        assert (unit == "seconds") == isinstance(value, float)


def test_the_strategy_by_default_is_the_one_on_the_page() -> None:
    for name in ("retry", "next_attempt_at"):
        written = options_on_the_page()[name][0]
        assert written == "exponential(10, 3600, 0.1, factor=6)"
        assert ProcessorOptions().strategy == retry.exponential(10, 3600, 0.1, factor=6)


def test_the_picture_of_the_strategies_is_what_the_script_draws(tmp_path: Path) -> None:
    draw = runpy.run_path(str(ROOT / "scripts" / "draw_retries.py"))["draw"]
    assert (DOCS / "retries.svg").read_text("utf-8") == draw()


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_titles_that_there_are(page: str) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text("utf-8")):
        if link.startswith(("https://", "http://")):
            continue
        name, _, anchor = link.partition("#")
        target = (DOCS / name) if name else DOCS / page
        assert target.exists(), f"{page} points to {link}, which is not there"
        assert not anchor or anchor in anchors(target), f"{page} points to {link}, a title that is not there"


@pytest.mark.parametrize("page", PAGES)
def test_the_rows_of_a_table_have_as_many_cells_as_its_rule(page: str) -> None:
    for table in re.findall(r"(?:^\|.*\n)+", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table


def test_every_page_is_reached_from_the_index() -> None:
    reached, waiting = {"index.md"}, ["index.md"]
    while waiting:
        text = (DOCS / waiting.pop()).read_text("utf-8")
        new = {name for name in re.findall(r"\]\(([\w/]+\.md)", text) if name in PAGES} - reached
        reached |= new
        waiting += new
    assert set(PAGES) - reached == set()


def test_the_app_of_the_index_runs(tmp_path: Path) -> None:
    assert App("index.md", tmp_path).drain() == {"mail to ada@example.com"}
