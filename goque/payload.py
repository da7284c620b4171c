"""Encodes Python objects to JSON that every backend stores unchanged, and decodes it."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from goque.errors import (
    ConfigurationError,
    InvalidPayloadFormatError,
    PayloadDecodeError,
    PayloadEncodeError,
)

DEFAULT_MAX_PAYLOAD: Final = 1024 * 1024
MAX_PAYLOAD_LIMIT: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 30
MAX_SCALE: Final = 16_383
"""The most digits after the decimal point that PostgreSQL's numeric, and so its JSONB, can hold."""
MAX_EXPONENT: Final = 308
"""The highest power of ten that every database reads as a number, even if it is multiplied by zero."""

_OWN_TYPES: Final = frozenset({str, int, float, bool, bytes, type(None)})
"""The commonest payloads that cannot contain JSON text which msgspec did not write."""

_SHAPE: Final = bytes.maketrans(b"123456789E", b"000000000e")
_LONG: Final = b"0" * (MAX_SCALE - 99)
"""A number beyond MAX_SCALE has this many digits, or an exponent of three digits or more."""

_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def _encode_other(value: Any) -> msgspec.Raw:
    """Encode pydantic's models, which msgspec does not know, so that they can be decoded again."""
    if hasattr(type(value), "model_dump_json"):
        return msgspec.Raw(value.model_dump_json(by_alias=True, round_trip=True).encode())
    raise TypeError(f"Encoding objects of type {type(value).__qualname__} is unsupported")


_encode = msgspec.json.Encoder(enc_hook=_encode_other).encode
_decode = msgspec.json.Decoder().decode


def encode_payload(payload: Any, *, what: str = "payload", limit: int | None = None) -> bytes:
    """Encode a payload to JSON text and check that every backend stores it unchanged.

    Args:
        payload: anything that msgspec encodes to JSON, or a pydantic model.
        what: the payload's name in errors; metadata and results are checked in the same way.
        limit: the maximum in bytes, called `max_result` in errors; None for `max_payload`.

    Raises:
        PayloadEncodeError: msgspec cannot encode the object.
        InvalidPayloadFormatError: the text is not JSON, too large, too deep, or holds a NUL, NaN, infinity, or
            a number with more digits than a database stores.
    """
    try:
        raw = _encode(payload)
    except RecursionError as error:
        raise InvalidPayloadFormatError(
            f"{what} is nested deeper than {MAX_DEPTH} levels, or contains itself; flatten it"
        ) from error
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
        raise PayloadEncodeError(
            _unencodable(payload, what) or f"{what} of type {_name_of(payload)} cannot be JSON: {error}"
        ) from error
    most = max_payload() if limit is None else limit
    if len(raw) > most:
        name, instead = ("max_payload", "enqueue") if limit is None else ("max_result", "return")
        raise InvalidPayloadFormatError(
            f"{what} has {len(raw)} bytes, more than {name} {most}; store it elsewhere and {instead} its key"
        )
    value = _decode_again(raw, payload, what)
    if raw.count(b"[") + raw.count(b"{") > MAX_DEPTH and _is_too_deep(value):
        raise InvalidPayloadFormatError(f"{what} is nested deeper than {MAX_DEPTH} levels; flatten it")
    if b"null" in raw and not isinstance(payload, msgspec.Raw):
        _check_numbers(payload, what)
    if b"\\u0000" in raw and _ESCAPED_NUL.search(raw):
        raise InvalidPayloadFormatError(
            f"{what} has a NUL character, which PostgreSQL cannot store; leave it out"
        )
    # a dict that reads back as it was has no text that msgspec did not write
    if type(payload) not in _OWN_TYPES and not (type(payload) is dict and payload == value):
        _check_text_of_others(raw, payload, what)
    return raw


