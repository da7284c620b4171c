"""A connection to PostgreSQL on which every wait has an end, and on which no commit is ever canceled.

A server that waits for its synchronous standby answers a COMMIT late. Canceling that COMMIT would end the wait, commit
on this server alone, and make the answer untrue. So a statement that may be committing is left alone: the connection
keeps the conversation, and `await_answer` takes it up again.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities

ResultT = TypeVar("ResultT")

DEADLINE: Final = 8.0
"""Seconds that the server may be silent; the server itself ends what takes longer a second before."""

ANSWER_PATIENCE: Final = 2.0
"""Seconds that one call waits for the answer to a commit of an earlier call."""

CANCEL_PATIENCE: Final = 1.0
PREPARE_AFTER: Final = 3
"""How often a connection is used before its statements are prepared: a script that enqueues once need not pay."""

PLANS: Final = {
    "statement_timeout": "'7s'",
    "lock_timeout": "'5s'",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_sort": "off",
    "jit": "off",
}
"""The planner's choices are taken from it, because a queue's statistics mislead it."""

PINS: Final = {
    **PLANS,
    "plan_cache_mode": "force_generic_plan",
    "default_transaction_isolation": "'read committed'",
}
"""The same for a whole session, where no pooler can give it to somebody else. With no choices left, a plan that is
made once is as good as a new one."""

PIN: Final = " ".join(f"SET {name} = {value};" for name, value in PINS.items())
UNPIN: Final = " ".join(f"RESET {name};" for name in PINS)
COMMITTED_ALONE: Final = "the server gave up waiting for its standby and committed alone"

Conversation = Generator[Any, Any, Any]


class UnansweredCommitError(psycopg.OperationalError):
    """A commit was sent, and whether it took effect is not known yet; the connection is kept to hear it."""


class _SilenceError(psycopg.OperationalError):
    """The server said nothing for too long."""


class DeadlineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever: a stopped server is silent, and no error comes from it.

    Attributes:
        deadline: seconds that the server may be silent.
        is_pinned: whether the session has the plans of `PINS`.
        may_be_committing: whether a commit may be under way, so that nothing must be canceled.
    """

    deadline: float = DEADLINE
    is_pinned: bool = False
    may_be_committing: bool = False
    _committed_alone: bool = False
    _is_direct: bool = False
    _uses: int = 0
    _unanswered: _Resumable | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.add_notice_handler(self._on_notice)

    def note_use(self) -> None:
        """Count how often this connection is taken into use, to prepare statements once it pays."""
        self._uses += 1
        if self._uses == PREPARE_AFTER and self._reaches_the_server():
            self._is_direct = True
            self.prepare_threshold = 1

    def pin(self) -> bool:
        """Set the plans for the whole session, once; False where a pooler may stand between."""
        if self._is_direct and not self.is_pinned:
            self.execute(PIN, prepare=False)
            self.is_pinned = True
        return self.is_pinned

    def unpin(self) -> None:
        """Give the planner its choices back."""
        if self.is_pinned:
            self.execute(UNPIN, prepare=False)
            self.is_pinned = False

    def _reaches_the_server(self) -> bool:
        """Whether one server process answers all along: a pooler tells a number that is none of theirs."""
        [(pid,)] = self.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
        return bool(pid == self.info.backend_pid)

    def wait(self, gen: Generator[Any, Any, ResultT], *args: Any, **kwargs: Any) -> ResultT:
        """Run a conversation with the server, with an end. What still runs then is canceled unless it may commit."""
        conversation = _Resumable(gen)
        try:
            answer: ResultT = super().wait(
                conversation.until(time.monotonic() + self.deadline), *args, **kwargs
            )
        except _SilenceError as error:
            if self.may_be_committing:
                self._unanswered = conversation
                raise UnansweredCommitError(
                    f"no answer to a commit within {self.deadline:g} s; it may still take effect"
                ) from error
            if capabilities.has_cancel_safe():
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=CANCEL_PATIENCE)
            raise _SilenceError(f"no answer within {self.deadline:g} s") from error
        return answer

    @property
    def awaits_answer(self) -> bool:
        """Whether a commit was sent whose answer is still to come."""
        return self._unanswered is not None

    def await_answer(self) -> None:
        """Wait a while for the answer to the commit that was sent.

        Raises:
            UnansweredCommitError: it has still not come, or the server committed without its standby.
            psycopg.Error: the connection broke meanwhile, or the commit failed.
        """
        conversation, self._unanswered = self._unanswered, None
        assert conversation is not None
        try:
            with self.lock:
                super().wait(conversation.until(time.monotonic() + ANSWER_PATIENCE))
        except _SilenceError as error:
            self._unanswered = conversation
            raise UnansweredCommitError("the server has not answered a commit yet") from error
        if self.took_commit_alone():
            raise UnansweredCommitError(COMMITTED_ALONE)

    def took_commit_alone(self) -> bool:
        """Return whether the server has just committed without its synchronous standby; the next call forgets it."""
        alone, self._committed_alone = self._committed_alone, False
        return alone

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.source_function == "SyncRepWaitForLSN":
            self._committed_alone = True


class _Resumable:
    """A conversation with the server that can be left at a deadline and taken up again."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._state: Any = None

    def until(self, end: float) -> Conversation:
        """Go on with the conversation until it is over.

        Raises:
            _SilenceError: the server said nothing until `end`, a time of `time.monotonic`.
        """
        try:
            state = next(self._conversation) if self._state is None else self._state
            while True:
                ready = yield state
                if not ready and time.monotonic() > end:
                    self._state = state
                    raise _SilenceError("no answer in time")
                state = self._conversation.send(ready)
        except StopIteration as stop:
            return stop.value
