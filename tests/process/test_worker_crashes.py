"""Workers die: which task is charged, what its error says, and that no other task is affected."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from tree import StartTree, Tree, eventually

from goque import Task

APP = """
options = dict(workers=2, min_workers=2, next_attempt_at=retry.static(0), fetch_tick=0.05, max_attempts=3)
registry.processor("hold", **options)(hold)

@registry.processor("crash", **options)
def crash(task: Task):
    note("start", task.external_id, os.getpid())
    match task.payload:
        case "segfault": ctypes.string_at(0)
        case "exit 0": os._exit(0)
        case "exit 3": os._exit(3)
        case "abort": os.abort()

@registry.processor("fine", **options)
def fine(task: Task):
    with run_of(task):
        pass
"""


def done(tree: Tree, name: str) -> Task | None:
    task = tree.database.task(name)
    return task if task.status == "done" else None


@pytest.mark.fault(1)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_a_worker_killed_while_it_runs_a_task_costs_that_task_one_attempt(
    start_tree: StartTree, number: signal.Signals
) -> None:
    tree = start_tree("--types", "hold", app=APP)
    tree.database.enqueue("hold", "victim", "neighbour")
    victim, neighbour = tree.running_pid("victim"), tree.running_pid("neighbour")
    os.kill(victim, number)
    tree.let_go("victim")
    task = eventually(lambda: done(tree, "victim"))
    assert task.attempts == 1
    assert task.errors == f"attempt 1: worker crashed: signal {number} ({number.name})\n"
    assert tree.running_pid("neighbour") == neighbour
    tree.let_go("neighbour")
    assert eventually(lambda: done(tree, "neighbour")).attempts == 0
    assert len(tree.workers("hold")) == 2
    tree.assert_each_ran(2, ["victim"])
    tree.assert_each_ran(1, ["neighbour"])


@pytest.mark.fault(2)
def test_a_handler_that_segfaults_on_its_first_line_twenty_times_ends_in_attempts_left(
    start_tree: StartTree,
) -> None:
    tree = start_tree("--types", "crash,fine", app=APP.replace("max_attempts=3", "max_attempts=20"))
    tree.database.enqueue("crash", "doomed", payload="segfault")
    tree.database.enqueue("fine", *(f"fine-{n}" for n in range(50)))
    eventually(tree.database.is_settled, within=40)
    task = tree.database.task("doomed")
    assert (task.status, task.attempts) == ("attempts_left", 20)
    assert task.errors == "".join(f"attempt {n}: worker crashed: signal 11 (SIGSEGV)\n" for n in range(1, 21))
    assert [row.failed.signal for row in tree.database.attempts(task)] == [11] * 20
    assert len(set(tree.started("doomed"))) == 20
    assert tree.database.counts("fine") == {"done": 50}
    eventually(lambda: len(tree.workers("crash")) == 2)


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("payload", "cause"),
    [
        ("exit 0", "exit code 0"),
        ("exit 3", "exit code 3"),
        ("abort", "signal 6 (SIGABRT)"),
    ],
)
def test_a_handler_that_ends_its_process_is_a_crash_with_that_cause(
    start_tree: StartTree, payload: str, cause: str
) -> None:
    tree = start_tree("--drain", "--types", "crash", app=APP.replace("max_attempts=3", "max_attempts=1"))
    tree.database.enqueue("crash", "leaver", payload=payload)
    assert tree.wait() == 0
    task = tree.database.task("leaver")
    assert (task.status, task.attempts) == ("attempts_left", 1)
    assert task.errors == f"attempt 1: worker crashed: {cause}\n"


@pytest.mark.fault(5)
def test_an_idle_worker_that_is_killed_is_replaced_and_no_task_is_touched(start_tree: StartTree) -> None:
    tree = start_tree("--types", "fine", app=APP)
    tree.database.enqueue("fine", "before")
    eventually(lambda: done(tree, "before"))
    before = tree.workers("fine")
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    eventually(lambda: len(now := tree.workers("fine")) == 2 and before[0] not in now)
    tree.database.enqueue("fine", *(f"after-{n}" for n in range(20)))
    eventually(tree.database.is_settled)
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {
        ("done", 0, None)
    }


@pytest.mark.fault(5)
def test_a_worker_killed_while_it_boots_is_replaced_and_no_task_is_touched(start_tree: StartTree) -> None:
    slow_boot = """
if "goque:w" in Path("/proc/self/comm").read_text():
    if Path("boots-slowly").exists():
        note("boot", os.getpid())
        time.sleep(30)
    note("booted", os.getpid())
"""
    tree = start_tree("--start-method", "spawn", "--types", "fine", app=APP + slow_boot)
    tree.database.enqueue("fine", "before")
    eventually(lambda: done(tree, "before"))
    eventually(lambda: len([line for line in tree.journal() if line[0] == "booted"]) == 2)
    slow = tree.journal_directory.parent / "boots-slowly"
    slow.touch()
    os.kill(tree.workers("fine")[0], signal.SIGKILL)
    booting = eventually(lambda: [line for line in tree.journal() if line[0] == "boot"])
    slow.unlink()
    os.kill(int(booting[0][1]), signal.SIGKILL)
    eventually(lambda: "before it could take a task" in tree.log)
    tree.database.enqueue("fine", *(f"after-{n}" for n in range(20)))
    eventually(tree.database.is_settled)
    eventually(lambda: len(tree.workers("fine")) == 2)
    assert {(task.status, task.attempts, task.errors) for task in tree.database.tasks()} == {
        ("done", 0, None)
    }


@pytest.mark.fault(6)
def test_a_result_counts_though_its_worker_died_before_it_could_send_it(start_tree: StartTree) -> None:
    dies = """
