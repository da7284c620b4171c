"""Reports of each office's day, made in its own night, and a count of the tills every second.

goque supervise app:registry
"""

from __future__ import annotations

import functools
import os
import sqlite3
from contextlib import closing
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

import goque

SHOP: Final = Path(os.environ.get("SHOP_DIRECTORY", "out")).resolve()
ZONES: Final = {"prague": "Europe/Prague", "new-york": "America/New_York", "tokyo": "Asia/Tokyo"}
registry = goque.Registry()


class Day(msgspec.Struct):
    """The payload: an office, and the day to report, by the office's own calendar."""

    office: str
    day: str


def report_of_yesterday(office: str, slot: datetime) -> goque.Task:
    """Make the task of a slot: the report of the day before, as the office's clock has it."""
    yesterday = slot.astimezone(ZoneInfo(ZONES[office])).date() - timedelta(days=1)
    return goque.Task("report", Day(office, yesterday.isoformat()), external_id=f"{office}:{yesterday}")


NIGHTLY: Final = {
    office: goque.cron_job(
        f"nightly-{office}",
        "30 2 * * *",  # half past two: on two nights of a year that is no time, or comes twice
        functools.partial(report_of_yesterday, office),
        tz=zone,
        misfire="all",  # a report that is late is better than none
    )
    for office, zone in ZONES.items()
}
for job in NIGHTLY.values():
    registry.add_periodic_job(job)


@registry.cron("* * * * * *", name="tills", misfire="all")
def tills() -> goque.Task:
    """Count the tills every second: six fields, the first of them seconds."""
    return goque.Task("count_tills")


@registry.processor("report", store_result=True)
def report(day: Day) -> float:
    """Write one report; a second one of the same day writes the same file."""
    zone = ZoneInfo(ZONES[day.office])
    begin = datetime.combine(datetime.fromisoformat(day.day), time(), zone)
    end = datetime.combine(begin.date() + timedelta(days=1), time(), zone)
    hours = (end.timestamp() - begin.timestamp()) / 3600
    total = sales(day.office, begin, end)
    file = SHOP / day.office / f"{day.day}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"{day.office}, {day.day}: {total:.2f} in {hours:g} hours\n", "utf-8")
    return total


@registry.processor("count_tills")
def count_tills(task: goque.Task) -> None:
    """Say which second this is."""
    print(task.external_id)


def sales(office: str, begin: datetime, end: datetime) -> float:
    """Sum an office's sales between two moments."""
    query = "SELECT total(amount) FROM sales WHERE office = ? AND at >= ? AND at < ?"
    with closing(sqlite3.connect(SHOP / "sales.db")) as shop:
        (total,) = shop.execute(query, (office, begin.timestamp(), end.timestamp())).fetchone()
    return float(total)
