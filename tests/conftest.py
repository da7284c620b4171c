"""Which tests a worker of pytest-xdist runs after each other, and in which order the workers take them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("databases", "live_pages", "tree")  # several suites import them

HERE = Path(__file__).parent
SUITES = (
    "chaos",
    "packaging",
    "dashboard",
    "process",
    "docs",
    "frameworks",
    "typing",
    "deployment",
    "cli",
    "storage",
    "unit",
)
"""By the length of their tests: the longest first, so that the workers end at nearly the same time."""


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Put back what a command or a part of a tree in this process has set up, so that later tests see all lines."""
    logger = logging.getLogger("goque")
    before = logger.handlers, logger.level, logger.propagate, logging.lastResort, logging.basicConfig
    yield
    logger.handlers, logger.level, logger.propagate, logging.lastResort, logging.basicConfig = before
    logging.disable(logging.NOTSET)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest suites first, and keep each file of unit tests together; only where workers share the tests.

    Tests that share a costly fixture are marked with `xdist_group` where they are. Every other test runs on its own:
    servers, directories and ports are its own too, but for the two servers on which it makes a database of its own.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        if suite_of(item) == "unit":
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(HERE))))
    items.sort(key=lambda item: SUITES.index(suite_of(item)))


def suite_of(item: pytest.Item) -> str:
    """Return the folder of the test; one that is not listed counts as the longest."""
    folder = item.path.relative_to(HERE).parts[0]
    return folder if folder in SUITES else SUITES[0]
