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
"""The type of `lifespan=` in Starlette and FastAPI; the yielded dict becomes `request.state`."""


def lifespan(
    registry: Registry,
    *,
    tree: bool | Mapping[str, Any] = False,
    inner: Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any] | None]] | None = None,
) -> Lifespan:
    """Make a lifespan: `FastAPI(lifespan=lifespan(registry))`.

    At the start of the application it checks that the database answers and has goque's tables. At the end it waits for
    background adds and closes the connections. `request.state.queue` is `registry.async_queue`.

    Args:
        registry: the registry whose queues the application uses.
        tree: run a tree beside the application, for development: True, or options of `goque.Supervisor`. In production
            run `goque supervise` as a separate service: each process of a web server would start a tree.
        inner: your own lifespan, which starts after this one and ends before it.

    Raises:
        ConfigurationError: it is no registry. The application's start raises the errors of `TaskQueueManager.ping`.
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
        ConfigurationError: the application does not use this lifespan.
    """
    try:
        queue: AsyncTaskQueueManager = request.state.queue
    except AttributeError:
        raise ConfigurationError(
            "this application has no queue; give it lifespan=goque.contrib.starlette.lifespan(registry)"
        ) from None
    return queue


async def _start_tree(registry: Registry, options: Mapping[str, Any], ends: AsyncExitStack) -> None:
    from goque import Supervisor  # noqa: PLC0415 - only for development

    supervisor = Supervisor(registry, **options)
    await asyncio.to_thread(supervisor.start, apart=True)
    ends.push_async_callback(asyncio.to_thread, supervisor.stop)
