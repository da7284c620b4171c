"""Makes a decoder from a handler's annotation: msgspec's, or pydantic's for its own models.

This module imports pydantic only for an annotation with one of its models.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

import msgspec
import msgspec.inspect

from goque.errors import GoqueError, PayloadDecodeError

JSON_TYPES: Final = (dict, list, str, int, float, bool, type(None))
MAX_MISTAKES: Final = 5
"""How many errors of one payload a message lists; msgspec stops at the first, pydantic finds all."""


def make_decoder(payload_type: Any) -> Callable[[bytes], Any]:
    """Make a function that decodes JSON text as a type, or raises PayloadDecodeError.

    Raises:
        TypeError: no JSON text decodes to this type, or to one of its required fields.
    """
    if _mentions_pydantic(payload_type):
        decode = _pydantic_decoder(payload_type)
    else:
        decode = msgspec.json.Decoder(payload_type, dec_hook=_decode_field).decode
        for custom in _custom_types(msgspec.inspect.type_info(payload_type), set()):
            if not _is_pydantic(custom) and not _is_json(custom):
                raise TypeError(f"{getattr(custom, '__qualname__', custom)} is not a type of JSON values")

    def decode_or_explain(raw: bytes) -> Any:
        try:
            return decode(raw)
        except GoqueError:
            raise  # the task timed out or was canceled: the payload is not wrong
        except Exception as error:
            raise PayloadDecodeError(f"payload does not decode: {_said(error)}") from error

    return decode_or_explain


def _said(error: Exception) -> str:
    """Return the message of msgspec and pydantic, which has the field's path; for others, also the class."""
    if isinstance(error, msgspec.MsgspecError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _mentions_pydantic(annotation: Any) -> bool:
    return _is_pydantic(annotation) or any(map(_mentions_pydantic, typing.get_args(annotation)))


def _is_pydantic(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def _is_json(custom: Any) -> bool:
    """Return whether a plain JSON value is already an instance of the type, as of `object`."""
    kind = typing.get_origin(custom) or custom
    return isinstance(kind, type) and any(issubclass(one, kind) for one in JSON_TYPES)


def _custom_types(node: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the types of required fields that msgspec does not know."""
    if isinstance(node, tuple):
        for one in node:
            yield from _custom_types(one, seen)
    elif isinstance(node, msgspec.inspect.CustomType):
        yield node.cls
    elif isinstance(node, msgspec.inspect.Field):
        if node.required:
            yield from _custom_types(node.type, seen)
    elif isinstance(node, msgspec.inspect.Type) and id(node) not in seen:
        seen.add(id(node))
        for name in node.__struct_fields__:
            yield from _custom_types(getattr(node, name), seen)


@lru_cache(maxsize=256)
def _pydantic_decoder(payload_type: Any) -> Callable[[bytes], Any]:
    import pydantic  # noqa: PLC0415 - only apps that have it come here

    try:
        adapter = pydantic.TypeAdapter(payload_type)
        _ = adapter.validator.title  # a model that cannot be built raises at its first use
    except Exception as error:
        raise TypeError(f"pydantic refuses it: {error}") from error

    def decode(raw: bytes) -> Any:
        try:
            return adapter.validate_json(raw)
        except pydantic.ValidationError as error:
            mistakes = error.errors(include_url=False, include_context=False, include_input=False)
            shown = [f"{mistake['msg']}{_path(mistake['loc'])}" for mistake in mistakes[:MAX_MISTAKES]]
            more = len(mistakes) - len(shown)
            raise ValueError("; ".join(shown) + (f"; and {more} more" if more else "")) from error

    return decode


def _path(location: tuple[str | int, ...]) -> str:
    """Return the path of a value in msgspec's form: `$.items[0].price`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return f" - at `${steps}`" if steps else ""


def _decode_field(kind: Any, value: Any) -> Any:
    """Decode a field of a type that msgspec does not know; msgspec checks the result afterwards."""
    if _is_pydantic(kind):
        return _pydantic_decoder(kind)(msgspec.json.encode(value))
    return value
