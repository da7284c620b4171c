"""A connection to PostgreSQL on which every wait has a deadline, and which never cancels a commit.

A server that waits for its synchronous standby answers a COMMIT late. If the client cancels that COMMIT, the server
stops waiting, commits without the standby and reports success. So this connection never cancels a statement that may
be committing. It keeps the exchange with the server, and `await_answer` continues it.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg import capabilities

ResultT = TypeVar("ResultT")

DEADLINE: Final = 8.0
"""Seconds that the server may be silent. The server itself ends a statement one second earlier."""

ANSWER_PATIENCE: Final = 2.0
"""Seconds that one call waits for the answer to a commit of an earlier call."""

CANCEL_PATIENCE: Final = 1.0
"""Seconds that a request to cancel a statement may take."""

PREPARE_AFTER: Final = 3
"""How often a connection is used before its statements are prepared. For a script that enqueues once, it costs more
than it saves."""

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
"""Settings that leave the planner no choice, because the statistics of a queue's table mislead it."""

PINS: Final = {
    **PLANS,
    "plan_cache_mode": "force_generic_plan",
    "default_transaction_isolation": "'read committed'",
    "default_transaction_deferrable": "off",
    "client_min_messages": "notice",
}
"""The same settings for a whole session, used only where no pooler can hand the session to another client. The planner
has no choice left, so a generic plan is as good as a new one."""


def _sets(settings: Mapping[str, str]) -> str:
    """Return the statements that apply settings to the session, to be sent as one message."""
    return " ".join(f"SET {name} = {value};" for name, value in settings.items())


STAY_OPEN: Final = {
    90600: "idle_in_transaction_session_timeout",
    140000: "idle_session_timeout",
    170000: "transaction_timeout",
}
"""Settings by which a server closes sessions of goque's, with the version that has them first; 0 turns each off."""

PIN: Final = _sets(PINS)
UNPIN: Final = " ".join(f"RESET {name};" for name in PINS)
CLOSES_IDLE: Final = "SELECT current_setting('idle_session_timeout', true), pg_backend_pid()"
COMMITTED_ALONE: Final = "the server gave up waiting for its standby and committed alone"

Conversation = Generator[Any, Any, Any]


class UnansweredCommitError(psycopg.OperationalError):
    """A commit was sent and not answered, so its effect is unknown. The connection stays open for the answer."""


class _SilenceError(psycopg.OperationalError):
    """The server sent nothing until the deadline."""


class DeadlineConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for ever. A stopped server sends nothing, not even an error.

    Attributes:
        deadline: seconds that the server may be silent.
        is_pinned: whether the session has the settings of `PINS`.
        may_be_committing: whether a commit may be in progress, so that the statement must not be canceled.
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
        """Count the uses of this connection, and prepare its statements from the third use on."""
        self._uses += 1
        if self._uses == PREPARE_AFTER and self._reaches_the_server():
            self._is_direct = True
            self.prepare_threshold = 1
            version = self.info.server_version
            self.execute(
                _sets({name: "0" for since, name in STAY_OPEN.items() if version >= since}), prepare=False
            )

    def pin(self) -> bool:
        """Apply `PINS` to the whole session, once. Return False if a pooler may be in between."""
        if self._is_direct and not self.is_pinned:
            self.execute(PIN, prepare=False)
            self.is_pinned = True
        return self.is_pinned

    def unpin(self) -> None:
        """Reset the settings of `PINS`, so that the planner chooses plans again."""
        if self.is_pinned:
            self.execute(UNPIN, prepare=False)
            self.is_pinned = False

    def _reaches_the_server(self) -> bool:
        """Return whether the client talks to one server process. A pooler reports a process id of its own."""
        [(pid,)] = self.execute("SELECT pg_backend_pid()", prepare=False).fetchall()
        return bool(pid == self.info.backend_pid)

    def wait(self, gen: Generator[Any, Any, ResultT], *args: Any, **kwargs: Any) -> ResultT:
        """Wait for the server until the deadline. Then cancel the statement, unless it may be committing."""
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
        """Whether a commit was sent and is not answered yet."""
        return self._unanswered is not None

    def await_answer(self) -> None:
        """Wait up to `ANSWER_PATIENCE` for the answer to the commit that was sent.

        Raises:
            UnansweredCommitError: there is no answer yet, or the server committed without its standby.
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
        """Return whether the server has just committed without its synchronous standby, and clear the mark."""
        alone, self._committed_alone = self._committed_alone, False
        return alone

    def _on_notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if notice.source_function == "SyncRepWaitForLSN":
            self._committed_alone = True


def stay_open_when_idle(connection: psycopg.Connection[Any]) -> None:
    """Have the server keep a session open while it only listens; a pooler's sessions are left as they are."""
    [(closes_after, pid)] = connection.execute(CLOSES_IDLE, prepare=False).fetchall()
    if closes_after not in (None, "0") and pid == connection.info.backend_pid:
        connection.execute("SET idle_session_timeout = 0", prepare=False)


class _Resumable:
    """An exchange with the server that can be suspended at a deadline and continued later."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._state: Any = None

    def until(self, end: float) -> Conversation:
        """Continue the exchange until it is complete.

        Raises:
            _SilenceError: the server sent nothing until `end`, a time of `time.monotonic`.
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
