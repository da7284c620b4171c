"""The holes of this process's own heap."""

from __future__ import annotations

import ctypes

import pytest

from goque_supervisor.ipc.heap_holes import fill_heap_holes

SIZE = 3000
HOLES = 500


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="the C library is not glibc 2.33 or later"
)
def test_holes_between_blocks_are_filled_and_then_there_are_none() -> None:
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
    fill_heap_holes()
    blocks = [library.malloc(SIZE) for _ in range(2 * HOLES)]
    for block in blocks[::2]:
        library.free(block)
    assert fill_heap_holes() > 0.9 * SIZE * HOLES
    assert fill_heap_holes() < 0.1 * SIZE * HOLES
