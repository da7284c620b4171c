"""The run directory: private, locked, with socket paths that are short enough, and readable after a death."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from goque.private import default_base
from goque_supervisor.ipc.run_directory import (
    MAX_SOCKET_PATH,
    RunDirectoryError,
    abandoned_runs,
    name_key,
    open_run_directory,
    remove_worker_files,
    stack_path,
    stderr_path,
)


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A base with a short path, whatever the temporary directory is called."""
    monkeypatch.chdir(tmp_path)
    short = Path("/tmp", f"gq-unit-{os.getpid()}-{abs(hash(tmp_path)) % 10**6}")
    yield short
    for path in sorted(short.rglob("*"), reverse=True):
        path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
    short.rmdir() if short.exists() else None


def test_a_run_gets_a_private_directory_of_its_own_under_its_base(base: Path) -> None:
    run = open_run_directory(str(base))
    assert run.path.parent == base
    assert run.path.name.startswith(f"{os.getpid()}-")
    assert [path.stat().st_mode & 0o777 for path in (base, run.path)] == [0o700, 0o700]
    run.remove()
    assert not run.path.exists()


def test_a_directory_whose_removal_was_cut_off_is_found_by_the_next_run(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run_directory(str(base))
    run.metrics.mkdir()
    (run.path / "a.box").touch()
    for lock in run.locks:
        os.close(lock)

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    for name in ("unlink", "rmdir"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, die)
            with pytest.raises(KeyboardInterrupt):
                run.remove()
        [(found, _)] = abandoned_runs(base)
        assert found.path == run.path
        for lock in found.locks:
            os.close(lock)
    run.remove()
    assert not run.path.exists()


def test_a_base_that_was_given_is_held_by_one_run(base: Path) -> None:
    run = open_run_directory(str(base))
    with pytest.raises(RunDirectoryError, match="in use by another supervisor"):
        open_run_directory(str(base))
    for lock in run.locks:
        os.close(lock)
    open_run_directory(str(base))


def test_the_default_base_is_shared_by_the_runs_of_one_user(
    base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    assert default_base() == base / "goque"
    first, second = open_run_directory(None), open_run_directory(None)
    assert first.path.parent == second.path.parent == base / "goque"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base / "nowhere"))
    assert default_base().name == f"goque-{os.getuid()}"


@pytest.mark.parametrize("trouble", ["a link", "open to the group", "a file", "too long", "below a file"])
def test_a_base_that_cannot_be_trusted_is_refused_in_one_line(base: Path, trouble: str) -> None:
    base.mkdir(mode=0o700)
    given = base / "b"
    match trouble:
        case "a link":
            given.symlink_to(base)
        case "open to the group":
            given.mkdir()
            given.chmod(0o750)
        case "a file":
            given.touch()
        case "too long":
            given = base / ("x" * 80)
        case "below a file":
            given.touch()
            given /= "c"
    with pytest.raises(RunDirectoryError) as refusal:
        open_run_directory(str(given))
    assert "\n" not in str(refusal.value)
    assert str(given) in str(refusal.value)


@pytest.mark.parametrize(
    "task_type", ["a", "A", "a ", "send_email", "../../etc", "ž" * 255, "x" * 255, "a/b"]
)
def test_every_type_has_a_short_socket_path_of_its_own_inside_the_directory(
    base: Path, task_type: str
) -> None:
    run = open_run_directory(str(base))
    endpoint = run.endpoint(task_type)
    path = Path(endpoint.removeprefix("ipc://"))
    assert endpoint.startswith("ipc://")
    assert path.parent == run.path
    assert len(os.fsencode(path)) <= MAX_SOCKET_PATH
    assert run.box(task_type, 3, 17).parent == run.path


def test_types_that_look_alike_do_not_share_a_key() -> None:
    names = ["a", "A", "a ", " a", "á", "a.", "b"]
    assert len({name_key(name) for name in names}) == len(names)


def test_the_files_of_a_worker_go_together_and_those_of_others_stay(base: Path) -> None:
    run = open_run_directory(str(base))
    box, other = run.box("t", 1, 2), run.box("t", 1, 21)
    files = [box, stderr_path(box), stack_path(box), box.with_name(f"{box.name}.77")]
    for path in (*files, other, stderr_path(other)):
        path.touch()
    remove_worker_files(box)
    assert [path for path in files if path.exists()] == []
    assert other.exists()
    assert stderr_path(other).exists()


def test_the_directory_of_a_dead_tree_is_found_with_what_it_said_of_itself_and_that_of_a_living_is_not(
    base: Path,
) -> None:
    first = {"owners": ["0" * 36], "pid": 8, "boot": "b", "database": "d"}
    second = {"owners": ["1" * 36], "pid": 7, "boot": "b", "database": "d"}
    trees = {"1-described": json.dumps(first), "2-broken": "{", ".4-unborn": "{}"}
    living = open_run_directory(str(base))
    living.describe_tree(second)
    for name, tree in trees.items():
        (base / name).mkdir()
        (base / name / "lock").touch()
        (base / name / "tree.json").write_text(tree, "utf-8")
    (base / "3-undescribed").mkdir()
    (base / "3-undescribed/lock").touch()
    (base / "5-foreign").mkdir()
    assert found(base) == {"1-described": first, "2-broken": {}, "3-undescribed": {}}
    for lock in living.locks:
        os.close(lock)
    assert found(base)[living.path.name] == second


def found(base: Path) -> dict[str, Any]:
    trees = {}
    for run, tree in abandoned_runs(base):
        trees[run.path.name] = tree
        for lock in run.locks:
            os.close(lock)
    return trees


def test_what_the_next_tree_must_read_is_left_without_sockets(base: Path) -> None:
    run = open_run_directory(str(base))
    for name in ("a.sock", "a-0-1.box", "tree.json"):
        (run.path / name).touch()
    run.leave_black_boxes()
    assert sorted(path.name for path in run.path.iterdir()) == ["a-0-1.box", "lock", "tree.json"]
