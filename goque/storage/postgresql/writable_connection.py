"""A connection that refuses to be used once its server has become read-only."""

from __future__ import annotations

from typing import Final

from goque.storage.postgresql.connection import DeadlineConnection
from goque.storage.sql.session import NotWritableError

_TELLS: Final = ("in_hot_standby", "default_transaction_read_only")
"""Settings whose changes PostgreSQL 14 and later report with the answer to any statement."""


class WritableConnection(DeadlineConnection):
    """Raises an error when its server accepted writes at first and does not any more.

    A write would fail anyway. But a program that only reads would stay connected to the old primary for ever.
    """

    _took_writes: bool | None = None

    def note_use(self) -> None:
        """Check the settings that the server reported last; this costs no round trip."""
        takes_writes = "on" not in map(self.info.parameter_status, _TELLS)
        if self._took_writes is None:
            self._took_writes = takes_writes
        elif self._took_writes and not takes_writes:
            raise NotWritableError(
                f"the server at {self.info.host}:{self.info.port} takes no writes any more"
            )
        super().note_use()
