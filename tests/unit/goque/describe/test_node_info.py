"""What a tree tells of itself in a column of the database."""

from __future__ import annotations

import pytest

from goque.describe.node_info import (
    MAX_BYTES,
    NodeInfo,
    PoolInfo,
    RunInfo,
    TypeInfo,
    WorkerInfo,
    decode_info,
    encode_info,
)


def crowd(kinds: int, workers: int, *, name: str = "mail") -> NodeInfo:
    run = RunInfo("01a20b6d-f9ad-7bbd-861b-dbe0c9408260", 1.5)
    return NodeInfo(
        types=tuple(TypeInfo(f"{name}{kind}", living=workers) for kind in range(kinds)),
        pools=tuple(
            PoolInfo(
                f"{name}{kind}",
                living=workers,
                workers=tuple(
                    WorkerInfo(f"worker[{slot}]", slot, runs=(run,) if slot % 2 else ())
                    for slot in range(workers)
                ),
            )
            for kind in range(kinds)
        ),
    )


def test_it_comes_back_as_it_went_in() -> None:
    info = crowd(2, 3)
    assert decode_info(encode_info(info)) == info


def test_workers_that_do_not_fit_are_left_out_and_counted_and_busy_ones_stay() -> None:
    text = encode_info(crowd(4, 400))
    found = decode_info(text)
    assert len(text) <= MAX_BYTES
    assert found is not None
    shown = [worker for pool in found.pools for worker in pool.workers]
    assert found.left_out == 1600 - len(shown) > 0
    assert all(worker.runs for worker in shown)
    assert [kind.living for kind in found.types] == [400] * 4


def test_a_tree_of_more_types_than_fit_tells_the_rest() -> None:
    found = decode_info(encode_info(crowd(1000, 1, name="x" * 200)))
    assert found is not None
    assert found.types == ()


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"types": 3}', '{"seconds": "long"}', "[" * 100_000])
def test_what_another_version_wrote_is_no_error(text: str | None) -> None:
    assert decode_info(text) is None


def test_keys_of_a_later_version_are_passed_over() -> None:
    assert decode_info('{"app": "shop:registry", "mood": "fine"}') == NodeInfo(app="shop:registry")
