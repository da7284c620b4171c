"""SIGUSR1 logs the state of the tree, goque_node shows it to everybody, SIGUSR2 pauses claiming and resumes it."""

from __future__ import annotations

import os
import signal
import socket

from databases import on_every_backend
from tree import StartTree, Tree, eventually, free_port, get

from goque.cli.top.orders import Order, answer_to
from goque.describe.node_info import NodeInfo, decode_info

APP = """
registry.processor("hold", workers=2, min_workers=2, fetch_tick=0.1)(hold)
"""


def told_by(tree: Tree) -> NodeInfo:
    """What the tree's row says of it now."""
    texts = [node.info for node in tree.database.queue.storage.nodes()]
    return (decode_info(texts[0]) if texts else None) or NodeInfo()


def test_sigusr1_tells_of_every_process_and_every_running_task(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    (task,) = tree.database.enqueue("hold", "long")
    worker = tree.running_pid("long")
    tree.pid("cleaner")
    tree.signal(signal.SIGUSR1)
    block = eventually(lambda: tree.log.partition("the tree of pid")[2])
    assert f"\n        runs {task.id} for " in block
    assert f"pid {worker}, " in block
    for pid, name in tree.living().items():
        assert name == "goque:root" or f"pid {pid}" in block, name
    tree.let_go("long")
    eventually(tree.database.is_settled)


def test_sigusr2_stops_claiming_until_the_next_and_running_handlers_go_on(start_tree: StartTree) -> None:
    port = free_port()
    tree = start_tree("--http", f"127.0.0.1:{port}", app=APP)
    tree.database.enqueue("hold", "long")
    running = tree.running_pid("long")
    eventually(lambda: get(port, "/readyz")[0] == 200)
    tree.signal(signal.SIGUSR2)
    eventually(lambda: '"tree": "quiet"' in get(port, "/readyz")[1])
    tree.database.enqueue("hold", "later")
    tree.let_go("long", "later")
    eventually(lambda: tree.database.task("long").status == "done")
    fetcher = tree.pid("fetcher")
    os.kill(fetcher, signal.SIGKILL)  # the next one is told as well
    eventually(lambda: [other for other in tree.pids("fetcher") if other != fetcher])
    assert (tree.database.task("later").status, tree.database.task("later").claims) == ("new", 0)
    tree.signal(signal.SIGUSR2)
    eventually(tree.database.is_settled)
    assert tree.started("long") == [running]
    eventually(lambda: get(port, "/readyz")[0] == 200)


@on_every_backend
def test_the_row_of_a_node_tells_what_its_workers_run_and_what_became_of_others(
    start_tree: StartTree,
) -> None:
    tree = start_tree(app=APP)
    (task,) = tree.database.enqueue("hold", "long")
    worker = tree.running_pid("long")
    tree.database.enqueue("hold", "short")
    tree.let_go("short")

    def runs() -> set[tuple[int, str]]:
        return {
            (one.pid, run.task_id) for pool in told_by(tree).pools for one in pool.workers for run in one.runs
        }

    eventually(lambda: (worker, task.id) in runs())
    eventually(lambda: [kind.processed for kind in told_by(tree).types] == [{"done": 1}])
    info = told_by(tree)
    assert (info.app, info.quiet, info.left_out) == ("app:registry", False, 0)
    assert [(kind.type, kind.slots, kind.living) for kind in info.types] == [("hold", 2, 2)]

    def told() -> set[int]:
        info = told_by(tree)
        others = {one.pid for one in info.processes}
        return others | {one.pid for pool in info.pools for one in pool.workers}

    eventually(lambda: told() == set(tree.living()))
    assert all(one.memory for pool in info.pools for one in pool.workers)
    tree.let_go("long")
    eventually(tree.database.is_settled)


def test_top_drains_a_node_of_its_machine_and_lets_it_go_on(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    eventually(lambda: told_by(tree).types)
    storage = tree.database.queue.storage
    for verb, quiet, claims in (("drain", True, 0), ("wake", False, 1)):
        answer = answer_to(Order(verb, socket.gethostname(), pid=tree.root), storage)
        assert answer.message.startswith(f"told pid {tree.root} to claim ")
        eventually(lambda quiet=quiet: told_by(tree).quiet is quiet)
        if quiet:
            tree.database.enqueue("hold", "task")
            tree.let_go("task")
            fetcher = tree.pid("fetcher")
            os.kill(fetcher, signal.SIGKILL)  # the next one would claim it at its start
            eventually(lambda fetcher=fetcher: [one for one in tree.pids("fetcher") if one != fetcher])
        else:
            eventually(tree.database.is_settled)
        assert tree.database.task("task").claims == claims
