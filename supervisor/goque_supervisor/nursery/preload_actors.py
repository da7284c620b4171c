"""What the actors' nursery imports before it forks anything. It is without the app's part: each module costs memory."""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from typing import Any

from goque.config import resolve_database_url
from goque.errors import ConfigurationError
from goque.storage import import_backend
from goque_supervisor.nursery.child_main import LOOPS
from goque_supervisor.settings import SuperviseOptions


def import_actors(options: SuperviseOptions) -> dict[str, Any]:
    """Import the loops of goque's own processes, and the backend if it is known without the app."""
    os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # for the app's metrics; goque's own are in counters
    sometimes = {"monitor": options.has_monitor, "reloader": options.reload}
    for role in (
        "lease",
        "fetcher",
        "healer",
        "cleaner",
        *(role for role, runs in sometimes.items() if runs),
    ):
        importlib.import_module(LOOPS[role])
    with suppress(
        ConfigurationError
    ):  # importing the app raises the same error, and the root gets it from there
        import_backend(resolve_database_url(options.database_url))
    return {}
