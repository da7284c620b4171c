"""What the pages of one dashboard share."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from goque.dashboard.bulk import Bulk
from goque.dashboard.flow_reader import FlowReader
from goque.dashboard.limit_reader import LimitReader
from goque.dashboard.readings.group_lines import GroupLines
from goque.dashboard.readings.history import History
from goque.dashboard.readings.past import Past
from goque.dashboard.readings.status_counts import StatusCountReader
from goque.registry import Registry
from goque.storage import TaskStorage


@dataclass(frozen=True)
class Viewer:
    """The person who sent a request: a name for the audit, and whether they may act."""

    name: str
    may_act: bool


@dataclass
class Dashboard:
    """The state of a dashboard.

    Attributes:
        storage: for pages and actions.
        history: the last hour of the queue.
        registry: the app's registry, None if only the database is known.
        bulk: the running bulk action.
        limits: how limits are used.
        flows: the flows that somebody looks at.
        counts: how many tasks are in each status.
        past: what was run in the last days.
        group_lines: the lines of code of groups of failures.
    """

    storage: TaskStorage
    history: History
    registry: Registry | None
    bulk: Bulk
    limits: LimitReader
    flows: FlowReader
    counts: StatusCountReader
    past: Past
    group_lines: GroupLines
    _has_schema: bool = field(default=False)

    def close(self) -> None:
        """Stop the background threads, and close every connection."""
        self.bulk.close()
        self.history.close()
        self.storage.close()

    def ready_storage(self) -> TaskStorage:
        """Return the storage; the first call checks its schema."""
        if not self._has_schema:
            self.storage.require_schema()
            self._has_schema = True
        return self.storage


def dashboard_of(request: Request) -> Dashboard:
    """Return the dashboard of a request."""
    dashboard: Dashboard = request.app.state.dashboard
    return dashboard


def viewer_of(request: Request) -> Viewer:
    """Return the viewer of a request, whom the gate has let in."""
    viewer: Viewer = request.state.viewer
    return viewer
