"""Cleaner and healer at work on each backend: each type by its own options, and types that nobody handles too."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from backends import add, claim, move, row_of
from test_claiming import policy
from test_go_rows import insert_as_original, update_as_original

from goque.storage.sql import upkeep
from goque.task import Task
from goque.task_row import TaskStatus
from goque_supervisor.actors import cleaner, healer
from goque_supervisor.actors.cleaner import Cleaner
from goque_supervisor.actors.healer import Healer
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Beat, Stop

DAY = 86400.0
SPECS = [
    {"type": "mail", "options": {"cleaner_period": 60.0, "healer_period": 60.0}},
    {"type": "report", "options": {"cleaner_period": 0.001, "healer_period": 0.001}},
]


class Ends:
    """Both ends of an actor's channel: what the root hears and says, and the actor's."""

    def __init__(self):
        self.root, theirs = Channel.pair()
        self.actor = Channel(theirs, blocking=True)

    def close(self):
        self.root.socket.close()
        self.actor.socket.close()


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


@pytest.fixture
def make(storage, backend, ends, tmp_path, monkeypatch):
    monkeypatch.setattr("goque_supervisor.actors.actor.open_storage", lambda url: storage)
    (tmp_path / "run").mkdir()

    def make(kind, **options):
        boot = {
            "role": kind.__name__.lower(),
            "database_url": backend.url,
            "owner": "node-9",
            "node_timeout": 30.0,
            "types": SPECS,
            "own_types": [],
            "counters": {
                name: str(tmp_path / f"{name}.counters")
                for name in (*(spec["type"] for spec in SPECS), "unregistered")
            },
            "run_base": str(tmp_path / "run"),
            "database_fingerprint": "none",
            "heal_unpublished": None,
            **options,
        }
        return kind(boot, ends.actor)

    return make


def finished(storage, status, task_type):
    task = add(storage, task_type)
    [row] = storage.claim_due(task_type, "node-1", 1)
    storage.settle_if_held([move(row, status)])
    return task


def left(storage):
    return {(row.type, row.count) for row in storage.count_tasks()}


def test_each_type_is_cleaned_by_what_its_owner_published(storage, clock, make):
    storage.publish_types(
        [policy("mail", cleaner_age=60.0, cleaner_keep_failed=600.0), policy("gone", cleaner_age=300.0)]
    )
    for task_type in ("mail", "gone", "foreign"):
        finished(storage, TaskStatus.DONE, task_type)
        finished(storage, TaskStatus.ATTEMPTS_LEFT, task_type)
    waiting = add(storage)

    def after(seconds):
        clock.advance(seconds)
        make(Cleaner).run_once()
        return [f"{row.type} {row.status}" for row in storage.count_tasks()]

    foreign = ["foreign attempts_left", "foreign done"]
    all_that_failed = [*foreign, "gone attempts_left", "mail attempts_left", "mail new"]
    assert after(50) == [*all_that_failed[:3], "gone done", "mail attempts_left", "mail done", "mail new"]
    assert after(50) == [*all_that_failed[:3], "gone done", "mail attempts_left", "mail new"]
    assert after(250) == all_that_failed
    assert after(350) == [*foreign, "mail new"], "and no node handles `gone` any more"
    assert after(7 * DAY) == ["mail new"], "of a type that nobody published all goes after a week"
    assert row_of(storage, waiting).status == "new"


@pytest.mark.fault(62)
def test_a_sweep_over_many_types_goes_on_where_it_ended_and_begins_again(storage, clock, monkeypatch):
    monkeypatch.setattr(upkeep, "TYPES_AT_ONCE", 2)
    monkeypatch.setattr(upkeep, "SWEEP_SECONDS", 0.0)
    types = ["", "a", "b", "c", "d"]
    storage.publish_types([policy("b")])
    for task_type in [name for name in types if name]:
        finished(storage, TaskStatus.DONE, task_type)
    clock.advance(8 * DAY)
    found = []
    for _ in range(6):
        storage.delete_finished(None, [TaskStatus.DONE], 7 * DAY)
        found.append({task_type for task_type, _ in left(storage)})
    assert found[0] == {"b", "c", "d"}
    assert found[-1] == {"b"}
    finished(storage, TaskStatus.DONE, "a")
    clock.advance(8 * DAY)
    for _ in range(6):
        storage.delete_finished(None, [TaskStatus.DONE], 7 * DAY)
    assert left(storage) == {("b", 1)}


def test_a_sweep_ends_at_its_limit_and_goes_on_with_the_same_type(storage, clock):
    for task_type in ("a", "b"):
        for _ in range(3):
            finished(storage, TaskStatus.DONE, task_type)
    clock.advance(8 * DAY)
    deleted = [storage.delete_finished(None, [TaskStatus.DONE], 7 * DAY, limit=2) for _ in range(4)]
    assert deleted == [2, 2, 2, 0]


def test_a_type_whose_turn_has_not_come_is_left_alone(storage, clock, make):
    storage.publish_types([policy("mail"), policy("report")])
    actor = make(Cleaner)
    assert actor.run_once() <= 0.001
    mail, report = (finished(storage, TaskStatus.DONE, task_type) for task_type in ("mail", "report"))
    clock.advance(DAY)
    while storage.get_task(report.id):
        actor.run_once()
    assert storage.get_task(mail.id)


def test_batches_are_bounded_beat_and_end_when_the_root_says_stop(storage, clock, make, ends, monkeypatch):
    monkeypatch.setattr(cleaner, "BATCH", 10)
    storage.publish_types([policy("mail")])
    storage.insert_tasks([Task("mail") for _ in range(25)])
    storage.settle_if_held([move(row, TaskStatus.DONE) for row in claim(storage, limit=25)])
    clock.advance(DAY)
    limits = []
    delete = storage.delete_finished
    monkeypatch.setattr(
        storage, "delete_finished", lambda *a, limit, **_: limits.append(limit) or delete(*a, limit=limit)
    )
    actor = make(Cleaner)
    actor.run_once()
    assert left(storage) == set()
    assert limits[:3] == [10, 10, 10]
    assert sum(isinstance(message, Beat) for message in ends.root.receive()) >= 3
    storage.insert_tasks([Task("mail") for _ in range(25)])
    storage.settle_if_held([move(row, TaskStatus.DONE) for row in claim(storage, limit=25)])
    clock.advance(DAY)
    ends.root.send(Stop())
    make(Cleaner).run_once()
    assert left(storage) == {("mail", 25)}


def test_claims_without_an_owner_are_healed_by_the_age_of_their_type_however_many_others_are_older(
    storage, backend, clock, make, monkeypatch
):
    monkeypatch.setattr(healer, "BATCH", 2)
    storage.publish_types(
        [
            policy("patient", healer_age=DAY),
            policy("mail", healer_age=60.0, strategy='{"type":"static","period":5.0}'),
        ]
    )
    ids = [f"019ab5a0-7c3e-7d5e-8f00-{n:012x}" for n in range(12)]
    kinds = {"patient": ids[:4], "mail": ids[4:8], "foreign": ids[8:]}
    for task_type, own in kinds.items():
        for task_id in own:
            insert_as_original(
                backend,
                id=task_id,
                type=task_type,
                external_id=task_id,
                status="processing",
                updated_at=backend.time(clock.now),
            )
    clock.advance(61)
    make(Healer).run_once()
    ends = {task_type: {storage.get_task(i).status for i in own} for task_type, own in kinds.items()}
    assert ends == {"patient": {"processing"}, "mail": {"error"}, "foreign": {"processing"}}
    assert {storage.get_task(task_id).attempts for task_id in kinds["mail"]} == {1}
    clock.advance(3600)
    make(Healer).run_once()
    assert {storage.get_task(task_id).status for task_id in kinds["foreign"]} == {"processing"}, "not ours"
    make(Healer, heal_unpublished=3700.0).run_once()
    assert {storage.get_task(task_id).status for task_id in kinds["foreign"]} == {"processing"}, "too young"
    make(Healer, heal_unpublished=3600.0).run_once()
    foreign = [storage.get_task(task_id) for task_id in kinds["foreign"]]
    assert {(row.status, row.attempts, row.errors) for row in foreign} == {("new", 0, None)}
    assert {storage.get_task(task_id).status for task_id in kinds["patient"]} == {"processing"}
    clock.advance(DAY)
    make(Healer).run_once()
    assert {storage.get_task(task_id).status for task_id in kinds["patient"]} == {"error"}


def test_a_healer_names_the_types_of_what_it_returns_to_nobody(backend, clock, make, caplog):
    for task_id, task_type in zip("abc", ("foreign", "other", "foreign"), strict=True):
        insert_as_original(
            backend,
            id=f"019ab5a0-7c3e-7d5e-8f00-00000000000{task_id}",
            type=task_type,
            external_id=task_id,
            status="processing",
            updated_at=backend.time(clock.now),
        )
    clock.advance(61)
    make(Healer, heal_unpublished=60.0).run_once()
    assert "returned 3 task(s) of type 'foreign', 'other' whose claim had no owner: 019ab5a0" in caplog.text


def test_a_pending_claim_without_an_owner_is_given_back_uncharged(storage, backend, clock, make):
    storage.publish_types([policy("mail", healer_age=60.0)])
    insert_as_original(backend)
    update_as_original(backend, status="pending", updated_at=backend.time(clock.now))
    clock.advance(61)
    make(Healer).run_once()
    [row] = claim(storage)
    assert (row.attempts, row.errors) == (0, None)


def test_what_a_dead_node_held_is_returned_in_batches_though_no_registry_handles_its_type(
    storage, make, monkeypatch
):
    monkeypatch.setattr(healer, "BATCH", 2)
    storage.register_node("node-1", host="h", pid=1)
    for _ in range(5):
        add(storage, "gone")
    rows = claim(storage, task_type="gone")
    storage.mark_processing([rows[0].token])
    [node] = storage.nodes()
    storage.mark_node_dead("node-1", node.seq)
    make(Healer).run_once()
    assert storage.claimed_by_owner("node-1") == []
    assert left(storage) == {("gone", 5)}, "unpublished, so nobody is charged"
    assert {row.attempts for row in claim(storage, task_type="gone")} == {0}


@pytest.fixture
def host(monkeypatch):
    """The monotonic clock of the healer's machine."""
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now, perf_counter=time.perf_counter)
    monkeypatch.setattr(healer, "time", clock)
    return clock


