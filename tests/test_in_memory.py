"""The in-memory doors beside the laws: arrays of every kind in and out, and what is compiled for them."""

from __future__ import annotations

import os

import numpy as np
import pytest
import shapely

import gridr_numba as gn
from gridr_numba.kernels import bilinear

NODES = np.random.default_rng(5).random((2, 4, 5)) * 100
MASK = np.random.default_rng(6).integers(0, 2, (4, 5)).astype(np.uint8)
RESOLUTION = [3, 2]
SHAPE = (10, 9)
DENSE = gn.build_grid((1, 1), NODES, None, RESOLUTION, None)
VALID = gn.build_mask(SHAPE, [1, 1], None, mask_in=MASK, mask_in_resolution=RESOLUTION)


@pytest.mark.parametrize(
    "nodes",
    [
        NODES.astype(">f8"),
        np.asfortranarray(NODES),
        np.repeat(NODES, 2, axis=2)[:, :, ::2],
        NODES[:, ::-1][:, ::-1],
        np.frombuffer(NODES.tobytes()).reshape(NODES.shape),  # read-only
    ],
)
def test_nodes_of_any_layout(nodes):
    got = gn.build_grid([1, 1], nodes, None, np.array(RESOLUTION), None)
    assert np.array_equal(got, DENSE)
    assert got.dtype == np.float64


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64, bool])
def test_integer_nodes_make_float64(dtype):
    nodes = (NODES > 50).astype(dtype) if dtype is bool else NODES.astype(dtype)
    got = gn.build_grid((1, 1), nodes, None, RESOLUTION, None)
    assert got.dtype == np.float64
    assert np.array_equal(got, gn.build_grid((1, 1), nodes.astype(np.float64), None, RESOLUTION, None))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4", ">f8"])
def test_grids_of_any_floating_type_and_strides(dtype):
    out = np.zeros((2, *SHAPE, 2), dtype)[..., 0]
    assert gn.build_grid((1, 1), NODES, None, RESOLUTION, out, np.float32) is None
    assert np.array_equal(out, DENSE.astype(dtype))
    nodes = NODES.astype(dtype)
    got = gn.build_grid((1, 1), nodes, None, RESOLUTION, None)
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.allclose(got, DENSE, rtol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, bool, np.int16, np.uint64, np.float32, ">i4"])
def test_masks_of_any_type_and_strides(dtype):
    mask = MASK.astype(dtype)
    for resolution in (RESOLUTION, tuple(RESOLUTION), np.array(RESOLUTION)):
        got = gn.build_mask(
            None, (1, 1), None, mask_in=mask, mask_in_target_win=((0, 9), (0, 8)), mask_in_resolution=resolution
        )
        assert got.dtype == np.uint8
        assert np.array_equal(got, VALID)
    out = np.full((20, 18), 7, dtype)[::2, ::2]
    assert gn.build_mask(None, (1, 1), out, mask_in=mask, mask_in_resolution=RESOLUTION) is None
    assert np.array_equal(out, VALID)


def test_without_mask_and_polygons_out_is_left_unless_init_out():
    out = np.full(SHAPE, 5, np.uint8)
    assert gn.build_mask(SHAPE, (1, 1), out) is None
    assert (out == 5).all()
    gn.build_mask(SHAPE, (1, 1), out, init_out=True)
    assert (out == 1).all()
    assert gn.build_mask(SHAPE, (1, 1), None).all()


def test_a_threshold_of_none_is_the_default():
    default = gn.build_mask(
        SHAPE, (1, 1), None, mask_in=MASK, mask_in_resolution=RESOLUTION, mask_in_binary_threshold=None
    )
    assert np.array_equal(default, VALID)


def test_a_merge_value_without_a_mask_file(rasters):
    out = rasters.writer(SHAPE, np.float64, bands=2)
    gn.build_grid_mask_chain(
        RESOLUTION, rasters.reader(NODES), None, 1, 2, out, None, 1, 2, None, None, rasters.reader(MASK), 1, 1,
        np.float64, (0.0, 0.0), (None, shapely.box(1, 1, 3, 3)), merge_mask_grid=-7, io_strip_size=1,
    )  # fmt: skip
    valid = VALID.copy()
    valid[1:4, 1:4] = 0
    assert np.array_equal(rasters.content(out), np.where(valid == 1, DENSE, -7.0))


@pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="nothing is compiled")
def test_nothing_is_compiled_twice_for_strides_byte_order_or_integer_width():
    for nodes in (NODES, NODES.astype(">f4"), np.asfortranarray(NODES), NODES.astype(np.int16)):
        gn.build_grid((1, 1), nodes, None, RESOLUTION, None)
        gn.build_grid((1, 1), nodes, None, RESOLUTION, np.empty((2, *SHAPE), np.float32))
    for dtype in (np.uint8, np.int64, bool, ">u2"):
        for out in (None, np.empty(SHAPE, np.int32), np.empty(SHAPE, np.uint8)):
            gn.build_mask(SHAPE, (1, 1), out, mask_in=MASK.astype(dtype), mask_in_resolution=RESOLUTION)
    assert len(bilinear.densify.dispatcher.signatures) == 1
    assert len(bilinear.void_nodes.dispatcher.signatures) == 1
