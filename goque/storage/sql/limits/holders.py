"""Find out who holds the places of some keys: which nodes and how many each, and some of their tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from goque.storage.contract import HeldTask, Owner
from goque.storage.sql.session import Session
from goque.task_rules.limits import NO_KEY

MAX_OWNERS: Final = 1000
"""How many pairs of a key and a node are read of a type, those with the most places first."""

MAX_NAMED: Final = 2000
MAX_NAMED_OF_KEY: Final = 20
"""How many tasks that hold places are named, of a type and of a key: the first of each node, then the second."""

OWNERS: Final = """
    SELECT limit_key, claimed_by, count(*) AS places
    FROM <held>
    GROUP BY limit_key, claimed_by
    ORDER BY places DESC, limit_key, claimed_by
    LIMIT :most"""

NAMED: Final = """
    SELECT limit_key, id, claimed_by
    FROM (
        SELECT limit_key, id, claimed_by,
               row_number() OVER (PARTITION BY limit_key, claimed_by ORDER BY id) AS turn
        FROM <held>) AS numbered
    ORDER BY turn, limit_key, claimed_by
    LIMIT :most"""


@dataclass(frozen=True)
class HolderStatements:
    """What is asked of the tasks that hold places.

    Attributes:
        of_keys: the table, its index and the conditions of the held tasks of a type with a key in `:keys`.
        without_key: the same of those that have no key at all.
    """

    of_keys: str
    without_key: str

    def owners(self) -> tuple[str, str]:
        """Return the statements that count places by key and node."""
        return OWNERS.replace("<held>", self.of_keys), OWNERS.replace("<held>", self.without_key)

    def named(self) -> tuple[str, str]:
        """Return the statements that name tasks."""
        return NAMED.replace("<held>", self.of_keys), NAMED.replace("<held>", self.without_key)


@dataclass(frozen=True)
class Holders:
    """Who holds the places of some keys.

    Attributes:
        owners: the nodes of a key, those with the most places first.
        named: some of the tasks of a key that hold a place.
    """

    owners: Mapping[str, Sequence[Owner]]
    named: Mapping[str, Sequence[HeldTask]]


def read_holders(
    session: Session,
    statements: HolderStatements,
    asked: Mapping[str, Any],
    read_text: Callable[[Any], str],
    *,
    without_key: bool,
) -> Holders:
    """Read who holds places.

    Args:
        session: the connection.
        statements: those of the dialect.
        asked: the type and the keys, as parameters.
        read_text: reads a column of the dialect.
        without_key: whether to look at tasks that have no key at all, too.
    """
    owners: dict[str, dict[str, int]] = {}
    named: dict[str, list[HeldTask]] = {}

    def rows(both: tuple[str, str], most: int) -> list[Any]:
        texts = both if without_key else both[:1]
        found = [row for sql in texts for row in session.rows(sql, {**asked, "most": most})]
        return [(NO_KEY if key is None else read_text(key), *others) for key, *others in found]

    for key, owner, places in rows(statements.owners(), MAX_OWNERS):
        of_key, name = owners.setdefault(key, {}), read_text(owner)
        of_key[name] = of_key.get(name, 0) + places
    for key, task_id, owner in rows(statements.named(), MAX_NAMED):
        tasks = named.setdefault(key, [])
        if len(tasks) < MAX_NAMED_OF_KEY:
            tasks.append(HeldTask(read_text(task_id), read_text(owner)))
    return Holders(
        {
            key: sorted((Owner(*pair) for pair in of_key.items()), key=lambda one: (-one.running, one.owner))
            for key, of_key in owners.items()
        },
        named,
    )
