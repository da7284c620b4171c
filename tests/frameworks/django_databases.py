"""A server's URL as Django's DATABASES have it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit


def values_of(url: str, name: str | None = None) -> dict[str, Any]:
    """Return the values for the database of a URL, or for another one on its server."""
    parts = urlsplit(url)
    return {
        "ENGINE": f"django.db.backends.{parts.scheme}",
        "NAME": name or parts.path[1:],
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
    }
