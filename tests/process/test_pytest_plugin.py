"""The pytest plugin in suites of its users': fixtures, real trees, workers that crash on purpose."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ("pytester",)

APP = """
    import threading
    import goque

    APP = "an app"
    cannot_be_pickled = threading.Lock()
    registry = goque.Registry()


    @registry.processor("send_email", retry=goque.retry.static(0))
    def send_email(task):
        with open(task.payload["log"], "a") as log:
            log.write(f"attempt {task.attempts}\\n")


    @registry.processor("order", retry=goque.retry.static(0))
    def order(task):
        registry.queue.enqueue("send_email", task.payload)
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """A user's suite, with an app, in a process of its own."""
    pytester.makepyfile(app=APP)
    return pytester


def run(suite: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return suite.runpytest_subprocess("-p", "no:cacheprovider", "-W", "error", *arguments, timeout=90)


def test_handlers_are_drained_on_a_database_of_each_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        import goque
        from app import registry
        from goque.testing import assert_enqueued


        @pytest.mark.parametrize("number", [1, 2])
        def test_an_order_sends_an_email(goque_queue, tmp_path, number):
            queue = goque_queue(registry)
            assert queue is registry.queue is goque_queue(registry)
            log = tmp_path / "log"
            queue.enqueue("order", {"log": str(log)}, external_id="order-7")
            assert [run.status for run in queue.drain_inline(registry)] == ["done", "done"]
            assert_enqueued(queue, "send_email", payload={"log": str(log)}, count=1)
            assert goque.TaskQueueManager().get_task(queue.get_tasks()[0].id)
            assert log.read_text() == "attempt 0\\n"


        def test_the_registry_is_its_own_again(tmp_path, monkeypatch):
            monkeypatch.chdir(tmp_path)
            registry.queue.enqueue("order", {})
            assert (tmp_path / "goque.db").exists()
        """
    )
    run(suite).assert_outcomes(passed=3)


def test_a_real_tree_runs_for_one_test_and_is_gone_after_it(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import os
        import pytest
        import app
        import goque
        from app import registry

        pids = []


        def test_in_a_tree(goque_tree, tmp_path):
            tree = goque_tree(registry)
            pids.append(tree.supervisor.pid)
            log = tmp_path / "log"
            task = registry.queue.enqueue("send_email", {"log": str(log)})
            assert tree.wait(task).status == "done"
            assert log.read_text() == "attempt 0\\n"


        def test_it_is_gone():
            with pytest.raises(ProcessLookupError):
                os.kill(pids[0], 0)


        def test_a_handler_of_the_test_itself(goque_tree):
            where = os.getpid()
            registry = goque.Registry()
            registry.add_processor("pid", lambda task: [where, os.getpid(), app.APP], store_result=True)
            tree = goque_tree(registry, drain=True)
            task = tree.queue.enqueue("pid")
            here, there, its_app = tree.wait(task).result
            assert its_app == "an app"
            assert here == os.getpid() != there
            assert tree.supervisor.wait(30) == 0
        """
    )
    run(suite).assert_outcomes(passed=3)


@pytest.mark.parametrize(
    ("when", "begun"), [("before", ["attempt 1"]), ("after", ["attempt 0", "attempt 1"])]
)
def test_a_worker_crashes_on_purpose(suite: pytest.Pytester, when: str, begun: list[str]) -> None:
    suite.makepyfile(
        f"""
        import signal
        from app import registry


        def test_an_email_is_sent_though_its_worker_dies(goque_tree, goque_crash, tmp_path):
            goque_crash(registry, "send_email", when="{when}", number=signal.SIGSEGV)
            tree = goque_tree(registry)
            log = tmp_path / "log"
            task = tree.wait(tree.queue.enqueue("send_email", {{"log": str(log)}}))
            assert (task.status, task.attempts) == ("done", 1)
            assert task.errors == "attempt 1: worker crashed: signal 11 (SIGSEGV)\\n"
            assert log.read_text().splitlines() == {begun}


        def test_no_other_test_knows_of_it(goque_queue, tmp_path):
            queue = goque_queue(registry)
            queue.enqueue("send_email", {{"log": str(tmp_path / "log")}})
            (run,) = queue.drain_inline(registry)
            assert run.status == "done"
        """
    )
    run(suite).assert_outcomes(passed=2)


