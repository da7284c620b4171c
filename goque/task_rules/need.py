"""What a task needs: another task, and how that ended."""

from __future__ import annotations

from typing import Any

import msgspec

from goque.payload import decode_json


class Need(msgspec.Struct, frozen=True, array_like=True):
    """A task that the running task needs, as it ended.

    Attributes:
        id: its id.
        type: its type; empty if it has been deleted.
        status: its status; empty if it has been deleted.
        raw_result: the JSON text of its result, None if it returned none.
        error: the last cause of one that ended badly, else None.
    """

    id: str
    type: str
    status: str
    raw_result: bytes | None = None
    error: str | None = None

    @property
    def result(self) -> Any:
        """The value that its handler returned, as plain JSON.

        Raises:
            PayloadDecodeError: the text in the database is not JSON.
        """
        return None if self.raw_result is None else decode_json(self.raw_result, "result")
