"""The periodic jobs of a registry."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from goque.errors import ConfigurationError

if TYPE_CHECKING:
    from goque.periodic.jobs import PeriodicJob


class JobTable:
    """The periodic jobs of one registry by name, in the order in which they were added."""

    def __init__(self) -> None:
        self._by_name: dict[str, PeriodicJob] = {}

    def put(self, job: PeriodicJob) -> None:
        """Add a job.

        Raises:
            ConfigurationError: it is no PeriodicJob, or a job of this name is there already.
        """
        from goque.periodic.jobs import PeriodicJob  # noqa: PLC0415 - most registries have no jobs

        if not isinstance(job, PeriodicJob):
            raise ConfigurationError(
                f"a periodic job is a goque.PeriodicJob or goque.cron_job(…), not {job!r:.80}"
            )
        if job.name in self._by_name:
            raise ConfigurationError(f"a periodic job is called {job.name!r} already; give each its own name")
        self._by_name[job.name] = job

    def get(self, name: str) -> PeriodicJob:
        """Return the job of this name.

        Raises:
            ConfigurationError: there is no such job.
        """
        try:
            return self._by_name[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._by_name, n=1)
            known = ", ".join(self._by_name) or "none at all"
            hint = f"did you mean {near[0]!r}?" if near else f"there is {known}"
            raise ConfigurationError(f"no periodic job is called {name!r:.210}; {hint}") from None

    def all(self) -> list[PeriodicJob]:
        """Return the jobs."""
        return list(self._by_name.values())

    def refuse_overlap(self, other: JobTable) -> None:
        """Raise ConfigurationError, naming both, if two registries have a job of one name."""
        for name, job in other._by_name.items():
            if mine := self._by_name.get(name):
                raise ConfigurationError(
                    f"periodic job {name!r} is in both registries: its factory is {_name_of(mine.factory)} in the "
                    f"including one, and {_name_of(job.factory)} in the included one; rename one"
                )

    def take(self, other: JobTable) -> None:
        """Take the jobs of another registry."""
        self._by_name |= other._by_name


def name_of_job(name: str | None, factory: Callable[..., Any]) -> str:
    """Return the given name, or the name of the factory.

    Raises:
        ConfigurationError: there is neither.
    """
    own = getattr(factory, "__name__", "<lambda>") if name is None else name
    if own == "<lambda>":
        raise ConfigurationError(
            "the function of this periodic job has no name; give the job a name: name='nightly'"
        )
    return own


def _name_of(factory: Any) -> str:
    return f"{getattr(factory, '__module__', '?')}.{getattr(factory, '__qualname__', type(factory).__qualname__)}"
