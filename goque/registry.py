"""The registry: an application's processors and periodic jobs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, Unpack, overload

import msgspec

from goque.callbacks import check_function
from goque.config import resolve_database_url
from goque.errors import ConfigurationError
from goque.handlers.handler import CallP, FunctionHandler, Handler, PayloadT, ReturnT, TaskHandler
from goque.handlers.known_types import KnownTypes
from goque.handlers.processor import Processor, decoded_argument, make_processor
from goque.handlers.processor_table import ProcessorTable
from goque.handlers.signatures import Register, TakesPayload, TakesTask, TakesTypedTask
from goque.options import PROCESS_OPTIONS, Pool, ProcessorKeywords, check_options, flag, unique_rule
from goque.periodic.registration import RegistersJobs
from goque.periodic.table import JobTable
from goque.pools.options import PoolKeywords
from goque.pools.table import PoolTable
from goque.queue.registry_queues import RegistryQueues
from goque.task_rules.checks import check_name

if TYPE_CHECKING:
    from goque.failure import Failure
    from goque.queue.async_manager import AsyncTaskQueueManager
    from goque.queue.manager import TaskQueueManager
    from goque.task import Task


class Registry(RegistersJobs):
    """Processors and periodic jobs of one application; `goque supervise module:registry` runs them.

    Args:
        database_url: the database of its tasks. A flag, the environment and the configuration file win over it.
        service_name: its name in metrics and traces.
        version: the version of the app, which is recorded with each failed attempt. `GOQUE_APP_VERSION` wins over it.
        on_failure: called with a `goque.Failure` for each failed attempt of each type, crashes included. A supervisor
            calls it in a process of its own, after the attempt is written; it has 10 seconds, and what it raises is
            logged. A fetcher or healer that dies just then may leave out a call. An attempt that is lost with its node
            is reported by the node that returns the task, if its app has the type.
        strict: whether `queue`, `async_queue`, handlers and periodic jobs refuse types that the registry does not
            have, and payloads that the type's handler would not decode. False checks neither.

    Raises:
        ConfigurationError: an argument is of another type, or `on_failure` does not take one argument.
    """

    def __init__(
        self,
        database_url: str | None = None,
        service_name: str | None = None,
        *,
        version: str | None = None,
        on_failure: Callable[[Failure], object] | None = None,
        strict: bool = True,
    ) -> None:
        for name, value in (("database_url", database_url), ("service_name", service_name)):
            if value is not None and not isinstance(value, str):
                raise ConfigurationError(f"{name} must be text or None, not {value!r:.80}")
        if version is not None:
            check_name("version", version)
        self.database_url = database_url
        self.service_name = service_name
        self.version = version
        self.on_failure = None if on_failure is None else check_function("on_failure", on_failure, "failure")
        self.strict = flag("strict", strict)
        self._processors = ProcessorTable(self._completed)
        self._known = KnownTypes(self._processors)
        self._pools = PoolTable()
        self._jobs = JobTable()
        self._parts: list[Registry] = []
        self._is_included = False
        self._queues = RegistryQueues(self)

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
                `hooks_before`, `hooks_after`. And `unique`, `unique_key`, `debounce` and `max_wait`, as of `Task`, for
                tasks that have none of their own. And `limit`, `limit_per_key`, `rate` and `limit_key`: how many of its
                tasks, and of each key, run at once over all nodes, and start in a time. And `pool`, the pool
                that runs it, or options of `PoolOptions`, which give the type processes of its own.

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
        self._known.refuse_known(task_type)
        try:
            checked, callbacks = check_options(options)
            made = make_processor(task_type, processor, checked, callbacks)
            made = msgspec.structs.replace(
                made, unique=unique_rule(options), limit_key=options.get("limit_key")
            )
            own = {name: value for name, value in options.items() if name in PROCESS_OPTIONS}
            self._pools.put(task_type, options.get("pool"), own, is_async=made.spec.is_async)
        except ConfigurationError as error:
            told = str(error)
            named = (
                told if told.startswith("the processor of ") else f"the processor of {task_type!r}: {told}"
            )
            raise ConfigurationError(named) from None
        self._processors.add(made)
        kind = TaskHandler if decoded_argument(made) is None else FunctionHandler
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

    @overload
    def declare(self, task_type: str) -> TaskHandler[..., NoReturn]: ...
    @overload
    def declare(self, task_type: str, *, payload: type[PayloadT]) -> Handler[PayloadT]: ...
    @overload
    def declare(self, task_type: str, *, payload: Any) -> Handler[Any]: ...
    def declare(self, task_type: str, *, payload: Any = Any) -> Handler[Any]:
        """Name a type that runs elsewhere, in another app or in Go, and return a handler that only enqueues.

        Args:
            task_type: the type of its tasks.
            payload: the type of its payloads, as in a handler's annotation; any, if you give none.

        Raises:
            ConfigurationError: the type is known already, or no payload of this type can come from JSON.
        """
        check_name("type", task_type)
        self._known.declare(task_type, payload)
        return (TaskHandler if payload is Any else Handler)(self, task_type)

    def include(self, other: Registry) -> None:
        """Take the processors, pools, jobs and declarations of another registry; its handlers enqueue here then.

        Args:
            other: the registry of a part of the app, without a database, a service name or a function of its own.
                From now on it has the queues and the types of this one, and what is registered there later is here too.

        Raises:
            ConfigurationError: both have the same type, pool or job, and the message names both; or `other` is no
                registry, is included already, or has an option of a whole app. Then nothing is taken.
        """
        if not isinstance(other, Registry):
            raise ConfigurationError(f"include takes a goque.Registry, not {other!r:.80}")
        if other._processors is self._processors or other._is_included:
            which = "one that is included already" if other._is_included else "itself"
            raise ConfigurationError(f"a registry cannot include {which}; include each part of an app once")
        for name in ("database_url", "service_name", "version", "on_failure"):
            if getattr(other, name) is not None:
                raise ConfigurationError(
                    f"the included registry has {name}, which belongs to the whole app; give it to the including one"
                )
        self._known.refuse_overlap(other._known)
        self._pools.refuse_overlap(other._pools)
        self._jobs.refuse_overlap(other._jobs)
        self._known.take(other._known)
        self._pools.take(other._pools)
        self._jobs.take(other._jobs)
        other._become_part_of(self)
        self._parts.append(other)

    def _become_part_of(self, whole: Registry) -> None:
        """Share the tables and the queues of another registry, so that what is registered here later is there too."""
        self._is_included = True
        self._processors, self._known = whole._processors, whole._known
        self._pools, self._jobs, self._queues = whole._pools, whole._jobs, whole._queues
        for part in self._parts:
            part._become_part_of(whole)  # noqa: SLF001 - of its own class

    @property
    def queue(self) -> TaskQueueManager:
        """A manager for this registry's database; each process opens it at its first use."""
        return self._queues.plain

    @property
    def async_queue(self) -> AsyncTaskQueueManager:
        """The same for asyncio, with its own connections."""
        return self._queues.awaited

    async def aclose(self) -> None:
        """Close the queues of this process, after their background adds; a later use opens new ones."""
        await self._queues.aclose()

    @property
    def task_types(self) -> list[str]:
        """The types that have a processor, in the order in which they were added."""
        return self._processors.task_types

    def _use_database(self, url: str | None) -> str | None:
        """Use the database at this URL from now on; None for the one of the settings. For tests.

        Open queues are closed, after their background adds.

        Returns: the URL that this method was given before.
        """
        return self._queues.use_database(url)

    def _find_database(self) -> Any:
        """Return the URL, or the storage, of `queue`, for its first use in a process."""
        return resolve_database_url(registry_url=self.database_url)

    def _find_async_database(self) -> str:
        """Return the URL of `async_queue`, for its first use in a process."""
        return resolve_database_url(registry_url=self.database_url)

    def prepare_tasks(self, tasks: Sequence[Task]) -> None:
        """Refuse tasks of which one is known to be wrong, and complete them by the options of their types.

        `queue` and `async_queue` call it. A payload whose class is the one that the handler's annotation names is
        taken as it is. Any other is decoded from its JSON text, as in a worker. A registry that is not strict refuses
        neither types nor payloads.

        Raises:
            UnknownTypeError: a type has no processor here, and is not declared.
            InvalidPayloadFormatError: a payload does not decode; the message has the path of the field.
            ConfigurationError: the `unique_key` or `limit_key` of a processor fails for a payload.
        """
        if self.strict:
            self._known.check(tasks)
        for task in tasks:
            task.apply_default_priority(self.default_priority(task.type))
            self._known.complete(task)

    def default_priority(self, task_type: str) -> int:
        """Return the default priority of a type: that of its processor, or 0."""
        return self._processors.default_priority(task_type)
