from __future__ import annotations

from datetime import timedelta

from backends import START, add, claim, done, move, row_of

from goque.task_row import TaskStatus


def register(storage, node_id="node-1"):
    storage.register_node(node_id, host="web-1", pid=42, info="{}")


def test_a_node_is_seen_with_a_rising_seq(storage, clock):
    register(storage)
    clock.advance(5)
    assert storage.beat("node-1")
    [node] = storage.nodes()
    assert (node.id, node.seq, node.state, node.host, node.pid, node.info) == (
        "node-1",
        2,
        "alive",
        "web-1",
        42,
        "{}",
    )
    assert (node.started_at, node.heartbeat_at) == (START, START + timedelta(seconds=5))


def test_a_heartbeat_may_tell_something_new(storage):
    register(storage)
    assert storage.beat("node-1", info='{"app": "shop:registry"}')
    assert storage.beat("node-1")
    assert [node.info for node in storage.nodes()] == ['{"app": "shop:registry"}']


def test_an_unknown_node_cannot_beat(storage):
    assert not storage.beat("node-1")


def test_a_node_that_starts_again_begins_anew(storage):
    register(storage)
    storage.beat("node-1")
    storage.mark_node_dead("node-1", 2)
    register(storage)
    [node] = storage.nodes()
    assert (node.seq, node.state) == (1, "alive")


def test_a_node_is_declared_dead_once_and_only_at_the_seq_that_was_seen(storage, other):
    register(storage)
    storage.beat("node-1")
    assert not other.mark_node_dead("node-1", 1)
    assert storage.beat("node-1")
    assert other.mark_node_dead("node-1", 3)
    assert not storage.mark_node_dead("node-1", 3)
    assert not storage.beat("node-1")


def test_nodes_that_are_gone_show_while_they_hold_tasks(storage):
    for node_id in ("node-1", "node-2", "node-3"):
        register(storage, node_id)
    add(storage)
    [row] = claim(storage)
    storage.mark_node_dead("node-1", 1)
    storage.retire_node("node-2")
    assert [(node.id, node.state) for node in storage.nodes()] == [("node-1", "dead"), ("node-3", "alive")]
    storage.settle_if_held([done(row)])
    assert [node.id for node in storage.nodes()] == ["node-3"]


def test_dead_nodes_are_deleted_when_they_hold_nothing(storage, clock):
    for node_id in ("node-1", "node-2", "node-3"):
        register(storage, node_id)
    add(storage)
    [row] = claim(storage)
    storage.mark_node_dead("node-1", 1)
    storage.mark_node_dead("node-2", 1)
    clock.advance(100)
    assert storage.delete_dead_nodes(100) == 0
    assert storage.delete_dead_nodes(99) == 1
    storage.settle_if_held([done(row)])
    assert storage.delete_dead_nodes(99) == 1
    assert [node.id for node in storage.nodes()] == ["node-3"]


def test_owners_that_no_node_has_are_found(storage, backend):
    for node_id in ("node-1", "node-2"):
        register(storage, node_id)
        add(storage)
        assert len(claim(storage, node_id)) == 1
    add(storage)
    assert storage.unknown_owners() == []
    backend.execute("DELETE FROM goque_node WHERE id = :id", id="node-2")
    assert storage.unknown_owners() == ["node-2"]


def unowned(storage, backend, status="processing"):
    """Let the original claim a task: it knows nothing of owners."""
    task = add(storage)
    backend.execute(
        "UPDATE goque_task SET status = :status, updated_at = :then",
        status=status,
        then=backend.time(START.replace(microsecond=0)),
    )
    return task


def test_claims_without_an_owner_are_found_by_their_age(storage, backend, clock):
    task = unowned(storage, backend)
    claimed = add(storage)
    claim(storage)
    clock.advance(59)
    assert storage.unowned_claims(60) == []
    clock.advance(2)
    assert [row.id for row in storage.unowned_claims(60)] == [task.id]
    assert claimed.id not in [row.id for row in storage.unowned_claims(0)]
    assert storage.unowned_claims(60, limit=0) == []


def test_of_several_abandoned_claims_those_that_were_written_are_named(storage, other, backend, clock):
    for _ in range(3):
        unowned(storage, backend)
    clock.advance(100)
    rows = storage.unowned_claims(60)
    changes = [move(row, TaskStatus.ERROR, attempts=1, delay=0.0) for row in rows]
    other.settle_unowned_if_unchanged(rows[:1], changes[:1])
    assert storage.settle_unowned_if_unchanged(rows, changes) == {row.token for row in rows[1:]}


def test_an_abandoned_claim_is_healed_once(storage, other, backend, clock):
    task = unowned(storage, backend)
    clock.advance(100)
    rows, also = storage.unowned_claims(60), other.unowned_claims(60)
    changes = [move(row, TaskStatus.ERROR, attempts=1, delay=0.0) for row in rows]
    assert len(storage.settle_unowned_if_unchanged(rows, changes)) == 1
    assert other.settle_unowned_if_unchanged(also, changes) == set()
    healed = row_of(storage, task)
    assert (healed.status, healed.attempts) == ("error", 1)
    assert [row.id for row in claim(storage)] == [task.id]


def test_a_claim_that_moved_since_it_was_read_is_not_healed(storage, backend, clock):
    task = unowned(storage, backend, "pending")
    clock.advance(100)
    rows = storage.unowned_claims(60)
    changes = [move(row, TaskStatus.NEW) for row in rows]
    then = "2026-11-23 21:04:00" if backend.name == "mysql" else "2026-11-23T21:04:00Z"
    for moved in ("status = 'processing'", f"updated_at = '{then}'", "claimed_by = 'node-2'"):
        saved = backend.execute("SELECT status, updated_at, claimed_by FROM goque_task")[0]
        backend.execute(f"UPDATE goque_task SET {moved}")
        before = row_of(storage, task)
        assert storage.settle_unowned_if_unchanged(rows, changes) == set()
        assert row_of(storage, task) == before
        backend.execute(
            "UPDATE goque_task SET status = :status, updated_at = :updated_at, claimed_by = :claimed_by",
            **dict(zip(("status", "updated_at", "claimed_by"), saved, strict=True)),
        )
    assert len(storage.settle_unowned_if_unchanged(rows, changes)) == 1
    assert storage.settle_unowned_if_unchanged([], []) == set()


def test_a_token_without_an_owner_settles_only_a_task_without_one(storage, backend):
    task = unowned(storage, backend)
    row = row_of(storage, task)
    assert storage.settle_if_held([done(row)]) == {row.token}
    held = add(storage)
    [row] = claim(storage)
    assert storage.settle_if_held([move(row, TaskStatus.DONE, token=row.token._replace(owner=""))]) == set()
    assert row_of(storage, held).claimed_by == "node-1"
