"""Which tasks a search returns."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from goque.errors import ConfigurationError, length
from goque.task_row import TaskStatus
from goque.task_rules.checks import check_instant, check_name

_STATUSES: Final = tuple(TaskStatus)


class TaskFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which tasks `get_tasks` returns; fields left at None do not restrict.

    Attributes:
        ids: only these ids.
        task_type: only this type.
        limit_key: only tasks with this key of limits.
        failure: only the open tasks of this group of failures: those that wait for another attempt, or have none left,
            and whose last failed attempt is of it.
        status: only this status; together with `statuses`, either.
        statuses: only these statuses.
        updated_before: only tasks whose last move (or creation) is before this aware datetime.
        updated_at_time_ago: only tasks whose last move is this long ago or longer, by the database's clock.

    Raises:
        ConfigurationError: a field is of another type, or is no status, or a datetime without a time zone.
    """

    ids: Sequence[str] | None = None
    task_type: str | None = None
    limit_key: str | None = None
    failure: str | None = None
    status: TaskStatus | None = None
    statuses: Sequence[TaskStatus] | None = None
    updated_before: datetime | None = None
    updated_at_time_ago: float | timedelta | None = None

    def __post_init__(self) -> None:
        if self.ids is not None:
            for task_id in _checked_items("ids", self.ids):
                if not isinstance(task_id, str):
                    raise ConfigurationError(f"ids must be texts, not {task_id!r:.80}")
        self._check_texts()
        if self.status is not None:
            _check_status(self.status)
        for status in _checked_items("statuses", self.statuses or ()):
            _check_status(status)
        if self.updated_before is not None:
            check_instant("updated_before", self.updated_before)
        if self.updated_at_time_ago is not None:
            length(self.updated_at_time_ago, "updated_at_time_ago")

    def _check_texts(self) -> None:
        if self.task_type is not None and not isinstance(self.task_type, str):
            raise ConfigurationError(f"task_type must be text, not {self.task_type!r:.80}")
        for name in ("limit_key", "failure"):
            if getattr(self, name) is not None:
                check_name(name, getattr(self, name))


def _checked_items(name: str, value: object) -> Collection[Any]:
    if not isinstance(value, Collection) or isinstance(value, str | bytes):
        raise ConfigurationError(f"{name} must be a list, not {value!r:.80}")
    return value


def _check_status(status: object) -> None:
    if status not in _STATUSES:
        raise ConfigurationError(f"a status is one of {', '.join(TaskStatus)}, not {status!r:.80}")
