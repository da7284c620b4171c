"""The options of types and pools in words."""

from __future__ import annotations

import msgspec
import pytest

from goque import Rate, Registry, retry
from goque.dashboard.types.options import options_of_pool, options_of_type
from goque.storage.contract import TypePolicy


def policy(strategy: object = retry.DEFAULT, attempts: int = 5) -> TypePolicy:
    text = None if strategy is None else msgspec.json.encode(strategy).decode()
    return TypePolicy("mail", attempts, text, None, 10800.0, 604800.0, 3600.0)


def values(options: object) -> dict[str, str]:
    return {one.name: one.value for one in options}  # type: ignore[attr-defined] # a list of options


@pytest.mark.parametrize(
    ("strategy", "attempts", "waits"),
    [
        (retry.DEFAULT, 5, "10 s, 60 s, 6m 0s, 36m 0s"),
        (retry.static(2), 3, "2.0 s, 2.0 s"),
        (retry.static(2), 9, "2.0 s, 2.0 s, 2.0 s, 2.0 s, 2.0 s, 2.0 s, …"),
        (retry.step([1, 300]), 4, "1.0 s, 5m 0s, 5m 0s"),
        (retry.DEFAULT, 1, "no second attempt"),
        (None, 5, "by a function of the app"),
    ],
)
def test_the_waits_between_attempts_are_named(strategy: object, attempts: int, waits: str) -> None:
    assert values(options_of_type(None, "mail", policy(strategy, attempts)))["next_attempt_at"] == waits


def test_what_a_newer_version_has_published_is_said_so() -> None:
    newer = msgspec.structs.replace(policy(), strategy='{"type": "tomorrow"}')
    assert values(options_of_type(None, "mail", newer))["next_attempt_at"] == "not known to this version"
    assert options_of_type(None, "mail", None) == []


def test_an_app_that_is_known_tells_more() -> None:
    registry = Registry()
    registry.pool("media", workers=4, min_workers=1, max_memory=300)

    @registry.processor("mail", timeout=90, pool="media", rate=Rate(10, per=60), store_result=True)
    def mail(address: str) -> None:
        del address

    found = values(options_of_type(registry, "mail", None))
    assert found["timeout"] == "90 s"
    assert found["store_result"] == "yes"
    assert "10" in found["limit, limit_per_key, rate"]
    pool = values(options_of_pool(registry, "media"))
    assert (pool["workers"], pool["min_workers"], pool["max_memory"]) == ("4", "1", "300 MiB")
    assert options_of_pool(registry, "elsewhere") == []
    assert options_of_pool(None, "media") == []
