"""The page of one task: where it stands, what happens next, and what has happened to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from goque.dashboard.plans import CANCELABLE, RESETTABLE
from goque.dashboard.render import page
from goque.dashboard.state import dashboard_of
from goque.dashboard.steps.view import read_steps
from goque.describe.limit_words import shown_key
from goque.describe.need_words import describe_need_counts, has_links, more_than
from goque.describe.step_words import is_endless
from goque.describe.task_state import describe_claims, describe_next, may_be_held_back
from goque.errors import TaskNotFoundError
from goque.identifiers import is_task_id
from goque.task_row import TaskStatus
from goque.task_rules.limits import NO_KEY

MAX_ATTEMPTS: Final = 20
MAX_LINKED: Final = 10
UNCLAIMED: Final = frozenset({TaskStatus.NEW, TaskStatus.ERROR})


def task_page(request: Request) -> Response:
    """Show one task and its history."""
    dashboard = dashboard_of(request)
    task_id = request.path_params["task_id"].lower()
    storage = dashboard.ready_storage()
    row = storage.get_task(task_id) if is_task_id(task_id) else None
    if row is None:
        raise TaskNotFoundError(task_id[:80])
    recorded = storage.attempts(row.id)
    attempts = [one for one in reversed(recorded) if not one.failed.went_well]
    policy = storage.type_policies().get(row.type)
    nodes = {node.id: node for node in storage.recent_nodes()}
    node = nodes.get(row.claimed_by or "")
    now = datetime.now(UTC)
    is_limited = policy and may_be_held_back(row, policy, now)
    load = storage.limit_load(policy, row.limit_key or NO_KEY) if policy and is_limited else None
    links = storage.links_of(row.id, most=MAX_LINKED) if has_links(row) else None
    steps = read_steps(storage, row, recorded, now)
    # a reset is refused until that one runs again; what failed comes first
    failed_need = next((one for one in links.needs if one.state == "failed"), None) if links else None
    return page(
        request,
        "task.html",
        row=row,
        shown_key=shown_key,
        has_metadata=row.metadata not in (None, b"{}"),
        policy=policy,
        claims=describe_claims(row, node),
        node=node,
        nodes=nodes,
        follows=describe_next(row, policy, node, now, load, links=links, pause=steps.pause),
        steps=steps,
        waits_for_a_signal=row.status in UNCLAIMED and is_endless(row.next_attempt_at, now),
        links=links,
        need_counts=describe_need_counts(links) if links else "",
        more_needs=more_than(links.needs, sum(links.need_counts.values())) if links else 0,
        more_dependents=more_than(links.dependents, links.dependent_count) if links else 0,
        attempts=attempts[:MAX_ATTEMPTS],
        more_attempts=len(attempts) - MAX_ATTEMPTS,
        can_cancel=row.status in CANCELABLE,
        runs=row.status == TaskStatus.PROCESSING and row.claimed_by is not None,
        can_reset=row.status in RESETTABLE and not row.claimed_by and not failed_need,
        failed_need=failed_need,
    )
