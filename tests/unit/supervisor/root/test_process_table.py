"""Whom the root kills when it looks at the deadlines that workers write down."""

from __future__ import annotations

import selectors
from typing import Any

import pytest

from goque_supervisor.ipc.channel import Channel
from goque_supervisor.root.child import Child
from goque_supervisor.root.process_table import ProcessTable
from goque_supervisor.root.tree import ChildSpec


class BoxOfAQuickWorker:
    """A handler ends between one look at its deadline and the next."""

    def __init__(self, *deadlines: float) -> None:
        self._deadlines = list(deadlines)

    @property
    def kill_at(self) -> float:
        return self._deadlines.pop(0)


@pytest.mark.parametrize(("deadlines", "killed_for"), [((900.0, 0.0), None), ((400.0, 0.0), "timeout")])
def test_a_handler_that_ends_while_its_deadline_is_looked_at_is_no_reason_to_kill(
    deadlines: tuple[float, ...], killed_for: str | None
) -> None:
    nobody: Any = None
    table = ProcessTable(
        nobody,
        selectors.DefaultSelector(),
        nursery=nobody,
        common_boot=nobody,
        on_exit=nobody,
        on_unknown_exit=nobody,
        drain_channel=nobody,
    )
    channel, theirs = Channel.pair()
    worker = Child(ChildSpec("worker[mail:0]", "worker"), 1, channel, 1, 0.0)
    box: Any = BoxOfAQuickWorker(*deadlines)
    table._scan_worker(worker, box, 500.0)
    channel.close()
    theirs.close()
    assert worker.killed_for == killed_for
