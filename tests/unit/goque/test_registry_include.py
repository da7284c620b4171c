"""An app split over modules: a registry takes what others have."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import dill
import msgspec
import pytest

from goque import (
    ConfigurationError,
    Registry,
    Task,
    TypedTask,
    UnknownTypeError,
    cron_job,
    noop_task_processor,
)
from goque.contrib.django.projects import DjangoRegistry
from goque.handlers.processor_table import processors_of
from goque.pools.table import pools_of


class Email(msgspec.Struct):
    to: str


def make_report() -> Task:
    return Task("report")


def make_mails() -> tuple[Registry, Any]:
    """Return a part of an app, and a handler of it."""
    mails = Registry()
    mails.pool("mail", workers=3)
    mails.declare("send_sms", payload=Email)
    mails.add_periodic_job(cron_job("nightly", "0 3 * * *", make_report))

    @mails.processor("send_email", pool="mail", priority=7)
    def send_email(task: TypedTask[Email]) -> None: ...

    mails.add_processor("report", noop_task_processor, workers=2)
    return mails, send_email


def test_everything_is_there_after_an_include(tmp_path: Path) -> None:
    mails, send_email = make_mails()
    app = Registry(f"sqlite:///{tmp_path}/app.db")
    app.add_processor("own", noop_task_processor)
    app.include(mails)
    assert app.task_types == ["own", "send_email", "report"]
    assert [(pool.name, pool.options.workers) for pool in pools_of(app).specs()][1:] == [
        ("mail", 3),
        ("report", 2),
    ]
    assert [job.name for job in app.jobs] == ["nightly"]
    assert app.get_job("nightly").factory is make_report
    assert app.queue.enqueue("send_sms", Email("a")).type == "send_sms"
    assert app.default_priority("send_email") == 7

    assert mails.queue is app.queue
    assert mails.async_queue is app.async_queue
    assert send_email.enqueue(Email("a")).priority == 7
    assert len(app.queue.get_tasks()) == 2
    asyncio.run(mails.aclose())
    assert (tmp_path / "app.db").exists()


def test_what_a_part_registers_later_is_in_the_whole_and_so_are_parts_of_parts() -> None:
    app, mails, letters = Registry(), Registry(), Registry()
    mails.include(letters)
    app.include(mails)
    letters.add_processor("late", noop_task_processor, pool="slow")
    letters.pool("slow", workers=1)
    letters.add_periodic_job(cron_job("nightly", "@daily", make_report))
    mails.declare("declared")
    assert app.task_types == ["late"]
    assert [pool.name for pool in pools_of(app).specs()] == ["slow"]
    assert app.get_job("nightly")
    app.prepare_tasks([Task("late"), Task("declared")])
    with pytest.raises(ConfigurationError, match="'late' has a processor"):
        app.add_processor("late", noop_task_processor)


def test_an_included_registry_can_be_sent_to_another_process() -> None:
    mails, send_email = make_mails()
    app = Registry()
    app.include(mails)
    copy = dill.loads(dill.dumps(app, recurse=True))
    assert copy.task_types == ["send_email", "report"]
    handler = dill.loads(dill.dumps(send_email, recurse=True))
    assert handler.type == "send_email"


def other_noop(task: Task) -> None: ...


def overlapping(what: str) -> Registry:
    part = Registry()
    match what:
        case "type":
            part.add_processor("t", other_noop)
        case "declaration":
            part.declare("t")
        case "declared here":
            part.add_processor("declared", other_noop)
        case "pool":
            part.pool("p", workers=5)
        case "job":
            part.add_periodic_job(cron_job("j", "@daily", lambda: Task("t")))
    part.add_processor("innocent", noop_task_processor)
    return part


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (
            "type",
            (
                r"type 't' has a processor, goque\.handlers\.processor\.noop_task_processor, .*"
                r", and has a processor, .*\.other_n"
            ),
        ),
        (
            "declaration",
            r"type 't' has a processor, .*, in the including registry, and is declared in the included",
        ),
        (
            "declared here",
            r"type 'declared' is declared in the including registry, and has a processor, .*other_noop",
        ),
        (
            "pool",
            r"pool 'p' is declared by both registries: workers=4 in the including one, and workers=5 in the incl",
        ),
        (
            "job",
            r"periodic job 'j' is in both registries: its factory is .*make_report in .* and .*<lambda> in the",
        ),
    ],
)
def test_what_both_have_is_refused_naming_both_and_nothing_is_taken(what: str, told: str) -> None:
    app, part = Registry(), overlapping(what)
    app.add_processor("t", noop_task_processor)
    app.declare("declared")
    app.pool("p", workers=4)
    app.add_periodic_job(cron_job("j", "@daily", make_report))
    with pytest.raises(ConfigurationError, match=told) as refusal:
        app.include(part)
    assert "\n" not in str(refusal.value)
    assert app.task_types == ["t"]
    assert part.queue is not app.queue


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"database_url": "sqlite:///a.db"}, "database_url"),
        ({"service_name": "shop"}, "service_name"),
        ({"version": "1.0"}, "version"),
        ({"on_failure": print}, "on_failure"),
    ],
)
def test_a_part_has_no_options_of_an_app(options: Any, named: str) -> None:
    with pytest.raises(
        ConfigurationError, match=f"the included registry has {named}, which belongs to the whole app"
    ):
        Registry().include(Registry(**options))


def test_a_registry_is_included_once_and_not_in_itself() -> None:
    app, part = Registry(), Registry()
    app.include(part)
    for again in (app, Registry(), part):
        with pytest.raises(ConfigurationError, match="cannot include"):
            again.include(part)
    with pytest.raises(ConfigurationError, match="cannot include"):
        part.include(app)
    wrong: Any = "shop.mails:registry"
    with pytest.raises(
        ConfigurationError, match=r"include takes a goque\.Registry, not 'shop\.mails:registry'"
    ):
        app.include(wrong)


def test_the_including_registry_decides_what_is_strict() -> None:
    app, part = Registry(), Registry(strict=False)
    app.include(part)
    with pytest.raises(UnknownTypeError):
        part.queue.enqueue("nosuch")


def test_a_django_project_looks_after_connections_for_included_handlers_too() -> None:
    async def fetch(task: Task) -> None: ...

    project, part = DjangoRegistry(), Registry()
    part.add_processor("plain", noop_task_processor)
    part.add_processor("async", fetch)
    project.include(part)
    part.add_processor("late", noop_task_processor)
    table = processors_of(project)
    for name in ("plain", "late"):
        assert len(table.get(name).callbacks.hooks_before) == len(table.get(name).callbacks.hooks_after) == 1
    assert table.get("async").call is not fetch
