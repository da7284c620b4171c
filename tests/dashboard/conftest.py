from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

for suite in ("storage", "process"):
    sys.path.append(str(Path(__file__).parents[1] / suite))  # their databases and trees are used here too

from backends import Backend, make  # noqa: E402 - from a folder above
from dashboards import OpenDashboard  # noqa: E402 - it needs them

from goque.dashboard import create_app  # noqa: E402 - sorted after it
from goque.storage import open_storage  # noqa: E402 - the same
from goque.storage.sql.storage import SqlStorage  # noqa: E402 - the same


@pytest.fixture
def backend_name() -> str:
    """Which kind of database a test runs on; `on_every_backend` names the others too."""
    return "sqlite"


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
