"""How MySQL and MariaDB count tasks by type and status, however many types there are.

A group's type has up to a kilobyte, so that groups by the hundred thousand would make a temporary table on the disk.
The groups therefore come in the order of an index, and only the largest are joined to their types, by one task of each.
"""

from __future__ import annotations

from typing import Final

from goque.storage.contract import MAX_GROUPS
from goque.storage.sql.statements.type_counts import TypeCountStatements
from goque.task_row import TaskStatus

TYPES_AT_ONCE: Final = 20


def _largest_groups(*conditions: str) -> str:
    """Return a statement that reads the largest groups, those of published types first.

    Args:
        conditions: which tasks to count; with `claimed_by IS NULL` in each, the index gives the groups in their order.
    """
    groups = "\n    UNION ALL".join(
        f"""
        SELECT max(type IN (SELECT type FROM goque_type)) AS published, status, count(*) AS tasks, min(id) AS id
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE {condition}
        GROUP BY status, type"""  # noqa: S608 - all are constants
        for condition in conditions
    )
    return f"""
    SELECT goque_task.type, largest.status, largest.tasks, NULL
    FROM (
        SELECT status, tasks, id
        FROM ({groups}) AS task_groups
        ORDER BY published DESC, tasks DESC, id
        LIMIT {MAX_GROUPS}) AS largest
    JOIN goque_task ON goque_task.id = largest.id"""  # noqa: S608 - all are constants


COUNT_TASKS: Final = _largest_groups("claimed_by IS NULL", "claimed_by IS NOT NULL")

QUEUE_DEPTHS: Final = _largest_groups(
    "claimed_by IS NULL AND status IN ('new', 'error', 'pending', 'processing', 'blocked')",
    "claimed_by IS NOT NULL AND status IN ('pending', 'processing')",
)

QUEUE_WAITS: Final = """
    SELECT type, 'new', 0, min(next_attempt_at)
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type IN :types AND claim_rank IS NOT NULL
    GROUP BY type, claim_rank"""
"""It hops from level to level, past all that is finished."""

_UNCLAIMED: Final = "\n    UNION ALL".join(
    f"""
    SELECT :type_{place}, :status, count(*)
    FROM (
        SELECT 1
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NULL AND status = :status AND type = :type_{place}
        LIMIT :most) AS type_{place}"""  # noqa: S608 - a number
    for place in range(TYPES_AT_ONCE)
)
"""MariaDB has no lateral joins. The index has the status, so that each status is counted without reading rows."""

_HELD: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NOT NULL
        LIMIT :most) AS held
    GROUP BY type, status"""

_UNOWNED: Final = """
    SELECT type, status, count(*)
    FROM (
        SELECT type, status
        FROM goque_task FORCE INDEX (goque_task_state_idx)
        WHERE claimed_by IS NULL AND status IN ('pending', 'processing')
        LIMIT :most) AS unowned
    GROUP BY type, status"""

_NEWEST_ENDED: Final = "\n    UNION ALL".join(
    f"""
    (SELECT type, id, updated_at
     FROM goque_task FORCE INDEX (goque_task_state_idx)
     WHERE claimed_by IS NULL AND status = :status AND type = :type_{place}
     ORDER BY updated_at DESC
     LIMIT :most)"""  # noqa: S608 - a number
    for place in range(TYPES_AT_ONCE)
)

TYPE_COUNTS: Final = TypeCountStatements(
    types_at_once=TYPES_AT_ONCE,
    unclaimed=dict.fromkeys(
        (
            TaskStatus.NEW,
            TaskStatus.ERROR,
            TaskStatus.BLOCKED,
            TaskStatus.DONE,
            TaskStatus.CANCELED,
            TaskStatus.ATTEMPTS_LEFT,
        ),
        _UNCLAIMED,
    ),
    claimed=(_HELD, _UNOWNED),
    newest_ended=_NEWEST_ENDED,
)
