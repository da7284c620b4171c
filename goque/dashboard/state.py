"""What the pages of one dashboard share."""

from __future__ import annotations

from dataclasses import dataclass, field

from starlette.requests import Request

from goque.dashboard.bulk import Bulk
from goque.dashboard.history import History
from goque.registry import Registry
from goque.storage import TaskStorage


@dataclass(frozen=True)
class Viewer:
    """The person who sent a request: a name for the audit, and whether they may act."""

    name: str
    may_act: bool


@dataclass
class Dashboard:
    """A queue to look at.

    Attributes:
        storage: for pages and actions.
        history: what is known of the last hour.
        registry: the app's, None where only its database was named.
        bulk: the moves of many tasks that are under way.
    """

    storage: TaskStorage
    history: History
    registry: Registry | None
    bulk: Bulk
    _has_schema: bool = field(default=False)

    def close(self) -> None:
        """End what goes on in the background, and close every connection."""
        self.bulk.close()
        self.history.close()
        self.storage.close()

    def ready_storage(self) -> TaskStorage:
        """Return the storage, its schema checked once."""
        if not self._has_schema:
            self.storage.require_schema()
            self._has_schema = True
        return self.storage


def dashboard_of(request: Request) -> Dashboard:
    """Return the dashboard that a request is for."""
    dashboard: Dashboard = request.app.state.dashboard
    return dashboard


def viewer_of(request: Request) -> Viewer:
    """Return who asks; the gate has let them in."""
    viewer: Viewer = request.state.viewer
    return viewer
