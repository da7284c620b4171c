"""The process of one fetcher: it opens what the loop needs, takes over from the last fetcher, and runs the loop."""

from __future__ import annotations

import gc
import os
import select
import time
from typing import Any

from goque.storage import open_storage
from goque_supervisor.fetcher.fetcher import Fetcher
from goque_supervisor.fetcher.pool_counters import PoolCounters
from goque_supervisor.fetcher.pool_types import PoolTypes
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Beat, Message, Ready, TakeOver
from goque_supervisor.ipc.sockets import FetcherSocket
from goque_supervisor.wait_for_database import wait_for_database


def run(boot: dict[str, Any], channel: Channel) -> None:
    """Run the fetcher of one pool in this process, until the root says Stop."""
    storage = open_storage(boot["database_url"])
    counters = PoolCounters(boot["counters"], PoolTypes(boot["processors"], boot["leaving"]))

    def beat_and_wait(pause: float) -> bool:
        channel.send(Beat())
        time.sleep(pause)
        return True

    wait_for_database(storage.require_schema, beat_and_wait, channel.send, node_is_up=boot["node_is_up"])
    socket = FetcherSocket(boot["endpoint"], boot["secret_key"])
    fetcher = Fetcher(boot, channel, storage, counters, socket)
    order, early_orders = _await_take_over(channel)
    while not fetcher.take_over(order):
        beat_and_wait(max(0.0, fetcher.database.retry_at - time.monotonic()))
    for message in early_orders:
        fetcher.obey(message)
    for descriptor in (channel.fileno(), fetcher.watcher.fileno()):
        if descriptor is not None:
            socket.watch(descriptor)
    gc.collect()
    gc.freeze()
    channel.send(Ready({}))
    while not fetcher.is_stopping:
        fetcher.turn()
    fetcher.close()
    storage.close()
    socket.close()


def _await_take_over(channel: Channel) -> tuple[TakeOver, list[Message]]:
    """Wait for the root's first message. Returns it, and the messages that arrived with it."""
    received: list[Message] = []
    while not received:
        select.select([channel], [], [])
        received = channel.receive()
        if channel.closed:
            os._exit(0)  # the root is gone: no process of the tree may outlive it
    order, *rest = received
    assert isinstance(order, TakeOver), "the root's first message to a fetcher is TakeOver"
    return order, rest
