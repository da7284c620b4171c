"""How trees start, or say in one line why they do not; start methods, roles and the Python API."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tree import Database, StartTree, Tree, eventually, free_port, python_command

APP = """
registry.processor("hold", workers=1, fetch_tick=0.1)(hold)

@registry.processor("quick", workers=1, fetch_tick=0.1)
def quick(task: Task):
    with run_of(task):
        pass
"""


def the_one_line(tree: Tree) -> str:
    """Return what a tree that refused to start has said: one line, and no traceback."""
    (line,) = tree.log.splitlines()
    return line


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_this_name", "no module named 'nothing_of_this_name'"),
        ("registry = 1 / 0", "ZeroDivisionError"),
        ("def (:", "SyntaxError"),
        ("sys.exit('not today')", "not today"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("ctypes.string_at(0)", "signal 11 (SIGSEGV)"),
        ("os._exit(7)", "exit code 7"),
        ("del registry", "no attribute registry"),
        ("registry = {}", "dict"),
        ("registry = Registry", "class Registry"),
        ("", "no processors"),
        ("registry.processor('a', worker=3)(print)", "workers"),
        ("registry.processor('a', workers=0)(print)", "workers"),
    ],
)
def test_an_app_that_cannot_be_loaded_is_one_line_and_exit_code_2(
    start_tree: StartTree, source: str, said: str
) -> None:
    tree = start_tree(app=source)
    assert tree.wait() == 2
    assert said.lower() in the_one_line(tree).lower()


@pytest.mark.parametrize(
    "options",
    [
        ["--types", "nosuch"],
        ["--exclude-types", "nosuch"],
        ["--database-url", "oracle://somewhere/else"],
        ["--database-url", "sqlite:///"],
    ],
)
def test_an_option_that_names_what_is_not_there_is_one_line_and_exit_code_2(
    start_tree: StartTree, options: list[str]
) -> None:
    tree = start_tree(*options, app=APP)
    assert tree.wait() == 2
    assert the_one_line(tree).startswith("goque: ")


@pytest.mark.parametrize("trouble", ["a foreign file", "no such directory", "a directory", "another schema"])
def test_a_database_that_cannot_be_used_is_one_line_and_exit_code_3(
    start_tree: StartTree, database: Database, tmp_path: Path, trouble: str
) -> None:
    broken = tmp_path / "broken.db"
    match trouble:
        case "a foreign file":
            broken.write_text("this is no database, but long enough to have a header\n" * 20, "utf-8")
        case "no such directory":
            broken = tmp_path / "nowhere" / "broken.db"
        case "a directory":
            broken.mkdir()
        case "another schema":
            with closing(sqlite3.connect(broken)) as connection:
                connection.execute("create table goque_task (id integer)")
                connection.commit()
    database.queue.get_tasks()
    tree = start_tree(app=APP, GOQUE_DATABASE_URL=f"sqlite:///{broken}")
    assert tree.wait() == 3
    said = [line for line in tree.log.splitlines() if line.startswith("goque: ")]
    assert len(said) == 1
    assert "Traceback" not in tree.log


@contextmanager
def locked(database: Database, begin: str) -> Iterator[None]:
    """Hold the lock of the database for the time of the block, as a bulk load or a schema change does."""
    database.queue.storage.ping()
    with closing(sqlite3.connect(database.path, isolation_level=None)) as connection:
        connection.execute(f"begin {begin}")
        yield
        connection.execute("rollback")


@pytest.mark.fault(30)
@pytest.mark.parametrize("state", ["new", "in use"])
def test_a_database_that_is_locked_at_the_start_is_waited_for(
    start_tree: StartTree, database: Database, state: str
) -> None:
    if state == "in use":
        database.enqueue("quick", "before")
    with locked(database, "immediate"):
        tree = start_tree("--drain", app=APP)
        eventually(lambda: "waiting up to 10s for the database" in tree.log)
    database.enqueue("quick", "after")
    assert tree.wait() == 0
    assert database.is_settled()
    assert "goque: " not in tree.log


@pytest.mark.fault(30)
def test_a_database_that_stays_locked_is_one_line_and_exit_code_3(
    start_tree: StartTree, database: Database
) -> None:
    database.enqueue("quick", "untouched")
    with locked(database, "immediate"):
        tree = start_tree(app=APP)
        assert tree.wait() == 3
    (said,) = [line for line in tree.log.splitlines() if line.startswith("goque: ")]
    assert "is locked by another writer" in said
    assert "Traceback" not in tree.log
    assert database.task("untouched").status == "new"


@pytest.mark.fault(30)
def test_a_tree_that_waits_for_a_locked_database_can_be_stopped(
    start_tree: StartTree, database: Database
) -> None:
    with locked(database, "immediate"):
        tree = start_tree(app=APP)
        eventually(lambda: "waiting up to 10s for the database" in tree.log)
        assert tree.stop() == 0


@pytest.mark.fault(20)
def test_a_second_supervisor_on_a_run_directory_exits_with_2_and_disturbs_nobody(
    start_tree: StartTree,
) -> None:
    first = start_tree(app=APP)
    first.database.enqueue("hold", "long")
    running = first.running_pid("long")
    second = start_tree(beside=first)
    assert second.wait() == 2
    assert "in use by another supervisor" in the_one_line(second)
    first.let_go("long")
    first.database.enqueue("quick", "after")
    eventually(first.database.is_settled)
    assert first.started("long") == [running]


@pytest.mark.parametrize("trouble", ["a link", "open to others", "a file", "too long"])
def test_a_run_directory_that_is_not_private_is_refused_in_one_line(
    start_tree: StartTree, run_dir: Path, trouble: str
) -> None:
    base = run_dir / "base"
    match trouble:
        case "a link":
            (run_dir / "elsewhere").mkdir(mode=0o700)
            base.symlink_to(run_dir / "elsewhere")
        case "open to others":
            base.mkdir()
            base.chmod(0o755)
        case "a file":
            base.touch()
        case "too long":
            base = run_dir / ("x" * 100)
    tree = start_tree("--run-dir", str(base), app=APP)
    assert tree.wait() == 2
    assert "run directory" in the_one_line(tree)
    (run_dir / "shared").mkdir()


def test_the_run_directory_and_what_is_in_it_belong_to_the_user_alone(start_tree: StartTree) -> None:
    tree = start_tree(app=APP)
    tree.database.enqueue("quick", "q")
    eventually(tree.database.is_settled)
    directories = [tree.run_dir, *(path for path in tree.run_dir.rglob("*") if path.is_dir())]
    assert [path.stat().st_mode & 0o777 for path in directories] == [0o700, 0o700]
    private = {".box", ".stderr", ".stack", ".sock"}
    found = {path.suffix for path in tree.run_dir.rglob("*")}
    assert private <= found


def test_no_command_line_of_a_child_tells_the_database_or_a_key(start_tree: StartTree) -> None:
    tree = start_tree("--start-method", "spawn", app=APP)
    tree.database.enqueue("quick", "q")
    eventually(tree.database.is_settled)
    lines = [Path(f"/proc/{pid}/cmdline").read_text("utf-8") for pid in tree.living()]
    assert len(lines) > 5
    assert [line for line in lines if "sqlite" in line] == []


DIES_AT_BOOT = """
if Path("/proc/self/comm").read_text().startswith("goque:w"):
    raise RuntimeError("no GPU here")
