"""Pixels that are copied from the image itself: what squares of it say of many of them is what each says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba.engine.dense import DenseOptions
from gridr_numba.engine.resampling import ResampleCounts, resample_window
from gridr_numba.engine.tables import RawPixels, SourceTable
from gridr_numba.kernels.validity import ALL_VALID, MIXED, NONE_VALID, SQUARE, look_at_squares
from gridr_numba.types import Cause, Interpolation
from gridr_numba.window import Window

SHAPE = 300, 410
RESOLUTION = 8


@st.composite
def validities(draw):
    """Rectangles of pixels that are invalid, or valid among those: of squares, of parts of them, of all."""
    valid = np.full((draw(st.sampled_from([1, 2])), *SHAPE), draw(st.booleans()))
    for _ in range(draw(st.integers(0, 4))):
        slices = []
        for size in SHAPE:
            ends = st.one_of(st.integers(0, size), st.integers(0, size // SQUARE).map(lambda n: n * SQUARE))
            slices.append(slice(*sorted((draw(ends), draw(ends)))))
        valid[(slice(None) if draw(st.booleans()) else 0, *slices)] = draw(st.booleans())
    return valid


@given(validities())
def test_squares_say_what_their_pixels_are(valid):
    squares = np.full([-(-size // SQUARE) for size in SHAPE], 9, np.uint8)
    look_at_squares(valid.view(np.uint8), squares)
    for (row, col), what in np.ndenumerate(squares):
        pixels = valid[:, row * SQUARE : (row + 1) * SQUARE, col * SQUARE : (col + 1) * SQUARE]
        assert what == (ALL_VALID if pixels.all() else MIXED if pixels.any() else NONE_VALID)


@st.composite
def mappings(draw):
    """Nodes that turn, shrink, fold or tear, with some that are void, in the image and beyond it."""
    i, j = RESOLUTION * np.mgrid[:38, :68].astype(np.float64)
    angle, scale = np.deg2rad(draw(st.sampled_from([0, 5, 45, 90, 180]))), draw(st.sampled_from([0.2, 0.7, 1.5]))
    y = scale * (np.cos(angle) * (i - 150) - np.sin(angle) * (j - 270)) + draw(st.integers(0, SHAPE[0]))
    x = scale * (np.sin(angle) * (i - 150) + np.cos(angle) * (j - 270)) + draw(st.integers(0, SHAPE[1]))
    nodes = np.stack([y, x]) + draw(st.sampled_from([0.0, 0.5, 0.3]))
    if draw(st.booleans()):
        nodes[0] = np.abs(nodes[0] - 100)
    if draw(st.booleans()):
        nodes[:, :, draw(st.integers(0, 67)) :] -= 60
    if draw(st.booleans()):
        # Among them those that are looked at for a tile.
        nodes[:, draw(st.sampled_from([0, 5, 16, 32])), draw(st.sampled_from([0, 9, 32, 64]))] = np.nan
    return nodes


def compare(nodes, valid, dtype="uint8", nodata=None, marked=False):
    """Resample raw pixels, and a table."""
    bands = len(valid)
    image = np.random.default_rng(0).integers(0, 100, (bands, *SHAPE)).astype(dtype)
    shape = tuple((n - 1) * RESOLUTION + 1 for n in nodes.shape[1:])
    results = []
    for kind in (RawPixels, SourceTable):
        out, mask = np.empty((bands, *shape), dtype), np.zeros((bands, *shape), np.uint8)
        mask[0, ::3, ::5] = Cause.RASTER_MASK if marked else 0
        counts, options = ResampleCounts(), DenseOptions((RESOLUTION, RESOLUTION))
        source, nearest = kind.of(image, valid[0] if bands == 1 else valid, (0, 0), SHAPE), Interpolation.NEAREST
        window, more = Window.whole(shape), {"nodes": nodes, "marked": marked, "nodata": nodata, "counts": counts}
        resample_window(source, options, window, nearest, out, mask, **more)
        results.append((out, mask, counts))
    got, expected = results
    assert np.array_equal(got[1], expected[1])
    assert np.array_equal(got[0], expected[0])
    assert got[2] == expected[2]
    return got[1]


@pytest.mark.large
@given(
    mappings(), validities(), st.sampled_from(["uint8", "int16", "uint32"]), st.sampled_from([None, 0]), st.booleans()
)
def test_raw_pixels_are_those_of_a_table(nodes, valid, dtype, nodata, marked):
    compare(nodes, valid, dtype, nodata, marked)


@pytest.mark.large
@pytest.mark.parametrize("void", [None, (0, 0), (16, 32), (32, 64)])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("place", [(slice(100, 200), slice(100, 300)), (slice(0, 300), slice(0, 410))])
def test_what_is_not_known_of_a_tile_is_looked_at(void, folded, place):
    """A tile has void nodes or positions beyond those of the nodes that are looked at, and invalid pixels there."""
    nodes = 0.7 * RESOLUTION * np.mgrid[:38, :68].astype(np.float64)
    if void is not None:
        nodes[:, void[0], void[1]] = np.nan
    if folded:
        nodes[1, :, 20:28] += 150
    valid = np.ones((1, *SHAPE), bool)
    valid[:, place[0], place[1]] = False
    assert (compare(nodes, valid) == Cause.SOURCE_INVALID).any()


def test_read_only_pixels_are_taken_and_those_of_any_layout():
    image = np.arange(5 * 7, dtype=np.uint16).reshape(1, 7, 5).transpose(0, 2, 1)
    image.flags.writeable = False
    source = RawPixels.of(image, None, (0, 0), (5, 7))
    assert np.array_equal(source.values, image)
    assert source.values.flags.c_contiguous
    assert source.values.flags.writeable


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pixels_that_may_be_written_are_not_copied(dtype):
    image = np.zeros((2, 5, 7), dtype)
    assert RawPixels.of(image, None, (0, 0), (5, 7)).values is image
