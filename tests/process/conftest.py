from __future__ import annotations

import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from databases import Database, make_database
from private_servers import PrivateServer
from tree import StartTree, Tree, python_command, supervise_command, write_app

from goque_supervisor.ipc import os_process


@pytest.fixture(autouse=True)
def _adopt_orphans() -> Iterator[None]:
    """Be the parent of what a killed tree leaves behind, so that its zombies are seen and reaped.

    Only for the length of a test: zombies of other suites are not ours, and a chaos run ends with this switched off.
    """
    os_process.become_subreaper()
    yield
    os_process.become_subreaper(wanted=False)


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A run directory with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="gq-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def backend() -> str:
    """Which kind of database a test runs on; `on_every_backend` and its like name others."""
    return "sqlite"


@pytest.fixture
def database(backend: str, tmp_path: Path) -> Iterator[Database]:
    """The database of the trees that a test starts."""
    made = make_database(backend, tmp_path)
    yield made
    made.drop()


@pytest.fixture
def start_tree(tmp_path: Path, run_dir: Path, database: Database) -> Iterator[StartTree]:
    """Start trees on one database; when the test ends they are stopped, and nothing may be left of them.

    The first tree of a test brings the source of the app, the others run what is there. A tree that is
    `apart` gets a run directory of its own, one `beside` another takes that of the other, and one in a
    `container` is the first process of a PID namespace; before one there may be a `goque migrate`, and it may be
    `wrapped_in` another command.
    """
    trees: list[Tree] = []

    def start(
        *options: str,
        app: str | None = None,
        apart: bool = False,
        beside: Tree | None = None,
        container: bool = False,
        migrate_first: bool = False,
        wrapped_in: Sequence[str] = (),
        **env: str,
    ) -> Tree:
        if app is not None:
            write_app(tmp_path, app)
        own = beside.run_dir if beside else run_dir / f"{len(trees)}" if apart else run_dir / "shared"
        command = [*wrapped_in, *supervise_command(own, *options)]
        if container:
            command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", *command]
        if migrate_first:
            migrate = python_command("-m", "goque.cli", "migrate")
            command = ["sh", "-c", f"{shlex.join(migrate)} && exec {shlex.join(command)}"]
        trees.append(Tree(tmp_path, own, database, command, env))
        return trees[-1]

    try:
        yield start
        for tree in trees:
            if tree.process.poll() is None:
                assert tree.stop() == 0
        for tree in trees:
            tree.assert_nothing_left()
        database.assert_nobody_holds_anything()
    finally:
        for tree in trees:
            tree.clean_up()
            print(tree.log)  # noqa: T201 - pytest shows it when the test failed


@pytest.fixture(scope="session")
def _private_servers() -> Iterator[dict[str, PrivateServer]]:
    servers: dict[str, PrivateServer] = {}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture
def server(backend: str, _private_servers: dict[str, PrivateServer]) -> Iterator[PrivateServer]:
    """A running server that nobody else uses, for `on_every_server`: the test may do with it what it likes."""
    if backend not in _private_servers:
        _private_servers[backend] = PrivateServer(backend)
    yield _private_servers[backend]
    _private_servers[backend].repair()
