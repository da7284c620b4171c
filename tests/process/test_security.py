"""Strangers on the ipc socket change nothing, and no password appears in a log, command line or page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import zmq
from databases import Database, PostgresqlDatabase
from resource_limits import unable
from tree import StartTree, Tree, eventually, free_port, get

APP = """
@registry.processor("fine", workers=2, min_workers=2, fetch_tick=0.1)
def fine(task: Task):
    with run_of(task):
        pass
"""
CURIOUS = """
@registry.processor("curious", workers=1, fetch_tick=0.1)
def curious(task: Task):
    environment = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    note("environment", "S3cr-t-w0rd" in environment)
"""
SECRET = "S3cr-t-w0rd"
READER = """
note("import", "S3cr-t-w0rd" in os.environ["GOQUE_DATABASE_URL"])

def look(name):
    environment = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    note(name, "S3cr-t-w0rd" in environment or "GOQUE_DATABASE_URL" in os.environ)

@registry.processor("curious", workers=1, fetch_tick=0.1)
def curious(task: Task):
    look("environment")
    registry.queue.add_task(Task("follow_up", {}))

@registry.processor("follow_up", workers=1, fetch_tick=0.1)
def follow_up(task: Task):
    look("follow_up")
"""
KNOCK = """
import os, socket, sys
def answer(call, place):
    try:
        call(place)
    except OSError as error:
        return type(error).__name__
    return "let_in"
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with socket.socket(socket.AF_UNIX) as stranger:
    print(answer(stranger.connect, sys.argv[1]), *(answer(os.listdir, place) for place in sys.argv[2:]))
"""


def the_socket(tree: Tree) -> Path:
    (path,) = eventually(lambda: list(tree.run_dir.glob("*/*.sock")))
    return path


def see_that_all_goes_on(tree: Tree, names: list[str], *, types: int = 1) -> None:
    eventually(lambda: len(tree.workers("fine")) == 2 and len(tree.pids("fetcher")) == types)
    processes = tree.pids("fetcher"), tree.workers("fine")
    tree.database.enqueue("fine", *names)
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts) for task in tree.database.tasks()} == {("done", 0)}
    tree.assert_each_ran(1, names)
    assert (tree.pids("fetcher"), tree.workers("fine")) == processes


@pytest.mark.fault(39)
def test_random_bytes_and_thousands_of_connections_change_nothing(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    path = the_socket(tree)
    lines = []
    for number in range(10_000):
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(5.0)
        try:
            line.connect(str(path))
            line.send(os.urandom(1 + number % 500))
        except OSError:
            line.close()  # the socket is full, or hung up: as it should
            continue
        lines.append(line)
        if len(lines) == 500:
            lines.pop(0).close()
    try:
        see_that_all_goes_on(tree, [f"t{n}" for n in range(50)])
    finally:
        for line in lines:
            line.close()


@pytest.mark.fault(39)
def test_messages_of_who_does_not_know_the_keys_are_not_heard(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    path = the_socket(tree)
    with zmq.Context() as context:
        strangers = []
        for keys in (None, zmq.curve_keypair()):
            stranger = context.socket(zmq.DEALER)
            stranger.linger = 0
            stranger.identity = b"0.1.000000000000"
            if keys:
                stranger.curve_publickey, stranger.curve_secretkey = keys
                stranger.curve_serverkey = zmq.curve_keypair()[0]
            stranger.connect(f"ipc://{path}")
            stranger.send(b'["results",[[1,["done"]]]]')
            strangers.append(stranger)
        see_that_all_goes_on(tree, ["t1", "t2"])
        assert [stranger.poll(0) for stranger in strangers] == [0, 0]
        for stranger in strangers:
            stranger.close()
    assert "dropped" not in tree.log


@pytest.mark.fault(39)
def test_no_other_user_reaches_the_run_directory(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    path = the_socket(tree)
    for directory in (path.parent, path.parent.parent):
        assert directory.stat().st_mode & 0o077 == 0
    if os.geteuid() != 0:
        unable("only root can become another user, to knock at the socket")
    tree.run_dir.parent.chmod(0o711)  # so that nothing but the run directory itself keeps others out
    knocked = subprocess.run(
        [sys.executable, "-c", KNOCK, str(path), str(tree.run_dir), str(tree.run_dir.parent.parent)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert knocked.stdout.split() == ["PermissionError", "PermissionError", "let_in"]


class TestPassword:
    """A database whose URL has a password; the server of the tests believes anybody."""

    @pytest.fixture
    def backend(self) -> str:
        return "postgresql"

    @pytest.mark.fault(41)
    def test_it_is_in_no_log_command_line_or_page(self, start_tree: StartTree, database: Database) -> None:
        assert isinstance(database, PostgresqlDatabase)
        url = database.url.replace("//postgres@", f"//postgres:{SECRET}@")
        assert SECRET in url
        port = free_port()
        tree = start_tree(
            "--http", f"127.0.0.1:{port}", "--log-level", "debug", app=APP, GOQUE_DATABASE_URL=url
        )
        see_that_all_goes_on(tree, ["t1"])
        database.kill_connections()
        eventually(lambda: "not available" in tree.log or "closed the connection" in tree.log)
        for pid in tree.living():
            for file in ("cmdline", "environ"):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
        for page in ("/metrics", "/healthz", "/readyz", "/"):
            assert SECRET not in get(port, page)[1]
        database.enqueue("fine", "t2")
        eventually(database.is_settled)
        assert tree.stop() == 0
        assert SECRET not in tree.log

    @pytest.mark.fault(41)
    @pytest.mark.parametrize("method", ["forkserver", "spawn"])
    def test_from_the_environment_no_program_of_a_handler_inherits_it(
        self, start_tree: StartTree, database: Database, method: str
    ) -> None:
        url = database.url.replace("//postgres@", f"//postgres:{SECRET}@")
        tree = start_tree("--start-method", method, app=READER, GOQUE_DATABASE_URL=url)
        database.enqueue("curious", "program")
        eventually(lambda: database.is_settled() and len(database.tasks()) == 2, within=60)
        said = sorted(line for line in tree.journal() if line[0] in ("environment", "import", "follow_up"))
        assert said[:2] == [["environment", "False"], ["follow_up", "False"]]
        assert {tuple(line) for line in said[2:]} == {("import", "True")}
        for pid in tree.living():
            assert SECRET.encode() not in Path(f"/proc/{pid}/environ").read_bytes()

    @pytest.mark.fault(41)
    def test_from_a_file_it_is_in_no_environment_and_no_command_line_either(
        self, start_tree: StartTree, database: Database, tmp_path: Path
    ) -> None:
        url = database.url.replace("//postgres@", f"//postgres:{SECRET}@")
        (tmp_path / "goque.toml").write_text(f'database_url = "{url}"\n', "utf-8")
        tree = start_tree(
            "--types", "fine,curious", app=APP + CURIOUS, wrapped_in=["env", "-u", "GOQUE_DATABASE_URL"]
        )
        database.enqueue("curious", "program")
        see_that_all_goes_on(tree, ["t1"], types=2)
        assert [line for line in tree.journal() if line[0] == "environment"] == [["environment", "False"]]
        for pid in tree.living():
            for file in ("cmdline", "environ"):
                assert SECRET.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
        assert SECRET not in tree.log