def look_after(actor, host, seconds):
    host.now += seconds
    actor.run_once()
    return [node.state for node in actor.storage.nodes()]


def test_a_node_is_dead_after_a_node_timeout_in_which_its_heartbeat_stood_still(storage, make, host):
    storage.register_node("node-1", host="web-1", pid=42)
    add(storage)
    [row] = claim(storage, "node-1")
    actor = make(Healer)
    for _ in range(6):
        assert look_after(actor, host, 5) == ["alive"]
    assert look_after(actor, host, 5) == []
    assert row_of(storage, row).status == "new"


def test_a_healer_that_was_kept_waiting_does_not_judge_by_the_time_that_it_lost(storage, make, host):
    """A database that took nobody's writes for a while lets the healer go on before the others have beaten."""
    storage.register_node("node-1", host="web-1", pid=42)
    add(storage)
    claim(storage, "node-1")
    actor = make(Healer)
    assert look_after(actor, host, 0) == ["alive"]
    assert look_after(actor, host, 31) == ["alive"]
    storage.beat("node-1")
    for _ in range(6):
        assert look_after(actor, host, 5) == ["alive"]


def test_a_tree_knows_its_own_types_before_they_are_published(storage, clock, make):
    """They are not nobody's: a finished task of theirs stays for its own time."""
    done = finished(storage, TaskStatus.DONE, "kept")
    options = {"cleaner_updated_at_time_ago": 30 * DAY, "healer_updated_at_time_ago": 60.0}
    specs = [{"type": "kept", "options": options}, {"type": "excluded", "options": options}]
    own = {"types": specs, "own_types": ["kept"]}
    excluded = finished(storage, TaskStatus.DONE, "excluded")
    clock.advance(8 * DAY)
    make(Cleaner, **own).run_once()
    assert row_of(storage, done).status == "done"
    assert storage.get_task(excluded.id) is None, "another supervisor's, if anybody's"


def test_a_claim_without_an_owner_of_an_own_type_is_healed_before_the_type_is_published(
    storage, backend, clock, make
):
    insert_as_original(backend)
    update_as_original(backend, status="processing", updated_at=backend.time(clock.now))
    specs = [{"type": "mail", "options": {"healer_updated_at_time_ago": 60.0}}]
    clock.advance(61)
    make(Healer, types=specs, own_types=[], heal_unpublished=None).run_once()
    assert {row.status for row in storage.count_tasks()} == {"processing"}
    make(Healer, types=specs, own_types=["mail"], heal_unpublished=30.0).run_once()
    [row] = storage.count_tasks()
    assert row.status == "error", "charged, as its own policy says"


def test_a_policy_that_appears_later_is_found_soon_and_its_period_counts_from_then(storage, clock, make):
    actor = make(Cleaner, types=[], own_types=[])
    assert actor.run_once() <= 15.0
    storage.publish_types([policy("gone", cleaner_age=60.0)])
    done = finished(storage, TaskStatus.DONE, "gone")
    clock.advance(61)
    actor.run_once()
    assert storage.get_task(done.id) is None
