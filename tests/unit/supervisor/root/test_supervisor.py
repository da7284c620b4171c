"""What the root itself decides: signals, processes that cannot boot, and messages that it cannot use."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from goque_supervisor.ipc import os_process
from goque_supervisor.ipc.control import Beat, BootFailed, Drained, ProtocolError, TreeState
from goque_supervisor.root.shutdown import TreeEnd
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", workers=1))
    tree.comes_up()
    tree.did()
    return tree


def test_it_announces_itself_once_the_node_has_its_lease(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tree = SimulatedTree(tmp_path, describe_app("mail", "report"))
    tree.root.on_nurseries_ready()
    assert "up as pid" not in caplog.text
    for owner in ("node-1", "node-2"):
        tree.becomes_ready("lease", owner=owner, sent_at=tree.now)
    said = f"up as pid {os.getpid()}; database sqlite:////srv/shop.db; pools (workers): mail (2); report (2)"
    assert caplog.messages.count(said) == 1


def test_sigusr2_pauses_claiming_and_the_next_one_resumes_it(tree: SimulatedTree) -> None:
    tree.root.on_signal(signal.SIGUSR2)
    assert tree.did() == [
        "fetcher[mail] <- PauseClaiming(hold=True)",
        "fetcher[report] <- PauseClaiming(hold=True)",
    ]
    tree.ends("fetcher[mail]")
    assert tree.did()[-1] == "fetcher[mail] <- PauseClaiming(hold=True)"
    tree.root.on_signal(signal.SIGUSR2)
    assert tree.did() == [
        "fetcher[mail] <- PauseClaiming(hold=False)",
        "fetcher[report] <- PauseClaiming(hold=False)",
    ]


def test_sigusr2_does_not_let_a_type_claim_whose_workers_cannot_boot(tree: SimulatedTree) -> None:
    tree.root.on_signal(signal.SIGUSR2)
    for _boot in range(4):
        for name in [name for name in tree.names() if name == "worker[mail:0]"]:
            tree.ends(name, exit_code=1)
        tree.pass_time(2.0)
    assert tree.group("mail").boot.held
    tree.did()
    tree.root.on_signal(signal.SIGUSR2)
    assert tree.did() == [
        "fetcher[mail] <- PauseClaiming(hold=True)",
        "fetcher[report] <- PauseClaiming(hold=False)",
    ]


@pytest.mark.parametrize("drain", [True, False])
def test_a_tree_that_drains_or_stops_is_not_made_quiet(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, drain: bool
) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"), drain=drain)
    tree.comes_up()
    if not drain:
        tree.root.stop("SIGTERM")
    tree.did()
    tree.root.on_signal(signal.SIGUSR2)
    assert tree.did() == []
    assert "ignored SIGUSR2" in caplog.text


def test_a_lease_that_cannot_boot_at_the_first_start_ends_the_tree_with_its_exit_code(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.root.on_nurseries_ready()
    tree.is_forked("lease")
    tree.sends("lease", BootFailed("the schema is missing;\nrun goque migrate", 3))
    assert tree.root.end == TreeEnd(3, "the schema is missing;\nrun goque migrate")
    assert capfd.readouterr().err == "goque: the schema is missing; run goque migrate\n"
    tree.ends("lease", exit_code=1)
    assert "lease" not in tree.names()


def test_a_service_that_cannot_boot_after_the_lease_stops_the_tree_in_order(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.root.on_nurseries_ready()
    tree.becomes_ready("lease", owner="node-1", sent_at=tree.now)
    tree.sends("monitor", BootFailed("127.0.0.1:9100 cannot be opened", 2))
    assert capfd.readouterr().err == "goque: 127.0.0.1:9100 cannot be opened\n"
    assert tree.root.node.is_stopping
    tree.drains("mail")
    tree.all_told_to_end_do_so()
    assert tree.root.end == TreeEnd(2)


@pytest.mark.parametrize(("name", "exit_code"), [("cleaner", 2), ("healer", 3)])
def test_a_service_that_worked_before_or_finds_the_database_away_is_started_again(
    tree: SimulatedTree, name: str, exit_code: int
) -> None:
    tree.root._were_ready.discard("healer")
    tree.sends(name, BootFailed("no", exit_code))
    tree.ends(name, exit_code=1)
    tree.pass_time(0.1)
    assert tree.did() == [f"start {name}"]
    assert not tree.root.node.is_stopping


def test_a_child_that_sends_what_is_no_message_is_killed_as_if_it_had_crashed(
    tree: SimulatedTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(os_process, "kill", killed.append)
    worker = tree.child("worker[mail:0]")
    tree.sends("worker[mail:0]", ProtocolError("not a control message"))
    assert killed == [worker.pid]
    assert worker.killed_for is None


def test_a_message_from_the_wrong_child_is_dropped(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.sends("healer", Drained())
    tree.sends("worker[mail:0]", TreeState({}))
    assert caplog.messages == [
        "dropped an unexpected Drained from healer",
        "dropped an unexpected TreeState from worker[mail:0]",
    ]


def test_every_message_shows_that_a_child_lives(tree: SimulatedTree) -> None:
    tree.now += 5.0
    tree.sends("healer", Beat())
    assert tree.child("healer").beat_at == tree.now


def test_monitor_and_lease_are_told_the_state_of_the_tree(tree: SimulatedTree) -> None:
    tree.root.send_state()
    told: list[dict[str, Any]] = [tree.sent(name, TreeState)[-1].state for name in ("monitor", "lease")]
    assert "processes" not in told[0]
    names = [process["name"] for process in told[1]["processes"]]
    assert names[:4] == ["root", "guard", "actors nursery", "app nursery"]
    assert set(names[4:]) == set(tree.names())


def test_nothing_is_started_for_a_process_that_ends_after_the_tree(tree: SimulatedTree) -> None:
    tree.root.give_up("it cannot go on", 2)
    tree.ends("fetcher[mail]")
    tree.ends("healer")
    tree.pass_time(60.0)
    assert tree.did() == []
