"""What this application's metrics call it."""

from __future__ import annotations

from goque.errors import ConfigurationError

_given: list[str] = []


def set_metrics_service_name(name: str) -> None:
    """Give every metric of goque's a label `service` with this value; call it where the registry is defined.

    It wins over the registry's `service_name`. Without either there is no such label: one that Prometheus adds by
    its own configuration does as well.

    Raises:
        ConfigurationError: the name is no text, or empty.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"a service name is text that says something, not {name!r:.80}")
    _given[:] = [name]


def metrics_service_name() -> str | None:
    """Return the name that was set in this process, or None."""
    return _given[0] if _given else None
