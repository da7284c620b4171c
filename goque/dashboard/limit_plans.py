"""The actions that change the limits of a type: its form, and what was filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import msgspec

from goque.dashboard.plans import BadFieldError, Field, Params, Plan, name_in
from goque.dashboard.queries import BadQueryError
from goque.dashboard.state import Dashboard
from goque.describe.limit_words import describe_limits
from goque.errors import ConfigurationError
from goque.storage.contract import TypePolicy
from goque.task_rules.limits import LimitChanges, Limits, Rate, check_changes

MAX_DIGITS: Final = 12
RATE_FIELDS: Final = ("rate", "burst", "rate_of")
NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


def plan_set_limits(dashboard: Dashboard, params: Params) -> Plan:
    """Set limits of a type at run time."""
    policy = _policy(dashboard, params)
    now = _texts(policy.effective_limits)
    was = {name: params.get(f"was_{name}", text) for name, text in now.items()}
    given = {name: params.get(name, text).strip() for name, text in now.items()}

    def act(_who: str) -> str:
        try:
            limits = dashboard.storage.set_limits(policy.type, _changes(given, was))
        except ConfigurationError as error:
            raise BadFieldError(str(error)) from error
        dashboard.limits.forget()
        return f"set limits of type {policy.type}: {describe_limits(limits)}"

    def field(name: str, label: str, example: str, *choices: tuple[str, str]) -> Field:
        return Field(name, label, given[name], was[name], example, choices)

    return Plan(
        f"Limits of {policy.type}",
        "They hold on every node within moments, also after a restart. What runs goes on. "
        "An empty field is no limit; a field that you leave as it is stays as the processor declares it.",
        "Set limits",
        "/limits",
        act,
        fields=(
            field("limit", "At most so many at once", "no limit"),
            field("limit_per_key", "At most so many at once for each key", "no limit"),
            field("rate", "Rate: starts / seconds", "no rate; 100/60 for example"),
            field("burst", "Starts at once after a pause", "as many as the rate has"),
            field("rate_of", "The rate is", "", ("type", "for the type"), ("key", "for each key")),
        ),
    )


def plan_clear_limits(dashboard: Dashboard, params: Params) -> Plan:
    """Forget the limits of a type that were set at run time."""
    policy = _policy(dashboard, params)

    def act(_who: str) -> str:
        limits = dashboard.storage.set_limits(policy.type, None)
        dashboard.limits.forget()
        return f"cleared what was set for type {policy.type}: {describe_limits(limits)}"

    note = f"Its processor declares: {describe_limits(policy.limits)}. This holds again on every node."
    note += " What a handler has put off with goque.RateLimited may start at once."
    return Plan(f"Clear what was set for {policy.type}?", note, "Clear", "/limits", act)


def _policy(dashboard: Dashboard, params: Params) -> TypePolicy:
    name = name_in(params, "type")
    policy = dashboard.storage.type_policies().get(name)
    if policy is None:
        raise BadQueryError(f"no supervisor has run tasks of type {name!r:.300}")
    return policy


def _texts(limits: Limits) -> dict[str, str]:
    """Return the text of each field."""
    rate = limits.rate
    return {
        "limit": "" if limits.limit is None else str(limits.limit),
        "limit_per_key": "" if limits.per_key is None else str(limits.per_key),
        "rate": "" if rate is None else f"{rate.count}/{_plain(rate.per)}",
        "burst": "" if rate is None or rate.burst is None else str(rate.burst),
        "rate_of": "key" if rate is not None and rate.per_key else "type",
    }


def _changes(given: Mapping[str, str], was: Mapping[str, str]) -> LimitChanges:
    """Return what somebody has changed.

    Raises:
        ConfigurationError: a field is wrong, or none was changed.
    """
    is_new = {name: given[name] != was[name] for name in given}
    if not any(is_new.values()):
        raise ConfigurationError("nothing is changed: change a field, or leave it")
    unset = msgspec.UNSET
    return check_changes(
        _whole(given["limit"]) if is_new["limit"] else unset,
        _whole(given["limit_per_key"]) if is_new["limit_per_key"] else unset,
        _rate(given) if any(is_new[name] for name in RATE_FIELDS) else unset,
    )


def _whole(text: str) -> int | None:
    """Return a number; None for an empty field. What is none is passed on, for `check_changes` to refuse it."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS
    return int(text) if is_number else text or None  # type: ignore[return-value]  # refused where all limits are


def _rate(given: Mapping[str, str]) -> Rate | None:
    text, burst = given["rate"], _whole(given["burst"])
    if not text:
        if burst is not None:
            raise ConfigurationError("give a rate, such as 100/60, or leave the starts after a pause empty")
        return None
    count, _, per = (part.strip() for part in text.partition("/"))
    if not NUMBER.fullmatch(per):
        raise ConfigurationError(f"rate must be starts/seconds, such as 100/60, not {text!r:.80}")
    return Rate(_whole(count), float(per), burst, given["rate_of"] == "key")  # type: ignore[arg-type]  # Rate refuses it


def _plain(seconds: float) -> str:
    """Return seconds as people write them: 60, 0.5."""
    return f"{seconds:.6f}".rstrip("0").rstrip(".")
