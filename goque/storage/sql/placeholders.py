"""Statements are written with `:name`; most drivers want `%(name)s`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_NAME: Final = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=256)
def percent_placeholders(sql: str) -> str:
    """Rewrite `:name` as `%(name)s`; a type cast (`::text`) stays, and a percent sign is doubled."""
    return _NAME.sub(r"%(\1)s", sql.replace("%", "%%"))
