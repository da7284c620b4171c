"""The ZeroMQ sockets between a fetcher and its workers; no other module imports zmq.

Each run creates new CURVE keys (RFC 26 of ZeroMQ). They are passed over inherited sockets, never in arguments or the
environment. A client must know the server's public key, so bytes of another local process never become messages.
"""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import Final

import zmq

MAX_MESSAGE: Final = 256 * 1024 * 1024
_SHORT: Final = 0.005
_HIGH_WATER: Final = 1000


def make_keys() -> tuple[str, str]:
    """Create a CURVE key pair: public and secret, as Z85 text."""
    public, secret = zmq.curve_keypair()
    return public.decode("ascii"), secret.decode("ascii")


class FetcherSocket:
    """The ROUTER that a fetcher binds; it reaches each worker by its identity."""

    def __init__(self, endpoint: str, secret_key: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
        self._socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.setsockopt(zmq.CURVE_SERVER, 1)
        self._socket.setsockopt_string(zmq.CURVE_SECRETKEY, secret_key)
        self._socket.bind(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        self._descriptors = [int(self._socket.getsockopt(zmq.FD))]

    def watch(self, descriptor: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""
        self._poller.register(descriptor, zmq.POLLIN)
        self._descriptors.append(descriptor)

    def wait(self, timeout: float) -> set[int]:
        """Wait for a message or a watched descriptor, at most `timeout` seconds. Returns the readable descriptors."""
        if 0 < timeout < _SHORT:  # ZeroMQ counts in whole milliseconds
            select.select(self._descriptors, [], [], timeout)
            timeout = 0.0
        ready = self._poller.poll(max(0, round(timeout * 1000 + 0.499)))
        return {source for source, _event in ready if isinstance(source, int)}

    def receive(self, limit: int = 1000) -> Iterator[tuple[bytes, bytes]]:
        """Yield (identity, message) of the messages that have arrived, at most `limit` of them."""
        for _ in range(limit):
            try:
                frames = self._socket.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            if len(frames) == 2:
                yield frames[0], frames[1]

    def send(self, identity: bytes, message: bytes) -> bool:
        """Send to a worker; returns False if it is not connected or its queue is full."""
        try:
            self._socket.send_multipart((identity, message), zmq.DONTWAIT)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        return True

    def close(self) -> None:
        """Close the socket and drop unsent messages. The protocol never assumes that a sent message was delivered."""
        self._socket.close(0)
        self._context.term()


class WorkerSocket:
    """The DEALER of a worker; it reconnects by itself when a fetcher is replaced."""

    def __init__(self, endpoint: str, identity: str, server_key: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.SNDHWM, _HIGH_WATER)
        self._socket.setsockopt(zmq.RCVHWM, _HIGH_WATER)
        self._socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 10)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self._socket.setsockopt_string(zmq.IDENTITY, identity)
        public, secret = zmq.curve_keypair()
        self._socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
        self._socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
        self._socket.setsockopt_string(zmq.CURVE_SERVERKEY, server_key)
        self._socket.connect(endpoint)
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)

    def watch(self, descriptor: int) -> None:
        """Let `wait` return when this descriptor becomes readable."""
        self._poller.register(descriptor, zmq.POLLIN)

    def wait(self, timeout: float | None) -> None:
        """Wait for a message or a watched descriptor, at most `timeout` seconds, or without a limit for None."""
        self._poller.poll(None if timeout is None else max(0, round(timeout * 1000)))

    def receive(self) -> Iterator[bytes]:
        """Yield the messages that have arrived."""
        while True:
            try:
                yield self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return

    def send(self, message: bytes) -> bool:
        """Send to the fetcher; returns False if there is none and the queue for it is full."""
        try:
            self._socket.send(message, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def fileno(self) -> int:
        """Return the descriptor that becomes readable when a message may have arrived (edge-triggered)."""
        return int(self._socket.getsockopt(zmq.FD))

    def close(self, linger: float) -> None:
        """Close the socket, and wait at most `linger` seconds until the sent messages have left."""
        self._socket.close(round(linger * 1000))
        self._context.term()
