"""The two nurseries of a tree, as histories of what they send and when they end; nothing is forked."""

from __future__ import annotations

import selectors
import time
from collections.abc import Iterator
from typing import Any

import pytest

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import BootFailed, ChildStarted, Message, Ready, StartFailed, Stop
from goque_supervisor.ipc.exit_cause import ExitCause
from goque_supervisor.root.nurseries import Nurseries
from goque_supervisor.root.nursery_process import NurseryProcess
from goque_supervisor.root.timers import Timers
from goque_supervisor.root.tree import NurseryKind
from goque_supervisor.settings import SuperviseOptions

KILLED = ExitCause(None, 9)


class History:
    """Nurseries whose processes exist only here; `said` lists what the root was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.said: list[Any] = []
        self.killed: list[int] = []
        self.started: list[NurseryProcess] = []
        self.ends: dict[int, Channel] = {}
        self.timers = Timers(lambda: self.now)
        monkeypatch.setattr(NurseryProcess, "start", lambda nursery, _root: self._start(nursery))
        for kill in ("kill", "kill_group"):
            monkeypatch.setattr(os_process, kill, self.killed.append)
        self.nurseries = Nurseries(
            SuperviseOptions(app="shop:registry"),
            1,
            selectors.DefaultSelector(),
            self.timers,
            None,
            on_ready=lambda: self.said.append("ready"),
            on_failed=lambda text, exit_code: self.said.append((text, exit_code)),
            on_child_started=lambda key, pid: self.said.append((key, pid)),
            on_child_failed=lambda key, why, died: self.said.append((key, why, died)),
            on_reloaded=lambda app, generation: self.said.append((app["name"], generation)),
            on_ended=lambda nursery: self.said.append(f"{nursery.kind} ended"),
        )
        self.nurseries.open()

    def _start(self, nursery: NurseryProcess) -> None:
        nursery.pid = 10 + len(self.started)
        nursery.started_at = time.monotonic()
        self.started.append(nursery)
        self.ends[nursery.pid] = Channel(nursery._theirs, blocking=True)

    def send(self, pid: int, message: Message) -> None:
        self.ends[pid].send(message)
        self.nurseries.read(self.started[pid - 10])

    def end(self, pid: int, cause: ExitCause = KILLED) -> None:
        self.ends[pid].close()
        self.nurseries.on_exit(pid, cause, final=False)

    def come_up(self) -> None:
        self.send(10, Ready({}))
        self.send(11, Ready({"name": "first", "keys": {"mail": ["a", "b"]}}))
        self.said.clear()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.timers.run_due()


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    history = History(monkeypatch)
    yield history
    history.nurseries.close()
    for channel in (*history.ends.values(), *(nursery.channel for nursery in history.started)):
        channel.close()


def test_the_root_is_told_when_both_are_ready(history: History) -> None:
    assert [nursery.kind for nursery in history.started] == [NurseryKind.ACTORS, NurseryKind.APP]
    history.send(11, Ready({"name": "first"}))
    assert (history.said, history.nurseries.find_ready(NurseryKind.ACTORS)) == ([], None)
    history.send(10, Ready({}))
    assert history.said == ["ready"]
    assert history.nurseries.find_ready(NurseryKind.ACTORS) is history.started[0]
    assert history.nurseries.app["name"] == "first"


def test_what_they_report_of_children_is_passed_on(history: History) -> None:
    history.come_up()
    history.send(10, ChildStarted(7, 4711))
    history.send(11, StartFailed(8, "no memory", died=True))
    assert history.said == [(7, 4711), (8, "no memory", True)]


def test_an_app_that_cannot_be_loaded_at_the_first_start_ends_the_tree(history: History) -> None:
    history.send(11, BootFailed("no module named shop", 2))
    history.end(11, ExitCause(None, 11))
    ended = (
        "app 'shop:registry' cannot be imported: the process that imported it ended by signal 11 (SIGSEGV)"
    )
    assert history.said == [("no module named shop", 2), (ended, 2), "app ended"]


def test_an_actors_nursery_that_ends_at_the_first_start_is_started_again_three_times_in_all(
    history: History,
) -> None:
    history.end(10)
    history.pass_time(0.0)
    history.end(12)
    history.pass_time(1.0)
    assert [nursery.kind for nursery in history.started[2:]] == [NurseryKind.ACTORS, NurseryKind.ACTORS]
    assert history.said == ["actors ended", "actors ended"]
    history.end(13)
    gave_up = "the actors nursery ended by signal 9 (SIGKILL), 3 times before it was ready"
    assert history.said[2:] == [(gave_up, 4), "actors ended"]


def test_a_tree_comes_up_after_its_actors_nursery_ended_once_at_the_first_start(history: History) -> None:
    history.end(10)
    history.pass_time(0.0)
    history.send(11, Ready({"name": "first"}))
    history.send(12, Ready({}))
    assert history.said == ["actors ended", "ready"]


def test_a_slow_import_is_reported_once(history: History, caplog: pytest.LogCaptureFixture) -> None:
    history.pass_time(9.9)
    assert caplog.messages == []
    history.pass_time(30.0)
    assert [message for message in caplog.messages if "still being imported after 10s" in message] == [
        "app 'shop:registry' is still being imported after 10s, in process 11: find out what it waits for"
    ]


def test_a_nursery_that_dies_is_started_again_and_keeps_what_is_known_of_the_app(history: History) -> None:
    history.come_up()
    history.end(11)
    assert history.said == ["app ended"]
    assert history.nurseries.find_ready(NurseryKind.APP) is None
    history.pass_time(0.0)
    (new,) = history.started[2:]
    assert (new.kind, new.generation, history.nurseries.app["name"]) == (NurseryKind.APP, 1, "first")
    history.send(12, Ready({"name": "again", "keys": {"mail": ["c", "d"], "report": ["e", "f"]}}))
    assert history.nurseries.app["keys"] == {"mail": ["a", "b"], "report": ["e", "f"]}
    assert history.said == ["app ended", "ready"]


def test_a_nursery_that_does_not_answer_is_killed_once(history: History) -> None:
    history.come_up()
    history.nurseries.replace_stuck(NurseryKind.ACTORS)
    history.nurseries.replace_stuck(NurseryKind.ACTORS)
    assert history.killed == [10]


def test_a_reload_takes_the_place_of_the_old_nursery_when_it_is_ready(history: History) -> None:
    history.come_up()
    history.nurseries.reload()
    assert history.nurseries.find_ready(NurseryKind.APP) is history.started[1]
    history.send(12, Ready({"name": "second"}))
    assert history.said == [("second", 2)]
    assert history.nurseries.find_ready(NurseryKind.APP) is history.started[2]
    assert history.ends[11].receive() == [Stop()]
    history.end(11, ExitCause(0, None))
    history.pass_time(60.0)
    assert (history.said, len(history.started)) == ([("second", 2)], 3)


@pytest.mark.parametrize("says_why", [True, False])
def test_a_reload_that_fails_leaves_the_old_nursery_in_place(
    history: History, caplog: pytest.LogCaptureFixture, says_why: bool
) -> None:
    history.come_up()
    history.nurseries.reload()
    if says_why:
        history.send(12, BootFailed("invalid syntax", 2))
    history.end(12, ExitCause(1, None))
    history.pass_time(60.0)
    assert (history.said, len(history.started)) == ([], 3)
    assert history.nurseries.find_ready(NurseryKind.APP) is history.started[1]
    assert "the reload failed, and the old workers continue: " in caplog.text
    assert ("invalid syntax" in caplog.text) == says_why


def test_another_reload_ends_the_one_before(history: History) -> None:
    history.come_up()
    history.nurseries.reload()
    history.nurseries.reload()
    assert history.killed == [12]
    history.end(12)
    history.send(13, Ready({"name": "third"}))
    assert history.said == [("third", 2)]
