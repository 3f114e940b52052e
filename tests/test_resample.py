"""Resampling in memory: each sentence of `resample_array` against a brute force or an outside oracle."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numba
import numpy as np
import oracles
import pytest
import scipy.ndimage
import shapely
import strategies as own
from hypothesis import given
from hypothesis import strategies as st

import gridr_numba as gn
from gridr_numba.engine.dense import DenseOptions
from gridr_numba.engine.resampling import ResampleCounts, resample_window, taps_of
from gridr_numba.engine.tables import RawPixels, SourceTable, table_dtype, table_size
from gridr_numba.kernels import bilinear
from gridr_numba.kernels.resample import TILE_COLS, TILE_ROWS, resample_tile
from gridr_numba.types import IMAGE_DTYPES, Cause, Interpolation
from gridr_numba.window import Window

KINDS = [each.value for each in Interpolation]
OUTSIDE, INVALID = int(Cause.OUTSIDE_SOURCE), int(Cause.SOURCE_INVALID)
# Of a value before it is rounded to the output's type: absolute, and relative to the largest tap.
BOUNDS = {"uint8": (1e-4, 0), "int8": (1e-4, 0), "uint16": (0.02, 0), "int16": (0.02, 0), "float32": (0, 3e-7)}


def bound(dtype, kind, largest):
    """What is promised of a value before it is rounded."""
    absolute, relative = BOUNDS.get(dtype, (0, 3e-15))
    return (absolute + relative * largest) * (5 if kind == "lanczos3" and dtype not in ("uint8", "uint16") else 1)


def noise(dtype, shape, seed=0):
    """Full-range noise: the worst image."""
    random = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return ((random.random(shape) - 0.5) * 2000).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def turned(shape, image_shape, degrees, scale=1.0):
    """Positions of a raster that is turned about the image's centre."""
    angle = np.deg2rad(degrees)
    i, j = np.meshgrid(*((np.arange(n) - (n - 1) / 2) * scale for n in shape), indexing="ij")
    y = np.cos(angle) * i - np.sin(angle) * j + (image_shape[0] - 1) / 2
    x = np.sin(angle) * i + np.cos(angle) * j + (image_shape[1] - 1) / 2
    return np.stack([y, x])


def places(size):
    """Positions along an axis of so many pixels: on, between and about centres, at its ends, and beyond."""
    return st.one_of(
        st.floats(-0.5, size - 0.5),
        st.integers(-1, size).map(float),
        st.integers(-1, size).map(lambda n: n - 0.5),
        st.builds(
            lambda n, step: float(np.nextafter(n, n + step)), st.integers(0, size - 1), st.sampled_from([-1.0, 1.0])
        ),
        st.builds(
            lambda n, step: n + step, st.integers(0, size - 1), st.sampled_from([-1e-9, 1e-9, 1e-20, -1e-20, 1e-310])
        ),
        st.sampled_from([np.nan, np.inf, 1e300, -1e300, 1e18, np.nextafter(-0.5, -1), np.nextafter(size - 0.5, size)]),
    )


@st.composite
def scattered(draw):
    """An image's shape, and a raster of positions in it."""
    rows, cols = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    n = draw(st.integers(1, 12))
    ys = draw(st.lists(places(rows), min_size=n, max_size=n))
    xs = draw(st.lists(places(cols), min_size=n, max_size=n))
    return (rows, cols), np.array([[ys], [xs]])


def check_pixels(image, valid, nodes, kind, strict, result, causes, out_dtype=None):
    """Compare with the brute force, pixel by pixel."""
    held = image.dtype.name
    out = np.dtype(out_dtype or image.dtype)
    for index in np.ndindex(nodes.shape[1:]):
        y, x = (float(axis[index]) for axis in nodes)
        if not (np.isfinite(y) and np.isfinite(x)):
            assert causes[index] == Cause.NODE
            continue
        value, largest = oracles.resampled_pixel(image, valid, y, x, kind, strict=strict)
        if isinstance(value, str):
            assert causes[index] == {"outside": OUTSIDE, "invalid": INVALID}[value], (y, x)
            continue
        tolerance = bound(held, kind, largest)
        if kind == "nearest":
            assert result[index] == value
        elif out.kind == "f":
            if abs(value) <= float(np.finfo(out).max):
                assert causes[index] == 0, (y, x)
                # The oracle divides by 256 on its way, which takes digits off what is next to nothing.
                rounding = abs(float(np.spacing(out.type(value)))) / 2 + 1e-319
                assert abs(float(result[index]) - value) <= tolerance + rounding
        else:
            limits = np.iinfo(out)
            assert causes[index] == 0, (y, x)
            assert abs(float(result[index]) - np.clip(value, limits.min, limits.max)) <= 0.5 + tolerance, (y, x)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", IMAGE_DTYPES)