from goque_supervisor.worker.worker import Worker
send = Worker.send_results
def die_before_sending(self):
    if self.results and Path("die").exists():
        Path("die").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    send(self)
Worker.send_results = die_before_sending
"""
    tree = start_tree("--types", "fine", app=APP + dies)
    (tree.journal_directory.parent / "die").touch()
    tree.database.enqueue("fine", "finished")
    task = eventually(lambda: done(tree, "finished"))
    assert (task.attempts, task.errors) == (0, None)
    assert not (tree.journal_directory.parent / "die").exists()
    (pid,) = tree.started("finished")
    eventually(lambda: pid not in tree.workers("fine") and len(tree.workers("fine")) == 2)
    tree.assert_each_ran(1, ["finished"])


@pytest.mark.fault(10)
def test_the_grandchildren_of_a_dead_worker_are_killed_and_reaped(start_tree: StartTree) -> None:
    parent = """
@registry.processor("parent", workers=1, max_attempts=1)
def parent(task: Task):
    children = [subprocess.Popen(["sleep", "1000"]).pid for _ in range(3)]
    orphan = subprocess.run(["sh", "-c", "sleep 1001 >/dev/null 2>&1 & echo $!"], capture_output=True, check=True)
    note("start", task.external_id, os.getpid(), *children, int(orphan.stdout))
    ctypes.string_at(0)
"""
    tree = start_tree("--types", "parent", app=APP + parent)
    tree.database.enqueue("parent", "forker")
    (line,) = eventually(lambda: [line for line in tree.journal() if line[0] == "start"])
    grandchildren = [int(pid) for pid in line[3:]]
    assert len(grandchildren) == 4
    task = eventually(lambda: (task := tree.database.task("forker")).status == "attempts_left" and task)
    assert task.errors == "attempt 1: worker crashed: signal 11 (SIGSEGV)\n"
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in grandchildren), within=3)


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    "mischief",
    [
        "os.closerange(0, 256)",
        "os.closerange(3, 256)",
        "[os.write(int(n), b'x' * 64) for n in os.listdir('/proc/self/fd') if int(n) > 2]",
        "os.chdir('/'); os.umask(0o777)",
        "[signal.signal(number, signal.SIG_IGN) for number in (1, 2, 10, 14, 15, 17)]",
        "sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
        "sys.stdout = sys.stderr = None",
        "os.setpriority(os.PRIO_PROCESS, 0, 10)",
        "threading.Thread(target=time.sleep, args=(1,)).start()",
    ],
)
def test_a_handler_that_wrecks_its_process_harms_that_worker_at_most(
    start_tree: StartTree, mischief: str
) -> None:
    wrecker = f"""
@registry.processor("wreck", workers=1, timeout=1, timeout_grace=0.3, fetch_tick=0.05,
                    next_attempt_at=retry.static(0), max_attempts=2)
def wreck(task: Task):
    if task.payload == "wreck":
        {mischief}
"""
    tree = start_tree("--types", "wreck,fine", app=APP + wrecker)
    tree.database.enqueue("wreck", "wrecker", payload="wreck")
    eventually(tree.database.is_settled)
    tree.database.enqueue("wreck", *(f"after-{n}" for n in range(10)), payload="be good")
    tree.database.enqueue("fine", *(f"fine-{n}" for n in range(10)))
    eventually(tree.database.is_settled)
    assert tree.database.task("wrecker").attempts <= 2
    assert tree.database.counts("fine") == {"done": 10}
    assert {task.status for task in tree.database.tasks("wreck") if task.external_id != "wrecker"} == {"done"}


@pytest.mark.fault(1)
def test_coroutines_that_wait_for_their_first_step_are_not_charged_for_a_crash(start_tree: StartTree) -> None:
    app = """
@registry.processor("many", workers=1, concurrency=20, next_attempt_at=retry.static(0), max_attempts=1)
async def many(task: Task):
    note("start", task.external_id, os.getpid())
    if task.external_id == "bad":
        os.kill(os.getpid(), signal.SIGKILL)
"""
    tree = start_tree(app=app)
    names = [f"t{n}" for n in range(15)]
    bad = Task("many", external_id="bad", priority=9)
    tree.database.queue.add_tasks([bad, *(Task("many", external_id=name) for name in names)])  # sent together
    eventually(tree.database.is_settled)
    assert (tree.database.task("bad").status, tree.database.task("bad").attempts) == ("attempts_left", 1)
    assert {tree.database.task(name).attempts for name in names} == {0}
    tree.assert_each_ran(1, ["bad", *names])


@pytest.mark.fault(1)
def test_the_report_of_a_crash_shows_no_lines_of_earlier_tasks(start_tree: StartTree) -> None:
    app = """
@registry.processor("loud", workers=1, max_attempts=1)
def loud(task: Task):
    os.write(2, f"raw line of {task.external_id}\\n".encode())
    print("printed by", task.external_id, file=sys.stderr)
    if task.payload == "crash":
        os._exit(3)
"""
    tree = start_tree(app=app)
    tree.database.enqueue("loud", "first", "second")
    tree.database.enqueue("loud", "crash", payload="crash")
    eventually(tree.database.is_settled)
    [attempt] = tree.database.attempts(tree.database.task("crash"))
    assert "raw line of crash\n" in (attempt.failed.stderr or "")
    assert "printed by crash" in attempt.failed.stderr
    assert "first" not in attempt.failed.stderr
    assert "second" not in attempt.failed.stderr
