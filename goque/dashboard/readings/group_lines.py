"""The lines of code of groups of failures, which are read once, because the line of a group never changes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from goque.storage import TaskStorage

MAX_KEPT: Final = 500


class GroupLines:
    """Returns the line of the user's own code where the attempts of a group failed.

    Args:
        storage: shared with the pages.
    """

    def __init__(self, storage: TaskStorage) -> None:
        self._storage = storage
        self._lines: dict[str, str] = {}

    def of(self, groups: Iterable[str | None]) -> dict[str, str]:
        """Return the line of each group; a group without a known line, and None, are left out."""
        lines = {group: self._line(group) for group in groups if group}
        return {group: line for group, line in lines.items() if line}

    def _line(self, group: str) -> str:
        known = self._lines.get(group)
        if known is not None:
            return known
        found = self._storage.failure_group(group)
        if found is None:
            return ""  # its first failure is not counted yet
        if len(self._lines) >= MAX_KEPT:
            self._lines.clear()
        self._lines[group] = found.line
        return found.line
