"""Source boxes: what of a source image a window looks up, from its nodes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import node_arrays, resolutions, windows_in

from gridr_numba.engine.dense import DenseOptions, densify_window
from gridr_numba.engine.source_box import (
    blocks_in,
    corner_coordinates,
    outer_coordinates,
    source_box,
    united,
    widest_cell,
)
from gridr_numba.plan import grid_full_resolution_shape, node_window
from gridr_numba.window import Window


def dense_window(nodes, window, resolution):
    """The coordinates of a window, as the kernel computes them."""
    voided = np.where(np.isfinite(nodes).all(axis=0), nodes, np.nan)
    around, relative = node_window(window, resolution)
    rows, cols = around.to_slices()
    out = np.empty((2, *window.shape))
    options = DenseOptions(resolution, limits=(np.finfo(float).max,) * 2)
    part = np.ascontiguousarray(voided[:, rows, cols])
    densify_window(options, relative, nodes=part, out_grid=out, out_mask=np.empty(window.shape, np.uint8))
    return out, part, relative


def looked_up(coordinates, shape, support):
    """By brute force: which pixels of an image the taps of positions inside it may be, by the widest kernel's."""
    found = np.zeros(shape, bool)
    for row, col in coordinates.reshape(2, -1).T:
        inside = -0.5 <= row <= shape[0] - 0.5 and -0.5 <= col <= shape[1] - 0.5
        if inside:
            rows, cols = (
                np.clip(np.arange(np.floor(at) - support + 1, np.floor(at) + support + 1), 0, size - 1).astype(int)
                for at, size in ((row, shape[0]), (col, shape[1]))
            )
            found[np.ix_(rows, cols)] = True
    return found


@st.composite
def jobs(draw):
    """Grids of few nodes, in steps that may be wider than a window; positions in and around an image."""
    shape = draw(st.sampled_from([(2, 2), (1, 3), (3, 1), (1, 1), (4, 3)]))
    resolution = draw(st.one_of(resolutions, st.tuples(st.integers(1, 40), st.integers(1, 40))))
    values = st.one_of(st.floats(-60, 90), st.integers(-10, 40).map(float), st.sampled_from([1e300, -1e308]))
    nodes = draw(node_arrays(shape=shape, elements=values))
    window = Window(*draw(windows_in(grid_full_resolution_shape(shape, resolution))))
    return nodes, resolution, window, draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(jobs(), st.integers(1, 3))
@example((np.full((2, 2, 2), np.nan), (3, 3), Window(0, 4, 0, 4), (5, 5)), 2)
def test_a_box_holds_all_that_its_window_looks_up(job, support):
    nodes, resolution, window, shape = job
    coordinates, around, relative = dense_window(nodes, window, resolution)
    box = source_box(outer_coordinates(around, relative, resolution), shape, support)
    needed = looked_up(coordinates, shape, support)
    held = np.zeros(shape, bool)
    if box is not None:
        assert box.within(shape)
        held[box.to_slices()] = True
    assert (held | ~needed).all()


@given(jobs())
@example((np.full((2, 2, 2), np.nan), (3, 3), Window(0, 4, 0, 4), (5, 5)))
def test_outer_coordinates_are_those_of_the_corners(job):
    nodes, resolution, window, _ = job
    _, around, relative = dense_window(nodes, window, resolution)
    corners = corner_coordinates(around, relative, resolution).reshape(2, -1)
    outer = outer_coordinates(around, relative, resolution)
    for some, all_ in zip(outer, corners, strict=True):
        some, all_ = some[np.isfinite(some)], all_[np.isfinite(all_)]
        assert len(some) == 0 if len(all_) == 0 else len(some) > 0
        if len(all_):
            near = 1e-9 * np.abs(all_).max()
            assert abs(some.min() - all_.min()) <= near
            assert abs(some.max() - all_.max()) <= near


@given(jobs(), st.integers(1, 3))
def test_a_box_is_no_larger_than_the_range_widened(job, support):
    nodes, resolution, window, shape = job
    coordinates, around, relative = dense_window(nodes, window, resolution)
    box = source_box(outer_coordinates(around, relative, resolution), shape, support)
    if box is None:
        return
    for axis, (start, stop) in enumerate(((box.row_start, box.row_stop), (box.col_start, box.col_stop))):
        finite = coordinates[axis][np.isfinite(coordinates[axis])]
        # Corners of a cell with a void node may be valid where no pixel between them is, but they are pixels.
        assert len(finite)
        assert start >= max(0, np.floor(max(finite.min(), -0.5)) - support - 2)
        assert stop <= min(shape[axis], np.ceil(min(finite.max(), shape[axis])) + support + 3)


def test_a_cell_far_larger_than_the_window_reads_no_more_than_the_window_needs():
    nodes = np.stack(np.meshgrid([0.0, 10_000.0], [0.0, 10_000.0], indexing="ij"))
    _, relative = node_window(Window(5000, 5010, 2000, 2020), (10_000, 10_000))
    box = source_box(corner_coordinates(nodes, relative, (10_000, 10_000)), (20_000, 20_000), 2)
    assert box == Window(4997, 5013, 1997, 2023)


def test_the_cell_that_looks_furthest_is_found():
    nodes = np.stack(np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij"))
    nodes[:, 2, 3:] += 1000.0
    corners = corner_coordinates(nodes, Window(0, 7, 0, 9), (2, 2))
    (row, col), ((row_low, row_high), (col_low, col_high)) = widest_cell(corners)
    assert (row, col) == (1, 2)
    assert (row_low, row_high, col_low, col_high) == (1.0, 1002.0, 2.0, 1003.0)
    assert widest_cell(corners[:, :1, :1])[0] == (0, 0)


def test_unions_and_blocks():
    assert united(iter([None, Window(1, 2, 3, 4), None, Window(0, 1, 8, 9)])) == Window(0, 2, 3, 9)
    assert united(iter([None])) is None
    assert blocks_in(Window(15, 17, 16, 32), (16, 16)) == Window(0, 2, 1, 2)


@pytest.mark.parametrize("positions", [(-5.0, -3.0), (12.6, 20.0)])
def test_nothing_is_looked_up_outside(positions):
    corners = np.array([[positions], [(0.0, 5.0)]])
    assert source_box(corners, (11, 11), 2) is None
