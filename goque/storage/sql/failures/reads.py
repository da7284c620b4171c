"""What people ask of a SQL storage about groups of failed attempts; each answer goes by an index."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final

from goque.errors import TaskNotFoundError, TaskStateError
from goque.storage.contract.failures import FailureSummary, GroupAttempt, OpenTask, OpenTasks, Resets
from goque.storage.instants import later
from goque.storage.sql.call_policy import PATIENT_WRITE, PINNED_READ, READ, WRITE
from goque.storage.sql.failures.counting import HOUR
from goque.storage.sql.read_values import read_count
from goque.storage.sql.session import Row, Session
from goque.storage.sql.steps import run_steps
from goque.storage.sql.tasks import SqlTasks
from goque.task_row import TaskStatus

MAX_HOUR: Final = 10_000_000
"""A thousand years after 1970, which no clock reaches; what is beyond was written by somebody else."""

OPEN: Final = frozenset({TaskStatus.ERROR.value, TaskStatus.ATTEMPTS_LEFT.value})


class SqlFailures(SqlTasks):
    """The part of the contract about groups of failed attempts."""

    def failure_groups(self, *, task_type: str | None = None, limit: int = 100) -> list[FailureSummary]:
        """Read the groups of one type or of all types, the last seen first."""
        params = {"task_type": task_type, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.failures.groups, params), READ)
        return [self._read_summary(row) for row in rows]

    def failure_group(self, group: str) -> FailureSummary | None:
        """Read one group, None if there is none with this id."""
        params = {"failure_group": group}
        rows = self._run(lambda session: session.rows(self._sql.failures.group, params), READ)
        return self._read_summary(rows[0]) if rows else None

    def failure_course(self, group: str, since: datetime) -> list[tuple[datetime, int]]:
        """Read how many attempts of a group failed in each hour in which one did, oldest first."""
        params = {"failure_group": group, "since": int(since.timestamp()) // HOUR}
        rows = self._run(lambda session: session.rows(self._sql.failures.course, params), PINNED_READ)
        return [
            (datetime.fromtimestamp(hour * HOUR, UTC), read_count(failures))
            for hour, failures in rows
            if isinstance(hour, int) and 0 <= hour < MAX_HOUR
        ]

    def newest_of_group(self, group: str, *, limit: int) -> list[GroupAttempt]:
        """Read the newest failed attempts of a group, newest first."""
        params = {"failure_group": group, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.failures.newest, params), PINNED_READ)
        return [
            GroupAttempt(
                id=row[0],
                task_id=self._dialect.read_text(row[1]),
                attempt=read_count(row[2]),
                error=self._dialect.read_text(row[3]),
                ended_at=self._dialect.read_time(row[4]),
                app_version=self._dialect.read_optional_text(row[5]),
                status=self._dialect.read_optional_text(row[6]),
            )
            for row in sorted(rows, key=itemgetter(0), reverse=True)
        ]

    def newest_attempt(self) -> int:
        """Return the id of the newest failed attempt, 0 if there is none."""
        rows = self._run(lambda session: session.rows(self._sql.failures.newest_id), PINNED_READ)
        return int(rows[0][0]) if rows else 0

    def open_tasks(self, group: str, *, after: int, until: int, limit: int) -> OpenTasks:
        """Read the open tasks among the next `limit` attempts of a group."""
        params = {"failure_group": group, "after": after, "until": until, "limit": limit}
        rows = self._run(lambda session: session.rows(self._sql.failures.walk, params), PINNED_READ)
        text, found = self._dialect.read_text, sorted(rows, key=itemgetter(0))
        tasks = [
            OpenTask(text(task_id), text(status))
            for _, task_id, status, is_last in found
            if is_last and status is not None and text(status) in OPEN
        ]
        return OpenTasks(tasks, found[-1][0] if len(found) == limit else None)

    def reset_open_tasks(self, due_in: Mapping[str, float], *, keep_steps: bool = False) -> Resets:
        """Reset tasks that are still open, in one transaction, each due after its seconds."""
        tried: dict[str, list[datetime]] = {}
        return self._run(
            lambda session: self._reset_each(session, due_in, tried, keep_steps=keep_steps), PATIENT_WRITE
        )

    def _reset_each(
        self,
        session: Session,
        due_in: Mapping[str, float],
        tried: dict[str, list[datetime]],
        *,
        keep_steps: bool,
    ) -> Resets:
        """Reset each task; `tried` says when earlier tries reset it, whose answer was lost."""
        reset: list[str] = []
        refused: list[TaskStateError] = []
        for task_id, delay in due_in.items():
            tried_at = tried.setdefault(task_id, [])
            steps = self._steps.reset_unless_claimed(
                task_id, tried_at, keep_steps=keep_steps, delay=delay, only=OPEN
            )
            try:
                reset += [task_id] * run_steps(session, steps)
            except TaskNotFoundError:
                pass  # the cleaner has deleted it meanwhile
            except TaskStateError as error:
                refused.append(error)
        return Resets(reset, refused)

    def delete_old_failures(self, *, hours_age: float, groups_age: float, limit: int) -> int:
        """Delete counts of old hours, and groups that were not seen for long and have no attempt.

        The rows are found by a read, and deleted by their keys: an idle cleaner takes no lock, and no fetcher that
        counts failures waits for it in a circle.
        """
        sql = self._sql.failures

        def find(session: Session) -> tuple[list[Row], list[Row]]:
            oldest = later(session.now, -hours_age)
            of_hours = {"hour": int(oldest.timestamp()) // HOUR, "limit": limit}
            hours = session.rows(sql.old_hours, of_hours)
            return hours, session.rows(sql.old_groups, {"age": groups_age, "limit": limit})

        hours, groups = self._run(find, READ)
        if hours:
            text = self._dialect.read_text
            params = [{"failure_group": text(group), "hour": hour} for group, hour in hours]
            self._run(lambda session: session.run_many(sql.delete_hour, params), WRITE)
        for (group,) in groups:
            self._delete_group({"failure_group": self._dialect.read_text(group), "age": groups_age})
        return max(len(hours), len(groups))

    def _delete_group(self, params: dict[str, Any]) -> None:
        self._run(lambda session: session.run(self._sql.failures.delete_group, params), WRITE)

    def _read_summary(self, row: Row) -> FailureSummary:
        text, instant = self._dialect.read_text, self._dialect.read_time
        group, task_type, cause, error_class, line, error, failures, first, last, example, *versions = row
        first_version, last_version = versions
        return FailureSummary(
            group=text(group),
            type=text(task_type),
            cause=text(cause),
            error_class=text(error_class),
            line=text(line),
            error=text(error),
            count=read_count(failures),
            first_at=instant(first),
            last_at=instant(last),
            example=text(example),
            first_version=self._dialect.read_optional_text(first_version),
            last_version=self._dialect.read_optional_text(last_version),
        )
