"""How a fetcher answers requests for stacks: one signal for all who ask, and an answer whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from goque.stacks.answer import StackAnswer, StackState, decode_answer
from goque.stacks.frames import Frame
from goque.storage.contract import StackRequest
from goque_supervisor.fetcher.stacks.answers import LOOP_ANSWERS, MAX_REMEMBERED, REACHED_WITHIN, StackAnswers
from goque_supervisor.fetcher.stacks.dumps import SILENT_AFTER
from goque_supervisor.ipc import messages
from goque_supervisor.ipc.control import StackWanted
from goque_supervisor.ipc.messages import StackAsked, StackShown
from goque_supervisor.ipc.run_directory import stack_path
from unit.supervisor.fetcher.one_worker import NOW, OneWorker, task_id

DUMP = 'Stack (most recent call first):\n  File "<string>", line 3 in handler\n'


class Setup(OneWorker):
    """One worker, with a record of what its fetcher writes and sends."""

    def __init__(self, directory: Path, *, is_async: bool = False) -> None:
        super().__init__(directory)
        self.worker.started = self.worker.started.__class__(
            **{**self.worker.started.fields(), "is_async": is_async}
        )
        self.written: dict[str, StackAnswer] = {}
        self.sent: list[StackAsked] = []
        self.is_away = False
        self.is_connected = True
        setup: Any = self
        self.answers = StackAnswers(setup, self.in_flight, self.worker_pool, setup, self.told.append)
        self.file = stack_path(directory / "w.box")

    def answer_stacks(self, answers: list[tuple[str, str]]) -> bool:
        if not self.is_away:
            self.written |= {request_id: decode_answer(text) for request_id, text in answers}
        return not self.is_away

    # `send` of the socket and of OneWorker have the same name
    def send(self, *what: Any, at: float = NOW - 1) -> Any:
        if isinstance(what[0], bytes):
            self.sent += messages.decode_jobs(what[1]).stacks if self.is_connected else []
            return self.is_connected
        super().send(*what, at=at)
        for seq in what:
            self.in_flight.by_id[task_id(seq)] = self.worker.jobs[seq]
        return None

    def ask(self, *names: str, seq: int = 1, now: float = NOW) -> None:
        self.answers.take([StackRequest(name, task_id(seq)) for name in names], now)

    @property
    def signals(self) -> int:
        return self.told.count(StackWanted(7))

    def write_dump(self, text: str = DUMP) -> None:
        with self.file.open("a") as file:
            file.write(text)


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path)
    made.send(1, 2)
    made.begin(1)
    yield made
    made.close()


@pytest.fixture
def with_loop(tmp_path: Path) -> Iterator[Setup]:
    made = Setup(tmp_path, is_async=True)
    made.send(1, 2)
    made.begin(1)
    made.begin(2)
    yield made
    made.close()


def test_all_who_ask_share_one_signal_and_one_stack(setup: Setup) -> None:
    setup.ask("a", "b")
    setup.ask("a", "b")  # the next look finds them again
    assert not setup.answers.advance(NOW)
    setup.write_dump()
    assert not setup.answers.advance(NOW + 0.05), "it may still grow"
    assert setup.answers.advance(NOW + 0.1)
    assert setup.signals == 1
    assert setup.written.keys() == {"a", "b"}
    assert setup.written["a"].frames == (Frame("<string>", 3, "handler"),)
    assert (setup.written["a"].worker_pid, setup.written["a"].source) == (4711, "thread")
    assert setup.file.stat().st_size == 0, "a crash report must not show it"
    setup.ask("a")  # a look that began before the answer was written
    assert not setup.answers.advance(NOW + 0.15)
    assert setup.signals == 1


def test_an_earlier_stack_is_no_answer(setup: Setup) -> None:
    setup.write_dump(DUMP.replace("handler", "earlier"))
    setup.ask("a")
    for tick in range(3):
        setup.answers.advance(NOW + tick * 0.05)
    assert setup.written == {}
    setup.write_dump()
    setup.answers.advance(NOW + 0.2)
    setup.answers.advance(NOW + 0.25)
    assert setup.written["a"].frames == (Frame("<string>", 3, "handler"),)


def test_a_process_that_writes_nothing_is_silent(setup: Setup) -> None:
    setup.ask("a")
    setup.answers.advance(NOW)
    setup.answers.advance(NOW + SILENT_AFTER + 0.1)
    assert setup.written["a"].state is StackState.SILENT
    assert "its process (pid 4711)" in setup.written["a"].note
    setup.ask("b", now=NOW + 2)
    setup.answers.advance(NOW + 2)
    assert setup.signals == 2, "whoever asks later gets a signal of its own"


def test_a_task_that_has_not_started_or_has_ended_has_no_stack(setup: Setup) -> None:
    setup.ask("waits", seq=2)
    setup.answers.advance(NOW)
    assert (setup.written["waits"].state, setup.signals) == (StackState.NOT_RUNNING, 0)
    assert "has not started" in setup.written["waits"].note
    setup.ask("ends", seq=1)
    setup.answers.advance(NOW)
    setup.writer.end(1, b"\x90")
    setup.write_dump()
    setup.answers.advance(NOW + 0.05)
    setup.answers.advance(NOW + 0.1)
    assert setup.written["ends"].state is StackState.NOT_RUNNING
    assert "has just ended" in setup.written["ends"].note


def test_requests_for_tasks_of_other_pools_are_left_alone(setup: Setup) -> None:
    setup.ask("a", seq=99)
    assert not setup.answers.advance(NOW)
    assert (setup.written, setup.signals) == ({}, 0)


def test_a_request_is_dropped_with_its_process(setup: Setup) -> None:
    setup.ask("a")
    setup.answers.advance(NOW)
    setup.worker_pool.remove(7)
    assert not setup.answers.advance(NOW + SILENT_AFTER + 0.1)
    assert setup.written == {}


def test_an_answer_is_written_when_the_database_is_back(setup: Setup) -> None:
    setup.is_away = True
    setup.ask("a", seq=2)
    assert not setup.answers.advance(NOW)
    setup.is_away = False
    setup.ask("a", seq=2)
    assert setup.answers.advance(NOW + 1)
    assert setup.written.keys() == {"a"}


def test_answered_requests_are_remembered_up_to_a_bound(setup: Setup) -> None:
    setup.ask(*(f"r{number}" for number in range(MAX_REMEMBERED + 500)), seq=2)
    setup.answers.advance(NOW)
    assert len(setup.answers._answered) == MAX_REMEMBERED


def test_the_stack_of_a_coroutine_comes_from_its_loop(with_loop: Setup) -> None:
    with_loop.ask("a", seq=1)
    with_loop.ask("b", seq=2)
    [first, second] = with_loop.sent
    assert (first.seq, second.seq) == (1, 2)
    frames = (Frame("<string>", 5, "leaf"),)
    with_loop.answers.on_shown(StackShown(second.number, frames, (frames, frames)))
    with_loop.answers.on_shown(StackShown(99, frames))
    assert with_loop.answers.advance(NOW + 0.05)
    assert with_loop.written.keys() == {"b"}
    assert with_loop.written["b"].source == "coroutine"
    assert with_loop.written["b"].frames == frames
    assert with_loop.written["b"].asyncio_tasks == (frames, frames)
    assert with_loop.signals == 0


def test_a_blocked_loop_is_shown_by_its_thread(with_loop: Setup) -> None:
    with_loop.ask("a")
    with_loop.answers.advance(NOW + LOOP_ANSWERS - 0.1)
    assert with_loop.signals == 0
    with_loop.answers.advance(NOW + LOOP_ANSWERS + 0.1)
    assert with_loop.signals == 1
    with_loop.write_dump()
    with_loop.answers.advance(NOW + 1.0)
    with_loop.answers.advance(NOW + 1.05)
    assert with_loop.written["a"].source == "loop"
    assert "perhaps for another task" in with_loop.written["a"].note
    with_loop.answers.on_shown(StackShown(with_loop.sent[0].number, ()))  # the loop goes on, too late
    assert not with_loop.answers.advance(NOW + 1.1)


def test_a_loop_that_is_not_connected_yet_is_asked_again(with_loop: Setup) -> None:
    with_loop.is_connected = False  # as just after a takeover
    with_loop.ask("a")
    with_loop.answers.advance(NOW + REACHED_WITHIN - 0.1)
    assert (with_loop.sent, with_loop.signals) == ([], 0)
    with_loop.is_connected = True
    with_loop.answers.advance(NOW + REACHED_WITHIN - 0.05)
    with_loop.answers.advance(NOW + REACHED_WITHIN + LOOP_ANSWERS - 0.1)
    [asked] = with_loop.sent
    assert with_loop.signals == 0, "its time to answer begins when it was asked"
    with_loop.answers.on_shown(StackShown(asked.number, (Frame("<string>", 5, "leaf"),)))
    with_loop.answers.advance(NOW + REACHED_WITHIN + LOOP_ANSWERS)
    assert with_loop.written["a"].source == "coroutine"


def test_a_loop_that_cannot_be_reached_is_not_called_blocked(with_loop: Setup) -> None:
    with_loop.is_connected = False
    with_loop.ask("a")
    with_loop.answers.advance(NOW + REACHED_WITHIN + 0.1)
    assert with_loop.signals == 1
    with_loop.write_dump()
    with_loop.answers.advance(NOW + REACHED_WITHIN + 0.2)
    with_loop.answers.advance(NOW + REACHED_WITHIN + 0.25)
    assert with_loop.written["a"].source == "loop"
    assert "could not be asked" in with_loop.written["a"].note
