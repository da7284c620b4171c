"""The processors of a registry, for goque's own modules: applications see `goque.Registry` only."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from goque.errors import UnknownTypeError
from goque.handlers.processor import Processor
from goque.options import ProcessorSpec
from goque.task import Task


class ProcessorTable:
    """The processors of one registry by task type, in the order in which they were added.

    Args:
        complete: returns a processor with what a framework adds to each; it may get one that it has completed before.
    """

    def __init__(self, complete: Callable[[Processor], Processor]) -> None:
        self._complete = complete
        self._by_type: dict[str, Processor] = {}

    def __contains__(self, task_type: str) -> bool:
        return task_type in self._by_type

    @property
    def task_types(self) -> list[str]:
        """The types that have a processor."""
        return list(self._by_type)

    def add(self, processor: Processor) -> None:
        """Add a processor of a type that has none."""
        self.put(self._complete(processor))

    def put(self, processor: Processor) -> None:
        """Add a processor, or replace the one that its type has."""
        self._by_type[processor.spec.type] = processor

    def find(self, task_type: str) -> Processor | None:
        """Return the processor of a type, or None."""
        return self._by_type.get(task_type)

    def all(self) -> list[Processor]:
        """Return the processors."""
        return list(self._by_type.values())

    def name_of(self, task_type: str) -> str:
        """Return the module and the name of the function that runs a type, for messages."""
        call = self._by_type[task_type].call
        name = getattr(call, "__qualname__", None)
        return f"{getattr(call, '__module__', '?')}.{name}" if name else f"{call!r:.100}"

    def get(self, task_type: str) -> Processor:
        """Return the processor of a type.

        Raises:
            UnknownTypeError: the type has none.
        """
        try:
            return self._by_type[task_type]
        except KeyError:
            near = difflib.get_close_matches(task_type, self._by_type, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownTypeError(f"no processor is registered for type {task_type!r:.210}{hint}") from None

    def specs(self) -> list[ProcessorSpec]:
        """Return what a tree needs to know of each processor, as plain data."""
        return [_described(processor) for processor in self._by_type.values()]

    def default_priority(self, task_type: str) -> int:
        """Return the priority option of the type's processor; 0 for a type without one."""
        processor = self._by_type.get(task_type)
        return processor.spec.options.priority if processor else 0


def _described(processor: Processor) -> ProcessorSpec:
    """Return the specification of a processor, with the functions that the app has by now."""
    if processor.functions is None:
        return processor.spec
    return msgspec.structs.replace(processor.spec, functions=tuple(sorted(processor.functions())))


class HasProcessors(Protocol):
    """A registry, as far as goque's own modules need to know it.

    The queue and the inline runner are imported by the registry, so they cannot import it.

    Attributes:
        version: the version of the app, None if it has none.
    """

    version: str | None

    @property
    def _processors(self) -> ProcessorTable:
        """The registered processors."""

    def prepare_tasks(self, tasks: Sequence[Task]) -> None:
        """Complete tasks by the options of their types, and refuse those that are known to be wrong."""


def processors_of(registry: HasProcessors) -> ProcessorTable:
    """Return the processors of a registry."""
    return registry._processors  # noqa: SLF001 - private to goque, not to the class: see the top of the file
