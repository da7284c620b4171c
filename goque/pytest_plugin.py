"""The pytest plugin: fixtures for tests of handlers. It imports goque only when a test uses a fixture.

The database of a test is a SQLite file. The environment variable `GOQUE_TEST_DATABASE_URL`, or `goque_database_url` in
pytest's configuration, names a server's instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from goque.queue.manager import TaskQueueManager
    from goque.registry import Registry
    from goque.testing import RunningTree


URL_OPTION: Final = "goque_database_url"
URL_VARIABLE: Final = "GOQUE_TEST_DATABASE_URL"
WORKER: Final = "{worker}"
"""Stands in the URL for the name of pytest-xdist's worker, `gw0` and so on, or `main`."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for pytest's configuration."""
    parser.addini(
        URL_OPTION,
        f"the database of goque's fixtures, which tests empty; {WORKER} in it is the name of pytest-xdist's worker",
        default="",
    )


@pytest.fixture(scope="session")
def goque_server_url(request: pytest.FixtureRequest) -> str | None:
    """Return the URL of the database that all tests share, with goque's tables; None if none is configured."""
    url = os.environ.get(URL_VARIABLE) or request.config.getini(URL_OPTION)
    if not url:
        return None
    from goque.errors import GoqueError  # noqa: PLC0415 - see the top
    from goque.storage import open_storage  # noqa: PLC0415 - see the top

    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and WORKER not in url:
        pytest.fail(
            f"tests that run side by side need a database each: write {WORKER} in {URL_OPTION} or {URL_VARIABLE}, "
            f"as in postgresql://localhost/test_{WORKER}, and create test_gw0, test_gw1 and so on",
            pytrace=False,
        )
    url = url.replace(WORKER, worker or "main")
    try:
        storage = open_storage(url)
        try:
            storage.migrate()
        finally:
            storage.close()
    except GoqueError as error:
        pytest.fail(f"the database of {URL_OPTION} or {URL_VARIABLE}: {error}", pytrace=False)
    return url


@pytest.fixture
def goque_database_url(goque_server_url: str | None, tmp_path: Path) -> str:
    """Return the URL of the test's database: a SQLite file of its own, or the configured server's, emptied.

    Override this fixture to use another database.
    """
    if goque_server_url is None:
        return f"sqlite:///{tmp_path / 'goque.db'}"
    from goque.testing import empty  # noqa: PLC0415 - see the top

    empty(goque_server_url)
    return goque_server_url


@pytest.fixture
def goque_queue(
    goque_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Registry], TaskQueueManager]]:
    """Give a registry the test's database until the test ends: call it with the registry, and get its queue.

    The fixture makes the tables. `registry.queue` and `registry.async_queue` enqueue there, and so do managers without
    a URL, because it sets `GOQUE_DATABASE_URL`.
    """
    from goque.testing import own_database  # noqa: PLC0415 - see the top

    opened: dict[int, TaskQueueManager] = {}
    monkeypatch.setenv("GOQUE_DATABASE_URL", goque_database_url)
    with ExitStack() as ends:

        def give(registry: Registry) -> TaskQueueManager:
            if id(registry) not in opened:
                opened[id(registry)] = ends.enter_context(own_database(registry, goque_database_url))
            return opened[id(registry)]

        yield give


@pytest.fixture
def goque_tree(
    goque_database_url: str, goque_queue: Callable[[Registry], TaskQueueManager]
) -> Iterator[Callable[..., RunningTree]]:
    """Run real trees until the test ends: call it with a registry or "module:registry", and get a `RunningTree`.

    Keywords are the options of `goque.Supervisor`. At the end of the test the tree is stopped. The test fails if the
    tree does not stop in order. pytest captures the tree's log with stderr. Waiting for a task of a tree that has ended
    fails at once. By its name, the tree imports the registry itself: its processes have nothing of the test's.
    """
    from goque.app import load_registry  # noqa: PLC0415 - see the top
    from goque.testing import RunningTree  # noqa: PLC0415 - see the top

    with ExitStack() as ends:

        def start(registry: Registry | str, **options: Any) -> RunningTree:
            app = registry if isinstance(registry, str) else None
            loaded = load_registry(registry) if isinstance(registry, str) else registry
            goque_queue(loaded)
            return ends.enter_context(RunningTree(loaded, goque_database_url, app=app, **options))

        yield start


@pytest.fixture
def goque_crash() -> Iterator[Callable[..., None]]:
    """Let the workers of a type crash: `goque_crash(registry, "send_email", when="after")`, then start a tree.

    The arguments are those of `goque.testing.crash_on_purpose`. It lasts until the test ends.
    """
    from goque.testing import crash_on_purpose  # noqa: PLC0415 - see the top

    with ExitStack() as ends:

        def let_crash(registry: Registry, task_type: str, **how: Any) -> None:
            ends.enter_context(crash_on_purpose(registry, task_type, **how))

        yield let_crash


@pytest.fixture
def goque_django(request: pytest.FixtureRequest) -> Iterator[TaskQueueManager]:
    """Give a test that commits the queue of the Django project. The queue is empty before and after the test.

    With pytest-django it uses `transactional_db`, so that the test's database is used, and emptied too.
    """
    from importlib import import_module  # noqa: PLC0415 - see the top

    if request.config.pluginmanager.hasplugin("django"):
        request.getfixturevalue("transactional_db")
    testing = import_module("goque.contrib.django.testing")  # it needs Django and the project's settings
    with testing.empty_queue() as queue:
        yield queue
