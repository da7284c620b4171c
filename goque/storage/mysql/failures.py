"""How MySQL and MariaDB are asked about groups of failed attempts."""

from __future__ import annotations

from typing import Final

from goque.storage.sql.statements.failures import (
    INSERT_GROUP,
    INSERT_HOUR,
    NEWEST_COLUMNS,
    FailureStatements,
    delete_group,
    is_open,
    more_failures,
    newest,
    old_groups,
    walk,
)

BY_GROUP: Final = " FORCE INDEX (goque_attempt_group_idx)"
IS_OPEN: Final = is_open(" FORCE INDEX (goque_attempt_task_id_idx)")
OPEN_TASKS: Final = f"""id IN (
          SELECT task_id
          FROM goque_attempt{BY_GROUP}
          WHERE failure_group = :failure)
      AND {IS_OPEN}"""  # noqa: S608 - the parts are constants

MYSQL_FAILURES: Final = FailureStatements(
    count_failures=f"""{INSERT_GROUP}
    ON DUPLICATE KEY UPDATE
        failures = {more_failures("failures", "VALUES(failures)")}, error = VALUES(error), last_at = VALUES(last_at),
        example_task_id = VALUES(example_task_id), first_version = coalesce(first_version, VALUES(first_version)),
        last_version = coalesce(VALUES(last_version), last_version)""",
    count_hour=f"""{INSERT_HOUR}
    ON DUPLICATE KEY UPDATE failures = {more_failures("failures", "VALUES(failures)")}""",
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
    STRAIGHT_JOIN goque_task ON goque_task.id = found.task_id"""  # noqa: S608 - the parts are constants
