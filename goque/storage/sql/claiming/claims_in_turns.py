"""Claim tasks of several types in one transaction, for a fetcher that serves them all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from goque.errors import DatabaseUnavailableError, GoqueError
from goque.storage.contract import ANY_PRIORITY, Claim, DueLevel
from goque.storage.sql.call_policy import PINNED_WRITE
from goque.storage.sql.claiming.claims import SqlClaims
from goque.storage.sql.session import Session
from goque.task_row import TaskRow


class SqlClaimsInTurns(SqlClaims):
    """The part of the contract that claims for a pool of types."""

    def due_levels(self, types: Sequence[str]) -> list[DueLevel]:
        """Return when the first task of each type and priority is due.

        A type with claims in doubt counts as due, so that the next claim of this type finds them.
        """
        levels = super().due_levels(types)
        due = {level.type for level in levels if level.seconds <= 0}
        doubtful = {its_type for _, its_type, _ in self._in_doubt if its_type in types} - due
        return [*levels, *(DueLevel(name, 0, 0.0) for name in sorted(doubtful))]

    def claim_in_turns(
        self, wanted: Sequence[Claim], owner: str, *, timeout: float | None = None
    ) -> list[TaskRow]:
        """Claim due tasks of several types, of each the given priority, in one transaction."""
        plain = [one for one in wanted if not self._needs_care(one)]
        with_care = [one for one in wanted if one not in plain]
        if len(plain) <= 1:
            return self._claim_one_by_one(wanted, owner, timeout)
        claimed = self._claim_together(plain, owner, timeout)
        try:
            return claimed + self._claim_one_by_one(with_care, owner, timeout)
        except DatabaseUnavailableError:
            if not claimed:
                raise
            return claimed

    def _claim_together(self, wanted: Sequence[Claim], owner: str, timeout: float | None) -> list[TaskRow]:
        claimed: list[TaskRow] = []

        def claim(session: Session) -> None:
            claimed.clear()
            for one in wanted:
                of_type: list[TaskRow] = []
                self._claim(session, _asked(one, owner), one.limit, of_type)
                claimed.extend(of_type)

        try:
            self._run(claim, PINNED_WRITE.within(timeout))
        except DatabaseUnavailableError:
            self.doubt(claimed)
            raise
        except GoqueError:
            raise
        except Exception:  # noqa: BLE001 - a task of one type cannot be changed: the others are claimed all the same
            return self._claim_one_by_one(wanted, owner, timeout)
        self._doubt_no_more(claimed)
        self._limited_types.claimed_plainly([one.type for one in wanted], claimed)
        now = time.monotonic()
        numbers = Counter(row.type for row in claimed)
        for one in wanted:
            self._unclaimable.claimed(one.type, numbers[one.type], {}, now, priority=one.priority)
        return claimed

    def _needs_care(self, claim: Claim) -> bool:
        """Return whether a type has limits, its claims may be in doubt, or some of its tasks cannot be claimed."""
        return bool(
            claim.type in self._limited_types
            or claim.priority == ANY_PRIORITY
            or self._unclaimable.keys(claim.type, time.monotonic())
            or self._unclaimable.is_suspected(claim.type, None)
            or any(its_type == claim.type for _, its_type, _ in self._in_doubt)
        )

    def _claim_one_by_one(self, wanted: Sequence[Claim], owner: str, timeout: float | None) -> list[TaskRow]:
        """Claim of each type in a transaction of its own. What is claimed when one fails is returned."""
        claimed: list[TaskRow] = []
        for one in wanted:
            priority = None if one.priority == ANY_PRIORITY else one.priority
            try:
                claimed += self.claim_due(one.type, owner, one.limit, timeout=timeout, priority=priority)
            except DatabaseUnavailableError:
                if not claimed:
                    raise
                break
        return claimed


def _asked(claim: Claim, owner: str) -> dict[str, Any]:
    return {
        "task_type": claim.type,
        "owner": owner,
        "priority": claim.priority,
        "top": None,
        "since": None,
        "past": [],
    }
