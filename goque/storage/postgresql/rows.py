"""Read rows in PostgreSQL's binary format: it does not depend on session settings, and no value raises an error."""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import Format

from goque.storage.instants import EARLIEST, EPOCH, LATEST
from goque.storage.sql.session import Row
from goque.task_row import TaskRow

_SINCE_EPOCH: Final = 946_684_800_000_000
"""Microseconds from 1970 to 2000, the year in which PostgreSQL's timestamps begin."""

_read_int64: Final = struct.Struct("!q").unpack


class _InstantLoader(Loader):
    """Reads an instant in UTC. Infinity, and years out of Python's range, become its earliest or latest instant."""

    format = Format.BINARY

    def load(self, data: Buffer) -> datetime:
        return _instant_of(bytes(data))


@lru_cache(maxsize=256)  # the rows of one claim have many equal timestamps
def _instant_of(data: bytes) -> datetime:
    (count,) = _read_int64(data)
    return instant(count + _SINCE_EPOCH)


class _IdLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> str:
        text = bytes(data).hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class _JsonbLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data[1:])  # the first byte is the version of the format


class _JsonLoader(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


LOADERS: Final[dict[str, type[Any]]] = {
    "timestamptz": _InstantLoader,
    "uuid": _IdLoader,
    "jsonb": _JsonbLoader,
    "json": _JsonLoader,
}


def register(context: AdaptContext) -> None:
    """Register this module's loaders on a connection or a cursor."""
    adapters = context.adapters
    assert isinstance(adapters, AdaptersMap)
    for name, loader in LOADERS.items():
        adapters.register_loader(name, loader)


def instant(microseconds: int) -> datetime:
    """Return the instant this number of microseconds after 1970, or the nearest in Python's range."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return EARLIEST if microseconds < 0 else LATEST


def read_time(value: Any) -> datetime:
    """Return an instant, or 1970 for a value that is none."""
    return value if isinstance(value, datetime) else EPOCH


def read_text(value: Any) -> str:
    """Return any value as text; NULL becomes an empty text."""
    return value if isinstance(value, str) else "" if value is None else str(value)


def read_task(row: Row) -> TaskRow:
    """Read a task. The column types guarantee that each value is valid."""
    return TaskRow(*row)
