from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backends import BACKENDS, Backend, Clock, MysqlBackend, PostgresqlBackend, SqliteBackend, make

from goque.storage.sql.storage import SqlStorage


@pytest.fixture(params=sorted(BACKENDS))
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    made = make(request.param, tmp_path)
    yield made
    made.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[SqliteBackend]:
    made = SqliteBackend(tmp_path)
    yield made
    made.close()


@pytest.fixture
def postgresql(tmp_path: Path) -> Iterator[PostgresqlBackend]:
    made = make("postgresql", tmp_path)
    assert isinstance(made, PostgresqlBackend)
    yield made
    made.close()


@pytest.fixture
def mysql(tmp_path: Path) -> Iterator[MysqlBackend]:
    made = make("mysql", tmp_path)
    assert isinstance(made, MysqlBackend)
    yield made
    made.close()


@pytest.fixture
def storage(backend: Backend) -> SqlStorage:
    made = backend.new_storage()
    made.migrate()
    return made


@pytest.fixture
def other(backend: Backend, storage: SqlStorage) -> SqlStorage:
    """A second process on the same database."""
    del storage
    return backend.new_storage()


@pytest.fixture
def clock(backend: Backend) -> Clock:
    return backend.clock
