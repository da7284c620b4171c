"""Go on with flows when tasks that others need have ended, or are to run again: one transaction with that end.

Dependents are locked before their needs are marked, in the order of their ids. So of two last needs that end at once on
two nodes, the second one waits, and then sees that nothing else is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from goque.storage.sql import steps
from goque.storage.sql.dialect import Dialect
from goque.storage.sql.statements.flows import FAILED, MET, OPEN
from goque.storage.sql.steps import Steps
from goque.task_row import CANCELED_BY_NEED, IS_NEEDED, TaskStatus
from goque.task_rules.error_lines import append_error

WAITING: Final = (TaskStatus.NEW, TaskStatus.ERROR)

MAX_CAUSE: Final = 1000
"""The characters of a cause that a dependent repeats."""


class AdvanceSteps:
    """The statements in their order, for one dialect.

    Args:
        dialect: the dialect.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._sql = dialect.sql.flows

    def canceled(self, task_id: str) -> Steps[None]:
        """Go on after a cancel, if others need the task."""
        [(flags,)] = yield steps.rows(self._sql.flags, {"id": task_id})
        if flags and flags & IS_NEEDED:
            yield from self.advance([task_id])

    def advance(self, ids: Sequence[str]) -> Steps[set[str]]:
        """Unblock and cancel the tasks that need these and those that are canceled with them.

        Args:
            ids: tasks that may have ended; of those that have not, nothing happens.

        Returns: the types of the tasks that may be claimed now.
        """
        text = self._dialect.read_text
        types: set[str] = set()
        ended = sorted(set(ids))
        while ended:
            params = {"ids": self._dialect.encode_list(ended)}
            rows = yield steps.rows(self._sql.lock_dependents, params)
            locked = {text(row[0]): row for row in rows if text(row[4]) == TaskStatus.BLOCKED}
            yield steps.run(self._sql.mark_needs, params)
            if not locked:
                break
            failed = yield steps.rows(self._sql.failed_needs, params)
            canceled = yield from self._cancel(locked, failed)
            types |= yield from self._unblock(sorted(locked.keys() - canceled.keys()))
            ended = sorted(task_id for task_id, flags in canceled.items() if flags & IS_NEEDED)
        yield from self._dialect.announce(types)
        return types

    def _cancel(self, locked: dict[str, Any], failed: Sequence[Any]) -> Steps[dict[str, int]]:
        """Cancel blocked tasks, each because of its first need that failed; return them with their flags."""
        text = self._dialect.read_text
        causes: dict[str, str] = {}
        for task_id, needs_id, task_type, status, errors in failed:
            if text(task_id) in locked:
                causes.setdefault(text(task_id), cause_of(text(needs_id), task_type, status, errors, text))
        canceled = {task_id: (locked[task_id][2] or 0) | CANCELED_BY_NEED for task_id in causes}
        if causes:
            params = [
                {
                    "id": task_id,
                    "errors": append_error(
                        self._dialect.read_optional_text(locked[task_id][3]), f"canceled: {cause}"
                    ),
                    "flags": canceled[task_id],
                }
                for task_id, cause in causes.items()
            ]
            yield steps.run_many(self._sql.cancel_blocked, params)
        return canceled

    def unblock(self, ids: Sequence[str]) -> Steps[None]:
        """Let those of some blocked tasks be claimed whose needs are all met."""
        yield from self._dialect.announce((yield from self._unblock(ids)))

    def _unblock(self, ids: Sequence[str]) -> Steps[set[str]]:
        """Unblock those of some blocked tasks whose needs are all met; return their types."""
        if not ids:
            return set()
        text = self._dialect.read_text
        ready = yield steps.rows(self._sql.ready, {"ids": self._dialect.encode_list(ids)})
        if ready:
            params = {"ids": self._dialect.encode_list([text(row[0]) for row in ready])}
            yield steps.run(self._sql.unblock, params)
        return {text(row[1]) for row in ready}

    def reopen(self, ids: Sequence[str]) -> Steps[None]:
        """Block again what waits for these tasks, which are to run again, or was canceled because of them, and so on.

        Dependents that run or have ended stay as they are.
        """
        text = self._dialect.read_text
        again = sorted(set(ids))
        while again:
            params = {"ids": self._dialect.encode_list(again)}
            rows = yield steps.rows(self._sql.lock_waiting, params)
            revived: list[str] = []
            for task_id, status, flags, errors in rows:
                yield steps.run(self._sql.reopen_needs, {"id": text(task_id), **params})
                if text(status) in WAITING:
                    yield steps.run(self._sql.block_waiting, {"id": text(task_id)})
                elif text(status) == TaskStatus.CANCELED and (flags or 0) & CANCELED_BY_NEED:
                    revived += yield from self._revive(
                        text(task_id), flags, self._dialect.read_optional_text(errors)
                    )
            again = sorted(revived)

    def _revive(self, task_id: str, flags: int, errors: str | None) -> Steps[list[str]]:
        """Block a task again that was canceled because of a need, unless another one has failed; return its id."""
        if (yield from self.state_of_needs(task_id))[0] == FAILED:
            return []
        line = "blocked again: a task that it needs was reset"
        params = {
            "id": task_id,
            "errors": append_error(errors, line),
            "flags": flags & ~CANCELED_BY_NEED,
            "due": None,
        }
        yield steps.run(self._sql.block_again, params)
        return [task_id]

    def first_failed(self, task_id: str) -> Steps[str]:
        """Return the task that has failed by itself, for which those between it and this one are canceled."""
        seen = set()
        while task_id not in seen:
            seen.add(task_id)
            state, needs_id = yield from self.state_of_needs(task_id)
            if state != FAILED:
                break
            task_id = needs_id
        return task_id

    def state_of_needs(self, task_id: str) -> Steps[tuple[int, str]]:
        """Return FAILED and a need that failed, or OPEN and one that is open, or MET and an empty text."""
        rows = yield steps.rows(self._sql.unmet, {"id": task_id})
        if not rows:
            return MET, ""
        state, needs_id = rows[0]
        return (FAILED if state == FAILED else OPEN), self._dialect.read_text(needs_id)


def cause_of(needs_id: str, task_type: Any, status: Any, errors: Any, text: Callable[[Any], str]) -> str:
    """Say why a task is canceled: the need, and the last cause of its end."""
    if task_type is None:
        return f"needs {needs_id}: it was deleted"
    cause = last_cause(text(status), text(errors))
    if len(cause) > MAX_CAUSE:  # of a long chain both ends tell something
        cause = f"{cause[: MAX_CAUSE // 2]} … {cause[-MAX_CAUSE // 2 :]}"
    return f"needs {text(task_type)} {needs_id}: {cause}"


def last_cause(status: str, errors: str) -> str:
    """Return why a task has not ended well: the last line of its errors, without the number of its attempt.

    Somebody who cancels a task leaves no line.
    """
    line = (errors.strip().splitlines() or [""])[-1]
    head, _, rest = line.partition(": ")
    if status == TaskStatus.CANCELED:
        return rest if head == "canceled" and rest else status
    return rest if head.startswith("attempt ") and rest else line or status
