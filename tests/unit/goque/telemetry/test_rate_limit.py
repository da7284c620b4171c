from __future__ import annotations

from goque.telemetry.rate_limit import MAX_SUBJECTS, RateLimit


def test_each_subject_is_admitted_once_a_period() -> None:
    now = [100.0]
    limit = RateLimit(60.0, lambda: now[0])
    assert [limit.admits("a"), limit.admits("a"), limit.admits("b")] == [True, False, True]
    now[0] = 159.9
    assert not limit.admits("a")
    now[0] = 160.0
    assert limit.admits("a")


def test_it_remembers_a_bounded_number_of_subjects() -> None:
    limit = RateLimit(60.0, lambda: 0.0)
    assert all(limit.admits(number) for number in range(MAX_SUBJECTS * 2))
    assert len(limit._logged_at) <= MAX_SUBJECTS