@given(scattered(), st.sampled_from(["clamp", "strict"]), st.integers(0, 99), st.sampled_from([0.0, 0.2]))
def test_every_pixel_is_what_counts_makes_it(dtype, kind, raster, edge, seed, share_invalid):
    shape, nodes = raster
    image = noise(dtype, shape, seed)
    valid = np.random.default_rng(seed).random(shape) >= share_invalid
    result, causes, _ = gn.resample_array(
        image,
        nodes,
        1,
        interpolation=kind,
        edge=edge,
        source_mask=valid.astype(np.uint8),
        mask_out_values="causes",
        threads=1,
    )
    assert result.dtype == image.dtype
    assert not result[causes != 0].any() if image.dtype.kind != "f" else np.isnan(result[causes != 0]).all()
    check_pixels(image, valid, nodes, kind, edge == "strict", result, causes)


# Uncompiled, numpy says what becomes of infinities.
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
@given(scattered(), st.integers(0, 99), st.sampled_from(["float32", "float64"]))
def test_reals_of_any_size(kind, raster, seed, dtype):
    """NaN and infinities are invalid; sums that are too large for the type only on the way are none too large."""
    shape, nodes = raster
    largest = float(np.finfo(dtype).max)
    choices = np.array([largest, -largest, largest / 2, 1, 0, np.finfo(dtype).tiny, np.nan, np.inf, -np.inf], dtype)
    image = np.random.default_rng(seed).choice(choices, shape, p=[0.2, 0.1, 0.1, 0.2, 0.2, 0.05, 0.05, 0.05, 0.05])
    result, causes, counts = gn.resample_array(image, nodes, 1, interpolation=kind, mask_out_values="causes", threads=1)
    valid = np.ones(shape, bool)
    overflown = 0
    for index in np.ndindex(nodes.shape[1:]):
        y, x = (float(axis[index]) for axis in nodes)
        if np.isfinite(y) and np.isfinite(x):
            value, _ = oracles.resampled_pixel(image, valid, y, x, kind)
            if isinstance(value, str) or abs(value) < largest * (1 - 1e-6):
                continue
            if abs(Fraction(value)) < Fraction(largest) * Fraction(1 + 1e-6):
                return  # as near to the limit as the arithmetic is exact
            overflown += 1
            assert causes[index] == INVALID
            nodes[:, index[0], index[1]] = np.nan
            causes[index] = Cause.NODE
    assert counts.overflown == overflown
    # Integers are clipped, whatever became infinite on the way.
    whole = gn.resample_array(image, nodes, 1, interpolation=kind, dtype="int16", threads=1)
    for index in np.argwhere(whole.mask):
        y, x = (float(axis[tuple(index)]) for axis in nodes)
        value, _ = oracles.resampled_pixel(image, valid, y, x, kind)
        if abs(value) > largest / 1e6:
            assert abs(float(whole.image[tuple(index)]) - min(max(value, -32768), 32767)) <= 0.501
    check_pixels(image, valid, nodes, kind, False, result, causes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("origin", [(0, 0), (3_000_000_000, 1 << 40)])
def test_accuracy_before_rounding(dtype, kind, origin):
    """Full-range noise, also far from the image's first pixel, where coordinates have few digits left."""
    image = noise(dtype, (40, 50))
    nodes = turned((20, 20), image.shape, 30) + np.array(origin, float)[:, np.newaxis, np.newaxis]
    out = np.empty((1, 20, 20), "float64")
    mask = np.empty((1, 20, 20), np.uint8)
    table = SourceTable.of(image[np.newaxis], None, origin, (origin[0] + 40, origin[1] + 50))
    resample_window(
        table, DenseOptions((1, 1)), Window.whole((20, 20)), Interpolation[kind.upper()], out, mask, nodes=nodes
    )
    inside = mask[0] == 0
    assert inside.mean() > 0.9
    for index in np.argwhere(inside):
        y, x = (float(axis[tuple(index)]) - first for axis, first in zip(nodes, origin, strict=True))
        value, largest = oracles.resampled_pixel(image, np.ones(image.shape, bool), y, x, kind)
        assert abs(out[0, index[0], index[1]] - value) <= bound(dtype, kind, largest)


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_nearest_is_scipys(rows, cols, data):
    ys = data.draw(
        st.lists(st.one_of(st.floats(-0.5, rows - 0.5), st.integers(-1, 2 * rows - 1).map(lambda n: n / 2)), min_size=1)
    )
    xs = data.draw(st.lists(st.floats(-0.5, cols - 0.5), min_size=len(ys), max_size=len(ys)))
    image = noise("int32", (rows, cols))
    nodes = np.array([[ys], [xs]])
    result, mask, _ = gn.resample_array(image, nodes, 1, interpolation="nearest")
    assert mask.all()
    assert np.array_equal(result, scipy.ndimage.map_coordinates(image, nodes, order=0, mode="nearest"))


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_linear_is_scipys(rows, cols, data):
    ys = data.draw(st.lists(st.floats(-0.5, rows - 0.5), min_size=1))
    xs = data.draw(st.lists(st.floats(-0.5, cols - 0.5), min_size=len(ys), max_size=len(ys)))
    image, nodes = noise("float64", (rows, cols)), np.array([[ys], [xs]])
    result = gn.resample_array(image, nodes, 1, interpolation="linear").image
    expected = scipy.ndimage.map_coordinates(image, nodes, order=1, mode="nearest")
    np.testing.assert_allclose(result, expected, rtol=1e-12, atol=1e-9)


@given(st.lists(st.tuples(st.fractions(2, 6), st.fractions(2, 6)), min_size=1, max_size=5))
def test_cubic_is_keys_in_fractions(positions):
    image = noise("int16", (9, 9))
    nodes = np.array([[[float(y) for y, _ in positions]], [[float(x) for _, x in positions]]])
    result = gn.resample_array(image.astype("float64"), nodes, 1).image

    def weights(place):
        distances = {k: abs(place - k) for k in range(9)}
        near = {k: (3 * d**3 - 5 * d**2 + 2) / 2 for k, d in distances.items() if d <= 1}
        return near | {k: (-(d**3) + 5 * d**2 - 8 * d + 4) / 2 for k, d in distances.items() if 1 < d < 2}

    for index in range(len(positions)):
        rows, cols = (weights(Fraction(float(nodes[axis, 0, index]))) for axis in (0, 1))
        exact = sum(int(image[r, c]) * wr * wc for r, wr in rows.items() for c, wc in cols.items())
        assert abs(Fraction(float(result[0, index])) - exact) <= 1e-9


# -- independence -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
def test_coordinates_are_those_of_densify(kind, data):
    """The dense grid's own, to the bit: fused through the grid, or through the file's coordinates."""
    resolution = data.draw(own.resolutions)
    nodes = data.draw(own.node_arrays(shape=(3, 2), elements=st.floats(-3, 24)))
    image = noise("float32", (20, 22))
    fused = gn.resample_array(image, nodes, resolution, interpolation=kind)
    dense = gn.build_grid((1, 1), nodes, None, resolution, None)
    through = gn.resample_array(image, dense, 1, interpolation=kind)
    assert np.array_equal(fused.image.view(np.uint32), through.image.view(np.uint32))
    assert np.array_equal(fused.mask, through.mask)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint16", "float32", "int32"])
@given(st.data())
def test_windows_and_threads_change_no_bit(dtype, kind, data):
    resolution = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    image = noise(dtype, (2, 30, 33))
    nodes = turned((5, 6), image.shape[1:], data.draw(st.sampled_from([0, 5, 45, 90])), 6.5)
    shape = oracles.full_shape(nodes.shape[1:], resolution)
    first, last_row, second, last_col = data.draw(own.windows_in(shape))
    valid = (noise("uint8", (30, 33), 1) > 20).astype(np.uint8)
    options = {"interpolation": kind, "source_mask": valid, "mask_out_values": "causes"}
    whole = gn.resample_array(image, nodes, resolution, threads=1, **options)
    part = gn.resample_array(
        image, nodes, resolution, window=((first, last_row), (second, last_col)), threads=2, **options
    )
    assert np.array_equal(part.image, whole.image[:, first:last_row, second:last_col], equal_nan=dtype == "float32")
    assert np.array_equal(part.mask, whole.mask[first:last_row, second:last_col])


@pytest.mark.large
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("degrees", [0, 45, 90, -100])
def test_tiles_change_no_bit(kind, degrees):
    """A raster of some tiles, parts of which lie beyond the image, and windows that begin and end within tiles."""
    image, valid = noise("uint16", (400, 420)), np.ones((400, 420), np.uint8)
    valid[100:180, 90:300] = 0
    nodes = turned((2 * TILE_ROWS // 10 + 2, 2 * TILE_COLS // 10 + 2), image.shape, degrees, 6)
    options = {"interpolation": kind, "source_mask": valid, "mask_out_values": "causes"}
    whole = gn.resample_array(image, nodes, 10, **options)
    assert {0, OUTSIDE, INVALID} <= set(np.unique(whole.mask))
    rows, cols = whole.mask.shape
    for row, col in ((TILE_ROWS - 3, 5), (0, TILE_COLS + 1), (rows - 7, cols - 9)):
        part = gn.resample_array(image, nodes, 10, window=((row, rows), (col, cols)), **options)
        assert np.array_equal(part.image, whole.image[row:, col:])
        assert np.array_equal(part.mask, whole.mask[row:, col:])


@pytest.mark.parametrize("kind", list(Interpolation))
@pytest.mark.parametrize("strict", [False, True])
@given(st.data())
def test_a_window_of_the_source_is_enough(kind, strict, data):
    image = noise("uint16", (2, 40, 37))
    valid = noise("uint8", (40, 37), 1) > 9
    nodes = turned((7, 8), (40, 37), data.draw(st.sampled_from([0, 10, 90])), data.draw(st.sampled_from([1, 2, 5])))
    nodes += data.draw(st.sampled_from([0.0, 0.25, 15.0]))
    shape = nodes.shape[1:]

    def run(table):
        out, mask = np.empty((2, *shape), np.uint16), np.empty((1, *shape), np.uint8)
        window = Window.whole(shape)
        resample_window(table, DenseOptions((1, 1)), window, kind, out, mask, nodes=nodes, strict=strict)
        return out, mask

    expected = run(SourceTable.of(image, valid, (0, 0), (40, 37)))
    box = []
    for axis, size in zip(nodes, (40, 37), strict=True):
        margin = kind.support + 1
        low, high = int(np.floor(axis.min())) - margin, int(np.ceil(axis.max())) + margin + 1
        box.append(slice(min(max(low, 0), size - 1), min(max(high, 1), size)))
    cut = np.ascontiguousarray(image[:, box[0], box[1]])
    room = np.full(table_size(*(len(cut), cut.shape[1:])) + 5, -7, table_dtype(image.dtype))
    part = SourceTable.of(cut, valid[box[0], box[1]], (box[0].start, box[1].start), (40, 37), out=room)
    got = run(part)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("dtype", IMAGE_DTYPES[:6])
@pytest.mark.parametrize("nodata", [None, 0, 7, "lowest"])
@pytest.mark.parametrize("per_band", [False, True])
def test_raw_pixels_are_the_same_nearest_pixels(dtype, nodata, per_band):
    """Images with many zeros, which invalid raw pixels are too."""
    image = noise(dtype, (2, 30, 37))
    image[:, :15] *= noise(dtype, (2, 15, 37), 1) % 2
    valid = noise("uint8", (2, 30, 37) if per_band else (30, 37), 2) > 40
    nodes = turned((8, 9), (30, 37), 20, 4) + 3  # some look beyond the image
    nodata = np.iinfo(dtype).min if nodata == "lowest" else nodata

    def run(raw, valid):
        shape = (len(image), 29, 33)
        table = (RawPixels if raw else SourceTable).of(image, valid, (0, 0), (30, 37))
        out, mask = np.empty(shape, dtype), np.empty((2 if per_band else 1, *shape[1:]), np.uint8)
        counts = ResampleCounts()
        window, kind, options = Window.whole(shape[1:]), Interpolation.NEAREST, DenseOptions((4, 4))
        resample_window(table, options, window, kind, out, mask, nodes=nodes, nodata=nodata, counts=counts)
        return out, mask, counts

    for some in (valid, None):
        got, expected = run(True, some), run(False, some)
        assert np.array_equal(got[0], expected[0])
        assert np.array_equal(got[1], expected[1])
        assert got[2] == expected[2]
        assert (got[1] == OUTSIDE).any()
        assert (got[1] == INVALID).any() == (some is not None)


@pytest.mark.parametrize("kind", list(Interpolation))
@pytest.mark.parametrize(("start", "size"), [(0, 20), (0, 9), (5, 20), (11, 20)])
def test_no_tap_is_read_beyond_the_table(kind, start, size):
    """Positions are moved to the nearest that the table answers, of which all taps are read, whatever they weigh."""
    table = SourceTable.of(noise("uint8", (1, 9, 9)), None, (start, start), (size, size))
    source = table.source(taps_of(kind, np.dtype(np.float32)))
    for axis, length in enumerate(table.shape[1:]):
        low, high = source.reach[axis] - source.origin[axis]
        assert 0 <= low - (kind.support - 1) < high + kind.support <= length - 1


def test_a_window_that_is_not_enough_is_noticed():
    image = noise("uint8", (1, 20, 20))
    nodes = np.full((2, 1, 1), 10.5)
    out, mask = np.empty((1, 1, 1), np.uint8), np.empty((1, 1, 1), np.uint8)
    table = SourceTable.of(image[:, :10], None, (0, 0), (20, 20))
    with pytest.raises(RuntimeError, match="1 pixels lie beyond the window"):
        resample_window(table, DenseOptions((1, 1)), Window.whole((1, 1)), Interpolation.LINEAR, out, mask, nodes=nodes)


def made():
    """Return a digest of what all kinds make of all types, with what is invalid, at the edge and on centres."""
    digest = hashlib.sha256()
    nodes = np.concatenate([turned((6, 9), (12, 14), 20), np.round(turned((6, 9), (12, 14), 5) * 2) / 2], axis=2)
    for dtype in IMAGE_DTYPES:
        image = noise(dtype, (2, 12, 14))
        valid = (noise("uint8", (12, 14), 1) > 20).astype(np.uint8)
        for kind in KINDS:
            got = gn.resample_array(
                image, nodes, (2, 3), interpolation=kind, source_mask=valid, mask_out_values="causes"
            )
            digest.update(got.image.tobytes() + got.mask.tobytes())
    return digest.hexdigest()


@pytest.mark.large  # without compilation there is nothing to compare with
def test_bits_are_the_same_without_compilation():
    script = "import sys; sys.path.insert(0, 'tests'); import test_resample; print(test_resample.made())"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONWARNINGS": "ignore", "PYTHONPATH": ""}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == made()


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="nothing is cached")
def test_a_cached_kernel_is_void_when_a_helper_elsewhere_was_edited():
    """The tile that makes the coordinates is in another file than the kernel that calls it."""
    stamp = resample_tile.dispatcher._cache._cache_file._source_stamp
    helpers = Path(bilinear.__file__)
    assert (helpers.name, helpers.stat().st_mtime, helpers.stat().st_size) in stamp


# -- validity ---------------------------------------------------------------------------------------------------------

IDENTITY = np.stack(np.meshgrid(np.arange(4.0), np.arange(5.0), indexing="ij"))


@pytest.mark.parametrize("kind", KINDS)
def test_on_centres_a_pixel_has_one_tap(kind):
    """Its neighbours may be invalid: the identity changes nothing."""
    image = noise("float32", (4, 5))
    image[::2, ::2] = np.nan
    image[1, 1] = np.inf
    result, mask, _ = gn.resample_array(image, IDENTITY, 1, interpolation=kind)
    finite = np.isfinite(image)
    assert np.array_equal(mask, finite)
    assert np.array_equal(result[finite], image[finite])


def test_band_validity():
    image = np.arange(40, dtype=np.uint8).reshape(2, 4, 5) + 1
    image[0, 0, 0] = image[:, 1, 1] = image[1, 2, 2] = 99

    def masks(image, **options):
        return gn.resample_array(image, IDENTITY, 1, interpolation="nearest", nodata=99, **options)

    either, both = (image == 99).any(axis=0), (image == 99).all(axis=0)
    result, mask, _ = masks(image)
    assert np.array_equal(mask == 0, either)
    assert np.array_equal(result, np.where(either, 99, image))
    result, mask, counts = masks(image, band_validity="all")
    assert np.array_equal(mask == 0, both)
    assert np.array_equal(result, image)  # what is nodata in one band only is a value
    assert counts.equal_to_nodata == 2
    result, mask, _ = masks(image, band_validity="each")
    assert np.array_equal(mask == 0, image == 99)
    assert np.array_equal(result, image)
    reals = image.astype("float32")
    reals[0, 3, 3] = np.nan  # counts always
    assert masks(reals, band_validity="all").mask[3, 3] == 0


def test_what_is_nodata_in_some_bands_is_warned_of(caplog):
    image = np.ones((2, 4, 5), np.uint8)
    image[0, 0] = 7
    gn.resample_array(image, IDENTITY, 1, nodata=7)
    assert "5 pixels of the image are nodata in some bands and not in others" in caplog.text


def test_each_band_keeps_the_causes_that_are_all_bands():
    image = np.ones((2, 4, 5), np.uint8)
    image[1, 1, 1] = 0
    mask = np.ones((4, 5), np.uint8)
    mask[2, 2] = 0
    invalid = shapely.box(2.5, -1, 9, 9)
    got = gn.resample_array(
        image, IDENTITY, 1, nodata=0, mask=mask, invalid=invalid, band_validity="each", mask_out_values="causes"
    ).mask
    expected = np.zeros((2, 4, 5), np.uint8)
    expected[:, 2, 2] = Cause.RASTER_MASK
    expected[:, :, 3:] = Cause.INSIDE_INVALID
    expected[1, 1, 1] = Cause.SOURCE_INVALID
    assert np.array_equal(got, expected)


# -- rounding and counts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [each for each in IMAGE_DTYPES if not each.startswith("float")])
@pytest.mark.parametrize("source", ["float32", "float64"])
def test_rounding_is_half_to_even_and_clipped(dtype, source):
    limits = np.iinfo(dtype)
    image = np.array([[0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 3e30, -3e30, limits.max, limits.min]], source)
    nodes = np.stack([np.zeros(image.shape), np.arange(10.0)[np.newaxis]])
    result, mask, counts = gn.resample_array(image, nodes, 1, dtype=dtype)
    expected = np.clip(np.rint(image.astype("float64")), limits.min, limits.max)
    assert mask.all()
    assert np.array_equal(result.astype("float64"), expected)
    assert counts.clipped == (np.rint(image.astype("float64")) != expected).sum()


def test_overshoot_is_clipped_and_counted_and_what_equals_nodata_is_not_shifted(caplog):
    image = np.array([[0, 0, 200, 255, 255, 200]], np.uint8)
    nodes = np.stack([np.zeros((1, 3)), np.array([[3.5, 2.5, 0.25]])])
    result, mask, counts = gn.resample_array(image, nodes, 1, nodata=255, dtype=None, source_mask=np.ones((1, 6)) > 0)
    assert not mask[0, 0]
    result, mask, counts = gn.resample_array(image, nodes, 1)
    assert result[0, 0] == 255
    assert counts.clipped == 2
    result, mask, counts = gn.resample_array(image[:, :3], nodes[:, :, 2:], 1, nodata=0)
    assert not mask.any()
    flat = np.array([[3, 5, 3]], np.uint8)
    result, mask, counts = gn.resample_array(flat, np.array([[[0.0]], [[0.5]]]), 1, interpolation="linear", nodata=4)
    assert (result, mask, counts.equal_to_nodata) == (4, 1, 1)
    assert "1 valid values of the result equal nodata" in caplog.text


def test_a_result_too_large_for_its_type_is_invalid_and_counted():
    image = np.array([[1e300, 1.0, 3.4e38, 3.5e38]])
    nodes = np.stack([np.zeros((1, 4)), np.arange(4.0)[np.newaxis]])
    result, mask, counts = gn.resample_array(image, nodes, 1, dtype="float32", nodata=-1)
    assert counts.overflown == 2
    assert mask.tolist() == [[0, 1, 1, 0]]
    assert result.tolist() == [[-1, 1, float(np.float32(3.4e38)), -1]]


# -- arguments --------------------------------------------------------------------------------------------------------


def test_nodes_in_every_meaning():
    image = noise("uint16", (20, 20))
    nodes = turned((4, 5), image.shape, 5, 3)
    plain = gn.resample_array(image, nodes, 2).image
    own_places = np.stack(np.meshgrid(np.arange(4.0) * 2, np.arange(5.0) * 2, indexing="ij"))
    assert np.array_equal(gn.resample_array(image, nodes[::-1], 2, grid_order="xy").image, plain)
    shifted = gn.resample_array(image, nodes + 2.0, 2, source_offset=(2, 2)).image
    assert (shifted != plain).mean() < 0.1  # by a rounding
    displaced = gn.resample_array(image, nodes - own_places, 2, displacement=True).image
    assert (displaced != plain).mean() < 0.1
    nodes[0, 1, 1] = -99
    mask = gn.resample_array(image, nodes, 2, grid_nodata=-99, mask_out_values="causes").mask
    assert (mask[1:4, 1:4] == Cause.NODE).all()
    assert not (mask[5:] & Cause.NODE).any()


def test_shapes_of_one_band():
    image = noise("uint8", (4, 5))
    flat = gn.resample_array(image, IDENTITY, 1)
    banded = gn.resample_array(image[np.newaxis], IDENTITY, 1, mask_out_values=(1, 300))
    assert flat.image.shape == flat.mask.shape == banded.mask.shape == (4, 5)
    assert banded.image.shape == (1, 4, 5)
    assert (flat.mask.dtype, banded.mask.dtype) == (np.uint8, np.uint16)
    assert np.array_equal(flat.image, image)
    swapped = gn.resample_array(np.asfortranarray(image.astype(">u2")), IDENTITY.astype(">f4"), 1).image
    assert swapped.dtype == np.uint16
    assert np.array_equal(swapped, image)


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        ("image", {"image": np.zeros((4, 5), np.int64)}, "image must be one of uint8, .* not int64"),
        ("image", {"image": np.zeros((4, 5), complex)}, "image must hold"),
        ("image", {"image": np.zeros(4)}, "3 dimensions"),
        ("nodes", {"nodes": np.zeros((3, 2, 2))}, "nodes must have 2 bands"),
        ("resolution", {"resolution": 0}, "at least 1"),
        ("window", {"window": ((0, 9), (0, 2))}, "within the dense raster's"),
        ("interpolation", {"interpolation": "bilinear"}, "'nearest', 'linear', 'cubic', 'lanczos3', not 'bilinear'"),
        ("edge", {"edge": None}, "'clamp', 'strict', not None"),
        ("band_validity", {"band_validity": "some"}, "'any', 'all', 'each', not 'some'"),
        ("grid_order", {"grid_order": "yx"}, "'row_col', 'xy', not 'yx'"),
        ("nodata", {"nodata": -1}, "nodata must be an integer that fits in uint8"),
        ("nodata", {"nodata": "no"}, "nodata must be a number"),
        ("source_mask", {"source_mask": np.zeros((5, 4), bool)}, "source_mask must have the image's"),
        ("source_mask", {"source_mask": np.zeros((4, 5))}, "source_mask must hold"),
        ("mask", {"mask": np.zeros((5, 4), bool)}, "mask must have the nodes'"),
        ("threshold", {"threshold": 2}, "in \\[0, 1\\]"),
        ("dtype", {"dtype": "uint64"}, "dtype must be one of uint8, .* not uint64"),
        ("mask_out_values", {"mask_out_values": "bits"}, "'causes', not 'bits'"),
        ("threads", {"threads": 0}, "at least 1"),
        ("grid_nodata", {"grid_nodata": "x"}, "grid_nodata must be a number"),
        ("displacement", {"displacement": 1}, "True or False"),
        ("valid", {"valid": []}, "valid"),
    ],
)
def test_wrong_arguments_are_named(argument, options, message):
    given = {"image": np.zeros((4, 5), np.uint8), "nodes": IDENTITY, "resolution": 1, **options}
    with pytest.raises(gn.GridrError, match=message) as caught:
        gn.resample_array(**given)
    assert caught.value.argument == argument


