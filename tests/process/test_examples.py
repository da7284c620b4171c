"""Every example runs, as its own README says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from databases import Database, make_database

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(*command: str, cwd: Path, stdin: str | None = None, code: int = 0, **env: str) -> str:
    """Run a command that must end with an exit code, and return what it printed."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_example_has_a_test() -> None:
    examples = {path.name for path in EXAMPLES.iterdir() if (path / "README.md").exists()}
    tested = {name for name in examples if any(test.startswith(f"test_{name}") for test in globals())}
    assert tested == examples


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
        f"enqueued 5 tasks in sqlite:///{tmp_path}/goque.db\n"
    )
    run("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=here)
    counts = run("-m", "goque.cli", "stats", "--json", cwd=here).splitlines()
    assert {json.loads(line)["status"]: json.loads(line)["count"] for line in counts} == {
        "attempts_left": 1,
        "done": 4,
    }


def test_thumbnails_are_made_but_for_three_files_that_go_wrong(tmp_path: Path) -> None:
    told = run("run.py", "--out", str(tmp_path), cwd=EXAMPLES / "thumbnails")
    assert len(list(tmp_path.glob("thumbnails/*.jpg"))) == 24
    assert (
        "refused: bomb.png: attempt 1: PIL.Image.DecompressionBombError: Image size (25000000 pixels)" in told
    )
    assert "refused: letter.jpg: attempt 1: PIL.UnidentifiedImageError: cannot identify image file" in told
    assert "signal:        7 (SIGBUS)" in told
    assert "in scan" in told
    assert "24 thumbnails, made by 2 processes" not in told, "no worker was replaced for its memory"
    assert "2 refused at once, one crash by a signal, ['scan.pgm'] in quarantine" in told


def test_thumbnails_by_hand(tmp_path: Path) -> None:
    here, url = EXAMPLES / "thumbnails", f"sqlite:///{tmp_path}/goque.db"
    lines = run("pictures.py", str(tmp_path), cwd=here)
    run(
        "-m",
        "goque.cli",
        "enqueue",
        "thumbnail",
        "--jsonl",
        "-",
        cwd=here,
        stdin=lines,
        GOQUE_DATABASE_URL=url,
    )
    run("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=here, GOQUE_DATABASE_URL=url)
    failed = run("-m", "goque.cli", "list", "--status", "failed", cwd=here, GOQUE_DATABASE_URL=url)
    assert [line.split()[2] for line in failed.splitlines()] == ["STATUS", "failed", "failed"]


def test_nightly_reports_of_a_year(tmp_path: Path) -> None:
    told = run("run.py", cwd=EXAMPLES / "nightly_reports", SHOP_DIRECTORY=str(tmp_path))
    assert "nightly-prague    30 2 * * * Europe/Prague" in told
    assert "prague, 2026-03-29: 23.00 in 23 hours" in told
    assert "new-york, 2026-11-01: 25.00 in 25 hours" in told
    assert "As it should be: 1092 reports, none twice" in told
    assert len(list(tmp_path.glob("*/2026-*.txt"))) == 1092


def test_nightly_reports_by_hand(tmp_path: Path) -> None:
    here, url = EXAMPLES / "nightly_reports", f"sqlite:///{tmp_path}/goque.db"
    run("-m", "goque.cli", "migrate", cwd=here, GOQUE_DATABASE_URL=url)
    run("-m", "goque.cli", "run-job", "app:registry", "nightly-prague", cwd=here, GOQUE_DATABASE_URL=url)
    listed = run("-m", "goque.cli", "list", "--json", cwd=here, GOQUE_DATABASE_URL=url)
    assert json.loads(listed)["external_id"].startswith("prague:20")


def test_video_is_joined_although_a_part_crashed(tmp_path: Path) -> None:
    here = EXAMPLES / "video"
    told = run("run.py", "--out", str(tmp_path / "out"), cwd=here)
    assert (
        "As it should be: flow 'encode sea.raw' is done, 1 of 8 parts crashed once, nobody else hurt." in told
    )
    [shown] = re.findall(
        r"^ID  .*?(?=```)", (here / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    listed = [line.split() for line in told.splitlines() if re.match(r"[0-9a-f]{8}-", line)]
    rows = [line.split()[1:] for line in shown.splitlines()[1:]]
    assert [words[1:] for words in listed] == rows, "the README shows something else"
    assert not (tmp_path / "out" / "parts").exists()


def test_video_with_a_part_that_fails_for_good_is_tidied_after_the_other_parts(tmp_path: Path) -> None:
    here = tmp_path / "video"
    shutil.copytree(EXAMPLES / "video", here, ignore=shutil.ignore_patterns("out", "__pycache__"))
    app = (here / "app.py").read_text("utf-8")
    late = app.replace("max_attempts=3", "max_attempts=1").replace(
        "    write(Path(part.target), zlib",
        "    import time; time.sleep(0.3)\n    write(Path(part.target), zlib",
    )
    (here / "app.py").write_text(late, "utf-8")
    told = run("run.py", "--out", str(tmp_path / "out"), cwd=here, code=1)
    assert "1 of 8 parts crashed, 1 for good, so there is no film" in told
    assert "1 of 8 parts crashed, 1 for good, so there is no film" in (here / "README.md").read_text("utf-8")
    statuses = [line.split()[1:3] for line in told.splitlines() if re.match(r"[0-9a-f]{8}-", line)]
    assert sorted(map(tuple, statuses)) == sorted(
        [("tidy", "done"), ("announce", "canceled"), ("join", "canceled"), ("cut", "done")]
        + [("encode", "done")] * 7
        + [("encode", "failed")]
    )
    assert not (tmp_path / "out" / "parts").exists()


def test_video_by_hand(tmp_path: Path) -> None:
    here, url = EXAMPLES / "video", f"sqlite:///{tmp_path}/goque.db"
    run("-c", f"from run import *; write_video(Path({str(tmp_path / 'sea.raw')!r}))", cwd=here)
    payload = json.dumps({"file": str(tmp_path / "sea.raw"), "folder": str(tmp_path)})
    run("-m", "goque.cli", "enqueue", "cut", payload, cwd=here, GOQUE_DATABASE_URL=url)
    run("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=here, GOQUE_DATABASE_URL=url)
    listed = run("-m", "goque.cli", "list", "--json", cwd=here, GOQUE_DATABASE_URL=url)
    assert {json.loads(line)["status"] for line in listed.splitlines()} == {"done"}
    program = f"from app import frames; print(len(frames({str(tmp_path / 'sea.film')!r})))"
    assert run("-c", program, cwd=here) == f"{8 * 256 * 1024}\n"


def test_ocr_pages_goes_on_at_the_page_that_crashed(tmp_path: Path) -> None:
    here = EXAMPLES / "ocr_pages"
    told = run("run.py", "--out", str(tmp_path / "out"), cwd=here)
    last = told.splitlines()[-1]
    assert last.startswith("As it should be: ")
    assert f"```text\n{last}\n```" in (here / "README.md").read_text("utf-8")
    assert "worker crashed in step page-7: signal 11 (SIGSEGV)" in told
    assert "in read_page" in told, "the Python stack of the crash"


def test_ocr_pages_by_hand(tmp_path: Path) -> None:
    here, url = EXAMPLES / "ocr_pages", f"sqlite:///{tmp_path}/goque.db"
    run("scans.py", str(tmp_path / "book.tiff"), "3", cwd=here)
    payload = json.dumps({"file": str(tmp_path / "book.tiff"), "text": str(tmp_path / "book.txt")})
    run("-m", "goque.cli", "enqueue", "read_book", payload, cwd=here, GOQUE_DATABASE_URL=url)
    run("-m", "goque.cli", "supervise", "app:registry", "--drain", cwd=here, GOQUE_DATABASE_URL=url)
    [listed] = run("-m", "goque.cli", "list", "--json", cwd=here, GOQUE_DATABASE_URL=url).splitlines()
    assert json.loads(listed)["result"]["processes"] == 1
    assert len((tmp_path / "book.txt").read_text("utf-8").splitlines()) == 3 * 16


def test_ocr_pages_passes_the_test_on_its_page(tmp_path: Path) -> None:
    here = EXAMPLES / "ocr_pages"
    [test] = re.findall(
        r"^```python\n(.*?)^```", (here / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
    )
    (tmp_path / "test_book.py").write_text(test, "utf-8")
    told = run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path), cwd=here, PYTHONPATH=str(here))
    assert "1 passed" in told


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Database]:
    """A PostgreSQL database in which nobody has made a table yet."""
    made = make_database("postgresql", tmp_path, migrate=False)
    yield made
    made.drop()


def test_go_and_python_share_a_table(shop: Database) -> None:
    here = EXAMPLES / "go_and_python"
    first = run("run.py", cwd=here, GOQUE_DATABASE_URL=shop.url)
    assert "make_invoice order-7: done, invoice 7: 12.50" in first
    assert "make_invoice order-9: canceled, None" in first
    assert "send_sms, by the Go service, to +420 123: invoice 8: 12.50" in first
    assert "As it should be" in first
    again = run("run.py", cwd=here, GOQUE_DATABASE_URL=shop.url)
    assert again.splitlines()[-1] == first.splitlines()[-1]


def test_go_and_python_rows_are_what_the_go_library_expects_of_its_own(shop: Database) -> None:
    run("run.py", cwd=EXAMPLES / "go_and_python", GOQUE_DATABASE_URL=shop.url)
    with psycopg.connect(shop.url) as connection:
        rows = connection.execute(
            "SELECT metadata::text, attempts, errors, next_attempt_at = created_at"
            " FROM goque_task WHERE type = 'send_sms'"
        ).fetchall()
    assert rows == [("{}", 0, None, True)] * 2


def test_orders_fastapi_confirms_an_order_and_forgets_one_that_failed(shop: Database, tmp_path: Path) -> None:
    here = EXAMPLES / "orders_fastapi"
    told = run("run.py", cwd=here, GOQUE_DATABASE_URL=shop.url, SHOP_OUTBOX=str(tmp_path / "outbox"))
    assert "'status': 'done'" in told
    assert "Thank you for ordering a book." in told
    assert "an order without an address: 422; a transaction that failed left (0, 0)" in told
    assert [letter.name for letter in (tmp_path / "outbox").iterdir()] == ["order-1.txt"]


def test_orders_fastapi_keeps_the_web_framework_out_of_the_workers() -> None:
    program = "import sys, shop; print(sorted({'fastapi', 'uvicorn', 'starlette'} & set(sys.modules)))"
    assert run("-c", program, cwd=EXAMPLES / "orders_fastapi") == "[]\n"


def test_django_app_sends_receipts_and_forgets_an_order_that_failed(tmp_path: Path) -> None:
    here = EXAMPLES / "django_app"
    for _again in range(2):
        told = run("run.py", cwd=here, SHOP_DIRECTORY=str(tmp_path))
        assert "one order was rolled back: the payment failed\norders and tasks: 2 2\n" in told
        assert "{'id': 2, 'item': 'a record', 'receipt': 'receipt 2'}" in told
    listed = run("manage.py", "goque", "list", "--json", cwd=here, SHOP_DIRECTORY=str(tmp_path))
    assert {json.loads(line)["status"] for line in listed.splitlines()} == {"done"}


def test_django_app_needs_no_further_migration(tmp_path: Path) -> None:
    here = EXAMPLES / "django_app"
    run("manage.py", "makemigrations", "--check", "--dry-run", cwd=here, SHOP_DIRECTORY=str(tmp_path))
    run("manage.py", "check", cwd=here, SHOP_DIRECTORY=str(tmp_path))
