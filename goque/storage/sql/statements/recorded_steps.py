"""The statements about recorded steps, sleeps, waits, signals and progress: the rows of goque_step."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, kw_only=True)
class RecordedStepStatements:
    """SQL text; fields without a default are each dialect's own.

    `IN <ids>` stands for the dialect's way to bind `:ids`, `<status>` for the column in a form that no index serves,
    `<lock>` for what locks tasks in the order of their ids, `<tasks>` for the table of tasks, read by its primary key.
    Parameters called `:batch` are JSON arrays of rows.

    Attributes:
        hold: lock the tasks of the claims in `:batch` that still hold, in the order of their ids, and return the id and
            the flags of each.
        is_held: return a row if one claim holds, without a lock.
        mark: note in the flags of the tasks `:ids` that they may have rows.
        insert_steps: insert the steps of `:batch` (task, name, value, claim, seconds) that are not there.
        insert_one: insert one row, if it is not there.
        save: insert a sleep or a wait; of one that is there, set the value and the claim.
        save_progress: insert the progress of a task, or replace it.
        asked: return the rows (task, kind, name, value, until) whose keys are in `:batch`.
        sizes: return the names and the sizes in bytes of up to `:limit` steps of `:id` after `:after`, in order.
        page: return the names and the values of the same.
        signal: return the value of a signal of `:id`, and when it was kept.
        wake: let an unclaimed task `:id` that waits for the signal `:name` be due now.
        make_due: let the unclaimed tasks `:ids` be due now.
        types: return the type of each of the tasks `:ids`.
        latest: return up to `:limit` rows of `:id` that were made last, the last one first.
        totals: return how many rows of each kind `:id` has, and the sum of their seconds.
        first_steps: return up to `:limit` steps of `:id` that were made first, in that order.
        last_steps: return up to `:limit` steps of `:id` that were made last, the last one first.
        last_others: return up to `:limit` rows of `:id` that are no steps, the last one first.
        values: return the kind, the name and the whole value of the steps and signals of `:id`.
        count: return how many rows the tasks `:ids` have, `:limit` if there are more.
        lock_ended: lock those of the tasks `:ids` that have ended and that nobody holds, and return the id of each.
        delete_some: delete up to `:limit` rows of the tasks `:ids`.
        delete_of_deleted: delete the rows of those of `:ids` that are no tasks any more.
    """

    hold: str
    is_held: str
    insert_steps: str
    asked: str
    sizes: str
    delete_some: str
    insert_one: str = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, duration, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :duration, :now)
    ON CONFLICT DO NOTHING"""

    save: str = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, until, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :until, :now)
    ON CONFLICT (task_id, kind, name) DO UPDATE SET value = excluded.value, claims = excluded.claims"""

    save_progress: str = """
    INSERT INTO goque_step (task_id, kind, name, value, claims, made_at)
    VALUES (:task_id, :kind, :name, :value, :claims, :now)
    ON CONFLICT (task_id, kind, name)
        DO UPDATE SET value = excluded.value, claims = excluded.claims, made_at = excluded.made_at"""

    mark: str = """
    UPDATE <tasks>
    SET flags = coalesce(flags, 0) | 16
    WHERE id IN <ids>"""

    page: str = """
    SELECT name, value
    FROM goque_step
    WHERE task_id = :id AND kind = 'step' AND name > :after
    ORDER BY name
    LIMIT :limit"""

    signal: str = """
    SELECT value, made_at
    FROM goque_step
    WHERE task_id = :id AND kind = 'signal' AND name = :name"""

    wake: str = """
    UPDATE goque_task
    SET next_attempt_at = :now
    WHERE id = :id AND <status> IN ('new', 'error', 'blocked') AND claimed_by IS NULL
      AND EXISTS (
        SELECT 1
        FROM goque_step
        WHERE goque_step.task_id = :id AND goque_step.kind = 'wait' AND goque_step.name = :name
          AND goque_step.value IS NULL AND goque_step.claims = goque_task.claims)"""

    make_due: str = """
    UPDATE <tasks>
    SET next_attempt_at = :now
    WHERE id IN <ids> AND <status> IN ('new', 'error', 'blocked') AND claimed_by IS NULL"""

    types: str = """
    SELECT type
    FROM <tasks>
    WHERE id IN <ids>"""

    latest: str = """
    SELECT kind, name, substr(value, 1, :most), claims, duration, until, made_at
    FROM goque_step
    WHERE task_id = :id
    ORDER BY made_at DESC, kind DESC, name DESC
    LIMIT :limit"""

    totals: str = """
    SELECT kind, count(*), sum(duration)
    FROM goque_step
    WHERE task_id = :id
    GROUP BY kind"""

    first_steps: str = """
    SELECT kind, name, substr(value, 1, :most), claims, duration, until, made_at
    FROM goque_step
    WHERE task_id = :id AND kind = 'step'
    ORDER BY made_at, name
    LIMIT :limit"""

    last_steps: str = """
    SELECT kind, name, substr(value, 1, :most), claims, duration, until, made_at
    FROM goque_step
    WHERE task_id = :id AND kind = 'step'
    ORDER BY made_at DESC, name DESC
    LIMIT :limit"""

    last_others: str = """
    SELECT kind, name, substr(value, 1, :most), claims, duration, until, made_at
    FROM goque_step
    WHERE task_id = :id AND kind <> 'step'
    ORDER BY made_at DESC, kind DESC, name DESC
    LIMIT :limit"""

    values: str = """
    SELECT kind, name, value
    FROM goque_step
    WHERE task_id = :id AND kind IN ('step', 'signal')"""

    count: str = """
    SELECT count(*)
    FROM (SELECT 1 FROM goque_step WHERE task_id IN <ids> LIMIT :limit) AS first_rows"""

    lock_ended: str = """
    SELECT id
    FROM <tasks>
    WHERE id IN <ids> AND <status> IN ('done', 'canceled', 'attempts_left') AND claimed_by IS NULL
    <lock>"""

    delete_of_deleted: str = """
    DELETE FROM goque_step
    WHERE task_id IN <ids> AND NOT EXISTS (SELECT 1 FROM goque_task WHERE goque_task.id = goque_step.task_id)"""

    @classmethod
    def of(
        cls, *, ids: str, lock: str, tasks: str = "goque_task", status: str = "status", **own: str
    ) -> Self:
        """Return the statements of a dialect.

        Args:
            ids: what stands for `IN <ids>`.
            lock: what stands for `<lock>`.
            tasks: what stands for `<tasks>`.
            status: what stands for `<status>`.
            own: the statements that the dialect has to say itself.
        """
        plain = cls(**own)
        texts = {field.name: getattr(plain, field.name) for field in fields(cls)}
        for name, sql in texts.items():
            text = sql.replace("IN <ids>", ids).replace("<lock>", lock).replace("<status>", status)
            texts[name] = text.replace("<tasks>", tasks)
        return cls(**texts)