"""


def test_a_tree_of_which_no_worker_can_boot_gives_up_with_exit_code_4_and_the_cause(
    start_tree: StartTree, database: Database
) -> None:
    database.enqueue("quick", "untouched")
    tree = start_tree("--start-method", "spawn", app=APP + DIES_AT_BOOT)
    assert tree.wait() == 4
    assert "Traceback" not in tree.log
    (last,) = [line for line in tree.log.splitlines() if line.startswith("goque: ")]
    assert last.startswith("goque: no worker of any type can boot: ")
    assert "RuntimeError: no GPU here (app.py, line " in last
    assert (database.task("untouched").status, database.task("untouched").attempts) == ("new", 0)


def test_crashing_tasks_never_make_a_tree_give_up(start_tree: StartTree) -> None:
    crash = """
@registry.processor("crash", workers=1, max_attempts=1, fetch_tick=0.1)
def crash(task: Task):
    os._exit(1)
"""
    tree = start_tree("--types", "crash", app=APP + crash)
    tree.database.enqueue("crash", *(f"c{n}" for n in range(30)))
    eventually(tree.database.is_settled, within=30)
    assert tree.database.counts() == {"attempts_left": 30}
    assert tree.process.poll() is None


def test_spawned_workers_do_the_same_work(start_tree: StartTree) -> None:
    tree = start_tree("--start-method", "spawn", app=APP)
    tree.database.enqueue("hold", "victim")
    tree.database.enqueue("quick", *(f"q{n}" for n in range(50)))
    os.kill(tree.running_pid("victim"), signal.SIGKILL)
    eventually(lambda: tree.database.counts("quick") == {"done": 50})
    eventually(lambda: tree.database.counts("hold") == {"error": 1})
    assert tree.database.task("victim").errors == "attempt 1: worker crashed: signal 9 (SIGKILL)\n"


def test_an_app_that_starts_threads_at_import_is_spawned_with_a_warning(start_tree: StartTree) -> None:
    threads = """
