"""A lifespan for Starlette, FastAPI and other ASGI applications: it opens and closes a registry's queues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

from starlette.requests import HTTPConnection

from goque.errors import ConfigurationError
from goque.queue.async_manager import AsyncTaskQueueManager
from goque.registry import Registry

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]
"""What Starlette and FastAPI take as `lifespan=`; what it yields is `request.state`."""


def lifespan(
    registry: Registry,
    *,
    tree: bool | Mapping[str, Any] = False,
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
) -> Lifespan:
    """Make a lifespan: `FastAPI(lifespan=lifespan(registry))`.

    When the application starts, the database is asked whether it is there, with goque's tables. When it ends,
    background adds are waited for, and connections closed. `request.state.queue` is `registry.async_queue`.

    Args:
        registry: its queues are what the application enqueues with.
        tree: run a tree beside the application, for development: True, or options of `goque.Supervisor`. In production
            run `goque supervise` as a service of its own: each process of a web server would start a tree.
        inner: a lifespan of your own, which begins after this one and ends before it.

    Raises:
        ConfigurationError: it is no registry. An application that starts raises what `TaskQueueManager.ping` does.
    """
    if not isinstance(registry, Registry):
        raise ConfigurationError(f"lifespan needs a goque.Registry, not {registry!r:.80}")

    @asynccontextmanager
    async def opened(app: Any) -> AsyncIterator[Mapping[str, Any]]:
        async with AsyncExitStack() as ends:
            ends.push_async_callback(registry.aclose)
            await registry.async_queue.ping()
            if tree is not False:
                await _start_tree(registry, {} if tree is True else tree, ends)
            state = await ends.enter_async_context(inner(app)) if inner is not None else None
            yield {**(state or {}), "queue": registry.async_queue}

    return opened


def queue_of(request: HTTPConnection) -> AsyncTaskQueueManager:
    """Return the queue of a request's application; as a FastAPI dependency, `Depends(queue_of)`.

    Raises:
        ConfigurationError: the application has no lifespan of goque's.
    """
    try:
        queue: AsyncTaskQueueManager = request.state.queue
    except AttributeError:
        raise ConfigurationError(
            "this application has no queue; give it lifespan=goque.contrib.starlette.lifespan(registry)"
        ) from None
    return queue


async def _start_tree(registry: Registry, options: Mapping[str, Any], ends: AsyncExitStack) -> None:
    from goque import Supervisor  # noqa: PLC0415 - in production there is none

    supervisor = Supervisor(registry, **options)
    await asyncio.to_thread(supervisor.start, apart=True)
    ends.push_async_callback(asyncio.to_thread, supervisor.stop)
