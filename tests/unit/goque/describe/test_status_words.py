"""One word for each status, and the statuses that a word names."""

from __future__ import annotations

import pytest

from goque.describe.status_words import (
    EXPLANATIONS,
    WORDS,
    end_of_run,
    explain_words,
    statuses_of,
    word_of,
    word_with_status,
)
from goque.task_row import TaskStatus


def test_every_status_has_a_word_and_an_explanation() -> None:
    assert set(WORDS) == set(EXPLANATIONS) == set(TaskStatus)


@pytest.mark.parametrize(
    ("status", "word", "both"),
    [
        ("new", "waiting", "waiting (new)"),
        ("error", "waiting", "waiting (error)"),
        ("pending", "claimed", "claimed (pending)"),
        ("processing", "running", "running (processing)"),
        ("done", "done", "done"),
        ("attempts_left", "failed", "failed (attempts_left)"),
        ("of a newer goque", "of a newer goque", "of a newer goque"),
    ],
)
def test_people_see_a_word_and_where_they_filter_the_raw_status_too(
    status: str, word: str, both: str
) -> None:
    assert word_of(status) == word
    assert word_with_status(status) == both


@pytest.mark.parametrize(
    ("status", "end"),
    [("error", "to be retried"), ("attempts_left", "failed"), ("new", "requeued"), ("done", "done")],
)
def test_the_end_of_a_run_is_what_it_did_to_its_task(status: str, end: str) -> None:
    assert end_of_run(status) == end


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("waiting", ("new", "error")),
        ("failed", ("attempts_left",)),
        ("attempts_left", ("attempts_left",)),
        ("error", ("error",)),
        ("done", ("done",)),
        ("lost", ()),
    ],
)
def test_a_filter_takes_words_and_raw_statuses(name: str, statuses: tuple[str, ...]) -> None:
    assert statuses_of(name) == statuses


def test_help_shows_the_raw_statuses_beside_the_words() -> None:
    terminal = frozenset({TaskStatus.DONE, TaskStatus.ATTEMPTS_LEFT})
    assert explain_words(terminal) == "done, failed (attempts_left)"
    assert explain_words().startswith(
        "blocked, waiting (new, error), claimed (pending), running (processing), done"
    )
