"""`goque pause` and `goque resume`."""

from __future__ import annotations

from typing import Any

from goque.storage import open_storage
from goque.storage.contract import TypePolicy


def publish(goque: Any, *task_types: str) -> None:
    storage = open_storage(goque.url)
    storage.require_schema()
    storage.publish_types([TypePolicy(name, 5, None, None, 60.0, 600.0, 60.0) for name in task_types])
    storage.close()


def test_a_type_is_paused_shown_as_such_and_resumed(goque: Any) -> None:
    publish(goque, "mail", "sms")
    with goque.queue as queue:
        queue.enqueue("sms")
    assert goque("pause", "mail").stdout == "mail is paused\n"
    assert goque("pause", "mail", "sms").stdout == "mail is paused already\nsms is paused\n"
    assert goque("resume", "sms").stdout == "sms goes on\n"
    assert [line.split() for line in goque("stats").stdout.splitlines()] == [
        ["TYPE", "WAITING", "CLAIMS"],
        ["mail", "0", "paused"],
        ["sms", "1"],
    ]
    assert goque("resume", "mail").stdout == "mail goes on\n"
    assert goque("resume", "mail").stdout == "mail is not paused\n"


def test_check_tells_of_a_paused_type(goque: Any) -> None:
    (goque.directory / "app.py").write_text(
        "import goque\nregistry = goque.Registry()\nregistry.add_processor('mail', goque.noop_task_processor)\n"
    )
    publish(goque, "mail")
    goque("pause", "mail")
    assert "type      mail (paused): handler=def pool=default" in goque("check", "app:registry").stdout


def test_a_type_that_nobody_runs_is_refused_with_those_there_are(goque: Any) -> None:
    publish(goque, "mail")
    assert goque("pause", "mial", code=2).stderr == (
        "goque: no supervisor has run tasks of type 'mial'; did you mean 'mail'?\n"
    )
    assert "Missing argument" in goque("resume", code=2).stderr
