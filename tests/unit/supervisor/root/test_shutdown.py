"""The ordered end of a tree, as histories of what is told to end and what ends."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from goque_supervisor.ipc.control import AttemptsFailed, FailureTold
from goque_supervisor.root.shutdown import TreeEnd
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail", workers=1, jobs=1), shutdown_timeout=30.0)
    tree.comes_up()
    tree.did()
    return tree


def end_services(tree: SimulatedTree) -> None:
    for name in ("scheduler", "cleaner", "healer"):
        tree.ends(name, exit_code=0)


def test_everything_ends_in_order_and_lease_and_monitor_last(tree: SimulatedTree) -> None:
    tree.root.on_signal(signal.SIGTERM)
    assert tree.did() == ["stop scheduler", "stop cleaner", "stop healer", "fetcher[mail] <- Drain()"]
    end_services(tree)
    assert tree.did() == []
    tree.drains("mail")
    assert tree.did() == ["stop worker[mail:0]"]
    tree.ends("worker[mail:0]", exit_code=0)
    assert tree.did("stop") == ["stop fetcher[mail]"]
    tree.ends("fetcher[mail]", exit_code=0)
    assert tree.did() == ["stop lease", "stop monitor"]
    tree.ends("lease", exit_code=0)
    assert tree.root.end is None
    tree.ends("monitor", exit_code=0)
    assert tree.root.end == TreeEnd(0)
    assert tree.did("start") == []
    assert not tree.root.child_restarts


def test_a_service_whose_next_start_was_planned_is_not_started_any_more(tree: SimulatedTree) -> None:
    for _death in range(2):
        tree.ends("cleaner")
        tree.pass_time(0.0)
    assert "cleaner" not in tree.names()
    tree.root.stop("SIGTERM")
    tree.pass_time(20.0)
    assert tree.did("start cleaner") == ["start cleaner"]


def test_lease_and_monitor_wait_for_the_services_too(tree: SimulatedTree) -> None:
    tree.root.stop("SIGTERM")
    tree.drains("mail")
    tree.ends("worker[mail:0]", exit_code=0)
    tree.ends("fetcher[mail]", exit_code=0)
    assert tree.did("stop lease", "stop monitor") == []
    end_services(tree)
    assert tree.did("stop") == ["stop lease", "stop monitor"]


def test_nothing_is_started_again_but_a_fetcher_with_results_to_write(tree: SimulatedTree) -> None:
    tree.root.stop("SIGTERM")
    tree.did()
    tree.ends("monitor")
    tree.ends("lease")
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    tree.ends("fetcher[mail]")
    tree.pass_time(20.0)
    assert tree.did("start", "Drain") == ["start fetcher[mail]", "fetcher[mail] <- Drain()"]


@pytest.mark.parametrize(("runs", "said"), [((1,), "running handlers have 30s"), ((), "no handler runs")])
def test_the_log_says_how_long_it_may_take(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture, runs: tuple[int, ...], said: str
) -> None:
    caplog.set_level("INFO")
    tree.runs("worker[mail:0]", *runs)
    tree.root.stop("SIGTERM")
    assert f"stopping (SIGTERM): {said}" in caplog.text


def test_handlers_that_still_run_at_the_deadline_are_killed(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.runs("worker[mail:0]", 1, 2)
    tree.root.stop("SIGTERM")
    tree.did()
    tree.pass_time(29.9)
    assert tree.did() == []
    tree.pass_time(0.2)
    assert tree.did() == ["kill worker[mail:0] (shutdown)"]
    assert "2 task(s) still running at the deadline" in caplog.text
    tree.ends("worker[mail:0]")
    tree.drains("mail")
    tree.all_told_to_end_do_so()
    assert tree.root.end == TreeEnd(0)


def test_a_second_signal_kills_what_runs_at_once_and_a_third_does_nothing(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.runs("worker[mail:0]", 1)
    tree.root.on_signal(signal.SIGINT)
    tree.did()
    tree.root.on_signal(signal.SIGINT)
    assert tree.did() == ["kill worker[mail:0] (shutdown)"]
    assert "1 task(s) still running at the second signal" in caplog.text
    tree.root.on_signal(signal.SIGINT)
    assert tree.did() == []
    assert caplog.text.count("still running") == 1
    tree.ends("worker[mail:0]")
    tree.drains("mail")
    end_services(tree)
    tree.all_told_to_end_do_so()
    tree.pass_time(60.0)
    assert tree.root.end == TreeEnd(0)


def test_results_that_cannot_be_written_end_the_tree_by_force_five_seconds_after_the_deadline(
    tree: SimulatedTree, capfd: pytest.CaptureFixture[str]
) -> None:
    tree.root.stop("SIGTERM")
    tree.pass_time(34.9)
    assert tree.root.end is None
    tree.did()
    tree.pass_time(0.2)
    assert tree.did("kill") == [f"kill {name} (shutdown)" for name in tree.names()]
    assert tree.root.end is not None
    assert (tree.root.end.exit_code, tree.root.end.keep_black_boxes) == (3, True)
    assert "the last results of mail could not be written" in capfd.readouterr().err


def test_a_process_that_does_not_end_is_killed_at_last_and_costs_no_exit_code(tree: SimulatedTree) -> None:
    tree.root.stop("SIGTERM")
    tree.drains("mail")
    tree.pass_time(35.1)
    assert tree.root.end == TreeEnd(0)


def test_results_that_a_fetcher_could_not_write_back_make_the_exit_code_three(tree: SimulatedTree) -> None:
    tree.root.stop("drained")
    tree.drains("mail", unwritten=2)
    tree.all_told_to_end_do_so()
    assert tree.root.end == TreeEnd(3)


def test_a_child_that_could_not_be_forked_does_not_hold_the_end_up(tree: SimulatedTree) -> None:
    tree.ends("healer")
    tree.pass_time(0.0)
    healer = tree.child("healer")
    tree.root.stop("SIGTERM")
    tree.drains("mail")
    for name in ("scheduler", "cleaner", "worker[mail:0]", "fetcher[mail]"):
        tree.ends(name, exit_code=0)
    assert tree.did("stop lease") == []
    tree.processes.remove(healer)
    tree.root.on_child_not_started(healer, "its nursery ended", died=False)
    assert tree.did("stop lease") == ["stop lease"]


def test_a_tree_that_is_not_laid_out_yet_just_ends(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.root.on_signal(signal.SIGTERM)
    assert tree.root.end == TreeEnd(0)
    assert tree.did() == []


def test_a_tree_that_has_no_lease_yet_ends_without_a_fetcher(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", workers=1))
    tree.root.on_nurseries_ready()
    tree.all_become_ready()
    tree.root.on_signal(signal.SIGTERM)
    tree.all_told_to_end_do_so()
    assert tree.root.end == TreeEnd(0)
    assert tree.did("start fetcher") == []


def test_what_the_healer_has_charged_is_reported_before_the_end(tree: SimulatedTree) -> None:
    tree.sends("healer", AttemptsFailed(["1"]))
    tree.root.stop("SIGTERM")
    tree.drains("mail")
    end_services(tree)
    tree.ends("worker[mail:0]", exit_code=0)
    tree.ends("fetcher[mail]", exit_code=0)
    assert tree.did("stop lease") == []
    tree.sends("reporter[healer:1]", FailureTold())
    tree.ends("reporter[healer:1]", exit_code=0)
    assert tree.did("stop lease") == ["stop lease"]


def test_a_second_signal_ends_what_reports_for_the_healer(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.sends("healer", AttemptsFailed(["1", "2"]))
    tree.root.on_signal(signal.SIGTERM)
    tree.did()
    tree.root.on_signal(signal.SIGTERM)
    assert tree.did("reporter") == ["kill reporter[healer:1] (shutdown)"]
    assert "on_failure of tasks of dead nodes: skipped 2 call(s)" in caplog.text
