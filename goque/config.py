"""Where settings come from: an argument or flag, the environment, the registry, the embedded default."""

from __future__ import annotations

import os
from typing import Final

DEFAULT_DATABASE_URL: Final = "sqlite:///goque.db"


def resolve_database_url(explicit: str | None = None, *, registry_url: str | None = None) -> str:
    """Return the first URL given of: the explicit one, `GOQUE_DATABASE_URL`, the registry's, the default."""
    return explicit or os.environ.get("GOQUE_DATABASE_URL") or registry_url or DEFAULT_DATABASE_URL
