"""Apps that replace streams, start native threads, set alarms and signal handlers, or wrap their handlers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from databases import Database, SqliteDatabase
from tree import StartTree, eventually, python_command, supervise_command, write_app

HANDLER = """
@registry.processor("hello", workers=1, max_attempts=1, timeout=5)
def hello(task: Task):
    note("start", task.external_id, os.getpid())
    print("hello from", task.external_id)
"""

TEE = """
class Tee:
    def __init__(self, *streams):
        self.streams = streams
    def write(self, text):
        for stream in self.streams:
            stream.write(text)
        return len(text)
    def flush(self):
        for stream in self.streams:
            stream.flush()

copy = open("copy.log", "a")
sys.stdout, sys.stderr = Tee(sys.__stdout__, copy), Tee(sys.__stderr__, copy)
"""
WRITE_ONLY = """
class WriteOnly:
    def write(self, text):
        return os.write(1, text.encode())

sys.stdout = sys.stderr = WriteOnly()
"""
FAILS_TO_FLUSH = """
class FailsToFlush:
    def write(self, text):
        return os.write(1, text.encode())
    def flush(self):
        raise RuntimeError("no flush")

sys.stdout = sys.stderr = FailsToFlush()
"""
STREAMS = {
    "a tee": TEE,
    "no methods but write": WRITE_ONLY,
    "a flush that raises": FAILS_TO_FLUSH,
    "nothing": "sys.stdout = sys.stderr = None\n",
    "a closed stream": "sys.stdout = open(os.devnull, 'w'); sys.stdout.close()\n",
    "memory": "import io; sys.stdout = sys.stderr = io.StringIO()\n",
    "another encoding": "import io; sys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'latin-1')\n",
}


def check(directory: Path, database: Database) -> subprocess.CompletedProcess[str]:
    """Run `goque check` on the app of the test."""
    return subprocess.run(
        python_command("-m", "goque.cli", "check", "app:registry", "--database-url", database.url),
        cwd=directory,
        env={
            "PYTHONPATH": f"{Path(__file__).parent}",
            "PATH": "/usr/bin:/bin",
            "GOQUE_TEST_JOURNAL": str(directory / "journal"),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.fault(51)
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
@pytest.mark.parametrize("how", STREAMS)
def test_an_app_that_replaces_its_streams_runs_as_any_other(
    start_tree: StartTree, how: str, start_method: str
) -> None:
    tree = start_tree("--start-method", start_method, app=STREAMS[how] + HANDLER)
    tree.database.enqueue("hello", "a", "b")
    eventually(tree.database.is_settled)
    prints = how not in ("nothing", "a closed stream", "memory")
    expected = "attempts_left" if how == "a closed stream" else "done"
    assert [task.status for task in tree.database.tasks()] == [expected, expected]
    if prints:
        eventually(lambda: "hello from a" in tree.log)
    if how == "a tee":
        eventually(lambda: "hello from b" in (tree.directory / "copy.log").read_text("utf-8"))
    assert "restart" not in tree.log


SIGNALS_AT_IMPORT = """
def app_handler(number, frame):
    raise RuntimeError(f"the app's handler of signal {number}")

for number in (signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, app_handler)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR1, signal.SIGTERM})
signal.setitimer(signal.ITIMER_REAL, 0.3)

@registry.processor("job", workers=1, timeout=1, timeout_grace=5, max_attempts=1)
def job(task: Task):
    note("start", task.external_id, os.getpid())
    if task.payload == "slow":
        time.sleep(30)
"""


@pytest.mark.fault(51)
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_signal_handlers_alarms_and_masks_of_the_import_do_not_reach_the_tree(
    start_tree: StartTree, start_method: str
) -> None:
    tree = start_tree("--start-method", start_method, app=SIGNALS_AT_IMPORT)
    tree.database.enqueue("job", "a", payload="slow")
    tree.database.enqueue("job", "b")
    eventually(tree.database.is_settled)
    assert tree.database.task("a").errors == "attempt 1: task processing timeout: 1s\n"
    assert tree.database.task("b").status == "done"
    assert len({line[2] for line in tree.journal()}) == 1, "the timeout was raised; nothing was killed"
    assert tree.stop(within=10) == 0


ALARMS = """
@registry.processor("job", workers=1, timeout=1, timeout_grace=8, max_attempts=1)
def job(task: Task):
    note("start", task.external_id, os.getpid())
    match task.payload:
        case "alarm that is taken back":
            old = signal.signal(signal.SIGALRM, lambda *_: None)
            signal.alarm(5)
            signal.alarm(0)
            signal.signal(signal.SIGALRM, old)
        case "alarm that stays":
            signal.signal(signal.SIGALRM, lambda *_: None)
            signal.alarm(20)
        case "default action":
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, 0)
        case "own SIGUSR1":
            signal.signal(signal.SIGUSR1, lambda *_: None)
        case "slow":
            time.sleep(30)
