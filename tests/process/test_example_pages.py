"""The example that reads a book, a page a step, with a worker that is killed again and again."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections import Counter
from pathlib import Path

import msgspec
from databases import on_every_backend
from tree import StartTree, Tree, eventually

from goque.task_row import TERMINAL_STATUSES

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "ocr_pages"
PAGES = 24
KILLS = 10
APP = f"""
sys.path.insert(0, {str(EXAMPLE)!r})
import importlib.util
spec = importlib.util.spec_from_file_location("ocr_pages", {str(EXAMPLE / "app.py")!r})
example = importlib.util.module_from_spec(spec)
sys.modules["ocr_pages"] = example
spec.loader.exec_module(example)
registry, read = example.registry, example.read_page

def read_slowly(file: str, number: int, *, crashes: bool = False) -> example.Page:
    note("begins", number, os.getpid())
    time.sleep(0.1)
    page = read(file, number)
    note("has read", number, os.getpid())
    return page

example.read_page = read_slowly
"""


def write_scan(folder: Path) -> list[str]:
    """Scan the book of the example in a process of its own, since the example's module is called app."""
    from test_examples import run

    program = (
        "import json; from pathlib import Path; from scans import write_scan\n"
        f"print(json.dumps(write_scan(Path({str(folder / 'book.tiff')!r}), {PAGES})))"
    )
    texts: list[str] = msgspec.json.decode(run("-c", program, cwd=EXAMPLE))
    return texts


def begun(tree: Tree) -> list[tuple[int, int]]:
    """Return the page and the process of each reading that has begun, in order."""
    return [(int(line[1]), int(line[2])) for line in tree.journal() if line[0] == "begins"]


def kill_readers(tree: Tree) -> list[int]:
    """Kill the worker that reads the book at random pages, one after the other; return their process ids."""
    killed: list[int] = []
    for target in sorted(random.choices(range(PAGES - 4), k=KILLS)):
        reader = eventually(
            lambda target=target: next(
                (pid for page, pid in begun(tree) if page >= target and pid not in killed), None
            )
        )
        time.sleep(random.uniform(0, 0.1))  # so that it dies somewhere in the page, or just after it
        os.kill(reader, signal.SIGKILL)
        killed.append(reader)
    return killed


@on_every_backend
def test_a_book_whose_reader_is_killed_at_ten_random_pages_has_each_page_read_once(
    start_tree: StartTree, tmp_path: Path
) -> None:
    texts = write_scan(tmp_path)
    tree = start_tree(app=APP)
    payload = {"file": str(tmp_path / "book.tiff"), "text": str(tmp_path / "book.txt")}
    tree.database.enqueue("read_book", "book", payload=payload)
    killed = kill_readers(tree)
    task = eventually(
        lambda: task if (task := tree.database.task("book")).status in TERMINAL_STATUSES else None, within=30
    )
    assert (task.status, task.attempts) == ("done", KILLS)
    assert (tmp_path / "book.txt").read_text("utf-8") == "\n".join(texts)
    assert task.result["words"] == len(" ".join(texts).split())

    rows = [row for row in tree.database.queue.storage.steps_of(task.id) if row.kind == "step"]
    assert Counter(row.name for row in rows) == Counter(["count", *(f"page-{n}" for n in range(PAGES))])
    readings = begun(tree)
    last_reader = dict(readings)
    for row in rows:
        if row.name != "count":
            page = int(row.name.removeprefix("page-"))
            recorded = msgspec.json.decode(row.value or "")
            assert recorded["text"] == texts[page]
            assert recorded["process"] == last_reader[page], "it was read again after it was recorded"
    again = Counter(page for page, _ in readings)
    assert again.total() <= PAGES + KILLS, "a death costs more than the page that it interrupts"
    assert [page for page, _ in readings] == sorted(page for page, _ in readings)
    assert len(set(killed)) == KILLS
    causes = r"attempt \d+: worker crashed( in step (count|page-\d+))?: signal 9 \(SIGKILL\)\n"
    assert re.fullmatch(f"({causes}){{{KILLS}}}", task.errors or "")
