"""What must not start for a while: by type or by key, and for how long."""

from __future__ import annotations

from goque.task_rules.limits import PutOff
from goque_supervisor.fetcher.put_offs import PutOffs
from unit.rows import row

NOW = 100.0


def test_nothing_is_held_without_a_reason() -> None:
    assert not PutOffs().holds(row(), NOW)


def test_a_type_is_held_with_all_its_keys_until_its_time() -> None:
    held = PutOffs()
    held.add(PutOff("mail", "", 5.0), NOW)
    assert held.holds(row(), NOW + 4.9)
    assert held.holds(row(limit_key="acme"), NOW + 4.9)
    assert not held.holds(row(type="sms"), NOW)
    assert not held.holds(row(), NOW + 5)


def test_a_key_is_held_alone() -> None:
    held = PutOffs()
    held.add(PutOff("mail", "acme", 5.0), NOW)
    assert held.holds(row(limit_key="acme"), NOW)
    assert not held.holds(row(limit_key="umbrella"), NOW)
    assert not held.holds(row(), NOW)


def test_a_shorter_time_does_not_end_a_longer_one() -> None:
    held = PutOffs()
    held.add(PutOff("mail", "", 60.0), NOW)
    held.add(PutOff("mail", "", 1.0), NOW + 1)
    assert held.holds(row(), NOW + 30)