"""


@pytest.mark.fault(51)
@pytest.mark.parametrize("alarm", ["alarm that is taken back", "alarm that stays", "default action"])
def test_a_handler_that_uses_alarms_takes_no_timeout_from_the_next_task(
    start_tree: StartTree, alarm: str
) -> None:
    tree = start_tree(app=ALARMS)
    for name, payload in (("a", "slow"), ("b", alarm), ("c", "slow")):
        tree.database.enqueue("job", name, payload=payload)
        eventually(tree.database.is_settled)
    assert tree.database.task("b").status == "done"
    (attempt,) = tree.database.attempts(tree.database.task("c"))
    assert attempt.failed.cause == "timeout"
    assert attempt.failed.signal is None, "TaskTimeout was raised; nothing was killed"
    assert len({line[2] for line in tree.journal()}) == 1


@pytest.mark.fault(51)
def test_a_handler_that_takes_sigusr1_takes_no_cancel_from_the_next_task(start_tree: StartTree) -> None:
    slow = ALARMS.replace("timeout=1,", "timeout=20,")
    tree = start_tree(app=slow)
    tree.database.enqueue("job", "a", payload="own SIGUSR1")
    eventually(tree.database.is_settled)
    tree.database.enqueue("job", "b", payload="slow")
    pid = tree.running_pid("b")
    tree.database.queue.cancel_task(tree.database.task("b").id)
    tree.database.enqueue("job", "c")
    eventually(tree.database.is_settled, within=8)
    assert tree.database.task("c").status == "done"
    assert tree.started("c") == [pid]


NATIVE_THREADS = """
libc = ctypes.CDLL(None)
thread = ctypes.c_ulong()
assert libc.pthread_create(ctypes.byref(thread), None, ctypes.cast(libc.pause, ctypes.c_void_p), None) == 0
"""


@pytest.mark.fault(51)
def test_an_app_with_native_threads_gets_spawned_workers_and_a_line_that_says_so(
    start_tree: StartTree, tmp_path: Path, database: Database
) -> None:
    tree = start_tree(app=NATIVE_THREADS + HANDLER)
    tree.database.enqueue("hello", "a")
    eventually(tree.database.is_settled)
    assert tree.database.task("a").status == "done"
    said = "the app starts threads at import (native "
    assert tree.log.count(said) == 1
    assert said in check(tmp_path, database).stderr


@pytest.mark.fault(51)
def test_an_app_without_threads_forks_its_workers(start_tree: StartTree) -> None:
    ended = "threading.Thread(target=int).start(); [t.join() for t in threading.enumerate()[1:]]\n"
    tree = start_tree(app=ended + HANDLER)
    tree.database.enqueue("hello", "a")
    eventually(tree.database.is_settled)
    assert "starts threads" not in tree.log


INTERRUPTED_CHILD = """
SLEEP = "print('up', flush=True)\\nimport time\\ntry: time.sleep(60)\\nexcept KeyboardInterrupt: raise SystemExit(7)"

def interrupt():
    child = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE)
    assert child.stdout.read(3) == b"up\\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    try:
        return child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        return "ignored"

@registry.processor("plain", workers=1, max_attempts=1, store_result=True)
def plain(task: Task):
    return interrupt()

@registry.processor("awaited", workers=1, max_attempts=1, store_result=True)
async def awaited(task: Task):
    return await asyncio.to_thread(interrupt)
"""


@pytest.mark.fault(51)
@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
def test_a_program_that_a_handler_starts_ends_by_sigint(start_tree: StartTree, start_method: str) -> None:
    tree = start_tree("--start-method", start_method, app=INTERRUPTED_CHILD)
    tree.database.enqueue("plain", "a")
    tree.database.enqueue("awaited", "b")
    eventually(tree.database.is_settled, within=30)
    assert [task.result for task in tree.database.tasks()] == [7, 7]


PROXY_SOCKET = """
import socket

