"""The pytest plugin on a server's database: it makes the tables once, and empties them before each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from databases import Database, make_database, on_every_server

pytest_plugins = ("pytester",)

SUITE = """
    import goque
    import pytest

    registry = goque.Registry()
    registry.add_processor("send_email", lambda task: "sent", store_result=True)


    @pytest.mark.parametrize("number", range(3))
    def test_a_task_is_the_only_one(goque_queue, goque_database_url, number):
        assert goque_database_url == URL
        queue = goque_queue(registry)
        queue.enqueue("send_email", external_id="the same each time")
        assert [run.status for run in queue.drain_inline(registry)] == ["done"]
        assert len(queue.get_tasks()) == 1


    def test_a_tree_finds_no_task_of_another_test(goque_tree):
        tree = goque_tree(registry)
        assert tree.wait(tree.queue.enqueue("send_email")).result == "sent"
        assert len(tree.queue.get_tasks()) == 1


    def test_after_a_tree_the_database_is_empty_too(goque_queue):
        assert goque_queue(registry).get_tasks() == []
"""


@pytest.fixture
def server(backend: str, tmp_path: Path) -> Iterator[Database]:
    """A database without tables."""
    made = make_database(backend, tmp_path, migrate=False)
    yield made
    made.drop()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the inner suite not take itself for a worker of this one's."""
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *arguments, timeout=90)


@on_every_server
@pytest.mark.parametrize("where", ["environment", "configuration"])
def test_tables_are_made_once_and_emptied_before_each_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, server: Database, where: str
) -> None:
    pytester.makepyfile(SUITE.replace("URL", repr(server.url)))
    if where == "environment":
        monkeypatch.setenv("GOQUE_TEST_DATABASE_URL", server.url)
        pytester.makeini("[pytest]\ngoque_database_url = sqlite:////not/this.db")
    else:
        pytester.makeini(f"[pytest]\ngoque_database_url = {server.url}")
    run(pytester).assert_outcomes(passed=5)


def test_tests_side_by_side_have_a_database_each_or_are_refused(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import os, pytest

        @pytest.mark.parametrize("number", range(2))
        def test_url(goque_database_url, number):
            assert goque_database_url.endswith(f"/test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}.db")
        """
    )
    monkeypatch.setenv("GOQUE_TEST_DATABASE_URL", f"sqlite:///{pytester.path}/test_{{worker}}.db")
    run(pytester).assert_outcomes(passed=2)
    run(pytester, "-n", "2").assert_outcomes(passed=2)
    monkeypatch.setenv("GOQUE_TEST_DATABASE_URL", f"sqlite:///{pytester.path}/test.db")
    refused = run(pytester, "-n", "2")
    refused.assert_outcomes(errors=2)
    refused.stdout.fnmatch_lines(["*tests that run side by side need a database each: write {worker} in *"])


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://postgres@127.0.0.1:1/test?connect_timeout=1", "127.0.0.1"),
        ("oracle://x", "oracle"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error_that_names_the_option(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, url: str, said: str
) -> None:
    pytester.makepyfile("def test_url(goque_database_url): pass")
    monkeypatch.setenv("GOQUE_TEST_DATABASE_URL", url)
    done = run(pytester)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines([f"*the database of goque_database_url or GOQUE_TEST_DATABASE_URL: *{said}*"])
