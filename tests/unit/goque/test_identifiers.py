from __future__ import annotations

import re
import threading
import uuid

import pytest

from goque import identifiers
from goque.errors import ConfigurationError
from goque.identifiers import external_id_of, function_of, internal_id, new_task_id, short_function
from goque.task_rules.checks import check_name

pytestmark = pytest.mark.fault(35)
TASK_ID = "019ab5a0-7c3e-7d5e-8f00-0123456789ab"


def test_a_task_id_is_a_lower_case_uuid_7():
    for _ in range(500):
        text = new_task_id()
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 7
        assert parsed.variant == uuid.RFC_4122


def test_a_task_id_tells_the_millisecond(monkeypatch):
    monkeypatch.setattr(identifiers, "_ids", identifiers._Ids())
    monkeypatch.setattr("goque.identifiers.time.time_ns", lambda: 1_764_000_000_123 * 1_000_000 + 500_000)
    first, second = new_task_id(), new_task_id()
    assert int(first.replace("-", "")[:12], 16) == 1_764_000_000_123
    assert first[14:18] == "7800"  # half of the millisecond in 12 bits
    assert second[14:18] == "7801"


def test_task_ids_rise_within_a_process_and_over_threads():
    made: list[list[str]] = [[] for _ in range(4)]

    def make(mine: list[str]) -> None:
        mine.extend(new_task_id() for _ in range(500))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({task_id for mine in made for task_id in mine}) == 2000


def test_an_external_id_that_nobody_gave_is_internal_and_a_uuid_4_that_rises_with_time():
    made = [internal_id(new_task_id()) for _ in range(500)]
    assert len(set(made)) == 500
    assert made == sorted(made)
    for text in made:
        assert re.fullmatch(r"internal-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text)
        parsed = uuid.UUID(text.removeprefix("internal-"))
        assert (parsed.version, parsed.variant) == (4, uuid.RFC_4122)


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "x" * 255,
        "with space",
        "'quotes\" and; --",
        "日本",
        "🎉",
        "e\u0301",
        "\u00a0",
        "a\u200db",
        "\u00ad",
    ],
)
def test_names_that_people_use_are_fine(name):
    check_name("type", name)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "1 to 255 characters, not 0"),
        ("x" * 256, "not 256"),
        ("a\nb", "control characters"),
        ("a\0b", "control characters"),
        ("a\x7fb", "control characters"),
        ("a\x9bb", "control characters"),
        ("a\ud800b", "lone surrogates"),
        (None, "must be text"),
        (7, "must be text"),
        (b"bytes", "must be text"),
    ],
)
def test_names_that_some_database_could_not_keep_are_refused(name, problem):
    with pytest.raises(ConfigurationError, match=problem) as refusal:
        check_name("external_id", name)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith("external_id")
    str(refusal.value).encode()


@pytest.mark.parametrize("path", ["shop.tasks.add", "a.b", "š.tasks.add", "x." + "y" * 300])
def test_an_external_id_names_the_function_that_a_django_task_calls(path):
    external_id = external_id_of(path)
    check_name("external_id", external_id)
    assert external_id != external_id_of(path)
    assert function_of("django.default", external_id) == short_function(path)
    assert path.startswith(short_function(path))


@pytest.mark.parametrize(
    "external_id",
    ["", "order-7", "x" * 40, internal_id(new_task_id()), f"order-{new_task_id()}", new_task_id()],
    ids=["empty", "short", "long", "internal", "ends like an id", "an id"],
)
def test_other_external_ids_name_no_function(external_id):
    assert function_of("django.default", external_id) == ""


def test_tasks_of_other_types_name_no_function():
    assert function_of("mail", external_id_of("shop.tasks.add")) == ""
