"""Arrays that kernels see without their owner, and who holds them."""

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys

from gridr_numba.kernels.jit import borrowed, hold, seen_as


@numba.njit
def count_down(n):
    """Borrow an array that is made here, make another of its size, and look at both."""
    made = np.empty(n)
    array = borrowed(made)
    for j in range(n):
        array[j] = n - j
    other = np.empty(n)
    for j in range(n):
        other[j] = -1.0
    right = 0
    for j in range(n):
        right += array[j] == n - j and other[j] == -1.0
    hold(made)
    return right


@pytest.mark.parametrize("n", [1, 17, 1000, 100_000])
def test_what_a_function_made_is_there_until_it_lets_go(n):
    for _ in range(20):
        assert count_down(n) == n


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="Python counts")
def test_what_is_held_is_freed():
    count_down(10)
    _nrt_python.memsys_enable_stats()
    try:
        before = rtsys.get_allocation_stats()
        for _ in range(10):
            count_down(1000)
        after = rtsys.get_allocation_stats()
    finally:
        _nrt_python.memsys_disable_stats()
    assert after.alloc - before.alloc == after.free - before.free == 20
    assert after.mi_alloc - before.mi_alloc == after.mi_free - before.mi_free == 20


@pytest.mark.parametrize("dtype", ["int8", "uint16", "float32", "int64"])
def test_bytes_are_seen_as_a_view_is(dtype):
    what = np.dtype(dtype).type

    @numba.njit
    def seen(array):
        return seen_as(borrowed(array), what).copy()

    given = np.random.default_rng(0).integers(0, 256, 48, dtype=np.uint8)
    got = seen(given)
    assert got.dtype == dtype
    assert got.tobytes() == given.view(dtype).tobytes()
