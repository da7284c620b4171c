"""Says in words what bounds a type, and how a key is called. No I/O happens here."""

from __future__ import annotations

from typing import Final

import msgspec

from goque.task_rules.limits import LimitChanges, Limits, Rate

NO_LIMITS: Final = "no limits"
WITHOUT_KEY: Final = "(no key)"


def short_limits(limits: Limits) -> str:
    """Return limits by the names of their options: `limit 20, 2 per key, rate 100/60 for each key, burst 10`."""
    parts = []
    if limits.limit is not None:
        parts.append(f"limit {limits.limit}")
    if limits.per_key is not None:
        parts.append(f"{limits.per_key} per key")
    if limits.rate is not None:
        parts.append(f"rate {short_rate(limits.rate)}")
    return ", ".join(parts) or NO_LIMITS


def short_rate(rate: Rate) -> str:
    """Return `100/60 for each key, burst 10`; the time is in seconds."""
    burst = "" if rate.burst is None else f", burst {rate.burst}"
    return f"{rate.count}/{rate.per:.15g}{' for each key' if rate.per_key else ''}{burst}"


def describe_limits(limits: Limits) -> str:
    """Return limits as a phrase: `at most 20 at once, 2 for each key, 100 starts in 60 s`."""
    parts = [] if limits.limit is None else [f"at most {limits.limit:,} at once"]
    if limits.per_key is not None:
        parts.append(
            f"{limits.per_key:,} for each key" if parts else f"at most {limits.per_key:,} for each key"
        )
    if limits.rate is not None:
        parts.append(describe_rate(limits.rate))
    return ", ".join(parts) or NO_LIMITS


def describe_rate(rate: Rate) -> str:
    """Return a rate as a phrase: `100 starts in 60 s for each key, up to 10 after a pause`."""
    starts = "1 start" if rate.count == 1 else f"{rate.count:,} starts"
    of_keys = " for each key" if rate.per_key else ""
    burst = "" if rate.burst is None else f", up to {rate.burst:,} after a pause"
    return f"{starts} in {rate.per:g} s{of_keys}{burst}"


def describe_changes(changes: LimitChanges | None) -> str:
    """Return what was set at run time: `limit 5, no limit per key, rate 3/1`; empty if nothing was."""
    if changes is None:
        return ""
    names = {"limit": "no limit", "per_key": "no limit per key", "rate": "no rate"}
    set_at_run_time = {name: getattr(changes, name) for name in names}
    return ", ".join(
        names[name] if value is None else short_limits(Limits(**{name: value}))
        for name, value in set_at_run_time.items()
        if value is not msgspec.UNSET
    )


def shown_key(key: str) -> str:
    """Return a key as people see it: in quotation marks where it would look like another, or like none."""
    is_odd = key != key.strip() or key.startswith('"') or key in {"", "-", WITHOUT_KEY}
    return f'"{key}"' if is_odd else key
