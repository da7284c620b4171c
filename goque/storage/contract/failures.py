"""What people ask of a storage about groups of failed attempts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from goque.errors import TaskStateError


class FailureSummary(msgspec.Struct, frozen=True):
    """A group of failed attempts.

    Attributes:
        group: its id, by which people name it.
        type: the task type.
        cause: the kind of failure, as `goque.task_rules.failure_group.FailureGroup` has it.
        error_class: the class of the exception; empty for another cause.
        line: the last line of the user's own code; empty where it is not known.
        error: the first line of the newest error.
        count: how many attempts have failed.
        first_at: when the first of them failed.
        last_at: when the newest of them failed.
        example: the task of the newest.
        first_version: the first version of the app that is known to have failed so; None if none is known.
        last_version: the newest such version.
    """

    group: str
    type: str
    cause: str
    error_class: str
    line: str
    error: str
    count: int
    first_at: datetime
    last_at: datetime
    example: str
    first_version: str | None
    last_version: str | None


class GroupAttempt(msgspec.Struct, frozen=True):
    """One failed attempt of a group; `status` is the task's now, None where it is deleted."""

    id: int
    task_id: str
    attempt: int
    error: str
    ended_at: datetime
    app_version: str | None
    status: str | None


class OpenTask(msgspec.Struct, frozen=True):
    """An open task of a group: its id and status."""

    id: str
    status: str


class OpenTasks(msgspec.Struct, frozen=True):
    """A part of the open tasks of a group, those that failed first before the others.

    Attributes:
        tasks: the tasks.
        after: where to go on; None where nothing is left.
    """

    tasks: Sequence[OpenTask]
    after: int | None


class Resets(msgspec.Struct, frozen=True):
    """What came of resetting tasks; tasks that went on meanwhile are in neither list.

    Attributes:
        reset: the tasks that were reset.
        refused: why others were not.
    """

    reset: Sequence[str]
    refused: Sequence[TaskStateError]


class Failures(Protocol):
    """Look at groups of failed attempts, and delete old ones.

    The open tasks of a group are those that wait for another attempt, or have none left, and whose last failed attempt
    is of the group.
    """

    @abstractmethod
    def failure_groups(self, *, task_type: str | None = None, limit: int = 100) -> list[FailureSummary]:
        """Read the groups of one type or of all types, the last seen first."""

    @abstractmethod
    def failure_group(self, group: str) -> FailureSummary | None:
        """Read one group, None if there is none with this id."""

    @abstractmethod
    def failure_course(self, group: str, since: datetime) -> list[tuple[datetime, int]]:
        """Read how many attempts of a group failed in each hour in which one did, oldest first."""

    @abstractmethod
    def newest_of_group(self, group: str, *, limit: int) -> list[GroupAttempt]:
        """Read the newest failed attempts of a group, newest first."""

    @abstractmethod
    def newest_attempt(self) -> int:
        """Return the id of the newest failed attempt, 0 if there is none: where a walk over open tasks ends."""

    @abstractmethod
    def open_tasks(self, group: str, *, after: int, until: int, limit: int) -> OpenTasks:
        """Read the open tasks among the next `limit` attempts of a group.

        Args:
            group: the group.
            after: the id of an attempt, 0 for the beginning; the attempts behind it are read.
            until: the id of the last attempt to read.
            limit: how many attempts to read.
        """

    @abstractmethod
    def reset_open_tasks(self, due_in: Mapping[str, float], *, keep_steps: bool = False) -> Resets:
        """Reset tasks that still wait for another attempt, or have none left; those that have gone on are left.

        All of it is one transaction, so give few hundred at a time.

        Args:
            due_in: the tasks, each with the seconds until it is due.
            keep_steps: whether their recorded steps, signals and progress stay.
        """

    @abstractmethod
    def delete_old_failures(self, *, hours_age: float, groups_age: float, limit: int) -> int:
        """Delete up to `limit` counts of old hours, and as many groups that were not seen for long and have no attempt.

        Returns: the larger of both numbers.
        """
