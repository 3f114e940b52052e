"""Pixels that are taken from the image itself: what squares of it say of many of them is what each says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridr_numba import build_grid
from gridr_numba.engine.dense import NO_BYTES, DenseOptions
from gridr_numba.engine.resampling import ResampleCounts, resample_window, taps_of
from gridr_numba.engine.tables import RawPixels, SourceTable, bytes_of, squares_of, stays_raw
from gridr_numba.kernels.validity import ALL_VALID, MIXED, NONE_VALID, SQUARE
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
    squares = squares_of(bytes_of(valid))
    assert squares.shape == tuple(-(-size // SQUARE) for size in SHAPE)
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


NEAREST, LINEAR = Interpolation.NEAREST, Interpolation.LINEAR


def compare(nodes, valid, kind=NEAREST, dtype="uint8", out_dtype=None, mask_bands=None, box=None, **more):
    """Resample raw pixels, and a table of which no squares are known: of the whole image, or of a window of it.

    Where pixels are no longer raw, a table of which squares are known takes their place.
    """
    ways = (
        (RawPixels.of if stays_raw(kind, np.dtype(dtype), np.dtype(out_dtype or dtype), SHAPE) else SourceTable.of),
        table,
    )
    bands, out_dtype, box = 2 if mask_bands else len(valid), out_dtype or dtype, box or Window.whole(SHAPE)
    low = -50 if np.dtype(dtype).kind == "i" else 0
    image = np.random.default_rng(0).integers(low, low + 100, (bands, *SHAPE)).astype(dtype)
    there = (slice(None), *box.to_slices())
    shape = tuple((n - 1) * RESOLUTION + 1 for n in nodes.shape[1:])
    results = []
    for window_of in ways:
        out, mask = np.empty((bands, *shape), out_dtype), np.zeros((mask_bands or bands, *shape), np.uint8)
        mask[0, ::3, ::5] = Cause.RASTER_MASK if more.get("marked") else 0
        counts, options = ResampleCounts(), DenseOptions((RESOLUTION, RESOLUTION))
        its_valid = valid[there][0] if len(valid) == 1 else valid[there]
        source = window_of(image[there], its_valid, (box.row_start, box.col_start), SHAPE)
        resample_window(source, options, Window.whole(shape), kind, out, mask, nodes=nodes, counts=counts, **more)
        results.append((out, mask, counts))
    got, expected = results
    assert np.array_equal(got[1], expected[1])
    else_summed = np.zeros(shape, bool)
    if kind is LINEAR:
        # Where a position is moved into the image, a table has the same number twice, and weighs both. Where it is a
        # whole one, and what is beside it is invalid, a table's pixel is summed again, in float64.
        for positions, size in zip(densify(nodes), SHAPE, strict=True):
            else_summed |= (positions < 0) | (positions > size - 1) | (positions == np.floor(positions))
    assert np.array_equal(got[0][:, ~else_summed], expected[0][:, ~else_summed], equal_nan=out.dtype.kind == "f")
    atol = 100 * 2.0**-22 if out.dtype.kind == "f" else 1
    np.testing.assert_allclose(got[0].astype(float), expected[0].astype(float), rtol=0, atol=atol)
    assert got[2] == expected[2] or else_summed.any()
    return got[1]


def table(*given):
    """Make a table, and forget its squares."""
    return replace(SourceTable.of(*given), squares=NO_BYTES)


def densify(nodes):
    """Return positions of whole rows and columns."""
    with np.errstate(invalid="ignore"):
        return build_grid((1, 1), nodes, None, (RESOLUTION, RESOLUTION), None)


@pytest.mark.large
@given(
    mappings(), validities(), st.sampled_from(["uint8", "int16", "uint32"]), st.sampled_from([None, 0]), st.booleans()
)
def test_raw_pixels_are_those_of_a_table(nodes, valid, dtype, nodata, marked):
    compare(nodes, valid, NEAREST, dtype, nodata=nodata, marked=marked)


@pytest.mark.large
@given(
    mappings(),
    validities(),
    st.sampled_from(["uint8", "int8", "uint16", "int16"]),
    st.sampled_from([None, "uint8", "int32", "float32", "float64"]),
    st.sampled_from([None, 1]),
    st.sampled_from([None, 0]),
    st.booleans(),
    st.booleans(),
)
def test_sums_of_raw_pixels_are_those_of_a_table(nodes, valid, dtype, out_dtype, mask_bands, nodata, marked, strict):
    compare(nodes, valid, LINEAR, dtype, out_dtype, mask_bands, nodata=nodata, marked=marked, strict=strict)


@pytest.mark.large
@given(
    mappings(),
    validities(),
    st.sampled_from(list(Interpolation)),
    st.sampled_from(["uint8", "int32", "float32"]),
    st.sampled_from([None, 1]),
    st.booleans(),
    st.booleans(),
)
def test_tables_of_which_squares_are_known_make_the_same_pixels(nodes, valid, kind, dtype, mask_bands, marked, strict):
    compare(nodes, valid, kind, dtype, "float64", mask_bands, marked=marked, strict=strict)


@pytest.mark.large
@pytest.mark.parametrize("kind", list(Interpolation))
@pytest.mark.parametrize("box", [Window(0, 150, 0, 210), Window(50, 300, 200, 410), Window(51, 249, 63, 347)])
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_windows_of_raw_pixels_answer_to_their_last_pixel(kind, box, offset):
    """At whole positions one tap counts along each axis; and at the image's edges positions are moved into it."""
    before, after = kind.support - 1, kind.support + (0.5 if kind is NEAREST else 0.0)  # as tables have it
    corners = [
        (start - 0.5 if start == 0 else start + before, stop - 0.5 if stop == size else stop - after)
        for (start, stop), size in zip(
            ((box.row_start, box.row_stop), (box.col_start, box.col_stop)), SHAPE, strict=True
        )
    ]
    nodes = np.stack(np.meshgrid(*(np.linspace(*ends, 20) for ends in corners), indexing="ij"))
    nodes[:, 5:15, 5:15] = np.floor(nodes[:, 5:15, 5:15]) + offset
    valid = np.random.default_rng(1).random((1, *SHAPE)) > 0.3
    assert (compare(nodes, valid, kind, "uint16", box=box) == 0).any()


