"""Makes a year of nightly reports in seconds, and lets two supervisors share a clock.

1. an hour is worth 1.00 in every office, all year long;
2. enqueue the report of each night of the year, as the scheduler does night by night;
3. two supervisors run side by side: they make the reports, and enqueue a task every second, once;
4. tell which days had other than 24 hours, and whether any slot is missing or was run twice.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from app import NIGHTLY, SHOP, ZONES, report_of_yesterday

import goque

HERE: Final = Path(__file__).resolve().parent
GOQUE: Final = (sys.executable, "-m", "goque.cli")
YEAR: Final = (datetime(2026, 1, 1, 12, tzinfo=UTC), datetime(2026, 12, 31, 12, tzinfo=UTC))
NIGHTS: Final = 364
TICKS: Final = 3
PATIENCE: Final = 60.0  # seconds


def main() -> int:
    """Run the example; returns 0 if every report is there and every slot was run once."""
    argparse.ArgumentParser(description="Make a year of nightly reports with goque.").parse_args()
    url = fresh_shop()
    subprocess.run([*GOQUE, "migrate", "--database-url", url], check=True)
    subprocess.run([*GOQUE, "schedules", "app:registry", "--count", "2", "--database-url", url], check=True)
    with goque.TaskQueueManager(url) as queue:
        nights = queue.add_tasks(night for office in ZONES for night in nights_of_the_year(office))
        print(f"{len(nights)} reports enqueued, and two supervisors started")
        with ExitStack() as stack:
            for _ in range(2):
                stack.enter_context(supervisor(url))
            wait_until_done(queue, len(nights))
        reports = queue.get_tasks(goque.TaskFilter(task_type="report"), limit=len(nights))
        ticks = queue.get_tasks(goque.TaskFilter(task_type="count_tills"), limit=1000)
    return verdict(print_odd_days(reports), ticks)


def fresh_shop() -> str:
    """Make the shop's own database, and return the URL of a new one for the tasks."""
    SHOP.mkdir(parents=True, exist_ok=True)
    for leftover in SHOP.glob("*.db*"):
        leftover.unlink()
    first, hours = YEAR[0].timestamp() - 48 * 3600, 368 * 24
    with closing(sqlite3.connect(SHOP / "sales.db")) as shop, shop:
        shop.execute("CREATE TABLE sales (office TEXT, at REAL, amount REAL, PRIMARY KEY (office, at))")
        rows = ((office, first + 3600 * hour, 1.0) for office in ZONES for hour in range(hours))
        shop.executemany("INSERT INTO sales VALUES (?, ?, ?)", rows)
    return f"sqlite:///{SHOP}/goque.db"


def nights_of_the_year(office: str) -> Iterator[goque.Task]:
    """Make the task of each slot of the year, one after the other."""
    slot = YEAR[0]
    while (following := NIGHTLY[office].schedule(slot)) and following < YEAR[1]:
        yield report_of_yesterday(office, following)
        slot = following


@contextmanager
def supervisor(url: str) -> Iterator[None]:
    """Run `goque supervise app:registry` for the length of a block."""
    command = [*GOQUE, "supervise", "app:registry", "--database-url", url, "--log-level", "error"]
    tree = subprocess.Popen(command, cwd=HERE, env={**os.environ, "SHOP_DIRECTORY": str(SHOP)})
    try:
        yield
    finally:
        tree.terminate()
        tree.wait()


def wait_until_done(queue: goque.TaskQueueManager, reports: int) -> None:
    """Wait until all reports are made and the tills were counted some times."""
    deadline = time.monotonic() + PATIENCE
    while len(done(queue, "report", reports)) < reports or len(done(queue, "count_tills", TICKS)) < TICKS:
        if time.monotonic() > deadline:
            sys.exit(f"not all was done in {PATIENCE:g} seconds")
        time.sleep(0.2)


def done(queue: goque.TaskQueueManager, task_type: str, limit: int) -> list[goque.Task]:
    """Return tasks of a type that are done."""
    return queue.get_tasks(goque.TaskFilter(task_type=task_type, status=goque.TaskStatus.DONE), limit)


def print_odd_days(reports: list[goque.Task]) -> dict[tuple[str, str], float]:
    """Print the reports of the days that had other than 24 hours, and return what all reports say."""
    totals = {(task.payload["office"], task.payload["day"]): float(task.result) for task in reports}
    for (office, day), total in sorted(totals.items()):
        if total != 24:
            print((SHOP / office / f"{day}.txt").read_text("utf-8"), end="")
    return totals


def verdict(totals: dict[tuple[str, str], float], ticks: list[goque.Task]) -> int:
    """Compare what there is with what there should be."""
    moments = sorted(datetime.fromisoformat(tick.external_id.removeprefix("tills:")) for tick in ticks)
    gaps = {after - before for before, after in pairwise(moments)}
    odd = {total for total in totals.values() if total != 24}
    good = len(totals) == NIGHTS * len(ZONES) and odd == {23, 25} and gaps == {timedelta(seconds=1)}
    print("As it should be:" if good else "NOT as it should be:", end=" ")
    print(f"{len(totals)} reports, none twice; {len(ticks)} seconds counted, each once by two supervisors.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
