"""Which files count as the source of an app, and when a change is told."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from goque_supervisor.actors.reloader import Reloader, marks_of
from goque_supervisor.ipc.channel import Channel
from goque_supervisor.ipc.control import Message, SourceChanged


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class Watched:
    def __init__(self, directory: Path, *, import_began: int | None = None) -> None:
        self.root, theirs = Channel.pair()
        self.theirs: socket.socket = theirs
        boot = {
            "database_url": "sqlite:///nowhere/at/all.db",
            "role": "reloader",
            "places": [str(directory), str(directory / "shop")],
            "import_began": import_began or time.time_ns() + 60_000_000_000,
        }
        self.reloader = Reloader(boot, Channel(theirs))
        self.reloader.start()

    def look(self) -> list[Message]:
        self.reloader.run_once()
        return self.root.receive()

    def close(self) -> None:
        self.reloader.finish()
        self.theirs.close()
        self.root.close()


def test_python_files_count_and_those_of_others_do_not(tmp_path: Path) -> None:
    for name in (
        "app.py",
        "shop/tasks.py",
        "notes.txt",
        ".git/hook.py",
        "lib/site-packages/x.py",
        "env/lib/y.py",
    ):
        write(tmp_path / name)
    write(tmp_path / "env" / "pyvenv.cfg")
    write(tmp_path.parent / f"{tmp_path.name}.py")
    places = [tmp_path, tmp_path.parent / f"{tmp_path.name}.py", tmp_path / "missing"]
    found = {Path(path).name for path in marks_of(places, lambda: True)}
    assert found == {"app.py", "tasks.py", f"{tmp_path.name}.py"}


def test_a_change_is_told_once_when_it_has_come_to_rest(tmp_path: Path) -> None:
    write(tmp_path / "app.py", "1")
    write(tmp_path / "shop" / "tasks.py", "1")
    watched = Watched(tmp_path)
    assert watched.look() == []
    write(tmp_path / "app.py", "12")
    assert watched.look() == []
    (tmp_path / "shop" / "tasks.py").unlink()
    write(tmp_path / "new.py")
    assert watched.look() == []
    paths = [str(tmp_path / name) for name in ("app.py", "new.py", "shop/tasks.py")]
    assert watched.look() == [SourceChanged(paths, 3)]
    assert watched.look() == []
    watched.close()


def test_what_was_changed_while_the_app_was_imported_is_told(tmp_path: Path) -> None:
    write(tmp_path / "old.py")
    os.utime(tmp_path / "old.py", ns=(1_000, 1_000))
    write(tmp_path / "app.py")
    watched = Watched(tmp_path, import_began=(tmp_path / "app.py").stat().st_mtime_ns)
    assert watched.look() == []
    assert watched.look() == [SourceChanged([str(tmp_path / "app.py")], 1)]
    assert watched.look() == []
    watched.close()


def test_of_many_changes_some_are_named(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    for number in range(50):
        write(tmp_path / f"m{number}.py")
    assert watched.look() == []
    ((told,),) = (watched.look(),)
    assert isinstance(told, SourceChanged)
    assert (len(told.paths), told.count) == (5, 50)
    watched.close()


@pytest.mark.parametrize("files", [999, 2500])
def test_a_long_look_stops_when_the_tree_does(tmp_path: Path, files: int) -> None:
    for number in range(files):
        write(tmp_path / f"m{number}.py")
    assert len(marks_of([tmp_path], lambda: False)) == 999
