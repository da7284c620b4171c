"""What a fetcher asks of a storage."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from goque.outcome import Change
from goque.storage.contract.records import Claim, DueLevel, HeldBack, HeldClaim
from goque.storage.contract.stacks import ClaimNews
from goque.storage.contract.watcher import Watcher
from goque.task_row import TaskRow, Token


class Claims(Protocol):
    """Claim tasks, settle them, and watch for new ones."""

    @abstractmethod
    def claim_due(
        self,
        task_type: str,
        owner: str,
        limit: int,
        *,
        timeout: float | None = None,
        priority: int | None = None,
    ) -> list[TaskRow]:
        """Claim up to `limit` due tasks of a type, highest priority first, then the longest due.

        The rows come back as they are after the claim: `pending`, `claimed_by` the owner, `claims` risen.
        A paused type claims nothing. Tasks of a type with limits, or with keys, are claimed by these instead, in turns
        between keys and whatever `priority` is.

        If the answer to an earlier claim of the type was lost, the call returns the tasks of that claim instead,
        of whatever priority: they are claimed already, and no other process would run them.

        Args:
            task_type: the type.
            owner: who claims.
            limit: how many tasks at most.
            timeout: seconds that the database may keep a statement waiting; None for as long as it ever may.
            priority: claim only tasks of this priority; None for all.

        Raises:
            DatabaseUnavailableError: it kept it waiting longer, or cannot be reached.
        """

    @abstractmethod
    def held_back(self, task_type: str) -> HeldBack | None:
        """Return why the last claim of a type here left tasks that are due, None if limits had no part in it."""

    @abstractmethod
    def is_limited(self, task_type: str) -> bool:
        """Return whether claims of a type go by limits or by turns, as far as this storage knows."""

    @abstractmethod
    def announce_places(self, types: Sequence[str]) -> None:
        """Wake up the fetchers of these types, because claims have been given back that others waited for.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """

    @abstractmethod
    def due_levels(self, types: Sequence[str]) -> list[DueLevel]:
        """Return, for each type and each priority in which it has an unclaimed task, when the first is due.

        The levels come in any order. A paused type has none. Tasks that this process found that it cannot change
        are not counted.

        Raises:
            DatabaseUnavailableError: the database cannot be reached.
        """

    @abstractmethod
    def claim_in_turns(
        self, wanted: Sequence[Claim], owner: str, *, timeout: float | None = None
    ) -> list[TaskRow]:
        """Claim due tasks of several types, of each the longest due of one priority, in one transaction.

        Args:
            wanted: what to claim, each of another type.
            owner: who claims.
            timeout: as of `claim_due`.

        Raises:
            DatabaseUnavailableError: as of `claim_due`.
        """

    @abstractmethod
    def open_second_connection(self) -> bool:
        """Have a second connection, so that a second thread can claim while this one settles.

        On PostgreSQL it is the one that listens, so there are no more connections than before.

        Returns:
            False if there is none now, or if it would gain nothing, because the database admits one writer at a time.

        Raises:
            DatabaseUnavailableError: the database refuses it, or cannot be reached.
        """

    @abstractmethod
    def close_second_connection(self) -> None:
        """Close it, if it has no other use."""

    @abstractmethod
    def doubt(self, rows: Iterable[TaskRow]) -> None:
        """Let a later claim return these tasks, which are claimed and which the caller cannot take now."""

    @abstractmethod
    def seconds_until_due(self, task_type: str) -> float | None:
        """Return the seconds until the next unclaimed task is due (0 if one is), None if none waits."""

    @abstractmethod
    def mark_processing(self, tokens: Collection[Token]) -> None:
        """Move claimed tasks from pending to processing, where the claim still holds."""

    @abstractmethod
    def settle_if_held(self, changes: Sequence[Change], *, node: str | None = None) -> set[Token]:
        """Write the moves whose claim still holds and record their failed attempts, in one transaction.

        A move whose claim holds no more changes nothing but `claimed_by`, which is cleared if it still
        names this claim (somebody canceled or finished the task meanwhile). The owner may be empty in a
        token: then the row must have no owner, as one claimed by the original has none.

        Args:
            changes: the moves, each for another task.
            node: written into goque_attempt as where the attempt ran.

        Returns: the tokens whose move was written.

        Raises:
            DuplicateTaskError: the place of a follow-up is taken; nothing of the batch is written.
        """

    @abstractmethod
    def claimed_by_owner(
        self, owner: str, task_type: str | None = None, *, limit: int = 1000
    ) -> list[TaskRow]:
        """Read tasks that an owner holds, whatever their status, oldest id first."""

    @abstractmethod
    def claim_news(self, owner: str, task_type: str | None = None) -> ClaimNews:
        """Return what others have written about the claims of an owner, of a type or of all, in one statement."""

    @abstractmethod
    def claims_of_owner(self, owner: str, task_type: str | None = None) -> list[HeldClaim]:
        """Return every claim of an owner, whatever the status of its task."""

    @abstractmethod
    def move_claims(self, tokens: Collection[Token], owner: str) -> None:
        """Write another owner into claims that still hold; nothing else of their tasks changes."""

    @abstractmethod
    def claims_in_doubt(self) -> set[Token]:
        """Return the claims of this storage, of all types, whose commit was not answered and may still take effect.

        `claim_due` returns those that have.
        """

    @abstractmethod
    def watch(self, types: Sequence[str]) -> Watcher:
        """Start to watch for new tasks of some types. On some databases, tasks of other types wake it up too."""
