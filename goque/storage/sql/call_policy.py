"""How a call of a storage runs: which transaction it opens, whether it is tried again, how long it may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

from goque.storage.sql.session import Session

Frame = Callable[[Session], AbstractContextManager[None]]

_NOTHING: Final = nullcontext()


def _no_frame(session: Session) -> AbstractContextManager[None]:
    """Let each statement commit by itself."""
    del session
    return _NOTHING


@dataclass(frozen=True)
class CallPolicy:
    """What surrounds the statements of one call.

    Attributes:
        frame: opens what the statements run in, on a connection of goque's own.
        writes: whether the call writes. On a caller's connection it then joins the transaction, or opens one.
        reconnects: try again once after the connection was lost. The first try may have taken effect.
        waits: try again while other writers are in the way, for as long as the storage has patience.
        statement_timeout: seconds that each statement may wait for the database, where that is less than usual.
    """

    frame: Frame
    writes: bool = False
    reconnects: bool = False
    waits: bool = False
    statement_timeout: float | None = None

    def open(self, session: Session) -> AbstractContextManager[None]:
        """Open what the statements run in."""
        if self.statement_timeout is None:
            return self.frame(session)
        return self._open_with_timeout(session, self.statement_timeout)

    @contextmanager
    def _open_with_timeout(self, session: Session, seconds: float) -> Iterator[None]:
        with session.statement_timeout(seconds), self.frame(session):
            yield

    def within(self, seconds: float | None) -> CallPolicy:
        """Return this policy with a statement timeout; None leaves it as it is."""
        return self if seconds is None else replace(self, statement_timeout=seconds)


READ: Final = CallPolicy(_no_frame, reconnects=True)
"""A short read."""

LONG_READ: Final = CallPolicy(lambda session: session.long_read(), reconnects=True)
"""A read that may go through the whole table."""

PINNED_READ: Final = CallPolicy(lambda session: session.pinned_read(), reconnects=True)
"""A read that the tree repeats all the time, with pinned plans."""

WRITE: Final = CallPolicy(lambda session: session.transaction(), writes=True)
"""A transaction of the tree. It is not tried again here: the actor that calls repeats it by itself."""

REPEATABLE_WRITE: Final = replace(WRITE, reconnects=True)
"""A transaction of the tree that may run twice, and that does not wait for other writers."""

PATIENT_WRITE: Final = replace(WRITE, reconnects=True, waits=True)
"""A transaction of an application, which does not try again by itself."""

PATIENT_STATEMENT: Final = CallPolicy(
    lambda session: session.statement(), writes=True, reconnects=True, waits=True
)
"""One statement of an application that commits by itself."""

PINNED_WRITE: Final = CallPolicy(lambda session: session.pinned_transaction(), writes=True)
"""A transaction that the tree repeats all the time, with pinned plans."""

PINNED_STATEMENT: Final = CallPolicy(lambda session: session.autocommit(), writes=True)
"""One such change, which may commit by itself."""
