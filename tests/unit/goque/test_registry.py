"""The registry: one processor a type, one job a name."""

from __future__ import annotations

import asyncio
from typing import Any

import dill
import pytest

from goque import ConfigurationError, Registry, Task, cron_job, noop_task_processor
from goque.handlers.processor_table import processors_of
from goque.pools.table import pools_of


def job(name: str = "nightly") -> Any:
    return cron_job(name, "0 3 * * *", lambda: Task("report"))


def test_processors_and_jobs_keep_their_order() -> None:
    registry = Registry()
    for name in ("b", "a", "c"):
        registry.add_processor(name, noop_task_processor, workers=2)
        registry.add_periodic_job(job(name))
    assert registry.task_types == ["b", "a", "c"]
    assert [spec.type for spec in processors_of(registry).specs()] == ["b", "a", "c"]
    assert [one.name for one in registry.jobs] == ["b", "a", "c"]
    assert [(pool.name, pool.options.workers) for pool in pools_of(registry).specs()] == [
        ("b", 2),
        ("a", 2),
        ("c", 2),
    ]


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    registry = Registry()

    @registry.processor("double", workers=1)
    def double(number: int) -> int:
        return 2 * number

    assert double(21) == 42
    assert processors_of(registry).get("double").call is double.__wrapped__


def test_a_second_processor_or_job_of_the_same_name_is_refused() -> None:
    registry = Registry()
    registry.add_processor("t", noop_task_processor)
    registry.add_periodic_job(job())
    with pytest.raises(
        ConfigurationError,
        match=r"type 't' has a processor, goque\.handlers\.processor\.noop_task_processor, already",
    ):
        registry.add_processor("t", noop_task_processor)
    with pytest.raises(ConfigurationError, match="'nightly' already"):
        registry.add_periodic_job(job())


@pytest.mark.parametrize("task_type", ["", "x" * 256, "a\nb", "\ud800", 5, None])
def test_a_type_that_no_database_keeps_is_refused(task_type: Any) -> None:
    with pytest.raises(ConfigurationError, match="type"):
        Registry().add_processor(task_type, noop_task_processor)


@pytest.mark.parametrize("task_type", ["x" * 255, "Zahlung 💶", "'; DROP TABLE goque_task --"])
def test_any_printable_type_is_fine(task_type: str) -> None:
    registry = Registry()
    registry.add_processor(task_type, noop_task_processor)
    assert registry.task_types == [task_type]


def test_a_wrong_option_is_refused_at_registration() -> None:
    with pytest.raises(ConfigurationError, match="workers must be a whole number"):
        Registry().add_processor("t", noop_task_processor, workers=0)


def test_a_refused_processor_is_not_registered() -> None:
    registry = Registry()
    with pytest.raises(ConfigurationError):
        registry.add_processor("t", None)
    assert registry.task_types == []


@pytest.mark.parametrize("wrong", [None, "nightly", lambda: Task("t")])
def test_only_periodic_jobs_are_periodic_jobs(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="a periodic job is"):
        Registry().add_periodic_job(wrong)


def test_a_type_without_a_processor_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no processor is registered for type 'nosuch'"):
        processors_of(Registry()).get("nosuch")


@pytest.mark.parametrize(
    "arguments", [{"database_url": 5}, {"service_name": b"x"}, {"version": 1.0}, {"version": ""}]
)
def test_a_url_or_name_that_is_no_text_is_refused(arguments: Any) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(arguments))):
        Registry(**arguments)


def test_its_queue_uses_the_registrys_database_and_priorities(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOQUE_DATABASE_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    registry = Registry(database_url=f"sqlite:///{tmp_path}/own.db")
    registry.add_processor("urgent", noop_task_processor, priority=50)
    registry.declare("other")
    with registry.queue as queue:
        assert queue.enqueue("urgent").priority == 50
        assert queue.enqueue("urgent", priority=-1).priority == -1
        assert queue.enqueue("urgent", priority=0).priority == 0
        assert queue.add_task(Task("urgent")).priority == 50
        assert queue.add_tasks([Task("urgent", priority=0), Task("urgent", priority=5)])[1].priority == 5
        assert queue.enqueue("other").priority == 0

    async def scenario() -> int:
        async with registry.async_queue as queue:
            return (await queue.enqueue("urgent")).priority

    assert asyncio.run(scenario()) == 50
    assert (tmp_path / "own.db").exists()
    assert dill.loads(dill.dumps(registry)).task_types == ["urgent"]


def test_a_decorator_without_its_type_says_how_to_write_it() -> None:
    registry: Any = Registry()
    with pytest.raises(
        ConfigurationError, match=r"write @registry\.processor\('send_email'\) above send_email"
    ):

        @registry.processor
        def send_email(task: Task) -> None:
            raise AssertionError

    assert registry.task_types == []


def test_on_failure_is_a_plain_function_of_one_failure():
    assert Registry(on_failure=print).on_failure is print
    assert Registry().on_failure is None

    async def awaited(failure): ...

    for wrong in (3, lambda: None, awaited):
        with pytest.raises(ConfigurationError, match="on_failure"):
            Registry(on_failure=wrong)
