"""Thousands of rows that somebody else wrote, in every table: good tasks between them run, and nobody stands still."""

from __future__ import annotations

import os
import random
import signal
import threading
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from databases import Database, on_every_backend
from hostile_rows import HostileRows
from looking import calls_that_fail, commands_that_fail, errors_in, pages_that_fail
from tree import StartTree, Tree, eventually, free_port, get

APP = """
import msgspec

class Numbered(msgspec.Struct):
    n: int

options = dict(
    workers=2, min_workers=2, fetch_tick=0.1, next_attempt_at=retry.static(0), healer_period=1, cleaner_period=1
)

@registry.processor("fine", **options)
def fine(task: Task):
    if str(task.external_id).startswith("good"):
        with run_of(task):
            pass

@registry.processor("typed", **options)
def typed(payload: Numbered):
    pass
"""
PERIODIC = """
registry.add_periodic_job(goque.cron_job("hourly", "0 * * * *", lambda: Task("fine", {})))
"""
ROWS = int(os.environ.get("GOQUE_TEST_HOSTILE_ROWS", "3000"))
SEED = int(os.environ.get("GOQUE_TEST_HOSTILE_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
GOOD = 50
SOME = 40
ROLES = ("fetcher", "lease", "healer", "cleaner")
SETTLED = 12.0
"""Seconds: four times the node timeout, in which a healer goes over all of it."""


def enqueue_good(database: Database, part: int) -> list[str]:
    names = [f"good{part}-{n}" for n in range(GOOD)]
    database.enqueue("fine", *names)
    return names


def processes_of(tree: Tree) -> dict[str, list[int]]:
    return {role: tree.pids(role) for role in (*ROLES, "monitor", "scheduler")} | {"workers": tree.workers()}


def forget_hostile_rows(database: Database) -> None:
    """Leave nothing that the last assertions of every test would find: what strangers hold they hold for ever."""
    for table in ("goque_task", "goque_node"):
        database.execute(f"DELETE FROM {table}")


@on_every_backend
@pytest.mark.fault(59)
@pytest.mark.timeout(600)
def test_row_59_hostile_rows_of_every_table_stop_nobody(start_tree: StartTree, database: Database) -> None:
    """All that is wrong is collected first and told at once, so that one defect does not hide another."""
    database.queue.storage.ping()
    hostile = HostileRows(database, SEED)
    problems: list[str] = []
    names = enqueue_good(database, 0)
    hostile.write(ROWS // 2)
    names += enqueue_good(database, 1)
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP + PERIODIC)
    try:
        wait(lambda: is_complete(tree), 15, "the tree is not complete", problems)
        processes = processes_of(tree)
        for part in range(2, 6):
            hostile.write(ROWS // 8)
            hostile.spoil_policies()
            names += enqueue_good(database, part)
        wait(lambda: ended(tree).issuperset(names), 60, "every good task ran", problems)
        if left := set(names) - ended(tree):
            problems.append(f"{len(left)} of {len(names)} good tasks did not run")
        threading.Event().wait(SETTLED)
        if processes_of(tree) != processes:
            problems.append(f"processes were replaced: {processes} became {processes_of(tree)}")
        some = hostile.random.sample(hostile.task_ids, SOME)
        present = [task_id for task_id in some if is_there(database, task_id)]
        problems += commands_that_fail(tree, present)
        problems += calls_that_fail(database, present)
        problems += pages_that_fail(database, present)
        deleted = [
            task_id for task_id in present if not is_there(database, task_id)
        ]  # by the cleaner, meanwhile
        problems = [text for text in problems if not any(task_id in text for task_id in deleted)]
        problems += [
            f"monitor: {page}" for page in ("/metrics", "/healthz", "/readyz") if get(port, page)[0] != 200
        ]
        problems += [f"in the log {error}" for error in errors_in(tree.log)]
        tree.signal(signal.SIGTERM)
        wait(lambda: tree.process.poll() is not None, 20, "the tree stopped", problems)
        if code := tree.process.poll():
            problems.append(f"the tree ended in {code}")
        problems += [f"it ran more than once: {name}" for name in names if len(tree.started(name)) > 1]
    finally:
        forget_hostile_rows(database)
    assert not problems, f"GOQUE_TEST_HOSTILE_SEED={SEED} GOQUE_TEST_HOSTILE_ROWS={ROWS}\n" + "\n".join(
        problems
    )


def wait(condition: Callable[[], bool], within: float, what: str, problems: list[str]) -> None:
    """Wait, and note what did not come about."""
    try:
        eventually(condition, within=within)
    except AssertionError:
        problems.append(f"not within {within:g} s: {what}")


def ended(tree: Tree) -> set[str]:
    return {line[1] for line in tree.journal() if line[0] == "end"}


def is_complete(tree: Tree) -> bool:
    alone = [*ROLES[1:], "monitor", "scheduler"]
    return (len(tree.pids("fetcher")), len(tree.workers())) == (2, 4) and all(
        len(tree.pids(role)) == 1 for role in alone
    )


def is_there(database: Database, task_id: str) -> bool:
    return bool(database.execute(f"SELECT 1 FROM goque_task WHERE id = '{task_id}'"))


# -- one value at a time -----------------------------------------------------------------

LIMIT = 2**31 - 1
BEYOND = 2**63 - 1
ONE: dict[str, dict[str, Any]] = {
    "attempts at the limit": {"attempts": LIMIT},
    "attempts below zero": {"attempts": -5},
    "claims at the limit": {"claims": LIMIT},
    "claims below zero": {"claims": -1},
    "lost claims at the limit": {"lost_claims": LIMIT},
    "lost claims below zero": {"lost_claims": -(2**31)},
    "priority beyond goque's": {"priority": 2**15 - 1},
    "empty owner": {"claimed_by": "''"},
    "metadata that is a list": {"metadata": "'[]'"},
    "metadata that is a text": {"metadata": "'\"x\"'"},
    "an unknown status": {"status": "'paused'"},
    "an empty status": {"status": "''"},
    "an external id of control characters": {"external_id": "'a\nb\tc'"},
    "an empty external id": {"external_id": "''"},
    "a limit key without limits": {"limit_key": "'acme'"},
    "an empty limit key": {"limit_key": "''"},
    "a limit key of control characters": {"limit_key": "'a\nb\tc'"},
}
ONE_OF_SQLITE: dict[str, dict[str, Any]] = {
    "an id that is no UUID": {"id": "'x'"},
    "an id that is not ASCII": {"id": "'žluťoučký kůň úpěl ďábelské ódy žž'"},
    "an id that is NULL": {"id": "NULL"},
    "an id that is a blob": {"id": "x'ff00'"},
    "an id in capitals": {"id": "'01A224C7-1E67-7DF6-9986-CDF1DD41FFD6'"},
    "attempts as text": {"attempts": "'many'"},
    "attempts as REAL": {"attempts": 1.5},
    "attempts as a blob": {"attempts": "x'ff'"},
    "attempts beyond 64 bits": {"attempts": 1e300},
    "attempts at 64 bits": {"attempts": BEYOND},
    "claims as text": {"claims": "'many'"},
    "claims as REAL": {"claims": 1.5},
    "claims as a blob": {"claims": "x'ff'"},
    "claims at 64 bits": {"claims": BEYOND},
    "claims at the other end of 64 bits": {"claims": -BEYOND - 1},
    "lost claims as text": {"lost_claims": "'many'"},
    "lost claims at 64 bits": {"lost_claims": BEYOND},
    "a priority as text": {"priority": "'high'"},
    "a priority as REAL": {"priority": 0.5},
    "a priority as a blob": {"priority": "x'ff'"},
    "a due time that is none": {"next_attempt_at": "'no time'"},
    "a due time that is empty": {"next_attempt_at": "''"},
    "a due time that is a blob": {"next_attempt_at": "x'ff'"},
    "a creation in year 1": {"created_at": "'0001-01-01T00:00:00+14:00'"},
    "metadata that is empty": {"metadata": "''"},
    "metadata that is no JSON": {"metadata": "'nope'"},
    "a result that is no JSON": {"result": "'nope'"},
    "errors that are not UTF-8": {"errors": "CAST(x'ff' AS TEXT)"},
    "a payload that is a blob": {"payload": "x'ff'"},
    "a payload that is a number": {"payload": 7},
    "a limit key that is a blob": {"limit_key": "x'ff'"},
    "a limit key that is a number": {"limit_key": 7},
    "a limit key that is not UTF-8": {"limit_key": "CAST(x'ff' AS TEXT)"},
}
ONE_OF: dict[str, dict[str, dict[str, Any]]] = {
    "postgresql": {
        "due since ever": {"next_attempt_at": "'-infinity'"},
        "created in year -4713": {"created_at": "'4713-01-01 BC'"},
        "updated at infinity": {"updated_at": "'infinity'"},
    },
    "mysql": {
        "an id that is no UUID": {"id": "'x'"},
        "an id of other signs": {"id": f"'{'a-' * 17}!?'"},
        "an id that is not ASCII": {"id": "'žluťoučký kůň úpěl ďábelské ódy žž'"},
        "an id in capitals": {"id": "'01A224C7-1E67-7DF6-9986-CDF1DD41FFD6'"},
    },
    "sqlite": ONE_OF_SQLITE,
}
NOW = {"sqlite": "'2026-11-23T21:02:33.000000Z'", "postgresql": "now()", "mysql": "UTC_TIMESTAMP(6)"}


def write_task(database: Database, **values: Any) -> None:
    """Insert a due task of the type `fine` by raw SQL."""
    now = NOW[database.backend]
    usual = {
        "id": f"'{uuid.uuid4()}'",
        "type": "'fine'",
        "external_id": f"'hostile-{uuid.uuid4()}'",
        "payload": "'{}'",
        "status": "'new'",
        "attempts": 0,
        "metadata": "'{}'",
        "created_at": now,
        "updated_at": now,
        "next_attempt_at": now,
    }
    row = usual | values
    database.execute(
        f"INSERT INTO goque_task ({', '.join(row)}) VALUES ({', '.join(map(str, row.values()))})"
    )


ONLY = os.environ.get("GOQUE_TEST_HOSTILE_ONLY", "")
"""A part of the names of cases, to look at some of them alone."""


@on_every_backend
@pytest.mark.parametrize("held_by", ["nobody", "a dead node"])
@pytest.mark.fault(59)
def test_row_59_tasks_with_one_hostile_value_each_stop_nobody(
    start_tree: StartTree, database: Database, held_by: str
) -> None:
    """They are due, or a node that is dead was running them: the fetcher, or the healer, has to do with them."""
    database.queue.storage.ping()
    held: dict[str, Any] = {}
    names = [f"good{n}" for n in range(3)]
    if held_by == "a dead node":
        held = {"claimed_by": f"'{write_dead_node(database)}'", "status": "'processing'", "claims": 1}
        names.append("good-healed")
        write_task(database, **held, external_id="'good-healed'")
    for name, values in {**ONE, **ONE_OF[database.backend]}.items():
        if ONLY in name:
            write_task(database, **{**held, **values})
    database.enqueue("fine", *names[:3])
    tree = start_tree("--http", f"127.0.0.1:{free_port()}", app=APP + PERIODIC)
    problems: list[str] = []
    try:
        wait(lambda: is_complete(tree), 15, "the tree is not complete", problems)
        processes = processes_of(tree)
        database.enqueue("fine", "good-after")
        names.append("good-after")
        wait(lambda: ended(tree).issuperset(names), 10, "every good task ran", problems)
        threading.Event().wait(4)
        if processes_of(tree) != processes:
            problems.append(f"processes were replaced: {processes} became {processes_of(tree)}")
        problems += errors_in(tree.log)
    finally:
        forget_hostile_rows(database)
    assert not problems, "\n".join(problems)


def write_dead_node(database: Database) -> str:
    """Insert a node that is known to be dead."""
    dead, now = str(uuid.uuid4()), NOW[database.backend]
    database.execute(
        "INSERT INTO goque_node (id, seq, state, host, pid, started_at, heartbeat_at) "
        f"VALUES ('{dead}', 3, 'dead', 'elsewhere', 1, {now}, {now})"
    )
    return dead


POLICIES: dict[str, dict[str, Any]] = {
    "a strategy that is garbage": {"strategy": "'garbage'"},
    "an empty strategy": {"strategy": "''"},
    "a strategy of another kind": {"strategy": "'{}'"},
    "no attempts": {"max_attempts": -(2**31)},
    "ages below zero": {"healer_age": -1e300, "cleaner_age": -1e300},
    "ages beyond all times": {"healer_age": 1e300, "cleaner_age": 1e300, "cleaner_keep_failed": 1e300},
}
POLICIES_OF: dict[str, dict[str, dict[str, Any]]] = {
    "sqlite": {
        "ages that are texts": {"healer_age": "'x'", "cleaner_age": "'x'", "cleaner_keep_failed": "x'ff'"},
        "ages without end": {"healer_age": "9e999", "cleaner_age": "-9e999"},
        "attempts that are a text": {"max_attempts": "'many'"},
        "a strategy that is not UTF-8": {"strategy": "CAST(x'ff' AS TEXT)"},
    },
    "postgresql": {"ages that are no numbers": {"healer_age": "'NaN'", "cleaner_age": "'-Infinity'"}},
    "mysql": {},
}


@on_every_backend
@pytest.mark.fault(59)
def test_row_59_policies_that_are_garbage_stop_nobody(start_tree: StartTree, database: Database) -> None:
    """They are of types of another node, which has died with a task of each, and with one of ours."""
    database.queue.storage.ping()
    now = NOW[database.backend]
    held = {"claimed_by": f"'{write_dead_node(database)}'", "status": "'processing'", "claims": 1}
    for name, values in {**POLICIES, **POLICIES_OF[database.backend]}.items():
        if ONLY in name:
            row: dict[str, Any] = {
                "type": f"'{name}'",
                "max_attempts": 5,
                "cleaner_age": 60,
                "cleaner_keep_failed": 60,
                "healer_age": 60,
                "updated_at": now,
                **values,
            }
            database.execute(
                f"INSERT INTO goque_type ({', '.join(row)}) VALUES ({', '.join(map(str, row.values()))})"
            )
            write_task(database, **{**held, "type": f"'{name}'"})
    write_task(database, **{**held, "external_id": "'good-healed'"})
    tree = start_tree("--http", f"127.0.0.1:{free_port()}", app=APP + PERIODIC)
    problems: list[str] = []
    try:
        wait(lambda: is_complete(tree), 15, "the tree is not complete", problems)
        processes = processes_of(tree)
        wait(lambda: "good-healed" in ended(tree), 10, "the good task ran", problems)
        left = "SELECT type FROM goque_task WHERE claimed_by IS NOT NULL"
        wait(lambda: not database.execute(left), 10, "every task of the dead node was returned", problems)
        problems += [f"a task of {name} was not returned" for (name,) in database.execute(left)]
        threading.Event().wait(2)
        if processes_of(tree) != processes:
            problems.append(f"processes were replaced: {processes} became {processes_of(tree)}")
        problems += errors_in(tree.log)
        problems += commands_that_fail(tree, []) + pages_that_fail(database, [])
    finally:
        forget_hostile_rows(database)
    assert not problems, "\n".join(problems)
