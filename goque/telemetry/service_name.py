"""The service name in the application's metrics."""

from __future__ import annotations

from goque.errors import ConfigurationError

_given: list[str] = []


def set_metrics_service_name(name: str) -> None:
    """Add the label `service` with this value to all metrics of goque. Call it where you define the registry.

    It wins over the registry's `service_name`. Without either there is no such label; you can also let Prometheus
    add one.

    Raises:
        ConfigurationError: the name is no text, or empty.
    """
    if not isinstance(name, str) or not name.strip():
        raise ConfigurationError(f"a service name must be a text that is not blank, not {name!r:.80}")
    _given[:] = [name]


def metrics_service_name() -> str | None:
    """Return the name that was set in this process, or None."""
    return _given[0] if _given else None
