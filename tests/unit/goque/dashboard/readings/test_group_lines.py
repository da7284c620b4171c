from __future__ import annotations

from types import SimpleNamespace

from goque.dashboard.readings import group_lines
from goque.dashboard.readings.group_lines import GroupLines


class Groups:
    """A storage with groups of failures; `asked` has the groups that somebody has read."""

    def __init__(self, **lines):
        self.lines = lines
        self.asked = []

    def failure_group(self, group):
        self.asked.append(group)
        return SimpleNamespace(line=self.lines[group]) if group in self.lines else None


def test_the_line_of_a_group_is_read_once():
    storage = Groups(a="app.py in run: call()", b="")
    lines = GroupLines(storage)
    for _ in range(2):
        assert lines.of(["a", None, "b", "a"]) == {"a": "app.py in run: call()"}
    assert storage.asked == ["a", "b"]


def test_a_group_that_is_not_counted_yet_is_read_again():
    storage = Groups()
    lines = GroupLines(storage)
    assert lines.of(["a"]) == {}
    storage.lines["a"] = "app.py in run: call()"
    assert lines.of(["a"]) == {"a": "app.py in run: call()"}


def test_few_lines_are_kept(monkeypatch):
    monkeypatch.setattr(group_lines, "MAX_KEPT", 2)
    storage = Groups(a="x", b="y", c="z")
    lines = GroupLines(storage)
    lines.of("abc")
    storage.asked.clear()
    assert lines.of("ca") == {"c": "z", "a": "x"}
    assert storage.asked == ["a"]
