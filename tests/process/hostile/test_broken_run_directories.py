"""What an earlier tree left, broken: recovery goes on without it; and run directories that others may write into."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import Database
from resource_limits import unable
from tree import HERE, StartTree, Tree, eventually, python_command, write_app

from goque_supervisor.ipc.box_header import MAGIC

APP = """
options = dict(fetch_tick=0.1, next_attempt_at=retry.static(0.01), timeout=60)
registry.processor("hold", workers=2, **options)(hold)
"""
LIMIT = 15.0
"""Seconds after which whoever waits for a FIFO waits for ever."""


def write_bytes(data: bytes) -> Callable[[Path], None]:
    return lambda path: _replace(path, lambda: path.write_bytes(data))


def _replace(path: Path, make: Callable[[], object]) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    make()


def name_owner(owner: object) -> Callable[[Path], None]:
    """Leave the description as it is, but for its owners."""
    return lambda path: _edit(path, "owners", [owner])


def name_pid(pid: object) -> Callable[[Path], None]:
    return lambda path: _edit(path, "pid", pid)


def _edit(path: Path, key: str, value: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")


def make_fifo(path: Path) -> None:
    _replace(path, lambda: os.mkfifo(path))


def make_folder(path: Path) -> None:
    _replace(path, path.mkdir)


def make_dangling_link(path: Path) -> None:
    _replace(path, lambda: path.symlink_to("/nowhere/at/all"))


def make_circle(path: Path) -> None:
    _replace(path, lambda: path.symlink_to(path.name))


def link_to_endless(path: Path) -> None:
    _replace(path, lambda: path.symlink_to("/dev/zero"))


def cut_in_half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def spoil_header(path: Path) -> None:
    """Leave the magic, and make garbage of the words behind it."""
    data = bytearray(path.read_bytes())
    data[8:128] = b"\xff" * 120
    path.write_bytes(data)


def spoil_records(path: Path) -> None:
    """Leave the header, and make garbage of all records."""
    data = bytearray(path.read_bytes())
    data[128:] = secrets.token_bytes(len(data) - 128)
    path.write_bytes(data)


def claim_endless_record(path: Path) -> None:
    """A first record whose length goes beyond the file."""
    data = bytearray(path.read_bytes())
    data[128:132] = b"\xff\xff\xff\xff"
    path.write_bytes(data)


BOXES: dict[str, Callable[[Path], None]] = {
    "empty": write_bytes(b""),
    "short": write_bytes(b"GQUE"),
    "magic alone": write_bytes(struct.pack("=Q", MAGIC)),
    "header alone": write_bytes(struct.pack("=QQ", MAGIC, 128 * 1024).ljust(128, b"\0")),
    "garbage": write_bytes(b"\xde\xad\xbe\xef" * 70_000),
    "cut in half": cut_in_half,
    "a header of garbage": spoil_header,
    "records of garbage": spoil_records,
    "an endless record": claim_endless_record,
    "a FIFO": make_fifo,
    "a folder": make_folder,
    "a dangling link": make_dangling_link,
    "a circle": make_circle,
    "a link to what has no end": link_to_endless,
}
READABLE = ("header alone", "cut in half", "a header of garbage", "records of garbage", "an endless record")
"""What may also count as a black box that tells nothing, or as one of which the missing part was not in use."""

TREES: dict[str, Callable[[Path], None]] = {
    "empty": write_bytes(b""),
    "cut": cut_in_half,
    "garbage": write_bytes(b"\xff\xfe\x00garbage"),
    "null": write_bytes(b"null"),
    "a list": write_bytes(b"[1, 2]"),
    "a number": write_bytes(b"5"),
    "nothing in it": write_bytes(b"{}"),
    "other keys": write_bytes(b'{"database": 5}'),
    "deep": write_bytes(b"[" * 100_000),
    "values of other kinds": write_bytes(b'{"database": null, "boot": [], "owners": 7, "pid": "x"}'),
    "an owner of NULs": name_owner("\0" * 36),
    "an owner that is a lone surrogate": name_owner("\ud800" * 36),
    "an owner without end": name_owner("x" * 100_000),
    "an empty owner": name_owner(""),
    "a pid beyond 64 bits": name_pid(2**80),
    "a FIFO": make_fifo,
    "a folder": make_folder,
    "a dangling link": make_dangling_link,
    "a circle": make_circle,
    "a link to what has no end": link_to_endless,
}


def leave_behind(start_tree: StartTree, database: Database) -> tuple[Tree, Path]:
    """Kill a tree that runs two tasks, and return it with its directory."""
    tree = start_tree(app=APP)
    database.enqueue("hold", "one", "two")
    for name in ("one", "two"):
        tree.running_pid(name)
    eventually(lambda: database.counts() == {"processing": 2})
    tree.kill_root()
    eventually(tree.is_gone, within=12)
    (directory,) = [path for path in tree.run_dir.iterdir() if path.is_dir()]
    return tree, directory


def assert_recovered(first: Tree, next_tree: Tree, database: Database, *, within: float = LIMIT) -> None:
    """See that both tasks run again and end, that one line tells of what is broken, and that nobody died of it."""
    first.let_go("one", "two")
    database.enqueue("hold", "three")
    first.let_go("three")
    eventually(database.is_settled, within=within)
    assert {task.status for task in database.tasks()} == {"done"}
    assert "Traceback" not in next_tree.log
    assert "ended by" not in next_tree.log
    assert "restarting" not in next_tree.log


@pytest.mark.fault(60)
@pytest.mark.parametrize("how", sorted(BOXES))
def test_row_60_recovery_goes_on_without_black_boxes_that_are_broken(
    start_tree: StartTree, database: Database, how: str
) -> None:
    first, directory = leave_behind(start_tree, database)
    boxes = sorted(directory.glob("*.box"))
    assert boxes
    for box in boxes:
        BOXES[how](box)
    next_tree = start_tree()
    assert_recovered(first, next_tree, database)
    told = [line for line in next_tree.log.splitlines() if "black box" in line]
    assert len(told) == len(boxes) or (how in READABLE and not told), next_tree.log
    eventually(lambda: not directory.exists())


@pytest.mark.fault(60)
@pytest.mark.parametrize("how", sorted(TREES))
def test_row_60_recovery_goes_on_without_a_description_that_is_broken(
    start_tree: StartTree, database: Database, how: str
) -> None:
    """Nobody knows then who that tree was: its tasks are healed by its silence, as those of another node."""
    first, directory = leave_behind(start_tree, database)
    TREES[how](directory / "tree.json")
    next_tree = start_tree()
    assert_recovered(first, next_tree, database, within=3 + 15)


@pytest.mark.fault(60)
@pytest.mark.parametrize(
    "how", ["a FIFO", "a folder", "a dangling link", "a circle", "a link to what has no end"]
)
def test_row_60_a_lock_that_is_no_file_stops_nobody(
    start_tree: StartTree, database: Database, how: str
) -> None:
    first, directory = leave_behind(start_tree, database)
    BOXES[how](directory / "lock")
    next_tree = start_tree()
    assert_recovered(first, next_tree, database, within=3 + 15)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.fault(60)
def test_row_60_strange_things_beside_a_run_directory_stop_nobody(
    start_tree: StartTree, database: Database, run_dir: Path
) -> None:
    base = run_dir / "shared"
    base.mkdir(mode=0o700)
    (base / "notes.txt").write_text("x", "utf-8")
    (base / "link").symlink_to("/etc")
    os.mkfifo(base / "fifo")
    for name in ("empty", "777-strange"):
        (base / name).mkdir()
    (base / "777-strange/lock").mkdir()
    (base / "12-0123abcd/lock").mkdir(parents=True)
    (base / "13-0123abcd").mkdir()
    (base / "888-strange").mkdir()
    (base / "888-strange/lock").touch()
    os.mkfifo(base / "888-strange/tree.json")
    tree = start_tree(app=APP)
    database.enqueue("hold", "one")
    tree.let_go("one")
    eventually(database.is_settled)
    assert "Traceback" not in tree.log
    assert f"{base / '12-0123abcd'} has no lock file" in tree.log
    assert tree.log.count("has no lock file") == 1
    assert not (base / "13-0123abcd").exists()
    assert tree.stop() == 0
    for path in base.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


# -- directories of others ---------------------------------------------------------------------------------------------


@pytest.fixture
def shared_temporary() -> Iterator[Path]:
    """A temporary directory as `/tmp` is: everybody may write into it, and only the owner of a thing remove it."""
    path = Path(tempfile.mkdtemp(prefix="gq-"))
    path.chmod(0o1777)
    yield path
    shutil.rmtree(path)


def supervise(tmp_path: Path, database: Database, *options: str, **env: str) -> subprocess.Popen[bytes]:
    """Start a tree without the run directory that tests usually give."""
    write_app(tmp_path, APP)
    (tmp_path / "journal").mkdir(exist_ok=True)
    dropped = ("GOQUE_", "XDG_RUNTIME_DIR")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(dropped)},
        "GOQUE_DATABASE_URL": database.url,
        "GOQUE_TEST_JOURNAL": str(tmp_path / "journal"),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
        **env,
    }
    command = python_command("-m", "goque.cli", "supervise", "app:registry", "--node-timeout", "3", *options)
    with (tmp_path / "stderr").open("wb") as log:
        return subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)


@pytest.mark.fault(60)
@pytest.mark.parametrize("what", ["a directory", "a file", "a link", "a FIFO"])
def test_row_60_another_users_directory_of_our_name_does_not_prevent_a_start(
    tmp_path: Path, database: Database, shared_temporary: Path, what: str
) -> None:
    if os.geteuid() != 0:
        unable("only root can make a directory of another user")
    taken = shared_temporary / f"goque-{os.getuid()}"
    if what == "a directory":
        taken.mkdir(mode=0o755)
    elif what == "a file":
        taken.touch()
    elif what == "a FIFO":
        os.mkfifo(taken)
    else:
        taken.symlink_to(tmp_path)
    os.chown(taken, 65534, 65534, follow_symlinks=False)
    process = supervise(tmp_path, database, TMPDIR=str(shared_temporary))
    try:
        database.enqueue("hold", "one")
        (tmp_path / "journal/one.go").touch()
        eventually(lambda: database.is_settled() or process.poll() is not None)
        said = (tmp_path / "stderr").read_text("utf-8")
        assert process.poll() is None, said
        assert database.is_settled()
        others = [path for path in shared_temporary.iterdir() if path != taken and path.is_dir()]
        assert len(others) == 1, others
        assert stat.S_IMODE(others[0].stat().st_mode) == 0o700
        assert len([line for line in said.splitlines() if str(taken) in line]) <= 1
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert process.returncode == 0


@pytest.mark.fault(60)
@pytest.mark.parametrize("mode", [0o777, 0o775, 0o773])
def test_row_60_a_run_directory_below_one_that_others_may_write_is_refused(
    tmp_path: Path, database: Database, shared_temporary: Path, mode: int
) -> None:
    """Without the sticky bit anybody may put another directory into its place."""
    parent = shared_temporary / "open"
    parent.mkdir()
    parent.chmod(mode)
    (parent / "run").mkdir(mode=0o700)
    for given in (parent / "run", parent / "run/below"):
        process = supervise(tmp_path, database, "--run-dir", str(given))
        try:
            code = process.wait(8)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.wait(20)
            pytest.fail(f"it accepts {given} below a directory of mode {mode:o}")
        said = (tmp_path / "stderr").read_text("utf-8").strip()
        assert code == 2, said
        assert len(said.splitlines()) == 1, said
        assert str(parent) in said


@pytest.mark.fault(60)
def test_row_60_a_run_directory_below_a_sticky_one_is_fine(
    tmp_path: Path, database: Database, shared_temporary: Path
) -> None:
    process = supervise(tmp_path, database, "--run-dir", str(shared_temporary / "run"))
    try:
        eventually(lambda: "up as pid" in (tmp_path / "stderr").read_text("utf-8"))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
