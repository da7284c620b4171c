"""What keeps a second task of a kind out: the options `unique`, `unique_key`, `debounce` and `max_wait`.

A key is stored with how long the task holds it, which the databases' unique indexes read: `w:KEY` until the first
claim, `a:KEY` until the end, and `tSECONDS/NUMBER:KEY` for a window of time, for as long as the row exists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from goque.errors import ConfigurationError, length
from goque.payload import decode_json
from goque.task_rules.checks import check_name

OnConflict = Literal["raise", "skip", "replace"]
ON_CONFLICT: Final = ("raise", "skip", "replace")
Unique: TypeAlias = Literal["waiting", "active"] | float | timedelta
UniqueKey: TypeAlias = str | Callable[[Any], str]

WAITING: Final = "waiting"
ACTIVE: Final = "active"

_encode_sorted: Final = msgspec.json.Encoder(order="deterministic").encode


class UniqueRule(msgspec.Struct, frozen=True):
    """When a second task is refused, of one task or of a type.

    Attributes:
        scope: "waiting", "active", or the seconds of a window; None if only a key is given.
        key: the key; on a type also a function of the payload; None for the payload itself.
        debounce: seconds by which each call puts off the waiting task; None for not at all.
        max_wait: seconds after the first call by which it is due; None for no limit.
    """

    scope: str | float | None
    key: UniqueKey | None = None
    debounce: float | None = None
    max_wait: float | None = None

    def completed_by(self, of_type: UniqueRule, key: str | None) -> UniqueRule:
        """Return the rule of a task with what its type's rule adds; `key` is what that rule makes of the payload."""
        if self.scope is not None:
            return UniqueRule(self.scope, self.key or key, self.debounce, self.max_wait)
        return UniqueRule(of_type.scope, self.key or key, of_type.debounce, of_type.max_wait)

    def refuse_incomplete(self) -> None:
        """Raise ConfigurationError if a task has a key, and nothing says how long it holds it."""
        if self.scope is None:
            raise ConfigurationError(
                "unique_key needs unique='waiting', 'active' or seconds, on the call or on the processor"
            )


def check_on_conflict(on_conflict: object) -> None:
    """Raise ConfigurationError for an `on_conflict` that is unknown."""
    if on_conflict not in ON_CONFLICT:
        raise ConfigurationError(f"on_conflict must be 'raise', 'skip' or 'replace', not {on_conflict!r:.80}")


def check_unique(
    unique: Unique | None,
    unique_key: UniqueKey | None,
    debounce: float | timedelta | None,
    max_wait: float | timedelta | None,
) -> UniqueRule:
    """Return the rule that the four options give.

    Raises:
        ConfigurationError: an option is wrong, or does not go with the others.
    """
    scope = _scope(unique)
    if isinstance(unique_key, str):
        check_name("unique_key", unique_key)
    elif unique_key is not None and not callable(unique_key):
        raise ConfigurationError(
            f"unique_key must be text or a function of the payload, not {unique_key!r:.80}"
        )
    if debounce is None:
        if max_wait is not None:
            raise ConfigurationError("max_wait needs debounce=")
        return UniqueRule(scope, unique_key)
    if scope not in (None, WAITING):
        raise ConfigurationError(f"debounce goes with unique='waiting', not with unique={unique!r:.80}")
    put_off = length(debounce, "debounce", positive=True)
    longest = None if max_wait is None else length(max_wait, "max_wait", positive=True)
    if longest is not None and longest < put_off:
        raise ConfigurationError(f"max_wait must be at least debounce, {put_off:g}s, not {longest:g}s")
    return UniqueRule(WAITING, unique_key, put_off, longest)


def _scope(unique: object) -> str | float | None:
    if unique is None:
        return None
    if unique in (WAITING, ACTIVE):
        return str(unique)
    if isinstance(unique, str | bool):
        raise ConfigurationError(f"unique must be 'waiting', 'active' or seconds, not {unique!r:.80}")
    return length(unique, "unique", positive=True)


def key_of(function: Callable[[Any], str], payload: Any) -> str:
    """Return what a `unique_key` function makes of a payload.

    Raises:
        ConfigurationError: it raises, or does not return a text that can be a key.
    """
    try:
        key = function(payload)
    except Exception as error:
        raise ConfigurationError(
            f"unique_key raised {type(error).__name__}: {error!s:.200}; it gets the payload, and must return a text"
        ) from error
    check_name("what unique_key returns", key)
    return key


def stored_key(rule: UniqueRule, payload: bytes, now: datetime | None) -> str:
    """Return the column `unique_key` of a task.

    Args:
        rule: the rule of the task.
        payload: its JSON text, which is the key if the rule has none.
        now: the database's clock; needed for a window only.
    """
    key = rule.key if isinstance(rule.key, str) else _digest(payload)
    if isinstance(rule.scope, str):
        return f"{rule.scope[0]}:{key}"
    assert rule.scope is not None
    assert now is not None
    return f"t{rule.scope:g}/{int(now.timestamp() // rule.scope)}:{key}"


def _digest(payload: bytes) -> str:
    """Return a key for a JSON value, whatever the order of the keys of its objects."""
    return hashlib.sha256(_encode_sorted(decode_json(payload))).hexdigest()
