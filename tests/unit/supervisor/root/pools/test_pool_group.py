"""A pool group, as histories of what happens to its processes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from goque_supervisor.ipc.control import (
    AttemptsFailed,
    BootFailed,
    CallbackDone,
    CallbackWanted,
    CrashSettled,
    FailureTold,
    Interrupt,
    Replace,
    Retire,
    TakeOver,
    WorkerExited,
)
from unit.supervisor.root.simulated_tree import SimulatedTree, describe_app

HOLD = "fetcher[mail] <- PauseClaiming(hold=True)"
GO_ON = "fetcher[mail] <- PauseClaiming(hold=False)"


@pytest.fixture
def tree(tmp_path: Path) -> SimulatedTree:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.comes_up()
    tree.did()
    return tree


# -- starting -----------------------------------------------------------------------------------------


def test_workers_start_at_once_and_the_fetcher_when_the_node_has_its_lease(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.root.on_nurseries_ready()
    assert tree.did("mail") == ["start worker[mail:0]", "start worker[mail:1]"]
    tree.all_become_ready()
    tree.becomes_ready("lease", owner="node-1", sent_at=tree.now)
    assert tree.did("mail") == ["start fetcher[mail]", "fetcher[mail] <- TakeOver"]
    (order,) = tree.sent("fetcher[mail]", TakeOver)
    assert (order.epoch, order.owner, order.former_owners, order.dead) == (1, "node-1", [], [])
    assert [worker.slot for worker in order.live] == [0, 1]


def test_what_the_system_refuses_to_start_is_tried_again_a_second_later(tree: SimulatedTree) -> None:
    tree.processes.are_refused = True
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    tree.pass_time(0.9)
    assert tree.did("start") == []
    tree.processes.are_refused = False
    tree.pass_time(0.2)
    assert tree.did("start") == ["start worker[mail:0]"]


def test_a_worker_that_a_nursery_could_not_fork_is_tried_again_a_second_later(tree: SimulatedTree) -> None:
    tree.runs("worker[mail:1]", 1)
    tree.ends("worker[mail:1]")
    child = tree.child("worker[mail:1]")
    tree.did()
    tree.processes.remove(child)
    tree.root.on_child_not_started(child, "no memory", died=False)
    assert tree.did("start") == []
    tree.pass_time(1.0)
    assert tree.did("start") == ["start worker[mail:1]"]
    assert not tree.group().boot.failures


# -- fetchers that end ----------------------------------------------------------------------------------


def test_a_fetcher_that_dies_is_followed_at_once_by_one_that_takes_over_its_workers(
    tree: SimulatedTree,
) -> None:
    tree.ends("fetcher[mail]")
    assert tree.did() == ["start fetcher[mail]", "fetcher[mail] <- TakeOver"]
    (order,) = tree.sent("fetcher[mail]", TakeOver)
    assert order.epoch == 2
    assert [worker.slot for worker in order.live] == [0, 1]
    assert tree.root.child_restarts["fetcher"] == 1


def test_the_next_fetcher_waits_longer_the_more_often_fetchers_die(tree: SimulatedTree) -> None:
    waits = []
    for _death in range(5):
        tree.ends("fetcher[mail]")
        died = tree.now
        while "fetcher[mail]" not in tree.names():
            tree.pass_time(tree.timers.seconds_left() or 0.0)
        waits.append(tree.now - died)
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4, 0.8])
    tree.pass_time(10.0)
    tree.did()
    tree.ends("fetcher[mail]")
    assert tree.did("start") == ["start fetcher[mail]"]


def test_nothing_else_starts_a_fetcher_before_its_time(tree: SimulatedTree) -> None:
    tree.ends("fetcher[mail]")
    tree.ends("fetcher[mail]")
    tree.did()
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    assert tree.did("start") == ["start worker[mail:0]"]


def test_the_workers_of_a_fetcher_that_keeps_dying_are_restarted_too(tree: SimulatedTree) -> None:
    for _death in range(5):
        tree.ends("fetcher[mail]")
        tree.pass_time(5.0)
    assert tree.did("kill") == []
    tree.ends("fetcher[mail]")
    assert tree.did("kill") == ["kill worker[mail:0] (group)", "kill worker[mail:1] (group)"]
    tree.ends("worker[mail:0]")
    assert tree.did("start worker") == ["start worker[mail:0]"]


# -- workers that end -----------------------------------------------------------------------------------


def test_a_worker_that_crashes_is_reported_and_replaced_and_its_files_stay_until_it_is_settled(
    tree: SimulatedTree,
) -> None:
    tree.runs("worker[mail:0]", 7)
    worker = tree.ends("worker[mail:0]", by_signal=11)
    assert worker.box is not None
    assert tree.did() == ["fetcher[mail] <- WorkerExited", "start worker[mail:0]"]
    (notice,) = tree.sent("fetcher[mail]", WorkerExited)
    assert (notice.incarnation, notice.signal, notice.exit_code, notice.max_rss) == (
        worker.key,
        11,
        None,
        1 << 20,
    )
    assert (notice.killed_for, notice.oom) == (None, None)
    assert Path(worker.box.path).exists()
    tree.sends("fetcher[mail]", CrashSettled(worker.key))
    assert not Path(worker.box.path).exists()
    assert tree.group().unsettled_exits == {}
    assert tree.group().restarts == {"crash": 1}


def test_a_fetcher_takes_over_the_dead_workers_that_the_last_one_has_not_settled(tree: SimulatedTree) -> None:
    settled, unsettled = tree.ends("worker[mail:0]"), tree.ends("worker[mail:1]")
    tree.sends("fetcher[mail]", CrashSettled(settled.key))
    tree.ends("fetcher[mail]")
    (order,) = tree.sent("fetcher[mail]", TakeOver)
    assert [notice.incarnation for notice in order.dead] == [unsettled.key]
    assert order.live == []  # the next workers have no pid yet: they are reported when they have


def test_workers_that_die_while_they_run_nothing_are_replaced_later_and_later(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    waits = []
    for _death in range(4):
        tree.ends("worker[mail:0]")
        died = tree.now
        while "worker[mail:0]" not in tree.names():
            tree.pass_time(tree.timers.seconds_left() or 0.0)
        tree.becomes_ready("worker[mail:0]")
        waits.append(tree.now - died)
    assert waits == pytest.approx([0.0, 0.1, 0.2, 0.4])
    assert "ended by signal 9 (SIGKILL) while it was idle" in caplog.text


@pytest.mark.parametrize(
    ("killed_for", "reason"), [("timeout", "timeout"), ("canceled", "timeout"), ("hung", "crash")]
)
def test_a_worker_that_the_root_killed_is_replaced_at_once(
    tree: SimulatedTree, killed_for: str, reason: str
) -> None:
    for _death in range(3):
        tree.processes.kill(tree.child("worker[mail:0]"), killed_for)
        tree.ends("worker[mail:0]")
        tree.becomes_ready("worker[mail:0]")
    assert len(tree.did("start worker[mail:0]")) == 3
    assert tree.group().restarts == {reason: 3}


def test_interrupts_go_to_a_living_worker_with_the_grace_of_its_type(tree: SimulatedTree) -> None:
    worker = tree.child("worker[mail:0]")
    tree.sends("fetcher[mail]", Interrupt(worker.key, 7, "canceled", 2.0))
    tree.sends("fetcher[mail]", Interrupt(999, 7, "canceled", 2.0))
    assert tree.did() == ["interrupt worker[mail:0] job 7 (canceled, 2s)"]


def test_a_worker_to_be_replaced_is_stopped_and_one_that_takes_no_tasks_is_killed(
    tree: SimulatedTree,
) -> None:
    old, stuck = tree.child("worker[mail:0]"), tree.child("worker[mail:1]")
    tree.sends("fetcher[mail]", Replace(old.key, "memory"))
    tree.sends("fetcher[mail]", Replace(stuck.key, "unresponsive"))
    assert tree.did() == ["stop worker[mail:0]", "kill worker[mail:1] (unresponsive)"]
    tree.ends("worker[mail:0]", exit_code=0)
    tree.ends("worker[mail:1]")
    assert tree.did("start") == ["start worker[mail:0]", "start worker[mail:1]"]
    assert tree.group().restarts == {"memory": 1, "crash": 1}


# -- workers that cannot boot ---------------------------------------------------------------------------


def fails_to_boot(tree: SimulatedTree, name: str) -> None:
    tree.is_forked(name)
    tree.sends(name, BootFailed("no module named numpy", 2))
    tree.ends(name, exit_code=1)


def hold(tree: SimulatedTree) -> None:
    """Have the workers of a type that ran before fail to boot until the type is held."""
    for slot in (0, 1):
        tree.runs(f"worker[mail:{slot}]", 1)
        tree.ends(f"worker[mail:{slot}]")
    for name in ("worker[mail:0]", "worker[mail:1]"):
        fails_to_boot(tree, name)
    tree.pass_time(0.4)
    tree.did()
    fails_to_boot(tree, "worker[mail:0]")


def test_a_type_whose_workers_fail_to_boot_claims_nothing_and_tries_one_worker_every_half_minute(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    hold(tree)
    assert HOLD in tree.did()
    assert "workers of type 'mail' cannot boot" in caplog.text
    for _canary in range(3):
        tree.pass_time(29.9)
        assert tree.did("start") == []
        tree.pass_time(0.2)
        assert tree.did("start") == ["start worker[mail:0]"]
        fails_to_boot(tree, "worker[mail:0]")
        assert HOLD in tree.did()


def test_a_canary_that_boots_ends_the_hold_and_fills_every_slot(tree: SimulatedTree) -> None:
    hold(tree)
    tree.pass_time(30.0)
    tree.did()
    tree.becomes_ready("worker[mail:0]")
    assert tree.did() == ["fetcher[mail] <- WorkerStarted", GO_ON, "start worker[mail:1]"]


def test_a_worker_that_boots_ends_the_wait_of_the_slots_beside_it(tree: SimulatedTree) -> None:
    for slot in (0, 1):
        tree.runs(f"worker[mail:{slot}]", 1)
        tree.ends(f"worker[mail:{slot}]")
    for slot in (0, 1):
        fails_to_boot(tree, f"worker[mail:{slot}]")
    tree.pass_time(0.8)
    fails_to_boot(tree, "worker[mail:1]")
    assert tree.group().boot.held
    tree.did()
    tree.becomes_ready("worker[mail:0]")
    assert tree.did("start") == ["start worker[mail:1]"]


def test_a_fetcher_that_starts_meanwhile_is_told_to_hold(tree: SimulatedTree) -> None:
    hold(tree)
    tree.did()
    tree.ends("fetcher[mail]")
    assert tree.did() == ["start fetcher[mail]", "fetcher[mail] <- TakeOver", HOLD]


def test_a_worker_that_dies_before_its_pid_is_known_counts_as_a_failed_boot(tree: SimulatedTree) -> None:
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    child = tree.child("worker[mail:0]")
    tree.processes.remove(child)
    tree.did()
    tree.root.on_child_not_started(child, "its fork ended by exit code 3", died=True)
    assert tree.group().boot.failures == 1
    tree.pass_time(0.3)
    assert tree.did("start") == []
    tree.pass_time(0.2)
    assert tree.did("start") == ["start worker[mail:0]"]


def test_a_tree_none_of_whose_types_has_ever_booted_gives_up_with_the_cause(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", workers=1))
    tree.root.on_nurseries_ready()
    for task_type in ("mail", "report"):
        assert not tree.root.node.is_stopping
        for _boot in range(3):
            tree.pass_time(0.8)
            fails_to_boot(tree, f"worker[{task_type}:0]")
    assert tree.root.node.is_stopping
    tree.all_told_to_end_do_so()
    assert tree.root.end is not None
    assert tree.root.end.exit_code == 4
    assert capfd.readouterr().err == "goque: no worker of any type can boot: no module named numpy\n"


def test_a_tree_goes_on_when_only_one_of_its_types_cannot_boot(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail", "report", workers=1))
    tree.root.on_nurseries_ready()
    tree.becomes_ready("worker[report:0]")
    for _boot in range(5):
        fails_to_boot(tree, "worker[mail:0]")
        tree.pass_time(31.0)
    assert not tree.root.node.is_stopping


# -- crash callbacks ------------------------------------------------------------------------------------


def test_a_crash_callback_runs_in_a_process_of_its_own_and_its_answer_is_passed_on(
    tree: SimulatedTree,
) -> None:
    tree.sends("fetcher[mail]", CallbackWanted(3, "mail", "{}"))
    tree.is_forked("callback[mail:3]")
    tree.sends("callback[mail:3]", CallbackDone(3, 60.0))
    tree.ends("callback[mail:3]", exit_code=0)
    tree.pass_time(10.0)
    answer = "fetcher[mail] <- CallbackDone(call=3, delay=60.0)"
    assert tree.did("callback", "Callback") == [
        "start callback[mail:3]",
        answer,
        "stop callback[mail:3]",  # its exit functions have a limited time
    ]


def test_a_crash_callback_that_dies_answers_nothing(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", CallbackWanted(3, "mail", "{}"))
    tree.did()
    tree.ends("callback[mail:3]", by_signal=11)
    assert tree.did() == ["fetcher[mail] <- CallbackDone(call=3, delay=None)"]


def test_a_crash_callback_that_takes_over_five_seconds_is_killed(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", CallbackWanted(3, "mail", "{}"))
    tree.did()
    tree.pass_time(4.9)
    assert tree.did() == []
    tree.pass_time(0.2)
    assert tree.did() == ["kill callback[mail:3] (callback)"]


def test_a_crash_callback_that_cannot_be_started_answers_nothing(tree: SimulatedTree) -> None:
    tree.processes.are_refused = True
    tree.sends("fetcher[mail]", CallbackWanted(3, "mail", "{}"))
    assert tree.did() == ["fetcher[mail] <- CallbackDone(call=3, delay=None)"]


# -- on_failure ------------------------------------------------------------------------------------------


def test_failures_are_reported_by_one_process_at_a_time(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", AttemptsFailed(["1"]))
    tree.sends("fetcher[mail]", AttemptsFailed(["2", "3"]))
    assert tree.did() == ["start reporter[mail:1]"]
    tree.is_forked("reporter[mail:1]")
    tree.sends("reporter[mail:1]", FailureTold())
    tree.ends("reporter[mail:1]", exit_code=0)
    assert tree.did() == ["start reporter[mail:2]"]
    for _ in range(2):
        tree.sends("reporter[mail:2]", FailureTold())
    tree.ends("reporter[mail:2]", exit_code=0)
    tree.pass_time(60.0)
    assert tree.did() == []


def test_a_report_that_ends_its_process_is_lost_and_those_after_it_are_not(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", AttemptsFailed(["deadly"]))
    tree.sends("fetcher[mail]", AttemptsFailed(["next"]))
    tree.ends("reporter[mail:1]", by_signal=11)
    assert tree.did() == ["start reporter[mail:1]", "start reporter[mail:2]"]
    tree.sends("reporter[mail:2]", FailureTold())
    tree.ends("reporter[mail:2]", exit_code=0)
    assert tree.did() == []


def test_each_call_has_its_own_time(tree: SimulatedTree) -> None:
    tree.processes.are_refused = True
    tree.sends("fetcher[mail]", AttemptsFailed(["1", "2", "3"]))
    assert tree.did() == []
    tree.processes.are_refused = False
    tree.pass_time(1.1)  # tried again
    tree.did()
    for _ in range(2):
        tree.pass_time(14.0)
        tree.sends("reporter[mail:2]", FailureTold())
    tree.pass_time(14.0)
    assert "kill reporter[mail:2] (callback)" not in tree.did()
    tree.pass_time(1.5)
    assert "kill reporter[mail:2] (callback)" in tree.did()


def test_a_group_is_not_gone_while_a_failure_is_reported(tree: SimulatedTree) -> None:
    tree.sends("fetcher[mail]", AttemptsFailed(["1"]))
    group = tree.group()
    group.drain()
    tree.drains("mail")
    for name in ("worker[mail:0]", "worker[mail:1]", "fetcher[mail]"):
        tree.ends(name, exit_code=0)
    assert not group.is_gone
    tree.sends("reporter[mail:1]", FailureTold())
    tree.ends("reporter[mail:1]", exit_code=0)
    assert group.is_gone


def test_when_the_tree_must_end_no_failure_is_reported_any_more_and_the_log_tells_how_many(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    tree.sends("fetcher[mail]", AttemptsFailed(["1", "2", "3"]))
    tree.sends("fetcher[mail]", AttemptsFailed(["4"]))
    tree.sends("reporter[mail:1]", FailureTold())
    tree.sends("fetcher[mail]", CallbackWanted(3, "mail", "{}"))
    tree.did()
    tree.group().end_user_functions()
    tree.group().end_user_functions()
    assert tree.did() == ["kill callback[mail:3] (shutdown)", "kill reporter[mail:1] (shutdown)"]
    assert [record.getMessage() for record in caplog.records] == [
        "on_failure of type 'mail': skipped 3 call(s), because the tree stops now"
    ]
    tree.ends("callback[mail:3]", by_signal=9)
    tree.ends("reporter[mail:1]", by_signal=9)
    tree.sends("fetcher[mail]", AttemptsFailed(["5"]))
    tree.pass_time(60.0)
    assert tree.did() == ["fetcher[mail] <- CallbackDone(call=3, delay=None)"]
    assert "skipped 1 call(s)" in caplog.text


# -- draining -------------------------------------------------------------------------------------------


def test_a_group_that_drains_ends_its_workers_when_the_fetcher_holds_nothing_and_then_the_fetcher(
    tree: SimulatedTree,
) -> None:
    group = tree.group()
    group.drain()
    assert tree.did() == ["fetcher[mail] <- Drain()"]
    tree.runs("worker[mail:0]", 1)
    tree.ends("worker[mail:0]")
    assert tree.did() == ["fetcher[mail] <- WorkerExited"]  # no other takes its place
    tree.drains("mail")
    assert tree.did() == ["stop worker[mail:1]"]
    tree.ends("worker[mail:1]", exit_code=0)
    assert tree.did() == ["fetcher[mail] <- WorkerExited", "stop fetcher[mail]"]
    tree.ends("fetcher[mail]", exit_code=0)
    assert (tree.did(), group.is_gone, group.restarts) == ([], True, {})


def test_workers_that_boot_when_a_group_drains_are_killed(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.comes_up()
    tree.runs("worker[mail:1]", 1)
    tree.ends("worker[mail:1]")
    tree.did()
    tree.group().drain()
    assert tree.did() == ["fetcher[mail] <- Drain()", "kill worker[mail:1] (shutdown)"]


def test_a_fetcher_that_dies_while_it_drains_is_followed_by_one_that_drains(tree: SimulatedTree) -> None:
    tree.group().drain()
    tree.did()
    tree.ends("fetcher[mail]")
    assert tree.did() == ["start fetcher[mail]", "fetcher[mail] <- TakeOver", "fetcher[mail] <- Drain()"]


def test_a_group_without_a_lease_has_nothing_to_drain(tmp_path: Path) -> None:
    tree = SimulatedTree(tmp_path, describe_app("mail"))
    tree.root.on_nurseries_ready()
    tree.becomes_ready("worker[mail:0]")
    tree.did()
    tree.group().drain()
    assert tree.did() == ["kill worker[mail:1] (shutdown)", "stop worker[mail:0]", "stop worker[mail:1]"]


def test_the_retirement_of_a_worker_is_told_to_the_next_fetcher_too(
    tree: SimulatedTree, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = tree.child("worker[mail:0]")
    tree.sends("fetcher[mail]", Replace(worker.key, "tasks"))
    tree.ends("fetcher[mail]")
    assert tree.sent("fetcher[mail]", Retire) == [Retire(worker.key, "tasks")]
    assert "is replaced: tasks" in caplog.text
