"""Payload types: from a handler's annotation to a decoder, by msgspec or, for its own models, by pydantic.

pydantic is never imported for its own sake: an annotation with one of its models shows that it is installed.
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
"""How many mistakes of one payload an error names; msgspec stops at the first, pydantic finds all."""


def make_decoder(payload_type: Any) -> Callable[[bytes], Any]:
    """Make the function that decodes JSON text as a type; it raises PayloadDecodeError.

    Raises:
        TypeError: no JSON text decodes to this type, or to a field that it cannot do without.
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
            raise  # the task's time is up, or it is canceled: that is no fault of the payload
        except Exception as error:
            raise PayloadDecodeError(f"payload does not decode: {_said(error)}") from error

    return decode_or_explain


def _said(error: Exception) -> str:
    """Return msgspec's and pydantic's own sentences, which have the path of the field; name other errors."""
    if isinstance(error, msgspec.MsgspecError | ValueError):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _mentions_pydantic(annotation: Any) -> bool:
    return _is_pydantic(annotation) or any(map(_mentions_pydantic, typing.get_args(annotation)))


def _is_pydantic(kind: Any) -> bool:
    return isinstance(kind, type) and hasattr(kind, "__pydantic_validator__")


def _is_json(custom: Any) -> bool:
    """Whether some JSON value is an instance already, as every one is of `object`."""
    kind = typing.get_origin(custom) or custom
    return isinstance(kind, type) and any(issubclass(one, kind) for one in JSON_TYPES)


def _custom_types(node: Any, seen: set[int]) -> Iterator[Any]:
    """Yield the types that msgspec does not know, but not of fields that may be left out."""
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
        _ = adapter.validator.title  # asked for anything, a model that cannot be built says so
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
    """Write where a value stands as msgspec does: `$.items[0].price`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return f" - at `${steps}`" if steps else ""


def _decode_field(kind: Any, value: Any) -> Any:
    """Decode a field of a type that msgspec does not know; it checks afterwards what comes of it."""
    if _is_pydantic(kind):
        return _pydantic_decoder(kind)(msgspec.json.encode(value))
    return value
