"""How PostgreSQL is asked about groups of failed attempts.

Rows are compared by group and id together, and sorted so: only the index of groups gives that order, so that stale
statistics cannot choose the primary key, by which all attempts would be read.
"""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.failures import (
    COUNT_FAILURES,
    COUNT_HOUR,
    NEWEST_COLUMNS,
    FailureStatements,
    delete_group,
    newest,
    old_groups,
    walk,
)

IS_OPEN: Final = """status || '' IN ('error', 'attempts_left') AND EXISTS (
          SELECT 1
          FROM goque_attempt AS failed
          WHERE failed.task_id = goque_task.id AND failed.failure_group || '' = :failure
            AND NOT EXISTS (
              SELECT 1
              FROM goque_attempt AS later
              WHERE later.task_id = failed.task_id AND later.id + 0 > failed.id
                AND coalesce(later.failure_group, '') <> ''))"""
"""An order by id and a limit would make the planner use the primary key, by which it would read all attempts."""

OPEN_TASKS: Final = f"""id = ANY (ARRAY(
          SELECT task_id
          FROM goque_attempt
          WHERE failure_group = :failure))
      AND {IS_OPEN}"""  # noqa: S608 - the parts are constants

POSTGRESQL_FAILURES: Final = FailureStatements(
    count_failures=COUNT_FAILURES,
    count_hour=COUNT_HOUR,
    walk=walk("""
        SELECT id, task_id
        FROM goque_attempt
        WHERE failure_group IS NOT NULL AND (failure_group, id) > (:failure_group, :after)
          AND (failure_group, id) <= (:failure_group, :until)
        ORDER BY failure_group, id
        LIMIT :limit"""),
    newest=newest(f"""
        SELECT {NEWEST_COLUMNS}
        FROM goque_attempt
        WHERE failure_group IS NOT NULL AND (failure_group, id) > (:failure_group, 0)
          AND (failure_group, id) < (:failure_group, 9223372036854775807)
        ORDER BY failure_group DESC, id DESC
        LIMIT :limit"""),  # noqa: S608 - the parts are constants
    old_groups=old_groups(),
    delete_group=delete_group(),
)

CANDIDATES: Final = """
    SELECT goque_task.id, goque_task.status
    FROM (
        SELECT task_id
        FROM goque_attempt
        WHERE failure_group IS NOT NULL AND (failure_group, id) > (:failure, 0)
          AND (failure_group, id) < (:failure, 9223372036854775807)
        ORDER BY failure_group DESC, id DESC
        LIMIT :most) AS found
    JOIN goque_task ON goque_task.id = found.task_id"""
