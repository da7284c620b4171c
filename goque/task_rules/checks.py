"""What a task may be made of: names, metadata, priority and times; each refusal is one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from goque.errors import ConfigurationError, length

MAX_NAME_LENGTH: Final = 255
MIN_PRIORITY: Final = -100
MAX_PRIORITY: Final = 100


def check_name(what: str, value: object) -> None:
    """Refuse a type or external id that a backend cannot store or a person cannot read."""
    if not isinstance(value, str):
        raise ConfigurationError(f"{what} must be text, not {value!r:.80}")
    if not value or len(value) > MAX_NAME_LENGTH:
        raise ConfigurationError(f"{what} must have 1 to {MAX_NAME_LENGTH} characters, not {len(value)}")
    if not value.isprintable() and any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in value):
        raise ConfigurationError(f"{what} {value!r:.80} has control characters; leave them out")
    if not value.isascii() and any(0xD800 <= ord(char) < 0xE000 for char in value):
        raise ConfigurationError(f"{what} {value!r:.80} has lone surrogates; no database stores them")


def is_storable(text: str) -> bool:
    """Return whether every database can store a text, and be asked for it: it is UTF-8, and has no NUL."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_metadata(metadata: object) -> dict[str, Any]:
    """Refuse metadata that is not a mapping with text for its keys; its values are checked at enqueue."""
    if not isinstance(metadata, Mapping):
        raise ConfigurationError(f"metadata must be a mapping, not {metadata!r:.80}")
    for key in metadata:
        if not isinstance(key, str):
            raise ConfigurationError(f"metadata must have text for its keys, not {key!r:.80}")
    return dict(metadata)


def check_priority(priority: object) -> int:
    """Refuse a priority that is not a whole number from -100 to 100."""
    if not isinstance(priority, int) or isinstance(priority, bool) or abs(priority) > MAX_PRIORITY:
        raise ConfigurationError(
            f"priority must be a whole number from {MIN_PRIORITY} to {MAX_PRIORITY}, not {priority!r}"
        )
    return priority


def check_delay(delay: float | timedelta | None) -> float:
    """Refuse a delay that is not a finite number of seconds from 0 up."""
    return 0.0 if delay is None else length(delay, "delay")


def check_run_at(run_at: datetime | None, delay: object) -> datetime | None:
    """Refuse a naive run_at, or one together with a delay."""
    if run_at is None:
        return None
    check_instant("run_at", run_at)
    if delay is not None:
        raise ConfigurationError("give run_at or delay, not both")
    try:
        return run_at.astimezone(UTC)
    except OverflowError as error:
        raise ConfigurationError(f"run_at must be a time from year 1 to 9999, not {run_at}") from error


def check_instant(name: str, value: object) -> None:
    """Refuse what is not a datetime with a time zone."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise ConfigurationError(f"{name} must be a datetime with a time zone, not {value!r:.80}")
