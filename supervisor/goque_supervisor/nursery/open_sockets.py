"""Connections that an app has opened at its import. All workers that are forked from it would share them."""

from __future__ import annotations

import logging
import os
import socket
import stat
from contextlib import suppress
from socket import socket as Socket  # noqa: N812 - the app may replace socket.socket by a proxy's
from typing import NamedTuple

log = logging.getLogger("goque.nursery")


class ConnectedSocket(NamedTuple):
    """A stream socket of this process that is connected to an address."""

    inode: int
    address: str


def connected_sockets() -> set[ConnectedSocket]:
    """Return the connected stream sockets of this process that have an address at the other end."""
    found = set()
    default = socket.getdefaulttimeout()
    socket.setdefaulttimeout(None)  # a copy with a timeout would take the original too from blocking
    try:
        for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers are wanted, no paths
            with suppress(OSError):  # it is closed meanwhile, or not connected
                about = os.fstat(int(name))
                if stat.S_ISSOCK(about.st_mode) and (address := _peer(int(name))):
                    found.add(ConnectedSocket(about.st_ino, address))
    finally:
        socket.setdefaulttimeout(default)
    return found


def _peer(descriptor: int) -> str:
    with Socket(fileno=os.dup(descriptor)) as copy:
        if copy.type != socket.SOCK_STREAM:
            return ""
        peer = copy.getpeername()
    if copy.family == socket.AF_INET6:
        return f"[{peer[0]}]:{peer[1]}"
    if copy.family == socket.AF_INET:
        return f"{peer[0]}:{peer[1]}"
    return os.fsdecode(peer) if peer else ""  # a pair of sockets has no address


def warn_of_sockets(sockets: set[ConnectedSocket]) -> None:
    """Log one warning that names the addresses."""
    if sockets:
        log.warning(
            "the app opens connections at import (to %s), and all workers share them: "
            "they may read each other's answers; connect in handlers instead",
            ", ".join(sorted({one.address for one in sockets})),
        )
