"""The pages of docs/api/: which public names are on which page, in which order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MADE_BY: Final = (
    "<!-- Written by `scripts/docs reference`. Change the docstrings or the help instead of this file. -->"
)


@dataclass(frozen=True)
class Entry:
    """A class, function, module or value, and which of its members the reference shows.

    Attributes:
        path: its full name, as people import it.
        title: the name in headings; by default the full name for itself, and the class's name for members.
        only: the members to show, with spaces between; by default all public ones that have a docstring.
        hidden: members that are for goque itself.
        inherited: whether members of its base classes are shown too.
        is_made: whether people call it; they only receive objects of the other classes.
    """

    path: str
    title: str = ""
    only: str = ""
    hidden: str = ""
    inherited: bool = False
    is_made: bool = True


@dataclass(frozen=True)
class Page:
    """A page of docs/api/."""

    name: str
    title: str
    introduction: str
    entries: tuple[Entry, ...]


OPTION_CLASSES: Final = {
    "TaskOptions": ("goque.task.TaskOptions", "goque.task.Task"),
    "PoolKeywords": ("goque.pools.options.PoolKeywords", "goque.pools.options.PoolOptions"),
    "ProcessorKeywords": (
        "goque.options.ProcessorKeywords",
        "goque.options.ProcessorOptions",
        "goque.pools.options.PoolOptions",
    ),
}
"""For the type of `**options`: where the keywords and their types are, and where defaults and meanings are."""


def _received(*paths: str) -> tuple[Entry, ...]:
    return tuple(Entry(path, is_made=False) for path in paths)


def _all(*paths: str) -> tuple[Entry, ...]:
    return tuple(Entry(path) for path in paths)


PAGES: Final = (
    Page(
        "registry",
        "Registry, handlers and pools",
        "Register the handlers of an app and run them. Guides: [handlers](../handlers.md), [pools](../pools.md), "
        "[modules](../modules.md).",
        (
            Entry("goque.Registry", hidden="prepare_tasks default_priority", inherited=True),
            *_received("goque.Handler", "goque.TaskProcessor"),
            *_all("goque.typed_task_processor", "goque.noop_task_processor", "goque.Supervisor"),
        ),
    ),
    Page(
        "queue",
        "The queue",
        "Enqueue, read, cancel and reset tasks. An app gets its queue from `registry.queue` or `registry.async_queue`. "
        "Guides: [enqueueing](../enqueueing.md), [the transactional outbox](../outbox.md), [asyncio](../asyncio.md).",
        (
            Entry("goque.TaskQueueManager", hidden="storage", inherited=True),
            Entry("goque.AsyncTaskQueueManager", inherited=True),
            *_received("goque.TaskStack"),
        ),
    ),
    Page(
        "tasks",
        "Tasks",
        "Guides: [the life of a task](../life.md), [payloads](../payloads.md), [unique tasks](../unique_tasks.md). "
        "The columns that are attributes of a task: [the tables](../table.md).",
        (
            Entry(
                "goque.Task",
                hidden="from_row from_any_row was_made_with apply_default_priority unique_rule has_own_key "
                "complete_unique step_run stepper payload_bytes stored_limit_key flow_name flags follow_ups",
            ),
            *_all("goque.TypedTask", "goque.NO_TASK_PAYLOAD"),
            Entry("goque.TaskStatus", is_made=False),
            *_all("goque.TaskFilter", "goque.current_task"),
        ),
    ),
    Page(
        "steps",
        "Steps",
        "A handler calls these methods on its task, which `goque.current_task()` returns. "
        "`signal` and `reset_attempts` are methods of [the queue](queue.md). Guide: [steps](../steps.md).",
        (
            Entry(
                "goque.steps.calls.HandlerCalls",
                title="Task",
                hidden="step_run stepper end_steps steps_of_run has_recorded_in_transaction return_from_steps",
                inherited=True,
                is_made=False,
            ),
            *_received("goque.SignalTimeout", "goque.TaskLost"),
        ),
    ),
    Page(
        "flows",
        "Follow-ups and flows",
        "`enqueue_flow`, `get_flow`, `wait_flow` and `cancel_flow` are methods of [the queue](queue.md). "
        "Guide: [follow-ups and flows](../flows.md).",
        (
            Entry("goque.follow_up"),
            Entry("goque.Flow", hidden="plan"),
            Entry("goque.FlowState", hidden="of", is_made=False),
            Entry("goque.task_rules.need.Need", title="Need", is_made=False),
        ),
    ),
    Page(
        "retries_and_limits",
        "Retries and limits",
        "`set_limits` and `clear_limits` are methods of [the queue](queue.md). "
        "Guides: [retries](../retries.md), [limits](../limits.md).",
        (
            Entry("goque.retry", only="static step round_step exponential FIBONACCI_PERIODS STRONG_PERIODS"),
            Entry("goque.Rate"),
        ),
    ),
    Page(
        "periodic",
        "Periodic jobs",
        "`@registry.periodic` and `@registry.cron` are methods of [the registry](registry.md). "
        "Guide: [periodic jobs](../periodic.md).",
        _all("goque.PeriodicJob", "goque.cron_job", "goque.CronSchedule"),
    ),
    Page(
        "context",
        "Transactions and context values",
        "Guides: [the transactional outbox](../outbox.md), [context values](../context.md).",
        (
            *_all("goque.with_tx", "goque.tx_from_context", "goque.without_tx", "goque.with_value"),
            *_all("goque.with_values", "goque.value_by_key", "goque.values"),
        ),
    ),
    Page(
        "errors",
        "Errors",
        "A handler raises the first four itself. goque raises the others, all of them subclasses of `GoqueError`. "
        "The last two classes describe failures, and goque passes them to your functions.",
        (
            *_all("goque.TaskCanceled", "goque.RetryTask", "goque.Snooze", "goque.RateLimited"),
            *_received("goque.GoqueError", "goque.ConfigurationError", "goque.UnknownTypeError"),
            *_received("goque.DatabaseUnavailableError", "goque.SchemaError"),
            Entry("goque.DuplicateTaskError", hidden="in_flow", is_made=False),
            *_received("goque.TaskNotFoundError", "goque.TaskStateError", "goque.WaitTimeoutError"),
            *_received("goque.PayloadEncodeError", "goque.InvalidPayloadFormatError"),
            *_received("goque.PayloadDecodeError", "goque.TaskTimeout", "goque.WorkerCrashed"),
            *_received("goque.WorkerCrash", "goque.Failure"),
        ),
    ),
    Page(
        "telemetry",
        "Logs, metrics and traces",
        "Guides: [logging](../logging.md), [observability](../observability.md).",
        (
            Entry("goque.LogHandler", only="-"),
            *_all("goque.set_metrics_service_name", "goque.set_tracer_provider"),
        ),
    ),
    Page(
        "storage",
        "Storage",
        "Applications rarely need it: the queue and the commands work on it. Page: [storage](../storage.md).",
        (Entry("goque.open_storage"), Entry("goque.TaskStorage", only="-", is_made=False)),
    ),
    Page(
        "testing",
        "Testing",
        "Functions of `goque.testing`, and the fixtures of goque's pytest plugin. Guide: [testing](../testing.md).",
        (
            *_all("goque.testing.run_task", "goque.testing.ended_need", "goque.testing.TaskRun"),
            *_all("goque.testing.goque_kill_at_every_step", "goque.testing.assert_enqueued"),
            *_all("goque.testing.assert_not_enqueued", "goque.testing.frozen_time"),
            *_all("goque.testing.FrozenClock", "goque.testing.slots_between"),
            *_all("goque.testing.enqueue_due_jobs", "goque.testing.RunningTree"),
            *_all("goque.testing.own_database", "goque.testing.empty", "goque.testing.crash_on_purpose"),
            Entry(
                "goque.pytest_plugin",
                title="fixture",
                only="goque_server_url goque_database_url goque_queue goque_tree goque_crash goque_django",
            ),
        ),
    ),
    Page(
        "frameworks",
        "Frameworks",
        "Guides: [FastAPI and Starlette](../fastapi.md), [Django](../django.md), [SQLAlchemy](../sqlalchemy.md).",
        (
            *_all("goque.contrib.starlette.lifespan", "goque.contrib.starlette.queue_of"),
            *_all("goque.contrib.sqlalchemy.enqueue_after_flush", "goque.contrib.sqlalchemy.enqueue_after"),
            Entry("goque.contrib.django", only="DjangoRegistry queue registry"),
            Entry("goque.contrib.django.backend.GoqueBackend", only="-", is_made=False),
        ),
    ),
)
