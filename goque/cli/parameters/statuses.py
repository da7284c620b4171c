"""The statuses that options take, by their words."""

from __future__ import annotations

from typing import Any

import click

from goque.cli.parameters.values import Names
from goque.describe.status_words import WORDS, explain_words, statuses_of
from goque.task_row import TaskStatus


class Statuses(Names):
    """Statuses, by their words or as they are in the table, with commas between several.

    Args:
        allowed: the statuses that make sense for a command.
    """

    def __init__(self, allowed: frozenset[TaskStatus] = frozenset(TaskStatus)) -> None:
        self.allowed = allowed
        known = [status for status in WORDS if status in allowed]
        super().__init__(
            tuple(dict.fromkeys((*(WORDS[status] for status in known), *(status.value for status in known))))
        )

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[TaskStatus, ...]:
        """Return the statuses that the words name; refuse other words."""
        found: list[TaskStatus] = []
        for name in (part.strip() for part in value.split(",")):
            statuses = [status for status in statuses_of(name) if status in self.allowed]
            if not statuses:
                self.fail(f"{name!r} is not one of {explain_words(self.allowed)}", param, ctx)
            found += statuses
        return tuple(dict.fromkeys(found))
