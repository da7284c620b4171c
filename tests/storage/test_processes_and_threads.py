from __future__ import annotations

import contextlib
import logging
import os
import select
import subprocess
import sys
import threading

import pytest
from backends import SqliteBackend, add, claim, done, main_connection_in_use

from goque.queue.manager import TaskQueueManager
from goque.storage import open_storage
from goque.storage.inotify import Inotify
from goque.storage.sqlite.watcher import COMMIT_LIMIT, SqliteWatcher
from goque.task import Task


def in_child(work):
    """Run work in a forked child and return its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_forked_child_opens_a_connection_of_its_own(storage):
    add(storage)
    parents = storage._connections._session

    def work():
        assert storage._connections._session is None
        add(storage)
        assert storage._connections._session is not parents

    assert in_child(work) == 0
    assert storage._connections._session is parents
    assert len(claim(storage)) == 2


def test_a_fork_while_a_thread_holds_the_connection_leaves_the_child_free(storage):
    with main_connection_in_use(storage):
        assert in_child(lambda: add(storage)) == 0
    assert len(claim(storage)) == 1


def test_forked_children_make_different_ids(storage):
    def work():
        storage.insert_tasks([Task("mail") for _ in range(100)])

    add(storage)
    assert [in_child(work) for _ in range(3)] == [0, 0, 0]
    assert sum(count.count for count in storage.count_tasks()) == 301


def test_threads_share_a_storage(storage):
    failures = []

    def work(name):
        try:
            for _ in range(20):
                add(storage)
                rows = claim(storage, name, limit=5)
                assert storage.settle_if_held([done(row) for row in rows]) == {row.token for row in rows}
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"node-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    rest = claim(storage, limit=1000)
    storage.settle_if_held([done(row) for row in rest])
    assert [(count.status, count.count) for count in storage.count_tasks()] == [("done", 160)]


@pytest.fixture
def sqlite_pair(sqlite):
    storage, other = sqlite.new_storage(), sqlite.new_storage()
    storage.migrate()
    return storage, other


def readable(watcher, seconds):
    return bool(select.select([watcher.fileno()], [], [], seconds)[0])


def test_a_watcher_wakes_for_others_and_not_for_itself(sqlite_pair):
    storage, other = sqlite_pair
    watcher = storage.watch(["mail"])
    assert not watcher.changed()
    add(storage)
    assert not watcher.changed()
    assert not readable(watcher, 0)
    add(other)
    assert readable(watcher, 10)
    assert watcher.changed()
    assert not watcher.changed()
    assert not readable(watcher, 0)
    watcher.close()
    assert watcher.fileno() is None
    watcher.close()


def test_a_watcher_goes_on_after_the_log_was_made_anew(sqlite_pair):
    storage, other = sqlite_pair
    watcher = storage.watch(["mail"])
    storage.close()
    other.close()  # the last connection takes the log with it
    watcher.changed()
    add(other)
    assert readable(watcher, 10)
    assert watcher.changed()
    watcher.close()


def test_a_watcher_that_rests_hears_nothing_and_tells_at_the_end(sqlite_pair):
    storage, other = sqlite_pair
    watcher = storage.watch(["mail"])
    watcher.rest(3600)
    assert not watcher.changed()
    add(other)
    assert not readable(watcher, 0)
    assert not watcher.changed()
    assert watcher.ask_again_in() > 3000
    watcher._rests_until = 0.001
    assert watcher.ask_again_in() == 0
    assert watcher.changed()
    add(other)
    assert readable(watcher, 10)
    assert watcher.changed()
    watcher.close()


def test_a_watcher_looks_again_after_a_change_for_what_was_written_and_not_yet_committed(sqlite_pair):
    storage, other = sqlite_pair
    watcher = storage.watch(["mail"])
    add(other)
    assert watcher.changed()
    assert 0 < watcher.ask_again_in() <= COMMIT_LIMIT / 2
    add(other)
    watcher._inotify.drain()  # as if the first look had taken what the second commit stirred
    watcher._look_at = 0.0
    assert watcher.changed()
    watcher.close()


def test_without_inotify_a_watcher_is_polled(sqlite_pair, monkeypatch):
    storage, other = sqlite_pair
    monkeypatch.setattr(Inotify, "open", classmethod(lambda _: None))
    watcher = storage.watch(["mail"])
    assert isinstance(watcher, SqliteWatcher)
    assert watcher.fileno() is None
    add(other)
    assert watcher.changed()
    assert not watcher.changed()


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_relative_path_is_fixed_when_it_is_opened_and_logged_once(in_folder, caplog, monkeypatch):
    with caplog.at_level(logging.DEBUG, "goque.storage"):
        storage = open_storage("sqlite:///rel.db")
        open_storage("sqlite:///rel.db")
    (in_folder / "elsewhere").mkdir()
    monkeypatch.chdir(in_folder / "elsewhere")
    storage.require_schema()
    storage.close()
    assert storage.url == f"sqlite:///{in_folder}/rel.db"
    assert (in_folder / "rel.db").exists()
    assert [record.getMessage() for record in caplog.records] == [f"SQLite database {in_folder}/rel.db"]


def test_a_manager_connects_when_it_is_first_used(tmp_path):
    backend = SqliteBackend(tmp_path)
    queue = TaskQueueManager(backend.url)
    assert repr(queue) == f"<TaskQueueManager {backend.url}>"
    assert not backend.path.exists()
    queue.enqueue("mail")
    assert backend.path.exists()
    queue.close()
    queue.enqueue("mail")
    queue.close()


BUSY = """
import sys
from goque.storage import open_storage
storage = open_storage(sys.argv[1])
print("busy", flush=True)
while True:
    with storage._connections as session, session.transaction():
        for _ in range(50):
            session.run("UPDATE goque_task SET attempts = attempts + 1 WHERE external_id = 'order-7'")
"""


def test_a_writer_has_its_turn_beside_others_that_never_pause(sqlite_pair):
    mine, _ = sqlite_pair
    add(mine, external_id="order-7")
    command = [sys.executable, "-c", BUSY, mine.url]
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            busy = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(busy.kill)
            assert busy.stdout.readline() == b"busy\n"
        for _ in range(20):  # each gives up with DatabaseLockedError after two seconds
            mine.delete_dead_nodes(86400.0)
