"""What the root does when its node's lease is lost and held again, as histories of heartbeats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from goque_supervisor.ipc.control import CommitsLost, LeaseRenewed, TakeOver
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app

NOTHING = "fetcher[mail] <- NewOwner(owner='')"
KILLS = ["kill worker[mail:0] (lease)", "kill worker[mail:1] (lease)"]


def up(tmp_path: Path, policy: str = "finish") -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail"), on_lost_lease=policy, node_timeout=30.0)
    tree.comes_up("first")
    tree.did()
    return tree


def let_lease_expire(tree: SimulatedTree) -> None:
    tree.pass_time(25.1)
    tree.root.check_lease()


def test_a_lease_that_is_renewed_changes_nothing(tmp_path: Path) -> None:
    tree = up(tmp_path)
    for _beat in range(20):
        tree.pass_time(20.0)
        tree.root.check_lease()
        tree.renews_lease()
    assert tree.did() == []


@pytest.mark.parametrize(("policy", "kills"), [("finish", []), ("kill", KILLS)])
def test_a_lost_lease_stops_claiming_and_its_policy_decides_about_what_runs(
    tmp_path: Path, policy: str, kills: list[str]
) -> None:
    tree = up(tmp_path, policy)
    tree.pass_time(24.9)
    tree.root.check_lease()
    assert tree.did() == []
    tree.pass_time(0.2)
    tree.root.check_lease()
    tree.root.check_lease()
    assert tree.did() == [*kills, NOTHING], "the workers are killed first: others may soon run their tasks"


@pytest.mark.parametrize("policy", ["finish", "kill"])
def test_a_heartbeat_after_a_loss_resumes_claiming_under_the_same_name(tmp_path: Path, policy: str) -> None:
    tree = up(tmp_path, policy)
    let_lease_expire(tree)
    tree.did()
    tree.renews_lease()
    tree.renews_lease()
    assert tree.did() == ["fetcher[mail] <- NewOwner(owner='first')"]


@pytest.mark.parametrize(("policy", "kills"), [("finish", []), ("kill", KILLS)])
def test_a_node_that_others_declared_dead_claims_under_a_new_name(
    tmp_path: Path, policy: str, kills: list[str]
) -> None:
    tree = up(tmp_path, policy)
    tree.becomes_ready("lease", owner="second", sent_at=tree.now)
    assert tree.did() == [*kills, "fetcher[mail] <- NewOwner(owner='second')"]
    (description,) = [json.loads(path.read_text()) for path in tmp_path.glob("*.json")]
    assert (description["owners"], description["database"]) == (["first", "second"], "0123")


def test_a_lease_process_that_goes_on_under_the_same_name_does_not_end_a_loss_by_itself(
    tmp_path: Path,
) -> None:
    tree = up(tmp_path)
    let_lease_expire(tree)
    tree.did()
    tree.becomes_ready("lease", owner="first", sent_at=tree.now)
    assert tree.did() == []
    tree.renews_lease()
    assert tree.did() == ["fetcher[mail] <- NewOwner(owner='first')"]


def test_a_fetcher_that_starts_during_a_loss_takes_over_under_no_name(tmp_path: Path) -> None:
    tree = up(tmp_path)
    let_lease_expire(tree)
    tree.ends("fetcher[mail]")
    (order,) = tree.sent("fetcher[mail]", TakeOver)
    assert (order.owner, order.former_owners) == ("", ["first"])


def test_a_fetcher_that_starts_after_a_new_name_is_told_the_former_one(tmp_path: Path) -> None:
    tree = up(tmp_path)
    tree.becomes_ready("lease", owner="second", sent_at=tree.now)
    tree.ends("fetcher[mail]")
    (order,) = tree.sent("fetcher[mail]", TakeOver)
    assert (order.owner, order.former_owners) == ("second", ["first"])


def test_lost_commits_stop_claiming_until_the_node_has_a_new_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree = up(tmp_path)
    for _fetcher in range(2):
        tree.sends("fetcher[mail]", CommitsLost("first", "claim 2 of task a was acknowledged"))
    assert tree.did() == [NOTHING, "lease <- TakeNewName(owner='first')"]
    tree.renews_lease()
    assert tree.did() == [], "a heartbeat under the old name says nothing of what is lost"
    tree.becomes_ready("lease", owner="second", sent_at=tree.now)
    assert tree.did() == ["fetcher[mail] <- NewOwner(owner='second')"]
    assert [text for text in caplog.messages if "lost commits" in text] == [
        (
            "the database has lost commits of node first: claim 2 of task a was acknowledged; "
            "this node continues under a new name"
        )
    ]


def test_a_loss_that_lease_and_fetcher_find_at_the_same_time_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tree = up(tmp_path)
    tree.sends("lease", CommitsLost("first", "heartbeat 41 was acknowledged"))
    tree.sends("fetcher[mail]", CommitsLost("first", "claim 2 of task a was acknowledged"))
    tree.becomes_ready("lease", owner="second", sent_at=tree.now)
    assert [text for text in caplog.messages if "lost commits" in text] == [
        (
            "the database has lost commits of node first: heartbeat 41 was acknowledged; "
            "this node continues under a new name"
        )
    ]
    assert tree.group().fetcher is not None


def test_a_fetcher_that_finds_the_loss_after_the_lease_did_is_told_nothing_new(tmp_path: Path) -> None:
    tree = up(tmp_path)
    tree.becomes_ready("lease", owner="second", sent_at=tree.now)
    tree.did()
    tree.sends("fetcher[mail]", CommitsLost("first", "claim 2 of task a was acknowledged"))
    assert tree.did() == []


def test_a_lease_that_died_before_it_took_a_new_name_is_asked_again(tmp_path: Path) -> None:
    tree = up(tmp_path)
    tree.sends("fetcher[mail]", CommitsLost("first", "claim 2 of task a was acknowledged"))
    tree.sends("lease", LeaseRenewed(tree.now, 7))
    tree.ends("lease")
    tree.pass_time(0.0)
    tree.did()
    tree.becomes_ready("lease", owner="first", sent_at=tree.now)
    assert tree.did() == ["lease <- TakeNewName(owner='first')"]
    boot = tree.processes.boots["lease"]
    assert (boot["owner"], boot["seq"], boot["former_owners"]) == ("first", 7, [])
