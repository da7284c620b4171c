"""The statements about groups of failed attempts, which are the same in every dialect but for upserts and indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MAX_FAILURES: Final = 2**62


def is_open(by_task: str) -> str:
    """Return the condition that a task is one of the open tasks of the group `:failure`.

    It asks for one row and not whether any exists, so that a planner cannot make a join of it.

    Args:
        by_task: makes the dialect use the index of attempts by their tasks, which gives the order of their ids too.
    """
    return f"""status IN ('error', 'attempts_left') AND :failure = (
          SELECT failed.failure_group
          FROM goque_attempt AS failed{by_task}
          WHERE failed.task_id = goque_task.id AND coalesce(failed.failure_group, '') <> ''
          ORDER BY failed.id DESC
          LIMIT 1)"""  # noqa: S608 - the parts are constants


@dataclass(frozen=True, kw_only=True)
class FailureStatements:
    """SQL text.

    Attributes:
        count_failures: add `:failures` to a group, which is new or known; the last of them is of the task `:task_id`.
        count_hour: add `:failures` to a group in the hour `:hour`.
        walk: the first `:limit` attempts of a group from `:after` to `:until`, in any order: id, task, status of the
            task, and whether no later one of the task has a group. The status is NULL where the task is deleted.
        newest: the newest `:limit` attempts of a group, in any order: id, task, number, error, end and version of the
            app, and the status of the task.
        groups: the groups of `:task_type`, of all types where it is NULL, last seen first; up to `:limit`.
        group: one group.
        course: the hours of a group since `:since` with their failures, oldest first.
        newest_id: the id of the newest attempt of all.
        old_hours: up to `:limit` hours before `:hour`, each with its group.
        delete_hour: delete an hour of a group.
        old_groups: up to `:limit` groups that were not seen since `:before`, and of which no attempt is left.
        delete_group: delete such a group.
    """

    count_failures: str
    count_hour: str
    walk: str
    newest: str
    old_groups: str
    delete_group: str

    groups: str = """
        SELECT failure_group, type, cause, error_class, line, error, failures, first_at, last_at, example_task_id,
               first_version, last_version
        FROM goque_failure_group
        WHERE CAST(:task_type AS CHAR(255)) IS NULL OR type = :task_type
        ORDER BY last_at DESC, failure_group
        LIMIT :limit"""

    group: str = """
        SELECT failure_group, type, cause, error_class, line, error, failures, first_at, last_at, example_task_id,
               first_version, last_version
        FROM goque_failure_group
        WHERE failure_group = :failure_group"""

    course: str = """
        SELECT hour, failures
        FROM goque_failure_hour
        WHERE failure_group = :failure_group AND hour >= :since
        ORDER BY hour"""

    newest_id: str = """
        SELECT id
        FROM goque_attempt
        ORDER BY id DESC
        LIMIT 1"""

    old_hours: str = """
        SELECT failure_group, hour
        FROM goque_failure_hour
        WHERE hour < :hour
        LIMIT :limit"""

    delete_hour: str = """
        DELETE FROM goque_failure_hour
        WHERE failure_group = :failure_group AND hour = :hour"""


INSERT_GROUP: Final = """
    INSERT INTO goque_failure_group (failure_group, type, cause, error_class, line, error, failures, first_at,
                                     last_at, example_task_id, first_version, last_version)
    VALUES (:failure_group, :type, :cause, :error_class, :line, :error, :failures, :now, :now, :task_id,
            :first_version, :last_version)"""

INSERT_HOUR: Final = """
    INSERT INTO goque_failure_hour (failure_group, hour, failures)
    VALUES (:failure_group, :hour, :failures)"""


def more_failures(count: str, added: str) -> str:
    """Return an expression for a count of failures with more; one that somebody else made enormous stands still."""
    return f"CASE WHEN {count} < {MAX_FAILURES} THEN {count} + {added} ELSE {count} END"


COUNT_FAILURES: Final = f"""{INSERT_GROUP}
    ON CONFLICT (failure_group) DO UPDATE
    SET failures = {more_failures("goque_failure_group.failures", "excluded.failures")}, error = excluded.error,
        last_at = excluded.last_at, example_task_id = excluded.example_task_id,
        first_version = coalesce(goque_failure_group.first_version, excluded.first_version),
        last_version = coalesce(excluded.last_version, goque_failure_group.last_version)"""  # noqa: S608 - the parts are constants

COUNT_HOUR: Final = f"""{INSERT_HOUR}
    ON CONFLICT (failure_group, hour) DO UPDATE
    SET failures = {more_failures("goque_failure_hour.failures", "excluded.failures")}"""  # noqa: S608 - the parts are constants

_UNSEEN: Final = """last_at < :before AND NOT EXISTS (
          SELECT 1
          FROM goque_attempt{by_group}
          WHERE goque_attempt.failure_group = goque_failure_group.failure_group)"""


def old_groups(by_group: str = "") -> str:
    """Return the statement `old_groups`; `by_group` makes the dialect use the index of attempts by their groups."""
    return f"""
    SELECT failure_group
    FROM goque_failure_group
    WHERE {_UNSEEN.format(by_group=by_group)}
    LIMIT :limit"""  # noqa: S608 - the parts are constants


def delete_group(by_group: str = "") -> str:
    """Return the statement `delete_group`; its argument is that of `old_groups`."""
    return f"""
    DELETE FROM goque_failure_group
    WHERE failure_group = :failure_group AND {_UNSEEN.format(by_group=by_group)}"""  # noqa: S608 - the same


def walk(attempts: str) -> str:
    """Return the statement `walk`; `attempts` reads the ids and tasks of the attempts."""
    return f"""
    SELECT found.id, found.task_id, goque_task.status, NOT EXISTS (
        SELECT 1
        FROM goque_attempt AS later
        WHERE later.task_id = found.task_id AND later.id + 0 > found.id AND coalesce(later.failure_group, '') <> '')
    FROM ({attempts}) AS found
    LEFT JOIN goque_task ON goque_task.id = found.task_id"""  # noqa: S608 - the same


def newest(attempts: str) -> str:
    """Return the statement `newest`; `attempts` reads the columns of `NEWEST_COLUMNS`, newest first."""
    return f"""
    SELECT found.id, found.task_id, found.attempt, found.error, found.ended_at, found.app_version, goque_task.status
    FROM ({attempts}) AS found
    LEFT JOIN goque_task ON goque_task.id = found.task_id"""  # noqa: S608 - the same


NEWEST_COLUMNS: Final = "id, task_id, attempt, substr(error, 1, 400) AS error, ended_at, app_version"
