from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from starlette.testclient import TestClient

STORAGE_TESTS = Path(__file__).parents[1] / "storage"
sys.path.insert(0, str(STORAGE_TESTS))

from backends import BACKENDS, Backend  # noqa: E402 - from the folder above

from goque.dashboard import create_app  # noqa: E402 - sorted after it
from goque.storage import open_storage  # noqa: E402 - the same
from goque.storage.sql_storage import SqlStorage  # noqa: E402 - the same


def _make() -> Any:
    """Take how the storage suite treats servers that are missing: an error in CI, a loud skip elsewhere."""
    spec = importlib.util.spec_from_file_location("storage_conftest", STORAGE_TESTS / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.make


make = _make()


@pytest.fixture
def backend_name() -> str:
    """Which kind of database a test runs on; `on_every_backend` names the others too."""
    return "sqlite"


on_every_backend = pytest.mark.parametrize("backend_name", sorted(BACKENDS))


@pytest.fixture
def backend(backend_name: str, tmp_path: Path) -> Iterator[Backend]:
    made = make(backend_name, tmp_path)
    yield made
    made.close()


@pytest.fixture
def storage(backend: Backend) -> Iterator[SqlStorage]:
    """The queue, with the database's own clock."""
    made = open_storage(backend.url)
    assert isinstance(made, SqlStorage)
    made.migrate()
    yield made
    made.close()


class OpenDashboard(Protocol):
    def __call__(self, source: Any, **options: Any) -> TestClient: ...


@pytest.fixture
def open_dashboard() -> Iterator[OpenDashboard]:
    """Make dashboards with a browser each, which does not follow where it is sent; closed after the test."""
    clients: list[TestClient] = []

    def open_one(source: Any, *, base_url: str = "http://testserver", **options: Any) -> TestClient:
        client = TestClient(create_app(source, **options), base_url=base_url, follow_redirects=False)
        clients.append(client)
        return client.__enter__()

    yield open_one
    for client in clients:
        client.__exit__(None, None, None)


@pytest.fixture
def dashboard(storage: SqlStorage, backend: Backend, open_dashboard: OpenDashboard) -> TestClient:
    """A dashboard where everybody may act."""
    del storage
    return open_dashboard(backend.url, actions=True)
