"""The actions of the dashboard: each has a confirmation page, is carried out, and is logged."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from goque.dashboard.access import cookie, csrf_of, forges
from goque.dashboard.failures.plans import plan_cancel_group, plan_reset_group
from goque.dashboard.flow_plans import plan_cancel_flow
from goque.dashboard.limit_plans import plan_clear_limits, plan_set_limits
from goque.dashboard.login import BadFormError, read_form
from goque.dashboard.plans import CANCELABLE, RESETTABLE, BadFieldError, Params, Plan, name_in
from goque.dashboard.queries import BadQueryError, Query, in_words, read_query
from goque.dashboard.render import SAID_COOKIE, page, prefix_of
from goque.dashboard.state import Dashboard, dashboard_of, viewer_of
from goque.dashboard.tasks.task_plans import (
    plan_cancel,
    plan_cancel_some,
    plan_copy,
    plan_reset,
    plan_reset_some,
)
from goque.describe.status_words import explain_words
from goque.periodic.jobs import PeriodicJob
from goque.periodic.slot_tasks import task_by_hand
from goque.storage.resets import reset_or_blocked
from goque.task_row import TaskStatus

log = logging.getLogger("goque.dashboard")


def plan_cancel_all(dashboard: Dashboard, params: Params) -> Plan:
    """Cancel all tasks of a search."""
    query = _query(params, CANCELABLE, "canceled")
    what = f"cancel all tasks {in_words(query.search)}"
    note = f"{_how_many(dashboard, query)} They do not run again unless you reset them. Running handlers are stopped."
    note += " The Go library does not notice when a task is canceled that it runs."

    def act(who: str) -> str:
        dashboard.bulk.start(
            what, dashboard.storage, query.search, dashboard.storage.cancel_unless_finished, who
        )
        return f"began to {what}"

    return Plan("Cancel all of these?", note, "Cancel all", f"/tasks?{query.link()}", act, is_grave=True)


def plan_reset_all(dashboard: Dashboard, params: Params) -> Plan:
    """Reset all tasks of a search."""
    query = _query(params, RESETTABLE, "reset")
    what = f"reset all tasks {in_words(query.search)}"
    note = f"{_how_many(dashboard, query)} They wait again, without failed attempts, and are due at once."
    note += " The steps that they have recorded are deleted; goque reset --keep-steps keeps them."

    def act(who: str) -> str:
        dashboard.bulk.start(
            what,
            dashboard.storage,
            query.search,
            partial(reset_or_blocked, dashboard.storage),
            who,
            is_reset=True,
        )
        return f"began to {what}"

    grave = TaskStatus.DONE in query.search.statuses
    return Plan("Reset all of these?", note, "Reset all", f"/tasks?{query.link()}", act, is_grave=grave)


def plan_stop_all(dashboard: Dashboard, params: Params) -> Plan:
    """Stop the running bulk action."""
    del params
    progress = dashboard.bulk.progress()
    if progress is None or progress.is_over:
        raise BadQueryError("no bulk action is running")

    def act(_who: str) -> str:
        dashboard.bulk.stop()
        return f"stopped: {progress.what}"

    note = f"Running: {progress.what}. Tasks that are already changed stay changed."
    return Plan("Stop here?", note, "Stop", "/tasks", act)


def plan_pause(dashboard: Dashboard, params: Params) -> Plan:
    """Pause a type."""
    name = name_in(params, "type")

    def act(_who: str) -> str:
        return (
            f"paused type {name}" if dashboard.storage.pause_type(name) else f"type {name} was paused already"
        )

    note = "No node claims tasks of this type any more. Running tasks go on, and new tasks wait."
    return Plan(f"Pause {name}?", note, "Pause", "/types", act)


def plan_resume(dashboard: Dashboard, params: Params) -> Plan:
    """Resume a type."""
    name = name_in(params, "type")

    def act(_who: str) -> str:
        return (
            f"resumed type {name}" if dashboard.storage.resume_type(name) else f"type {name} was not paused"
        )

    return Plan(f"Resume {name}?", "Every node claims tasks of this type again.", "Resume", "/types", act)


def plan_run_job(dashboard: Dashboard, params: Params) -> Plan:
    """Enqueue a task of a periodic job."""
    job = _job(dashboard, params)
    registry = dashboard.registry
    assert registry is not None

    def act(_who: str) -> str:
        task = task_by_hand(job, datetime.now(UTC))
        registry.prepare_tasks([task])
        there = dashboard.storage.insert_task(task)
        return f"enqueued task {there.id} of job {job.name}"

    note = "One task is enqueued now, in addition to its schedule, also if the job is paused."
    return Plan(f"Run {job.name} now?", note, "Run it", "/jobs", act)


def plan_pause_job(dashboard: Dashboard, params: Params) -> Plan:
    """Pause a periodic job."""
    job = _job(dashboard, params)

    def act(_who: str) -> str:
        paused = dashboard.storage.pause_job(job.name, datetime.now(UTC))
        return f"paused job {job.name}" if paused else f"job {job.name} was paused already"

    note = "No scheduler enqueues it any more. Slots that pass while it is paused do not run later."
    return Plan(f"Pause job {job.name}?", note, "Pause", "/jobs", act)


def plan_resume_job(dashboard: Dashboard, params: Params) -> Plan:
    """Resume a periodic job."""
    job = _job(dashboard, params)

    def act(_who: str) -> str:
        resumed = dashboard.storage.resume_job(job.name, datetime.now(UTC))
        return f"resumed job {job.name}" if resumed else f"job {job.name} was not paused"

    return Plan(f"Resume job {job.name}?", "It resumes with its next slot.", "Resume", "/jobs", act)


PLANS: Final[Mapping[str, Callable[[Dashboard, Params], Plan]]] = {
    "cancel": plan_cancel,
    "reset": plan_reset,
    "copy": plan_copy,
    "cancel-some": plan_cancel_some,
    "reset-some": plan_reset_some,
    "cancel-all": plan_cancel_all,
    "cancel-flow": plan_cancel_flow,
    "cancel-group": plan_cancel_group,
    "reset-group": plan_reset_group,
    "reset-all": plan_reset_all,
    "stop-all": plan_stop_all,
    "pause": plan_pause,
    "resume": plan_resume,
    "set-limits": plan_set_limits,
    "clear-limits": plan_clear_limits,
    "run-job": plan_run_job,
    "pause-job": plan_pause_job,
    "resume-job": plan_resume_job,
}


async def act(request: Request) -> Response:
    """Show the confirmation (GET), or carry out the action (POST)."""
    make = PLANS.get(request.path_params["action"])
    if make is None:
        raise HTTPException(404)
    viewer, dashboard = viewer_of(request), dashboard_of(request)
    if not viewer.may_act:
        return page(
            request,
            "message.html",
            403,
            title="Read-only",
            text="This page is read-only. docs/dashboard.md says how to allow actions.",
        )
    if request.method != "POST":
        params = dict(request.query_params) | {"query": request.query_params.get("query", "")}
        if request.path_params["action"].endswith("-some"):
            params["ids"] = " ".join(request.query_params.getlist("id"))
        plan = await run_in_threadpool(_make, make, dashboard, params)
        return _ask(request, plan, params)
    form = await read_form(request)
    why = forges(request, form)
    if why is not None:
        raise BadFormError(f"this form is refused: {why}; load the page again")
    return await run_in_threadpool(_do, request, make, form)


def _make(make: Callable[[Dashboard, Params], Plan], dashboard: Dashboard, params: Params) -> Plan:
    dashboard.ready_storage()
    return make(dashboard, params)


def _ask(request: Request, plan: Plan, params: Params, status: int = 200, problem: str = "") -> Response:
    """Show the confirmation of an action; its hidden fields name the object, and `plan.fields` are filled in."""
    own = {"csrf", *(field.name for field in plan.fields), *(f"was_{field.name}" for field in plan.fields)}
    kept = {name: value for name, value in params.items() if name not in own}
    values = {
        "title": plan.title,
        "plan": plan,
        "params": kept,
        "token": csrf_of(request),
        "problem": problem,
    }
    return page(request, "confirm.html", status, **values)


def _do(request: Request, make: Callable[[Dashboard, Params], Plan], form: Params) -> Response:
    viewer, dashboard = viewer_of(request), dashboard_of(request)
    plan = _make(make, dashboard, form)
    try:
        said = plan.act(viewer.name)
    except BadFieldError as error:
        return _ask(request, plan, form, 400, str(error))
    client = request.client.host if request.client else ""
    log.info("%s: %s", viewer.name, said, extra={"viewer": viewer.name, "client": client})
    dashboard.history.look_again()
    dashboard.counts.forget()
    answer = RedirectResponse(f"{prefix_of(request)}{plan.then or plan.back}", 303)
    text = base64.urlsafe_b64encode(said.encode("utf-8", "backslashreplace")[:1500]).decode()
    answer.headers.append("set-cookie", cookie(request, SAID_COOKIE, text, age=60))
    return answer


def _query(params: Params, allowed: frozenset[TaskStatus], done: str) -> Query:
    query = read_query(ImmutableMultiDict(parse_qsl(params.get("query", ""))), datetime.now(UTC))
    if not query.search.statuses or not allowed.issuperset(query.search.statuses):
        raise BadQueryError(f"choose statuses whose tasks can be {done}: {explain_words(allowed)}")
    return query


def _how_many(dashboard: Dashboard, query: Query) -> str:
    found = dashboard.storage.search_tasks(query.search, limit=1000)
    some = f"{len(found.lines):,} {'task' if len(found.lines) == 1 else 'tasks'}"
    return f"{'At least ' if found.before else ''}{some}: all {in_words(query.search)}."


def _job(dashboard: Dashboard, params: Params) -> PeriodicJob:
    if dashboard.registry is None:
        raise BadQueryError(
            "this dashboard has no app; start it with one, such as `goque dashboard app:registry`"
        )
    return dashboard.registry.get_job(name_in(params, "name"))


def link(action: str, **params: str) -> str:
    """Return the path of an action's confirmation, under the dashboard's prefix."""
    return f"/do/{action}?{urlencode(params)}"
