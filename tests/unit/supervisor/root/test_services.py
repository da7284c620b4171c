"""What keeps the services of a tree running, as histories of their ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from goque_supervisor.ipc.control import AttemptsFailed, FailureTold
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail", jobs=1))
    tree.comes_up()
    tree.did()
    return tree


def test_lease_and_monitor_start_first_and_the_others_once_the_node_has_its_lease(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app(jobs=1), reload=True)
    tree.root.on_nurseries_ready()
    assert tree.did() == ["start lease", "start monitor"]
    tree.becomes_ready("lease", owner="node-1", sent_at=tree.now)
    assert tree.did() == ["start healer", "start cleaner", "start scheduler", "start reloader"]


def test_a_tree_without_an_endpoint_has_no_monitor_and_its_lease_logs_the_summary(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"), http=None)
    tree.comes_up()
    assert "start monitor" not in tree.did()
    assert tree.processes.boots["lease"]["logs_summary"]


def test_the_lease_logs_no_summary_where_a_monitor_does_or_nobody_shall(
    tree: SimulatedTree, tmp_path: Path
) -> None:
    assert not tree.processes.boots["lease"]["logs_summary"]
    other = SimulatedTree(tmp_path, describe_app("mail"), http=None, roles=("processors",))
    other.comes_up()
    assert not other.processes.boots["lease"]["logs_summary"]


def test_only_the_roles_that_are_asked_for_run(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", jobs=1), roles=("healer",))
    tree.comes_up()
    assert tree.did("start") == ["start lease", "start healer"]


def test_services_are_told_whose_tasks_they_look_after(tree: SimulatedTree) -> None:
    boot = tree.processes.boots["healer"]
    assert (boot["owner"], boot["node_timeout"]) == ("node-1", 30.0)
    assert sorted(boot["counters"]) == ["mail", "unregistered"]
    assert tree.processes.boots["lease"]["owner"] == ""


def test_a_service_that_keeps_dying_is_started_later_and_later_and_others_are_not_touched(
    tree: SimulatedTree,
) -> None:
    waits = []
    for _death in range(9):
        tree.ends("cleaner")
        died = tree.now
        while "cleaner" not in tree.names():
            tree.pass_time(tree.timers.seconds_left() or 0.0)
        waits.append(tree.now - died)
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8])
    assert tree.did() == ["start cleaner"] * 9
    assert tree.root.child_restarts == {"cleaner": 9}


def test_a_service_that_lived_for_a_while_is_started_again_at_once(tree: SimulatedTree) -> None:
    for _death in range(3):
        tree.pass_time(60.0)
        tree.ends("healer")
        tree.pass_time(0.0)
        assert tree.did("start") == ["start healer"]


def test_a_service_that_the_system_refuses_to_start_is_tried_again_each_second(tree: SimulatedTree) -> None:
    tree.processes.are_refused = True
    tree.ends("monitor")
    tree.pass_time(3.5)
    tree.processes.are_refused = False
    tree.pass_time(0.4)
    assert tree.did() == []
    tree.pass_time(0.2)
    assert tree.did() == ["start monitor"]


def test_a_service_that_could_not_be_forked_is_tried_again_a_second_later(tree: SimulatedTree) -> None:
    tree.ends("healer")
    tree.pass_time(0.0)
    child = tree.child("healer")
    tree.processes.remove(child)
    tree.did()
    tree.root.on_child_not_started(child, "its nursery ended", died=False)
    assert tree.did() == []
    tree.pass_time(1.0)
    assert tree.did() == ["start healer"]


def test_what_waits_for_a_nursery_starts_when_the_nursery_is_up_again(tree: SimulatedTree) -> None:
    tree.processes.nurseries_are_up = False
    tree.ends("cleaner")
    tree.ends("fetcher[mail]")
    tree.pass_time(5.0)
    assert tree.did() == []
    tree.processes.nurseries_are_up = True
    tree.root.on_nurseries_ready()
    assert tree.did("start") == ["start cleaner", "start fetcher[mail]"]


def test_what_the_healer_charges_is_reported_by_a_process_of_the_tree(tree: SimulatedTree) -> None:
    tree.sends("healer", AttemptsFailed(["1", "2"]))
    assert tree.did() == ["start reporter[healer:1]"]
    assert tree.processes.boots["reporter[healer:1]"]["failures"] == ["1", "2"]
    tree.is_forked("reporter[healer:1]")
    tree.sends("reporter[healer:1]", FailureTold())
    tree.ends("reporter[healer:1]", by_signal=11)
    assert tree.did() == []  # the call that ended its process is not tried again
    assert tree.root.child_restarts == {}
    tree.processes.are_refused = True
    tree.sends("healer", AttemptsFailed(["3"]))
    tree.processes.are_refused = False
    tree.pass_time(1.1)
    assert tree.did("start") == ["start reporter[healer:3]"]


def test_the_healer_reports_although_no_type_runs_here(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"), roles=("healer",))
    tree.comes_up()
    tree.did()
    tree.sends("healer", AttemptsFailed(["1"]))
    assert tree.did() == ["start reporter[healer:1]"]
