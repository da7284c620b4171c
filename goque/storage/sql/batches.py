"""Batches as one JSON parameter: twice as fast as a statement a row, and the same on every database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, Final

import msgspec

from goque.outcome import Change
from goque.payload import encode_payload
from goque.storage.instants import due_at, later, time_text
from goque.task import Task
from goque.task_row import Token

_encode: Final = msgspec.json.Encoder().encode


def task_params(task: Task, now: datetime) -> dict[str, Any]:
    """Return the parameters that insert one task; `next_attempt_at` is None for a task that is due now."""
    return {
        "id": task.id,
        "type": task.type,
        "external_id": task.external_id,
        "payload": task.raw_payload,
        "metadata": metadata_text(task),
        "next_attempt_at": time_text(due_at(task, now)) if task.delay or task.next_attempt_at else None,
        "priority": task.priority,
        "unique_key": task.unique_key,
        "limit_key": task.stored_limit_key,
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
                task.unique_key,
                task.stored_limit_key,
                task.status,
                task.flags or None,
            )
            for task in tasks
        ]
    ).decode()


def copied_row(task: Task, now: datetime, text: str) -> tuple[Any, ...]:
    """Return a new task's row as text, dated `now`, which is `text`."""
    return (
        task.id,
        task.type,
        task.external_id,
        task.raw_payload,
        "new",
        0,
        metadata_text(task),
        text,
        time_text(due_at(task, now)) if task.delay or task.next_attempt_at else text,
        task.priority,
    )


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
    """Encode moves as one JSON object of arrays, in the order that `settle_moves` reads them."""
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


def claims_by_owner(tokens: Iterable[Token], most: int) -> Iterator[tuple[str | None, dict[str, int]]]:
    """Group tokens into batches of one owner, each task once in a batch. An empty owner becomes None."""
    for owner, group in groupby(tokens, key=attrgetter("owner")):
        claims: dict[str, int] = {}
        for token in group:
            if token.task_id in claims or len(claims) == most:
                yield owner or None, claims
                claims = {}
            claims[token.task_id] = token.claims
        yield owner or None, claims
