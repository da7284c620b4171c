"""Reads a scanned book whose page 7 crashes its reader, and shows that no page is read twice.

1. print and scan a book;
2. enqueue the task that reads it, and run `goque supervise app:registry --drain`;
3. print what `goque show` knows, and compare the text with what was printed.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from app import Scan
from scans import write_scan

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = (sys.executable, "-m", "goque.cli")
PAGES: Final = 12
CRASHES_AT: Final = 7


def main() -> int:
    """Run the example; returns 0 if the text is what was printed, and no page was read by a second process."""
    out = parse_arguments()
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    texts, url = write_scan(out / "book.tiff", PAGES), f"sqlite:///{out}/goque.db"
    with goque.TaskQueueManager(url) as queue:
        scan = Scan(str(out / "book.tiff"), str(out / "book.txt"), crashes_at=CRASHES_AT)
        task = queue.enqueue("read_book", scan)
        ended = subprocess.run(
            [*GOQUE, "supervise", "app:registry", "--drain", "--database-url", url], cwd=HERE, check=False
        )
        subprocess.run([*GOQUE, "show", task.id, "--database-url", url], check=True)
        task = queue.get_task(task.id)
    is_same = (out / "book.txt").exists() and (out / "book.txt").read_text("utf-8") == "\n".join(texts)
    words = len(" ".join(texts).split())
    crash = f"attempt 1: worker crashed in step page-{CRASHES_AT}: signal 11 (SIGSEGV)\n"
    good = ended.returncode == 0 and is_same and task.errors == crash
    good = good and task.result == {"words": words, "processes": 2}
    print("As it should be:" if good else "NOT as it should be:", end=" ")
    print(
        f"{words} words of {PAGES} pages, read by two processes, of which one crashed at page {CRASHES_AT}."
    )
    return 0 if good else 1


def parse_arguments() -> Path:
    """Return where everything goes."""
    parser = argparse.ArgumentParser(description="Read a scanned book with goque.")
    parser.add_argument(
        "--out", type=Path, default=HERE / "out", help="where files go; emptied [out, beside this]"
    )
    out: Path = parser.parse_args().out
    return out.resolve()


if __name__ == "__main__":
    sys.exit(main())
