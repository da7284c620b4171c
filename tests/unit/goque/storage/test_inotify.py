"""What the events of watched files tell."""

from __future__ import annotations

import os

import pytest

from goque.storage.inotify import TOUCHED, Inotify, tell_only_of_touches


@pytest.fixture
def watched(tmp_path):
    """Two files, and an inotify instance that watches them."""
    files = [tmp_path / "a", tmp_path / "b"]
    inotify = Inotify.open()
    if inotify is None:
        pytest.skip("this system has no inotify")
    for file in files:
        file.touch()
        assert inotify.add(os.fsencode(file), TOUCHED)
    yield inotify, *files
    inotify.close()


def test_nothing_is_read_where_nothing_happened(watched):
    inotify, *_ = watched
    assert inotify.drain() == b""


def test_touched_files_are_watched_on(watched):
    inotify, *files = watched
    for file in files:
        os.utime(file)
    events = inotify.drain()
    assert events
    assert tell_only_of_touches(events)
    os.utime(files[1])
    assert inotify.drain()


@pytest.mark.parametrize("loss", ["unlink", "rename"])
def test_a_file_that_is_gone_is_told_from_one_that_was_touched(watched, loss, tmp_path):
    inotify, touched, lost = watched
    os.utime(touched)
    if loss == "unlink":
        lost.unlink()
    else:
        lost.rename(tmp_path / "elsewhere")
    assert not tell_only_of_touches(inotify.drain())