# -- others -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["nearest", "linear", "cubic"])
@pytest.mark.filterwarnings("ignore:Standalone mode")
def test_gridr_makes_the_same_image(kind):
    """From the coarse grid; its coordinates are rounded to 1e-12."""
    resampling = pytest.importorskip("gridr.core.grid.grid_resampling")
    image = noise("float64", (60, 70))
    nodes = turned((5, 6), image.shape, 5, 10.0)
    theirs, _ = resampling.array_grid_resampling(kind, image, nodes[0], nodes[1], (10, 10), None)
    ours, mask, _ = gn.resample_array(image, nodes, 10, interpolation=kind)
    assert mask.all()
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-8)


def test_cars_resample_makes_the_same_image():
    """Columns first, counted from a pixel's corner, and summed in float32.

    Without the last row and column: for these it takes nodes beyond the last ones too, whatever is in memory there.
    """
    theirs = pytest.importorskip("resample")
    image = noise("float64", (1, 60, 70))
    nodes = turned((5, 6), image.shape[1:], 5, 10.0)
    out = theirs.grid(image, np.ascontiguousarray(nodes[::-1]) + 0.5, 10, "bicubic", -9999.0)[:, :40, :50]
    np.testing.assert_allclose(gn.resample_array(image, nodes, 10).image[:, :40, :50], out, rtol=0, atol=1e-3)


