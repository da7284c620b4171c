"""Statements are written with `:name`; most drivers want `%(name)s` or `%s`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

_NAME: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=256)
def percent_placeholders(sql: str) -> str:
    """Rewrite `:name` as `%(name)s`; a type cast (`::text`) stays, and a percent sign is doubled."""
    return _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))


def positional(sql: str, params: Iterable[Mapping[str, Any]]) -> tuple[str, list[tuple[Any, ...]]]:
    """Rewrite `:name` as `%s`; returns the text, and for each set of parameters those that the statement names."""
    text, names = _positional_placeholders(sql)
    return text, [tuple([bound[name] for name in names]) for bound in params]


@lru_cache(maxsize=64)
def _positional_placeholders(sql: str) -> tuple[str, tuple[str, ...]]:
    doubled = sql.replace("%", "%%")
    return _NAME.sub("%s", doubled), tuple(_NAME.findall(doubled))
