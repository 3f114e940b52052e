"""Where taps are: positions between two spread rows."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba.kernels import taps
from gridr_numba.kernels.jit import kernel

SIZE = 1e6
AXIS = taps.Axis(shift=0.0, low=0.0, high=SIZE, last=SIZE, sure_low=1.0, sure_high=SIZE, first=0.0, least=0.0, most=1.0)

positions = st.floats(1.0, SIZE)


@kernel
def apart_and_between(above, below, rr, a, out):
    """Interpolate both axes both ways, and say whether rows are apart."""
    for axis in range(2):
        for j in range(above.shape[1]):
            for way in range(2):
                out[way, axis, j] = taps.between(way == 1, above[axis, j], below[axis, j], (rr - a) / rr, a / rr)
    return taps.are_apart(above, below, rr, AXIS, AXIS)


@st.composite
def two_rows(draw):
    """Two rows of positions, of which some differ by next to nothing."""
    above = np.array(draw(st.lists(st.tuples(positions, positions), min_size=1, max_size=5))).T
    steps = st.integers(-40, 40)
    below = np.empty_like(above)
    for index, value in np.ndenumerate(above):
        near = value + draw(steps) * np.spacing(value) * draw(st.sampled_from([1, 7, 1000, 10**6]))
        below[index] = min(max(draw(st.one_of(positions, st.just(near))), 1.0), SIZE)
    return np.ascontiguousarray(above), below


@given(two_rows(), st.integers(2, 3000), st.data())
def test_between_rows_that_are_apart_nothing_is_clamped(rows, rr, data):
    out = np.empty((2, *rows[0].shape))
    if apart_and_between(*rows, rr, data.draw(st.integers(1, rr - 1)), out):
        assert out[0].tobytes() == out[1].tobytes()


def test_which_rows_are_apart():
    above = np.full((2, 3), 1000.25)
    out = np.empty((2, 2, 3))
    assert apart_and_between(above, above + 0.01, 1000, 1, out)
    assert apart_and_between(above, above - 1.0, 10, 1, out)
    below = above + 0.01
    for wrong in (1000.25, np.nan, np.nextafter(1000.25, 0)):
        below[1, 2] = wrong
        assert not apart_and_between(above, below, 1000, 1, out)
    assert not apart_and_between(above, above + 0.01, 10**9, 1, out)


@pytest.mark.parametrize("step", [-1, 0, 1])
def test_every_pixel_has_its_turn_to_be_fetched_and_so_has_every_place(step):
    # A place that one pixel takes in this row, and in the next row the one beside it, or the same.
    turn = taps.fetched_first if numba.config.DISABLE_JIT else taps.fetched_first.py_func
    for first_row in range(0, 64, 16):
        rows = range(first_row, first_row + 2 * taps.FETCHED_EVERY)
        assert {(turn(row) - step * row) % taps.FETCHED_EVERY for row in rows} == set(range(taps.FETCHED_EVERY))