def test_a_tree_that_ends_badly_is_an_error_of_its_test(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import goque

        registry = goque.Registry()


        class Bad:
            def __reduce__(self):
                return eval, ("no_such_name",)

            def __call__(self, task):
                pass


        registry.add_processor("mail", Bad())


        def test_passes(goque_tree):
            tree = goque_tree(registry)
            tree.supervisor._process.wait(60)
        """
    )
    result = run(suite)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*GoqueError: the tree ended with exit code 2; its log shows the cause*"])


def test_a_task_that_does_not_end_is_told_with_its_errors(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        import goque


        def test_it_says_why(goque_tree):
            registry = goque.Registry()
            registry.add_processor("mail", lambda task: 1 / 0, retry=goque.retry.static(60))
            tree = goque_tree(registry)
            task = tree.queue.enqueue("mail")
            with pytest.raises(TimeoutError, match="is still error after .*; attempt 1: ZeroDivisionError: "):
                tree.wait(task, timeout=5)
        """
    )
    run(suite).assert_outcomes(passed=1)


def test_a_tree_imports_the_registry_that_is_named(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import pytest
        import goque


        def test_by_name(goque_tree, tmp_path):
            tree = goque_tree("app:registry")
            log = tmp_path / "log"
            tree.wait(tree.queue.enqueue("order", {"log": str(log)}))
            (email,) = tree.queue.get_tasks(goque.TaskFilter(task_type="send_email"))
            tree.wait(email)
            assert log.read_text() == "attempt 0\\n"


        def test_a_wrong_name():
            with pytest.raises(goque.ConfigurationError, match="must be module:attribute"):
                goque.Supervisor("app")


        def test_a_name_of_nothing():
            assert goque.Supervisor("nothing:registry", drain=True).run() == 2
        """
    )
    run(suite).assert_outcomes(passed=3)


def test_a_tree_that_has_ended_fails_the_wait_at_once(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        import time
        import pytest
        import goque


        class Bad:
            def __reduce__(self):
                return eval, ("no_such_name",)

            def __call__(self, task):
                pass


        def test_it_fails(goque_tree):
            registry = goque.Registry()
            registry.add_processor("mail", Bad())
            tree = goque_tree(registry)
            began = time.monotonic()
            with pytest.raises(goque.GoqueError, match="the tree ended with exit code 2, and task .* is still new"):
                tree.wait(tree.queue.enqueue("mail"), timeout=600)
            assert time.monotonic() - began < 60
        """
    )
    run(suite).assert_outcomes(passed=1)


def test_another_database_is_named_by_a_fixture_of_ones_own(suite: pytest.Pytester) -> None:
    suite.makeconftest(
        """
        import pytest


        @pytest.fixture
        def goque_database_url(tmp_path):
            return f"sqlite:///{tmp_path}/mine.db"
        """
    )
    suite.makepyfile(
        """
        from app import registry


        def test_it_is_mine(goque_queue, tmp_path):
            goque_queue(registry).enqueue("send_email", {})
            assert (tmp_path / "mine.db").exists()
        """
    )
    run(suite).assert_outcomes(passed=1)


def test_fixtures_are_told_of(suite: pytest.Pytester) -> None:
    listed = run(suite, "--fixtures").stdout.str()
    for name in ("goque_database_url", "goque_queue", "goque_tree", "goque_crash", "goque_django"):
        assert f"\n{name} -- " in listed
    assert "\ngoque_server_url [session scope] -- " in listed


def test_suites_that_do_not_use_it_load_nothing_of_it() -> None:
    program = (
        "import sys, goque.pytest_plugin; print(*sorted(n for n in sys.modules if n.startswith('goque')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["goque", "goque.pytest_plugin", "goque.version"]
