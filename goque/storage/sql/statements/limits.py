"""The statements of claims by limits and by turns. What is the same on all databases stands here."""

from __future__ import annotations

from dataclasses import dataclass

from goque.storage.sql.limits.holders import HolderStatements
from goque.storage.sql.statements.kinds import LockThenChange


@dataclass(frozen=True, kw_only=True)
class LimitStatements:
    """Every statement about limits, but for those that walk keys (see `KeyQueries`).

    Attributes:
        limited_types: the types that have limits in the table.
        insert: add the row of a type or of a key to goque_limit, unless it is there.
        lock: read the row of a type and hold it until the end: last_key, arrival, not_before, and of its policy limits,
            limits_set and paused.
        held: how many tasks of a type are claimed, by key; those claimed without a key count under NULL or ''.
        held_without_key: the ids of claimed tasks that have no key at all. Empty where `held` counts them.
        without_key: up to `:limit` due tasks of one priority that have no key at all, as `KeyQueries.due` returns them.
        due_keys: the keys of up to `:most` due tasks of one priority, the longest due first.
        paces_of_keys: how far the starts of the keys in `:keys` are.
        first_ones: the ids of those of the first `:most` waiting tasks of a type that have no key.
        next_ones: external id and id of those of the next `:most` tasks that wait without a key; and the external id of
            the last of all these, with NULL, if there were so many.
        adopt: give the waiting tasks in `:ids` the key that stands for none.
        claim: claim the tasks whose keys in the table are in `:keys`, and return them.
        take_turn: write whose turn was last, and how far the starts of the type are.
        write_arrival: write how far the starts of a key are; its row is added if it has none.
        put_off: let nothing of a type or a key start before an instant.
        mark_limited: let claims of a type look at goque_limit, although nobody has set a limit.
        unmark_limited: take that back.
        set_changes: write what was set at run time.
        read_changes: what is declared and set for a type.
        forget_pace: forget how far the starts of a type and of its keys are.
        idle_keys: type and key of up to `:most` rows of keys that say nothing any more.
        delete_idle: delete one of them, if it still says nothing.
        waiting_by_key: up to `:most` keys of a type with how many of their tasks wait, the most first, and
            when the first is due.
        waiting_of_key: how many tasks of one key wait, and when the first is due.
        waiting: how many tasks of a type wait, and when the first is due.
        types_with_rows: the types that were ever claimed by limits or in turns.
        waiting_without_key: the same of those that have no key at all.
        holders: who holds the places of some keys.
        paces: up to `:most` rows of a type and its keys whose next start is still to come.
        pace_of: the rows of a type and of one key.
    """

    held: str
    holders: HolderStatements
    without_key: str
    due_keys: str
    paces_of_keys: str
    first_ones: str
    next_ones: str
    adopt: str
    claim: str | LockThenChange
    insert: str = """
        INSERT INTO goque_limit (type, limit_key)
        VALUES (:task_type, :key)
        ON CONFLICT DO NOTHING"""
    lock: str
    waiting_by_key: str
    waiting_of_key: str = """
        SELECT count(*), min(next_attempt_at)
        FROM goque_task
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NOT NULL
          AND limit_key = :key"""
    held_without_key: str = ""

    limited_types: str = """
        SELECT type
        FROM goque_type
        WHERE limits IS NOT NULL OR limits_set IS NOT NULL"""

    take_turn: str = """
        UPDATE goque_limit
        SET last_key = :last_key, arrival = :arrival
        WHERE type = :task_type AND limit_key = ''"""

    write_arrival: str = """
        INSERT INTO goque_limit (type, limit_key, arrival)
        VALUES (:task_type, :key, :arrival)
        ON CONFLICT (type, limit_key) DO UPDATE SET arrival = excluded.arrival"""

    put_off: str = """
        UPDATE goque_limit
        SET not_before = CASE WHEN not_before > :not_before THEN not_before ELSE :not_before END
        WHERE type = :task_type AND limit_key = :key"""

    mark_limited: str = """
        UPDATE goque_type
        SET limits_set = '{}'
        WHERE type = :task_type AND limits IS NULL AND limits_set IS NULL"""

    unmark_limited: str = """
        UPDATE goque_type
        SET limits_set = NULL
        WHERE type = :task_type AND limits_set = '{}'"""

    read_changes: str = """
        SELECT limits, limits_set
        FROM goque_type
        WHERE type = :task_type"""

    set_changes: str = """
        UPDATE goque_type
        SET limits_set = :changes, updated_at = :now
        WHERE type = :task_type"""

    forget_pace: str = """
        UPDATE goque_limit
        SET arrival = NULL, not_before = NULL
        WHERE type = :task_type"""

    idle_keys: str = """
        SELECT type, limit_key
        FROM goque_limit
        WHERE limit_key <> '' AND coalesce(arrival, 0) < :seconds AND coalesce(not_before, 0) < :seconds
        LIMIT :most"""

    delete_idle: str = """
        DELETE FROM goque_limit
        WHERE type = :task_type AND limit_key = :key AND limit_key <> ''
          AND coalesce(arrival, 0) < :seconds AND coalesce(not_before, 0) < :seconds"""

    types_with_rows: str = """
        SELECT DISTINCT type
        FROM goque_limit
        WHERE limit_key = ''"""

    waiting: str = """
        SELECT count(*), min(next_attempt_at)
        FROM goque_task
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL"""

    waiting_without_key: str = """
        SELECT count(*), min(next_attempt_at)
        FROM goque_task
        WHERE type = :task_type AND status IN ('new', 'error') AND claimed_by IS NULL AND limit_key IS NULL"""

    paces: str = """
        SELECT limit_key, arrival, not_before
        FROM goque_limit
        WHERE type = :task_type AND (arrival > :seconds OR not_before > :seconds)
        ORDER BY limit_key
        LIMIT :most"""

    pace_of: str = """
        SELECT limit_key, arrival, not_before
        FROM goque_limit
        WHERE type = :task_type AND limit_key IN ('', :key)"""
