"""The options of a type and of a pool in words. No I/O happens here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec

from goque.dashboard import formats
from goque.describe.limit_words import describe_limits
from goque.errors import ConfigurationError
from goque.handlers.processor_table import processors_of
from goque.pools.table import pools_of
from goque.registry import Registry
from goque.retry import Exponential, Strategy
from goque.storage.contract import TypePolicy, policy_of

MAX_WAITS: Final = 6


@dataclass(frozen=True)
class Option:
    """One option: its label, its value in words, and its name in code."""

    label: str
    value: str
    name: str


def options_of_type(registry: Registry | None, task_type: str, policy: TypePolicy | None) -> list[Option]:
    """Return the options of a type: from the app if it is known, else those that its supervisor has published."""
    processor = processors_of(registry).find(task_type) if registry else None
    own = processor.spec.options if processor else None
    if own is not None and policy is None:
        policy = policy_of(task_type, own)
    if policy is None:
        return []
    made = [
        Option("Attempts", str(policy.max_attempts), "max_attempts"),
        Option("Wait between attempts", _waits(policy), "next_attempt_at"),
    ]
    if policy.max_crashes is not None:
        made.append(Option("Crashes at most", str(policy.max_crashes), "max_crashes"))
    if own is not None:
        made.append(Option("Timeout", formats.seconds(own.timeout), "timeout"))
        if own.stall_timeout is not None:
            made.append(
                Option("Timeout without progress", formats.seconds(own.stall_timeout), "stall_timeout")
            )
        if own.max_running is not None:
            made.append(Option("Running on one node at most", str(own.max_running), "max_running"))
        if own.priority:
            made.append(Option("Priority", str(own.priority), "priority"))
        made.append(Option("Results are kept", "yes" if own.store_result else "no", "store_result"))
    if policy.effective_limits:
        made.append(Option("Limits", describe_limits(policy.effective_limits), "limit, limit_per_key, rate"))
    return [
        *made,
        Option("Done tasks are kept", _kept(policy.cleaner_age), "cleaner_updated_at_time_ago"),
        Option("Failed tasks are kept", _kept(policy.cleaner_keep_failed), "cleaner_keep_failed"),
    ]


def options_of_pool(registry: Registry | None, name: str) -> list[Option]:
    """Return the options of a pool, if the app is known and has it."""
    try:
        specs = pools_of(registry).specs() if registry else []
    except ConfigurationError:
        return []  # another command says what is wrong with this app; the page shows what runs
    options = next((spec.options for spec in specs if spec.name == name), None)
    if options is None:
        return []
    fewest = "default" if options.min_workers is None else str(options.min_workers)
    made = [
        Option("Workers at most", str(options.workers), "workers"),
        Option("Workers at least", fewest, "min_workers"),
        Option("An idle worker ends after", formats.seconds(options.idle_timeout), "idle_timeout"),
        Option("Processes for async handlers", str(options.async_workers), "async_workers"),
        Option("Async handlers in each", str(options.concurrency), "concurrency"),
    ]
    if options.max_memory is not None:
        made.append(Option("Memory of a worker", f"{options.max_memory:g} MiB", "max_memory"))
    if options.max_tasks is not None:
        made.append(Option("Tasks of a worker", formats.count(options.max_tasks), "max_tasks"))
    return [
        *made,
        Option("Looks for tasks each", formats.seconds(options.fetch_tick), "fetch_tick"),
        Option("Tasks in one claim", str(options.fetch_max_tasks), "fetch_max_tasks"),
    ]


def _waits(policy: TypePolicy) -> str:
    """Return the waits after the first failures, without their jitter."""
    if policy.max_attempts < 2:
        return "no second attempt"
    if policy.strategy is None:
        return "by a function of the app"
    try:
        strategy: Strategy = msgspec.json.decode(policy.strategy, type=Strategy)
    except (msgspec.MsgspecError, ValueError):
        return "not known to this version"
    if isinstance(strategy, Exponential):
        strategy = msgspec.structs.replace(strategy, jitter=0.0)
    failures = range(1, min(policy.max_attempts, MAX_WAITS + 1))
    more = ", …" if policy.max_attempts - 1 > MAX_WAITS else ""
    return ", ".join(formats.seconds(strategy(number).total_seconds()) for number in failures) + more


def _kept(age: float) -> str:
    return formats.seconds(age) if age else "deleted at once"
