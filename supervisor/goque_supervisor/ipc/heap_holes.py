"""Keep the heap's pages shared with forked processes: leave no free memory between the blocks of these pages.

An import frees many blocks, and each leaves a hole. A forked process would put new blocks into these holes. Each such
write makes the kernel copy a page. Without holes, new blocks are beside each other on new pages.
"""

from __future__ import annotations

import ctypes
from typing import Any, Final

BLOCK_SIZES: Final = tuple(2**power for power in range(16, 4, -1))
"""Bytes of the blocks that fill the holes, the largest first. The C library maps larger blocks apart."""

MAX_BLOCKS: Final = 100_000
"""A bound for an allocator that says nothing true about itself."""


class _Usage(ctypes.Structure):
    """`struct mallinfo2` of glibc: ten numbers. The last is the free memory at the end of the heap, where it grows."""

    _fields_ = (("others", ctypes.c_size_t * 9), ("keepcost", ctypes.c_size_t))


def fill_heap_holes() -> int:
    """Allocate the free memory between the heap's blocks for the life of this process. Returns the bytes.

    It does nothing where the C library is not glibc 2.33 or later.
    """
    library = ctypes.CDLL(None)
    try:
        usage, allocate, free = library.mallinfo2, library.malloc, library.free
    except AttributeError:
        return 0
    usage.restype, usage.argtypes = _Usage, ()
    allocate.restype, allocate.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    free.restype, free.argtypes = None, (ctypes.c_void_p,)
    return sum(_fill(size, usage, allocate, free) for size in BLOCK_SIZES)


def _fill(size: int, usage: Any, allocate: Any, free: Any) -> int:
    """Allocate blocks of one size until one comes from the end of the heap."""
    end = usage().keepcost
    for count in range(MAX_BLOCKS):
        block = allocate(size)
        if usage().keepcost != end:
            free(block)
            return count * size
    return MAX_BLOCKS * size
