"""The task types of a pool, as its fetcher knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from goque.options import ProcessorOptions, ProcessorSpec
from goque.storage.contract import TypePolicy, policy_of
from goque.task_rules.retry_policy import RetryPolicy

_UNKNOWN: Final = ProcessorSpec(type="")
"""Stands for a type that the pool has never had. The table may show such a task as claimed here."""


class PoolTypes:
    """The processors of a pool by task type.

    Attributes:
        names: the types to claim, in the order in which the app added them.

    Args:
        processors: the ProcessorSpec of each type, as plain data.
        leaving: those of types that an earlier import of the app had in the pool. Their tasks in flight come to their
            end here, and no more are claimed.
    """

    def __init__(
        self, processors: Iterable[Mapping[str, Any]], leaving: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        specs = [msgspec.convert(processor, ProcessorSpec) for processor in processors]
        self.names = [spec.type for spec in specs]
        specs += [msgspec.convert(processor, ProcessorSpec) for processor in leaving]
        self._specs = {spec.type: spec for spec in specs}
        self._retry_policies = {spec.type: spec.options.retry_policy for spec in specs}

    def __contains__(self, task_type: str) -> bool:
        return task_type in self._specs

    @property
    def only(self) -> str | None:
        """The type, if the pool has one alone; the database is asked for this type only then."""
        return next(iter(self._specs)) if len(self._specs) == 1 else None

    def options(self, task_type: str) -> ProcessorOptions:
        """Return the options of a type."""
        return self._specs.get(task_type, _UNKNOWN).options

    def retry_policy(self, task_type: str) -> RetryPolicy:
        """Return what decides what follows a failure of a type."""
        return self._retry_policies.get(task_type) or _UNKNOWN.options.retry_policy

    def is_async(self, task_type: str) -> bool:
        """Return whether the handler of a type is `async def`."""
        return self._specs.get(task_type, _UNKNOWN).is_async

    def with_crash_handler(self) -> list[str]:
        """Return the types whose processors have a `crash_handler`."""
        return [name for name, spec in self._specs.items() if spec.options.has_crash_handler]

    def functions(self) -> dict[str, Sequence[str]]:
        """Return the functions that the tasks of a type call, of each type with several."""
        return {name: spec.functions for name, spec in self._specs.items() if spec.functions is not None}

    def policies(self) -> list[TypePolicy]:
        """Return what to publish of the types."""
        return [policy_of(name, self._specs[name].options) for name in self.names]

    def shortest_age(self) -> float:
        """Return the shortest time, in seconds, for which the table keeps a finished task of any type."""
        return min(
            (
                min(spec.options.cleaner_updated_at_time_ago, spec.options.cleaner_keep_failed)
                for spec in self._specs.values()
            ),
            default=0.0,
        )
