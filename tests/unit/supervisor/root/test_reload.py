"""A reload of the app: types that stay, change, come and go; worker by worker."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from goque_supervisor.ipc.control import Replace, SourceChanged
from goque_supervisor.root.pools.rolling_reload import PATIENCE
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", jobs=1))
    tree.comes_up()
    tree.did()
    return tree


def reload(tree: SimulatedTree, app: dict[str, Any]) -> None:
    tree.root.on_signal(signal.SIGHUP)
    tree.processes.generation += 1
    tree.nurseries.app = app
    tree.root.on_reloaded(app, tree.processes.generation)


def replace_one(tree: SimulatedTree, name: str) -> None:
    """Let the fetcher find a worker idle, and the worker end."""
    tree.sends(f"fetcher[{tree.child(name).pool}]", Replace(tree.child(name).key, "reload"))
    tree.ends(name, exit_code=0)


def test_nothing_changes_until_the_new_import_is_there(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tree.root.on_signal(signal.SIGHUP)
    tree.sends("lease", SourceChanged(["app.py", "jobs.py"], 5))
    assert (tree.nurseries.imports, tree.did()) == (2, [])
    assert "SIGHUP: importing the app again" in caplog.text
    assert "app.py, jobs.py and 3 more changed: importing the app again" in caplog.text


def test_workers_are_replaced_one_by_one_each_when_the_one_before_has_a_ready_successor(
    tree: SimulatedTree,
) -> None:
    first, second = (tree.child(f"worker[mail:{slot}]").key for slot in (0, 1))
    reload(tree, describe_app("mail", "report", jobs=1))
    assert tree.did("mail") == [f"fetcher[mail] <- Retire(incarnation={first}, reason='reload')"]
    replace_one(tree, "worker[mail:0]")
    assert tree.did("mail") == [
        "stop worker[mail:0]",
        "fetcher[mail] <- WorkerExited",
        "start worker[mail:0]",
    ]
    tree.becomes_ready("worker[mail:0]")
    assert tree.did("Retire") == [f"fetcher[mail] <- Retire(incarnation={second}, reason='reload')"]
    replace_one(tree, "worker[mail:1]")
    tree.becomes_ready("worker[mail:1]")
    tree.becomes_ready("worker[mail:0]")
    assert tree.did("Retire", "kill") == []
    assert tree.group().restarts == {"reload": 2}


def test_a_worker_with_a_long_task_does_not_leave_the_others_with_the_old_code(tree: SimulatedTree) -> None:
    second = tree.child("worker[mail:1]").key
    reload(tree, describe_app("mail", "report", jobs=1))
    tree.pass_time(PATIENCE - 0.5)
    assert len(tree.did("fetcher[mail] <- Retire")) == 1
    tree.pass_time(0.5)
    assert tree.did("fetcher[mail] <- Retire") == [
        f"fetcher[mail] <- Retire(incarnation={second}, reason='reload')"
    ]
    replace_one(tree, "worker[mail:1]")
    tree.becomes_ready("worker[mail:1]")
    tree.pass_time(PATIENCE)
    assert tree.did("fetcher[mail] <- Retire") == []
    assert tree.child("worker[mail:0]").retire_reason == "reload"


def test_the_log_says_how_many_workers_a_reload_waits_for_and_when_the_last_has_ended(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "goque.supervisor")
    reload(tree, describe_app("mail", "report", jobs=1))
    for name in ("worker[report:0]", "worker[report:1]"):  # these are idle
        replace_one(tree, name)
        tree.becomes_ready(name)
    tree.pass_time(PATIENCE)
    assert "waiting for" not in caplog.text, "one worker is not retired yet"
    tree.pass_time(PATIENCE)
    tree.pass_time(PATIENCE)
    assert (
        caplog.messages.count(
            "waiting for the tasks that 2 workers of type 'mail' still run with the old code"
        )
        == 1
    )
    for name in ("worker[mail:0]", "worker[mail:1]"):
        assert "has ended" not in caplog.text
        replace_one(tree, name)
        tree.becomes_ready(name)
    tree.pass_time(PATIENCE)
    assert caplog.messages.count("the last worker of type 'mail' with the old code has ended") == 1
    assert sum("waiting for" in line for line in caplog.messages) == 1


def test_a_reload_that_finds_the_workers_idle_says_nothing_of_waiting(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "goque.supervisor")
    app = describe_app("mail", "report", jobs=1)
    app["types"].append(
        {**app["types"][0], "type": "sms"}
    )  # in the pool of mail: all of its workers are retired
    reload(tree, app)
    for name in ("worker[mail:0]", "worker[mail:1]", "worker[report:0]", "worker[report:1]"):
        replace_one(tree, name)
        tree.becomes_ready(name)
    tree.pass_time(2 * PATIENCE)
    assert "waiting for" not in caplog.text
    assert "old code" not in caplog.text


def test_no_worker_is_retired_while_another_slot_is_empty(tree: SimulatedTree) -> None:
    app = describe_app("mail", "report", jobs=1)
    reload(tree, app)
    replace_one(tree, "worker[mail:0]")
    tree.ends("worker[mail:0]", exit_code=1)  # its successor does not boot
    tree.did()
    reload(tree, app)
    assert tree.did("mail") == ["start worker[mail:0]"]
    tree.becomes_ready("worker[mail:0]")
    assert len(tree.did("Retire")) == 1


def test_services_that_know_the_app_are_killed_and_started_anew_and_the_others_stay(
    tree: SimulatedTree,
) -> None:
    reload(tree, describe_app("mail", "report", jobs=1))
    assert tree.did("kill") == ["kill scheduler (reload)", "kill cleaner (reload)", "kill healer (reload)"]
    for name in ("scheduler", "cleaner", "healer"):
        tree.ends(name)
    assert tree.did("start") == ["start scheduler", "start cleaner", "start healer"]
    assert not tree.root.child_restarts


def test_a_type_whose_options_changed_gets_another_fetcher_which_takes_over(tree: SimulatedTree) -> None:
    app = describe_app("mail", "report", jobs=1)
    app["types"][0]["options"]["timeout"] = 60.0
    reload(tree, app)
    assert tree.did("kill fetcher") == ["kill fetcher[mail] (reload)"]
    tree.ends("fetcher[mail]")
    assert tree.did("fetcher[mail]")[:2] == ["start fetcher[mail]", "fetcher[mail] <- TakeOver"]
    assert tree.processes.boots["fetcher[mail]"]["processors"][0]["options"]["timeout"] == 60.0
    assert not tree.root.child_restarts


def test_a_type_that_got_more_workers_starts_them_and_one_that_got_fewer_retires_the_rest(
    tree: SimulatedTree,
) -> None:
    app = describe_app("mail", "report", jobs=1)
    app["pools"]["mail"].update(workers=3, min_workers=3)
    app["pools"]["report"].update(workers=1, min_workers=1)
    surplus = tree.child("worker[report:1]").key
    reload(tree, app)
    assert tree.did("start") == ["start worker[mail:2]"]
    tree.ends("fetcher[report]")
    replace_one(tree, "worker[report:0]")
    tree.becomes_ready("worker[report:0]")
    assert tree.did("Retire")[-1] == f"fetcher[report] <- Retire(incarnation={surplus}, reason='reload')"
    replace_one(tree, "worker[report:1]")
    assert tree.did("start worker[report") == []


def test_a_type_that_is_gone_drains_and_is_forgotten_and_the_others_go_on(tree: SimulatedTree) -> None:
    reload(tree, describe_app("mail", jobs=1))
    assert tree.did("report") == ["fetcher[report] <- Drain()"]
    tree.drains("report")
    for slot in (0, 1):
        tree.ends(f"worker[report:{slot}]", exit_code=0)
    tree.ends("fetcher[report]", exit_code=0)
    assert tree.root._groups.find("report") is None
    assert not [name for name in tree.names() if "report" in name]
    assert "fetcher[mail]" in tree.names()
    assert tree.root.end is None


def test_a_type_that_is_new_starts_its_fetcher_and_its_workers(tree: SimulatedTree) -> None:
    reload(tree, describe_app("mail", "report", "thumbnail", jobs=1))
    assert tree.did("start") == [
        "start fetcher[thumbnail]",
        "start worker[thumbnail:0]",
        "start worker[thumbnail:1]",
    ]


def test_new_code_gets_a_new_try_at_once_in_a_type_that_could_not_boot(tree: SimulatedTree) -> None:
    for _boot in range(4):
        for name in [name for name in tree.names() if name.startswith("worker[mail")]:
            tree.ends(name, exit_code=1)
        tree.pass_time(2.0)
    assert tree.group().boot.held
    tree.did()
    reload(tree, describe_app("mail", "report", jobs=1))
    assert tree.did("start worker[mail") == ["start worker[mail:0]"]


def test_an_import_that_ends_during_a_shutdown_changes_nothing(tree: SimulatedTree) -> None:
    tree.root.on_signal(signal.SIGHUP)
    tree.root.stop("SIGTERM")
    tree.did()
    tree.root.on_reloaded(describe_app("mail", "report", "thumbnail"), 2)
    tree.root.on_signal(signal.SIGHUP)
    assert (tree.did(), tree.nurseries.imports) == ([], 1)


def ends_of(tree: SimulatedTree, pool: str, *slots: int) -> None:
    """Let a pool that drains come to its end."""
    tree.drains(pool)
    for slot in slots:
        tree.ends(f"worker[{pool}:{slot}]", exit_code=0)
    tree.ends(f"fetcher[{pool}]", exit_code=0)


def test_the_types_of_a_pool_share_its_fetcher_and_its_workers(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", "thumbnail", workers=2, pool="default"))
    tree.comes_up()
    assert [name for name in tree.names() if "default" in name] == [
        "worker[default:0]",
        "worker[default:1]",
        "fetcher[default]",
    ]
    assert tree.group("default").spec.types == ["mail", "report", "thumbnail"]


@pytest.mark.parametrize("is_async", [False, True])
def test_no_older_worker_gets_a_task_of_a_type_that_it_does_not_know(tmp_path: Path, is_async: bool) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", pool="bulk"))
    tree.comes_up()
    app = describe_app("mail", "report", "thumbnail", pool="bulk")
    if is_async:  # a type that stays, with a handler of another kind
        app = describe_app("mail", "report", pool="bulk")
        app["types"][1]["is_async"] = True
    reload(tree, app)
    tree.did()
    tree.ends("fetcher[bulk]")
    older = [tree.child(f"worker[bulk:{slot}]").key for slot in (0, 1)]
    assert tree.did("fetcher[bulk]")[2:] == [
        f"fetcher[bulk] <- Retire(incarnation={key}, reason='reload')" for key in older
    ]


def test_a_type_that_leaves_a_pool_comes_to_its_end_there(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", pool="default"))
    tree.comes_up()
    reload(tree, describe_app("mail", pool="default"))
    tree.ends("fetcher[default]")
    boot = tree.processes.boots["fetcher[default]"]
    assert [spec["type"] for spec in boot["processors"]] == ["mail"]
    assert [spec["type"] for spec in boot["leaving"]] == ["report"]
    state = tree.root._status.tree_state()
    assert ([*state["types"]], state["held_types"]) == (
        ["mail"],
        ["mail", "report"],
    )  # the lease leaves both alone


def test_a_type_moves_to_another_pool_when_its_own_has_ended(tree: SimulatedTree) -> None:
    reload(tree, describe_app("mail", "report", pool="default"))
    assert "fetcher[default]" not in tree.names()
    ends_of(tree, "report", 0, 1)
    assert tree.group("default").spec.types == ["report"]
    ends_of(tree, "mail", 0, 1)
    assert tree.group("default").spec.types == ["mail", "report"]
    assert [name for name in tree.names() if name.startswith("fetcher")] == ["fetcher[default]"]


def test_a_type_stays_in_a_pool_that_stays(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", "thumbnail"))
    tree.comes_up()
    app = describe_app("mail", "report")
    app["types"][1]["pool"] = "mail"
    app["types"].append({**app["types"][0], "type": "sms", "pool": "report"})
    reload(tree, app)
    assert tree.group("mail").spec.types == ["mail"]
    assert sorted(tree.group("report").spec.types) == ["report", "sms"]
    ends_of(tree, "thumbnail", 0, 1)
    assert "the app has no pool 'thumbnail' any more: its running tasks end in the old workers" in caplog.text
    stays = "type 'report' stays in pool 'report' until you restart this supervisor"
    assert caplog.text.count(stays) == 1