threading.Thread(target=lambda: time.sleep(1000), name="ticker", daemon=True).start()

@registry.processor("thread", workers=1)
def threads(task: Task):
    note("threads", threading.active_count())
"""
    tree = start_tree("--drain", app=APP + threads)
    tree.database.enqueue("thread", "t")
    assert tree.wait() == 0
    assert "starts threads at import (ticker)" in tree.log
    assert tree.database.counts() == {"done": 1}
    assert tree.journal() == [["threads", "2"]]


def test_roles_can_be_split_over_two_supervisors_on_one_database(start_tree: StartTree) -> None:
    periodic = """
registry.add_periodic_job(goque.cron_job("tick", "* * * * * *", lambda: Task("quick")))
"""
    work = start_tree("--roles", "processors", app=APP + periodic, apart=True)
    http = ("--http", f"127.0.0.1:{free_port()}")
    care = start_tree("--roles", "healer,cleaner,scheduler,monitor", *http, apart=True)
    eventually(lambda: work.database.counts("quick").get("done", 0) >= 2)
    roles = (f"w0:{work.pool_of('quick')}", "fetcher", "healer", "cleaner", "scheduler", "monitor")
    assert [bool(work.pids(role)) for role in roles] == [True, True, False, False, False, False]
    assert [bool(care.pids(role)) for role in roles] == [False, False, True, True, True, True]
    assert care.stop() == 0
    eventually(work.database.is_settled)


def test_a_supervisor_can_be_run_from_python_with_closures_as_handlers(
    tmp_path: Path, run_dir: Path, database: Database
) -> None:
    program = """
from datetime import timedelta

def main():
    greeting = "hello"
    local = Registry()

    class Resizer:
        def __init__(self, factor):
            self.factor = factor
        def process_task(self, task):
            note("resized", task.payload * self.factor)

    local.add_processor("greet", lambda task: note(greeting, task.payload), workers=1)
    local.add_processor("resize", Resizer(3), workers=1)

    @local.processor("acount", workers=1)
    async def acount(task: Task):
        await asyncio.sleep(0)
        note("counted", task.payload)

    local.queue.enqueue("greet", "world")
    local.queue.enqueue("resize", 7)
    local.queue.enqueue("acount", 1)
    types = {"greet", "resize", "acount"}
    options = {"run_dir": Path(sys.argv[1]), "node_timeout": timedelta(seconds=3), "types": types}
    sys.exit(goque.Supervisor(local, drain=True, **options).run())

main()
"""
    from tree import write_app

    write_app(tmp_path, program)
    base = run_dir / "python"
    tree = Tree(tmp_path, base, database, python_command("app.py", str(base)), {})
    try:
        assert tree.wait() == 0, tree.log
        assert sorted(tree.journal()) == [["counted", "1"], ["hello", "world"], ["resized", "21"]]
        tree.assert_nothing_left()
        database.assert_nobody_holds_anything()
    finally:
        tree.clean_up()


def test_a_supervisor_started_from_python_stops_with_its_block(
    tmp_path: Path, run_dir: Path, database: Database
) -> None:
    program = """
