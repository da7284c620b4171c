"""Find the keys whose turn it is, in the order of their turns. It only reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from goque.storage.sql.claiming.places import LimitState
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.limits.key_queries import KeyHead, read_pace
from goque.storage.sql.session import Session
from goque.task_rules.limits import Pace

MAX_WALK: Final = 1000
"""How many keys one claim looks at: those that are full or not due are passed over."""

LONGEST_DUE: Final = 200
"""How many tasks of each priority show which keys have something due, where the next keys have not."""

SPARE_KEYS: Final = 20
"""How many keys a claim looks at beyond those that it could serve."""


class KeyWalk:
    """Walks the keys of a type from the one whose turn was last.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.limits

    def heads(
        self, session: Session, task_type: str, state: LimitState, granted: int, past: Sequence[Any]
    ) -> tuple[list[KeyHead], bool]:
        """Return the keys whose turn it is, in their order, and whether there may be more of them.

        Where the next keys have nothing due, those of the longest due tasks come instead, and the walk goes further.

        Args:
            session: the connection.
            task_type: the type.
            state: the type under its lock.
            granted: how many tasks may be claimed.
            past: the keys in the table of tasks that cannot be claimed.
        """
        most = min(MAX_WALK, granted + state.full_keys() + SPARE_KEYS)
        heads, is_cut = self._next_heads(session, task_type, state.last_key, most, past)
        if not is_cut or any(head.is_due for head in heads):
            return heads, is_cut
        if due := self._longest_due(session, task_type, past):
            return due, False
        more, is_cut = self._next_heads(session, task_type, heads[-1].key, MAX_WALK, past)
        return more or heads, is_cut

    def _next_heads(
        self, session: Session, task_type: str, after: str | None, most: int, past: Sequence[Any]
    ) -> tuple[list[KeyHead], bool]:
        """Return the next keys after one, and then those from the first on, and whether there may be more of them.

        A head is made due at a lower priority if the highest is still to come or cannot be claimed.
        """
        keys = self._dialect.keys
        heads = keys.next_keys(session, task_type, after, most)
        if len(heads) < most and after is not None:
            first = keys.next_keys(session, task_type, None, most - len(heads))
            heads += [head for head in first if head.key <= after]
        asked = [head.key for head in heads if past or not head.is_due]
        if asked:
            priorities = keys.due_priorities(session, task_type, asked, past)
            heads = [self._at(head, priorities) if past or not head.is_due else head for head in heads]
        return heads, len(heads) >= most

    def after_round(
        self,
        session: Session,
        task_type: str,
        state: LimitState,
        heads: Sequence[KeyHead],
        *,
        taken: Counter[str],
        past: Sequence[Any],
    ) -> list[KeyHead]:
        """Return the keys as they are after a round of a claim, each with the highest priority that it has due now.

        Args:
            session: the connection.
            task_type: the type.
            state: the type under its lock.
            heads: the keys before the round.
            taken: how many tasks of each key the round claimed.
            past: the keys in the table of tasks that cannot be claimed.
        """
        due = [head.key for head in heads if head.is_due]
        priorities = self._dialect.keys.due_priorities(session, task_type, due, past)
        rate = state.rate_of_keys
        if rate is not None:
            heads = [
                head._replace(
                    pace=Pace(head.pace.after(rate, state.now, taken[head.key]), head.pace.not_before)
                )
                if taken[head.key]
                else head
                for head in heads
            ]
        return [self._at(head, priorities) for head in heads]

    def _at(self, head: KeyHead, priorities: Mapping[str, int]) -> KeyHead:
        return head._replace(priority=priorities.get(head.key, 0), is_due=head.key in priorities)

    def _longest_due(self, session: Session, task_type: str, past: Sequence[Any]) -> list[KeyHead]:
        """Return the keys of the longest due tasks, highest priority first; those without a key have none here."""
        found: dict[str, int] = {}
        levels = self._dialect.due_levels(session, {task_type: past})
        for priority in sorted((level.priority for level in levels if level.seconds <= 0), reverse=True):
            params = {"task_type": task_type, "priority": priority, "most": LONGEST_DUE}
            for (key,) in session.rows(self._sql.due_keys, params):
                if key is not None:
                    found.setdefault(self._dialect.read_text(key), priority)
        if past:
            found = self._dialect.keys.due_priorities(session, task_type, list(found), past)
        params = {"task_type": task_type, "keys": self._dialect.encode_list(list(found))}
        paces = {
            self._dialect.read_text(key): read_pace(arrival, not_before)
            for key, arrival, not_before in session.rows(self._sql.paces_of_keys, params)
        }
        return [KeyHead(key, priority, True, paces.get(key, Pace())) for key, priority in found.items()]
