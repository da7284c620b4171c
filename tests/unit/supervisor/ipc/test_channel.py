"""The channel between the root and its children: whole messages in order, and an end at the first forged frame."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from goque_supervisor.ipc import control
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Beat, ProtocolError, Ready, StartChild, Stop

MESSAGES = [
    Ready({"owner": "n1"}),
    Beat(),
    control.CallbackWanted(1, "mail", '{"a": "ž"}'),
    control.CheckIdle(9),
    Stop(),
]


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    other = Channel(theirs)
    yield ours, other
    ours.close()
    other.close()


def test_messages_arrive_in_order_however_the_bytes_are_cut(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    data = b"".join(control.encode(message) for message in MESSAGES)
    received = []
    for start in range(0, len(data), 37):
        ours.socket.sendall(data[start : start + 37])
        received += theirs.receive()
    assert received == MESSAGES


def test_what_the_peer_does_not_take_yet_waits_and_never_blocks(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    big = control.TreeState({"text": "x" * 100_000})
    for _ in range(20):
        ours.send(big)
    assert ours.wants_write
    received: list[Any] = []
    while ours.wants_write:
        received += theirs.receive()
        ours.flush()
    received += theirs.receive()
    assert received == [big] * 20


def test_a_peer_that_is_gone_is_noticed_and_sending_to_it_is_no_error(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    theirs.send(Beat())
    theirs.close()
    assert ours.receive() == [Beat()]
    assert ours.closed
    ours.send(Stop())
    assert not ours.wants_write


def test_a_descriptor_travels_with_its_message(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    mine, handed = socket.socketpair()
    with mine, handed:
        ours.send(StartChild(1, {}), descriptor=handed.fileno())
        assert theirs.receive() == [StartChild(1, {})]
        received = theirs.received_fds.popleft()
        os.write(received, b"hello")
        assert mine.recv(5) == b"hello"
        os.close(received)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b'["Beat"]',
        b'["Beat", {"x": 1}]',
        b'["Nothing", {}]',
        b'["Interrupt", {"seq": 1}]',
        b'["TakeOver", {"live": 1, "dead": []}]',
        b'[["Beat"], {}]',
        b'["Stop", []]1',
        b"[" * 100_000,
        json.dumps(["os.system", {"command": "true"}]).encode(),
        b'["ProtocolError", {"why": "I say so"}]',
    ],
)
def test_a_forged_frame_is_refused_and_ends_the_conversation(
    ends: tuple[Channel, Channel], body: bytes
) -> None:
    ours, theirs = ends
    theirs.socket.setblocking(True)
    theirs.send(Beat())
    theirs.socket.sendall(struct.pack("!I", len(body)) + body)
    beat, garbled = ours.receive()
    assert beat == Beat()
    assert isinstance(garbled, ProtocolError)
    assert ours.closed
    assert ours.receive() == []


def test_a_frame_that_claims_to_be_huge_is_refused_before_it_is_collected(
    ends: tuple[Channel, Channel],
) -> None:
    ours, theirs = ends
    theirs.socket.sendall(struct.pack("!I", 1 << 31))
    assert ours.receive() == [ProtocolError("control frame of 2147483648 bytes is over the limit")]
    assert ours.closed
