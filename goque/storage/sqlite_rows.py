"""Rows of SQLite: instants as text that sorts, and reading that survives whatever a file holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec

from goque.outcome import Change
from goque.payload import encode_payload
from goque.storage.dialect import Row
from goque.storage.instants import due_at, later
from goque.task import Task, TaskRow

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_encode: Final = msgspec.json.Encoder().encode


def time_text(instant: datetime) -> str:
    """Write an aware datetime as `2026-11-23T21:02:33.123456Z`."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return f"{instant.isoformat(timespec='microseconds')[:26]}Z"


@lru_cache(maxsize=4096)
def read_time(value: Any) -> datetime:
    """Read RFC 3339 text, or SQLite's own `YYYY-MM-DD HH:MM:SS` in UTC; the epoch for anything else."""
    try:
        instant = datetime.fromisoformat(read_text(value))
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return EPOCH


def read_text(value: Any) -> str:
    """Read a value as text whatever it is; bytes that are no UTF-8 become replacement characters."""
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )


def read_task(row: Row) -> TaskRow:
    """Read a task; its texts come as bytes (see `SqliteSession`), and nothing in them can make this fail."""
    updated_at, errors, owner = row[9], row[6], row[13]
    try:
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
        )
    except (AttributeError, UnicodeDecodeError):
        return _read_hostile_task(row)


def _read_hostile_task(row: Row) -> TaskRow:
    return TaskRow(
        id=read_text(row[0]),
        type=read_text(row[1]),
        external_id=read_text(row[2]),
        payload=_read_bytes(row[3]) or b"",
        status=read_text(row[4]),
        attempts=_read_int(row[5]),
        errors=None if row[6] is None else read_text(row[6]),
        metadata=_read_bytes(row[7]),
        created_at=read_time(row[8]),
        updated_at=None if row[9] is None else read_time(row[9]),
        next_attempt_at=read_time(row[10]),
        priority=_read_int(row[11]),
        result=_read_bytes(row[12]),
        claimed_by=None if row[13] is None else read_text(row[13]),
        claims=_read_int(row[14]),
        lost_claims=_read_int(row[15]),
    )


def _read_bytes(value: Any) -> bytes | None:
    return value if value is None or isinstance(value, bytes) else str(value).encode()


def _read_int(value: Any) -> int:
    return value if isinstance(value, int) else 0


def task_params(task: Task, now: datetime) -> dict[str, Any]:
    """Return the parameters that insert one task."""
    return {
        "id": task.id,
        "type": task.type,
        "external_id": task.external_id,
        "payload": task.raw_payload,
        "metadata": metadata_text(task),
        "next_attempt_at": time_text(due_at(task, now)),
        "priority": task.priority,
    }


def encode_tasks(tasks: Sequence[Task], now: datetime) -> str:
    """Encode tasks as the rows of one JSON array."""
    text = time_text(now)
    return _encode(
        [
            (
                task.id,
                task.type,
                task.external_id,
                task.raw_payload,
                metadata_text(task),
                time_text(due_at(task, now)) if task.delay or task.next_attempt_at else text,
                task.priority,
            )
            for task in tasks
        ]
    ).decode()


def metadata_text(task: Task) -> str:
    """Return a task's metadata as JSON text, `{}` when empty."""
    return encode_payload(task.metadata, what="metadata").decode() if task.metadata else "{}"


def encode_claims(claims: Mapping[str, int]) -> str:
    """Encode claims as one JSON object."""
    return _encode(claims).decode()


def encode_list(values: Sequence[str]) -> str:
    """Encode texts as one JSON array."""
    return _encode(values).decode()


def encode_moves(changes: Iterable[Change], now: datetime) -> str:
    """Encode moves as one JSON object of arrays, in the order that `SETTLE_MOVES` reads them."""
    return _encode(
        {
            change.token.task_id: (
                change.token.claims,
                change.status,
                change.attempts,
                change.errors,
                None if change.delay is None else time_text(later(now, change.delay)),
                None if change.result is None else change.result.decode("utf-8", "replace"),
                change.lost_claims,
            )
            for change in changes
        }
    ).decode()
