"""How SQLite is asked about groups of failed attempts."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.failures import (
    COUNT_FAILURES,
    COUNT_HOUR,
    NEWEST_COLUMNS,
    FailureStatements,
    delete_group,
    is_open,
    newest,
    old_groups,
    walk,
)

BY_GROUP: Final = " INDEXED BY goque_attempt_group_idx"
IS_OPEN: Final = is_open(" INDEXED BY goque_attempt_task_id_idx").replace("status IN", "+status IN")
OPEN_TASKS: Final = f"""id IN (
          SELECT task_id
          FROM goque_attempt{BY_GROUP}
          WHERE failure_group = :failure)
      AND {IS_OPEN}"""  # noqa: S608 - the parts are constants

SQLITE_FAILURES: Final = FailureStatements(
    count_failures=COUNT_FAILURES,
    count_hour=COUNT_HOUR,
    walk=walk(f"""
        SELECT id, task_id
        FROM goque_attempt{BY_GROUP}
        WHERE failure_group = :failure_group AND id > :after AND id <= :until
        ORDER BY id
        LIMIT :limit"""),  # noqa: S608 - the parts are constants
    newest=newest(f"""
        SELECT {NEWEST_COLUMNS}
        FROM goque_attempt{BY_GROUP}
        WHERE failure_group = :failure_group
        ORDER BY id DESC
        LIMIT :limit"""),  # noqa: S608 - the parts are constants
    old_groups=old_groups(BY_GROUP),
    delete_group=delete_group(BY_GROUP),
)

CANDIDATES: Final = f"""
    SELECT goque_task.id, goque_task.status
    FROM (
        SELECT task_id
        FROM goque_attempt{BY_GROUP}
        WHERE failure_group = :failure
        ORDER BY id DESC
        LIMIT :most) AS found
    CROSS JOIN goque_task
    WHERE goque_task.id = found.task_id"""  # noqa: S608 - the parts are constants
"""In SQLite, CROSS JOIN keeps the order of the tables."""
