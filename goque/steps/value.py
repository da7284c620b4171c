"""The value of a step: JSON text that the function's annotation, or `type=`, makes a value again."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, Final

from goque.errors import ConfigurationError, PayloadDecodeError
from goque.payload import decode_json

Decode = Callable[[bytes], Any]

MOST_RESOLVED: Final = 1024
_resolved_types: dict[Any, Any] = {}


def decoder_of(what: str, wanted: Any) -> Decode:
    """Return what makes a value of JSON text; None and Any mean plain JSON.

    Args:
        what: whose value it is, in errors.
        wanted: the type.

    Raises:
        ConfigurationError: no JSON text decodes to this type.
    """
    if wanted is None or wanted is Any:
        return functools.partial(decode_json, what=f"the value of {what}")
    try:
        decode = _make_decoder(wanted)
    except TypeError as error:
        raise ConfigurationError(
            f"{what} gives {wanted!r}, which cannot come from JSON: {error}; let its function return a "
            "msgspec.Struct, a dataclass or a builtin type, or name another type by type="
        ) from error
    return functools.partial(_decode_as, what, decode)


def _decode_as(what: str, decode: Decode, raw: bytes) -> Any:
    try:
        return decode(raw)
    except PayloadDecodeError as error:
        said = str(error).removeprefix("payload does not decode: ")
        raise PayloadDecodeError(f"the value of {what} does not decode: {said}") from error


@functools.lru_cache(maxsize=1024)
def _make_decoder(wanted: Any) -> Decode:
    from goque.payload_types import make_decoder  # noqa: PLC0415 - only handlers with typed steps need it

    return make_decoder(wanted)


def returned_type(name: str, function: Callable[..., Any]) -> Any:
    """Return what a function says that it returns; None if it says nothing.

    Raises:
        ConfigurationError: it is no function, or its annotation is a text that cannot be resolved.
    """
    if not callable(function):
        raise ConfigurationError(f"step {name!r} needs a function to call, not {function!r:.80}")
    while isinstance(function, functools.partial):
        function = function.func
    if not inspect.isroutine(function):
        function = getattr(type(function), "__call__", function)  # noqa: B004 - the method, not whether there is one
    annotation = getattr(function, "__annotations__", {}).get("return")
    if not isinstance(annotation, str):
        return type(None) if annotation is None and _says_none(function) else annotation
    try:
        return _resolved(function)
    except Exception as error:
        raise ConfigurationError(
            f"step {name!r}: the annotation {annotation!r} cannot be resolved: {error}; import it at run time, or "
            "name the type by type="
        ) from error


def _resolved(function: Callable[..., Any]) -> Any:
    """Return the type that an annotation names: it takes long, and a loop asks for the same again and again.

    It is remembered by the code: the function may hold what its handler has open.
    """
    code = getattr(function, "__code__", function)
    if code not in _resolved_types:
        if len(_resolved_types) >= MOST_RESOLVED:
            _resolved_types.clear()
        _resolved_types[code] = typing.get_type_hints(function, include_extras=True)["return"]
    return _resolved_types[code]


def _says_none(function: Callable[..., Any]) -> bool:
    return "return" in getattr(function, "__annotations__", {})
