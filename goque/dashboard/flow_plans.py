"""The actions on a flow."""

from __future__ import annotations

from goque.dashboard.plans import Params, Plan, name_in
from goque.dashboard.state import Dashboard
from goque.task_row import TERMINAL_STATUSES


def plan_cancel_flow(dashboard: Dashboard, params: Params) -> Plan:
    """Cancel all tasks of a flow that have not ended."""
    flow_id = name_in(params, "id").lower()[:80]
    seen = dashboard.storage.flow_overview(flow_id)

    def act(_who: str) -> str:
        canceled = dashboard.storage.cancel_flow(seen.id)
        dashboard.flows.forget()
        if not canceled:
            return f"all tasks of flow {seen.id} had ended before"
        return f"canceled {canceled:,} {'task' if canceled == 1 else 'tasks'} of flow {seen.id}"

    number = sum(count for status, count in seen.by_status.items() if status not in TERMINAL_STATUSES)
    have = "task has" if number == 1 else "tasks have"
    note = (
        f"{number:,} of its {seen.total:,} {have} not ended, and will not run again unless you reset them. "
        "Running handlers are stopped as by a timeout. Tasks that have ended stay as they are."
    )
    return Plan(f"Cancel flow {seen.name}?", note, "Cancel the flow", f"/flows/{seen.id}", act, is_grave=True)
