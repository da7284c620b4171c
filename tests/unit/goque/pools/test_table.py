"""Which pool a type is in, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import goque
from goque.cpus import available_cpus
from goque.errors import ConfigurationError
from goque.pools.table import pools_of


async def handle(task: goque.Task) -> None:
    pass


def pools(registry: goque.Registry, **options: Any) -> dict[str, tuple[str, ...]]:
    return {pool.name: pool.types for pool in pools_of(registry).specs(**options)}


@pytest.fixture
def registry() -> goque.Registry:
    return goque.Registry()


def add(registry: goque.Registry, name: str, **options: Any) -> None:
    registry.add_processor(name, goque.noop_task_processor, **options)


def test_a_type_is_in_the_pool_that_it_names_in_one_of_its_own_or_in_the_default_one(
    registry: goque.Registry,
) -> None:
    add(registry, "thumbnail", pool="media")
    add(registry, "mail", timeout=5, max_running=3)
    media = registry.pool("media", workers=4, fetch_tick=0.5)
    add(registry, "video", pool=media)
    add(registry, "report", workers=2)
    add(registry, "quick", fetch_tick=0.1)
    add(registry, "sms")
    assert pools(registry) == {
        "media": ("thumbnail", "video"),
        "default": ("mail", "sms"),
        "report": ("report",),
        "quick": ("quick",),
    }
    by_name = {pool.name: pool.options for pool in pools_of(registry).specs()}
    assert (by_name["media"].workers, by_name["media"].fetch_tick) == (4, 0.5)
    assert by_name["report"].workers == 2
    assert by_name["default"].workers == by_name["quick"].workers == available_cpus()


def test_workers_of_an_async_handler_are_those_of_its_kind(registry: goque.Registry) -> None:
    registry.add_processor("fetch", handle, workers=3, concurrency=7)
    (pool,) = pools_of(registry).specs()
    assert (pool.options.async_workers, pool.options.concurrency) == (3, 7)


def test_the_default_pool_can_be_declared_and_its_workers_overridden(registry: goque.Registry) -> None:
    registry.pool("default", workers=8, fetch_tick=3)
    add(registry, "mail")
    (declared,) = pools_of(registry).specs()
    (overridden,) = pools_of(registry).specs(default_workers=3)
    assert (declared.options.workers, declared.options.fetch_tick) == (8, 3)
    assert (overridden.options.workers, overridden.options.fetch_tick) == (3, 3)


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda r: (r.pool("a"), r.pool("a")), "pool 'a' is declared already"),
        (
            lambda r: r.pool("a,b"),
            "the pool 'a,b' has a comma in its name, which --pools takes for two pools",
        ),
        (lambda r: r.pool("a", worker=2), "pool 'a': unknown option 'worker'; did you mean workers"),
        (
            lambda r: r.pool("a", timeout=2),
            "pool 'a': timeout belongs to the types of the pool: write registry.proc",
        ),
        (
            lambda r: r.processor("t", async_workers=2)(print),
            "async_workers belongs to a pool: write registry.pool",
        ),
        (lambda r: r.pool(""), "pool"),
        (
            lambda r: add(r, "mail", pool="a", workers=2),
            "write registry.pool('a', workers=…), or leave out pool=",
        ),
        (lambda r: add(r, "mail", pool=7), "the processor of 'mail': pool"),
        (
            lambda r: (add(r, "mail", pool="a"), pools(r)),
            "type 'mail' is in the pool 'a', which is not declared",
        ),
        (
            lambda r: (r.pool("mail"), add(r, "mail", workers=2), pools(r)),
            "type 'mail' has processes of its own",
        ),
        (
            lambda r: (add(r, "mail", workers=2), add(r, "sms", pool="mail"), pools(r)),
            "type 'mail' has processes of its own",
        ),
    ],
)
def test_what_contradicts_itself_is_refused(registry: goque.Registry, declare: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        declare(registry)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
