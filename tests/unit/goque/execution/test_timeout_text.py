"""What `errors` says of a timeout."""

from __future__ import annotations

import pytest

from goque.execution.timeout_text import timeout_text
from goque.options import ProcessorOptions


@pytest.mark.parametrize(
    ("has_stalled", "step", "text"),
    [
        (False, "", "task processing timeout: 2.5s"),
        (False, "page-17", "task processing timeout: 2.5s (in step page-17)"),
        (True, "", "no progress for 0.5s"),
        (True, "a, b", "no progress for 0.5s (in step a, b)"),
    ],
)
def test_a_timeout_says_which_one_it_was_and_in_which_step(has_stalled: bool, step: str, text: str) -> None:
    options = ProcessorOptions(timeout=2.5, stall_timeout=0.5)
    assert timeout_text(options, has_stalled=has_stalled, step=step) == text


def test_a_fetcher_of_a_newer_app_may_know_no_stall_timeout() -> None:
    assert timeout_text(ProcessorOptions(timeout=60), has_stalled=True) == "task processing timeout: 60s"