class ProxySocket(socket.socket):
    def __init__(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, proto=0, fileno=None):
        assert fileno is None, "made by the app alone"
        super().__init__(family, kind, proto)

socket.socket = ProxySocket
"""
DEBUGGER = """
def fork_for_debugger():
    raise RuntimeError("no debugger answers")

os.fork = os.execv = fork_for_debugger
"""
WORLDS = {
    "a default timeout of sockets": "import socket; socket.setdefaulttimeout(1)\n",
    "a socket class of its own": PROXY_SOCKET,
    "a fork of its own": DEBUGGER,
    "an os._exit of its own": "os._exit = sys.exit\n",
    "a closed standard input": "os.close(0)\n",
    "children of others": "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER\n",
}


@pytest.mark.fault(51)
@pytest.mark.parametrize("world", WORLDS)
def test_an_app_that_replaces_what_goque_uses_runs_as_any_other(start_tree: StartTree, world: str) -> None:
    tree = start_tree(app=WORLDS[world] + HANDLER)
    tree.database.enqueue("hello", "a", "b")
    eventually(tree.database.is_settled)
    assert [task.status for task in tree.database.tasks()] == ["done", "done"]
    assert [line for line in tree.log.splitlines() if " WARN " in line or " ERROR " in line] == []


@pytest.mark.fault(51)
@pytest.mark.parametrize("where", ["flag", "file"])
def test_a_relative_database_is_where_the_tree_was_started_wherever_the_import_goes(
    tmp_path: Path, run_dir: Path, where: str
) -> None:
    write_app(tmp_path, 'os.chdir("/proc")\n' + HANDLER)
    database = SqliteDatabase(tmp_path, name="here.db")
    database.enqueue("hello", "a")
    url = "sqlite:///here.db"
    if where == "file":
        (tmp_path / "goque.toml").write_text(f'database_url = "{url}"\n', "utf-8")
    flags = ("--database-url", url) if where == "flag" else ()
    done = subprocess.run(
        supervise_command(run_dir / "shared", "--drain", *flags),
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parent), "GOQUE_TEST_JOURNAL": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert database.counts() == {"done": 1}


REFUSED = {
    "from gevent import monkey; monkey.patch_all()\n": "patches Python with gevent at its import (",
    "from gevent import monkey; monkey.patch_time()\n": "patches Python with gevent at its import (time.sleep)",
    "time.monotonic = lambda: 1.0\n": "replaces time.monotonic at its import (by one of app)",
}


@pytest.mark.fault(51)
@pytest.mark.parametrize("patch", REFUSED)
def test_an_app_in_which_no_worker_can_run_is_refused_with_one_line(
    start_tree: StartTree, tmp_path: Path, database: Database, patch: str
) -> None:
    tree = start_tree(app=patch + HANDLER)
    assert tree.wait() == 2
    (line,) = tree.log.splitlines()
    assert f"app 'app:registry' {REFUSED[patch]}" in line
    checked = check(tmp_path, database)
    assert (checked.returncode, checked.stderr) == (2, f"{line}\n")


GREEN_HANDLER = """
@registry.processor("green", workers=1, max_attempts=1, timeout=4, store_result=True)
def green(task: Task):
    note("start", task.external_id, os.getpid())
    import gevent
    from gevent import monkey
    monkey.patch_all()
    gevent.joinall([gevent.spawn(time.sleep, task.payload) for _ in range(20)])
    return "ok"
"""


@pytest.mark.fault(51)
def test_a_handler_may_patch_its_own_worker(start_tree: StartTree) -> None:
    tree = start_tree(app=GREEN_HANDLER)
    for name, seconds in (("a", 0.1), ("b", 30), ("c", 0.1)):
        tree.database.enqueue("green", name, payload=seconds)
        eventually(tree.database.is_settled)
    assert [tree.database.task(name).status for name in "abc"] == ["done", "attempts_left", "done"]
    assert tree.database.task("b").errors == "attempt 1: task processing timeout: 4s\n"
    assert len({line[2] for line in tree.journal()}) == 1
