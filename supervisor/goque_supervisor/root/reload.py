"""A reload: import the app anew beside the old one, then move the tree over to the new import."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from goque_supervisor.root.pools.pool_groups import PoolGroups
from goque_supervisor.root.services import Services
from goque_supervisor.root.tree import build_tree
from goque_supervisor.settings import SuperviseOptions

log = logging.getLogger("goque.supervisor")


class Importer(Protocol):
    """Imports the app anew; the nurseries do."""

    def reload(self) -> None:
        """Begin an import; its end is reported to `Reload.finish`."""


class Reload:
    """Moves the tree over to a new import of the app; each pool group replaces its own workers, one by one."""

    def __init__(
        self, options: SuperviseOptions, importer: Importer, groups: PoolGroups, services: Services
    ) -> None:
        self._options = options
        self._importer = importer
        self._groups = groups
        self._services = services

    def begin(self, why: str) -> None:
        """Import the app anew; the old one runs until the new one is there."""
        log.info("%s: importing the app again", why)
        self._importer.reload()

    def finish(self, app: dict[str, Any], generation: int) -> None:
        """Lay out the tree of the new app and start what it has more; what it lacks drains."""
        tree = build_tree(self._options, app)
        self._services.lay_out(tree)
        self._services.replace()
        self._groups.reload(tree.groups, generation)
        self._services.start_missing()
