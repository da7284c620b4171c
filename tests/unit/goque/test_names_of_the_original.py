"""The map from the Go library, row by row: what is missing or renamed fails here, and in docs/from_go.md."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import goque
from goque.callbacks import CODE_OPTIONS
from goque.options import PROCESS_OPTIONS, ProcessorOptions, check_options

TESTS = Path(__file__).resolve().parents[2]
PAGE = (TESTS.parent / "docs" / "from_go.md").read_text("utf-8")
QUEUE, REGISTRY = "TaskQueueManager", "Registry"


class Row(NamedTuple):
    """One row: Go's names, then ours. `a.b` is an attribute, `f(x)` a parameter of f, `x=` a processor's option."""

    there: str
    here: str


ROWS = (
    Row(
        "NewGoque Run Stop", "Supervisor Supervisor.run Supervisor.start Supervisor.stop Supervisor.__enter__"
    ),
    Row("RegisterProcessor", f"{REGISTRY}.add_processor {REGISTRY}.processor"),
    Row("RegisterPeriodicJob", f"{REGISTRY}.add_periodic_job {REGISTRY}.cron {REGISTRY}.periodic"),
    Row("NewStorage TaskStorage", "open_storage(url) TaskStorage"),
    Row(
        "NewTaskQueueManager TaskQueueManager",
        f"{QUEUE}(url_or_storage) {REGISTRY}.queue AsyncTaskQueueManager(url_or_storage)",
    ),
    Row("AddTaskToQueue", f"{QUEUE}.enqueue(conn) {QUEUE}.add_task(conn) {QUEUE}.add_tasks(on_conflict)"),
    Row(
        "AsyncAddTaskToQueue WaitAsyncEnqueues",
        f"{QUEUE}.add_task_in_background(task) {QUEUE}.wait_background_adds(timeout)",
    ),
    Row("GetTask GetTasks", f"{QUEUE}.get_task(task_id) {QUEUE}.get_tasks(limit)"),
    Row("ResetAttempts CancelTask", f"{QUEUE}.reset_attempts(task_id) {QUEUE}.cancel_task(task_id)"),
    Row(
        "Task NewTask NewTaskWithExternalID NewTaskWithPayload NoTaskPayload",
        "Task(type) Task(payload) Task(external_id) Task(metadata) Task(delay) Task(run_at) Task(priority) "
        "NO_TASK_PAYLOAD",
    ),
    Row(
        "TaskStatus TaskType TaskFilter Metadata",
        "TaskStatus.NEW TaskFilter(ids) TaskFilter(task_type) TaskFilter(status) TaskFilter(statuses) "
        "TaskFilter(updated_before) TaskFilter(updated_at_time_ago)",
    ),
    Row(
        "TypedTask TypedTaskProcessor NewTypedTaskProcessor WithCancelTaskWhenPayloadDecodeError",
        "TypedTask typed_task_processor(cancel_on_decode_error) cancel_on_decode_error=",
    ),
    Row(
        "TaskProcessor TaskProcessorFunc NoopTaskProcessor", "TaskProcessor.process_task noop_task_processor"
    ),
    Row(
        "WithWorkersCount WithTaskProcessingTimeout WithTaskProcessingMaxAttempts "
        "WithTaskProcessingNextAttemptAtFunc",
        "workers= timeout= max_attempts= next_attempt_at= retry=",
    ),
    Row("WithWorkersPanicHandler", "crash_handler= WorkerCrash"),
    Row(
        "WithTaskFetcherMaxTasks WithTaskFetcherTick WithTaskFetcherTimeout",
        "fetch_max_tasks= fetch_tick= fetch_timeout=",
    ),
    Row("WithHooksBeforeProcessing WithHooksAfterProcessing", "hooks_before= hooks_after="),
    Row(
        "WithCleanerPeriod WithCleanerTimeout WithCleanerUpdatedAtTimeAgo "
        "WithHealerPeriod WithHealerTimeout WithHealerUpdatedAtTimeAgo",
        "cleaner_period= cleaner_timeout= cleaner_updated_at_time_ago= "
        "healer_period= healer_timeout= healer_updated_at_time_ago=",
    ),
    Row(
        "StaticNextAttemptAtFunc StepNextAttemptAtFunc RoundStepNextAttemptAtFunc FibonacciPeriods StrongPeriods",
        "retry.static(period) retry.step(periods) retry.round_step(periods) retry.FIBONACCI_PERIODS "
        "retry.STRONG_PERIODS retry.exponential(base) retry.exponential(maximum) retry.exponential(jitter)",
    ),
    Row(
        "NewPeriodicJob NewCronJob CronSchedule PeriodicSchedulerFunc WithPeriodicJobRunOnStart",
        "PeriodicJob(name) PeriodicJob(schedule) PeriodicJob(factory) PeriodicJob(run_on_start) cron_job(name) "
        "cron_job(spec) cron_job(factory) cron_job(tz) cron_job(run_on_start) CronSchedule(spec) CronSchedule(tz)",
    ),
    Row("WithValue WithValues ValueByKey Values", "with_value(key) with_values value_by_key(key) values"),
    Row("WithTx TxFromContext WithoutTx", "with_tx(conn) tx_from_context without_tx"),
    Row(
        "SetMetricsServiceName SetTracerProvider",
        "set_metrics_service_name(name) set_tracer_provider(factory)",
    ),
    Row(
        "ErrDuplicateTask ErrInvalidPayloadFormat ErrPayloadMarshal ErrPayloadUnmarshal ErrTaskCancel ErrTaskTimeout",
        "DuplicateTaskError InvalidPayloadFormatError PayloadEncodeError PayloadDecodeError TaskCanceled "
        "TaskTimeout GoqueError",
    ),
)


def look_up(name: str) -> Any:
    return reduce(getattr, name.split("."), goque)


def check(name: str) -> None:
    """Make sure that a name of ours leads to something."""
    option = re.fullmatch(r"(\w+)=", name)
    parameter = re.fullmatch(r"([\w.]+)\((\w+)\)", name)
    if option:
        assert option[1] in {*ProcessorOptions.__struct_fields__, *CODE_OPTIONS, *PROCESS_OPTIONS}
    elif parameter:
        assert parameter[2] in inspect.signature(look_up(parameter[1])).parameters, name
    else:
        assert look_up(name) is not None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.there.split()[0])
def test_the_row_is_there(row: Row) -> None:
    for name in row.here.split():
        check(name)


def rows_of_the_page() -> Iterator[tuple[list[str], str]]:
    table = PAGE.partition("## The names in Go and in Python")[2].partition("\n\n## ")[0]
    for line in table.splitlines():
        if line.startswith("| `"):
            there, here = line.strip("|").split(" | ", 1)
            yield re.findall(r"`(\w+)`", there), here


def test_the_page_has_the_same_rows() -> None:
    assert [there for there, _ in rows_of_the_page()] == [row.there.split() for row in ROWS]


@pytest.mark.parametrize(
    ("row", "here"), list(zip(ROWS, (here for _, here in rows_of_the_page()), strict=True))
)
def test_the_page_names_what_there_is(row: Row, here: str) -> None:
    named = set(re.findall(r"[\w.]+", here))
    for name in row.here.split():
        *_, last = re.findall(r"\w+", name.partition("(")[0])
        known = {word.rpartition(".")[2] for word in named} | named
        assert last in known or last in ("NEW", "__enter__"), name


def names_of_tests() -> Iterator[str]:
    for path in TESTS.glob("*/test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name


def test_each_row_has_a_test_on_every_backend_that_is_named_by_it() -> None:
    names = list(names_of_tests())
    for row in ROWS:
        wanted = "test" + re.sub(r"([A-Z][a-z]+)", lambda word: f"_{word[1].lower()}", row.there.split()[0])
        assert any(name.startswith(wanted) for name in names), (
            f"write {wanted}_…, on every backend, for {row}"
        )


def test_statuses_but_that_of_flows_and_errors_are_those_of_the_original() -> None:
    assert [status.value for status in goque.TaskStatus] == [
        "new",
        "pending",
        "processing",
        "done",
        "canceled",
        "error",
        "attempts_left",
        "blocked",
    ]
    errors = [value for value in vars(goque.errors).values() if isinstance(value, type)]
    assert {error for error in errors if issubclass(error, Exception)} <= {
        error for error in errors if issubclass(error, goque.GoqueError)
    }
    for name in ("TaskNotFoundError", "TaskStateError", "WorkerCrashed", "SchemaError", "ConfigurationError"):
        assert issubclass(look_up(name), goque.GoqueError)


def test_the_class_of_an_exception_that_ends_a_task_is_public() -> None:
    for name in ("TaskCanceled", "RetryTask", "Snooze", "current_task"):
        check(name)
    assert check_options({"retry": goque.retry.static(1)})[0].strategy == goque.retry.static(1)


def test_all_that_is_public_can_be_imported() -> None:
    for name in goque.__all__:
        assert look_up(name) is not None
    assert sorted(goque.__all__) == dir(goque)