if __name__ == "__main__":
    registry.processor("hold", workers=1)(hold)
    with goque.Supervisor(registry, run_dir=sys.argv[1], node_timeout=3) as supervisor:
        registry.queue.enqueue("hold", external_id="h")
        while not Path("journal/journal").exists():
            time.sleep(0.01)
        Path("journal/h.go").touch()
        assert supervisor.pid
    assert registry.queue.get_tasks()[0].status == "done"
    try:
        goque.Supervisor(registry, drian=True)
    except goque.ConfigurationError as error:
        print(error)
    nowhere = "sqlite:////no/such/directory/goque.db"
    try:
        with goque.Supervisor(registry, run_dir=sys.argv[1], database_url=nowhere) as supervisor:
            while Path(f"/proc/{supervisor.pid}/stat").read_text().split()[2] != "Z":
                time.sleep(0.01)
    except goque.GoqueError as error:
        print(error)
"""
    from tree import write_app

    write_app(tmp_path, program)
    base = run_dir / "python"
    tree = Tree(tmp_path, base, database, python_command("app.py", str(base)), {})
    try:
        assert tree.wait() == 0, tree.log
        assert "drian" in tree.log
        assert "the tree ended with exit code 3; its log shows the cause" in tree.log
        tree.assert_nothing_left()
    finally:
        tree.clean_up()
        shutil.rmtree(base, ignore_errors=True)


@pytest.mark.fault(13)
@pytest.mark.parametrize("death", ["os._exit(7)", "os.kill(os.getpid(), signal.SIGSEGV)"])
def test_an_app_whose_forks_die_at_once_ends_the_tree_with_exit_code_4_and_the_cause(
    start_tree: StartTree, death: str
) -> None:
    app = f"""
@registry.processor("never")
def never(task: Task): pass

os.register_at_fork(after_in_child=lambda: {death})
"""
    tree = start_tree("--types", "never", app=app)
    assert tree.wait() == 4
    cause = "exit code 7" if "exit" in death else "signal 11 (SIGSEGV)"
    assert f"goque: no worker of any type can boot: its fork ended by {cause}\n" in tree.log


def test_a_port_in_use_ends_the_tree_in_order_with_exit_code_2(start_tree: StartTree) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        tree = start_tree("--http", address, app='registry.add_processor("idle", print)')
        assert tree.wait() == 2
    assert "cannot be opened: Address already in use; choose another" in tree.log
    assert "alive" not in tree.database.node_states()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_the_endpoint_is_served_on_ipv4_and_ipv6_and_the_log_names_the_port_that_was_free(
    start_tree: StartTree, host: str
) -> None:
    tree = start_tree("--http", f"{host}:0", app='registry.add_processor("idle", print)')
    served = eventually(lambda: re.search(rf" on (http://{re.escape(host)}:[1-9][0-9]*)\n", tree.log))
    with urllib.request.urlopen(f"{served[1]}/healthz", timeout=5) as answer:
        assert answer.status == 200
    assert tree.stop() == 0


def test_an_import_that_takes_long_is_told_by_tree_and_check_and_waited_for(
    start_tree: StartTree, tmp_path: Path
) -> None:
    waits = """
registry.add_processor("idle", print)
while not Path("journal", "import.go").exists():
    time.sleep(0.05)
"""
    tree = start_tree("--drain", app=waits)
    told = "app 'app:registry' is still being imported after 10s, in process "
    checked = tmp_path / "checked"
    migrate, check = ("-m", "goque.cli", "migrate"), ("-m", "goque.cli", "check", "app:registry")
    subprocess.run(python_command(*migrate), cwd=tmp_path, check=True, timeout=60)
    command = python_command(*check)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    env["GOQUE_TEST_JOURNAL"] = str(tree.journal_directory)
    with checked.open("wb") as out, subprocess.Popen(command, cwd=tmp_path, stderr=out, env=env) as check:
        try:
            eventually(lambda: told in tree.log and told in checked.read_text("utf-8"), within=30)
        finally:
            tree.let_go("import")
        assert check.wait(30) == 0
    assert tree.wait() == 0
