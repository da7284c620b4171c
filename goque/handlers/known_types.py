"""What a registry knows to be wrong with a task: its type is unknown, or its handler would not decode the payload."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from goque.errors import ConfigurationError, InvalidPayloadFormatError, PayloadDecodeError, UnknownTypeError
from goque.handlers.processor import DecodedArgument, decoded_argument
from goque.handlers.processor_table import ProcessorTable
from goque.task import NO_TASK_PAYLOAD, Task
from goque.task_rules.error_lines import first_line
from goque.task_rules.limits import NO_KEY, limit_key_of
from goque.task_rules.uniqueness import key_of

KeyT = TypeVar("KeyT")


class KnownTypes:
    """The types that a registry has processors for, and those that it declares."""

    def __init__(self, processors: ProcessorTable) -> None:
        self._processors = processors
        self._declared: dict[str, DecodedArgument | None] = {}

    def declare(self, task_type: str, payload: Any) -> None:
        """Name a type that runs elsewhere.

        Args:
            task_type: the type.
            payload: the type of its payloads; Any for all.

        Raises:
            ConfigurationError: the type is known already, or no payload can come from JSON.
        """
        self.refuse_known(task_type)
        try:
            decoded = None if payload is Any else DecodedArgument(payload, whole_task=False, cancel=False)
        except TypeError as error:
            raise ConfigurationError(
                f"type {task_type!r} is declared with {payload!r:.200}, which cannot come from JSON: "
                f"{first_line(str(error))}; give a msgspec.Struct, dataclass, TypedDict, attrs class, pydantic model "
                "or builtin type"
            ) from error
        self._declared[task_type] = decoded

    def refuse_known(self, task_type: str) -> None:
        """Raise ConfigurationError if the type has a processor, or is declared."""
        if task_type in self:
            raise ConfigurationError(
                f"type {task_type!r} {self.describe(task_type)} already; give each type one processor or declaration"
            )

    def __contains__(self, task_type: str) -> bool:
        return task_type in self._processors or task_type in self._declared

    def describe(self, task_type: str) -> str:
        """Say what a known type is: what has a processor, which is named, or is declared."""
        if task_type in self._processors:
            return f"has a processor, {self._processors.name_of(task_type)},"
        return "is declared"

    def refuse_overlap(self, other: KnownTypes) -> None:
        """Raise ConfigurationError, naming both, if two registries know one type."""
        for task_type in (*other._processors.task_types, *other._declared):
            if task_type in self:
                raise ConfigurationError(
                    f"type {task_type!r} {self.describe(task_type)} in the including registry, and "
                    f"{other.describe(task_type).removesuffix(',')} in the included one; give each type one"
                )

    def take(self, other: KnownTypes) -> None:
        """Take the processors and declarations of another registry."""
        for processor in other._processors.all():
            self._processors.add(processor)
        self._declared |= other._declared

    def check(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks of which one is known to be wrong.

        A payload whose class is the annotated one is taken as it is. The JSON text of any other is decoded.

        Raises:
            UnknownTypeError: a type has no processor and is not declared.
            InvalidPayloadFormatError: a payload does not decode.
        """
        for number, task in enumerate(tasks):
            wanted = self._payload_of(task.type)
            if wanted is None and task.type not in self:
                raise UnknownTypeError(_place(tasks, number) + self._unknown(task.type))
            if wanted is None or task.was_made_with(wanted.payload_type):
                continue
            try:
                wanted.decode(task.payload_bytes)
            except PayloadDecodeError as error:
                raise InvalidPayloadFormatError(
                    _place(tasks, number) + _undecodable(task, wanted.payload_type, error)
                ) from None

    def complete(self, task: Task) -> None:
        """Give a task the unique key and the limit key that its type's processor asks for.

        Raises:
            ConfigurationError: a function of the processor fails, or the task's own options do not go with it.
            InvalidPayloadFormatError: the payload does not decode, so the function cannot be called.
        """
        processor = self._processors.find(task.type)
        if processor is None:
            return
        if processor.spec.options.is_limited and task.stored_limit_key is None:
            key = processor.limit_key
            found = self._called(key, limit_key_of, task) if callable(key) else key
            task.stored_limit_key = found or NO_KEY
        rule = processor.unique
        if rule is not None:
            own = rule.key
            if callable(own) and not task.has_own_key:
                own = self._called(own, key_of, task)
            task.complete_unique(rule, own if isinstance(own, str) else None)

    def _called(self, function: Any, call: Callable[[Any, Any], KeyT], task: Task) -> KeyT:
        """Call a function of the payload as the handler gets it."""
        wanted = self._payload_of(task.type)
        try:
            return call(function, task.payload if wanted is None else wanted.decode(task.payload_bytes))
        except PayloadDecodeError as error:
            taken = Any if wanted is None else wanted.payload_type
            raise InvalidPayloadFormatError(_undecodable(task, taken, error)) from None
        except ConfigurationError as error:
            raise ConfigurationError(f"type {task.type!r}: {error}") from error.__cause__

    def _payload_of(self, task_type: str) -> DecodedArgument | None:
        """Return how the payloads of a type are decoded; None where any will do."""
        processor = self._processors.find(task_type)
        return self._declared.get(task_type) if processor is None else decoded_argument(processor)

    def _unknown(self, task_type: str) -> str:
        known = [*self._processors.task_types, *self._declared]
        near = difflib.get_close_matches(task_type, known, n=1)
        if near:
            hint = f"did you mean {near[0]!r}? "
        else:
            hint = f"it has {', '.join(map(repr, known[:5]))}{' and others' if len(known) > 5 else ''}; "
        return (
            f"the registry has no type {task_type!r:.210}; {hint if known else 'it has none at all; '}"
            "import the module of its handler, or, if it runs elsewhere, "
            f"registry.declare({task_type!r:.210})"
        )


def _place(tasks: Sequence[Task], number: int) -> str:
    """Name one of several tasks."""
    return f"tasks[{number}]: " if len(tasks) > 1 else ""


def _undecodable(task: Task, payload_type: Any, error: PayloadDecodeError) -> str:
    name = payload_type.__qualname__ if isinstance(payload_type, type) else f"{payload_type!r:.200}"
    is_missing = task.was_made_with(msgspec.Raw) and task.payload_bytes == bytes(NO_TASK_PAYLOAD)
    which = "no payload was given, and {}" if is_missing else "the payload"
    why = first_line(str(error)).removeprefix("payload ")
    return f"type {task.type!r} takes {name}, and {which} {why}"
