"""The words in which people see a task's status; programs see the raw status in JSON and in URLs.

`pending` means claimed, as in the Go library, and `error` is a task that waits for a retry; few readers expect either.
"""

from __future__ import annotations

from typing import Final

from goque.task_row import TaskStatus

WORDS: Final = {
    TaskStatus.BLOCKED: "blocked",
    TaskStatus.NEW: "waiting",
    TaskStatus.ERROR: "waiting",
    TaskStatus.PENDING: "claimed",
    TaskStatus.PROCESSING: "running",
    TaskStatus.DONE: "done",
    TaskStatus.CANCELED: "canceled",
    TaskStatus.ATTEMPTS_LEFT: "failed",
}
"""The word for each status, in the order of a task's life."""

EXPLANATIONS: Final = {
    TaskStatus.BLOCKED: "waiting for the end of tasks that it needs",
    TaskStatus.NEW: "waiting for a worker",
    TaskStatus.ERROR: "failed, waiting for a retry",
    TaskStatus.PENDING: "claimed, about to run",
    TaskStatus.PROCESSING: "running",
    TaskStatus.DONE: "done",
    TaskStatus.CANCELED: "canceled",
    TaskStatus.ATTEMPTS_LEFT: "failed: no attempt was left",
}

ENDS_OF_RUNS: Final = {
    TaskStatus.NEW: "requeued",
    TaskStatus.ERROR: "to be retried",
    TaskStatus.ATTEMPTS_LEFT: "failed",
}
"""What a run did to its task, by the status that the task got; other statuses speak for themselves."""


def word_of(status: str) -> str:
    """Return the word for a status; an unknown status is its own."""
    return WORDS.get(status, status)  # type: ignore[call-overload, no-any-return]  # a TaskStatus equals its text


def end_of_run(status: str) -> str:
    """Return what a run did to a task that got this status."""
    return ENDS_OF_RUNS.get(status, status)  # type: ignore[call-overload, no-any-return]  # as above


def word_with_status(status: str) -> str:
    """Return the word and the raw status where they differ: `failed (attempts_left)`, `done`."""
    word = word_of(status)
    return word if word == status else f"{word} ({status})"


def statuses_of(name: str) -> tuple[TaskStatus, ...]:
    """Return the statuses that a word or a raw status names; none for any other text."""
    return tuple(status for status, word in WORDS.items() if name in {word, status.value})


def explain_words(statuses: frozenset[TaskStatus] = frozenset(TaskStatus)) -> str:
    """Return the words for some statuses with the raw ones beside them: `waiting (new, error), …`."""
    groups: dict[str, list[str]] = {}
    for status, word in WORDS.items():
        if status in statuses:
            groups.setdefault(word, []).append(status.value)
    return ", ".join(word if raw == [word] else f"{word} ({', '.join(raw)})" for word, raw in groups.items())
