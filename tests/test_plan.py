"""Planning: shapes and windows, against GRIDR's own functions, the strips of old, and by counting."""

from __future__ import annotations

import math
import re
import time
from dataclasses import replace

import numpy as np
import oracles
import pytest
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba import GridRIOMode, grid_full_resolution_shape, grid_resolution_window
from gridr_numba.plan import Bounds, WindowMemory, node_window, nodes_of, plan_windows
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


AMPLE = 1 << 40


def touching(dense, resolution):
    """Return the nodes that the corners of a window touch: no other is nearer to the edge of what it needs."""
    return {
        node
        for i in (dense.row_start, dense.row_stop - 1)
        for j in (dense.col_start, dense.col_stop - 1)
        for node in oracles.contributing(i, j, resolution)
    }


@st.composite
def requests(draw):
    """What `plan_windows` is asked: small, so that budgets bind, blocks divide or not, and tiles and strips meet."""
    resolution = draw(own.resolutions)
    node_shape = draw(own.node_shapes)
    row_start, row_stop, col_start, col_stop = draw(own.windows_in(oracles.full_shape(node_shape, resolution)))
    window = Window(row_start, row_stop, col_start, col_stop)
    block_cols = st.one_of(st.integers(1, 9), st.just(window.shape[1]))
    blocks = draw(st.lists(st.tuples(st.integers(1, 20), block_cols), max_size=3))
    memory = WindowMemory(draw(st.integers(1, 9)), draw(st.integers(0, 2)), draw(st.integers(0, 9)), window, resolution)
    bounds = Bounds(
        draw(st.one_of(st.just(AMPLE), st.integers(1, 4000))),
        draw(st.integers(1, 2)),
        draw(st.integers(1, 3000)),
        draw(st.integers(0, 12)),
        draw(st.sampled_from(list(GridRIOMode))),
        draw(st.booleans()),
    )
    return node_shape, window, resolution, memory, blocks, bounds


def plan_of_old(window, resolution, memory, blocks, bounds):
    return oracles.strips_of_old(
        window.shape,
        node_window(window, resolution)[0].shape[1],
        resolution[0],
        (memory.bytes_per_pixel_of_a_set, memory.bytes_per_pixel),
        memory.bytes_per_node,
        max((height for height, _ in blocks), default=1),
        budget=bounds.memory_budget,
        threads=bounds.buffer_sets,
        strip_size=bounds.strip_size,
        counts_nodes=bounds.strip_target is GridRIOMode.INPUT,
        whole_blocks=bounds.whole_blocks,
        strip_bytes=bounds.window_bytes,
    )


def aspects():
    return st.one_of(st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4)))


@given(requests(), aspects())
def test_windows_cover_the_raster_once_within_every_bound(request, aspect):
    node_shape, window, resolution, memory, blocks, bounds = request
    try:
        plan = plan_windows("job", window, resolution, memory, blocks, bounds, aspect_row_col=aspect)
    except MemoryError:
        return
    pieces = list(plan)
    assert len(pieces) == len(plan)
    times = np.zeros(window.shape, int)
    nodes_counted = np.zeros(node_shape, int)
    size, rr = bounds.strip_size, resolution[0]
    asked = size * (rr if bounds.strip_target is GridRIOMode.INPUT else 1) if size else window.shape[0]
    assert memory(plan.piece_shape, plan.buffer_sets) <= bounds.buffer_bytes
    for piece in pieces:
        assert plan.piece(*piece.index) == piece
        times[piece.target.to_slices()] += 1
        assert piece.dense.shape == piece.target.shape == piece.relative.shape
        assert all(n <= most for n, most in zip(piece.dense.shape, plan.piece_shape, strict=True))
        assert all(n <= most for n, most in zip(piece.nodes.shape, plan.node_shape, strict=True))
        assert piece.dense.shape[0] <= asked
        assert piece.target.row_start == piece.dense.row_start - window.row_start
        assert piece.target.col_start == piece.dense.col_start - window.col_start
        assert piece.nodes.within(node_shape)
        if size > 1 and bounds.strip_target is GridRIOMode.INPUT and bounds.memory_budget == AMPLE:
            assert window.row_start > 0 or bounds.window_bytes < AMPLE or piece.nodes.shape[0] <= size + 1
        rows, cols = zip(*touching(piece.dense, resolution), strict=True)
        assert (piece.nodes.row_start, piece.nodes.row_stop) == (min(rows), max(rows) + 1)
        assert (piece.nodes.col_start, piece.nodes.col_stop) == (min(cols), max(cols) + 1)
        shared_rows, shared_cols = piece.shared_nodes_row_col
        own_rows, own_cols = piece.nodes.to_slices()
        nodes_counted[own_rows, own_cols][shared_rows:, shared_cols:] += 1
    assert (times == 1).all()
    whole, _ = node_window(window, resolution)
    assert (nodes_counted[whole.to_slices()] == 1).all()
    assert nodes_counted.sum() == whole.shape[0] * whole.shape[1]


