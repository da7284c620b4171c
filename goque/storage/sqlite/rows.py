"""Rows of SQLite: instants as text that sorts, and reading that survives whatever a file holds."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from goque.storage.instants import EPOCH
from goque.storage.sql.read_values import read_count
from goque.storage.sql.session import Row
from goque.task_row import MAX_COUNT, TaskRow

ID_LENGTH: Final = 36
_ID_BYTES: Final = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=4096)
def read_time(value: Any) -> datetime:
    """Read RFC 3339 text, or SQLite's own `YYYY-MM-DD HH:MM:SS` in UTC; the epoch for anything else."""
    try:
        instant = datetime.fromisoformat(read_text(value))
        if instant.tzinfo is UTC:
            return instant
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return EPOCH


def read_text(value: Any) -> str:
    """Read a value as text whatever it is; bytes that are no UTF-8 become replacement characters."""
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )


def are_usual(rows: Sequence[Row]) -> bool:
    """Return whether all these claimed rows have usual ids and usual numbers of claims.

    It tells the same as `HAS_USUAL_ID` of texts. That takes SQLite a sixth of a claim.
    """
    try:
        ids = b"".join([row[0] for row in rows])
        return not ids.translate(None, _ID_BYTES) and all(
            len(row[0]) == ID_LENGTH and type(row[14]) is int and 0 < row[14] <= MAX_COUNT for row in rows
        )
    except TypeError:
        return False  # an id that is a number, or NULL


def read_task(row: Row) -> TaskRow:
    """Read a task; its texts come as bytes (see `SqliteSession`), and nothing in them can make this fail."""
    updated_at, errors, owner, unique_key, limit_key = row[9], row[6], row[13], row[16], row[17]
    flags = row[18]
    try:
        if (row[5] | row[14] | row[15]) >> 31 or abs(row[11]) >> 15 or row[3] is None or (flags or 0) >> 15:
            return _read_hostile_task(row)
        return TaskRow(
            row[0].decode(),
            row[1].decode(),
            row[2].decode(),
            row[3],
            row[4].decode(),
            row[5],
            None if errors is None else errors.decode("utf-8", "replace"),
            row[7],
            read_time(row[8]),
            None if updated_at is None else read_time(updated_at),
            read_time(row[10]),
            row[11],
            row[12],
            None if owner is None else owner.decode(),
            row[14],
            row[15],
            None if unique_key is None else unique_key.decode(),
            None if limit_key is None else limit_key.decode(),
            flags,
        )
    except (AttributeError, TypeError, UnicodeDecodeError):
        return _read_hostile_task(row)


def _read_hostile_task(row: Row) -> TaskRow:
    return TaskRow(
        id=read_text(row[0]),
        type=read_text(row[1]),
        external_id=read_text(row[2]),
        payload=_read_bytes(row[3]) or b"",
        status=read_text(row[4]),
        attempts=read_count(row[5]),
        errors=None if row[6] is None else read_text(row[6]),
        metadata=_read_bytes(row[7]),
        created_at=read_time(row[8]),
        updated_at=None if row[9] is None else read_time(row[9]),
        next_attempt_at=read_time(row[10]),
        priority=read_count(row[11]),
        result=_read_bytes(row[12]),
        claimed_by=None if row[13] is None else read_text(row[13]),
        claims=read_count(row[14]),
        lost_claims=read_count(row[15]),
        unique_key=None if row[16] is None else read_text(row[16]),
        limit_key=None if row[17] is None else read_text(row[17]),
        flags=read_count(row[18]) & 0x7FFF,
    )


def _read_bytes(value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()
