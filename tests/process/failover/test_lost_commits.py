"""Servers that lose the last commits they had acknowledged: noticed at once, and nothing stands still for it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from databases import ON_SERVER, Database, make_database, on_every_backend, on_every_server
from replication import ForgetfulServer
from tree import StartTree, Tree, eventually

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=300)
registry.processor("hold", workers=2, min_workers=2, **options)(hold)

@registry.processor("quick", workers=2, min_workers=2, **options)
def quick(task: Task):
    with run_of(task):
        time.sleep(0.002)
"""
NEW_NAME = "continues under a new name"


@pytest.fixture
def server(backend: str) -> Iterator[ForgetfulServer]:
    """A server of the test's own that acknowledges commits before they are on disk."""
    made = ForgetfulServer(backend)
    yield made
    made.close()


@pytest.fixture
def database(request: pytest.FixtureRequest, backend: str) -> Iterator[Database]:
    if backend == "sqlite":
        yield request.getfixturevalue("plain_database")
        return
    made = ON_SERVER[backend](request.getfixturevalue("server").url)
    yield made
    made.drop()


@pytest.fixture
def plain_database(tmp_path_factory: pytest.TempPathFactory) -> Database:
    return make_database("sqlite", tmp_path_factory.mktemp("database"))


def living_node(database: Database) -> str:
    """Wait for the only living node, and return its name."""
    rows = eventually(lambda: database.execute("SELECT id FROM goque_node WHERE state = 'alive'"))
    assert len(rows) == 1, rows
    return str(rows[0][0])


def lose_heartbeats(server: ForgetfulServer, database: Database, node: str, at_least: int = 1) -> None:
    """Lose what was committed, heartbeats of the node among it: by these it notices that commits were lost."""

    def heartbeats() -> int:
        return int(database.execute(f"SELECT seq FROM goque_node WHERE id = '{node}'")[0][0])

    until = heartbeats() + at_least
    eventually(lambda: heartbeats() >= until)
    server.lose_power()


def assert_it_takes_a_new_name(database: Database, former: str) -> str:
    """See that the node notices what was lost within ten seconds, and says so in one line."""

    def names() -> set[str]:
        return {row[0] for row in database.execute("SELECT id FROM goque_node WHERE state = 'alive'")}

    eventually(lambda: names() and former not in names(), within=10)
    return living_node(database)


def assert_it_goes_on(tree: Tree, *names: str) -> None:
    """See that everything comes to an end, and that no process of the tree was lost with it."""
    tree.database.enqueue("quick", "afterwards")
    eventually(tree.database.is_settled, within=20)
    assert {task.status for task in tree.database.tasks()} == {"done"}, tree.database.counts()
    assert {task.external_id for task in tree.database.tasks()} == {*names, "afterwards"}
    assert "Traceback" not in tree.log
    assert [line for line in tree.journal() if line[0] == "overlap"] == []


def start(start_tree: StartTree, database: Database, *types: str) -> tuple[Tree, dict[str, list[int]]]:
    """Start a tree, and wait until tasks of these types have run: their fetchers take nothing over any more."""
    tree = start_tree(app=APP)
    eventually(lambda: "up as pid" in tree.log)
    eventually(lambda: len(tree.workers()) == 4)
    living_node(database)
    tree.let_go("first")
    for task_type in types or ("quick", "hold"):
        database.enqueue(task_type, "first")
        eventually(lambda: database.task("first", task_type).status == "done")  # noqa: B023 - called at once
    database.execute("DELETE FROM goque_task WHERE external_id = 'first'")
    return tree, tree.actors()


# -- on servers that really lose them ------------------------------------------------------------------------------


@on_every_server
@pytest.mark.fault(45)
def test_row_45_an_enqueue_and_its_whole_run_are_lost(
    server: ForgetfulServer, start_tree: StartTree, database: Database
) -> None:
    tree, processes = start(start_tree, database)
    former = living_node(database)
    server.write_nothing()
    database.enqueue("quick", *(f"lost{n}" for n in range(20)))
    eventually(database.is_settled)
    lose_heartbeats(server, database, former)
    assert_it_takes_a_new_name(database, former)
    assert_it_goes_on(tree)
    assert tree.actors() == processes


@on_every_server
@pytest.mark.fault(45)
def test_row_45_a_claim_is_lost_while_its_handler_runs(
    server: ForgetfulServer, start_tree: StartTree, database: Database
) -> None:
    """The node has the task in its books: it may not run it twice, and the end of a lost claim settles nothing."""
    tree, processes = start(start_tree, database)
    former = living_node(database)
    database.enqueue("hold", "one", "two", delay=6)
    server.write_nothing()
    for name in ("one", "two"):
        tree.running_pid(name)
    eventually(lambda: database.counts("hold") == {"processing": 2})
    lose_heartbeats(server, database, former)
    assert_it_takes_a_new_name(database, former)
    tree.let_go("one", "two")
    assert_it_goes_on(tree, "one", "two")
    assert tree.actors() == processes


@on_every_server
@pytest.mark.fault(45)
@pytest.mark.fault(47)
def test_row_45_an_end_is_lost(server: ForgetfulServer, start_tree: StartTree, database: Database) -> None:
    tree, processes = start(start_tree, database)
    former = living_node(database)
    database.enqueue("hold", "one", "two")
    for name in ("one", "two"):
        tree.running_pid(name)
    eventually(lambda: database.counts("hold") == {"processing": 2})
    server.write_nothing()
    tree.let_go("one", "two")
    eventually(database.is_settled)
    lose_heartbeats(server, database, former)
    assert_it_takes_a_new_name(database, former)
    assert_it_goes_on(tree, "one", "two")
    assert tree.actors() == processes


