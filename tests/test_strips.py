"""Planning: shapes, windows and strips, against GRIDR's own functions and by counting."""

from __future__ import annotations

import time

import numpy as np
import oracles
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba import GridRIOMode, grid_full_resolution_shape, grid_resolution_window
from gridr_numba.strips import StripMemory, node_rows_of, node_window, plan_strips
from gridr_numba.window import Window


@given(own.node_shapes, own.resolutions)
def test_the_full_shape(shape, resolution):
    assert grid_full_resolution_shape(shape, resolution) == oracles.full_shape(shape, resolution)


def test_shapes_beyond_32_bits():
    assert grid_full_resolution_shape((2**31, 2**33), (3, 5)) == ((2**31 - 1) * 3 + 1, (2**33 - 1) * 5 + 1)


@given(st.data(), own.resolutions)
def test_the_nodes_of_a_window_are_those_that_contribute(data, resolution):
    window = data.draw(own.windows_in((20, 30)))
    nodes, relative = grid_resolution_window(resolution, own.inclusive(window))
    touched = {
        node
        for i in (window[0], window[1] - 1)
        for j in (window[2], window[3] - 1)
        for node in oracles.contributing(i, j, resolution)
    }
    rows, cols = zip(*touched, strict=True)
    assert nodes.tolist() == [[min(rows), max(rows)], [min(cols), max(cols)]]
    offset = nodes[:, 0] * np.array(resolution)
    assert (relative + offset[:, np.newaxis]).tolist() == [list(pair) for pair in own.inclusive(window)]


@given(st.data(), own.resolutions)
def test_windows_agree_with_gridr(data, resolution):
    commons = pytest.importorskip("gridr.core.grid.grid_commons")
    window = np.array(own.inclusive(data.draw(own.windows_in((40, 40)))))
    for ours, theirs in zip(
        grid_resolution_window(resolution, window), commons.grid_resolution_window(resolution, window), strict=True
    ):
        assert np.array_equal(ours, theirs)


@given(st.data(), own.resolutions, st.integers(0, 12), st.sampled_from(list(GridRIOMode)), st.integers(1, 40))
def test_strips_cover_the_window_once_within_every_bound(data, resolution, size, target, budget):
    node_shape = data.draw(own.node_shapes)
    block = data.draw(st.integers(1, 20))
    row_start, row_stop, col_start, col_stop = data.draw(own.windows_in(oracles.full_shape(node_shape, resolution)))
    window = Window(row_start, row_stop, col_start, col_stop)
    plan = plan_strips(
        window, resolution, strip_size=size, strip_target=target, rows_in_budget=budget, block_height=block
    )
    strips = list(plan)
    assert len(strips) == len(plan)
    rows = [row for strip in strips for row in range(strip.dense.row_start, strip.dense.row_stop)]
    assert rows == list(range(row_start, row_stop))
    bound = size * (resolution[0] if target is GridRIOMode.INPUT else 1) if size else window.shape[0]
    for strip in strips:
        assert strip.dense.shape[0] <= min(bound, budget, plan.strip_shape[0])
        assert strip.dense.shape == strip.target.shape == strip.relative.shape
        assert strip.target.row_start == strip.dense.row_start - row_start
        assert strip.target.col_start == 0
        assert strip.nodes.shape[0] <= plan.node_shape[0]
        if size > 1 and target is GridRIOMode.INPUT and budget >= bound and row_start == 0:
            assert strip.nodes.shape[0] <= size + 1
        assert strip.nodes.shape[1] == plan.node_shape[1]
        assert strip.nodes.within(node_shape)
        for i in (strip.dense.row_start, strip.dense.row_stop - 1):
            for j in (col_start, col_stop - 1):
                for r, c in oracles.contributing(i, j, resolution):
                    assert strip.nodes.row_start <= r < strip.nodes.row_stop
                    assert strip.nodes.col_start <= c < strip.nodes.col_stop
    if block < plan.rows_per_strip < window.shape[0] and not (size and target is GridRIOMode.INPUT):
        assert plan.rows_per_strip % block == 0


def test_a_raster_of_a_million_rows_and_columns_is_planned_at_once():
    window = Window.whole(grid_full_resolution_shape((100_001, 100_001), (10, 10)))
    start = time.perf_counter()
    plan = plan_strips(
        window, (10, 10), strip_size=1, strip_target=GridRIOMode.OUTPUT, rows_in_budget=4, block_height=1
    )
    assert len(plan) == 1_000_001
    assert next(iter(plan)).dense.shape == (1, 1_000_001)
    assert time.perf_counter() - start < 1


@given(st.integers(1, 50), st.integers(0, 50), st.integers(1, 40), st.integers(0, 100_000))
def test_as_many_rows_as_memory_holds(per_dense_row, per_node_row, rr, size):
    memory = StripMemory(per_dense_row, per_node_row, rr)
    rows = memory.rows_within(size)
    assert rows == 0 or memory.of(rows) <= size
    assert memory.of(rows + 1) > size


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 100))
def test_the_rows_of_nodes_that_some_rows_need_at_most(rows, rr, start):
    nodes, _ = node_window(Window(start, start + rows, 0, 1), (rr, 1))
    assert nodes.shape[0] <= node_rows_of(rows, rr)
    assert node_window(Window(rr - 1, rr - 1 + rows, 0, 1), (rr, 1))[0].shape[0] == node_rows_of(rows, rr)
