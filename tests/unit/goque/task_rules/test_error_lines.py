from __future__ import annotations

import pytest

from goque.task_rules.error_lines import last_error


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        ("", ""),
        ("attempt 1: KeyError: 'a'\nattempt 2: KeyError: 'b'\n", "attempt 2: KeyError: 'b'"),
        ("canceled: sold out\n", "canceled: sold out"),
        ("attempt 1: boom\nreset attempts: 2026-11-23T21:02:33.123456Z\n", ""),
        ("canceled: needs 0198: boom\nblocked again: a task that it needs was reset\n", ""),
        ("reset attempts: 2026-11-23T21:02:33.123456Z\nattempt 1: boom\n", "attempt 1: boom"),
    ],
)
def test_the_last_line_is_shown_if_it_is_an_error(errors: str, shown: str) -> None:
    assert last_error(errors) == shown
