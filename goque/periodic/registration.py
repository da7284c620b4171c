"""What a registry offers for periodic jobs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from goque.periodic.table import JobTable, name_of_job

if TYPE_CHECKING:
    from goque.periodic.jobs import Misfire, PeriodicJob, Schedule
    from goque.task import Task

FactoryT = TypeVar("FactoryT", bound="Callable[..., Task]")


class RegistersJobs:
    """The part of `goque.Registry` that registers periodic jobs."""

    _jobs: JobTable

    def add_periodic_job(self, job: PeriodicJob) -> None:
        """Register a periodic job.

        Raises:
            ConfigurationError: it is no PeriodicJob, or a job of this name is registered already.
        """
        self._jobs.put(job)

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
            job_name = name_of_job(name, factory)
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
            job_name = name_of_job(name, factory)
            self.add_periodic_job(cron_job(job_name, spec, factory, tz, run_on_start, misfire, jitter))
            return factory

        return register

    def get_job(self, name: str) -> PeriodicJob:
        """Return the periodic job of this name.

        Raises:
            ConfigurationError: there is no such job.
        """
        return self._jobs.get(name)

    @property
    def jobs(self) -> list[PeriodicJob]:
        """The periodic jobs, in the order in which they were added."""
        return self._jobs.all()