def decode_json(raw: bytes, what: str = "payload") -> Any:
    """Decode JSON text from a database.

    Args:
        raw: the text.
        what: its name in errors.

    Raises:
        PayloadDecodeError: it is not JSON, or not JSON that Python can hold.
    """
    try:
        return _decode(raw)
    except (ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise PayloadDecodeError(f"{what} is not readable JSON: {error}") from error


def max_payload() -> int:
    """Return the largest payload, in bytes, that can be enqueued: `GOQUE_MAX_PAYLOAD`, or 1 MiB."""
    raw = os.environb.get(b"GOQUE_MAX_PAYLOAD")  # as bytes, for each task asks
    if not raw:
        return DEFAULT_MAX_PAYLOAD
    text = os.fsdecode(raw)
    if not text.isdecimal() or not 0 < int(text) <= MAX_PAYLOAD_LIMIT:
        raise ConfigurationError(f"GOQUE_MAX_PAYLOAD must be 1 to {MAX_PAYLOAD_LIMIT} bytes, not {text!r}")
    return int(text)


def _decode_again(raw: bytes, payload: Any, what: str) -> Any:
    """Check the final text: a Raw at any depth and a model's own encoder may have put in what is not JSON."""
    try:
        return _decode(raw)
    except RecursionError:
        raise InvalidPayloadFormatError(
            f"{what} is nested deeper than {MAX_DEPTH} levels; flatten it"
        ) from None
    except (ValueError, msgspec.MsgspecError) as error:
        raise _not_json(payload, what, error) from error


def _check_text_of_others(raw: bytes, payload: Any, what: str) -> None:
    """Check what msgspec's own encoder would never write: it may be in a Raw, or in the text of a model's encoder.

    Each must be one JSON value by itself: `1,"b":2` would add a field to the object that it is in.
    """
    others: list[Any] = []
    msgspec.to_builtins(payload, builtin_types=(bytes,), enc_hook=others.append)
    if not others:
        return
    for one in others:
        try:
            if one is not payload:
                _decode(_encode(one))
        except (ValueError, msgspec.MsgspecError) as error:
            raise _not_json(payload, what, error) from error
    shape = raw.translate(_SHAPE, b"+-")
    if b"0e000" in shape or (len(raw) > len(_LONG) and _LONG in shape):
        _check_scales(raw, what)


def _check_scales(raw: bytes, what: str) -> None:
    """Refuse numbers that PostgreSQL cannot store. Python reads `1e-99999` as 0, so only the text shows them."""
    for path, _ in _infinite(_decode_scales(raw), what):
        raise InvalidPayloadFormatError(
            f"{path} is a number that not every database can store: at most {MAX_SCALE} digits after the decimal "
            f"point, and an exponent up to {MAX_EXPONENT}; round it, or give a text"
        )


def _zero_or_nan(number: str) -> float:
    """Return NaN for the text of a number that has too many digits, 0 for any other."""
    mantissa, _, exponent = number.lower().partition("e")
    if len(exponent) > len("-999999999"):
        return math.nan
    scale = len(mantissa.partition(".")[2]) - int(exponent or 0)
    return 0.0 if -MAX_EXPONENT <= scale <= MAX_SCALE else math.nan


_decode_scales = msgspec.json.Decoder(float_hook=_zero_or_nan).decode


def _not_json(payload: Any, what: str, error: Exception) -> InvalidPayloadFormatError:
    """Make the error that names the path of a Raw, or a model, whose text is not JSON."""
    _check_numbers(payload, what)
    marked = msgspec.to_builtins(payload, enc_hook=_mark_what_is_not_json)
    path, _ = next(_infinite(marked, what), (what, None))
    return InvalidPayloadFormatError(f"{path} is not JSON: {error}")


def _mark_what_is_not_json(value: Any) -> Any:
    """Return NaN for a Raw, or a model, whose text is not JSON, so that its path can be found."""
    try:
        _decode(_encode(value))
    except (ValueError, msgspec.MsgspecError):
        return math.nan
    return None


def _unencodable(payload: Any, what: str) -> str | None:
    """Return a message that names a value which cannot be JSON, its type and its path; None if it is not found."""
    found: list[tuple[Any, Exception]] = []
    marker = "\0 cannot be JSON"

    def mark(value: Any) -> str | None:
        try:
            _encode(value)
        except (TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            found.append((value, error))
            return marker
        return None

    try:
        marked = msgspec.to_builtins(payload, enc_hook=mark)
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        return None  # the key of a dict, which has no path
    path = next(_places(marked, what, lambda value: value == marker), None)
    if path is None:
        return None
    value, error = found[0]
    is_unknown = str(error).startswith("Encoding objects of type")
    why = "; turn it into what can be, such as a text or a number" if is_unknown else f": {error}"
    return f"{path[0]} of type {_name_of(value)} cannot be JSON{why}"


def _name_of(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _check_numbers(payload: Any, what: str) -> None:
    """Refuse NaN and infinities. msgspec encodes them as null, and other encoders may write them as they are."""
    value = msgspec.to_builtins(payload, enc_hook=_plain_other)
    if all(map(math.isfinite, _floats(value))):
        return
    path, number = next(_infinite(value, what))
    raise InvalidPayloadFormatError(f"{path} is {number}, which JSON cannot represent; give None or a text")


def _plain_other(value: Any) -> Any:
    """Return the fields of pydantic's models. Any other unknown object is a Raw, which is JSON and has no NaN."""
    return value.model_dump(by_alias=True) if hasattr(type(value), "model_dump") else None


def _floats(value: Any) -> Iterator[float]:
    values = [value]
    while values:
        one = values.pop()
        if isinstance(one, float):
            yield one
        elif isinstance(one, dict):
            values += one.values()
        elif isinstance(one, list | tuple):
            values += one


def _infinite(value: Any, path: str) -> Iterator[tuple[str, float]]:
    return _places(value, path, lambda one: isinstance(one, float) and not math.isfinite(one))


def _places(value: Any, path: str, is_wanted: Callable[[Any], bool]) -> Iterator[tuple[str, Any]]:
    """Yield the path and the value of each plain value that is wanted."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _places(item, f"{path}.{key}", is_wanted)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _places(item, f"{path}[{number}]", is_wanted)
    elif is_wanted(value):
        yield path, value


def _is_too_deep(value: Any) -> bool:
    """Go down level by level to the limit, without recursion, so that Python's recursion limit does not matter."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        inner: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                inner += one.values()
            elif isinstance(one, list):
                inner += one
        if not any(isinstance(one, dict | list) for one in level):
            return False
        level = inner
    return True
