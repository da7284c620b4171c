"""`goque schedules` and `goque run-job`."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from goque import TaskQueueManager, open_storage

APP = """
from datetime import timedelta

import goque

registry = goque.Registry(database_url="sqlite:///own.db")
registry.add_processor("report", goque.noop_task_processor, priority=7)

@registry.cron("30 2 * * *", tz="Europe/Prague", misfire="once", jitter=60)
def nightly(slot):
    return goque.Task("report", {"until": slot.isoformat()})

def every_five_minutes(after):
    return after + timedelta(minutes=5)

@registry.periodic(every_five_minutes)
def pulse():
    return goque.Task("report", external_id="only once")

registry.add_periodic_job(goque.PeriodicJob("ended", lambda after: None, pulse))
registry.add_periodic_job(goque.PeriodicJob("broken", lambda after: 1 / 0, lambda: 1 / 0))
"""
MISNAMED = """
registry.add_periodic_job(goque.PeriodicJob("misnamed", lambda after: None, lambda: goque.Task("raport")))
"""


@pytest.fixture
def shop(goque: Any) -> Any:
    Path(goque.directory, "shop.py").write_text(APP)
    goque("migrate", "--app", "shop:registry")
    return goque


def jobs(shop: Any, *options: str) -> dict[str, dict[str, Any]]:
    lines = shop("schedules", "shop:registry", "--json", *options).stdout.splitlines()
    return {line["name"]: line for line in map(json.loads, lines)}


def test_each_job_is_listed_with_its_next_runs(shop: Any) -> None:
    found = jobs(shop, "--count", "3")
    assert list(found) == ["nightly", "pulse", "ended", "broken"]
    nightly = found["nightly"]
    assert nightly["schedule"] == "30 2 * * * Europe/Prague"
    assert (nightly["misfire"], nightly["jitter"], nightly["paused"]) == ("once", 60.0, False)
    assert [slot[10:] in ("T00:30:00Z", "T01:30:00Z") for slot in nightly["next"]] == [True] * 3
    assert len(set(nightly["next"])) == 3
    assert found["pulse"]["schedule"] == "every_five_minutes"
    assert found["ended"]["next"] == []
    assert "ZeroDivisionError" in found["broken"]["failure"]


def test_the_list_is_a_table_for_people(shop: Any) -> None:
    header, *rows = shop("schedules", "shop:registry").stdout.splitlines()
    assert header.split() == ["NAME", "SCHEDULE", "NEXT", "RUNS", "LAST", "RUN", "MISFIRE"]
    assert rows[0].startswith("nightly  30 2 * * * Europe/Prague")
    assert "has ended" in rows[2]
    assert "periodic job 'broken': its schedule raised" in rows[3]


def test_the_last_run_of_a_cron_job_is_a_slot_or_none(shop: Any) -> None:
    shop("schedules", "shop:registry")
    with contextlib.closing(open_storage(f"sqlite:///{shop.directory}/own.db")) as storage:
        first_seen = datetime(2026, 11, 23, 10, 0, 0, 31531, tzinfo=UTC)
        storage.record_slot("nightly", first_seen)
        assert jobs(shop)["nightly"]["last"] is None
        slot = datetime(2026, 11, 24, 1, 30, tzinfo=UTC)
        storage.record_slot("nightly", slot)
        assert jobs(shop)["nightly"]["last"] == "2026-11-24T01:30:00.000000Z"


def test_a_job_is_paused_and_resumed(shop: Any) -> None:
    said = shop("schedules", "shop:registry", "--pause", "nightly", "--pause", "pulse").stdout
    assert said == "nightly is paused\npulse is paused\n"
    assert [name for name, job in jobs(shop).items() if job["paused"]] == ["nightly", "pulse"]
    assert "paused" in shop("schedules", "shop:registry").stdout
    assert shop("schedules", "shop:registry", "--pause", "nightly").stdout == "nightly is paused already\n"
    assert shop("schedules", "shop:registry", "--resume", "nightly").stdout == "nightly is resumed\n"
    assert shop("schedules", "shop:registry", "--resume", "nightly").stdout == "nightly is not paused\n"
    assert [name for name, job in jobs(shop).items() if job["paused"]] == ["pulse"]


def test_a_job_is_run_by_hand(shop: Any) -> None:
    ids = [shop("run-job", "shop:registry", "nightly").stdout.strip() for _ in range(2)]
    with TaskQueueManager(f"sqlite:///{shop.directory}/own.db") as queue:
        first, second = map(queue.get_task, ids)
    assert first.external_id.startswith("nightly:run:")
    assert first.external_id != second.external_id
    assert (first.type, first.priority, list(first.payload)) == ("report", 7, ["until"])


def test_a_run_that_cannot_be_is_one_line(shop: Any) -> None:
    shop("run-job", "shop:registry", "pulse")
    assert "'only once' exists already" in shop("run-job", "shop:registry", "pulse", code=1).stderr
    assert "'broken': its factory raised" in shop("run-job", "shop:registry", "broken", code=1).stderr
    for command in (
        ["run-job", "shop:registry", "nightl"],
        ["schedules", "shop:registry", "--pause", "nightl"],
    ):
        error = shop(*command, code=2).stderr
        assert error == "goque: no periodic job is called 'nightl'; did you mean 'nightly'?\n"


def test_an_app_without_jobs_says_so(shop: Any) -> None:
    Path(shop.directory, "bare.py").write_text("import goque\nregistry = goque.Registry('sqlite:///own.db')")
    assert shop("schedules", "bare:registry").stderr == "no periodic jobs\n"
    assert "there is none at all" in shop("run-job", "bare:registry", "x", code=2).stderr


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import os\nos._exit(0)", "cannot be imported: the process that imported it ended by exit code 0"),
        ("import ctypes\nctypes.string_at(0)", "ended by signal 11 (SIGSEGV)"),
        ("1 / 0", "ZeroDivisionError: division by zero (shop.py, line 1)"),
    ],
)
@pytest.mark.parametrize("command", [["schedules", "shop:registry"], ["run-job", "shop:registry", "nightly"]])
def test_an_app_that_does_not_load_is_one_line_and_exit_code_2(
    goque: Any, command: list[str], source: str, said: str
) -> None:
    Path(goque.directory, "shop.py").write_text(source)
    error = goque(*command, code=2).stderr
    assert said in error
    assert len(error.splitlines()) == 1


def test_a_factory_that_crashes_is_one_line(shop: Any) -> None:
    with Path(shop.directory, "shop.py").open("a") as source:
        source.write("import ctypes\n@registry.cron('@daily')\ndef crash():\n    ctypes.string_at(0)\n")
    error = shop("run-job", "shop:registry", "crash", code=1).stderr
    assert error == "goque: code of app 'shop:registry' ended this command by signal 11 (SIGSEGV)\n"


def test_run_job_refuses_a_task_of_a_type_that_the_registry_does_not_have(goque: Any) -> None:
    Path(goque.directory, "app.py").write_text(APP + MISNAMED, "utf-8")
    said = goque("run-job", "app:registry", "misnamed", code=2).stderr
    assert said.startswith("goque: the registry has no type 'raport'; did you mean 'report'?")
    assert len(said.splitlines()) == 1
