"""Rows of MySQL and MariaDB: instants as text in UTC, which the session's zone is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

import msgspec
from pymysql.constants import FIELD_TYPE
from pymysql.converters import conversions

from goque.outcome import Change
from goque.storage.instants import EPOCH, due_at, later
from goque.storage.sql.batches import metadata_text
from goque.storage.sql.session import Row
from goque.task import Task
from goque.task_row import TaskRow

FIRST: Final = datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
LAST: Final = datetime(2038, 1, 19, 3, 14, 7, 999999, tzinfo=UTC)
"""What a TIMESTAMP can say; an instant beyond becomes the nearest."""

_encode: Final = msgspec.json.Encoder().encode


def time_text(instant: datetime) -> str:
    """Write an aware datetime as `2026-11-23 21:02:33.123456`, in UTC."""
    within = min(max(instant, FIRST), LAST)
    if within.tzinfo is not UTC:
        within = within.astimezone(UTC)
    return within.isoformat(sep=" ", timespec="microseconds")[:26]


def read_time(value: Any) -> datetime:
    """Read an instant as a driver gives it; the epoch for a zero date."""
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    return _instant_of(read_text(value))


@lru_cache(
    maxsize=4096
)  # a row has most of its instants twice, and many rows of one bulk insert have the same
def _instant_of(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return EPOCH


def read_text(value: Any) -> str:
    """Return a value as text whatever it is."""
    if isinstance(value, str):
        return value
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )


def read_task(row: Row) -> TaskRow:
    """Read a task."""
    metadata, updated_at, result = row[7], row[9], row[12]
    return TaskRow(
        row[0],
        row[1],
        row[2],
        read_text(row[3]).encode(),
        row[4],
        row[5],
        row[6],
        None if metadata is None else read_text(metadata).encode(),
        read_time(row[8]),
        None if updated_at is None else read_time(updated_at),
        read_time(row[10]),
        row[11],
        None if result is None else read_text(result).encode(),
        row[13],
        row[14],
        row[15],
        row[16],
        row[17],
        row[18],
    )


def task_params(task: Task, now: datetime) -> dict[str, Any]:
    """Return the parameters that insert one task."""
    [params] = batch_params([task], now)
    return params


def batch_params(tasks: Iterable[Task], now: datetime) -> list[dict[str, Any]]:
    """Return the parameters that insert some tasks, for each task."""
    text = time_text(now)
    return [
        {
            "id": task.id,
            "type": task.type,
            "external_id": task.external_id,
            "payload": task.raw_payload,
            "status": task.status,
            "attempts": 0,
            "metadata": metadata_text(task),
            "created_at": text,
            "next_attempt_at": time_text(due_at(task, now)) if task.delay or task.next_attempt_at else text,
            "priority": task.priority,
            "unique_key": task.unique_key,
            "limit_key": task.stored_limit_key,
            "flags": task.flags or None,
        }
        for task in tasks
    ]


def encode_claims(claims: Mapping[str, int]) -> str:
    """Encode claims as a JSON array in the order of their ids."""
    return _encode(sorted(claims.items())).decode()


def encode_moves(changes: Iterable[Change], now: datetime) -> str:
    """Encode moves as a JSON array in the order of their ids."""
    return _encode(
        [
            (
                change.token.task_id,
                change.token.claims,
                change.status,
                change.attempts,
                change.errors,
                None if change.delay is None else time_text(later(now, change.delay)),
                None if change.result is None else change.result.decode("utf-8", "replace"),
                change.lost_claims,
            )
            for change in sorted(changes, key=lambda change: change.token)
        ]
    ).decode()


def encode_list(values: Sequence[str]) -> list[str]:
    """Return texts for an `IN`, which must not be empty: no id and no status is the empty text."""
    return list(values) or [""]


DECODERS: Final[dict[Any, Any]] = {
    **conversions,
    FIELD_TYPE.TIMESTAMP: _instant_of,
    FIELD_TYPE.DATETIME: _instant_of,
}
