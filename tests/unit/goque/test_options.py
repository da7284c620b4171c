"""The options of a processor: what is taken, and how a wrong one is refused."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goque import TaskTimeout, retry
from goque.cpus import available_cpus
from goque.errors import ConfigurationError
from goque.options import ProcessorKeywords, ProcessorOptions, ProcessorSpec, check_options


def test_the_defaults_are_those_of_the_contract() -> None:
    options, callbacks = check_options({})
    assert (options.max_attempts, options.timeout, options.timeout_grace) == (5, 30, 2)
    assert options.strategy == retry.exponential(base=10, factor=6, maximum=3600, jitter=0.1)
    assert (options.cleaner_period, options.cleaner_timeout, options.cleaner_updated_at_time_ago) == (
        300,
        30,
        10800,
    )
    assert options.cleaner_keep_failed == 604800
    assert (options.healer_period, options.healer_timeout, options.healer_updated_at_time_ago) == (
        300,
        30,
        3600,
    )
    assert (options.max_crashes, options.max_running) == (None, None)
    assert callbacks.hooks_before == callbacks.hooks_after == ()


def test_times_are_seconds_or_timedeltas() -> None:
    options, _ = check_options({"timeout": timedelta(minutes=2), "timeout_grace": 0, "stall_timeout": 60})
    assert (options.timeout, options.timeout_grace, options.stall_timeout) == (120.0, 0.0, 60.0)
    assert check_options({"stall_timeout": None})[0].stall_timeout is None


@pytest.mark.parametrize("name", ["max_crashes", "max_running"])
def test_none_takes_a_limit_away(name: str) -> None:
    options, _ = check_options({name: None})
    assert getattr(options, name) is None


def test_hooks_are_one_or_several() -> None:
    one, _ = check_options({"hooks_before": print})[1].hooks_before, None
    assert one == (print,)
    several = check_options({"hooks_after": [print, max]})[1].hooks_after
    assert several == (print, max)


def test_retry_is_a_shorter_name() -> None:
    data, _ = check_options({"retry": retry.exponential(base=1, maximum=3600, jitter=0.2)})
    assert data.strategy == retry.exponential(base=1, maximum=3600, jitter=0.2)
    assert check_options({"retry": lambda failures: failures})[1].next_attempt_at is not None


@pytest.mark.parametrize(
    ("options", "retried"),
    [
        ({}, True),
        ({"no_retry_on": ValueError}, True),
        ({"no_retry_on": TaskTimeout}, False),
        ({"retry_on": OSError}, False),
        ({"retry_on": [OSError, TaskTimeout]}, True),
    ],
)
def test_a_timeout_counts_as_the_exception_that_it_raises(options: dict[str, Any], retried: bool) -> None:
    data, _ = check_options(options)
    assert data.retry_policy.retry_timeouts is retried


def test_a_strategy_is_data_and_a_function_of_the_users_is_not() -> None:
    data, callbacks = check_options({"next_attempt_at": retry.exponential(1, 60)})
    assert data.strategy == retry.exponential(1, 60)
    assert callbacks.next_attempt_at is None
    data, callbacks = check_options({"next_attempt_at": lambda failures: failures * 10})
    assert data.strategy is None
    assert data.retry_policy.strategy is None
    assert callbacks.next_attempt_at is not None
    assert callbacks.next_attempt_at(3) == 30


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {"workers": 3, "max_memory": 512, "next_attempt_at": retry.step([1, 2, timedelta(minutes=1)])},
        {"next_attempt_at": lambda failures: failures, "crash_handler": print},
    ],
)
def test_a_spec_crosses_process_boundaries_as_json(chosen: dict[str, Any]) -> None:
    spec = ProcessorSpec(type="t", is_async=True, options=check_options(chosen)[0])
    assert msgspec.json.decode(msgspec.json.encode(spec), type=ProcessorSpec) == spec
    assert spec.options.has_crash_handler == ("crash_handler" in chosen)


def test_the_options_have_a_check_for_each_field() -> None:
    derived = {"strategy", "retry_timeouts", "has_crash_handler", "limits", "takes_turns"}
    for name in set(ProcessorOptions.__struct_fields__) - derived:
        value = getattr(ProcessorOptions(), name)
        assert getattr(check_options({name: value})[0], name) == value


@pytest.mark.parametrize(
    ("files", "own", "expected"),
    [
        ({}, "0::/", None),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"cpu.max": "100000 100000"}, "0::/", 1),
        ({"a/cpu.max": "max 100000", "cpu.max": "50000 100000"}, "0::/a", 1),
        ({"a/b/cpu.max": "100000 100000", "a/cpu.max": "max 100000"}, "12:cpu:/x\n0::/a/b", 1),
        ({"cpu.max": "nonsense"}, "", None),
        ({"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"}, "", 1),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "", None),
    ],
)
def test_the_cpus_are_those_of_affinity_and_quota(
    tmp_path: Path, files: dict[str, str], own: str, expected: int | None
) -> None:
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert available_cpus(tmp_path / "cgroup", tmp_path / "own") == (expected or allowed)


def test_editors_are_told_of_every_option_and_of_no_other() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_options({"zzzzzzzzzzzz": 1})
    known = str(refusal.value).partition("known are ")[2].split(", ")
    assert sorted(ProcessorKeywords.__annotations__) == known
