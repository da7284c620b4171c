from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tree")

from tree import Database, StartTree, Tree, supervise_command, write_app  # noqa: E402 - its assertions are rewritten first

from goque_supervisor import process  # noqa: E402 - sorted after it


@pytest.fixture(scope="session", autouse=True)
def _adopt_orphans() -> None:
    """Become the parent of what a killed tree leaves behind, so that zombies are seen and can be reaped."""
    process.become_subreaper()


@pytest.fixture
def run_dir() -> Iterator[Path]:
    """A run directory with a path that is short enough for sockets."""
    path = Path(tempfile.mkdtemp(prefix="gq-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """The database of the trees that a test starts."""
    return Database(tmp_path)


@pytest.fixture
def start_tree(tmp_path: Path, run_dir: Path) -> Iterator[StartTree]:
    """Start trees on one database; when the test ends they are stopped, and nothing may be left of them.

    The first tree of a test brings the source of the app, the others run what is there. A tree that is
    `apart` gets a run directory of its own, one `beside` another takes that of the other, and one in a
    `container` is the first process of a PID namespace.
    """
    trees: list[Tree] = []

    def start(
        *options: str,
        app: str | None = None,
        apart: bool = False,
        beside: Tree | None = None,
        container: bool = False,
        **env: str,
    ) -> Tree:
        if app is not None:
            write_app(tmp_path, app)
        own = beside.run_dir if beside else run_dir / f"{len(trees)}" if apart else run_dir / "shared"
        command = supervise_command(own, *options)
        if container:
            command = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child", *command]
        trees.append(Tree(tmp_path, own, command, env))
        return trees[-1]

    try:
        yield start
        for tree in trees:
            if tree.process.poll() is None:
                assert tree.stop() == 0
        for tree in trees:
            tree.assert_nothing_left()
        Database(tmp_path).assert_nobody_holds_anything()
    finally:
        for tree in trees:
            tree.clean_up()
            print(tree.log)  # noqa: T201 - pytest shows it when the test failed