@given(requests())
def test_where_strips_were_found_windows_are_these_strips(request):
    _, window, resolution, memory, blocks, bounds = request
    old = plan_of_old(window, resolution, memory, blocks, bounds)
    try:
        plan = plan_windows("job", window, resolution, memory, blocks, bounds)
    except MemoryError:
        assert old is None
        return
    width = window.shape[1]
    if old is not None:
        assert (*plan.piece_shape, plan.buffer_sets) == (old[0], width, old[1])
    else:
        assert not any(cols >= width for _, cols in blocks)


@given(requests(), aspects())
def test_where_columns_are_cut_windows_are_whole_blocks_or_no_block_fits(request, aspect):
    _, window, resolution, memory, blocks, bounds = request
    try:
        plan = plan_windows("job", window, resolution, memory, blocks, bounds, aspect_row_col=aspect)
    except MemoryError:
        return
    (rows, cols), (height, width) = plan.piece_shape, window.shape
    if cols == width:
        return
    assert not any(block_cols >= width for _, block_cols in blocks)
    tallest, widest = (max(sizes) for sizes in zip(*blocks, strict=True)) if blocks else (1, 1)
    least = (min(tallest, height), min(widest, width))
    room = bounds.buffer_bytes
    all_rows, all_cols = (math.lcm(*sizes) for sizes in zip(*blocks, strict=True)) if blocks else (1, 1)
    if memory((min(all_rows, height), min(all_cols, width)), 1) <= room:
        assert cols % all_cols == 0
        assert rows == height or rows % all_rows == 0 or bounds.strip_size
    elif memory(least, 1) <= room:
        assert cols % widest == 0
        assert rows == height or rows % tallest == 0 or bounds.strip_size
    else:
        assert not bounds.whole_blocks
        assert cols == widest


@given(requests(), aspects())
def test_what_is_refused_would_be_planned_with_the_budget_that_the_error_says(request, aspect):
    _, window, resolution, memory, blocks, bounds = request
    try:
        plan_windows("job", window, resolution, memory, blocks, bounds, aspect_row_col=aspect)
    except MemoryError as error:
        needed = int(re.search(r"memory_budget of (\d+) bytes", str(error))[1])
        assert needed > bounds.memory_budget
        plan_windows("job", window, resolution, memory, blocks, replace(bounds, memory_budget=needed))
        with pytest.raises(MemoryError):
            plan_windows("job", window, resolution, memory, blocks, replace(bounds, memory_budget=needed - 3))


@pytest.mark.parametrize(("aspect", "expected"), [(None, (512, 2560)), ((1, 1), (1024, 1024)), ((4, 1), (2048, 512))])
def test_an_aspect_is_kept_to_as_far_as_blocks_allow(aspect, expected):
    window = Window.whole((20_001, 200_001))
    memory = WindowMemory(17, 0, 18, window, (10, 10))
    bounds = Bounds(256 << 20, window_bytes=24 << 20, whole_blocks=True)
    plan = plan_windows("job", window, (10, 10), memory, [(512, 512)], bounds, aspect_row_col=aspect)
    assert plan.piece_shape == expected


def test_a_low_raster_of_an_aspect_is_one_row_of_windows():
    window = Window.whole((700, 200_001))
    memory = WindowMemory(17, 0, 18, window, (10, 10))
    plan = plan_windows(
        "job", window, (10, 10), memory, [(512, 512)], Bounds(256 << 20, whole_blocks=True), aspect_row_col=(1, 1)
    )
    assert plan.piece_shape[0] == 700
    assert plan.piece_shape[1] % 512 == 0


def test_a_raster_of_a_million_rows_and_columns_is_planned_at_once():
    window = Window.whole(grid_full_resolution_shape((100_001, 100_001), (10, 10)))
    start = time.perf_counter()
    memory = WindowMemory(17, 0, 18, window, (10, 10))
    bounds = Bounds(AMPLE, window_bytes=AMPLE, strip_size=1)
    plan = plan_windows("job", window, (10, 10), memory, [(1, window.shape[1])], bounds)
    assert len(plan) == 1_000_001
    assert next(iter(plan)).dense.shape == (1, 1_000_001)
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize("block", [(512, 512), (1, 10**9)])
def test_a_raster_of_ten_to_the_eighteenth_pixels_is_planned_at_once_and_any_window_of_it_found(block):
    window = Window.whole((10**9, 10**9))
    start = time.perf_counter()
    memory = WindowMemory(17, 0, 18, window, (10, 10))
    plan = plan_windows("job", window, (10, 10), memory, [block], Bounds(1 << 36))
    rows, cols = plan.grid_shape
    last = plan.piece(rows - 1, cols - 1)
    assert last.target.row_stop == last.target.col_stop == 10**9
    assert len(plan) == rows * cols
    assert time.perf_counter() - start < 0.1


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 100))
def test_the_nodes_that_some_pixels_of_an_axis_need_at_most(pixels, resolution, start):
    nodes, _ = node_window(Window(start, start + pixels, 0, 1), (resolution, 1))
    assert nodes.shape[0] <= nodes_of(pixels, resolution)
    worst = Window(resolution - 1, resolution - 1 + pixels, 0, 1)
    assert node_window(worst, (resolution, 1))[0].shape[0] == nodes_of(pixels, resolution)