def test_nodata_of_nodes_is_compared_as_they_hold_it():
    """float32 has no 0.1, but a nearest number."""
    nodes = np.mgrid[:2, :3].astype(np.float32) + np.float32(1)
    nodes[:, 0, 0] = 0.1
    image = np.arange(35, dtype=np.uint8).reshape(5, 7)
    made = gn.resample_array(image, nodes, 1, grid_nodata=0.1)
    assert made.mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert gn.resample_array(image, nodes, 1, grid_nodata=1e300).mask.all()


@pytest.mark.filterwarnings("error")
def test_nodata_that_the_image_cannot_hold_is_no_pixels():
    """float32 does not hold 1e300: it is the output's nodata alone."""
    image, nodes = np.ones((3, 4), np.float32), np.mgrid[:2, :3] * 1.0
    made = gn.resample_array(image, nodes, 1, nodata=1e300, dtype="float64")
    assert made.mask.all()


@pytest.mark.parametrize(
    ("argument", "value", "other"),
    [
        ("mask_valid_value", 0, "mask"),
        ("threshold", 0.5, "mask"),
        ("source_mask_valid_value", 0, "source_mask"),
    ],
)
def test_what_speaks_of_a_mask_needs_one(argument, value, other):
    """As in `resample`."""
    with pytest.raises(gn.GridrValueError, match=f"{argument} must not be given without {other}") as caught:
        gn.resample_array(np.ones((3, 4)), np.mgrid[:2, :3] * 1.0, 1, **{argument: value})
    assert caught.value.argument == argument
