"""When the first unclaimed task of each type is due, in one statement for many types.

Each type has a SELECT of its own whose values are constants. If the types came from a JSON_TABLE, their ranks would
not be constants: the server would read all tasks of a type from the beginning of the index, with the finished ones
first. GROUP BY with a loose index scan is faster still, but with old statistics the server reads all waiting tasks.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

AT_ONCE: Final = 100
"""How many types one statement asks about. The server opens the table twice for each."""

HIGHEST_LEVEL: Final = """
    SELECT type, claim_rank, next_attempt_at,
           (SELECT max(claim_rank)
            FROM goque_task FORCE INDEX (goque_task_claim_idx)
            WHERE type = :type_<number>) AS lowest_rank
    FROM goque_task FORCE INDEX (goque_task_claim_idx)
    WHERE type = :type_<number> AND claim_rank > :rank_<number> AND id NOT IN :past_<number>
    ORDER BY claim_rank, next_attempt_at
    LIMIT 1"""


@lru_cache(maxsize=16)
def highest_levels(types: int) -> str:
    """Return a statement that reads the highest level of each type below `:rank_<number>`, and its lowest rank.

    Args:
        types: how many types; they are `:type_0` and so on, and `:past_0` are the tasks to leave out.
    """
    parts = [HIGHEST_LEVEL.replace("<number>", str(number)) for number in range(types)]
    union = parts[0] if types == 1 else " UNION ALL ".join(f"({part})" for part in parts)
    return f"""
    SELECT type, claim_rank,
           CASE WHEN next_attempt_at > coalesce(:clock, UTC_TIMESTAMP(6)) THEN next_attempt_at END,
           coalesce(:clock, UTC_TIMESTAMP(6)), lowest_rank
    FROM ({union}) AS level
    WHERE type NOT IN (SELECT type FROM goque_type WHERE paused <> 0)"""  # noqa: S608 - made of constants and numbers
