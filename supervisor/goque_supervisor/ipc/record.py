"""Frozen records that are quick to define. Standard library only.

`dataclass` compiles six functions for each class, in every process that imports it: for the messages of control.py that
was a tenth of the time in which a tree starts.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """The base of records: the annotations of a subclass are its fields, in their order.

    Raises:
        TypeError: a field without a default is missing, or there is no such field.
    """

    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.__match_args__ = tuple(cls.__annotations__)  # type: ignore[misc]  # mypy takes it for final

    def __init__(self, *args: Any, **values: Any) -> None:
        names = self.__match_args__
        if len(args) > len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} fields, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name in values:
            if name not in names or name in given:
                raise TypeError(f"{type(self).__name__} has no field {name!r}, or has it already")
        given |= values
        for name in names:
            if name not in given and not hasattr(type(self), name):
                raise TypeError(f"{type(self).__name__} needs {name!r}")
        vars(self).update(given)

    def fields(self) -> dict[str, Any]:
        """Return the values by the names of the fields."""
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{name!r} of a {type(self).__name__} is frozen")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self.fields() == other.fields()

    __hash__ = None  # type: ignore[assignment]  # some fields are lists

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.fields().items())})"
