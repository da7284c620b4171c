"""A connection of goque's own that does not stay at a server which has stopped to take writes."""

from __future__ import annotations

from typing import Final

from goque.storage.postgresql.connection import DeadlineConnection
from goque.storage.sql.session import NotWritableError

_TELLS: Final = ("in_hot_standby", "default_transaction_read_only")
"""Settings that a server from PostgreSQL 14 on reports by itself, with the answer to any statement."""


class WritableConnection(DeadlineConnection):
    """Refuses to be used when its server took writes at first and does not any more.

    A write would find out by itself. A program that only reads would look at an old primary for ever.
    """

    _took_writes: bool | None = None

    def note_use(self) -> None:
        """Look at what the server has last said of itself; that costs no round trip."""
        takes_writes = "on" not in map(self.info.parameter_status, _TELLS)
        if self._took_writes is None:
            self._took_writes = takes_writes
        elif self._took_writes and not takes_writes:
            raise NotWritableError(
                f"the server at {self.info.host}:{self.info.port} takes no writes any more"
            )
        super().note_use()
