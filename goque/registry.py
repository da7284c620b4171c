"""The registry: an application's processors and periodic jobs."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from goque.callbacks import check_function
from goque.errors import ConfigurationError
from goque.handlers.handler import CallP, FunctionHandler, Handler, PayloadT, ReturnT, TaskHandler
from goque.handlers.signatures import Register, TakesPayload, TakesTask, TakesTypedTask
from goque.options import PROCESS_OPTIONS, Pool, ProcessorKeywords, check_options
from goque.pools.options import PoolKeywords
from goque.pools.table import PoolTable
from goque.processor import Processor, make_processor, takes_payload
from goque.processor_table import ProcessorTable
from goque.task_checks import check_name

if TYPE_CHECKING:
    from goque.failure import Failure
    from goque.periodic.jobs import Misfire, PeriodicJob, Schedule
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.manager import TaskQueueManager
    from goque.task import Task

FactoryT = TypeVar("FactoryT", bound="Callable[..., Task]")


class Registry:
    """Processors and periodic jobs of one application; `goque supervise module:registry` runs them.

    Args:
        database_url: the database of its tasks. A flag, the environment and the configuration file win over it.
        service_name: its name in metrics and traces.
        on_failure: called with a `goque.Failure` for each failed attempt of each type, crashes included. A supervisor
            calls it in a process of its own, after the attempt is written; it has 10 seconds, and what it raises is
            logged. A fetcher or healer that dies just then may leave out a call. An attempt that is lost with its node
            is reported by the node that returns the task, if its app has the type.

    Raises:
        ConfigurationError: an argument is of another type, or `on_failure` does not take one argument.
    """

    def __init__(
        self,
        database_url: str | None = None,
        service_name: str | None = None,
        *,
        on_failure: Callable[[Failure], object] | None = None,
    ) -> None:
        for name, value in (("database_url", database_url), ("service_name", service_name)):
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"{name} must be text or None, not {value!r:.80}")
        self.database_url = database_url
        self.service_name = service_name
        self.on_failure = None if on_failure is None else check_function("on_failure", on_failure, "failure")
        self._processors = ProcessorTable()
        self._pools = PoolTable()
        self._jobs: dict[str, PeriodicJob] = {}
        self._own_url: str | None = None
        self._queue: TaskQueueManager | None = None
        self._async_queue: AsyncTaskQueueManager | None = None

    def pool(self, name: str, /, **options: Unpack[PoolKeywords]) -> Pool:
        """Declare a pool: worker processes that run the tasks of all types which name it in `pool=`.

        Args:
            name: its name; `default` is the pool of the types that name none.
            options: those of `PoolOptions`; times are seconds or timedeltas.

        Raises:
            ConfigurationError: a pool of this name is declared already, or an option is wrong.
        """
        return self._pools.declare(name, options)

    @overload
    def add_processor(
        self, task_type: str, processor: TakesTask[CallP, ReturnT], /, **options: Unpack[ProcessorKeywords]
    ) -> TaskHandler[CallP, ReturnT]: ...
    @overload
    def add_processor(
        self,
        task_type: str,
        processor: TakesTypedTask[PayloadT, CallP, ReturnT],
        /,
        **options: Unpack[ProcessorKeywords],
    ) -> FunctionHandler[PayloadT, CallP, ReturnT]: ...
    @overload
    def add_processor(
        self,
        task_type: str,
        processor: TakesPayload[PayloadT, CallP, ReturnT],
        /,
        **options: Unpack[ProcessorKeywords],
    ) -> FunctionHandler[PayloadT, CallP, ReturnT]: ...
    def add_processor(
        self, task_type: str, processor: Any, /, **options: Unpack[ProcessorKeywords]
    ) -> Handler[Any]:
        """Register a callable, or an object with `process_task(task)`, for a type; return its `goque.Handler`.

        Args:
            task_type: the type of its tasks.
            processor: the handler; its parameter's annotation decides whether it gets a Task, a TypedTask or
                the payload.
            options: those of `ProcessorOptions`; times are seconds or timedeltas. And these functions and classes:
                `next_attempt_at`, also called `retry`; `retry_on`, `no_retry_on`, `crash_handler`,
                `hooks_before`, `hooks_after`. And `pool`, the pool that runs it, or options of `PoolOptions`, which
                give the type processes of its own.

        Raises:
            ConfigurationError: the type has a processor, an option is wrong, or the handler cannot be called.
        """
        check_name("type", task_type)
        if isinstance(processor, Handler):
            if processor.__wrapped__ is None:
                raise ConfigurationError(
                    f"the processor of {task_type!r} is a declaration of {processor.type!r}, which has no function"
                )
            processor = processor.__wrapped__
        if task_type in self._processors:
            raise ConfigurationError(f"type {task_type!r} has a processor already; give each type one")
        try:
            checked, callbacks = check_options(options)
            made = make_processor(task_type, processor, checked, callbacks)
            own = {name: value for name, value in options.items() if name in PROCESS_OPTIONS}
            self._pools.put(task_type, options.get("pool"), own, is_async=made.spec.is_async)
        except ConfigurationError as error:
            told = str(error)
            named = (
                told if told.startswith("the processor of ") else f"the processor of {task_type!r}: {told}"
            )
            raise ConfigurationError(named) from None
        self._processors.put(self._completed(made))
        kind = FunctionHandler if takes_payload(made) else TaskHandler
        return kind(self, task_type, processor)

    def _completed(self, made: Processor) -> Processor:
        """Return a processor with what a framework adds to each."""
        return made

    def processor(self, task_type: str, /, **options: Unpack[ProcessorKeywords]) -> Register:
        """Register the decorated function for a type; it becomes a `goque.Handler`, which is called as before.

            @registry.processor("send_email")
            def send_email(email: Email) -> None: ...

            send_email.enqueue(Email("ada@example.com"))

        The options and the errors are those of `add_processor`.
        """
        if callable(task_type):
            name = getattr(task_type, "__name__", "handler")
            raise ConfigurationError(
                f"@registry.processor needs the task type: write @registry.processor({name!r}) above {name}"
            )

        def register(handler: Any) -> Any:
            return self.add_processor(task_type, handler, **options)

        return register

    def add_periodic_job(self, job: PeriodicJob) -> None:
        """Register a periodic job.

        Raises:
            ConfigurationError: it is no PeriodicJob, or a job of this name is registered already.
        """
        from goque.periodic.jobs import PeriodicJob  # noqa: PLC0415 - most registries have no jobs

        if not isinstance(job, PeriodicJob):
            raise ConfigurationError(
                f"a periodic job is a goque.PeriodicJob or goque.cron_job(…), not {job!r:.80}"
            )
        if job.name in self._jobs:
            raise ConfigurationError(f"a periodic job is called {job.name!r} already; give each its own name")
        self._jobs[job.name] = job

    def periodic(
        self,
        schedule: Schedule,
        *,
        name: str | None = None,
        run_on_start: bool = False,
        misfire: Misfire = "skip",
        jitter: float | timedelta = 0.0,
    ) -> Callable[[FactoryT], FactoryT]:
        """Register the decorated factory as a periodic job; it stays callable as before.

        Args:
            schedule: a callable from an aware datetime to the next one, such as a `CronSchedule`.
            name: the name of the job; by default that of the function.
            run_on_start: see `PeriodicJob`.
            misfire: see `PeriodicJob`.
            jitter: see `PeriodicJob`.

        Raises:
            ConfigurationError: the job is wrong, or one of this name is registered already.
        """
        from goque.periodic.jobs import PeriodicJob  # noqa: PLC0415 - most registries have no jobs

        def register(factory: FactoryT) -> FactoryT:
            job_name = _job_name(name, factory)
            self.add_periodic_job(PeriodicJob(job_name, schedule, factory, run_on_start, misfire, jitter))
            return factory

        return register

    def cron(
        self,
        spec: str,
        *,
        name: str | None = None,
        tz: str = "UTC",
        run_on_start: bool = False,
        misfire: Misfire = "skip",
        jitter: float | timedelta = 0.0,
    ) -> Callable[[FactoryT], FactoryT]:
        """Register the decorated factory as a periodic job by a cron expression; see `periodic`.

        Args:
            spec: five fields, six with leading seconds, or an alias such as `@hourly`.
            name: the name of the job; by default that of the function.
            tz: the IANA time zone of the fields.
            run_on_start: see `PeriodicJob`.
            misfire: see `PeriodicJob`.
            jitter: see `PeriodicJob`.

        Raises:
            ConfigurationError: the job is wrong, or one of this name is registered already.
        """
        from goque.periodic.jobs import cron_job  # noqa: PLC0415 - most registries have no jobs

        def register(factory: FactoryT) -> FactoryT:
            job_name = _job_name(name, factory)
            self.add_periodic_job(cron_job(job_name, spec, factory, tz, run_on_start, misfire, jitter))
            return factory

        return register

    def get_job(self, name: str) -> PeriodicJob:
        """Return the periodic job of this name.

        Raises:
            ConfigurationError: there is no such job.
        """
        try:
            return self._jobs[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._jobs, n=1)
            known = ", ".join(self._jobs) or "none at all"
            hint = f"did you mean {near[0]!r}?" if near else f"there is {known}"
            raise ConfigurationError(f"no periodic job is called {name!r:.210}; {hint}") from None

    @property
    def queue(self) -> TaskQueueManager:
        """A manager for this registry's database; each process opens it at its first use."""
        if self._queue is None:
            from goque.config import resolve_database_url  # noqa: PLC0415 - registering needs no database
            from goque.queue.manager import TaskQueueManager  # noqa: PLC0415 - the same

            url = resolve_database_url(self._own_url, registry_url=self.database_url)
            self._queue = TaskQueueManager(url, default_priorities=self.default_priority)
        return self._queue

    @property
    def async_queue(self) -> AsyncTaskQueueManager:
        """The same for asyncio, with its own connections."""
        if self._async_queue is None:
            from goque.config import resolve_database_url  # noqa: PLC0415 - the same
            from goque.queue.async_manager import AsyncTaskQueueManager  # noqa: PLC0415 - registering needs no database

            url = resolve_database_url(self._own_url, registry_url=self.database_url)
            self._async_queue = AsyncTaskQueueManager(url, default_priorities=self.default_priority)
        return self._async_queue

    async def aclose(self) -> None:
        """Close the queues of this process, after their background adds; a later use opens new ones."""
        import asyncio  # noqa: PLC0415 - most processes of a tree have no loop

        queues = self._queue, self._async_queue
        self._queue = self._async_queue = None
        if queues[0] is not None:
            await asyncio.to_thread(queues[0].close)
        if queues[1] is not None:
            await queues[1].close()

    @property
    def jobs(self) -> list[PeriodicJob]:
        """The periodic jobs, in the order in which they were added."""
        return list(self._jobs.values())

    @property
    def task_types(self) -> list[str]:
        """The types that have a processor, in the order in which they were added."""
        return self._processors.task_types

    def _use_database(self, url: str | None) -> str | None:
        """Use the database at this URL from now on; None for the one of the settings. For tests.

        Open queues are closed, after their background adds.

        Returns: the URL that this method was given before.
        """
        if self._queue is not None:
            self._queue.close()
        if self._async_queue is not None:
            from goque.queue.manager_storage import close_blocking  # noqa: PLC0415 - only tests need it

            close_blocking(self._async_queue)
        before, self._own_url = self._own_url, url
        self._queue = self._async_queue = None
        return before

    def default_priority(self, task_type: str) -> int:
        """Return the default priority of a type: that of its processor, or 0."""
        return self._processors.default_priority(task_type)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_own_url": None, "_queue": None, "_async_queue": None}


def _job_name(name: str | None, factory: Callable[..., Any]) -> str:
    """Return the given name, or the name of the factory."""
    own = getattr(factory, "__name__", "<lambda>") if name is None else name
    if own == "<lambda>":
        raise ConfigurationError("a periodic job of a function without a name needs one: name='nightly'")
    return own
