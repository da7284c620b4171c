"""The recorded steps of a type, counted by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque_supervisor.metrics.counters import Counters, read_counters
from goque_supervisor.metrics.function_counters import read_function_counters
from goque_supervisor.metrics.step_counters import MOST, OTHER, StepCounters, label_of, read_step_counters


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("page-17", "page-*"),
        ("a-b-0", "a-b-*"),
        ("page-*", "page-*"),
        ("download", "download"),
        ("-7", "-7"),
        ("7", "7"),
        ("page-", "page-"),
        ("page-x", "page-x"),
        ("page-²", "page-²"),
        ("page-٣", "page-٣"),
        ("x" * 198 + "-7", "x" * 198 + "-*"),
    ],
)
def test_the_items_of_a_loop_are_counted_together(name: str, label: str) -> None:
    assert label_of(name) == label


def test_steps_are_counted_by_name_with_their_seconds(tmp_path: Path) -> None:
    Counters(tmp_path / "ocr.counters", "ocr")
    counters = StepCounters(tmp_path / "ocr.counters", "ocr")
    assert read_step_counters(tmp_path) == {}
    counters.recorded("download", 2.5)
    for number in range(100):
        counters.recorded(f"page-{number}", 0.25)
    counters.recorded("<b>\ud800日本", -1.0)
    found = read_step_counters(tmp_path)
    assert {key: (counts["steps"], counts["step_seconds"]) for key, counts in found.items()} == {
        ("ocr", "download"): (1, 2.5),
        ("ocr", "page-*"): (100, 25.0),
        ("ocr", "<b>\ud800日本"): (1, 0.0),
    }
    assert list(read_counters(tmp_path)) == ["ocr"]
    assert read_function_counters(tmp_path) == {}


def test_a_type_has_a_bounded_number_of_names_also_after_its_fetcher_died(tmp_path: Path) -> None:
    StepCounters(tmp_path / "a.other.counters", "other").recorded("x", 1.0)
    for _ in range(2):
        counters = StepCounters(tmp_path / "a.counters", "a")
        for number in range(MOST + 20):
            counters.recorded(f"made up {number}", 1.0)
        counters.recorded("later", 1.0)
    found = read_step_counters(tmp_path)
    names = {step for task_type, step in found if task_type == "a"}
    assert len(names) == MOST + 1
    assert found["a", OTHER]["steps"] == 2 * 21
    assert found["a", "made up 0"]["steps"] == 2
