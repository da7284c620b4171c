from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import BACKENDS, Clock, SqliteBackend

from goque.storage.sql_storage import SqlStorage


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteBackend]:
    made = BACKENDS[request.param](tmp_path)
    yield made
    made.close()


@pytest.fixture
def storage(backend: SqliteBackend) -> SqlStorage:
    made = backend.new_storage()
    made.require_schema()
    return made


@pytest.fixture
def other(backend: SqliteBackend, storage: SqlStorage) -> SqlStorage:
    """A second process on the same database."""
    del storage
    return backend.new_storage()


@pytest.fixture
def clock(backend: SqliteBackend) -> Clock:
    return backend.clock
