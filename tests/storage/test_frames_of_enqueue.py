"""How far it is from `enqueue` to the driver: each frame between costs time, and a reader's patience."""

from __future__ import annotations

import sys

import goque

MAX_FRAMES = 9


def frames_of_insert(queue, storage, call):
    """Return the names of the functions from the manager's method to the one that calls the driver."""
    seen = []

    def note(statement):
        if "INSERT INTO goque_task" not in statement:
            return
        frame = sys._getframe(1)
        while frame is not None and frame.f_code is not call.__code__:
            seen.append(
                frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name
            )
            frame = frame.f_back

    queue.enqueue("mail")  # the schema and the connection are there from now on
    with storage._connections as session:
        session.connection.set_trace_callback(note)
    call()
    return seen[::-1]


def test_a_single_enqueue_takes_few_frames(sqlite):
    storage = sqlite.new_storage()
    queue = goque.TaskQueueManager(storage)
    frames = frames_of_insert(queue, storage, lambda: queue.enqueue("mail", {"to": "a@b.c"}))
    assert "enqueue" in frames[0]
    assert "run" in frames[-1]
    assert len(frames) <= MAX_FRAMES, frames


def test_enqueueing_many_and_in_a_callers_transaction_does_too(sqlite):
    storage = sqlite.new_storage()
    queue = goque.TaskQueueManager(storage)
    many = frames_of_insert(queue, storage, lambda: queue.add_tasks([goque.Task("mail"), goque.Task("mail")]))
    assert "add_tasks" in many[0]
    assert len(many) <= MAX_FRAMES + 2, many