def test_two_by_two_pixels_are_needed_for_their_sums():
    source = RawPixels.of(np.zeros((1, 1, 5), np.uint16), None, (0, 0), (4, 5))
    with pytest.raises(ValueError, match="two by two"):
        source.source(taps_of(LINEAR, source.dtype))


def test_raw_pixels_make_only_what_they_can():
    source = RawPixels.of(np.zeros((1, 4, 5), np.uint16), None, (0, 0), (4, 5))
    out, mask = np.zeros((1, 9, 9), np.uint8), np.zeros((1, 9, 9), np.uint8)
    nodes, options = np.zeros((2, 2, 2)), DenseOptions((RESOLUTION, RESOLUTION))
    for kind in (NEAREST, Interpolation.CUBIC):
        with pytest.raises(ValueError, match=f"uint16 as they are make none of uint8, {kind.value}"):
            resample_window(source, options, Window.whole((9, 9)), kind, out, mask, nodes=nodes)


@pytest.mark.large
@pytest.mark.parametrize("void", [None, (0, 0), (16, 32), (32, 64)])
@pytest.mark.parametrize("folded", [False, True])
@pytest.mark.parametrize("kind", list(Interpolation))
@pytest.mark.parametrize("place", [(slice(100, 200), slice(100, 300)), (slice(0, 300), slice(0, 410))])
def test_what_is_not_known_of_a_tile_is_looked_at(void, folded, kind, place):
    """A tile has void nodes or positions beyond those of the nodes that are looked at, and invalid pixels there."""
    nodes = 0.7 * RESOLUTION * np.mgrid[:38, :68].astype(np.float64)
    if void is not None:
        nodes[:, void[0], void[1]] = np.nan
    if folded:
        nodes[1, :, 20:28] += 150
    valid = np.ones((1, *SHAPE), bool)
    valid[:, place[0], place[1]] = False
    assert (compare(nodes, valid, kind) == Cause.SOURCE_INVALID).any()


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
