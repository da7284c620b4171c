from __future__ import annotations

import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import goque
from goque.context import task_context
from goque.task import Task


def test_values_nest_and_end_with_their_block():
    with goque.with_value("user", 1), goque.with_values({"user": 2, "tenant": "a"}):
        assert goque.values() == {"user": 2, "tenant": "a"}
        assert goque.value_by_key("user") == 2
        with goque.with_value("user", None):
            assert goque.value_by_key("user", "default") is None
        assert goque.value_by_key("user") == 2
    assert goque.values() == {}
    assert goque.value_by_key("user") is None
    assert goque.value_by_key("user", 5) == 5


def test_values_are_a_dict_of_your_own():
    with goque.with_value("user", 1):
        goque.values()["user"] = 2
        assert goque.value_by_key("user") == 1


def test_an_exception_ends_a_block_as_well():
    with pytest.raises(ZeroDivisionError), goque.with_value("user", 1), goque.with_tx(object()):
        raise ZeroDivisionError
    assert goque.values() == {}
    assert goque.tx_from_context() is None


def test_keys_are_text():
    with pytest.raises(goque.ConfigurationError, match="keys of values are text"):
        goque.with_values({1: 2})
    for wrong in (None, ["user"], 5):
        with pytest.raises(goque.ConfigurationError, match="takes a mapping"):
            goque.with_values(wrong)


def test_a_scope_can_be_entered_again_and_within_itself():
    scope = goque.with_value("user", 1)
    for _ in range(2):
        with scope, scope:
            assert goque.value_by_key("user") == 1
        assert goque.values() == {}


def test_a_transaction_is_carried_and_can_be_left():
    outer, inner = object(), object()
    with goque.with_tx(outer):
        with goque.with_tx(inner):
            assert goque.tx_from_context() is inner
            with goque.without_tx():
                assert goque.tx_from_context() is None
        assert goque.tx_from_context() is outer
    assert goque.tx_from_context() is None


def test_no_connection_is_no_transaction():
    with pytest.raises(TypeError, match="None"):
        goque.with_tx(None)


def test_a_thread_starts_without_the_values_and_the_transaction():
    seen = []
    with goque.with_value("user", 1), goque.with_tx(object()):
        thread = threading.Thread(target=lambda: seen.append((goque.values(), goque.tx_from_context())))
        thread.start()
        thread.join()
    assert seen == [({}, None)]


def test_a_copied_context_goes_with_a_thread():
    seen = []
    with goque.with_value("user", 1):
        copied = contextvars.copy_context()
    thread = threading.Thread(target=copied.run, args=(lambda: seen.append(goque.values()),))
    thread.start()
    thread.join()
    assert seen == [{"user": 1}]


def test_asyncio_tasks_see_their_own_values():
    async def handler(user: int) -> int:
        with task_context(Task("mail", metadata={"user": user})):
            await asyncio.sleep(0)
            assert goque.current_task().metadata == {"user": user}
            return goque.value_by_key("user")

    async def run() -> list[int]:
        return await asyncio.gather(*(handler(user) for user in range(10)))

    assert asyncio.run(run()) == list(range(10))


def test_one_scope_serves_asyncio_tasks_and_threads_at_the_same_time():
    scope = goque.with_value("tenant", "acme")
    inside = threading.Barrier(2, timeout=30)

    async def use(leave_first):
        with scope:
            await asyncio.sleep(0 if leave_first else 0.01)
            assert goque.value_by_key("tenant") == "acme"
        assert goque.values() == {}

    async def all_at_once():
        with goque.with_value("outer", 1):
            pass
        await asyncio.gather(*(use(n % 2 == 0) for n in range(10)))

    def use_in_a_thread():
        with scope:
            inside.wait()
            assert goque.value_by_key("tenant") == "acme"
            inside.wait()
        return goque.values()

    asyncio.run(all_at_once())
    with ThreadPoolExecutor(2) as threads:
        assert [future.result() for future in [threads.submit(use_in_a_thread) for _ in range(2)]] == [{}, {}]


def test_a_handler_sees_its_task_its_metadata_and_no_transaction_around():
    task = Task("mail", metadata={"user": 7})
    assert goque.current_task() is None
    with goque.with_tx(object()), goque.with_value("other", 1):
        with task_context(task):
            assert goque.current_task() is task
            assert goque.values() == {"user": 7}
            assert goque.tx_from_context() is None
            with goque.with_value("more", 2):
                assert goque.values() == {"user": 7, "more": 2}
        assert goque.values() == {"other": 1}
    assert goque.current_task() is None