@on_every_server
@pytest.mark.fault(45)
def test_row_45_the_rows_of_the_node_and_of_its_types_are_lost(
    server: ForgetfulServer, start_tree: StartTree, database: Database
) -> None:
    database.enqueue("hold", "one", "two")
    server.write_nothing()
    tree, _processes = start(start_tree, database, "quick")
    for name in ("one", "two"):
        tree.running_pid(name)
    former = living_node(database)
    eventually(lambda: len(database.execute("SELECT type FROM goque_type")) == 2)
    server.lose_power()
    assert_it_takes_a_new_name(database, former)
    eventually(lambda: len(database.execute("SELECT type FROM goque_type")) == 2, within=10)
    tree.let_go("one", "two")
    assert_it_goes_on(tree, "one", "two")


@on_every_server
@pytest.mark.fault(45)
def test_row_45_one_line_tells_what_was_lost(
    server: ForgetfulServer, start_tree: StartTree, database: Database
) -> None:
    tree, _processes = start(start_tree, database)
    former = living_node(database)
    server.write_nothing()
    lose_heartbeats(server, database, former, at_least=5)
    assert_it_takes_a_new_name(database, former)
    lines = [line for line in tree.log.splitlines() if "lost" in line and "commit" in line]
    assert len(lines) == 1, tree.log
    assert former in lines[0]


@on_every_server
@pytest.mark.fault(45)
def test_row_45_losses_under_load_leave_nothing_pending_or_processing(
    server: ForgetfulServer, start_tree: StartTree, database: Database
) -> None:
    tree, processes = start(start_tree, database)
    for n in range(3):
        database.enqueue("quick", *(f"kept{n}-{m}" for m in range(300)))
        server.write_nothing()
        database.enqueue("quick", *(f"perhaps{n}-{m}" for m in range(300)))
        eventually(lambda: len(tree.journal()) > 2 * 300 * (n + 1))  # noqa: B023 - called at once
        server.lose_power()
        eventually(database.is_settled, within=30)
    kept = {task.external_id for task in database.tasks() if task.external_id.startswith("kept")}
    assert len(kept) == 900
    assert database.counts().keys() == {"done"}
    assert tree.actors() == processes
    assert "Traceback" not in tree.log


# -- the same by one statement, on every backend (cases 40 and 41) ---------------------------------------------


@on_every_backend
@pytest.mark.fault(45)
@pytest.mark.fault(47)
def test_case_40_ends_that_were_undone_are_found_by_the_living_node(
    start_tree: StartTree, database: Database
) -> None:
    tree, _processes = start(start_tree, database)
    database.enqueue("quick", "one", "two")
    eventually(database.is_settled)
    node = living_node(database)
    database.execute(
        f"UPDATE goque_task SET status = 'processing', claimed_by = '{node}', claims = 1 WHERE type = 'quick'"
    )
    eventually(database.is_settled, within=60)
    assert_it_goes_on(tree, "one", "two")


@on_every_backend
@pytest.mark.fault(45)
def test_case_41_the_end_of_a_claim_that_was_undone_does_not_settle_the_next_claim(
    start_tree: StartTree, database: Database
) -> None:
    tree, processes = start(start_tree, database)
    database.enqueue("hold", "one")
    tree.running_pid("one")
    eventually(lambda: database.counts() == {"processing": 1})
    database.execute(
        "UPDATE goque_task SET status = 'new', claimed_by = NULL, claims = 0, updated_at = NULL WHERE type = 'hold'"
    )
    eventually(lambda: database.task("one").claimed_by is not None or NEW_NAME in tree.log, within=10)
    tree.let_go("one")
    assert_it_goes_on(tree, "one")
    assert tree.actors() == processes


STATUSES = ("pending", "processing", "done", "canceled")


@on_every_backend
@pytest.mark.fault(47)
def test_row_47_rows_in_the_name_of_a_node_that_does_not_hold_them_are_returned_by_the_node(
    start_tree: StartTree, database: Database
) -> None:
    """Of types that it runs and of one that it does not; a row that has ended can be cleaned and reset again."""
    tree, _processes = start(start_tree, database)
    put_in_the_name_of(living_node(database), database)
    left = "SELECT type, status FROM goque_task WHERE claimed_by IS NOT NULL"
    eventually(lambda: database.counts("quick").keys() == {"done", "canceled"}, within=60)
    eventually(lambda: database.execute(left) == [], within=60)
    assert database.counts("nobodys").keys() <= {"new", "error", "done", "canceled"}
    assert "Traceback" not in tree.log


@on_every_backend
@pytest.mark.fault(47)
def test_row_47_a_node_that_stops_leaves_no_row_in_its_name(
    start_tree: StartTree, database: Database
) -> None:
    tree, _processes = start(start_tree, database)
    put_in_the_name_of(living_node(database), database)
    assert tree.stop() == 0
    assert database.execute("SELECT type, status FROM goque_task WHERE claimed_by IS NOT NULL") == []
    assert database.counts().keys() <= {"new", "error", "done", "canceled"}


def put_in_the_name_of(node: str, database: Database) -> None:
    """Write rows of a node that knows nothing of them."""
    now = NOW[database.backend]
    for status in STATUSES:
        for task_type in ("quick", "nobodys"):
            task_id = uuid.uuid4()
            database.execute(
                "INSERT INTO goque_task (id, type, external_id, payload, status, attempts, metadata, created_at, "
                f"updated_at, next_attempt_at, claimed_by, claims) VALUES ('{task_id}', '{task_type}', '{task_id}', "
                f"'{{}}', '{status}', 0, '{{}}', {now}, {now}, {now}, '{node}', 7)"
            )


NOW = {"sqlite": "strftime('%Y-%m-%dT%H:%M:%fZ')", "postgresql": "now()", "mysql": "UTC_TIMESTAMP(6)"}
