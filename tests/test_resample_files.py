"""`resample`: an image and a coarse grid in files, the resampled image out."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from images import FULL, NODES, PLACE, SHAPE, STEP, invalid_places, picture, read, turned, write
from rasterio.enums import ColorInterp
from scipy import ndimage

import gridr_numba as gn
from gridr_numba.engine import resample_step
from gridr_numba.engine.source_tables import SourceUse
from gridr_numba.errors import DtypeError, GridrTypeError, GridrValueError, StrictError
from gridr_numba.files.bands import WindowReader
from gridr_numba.files.source import BAND_VALIDITIES, SourceImage
from gridr_numba.types import IMAGE_DTYPES, Cause, Interpolation
from gridr_numba.window import Window

# Minutes without compilation, for windows, files and masks: accesses out of bounds are found by test_resample.
pytestmark = pytest.mark.large

TILES = {"BLOCKXSIZE": 16, "BLOCKYSIZE": 16}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    return write(tmp_path_factory.mktemp("grid") / "grid.tif", turned(), crs="EPSG:32631", transform=PLACE)


@pytest.fixture
def image(tmp_path):
    return write(tmp_path / "image.tif", np.where(invalid_places(), 0, np.maximum(picture(), 1)), nodata=0)


def resampled(image, grid, out, **options):
    """Return the image, its causes and the report."""
    mask_out = out.with_name("causes.tif")
    options = {"resolution": STEP, "mask_out": mask_out, "mask_out_values": "causes", "overwrite": True} | options
    report = gn.resample(image, grid, out, **options)
    return read(out), read(mask_out), report


# -- against other ways -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("interpolation", list(Interpolation))
@pytest.mark.parametrize("edge", ["clamp", "strict"])
def test_fused_is_what_comes_of_the_dense_grid_to_the_bit(image, grid, tmp_path, interpolation, edge):
    cloud = shapely.Point(50, 40).buffer(12)
    how = {"interpolation": interpolation, "edge": edge}
    fused, causes, report = resampled(image, grid, tmp_path / "fused.tif", invalid=cloud, **how)
    gn.densify(grid, tmp_path / "dense.tif", resolution=STEP)
    through = {"resolution": 1, "invalid": cloud, **how}
    dense, dense_causes, _ = resampled(image, tmp_path / "dense.tif", tmp_path / "twice.tif", **through)
    assert fused.tobytes() == dense.tobytes()
    assert causes.tobytes() == dense_causes.tobytes()
    assert {1 << bit for bit in range(8) if (causes & (1 << bit)).any()} == {2, 8, 16, 32}
    assert report.valid_pixels == (causes == 0).sum()


@pytest.mark.parametrize("dtype", IMAGE_DTYPES)
def test_nearest_and_linear_are_what_scipy_makes(tmp_path, grid, dtype):
    values = picture(dtype)
    path = write(tmp_path / "image.tif", values)
    gn.densify(grid, tmp_path / "dense.tif", resolution=STEP)
    rows, cols = read(tmp_path / "dense.tif")
    for name, order in (("nearest", 0), ("linear", 1)):
        out, causes, _ = resampled(path, grid, tmp_path / "out.tif", interpolation=name)
        valid = causes[0] == 0
        assert valid.mean() > 0.5
        wide = values[0].astype(np.float64)
        wanted = ndimage.map_coordinates(wide, [rows[valid], cols[valid]], order=order, mode="nearest")
        if np.dtype(dtype).kind != "f":
            wanted = np.rint(wanted)
        allowed = 0 if order == 0 else 1 if np.dtype(dtype).kind != "f" else 1e-3
        assert np.abs(out[0][valid].astype(np.float64) - wanted).max() <= allowed
        assert out.dtype == dtype


def test_outside_of_the_image_nothing_is_extrapolated(image, grid, tmp_path):
    out, causes, report = resampled(image, grid, tmp_path / "out.tif")
    gn.densify(grid, tmp_path / "dense.tif", resolution=STEP)
    rows, cols = read(tmp_path / "dense.tif")
    finite = np.isfinite(rows)
    inside = (rows >= -0.5) & (rows <= SHAPE[0] - 0.5) & (cols >= -0.5) & (cols <= SHAPE[1] - 0.5)
    assert ((causes[0] & Cause.OUTSIDE_SOURCE != 0) == (finite & ~inside)).all()
    assert ((causes[0] & Cause.NODE != 0) == ~finite).all()
    assert (out[0][causes[0] != 0] == 0).all()
    assert report.invalid_pixels["outside_source"] == (finite & ~inside).sum() > 0


# -- what is the same, whatever the way --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """An image that does not fit in a small budget, and grids turned by several angles."""
    folder = tmp_path_factory.mktemp("large")
    values = picture(shape=(300, 340), bands=2)
    tiles = {"TILED": "YES", **TILES}
    write(folder / "tiled.tif", values, nodata=0, INTERLEAVE="PIXEL", **tiles)
    write(folder / "striped.tif", values, nodata=0, INTERLEAVE="BAND")
    for angle in (0, 45, 90):
        nodes = turned(angle, nodes=(31, 35), step=(10, 11), about=(170.0, 150.0))
        write(folder / f"grid{angle}.tif", nodes)
    return folder


@pytest.mark.parametrize("angle", [0, 45, 90])
def test_bits_do_not_depend_on_windows_threads_or_layout(large, tmp_path, angle):
    made = []
    options = {"resolution": (10, 11), "interpolation": "lanczos3", "invalid": shapely.Point(150, 160).buffer(40)}
    for number, (source, budget, threads, creation) in enumerate(
        [
            ("tiled", 1 << 28, 2, {}),
            ("striped", 1 << 28, 1, TILES),
            ("tiled", 400_000, 2, TILES),
            ("striped", 150_000, 1, TILES),
            ("tiled", 1_000_000, 1, {"TILED": "NO"}),
        ]
    ):
        how = {"memory_budget": budget, "threads": threads, "creation_options": creation}
        out = tmp_path / f"{number}.tif"
        out, causes, report = resampled(large / f"{source}.tif", large / f"grid{angle}.tif", out, **how, **options)
        counts = report.valid_pixels, report.invalid_pixels, report.clipped, report.equal_to_nodata
        made.append((out.tobytes(), causes.tobytes(), counts, report.source_rows, report.source_cols))
    assert all(each == made[0] for each in made[1:])


def test_a_part_is_that_slice_of_the_whole(image, grid, tmp_path):
    whole, causes, _ = resampled(image, grid, tmp_path / "whole.tif")
    part, part_causes, _ = resampled(image, grid, tmp_path / "part.tif", window=((20, 61), (33, 90)))
    assert (part == whole[:, 20:61, 33:90]).all()
    assert (part_causes == causes[:, 20:61, 33:90]).all()


def test_a_window_whose_box_does_not_fit_is_cut(large, tmp_path, monkeypatch):
    whole, *_ = resampled(large / "tiled.tif", large / "grid45.tif", tmp_path / "whole.tif", resolution=(10, 11))
    monkeypatch.setattr(resample_step, "_ROOM", 0.1)
    monkeypatch.setattr(resample_step, "_ROOM_BESIDE", 16)
    how = {"resolution": (10, 11), "memory_budget": 400_000, "creation_options": TILES}
    cut, *_ = resampled(large / "tiled.tif", large / "grid45.tif", tmp_path / "cut.tif", **how)
    assert (cut == whole).all()


# -- what is valid ------------------------------------------------------------------------------------------------


def as_tag(folder, values, bad):
    return write(folder / "tag.tif", np.where(bad, 0, values), nodata=0), {}


def as_given(folder, values, bad):
    return write(folder / "given.tif", np.where(bad, 0, values)), {"nodata": 0}


def as_nan(folder, values, bad):
    return write(folder / "nan.tif", np.where(bad, np.nan, values).astype(np.float32)), {"dtype": values.dtype}


def as_infinity(folder, values, bad):
    return write(folder / "inf.tif", np.where(bad, -np.inf, values).astype(np.float32)), {"dtype": values.dtype}


def as_internal_mask(folder, values, bad):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        path = write(folder / "internal.tif", values)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(~bad)
    return path, {}


def as_msk(folder, values, bad):
    path = write(folder / "beside.tif", values)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(~bad)
    assert Path(f"{path}.msk").exists()
    return path, {}


def as_alpha(folder, values, bad):
    path = folder / "alpha.tif"
    alpha = np.where(bad, 0, 1 + values % 7).astype(values.dtype)
    profile = {"driver": "GTiff", "count": 2, "height": SHAPE[0], "width": SHAPE[1], "dtype": values.dtype}
    with rasterio.open(path, "w", transform=PLACE, **profile) as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha]
        dataset.write(np.concatenate([values, alpha]))
    return path, {}


def as_source_mask(folder, values, bad):
    write(folder / "mask.tif", np.stack([np.zeros(SHAPE, np.uint8), np.where(bad, 1, 3).astype(np.uint8)]))
    which = {"source_mask": folder / "mask.tif", "source_mask_band": 2, "source_mask_valid_value": 3}
    return write(folder / "masked.tif", values), which


WAYS = [as_tag, as_given, as_nan, as_infinity, as_internal_mask, as_msk, as_alpha, as_source_mask]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("budget", [1 << 28, 100_000])
def test_a_source_pixel_is_invalid_by_whatever_says_so(tmp_path, grid, way, budget):
    values, bad = np.maximum(picture(), 1), invalid_places()
    wanted, wanted_causes, _ = resampled(*as_tag(tmp_path, values, bad)[:1], grid, tmp_path / "wanted.tif")
    path, options = way(tmp_path, values, bad)
    how = {"memory_budget": budget, "creation_options": TILES} | options
    out, causes, report = resampled(path, grid, tmp_path / "out.tif", **how)
    assert (causes == wanted_causes).all()
    assert (out[causes == 0] == wanted[causes == 0]).all()
    assert out.shape == (1, *FULL)
    assert report.invalid_pixels["source_invalid"] == (causes == Cause.SOURCE_INVALID).sum() > 100


def test_which_taps_count(tmp_path):
    """At integer positions along an axis the others do not, so an invalid pixel has no neighbours there."""
    values = np.arange(1, 26, dtype=np.uint8).reshape(5, 5)
    values[2, 2] = 0
    path = write(tmp_path / "image.tif", values, nodata=0)
    nodes = np.stack(np.meshgrid([0.0, 4.0], [0.0, 4.0], indexing="ij"))
    grid = write(tmp_path / "grid.tif", nodes)
    for interpolation in Interpolation:
        out, causes, _ = resampled(path, grid, tmp_path / "out.tif", resolution=4, interpolation=interpolation)
        assert (out[0] == values).all()
        assert ((causes[0] != 0) == (values == 0)).all()


def test_each_of_several_alpha_bands_masks(tmp_path, grid):
    values, bad = np.maximum(picture(), 1), [invalid_places(seed) for seed in (5, 6)]
    path, profile = (
        tmp_path / "image.tif",
        {"driver": "GTiff", "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint16"},
    )
    with rasterio.open(path, "w", count=3, transform=PLACE, **profile) as dataset:
        dataset.colorinterp = [ColorInterp.gray, ColorInterp.alpha, ColorInterp.alpha]
        dataset.write(np.concatenate([values, *(np.where(each, 0, 9)[np.newaxis] for each in bad)]).astype(np.uint16))
    wanted, wanted_causes, _ = resampled(*as_tag(tmp_path, values, bad[0] | bad[1])[:1], grid, tmp_path / "wanted.tif")
    out, causes, report = resampled(path, grid, tmp_path / "out.tif")
    assert report.bands == (1,)
    assert (causes == wanted_causes).all()
    assert (out[causes == 0] == wanted[causes == 0]).all()


@pytest.mark.parametrize("validity", BAND_VALIDITIES)
@pytest.mark.parametrize("tagged", [False, True])
def test_a_band_may_have_a_mask_of_its_own(tmp_path, grid, validity, tagged):
    """In place of its nodata, or besides."""
    values = np.maximum(picture(bands=3), 1)
    bad = np.stack([invalid_places(seed) for seed in (5, 6, 7)])
    wanted_of = write(tmp_path / "wanted.tif", np.where(bad, 0, values), nodata=0)
    masked = bad.copy()
    if tagged:
        masked[:, : SHAPE[0] // 2] = False
    path = write(tmp_path / "image.tif", np.where(bad & ~masked, 0, values))
    write(tmp_path / "image.tif.msk", np.where(masked, 0, 255).astype(np.uint8))
    with rasterio.open(tmp_path / "image.tif.msk", "r+") as dataset:
        dataset.update_tags(**{f"INTERNAL_MASK_FLAGS_{band}": "0" for band in (1, 2, 3)})
    how = {"band_validity": validity, "nodata": 0, "bands": [3, 1]}
    wanted, wanted_causes, _ = resampled(wanted_of, grid, tmp_path / "wanted-out.tif", **how)
    out, causes, _ = resampled(path, grid, tmp_path / "out.tif", **how)
    assert (causes == wanted_causes).all()
    valid = np.broadcast_to(causes == 0, out.shape)
    if validity != "all":  # where the others' nodata is a value
        assert (out[valid] == wanted[valid]).all()
    assert (causes & Cause.SOURCE_INVALID).any() or validity == "all"


@pytest.mark.parametrize("validity", BAND_VALIDITIES)
def test_bands_that_hold_nodata_alone(tmp_path, grid, validity, caplog):
    values = np.maximum(picture(bands=3), 1)
    bad = np.stack([invalid_places(seed) for seed in (5, 6, 7)])
    bad[2] = bad[0] & bad[1]
    path = write(tmp_path / "image.tif", np.where(bad, 0, values), nodata=0)
    _, causes, report = resampled(path, grid, tmp_path / "out.tif", band_validity=validity, bands=[1, 2])
    selected = bad[:2]
    wanted = {"any": selected.any(axis=0)[np.newaxis], "all": selected.all(axis=0)[np.newaxis], "each": selected}
    for band, invalid in enumerate(wanted[validity]):
        one = values[0].astype(np.uint16)
        alone = write(tmp_path / "alone.tif", np.where(invalid, 0, np.maximum(one, 1)), nodata=0)
        _, expected, _ = resampled(alone, grid, tmp_path / "alone-out.tif")
        assert (causes[band] == expected[0]).all()
    assert causes.shape[0] == (2 if validity == "each" else 1)
    torn = int((selected.any(axis=0) ^ selected.all(axis=0)).sum())
    said = [text for text in report.warnings if "in some of the bands" in text]
    assert len(said) == (validity != "each")
    if said:
        read_rows, read_cols = (slice(*each) for each in (report.source_rows, report.source_cols))
        inside = (selected.any(axis=0) ^ selected.all(axis=0))[read_rows, read_cols].sum()
        assert int(re.search(r"image: ([\d,]+) pixels", said[0])[1].replace(",", "")) == inside
        assert inside <= torn
    if validity == "each":
        assert report.valid_pixels == (causes == 0).sum()


def test_pixels_of_some_bands_only_are_counted_once(large, tmp_path):
    values = read(large / "tiled.tif")
    values[0, 100:110, 100:130] = 0
    path = write(tmp_path / "image.tif", values, nodata=0, TILED="YES", **TILES)
    torn = int(((values == 0).any(axis=0) & ~(values == 0).all(axis=0)).sum())
    for budget in (1 << 28, 250_000):
        how = {"resolution": (10, 11), "memory_budget": budget, "creation_options": TILES}
        *_, report = resampled(path, large / "grid45.tif", tmp_path / "out.tif", **how)
        seen = values[:, slice(*report.source_rows), slice(*report.source_cols)] == 0
        assert f"image: {(seen.any(axis=0) & ~seen.all(axis=0)).sum():,} pixels" in " ".join(report.warnings)
        assert torn >= 300


def test_nan_in_one_band_counts_for_all(tmp_path, grid):
    values = picture("float32", bands=2)
    values[1, 30:34, 40:44] = np.nan
    path = write(tmp_path / "image.tif", values)
    _, causes, _ = resampled(path, grid, tmp_path / "out.tif", band_validity="all")
    assert (causes & Cause.SOURCE_INVALID).any()
    _, causes, _ = resampled(path, grid, tmp_path / "out.tif", band_validity="each")
    assert not (causes[0] & Cause.SOURCE_INVALID).any()
    assert (causes[1] & Cause.SOURCE_INVALID).any()


# -- what is written ----------------------------------------------------------------------------------------------


def test_invalid_pixels_are_nodata_and_valid_ones_that_equal_it_are_counted(tmp_path, grid):
    values = np.full(SHAPE, 5, np.uint8)
    path = write(tmp_path / "image.tif", values)
    out, causes, report = resampled(path, grid, tmp_path / "out.tif", nodata=5.0, source_mask=None, dtype="int16")
    assert out.dtype == np.int16  # its own nodata makes all of it invalid
    assert report.valid_pixels == 0
    out, causes, report = resampled(path, grid, tmp_path / "out.tif", nodata=None)
    assert report.equal_to_nodata == 0
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata is None
    assert (out[causes != 0] == 0).all()
    values = np.tile(np.uint8([4, 6]), (70, 45))
    path = write(tmp_path / "image.tif", values, nodata=5)
    out, causes, report = resampled(path, grid, tmp_path / "out.tif", interpolation="linear")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.nodata == 5
    assert report.equal_to_nodata == (out[causes == 0] == 5).sum() > 0


def test_overshoot_is_clipped_and_counted(tmp_path, grid):
    values = np.where(np.random.default_rng(3).random(SHAPE) < 0.5, 1, 255).astype(np.uint8)
    path = write(tmp_path / "image.tif", values, nodata=0)
    out, causes, report = resampled(path, grid, tmp_path / "out.tif")
    wide, _, wide_report = resampled(path, grid, tmp_path / "wide.tif", dtype="int16")
    valid = causes == 0
    assert (out[valid] == np.clip(wide[valid], 0, 255)).all()
    assert wide_report.clipped == 0
    # A value that rounds to the limit is within it: what is clipped may be off by those nearer than half.
    beyond = ((wide < 0) | (wide > 255)) & valid
    assert report.clipped >= beyond.sum() > 0


def test_what_a_float_cannot_hold_is_invalid(tmp_path, grid):
    values = np.where(np.random.default_rng(3).random(SHAPE) < 0.5, -1e39, 1e3)
    path = write(tmp_path / "image.tif", values, nodata=-9999.0)
    out, causes, report = resampled(path, grid, tmp_path / "out.tif", interpolation="nearest", dtype="float32")
    assert report.overflown == (causes == Cause.SOURCE_INVALID).sum() > 0
    assert (out[causes == 0] == 1e3).all()
    assert (out[causes != 0] == -9999.0).all()


def test_what_bands_say_of_their_values_is_copied_and_nothing_else(tmp_path, grid):
    path = tmp_path / "image.tif"
    profile = {"driver": "GTiff", "count": 4, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8", "nodata": 0}
    points = [rasterio.control.GroundControlPoint(0, 0, 5.0, 45.0), rasterio.control.GroundControlPoint(9, 9, 6, 44)]
    with rasterio.open(path, "w", gcps=[*points, points[0]], crs="EPSG:4326", **profile) as dataset:
        dataset.colorinterp = [ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.undefined]
        dataset.scales, dataset.offsets = (0.1, 0.2, 0.3, 0.4), (1.0, 2.0, 3.0, 4.0)
        dataset.units = ("W", "W", "W", "K")
        for index, name in enumerate(("b", "g", "r", "nir"), start=1):
            dataset.set_band_description(index, name)
            dataset.update_tags(index, STATISTICS_MEAN="5", mine="yes")
        dataset.update_tags(ns="RPC", LINE_OFF="1")
        dataset.update_tags(ns="GEOLOCATION", X_BAND="1")
        dataset.write(np.maximum(picture("uint8", bands=4), 1))
    resampled(path, grid, tmp_path / "out.tif", bands=[4, 1])
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.descriptions == ("nir", "b")
        assert dataset.scales == (0.4, 0.1)
        assert dataset.offsets == (4.0, 1.0)
        assert dataset.units == ("K", "W")
        assert dataset.colorinterp == (ColorInterp.undefined, ColorInterp.blue)
        assert dataset.crs == "EPSG:32631"
        assert dataset.transform == gn.dense_transform(PLACE, STEP)
        assert dataset.gcps[0] == []
        assert dataset.rpcs is None
        assert not dataset.tags(ns="RPC")
        assert not dataset.tags(ns="GEOLOCATION")
        assert not any(key.startswith("STATISTICS") for key in dataset.tags(1))
        assert dataset.nodata == 0
        tags = dataset.tags()
    assert tags["GRIDR_NUMBA_RESOLUTION"] == "7 6"
    assert tags["GRIDR_NUMBA_INPUTS"].split()[0] == "image.tif"
    assert json.loads(tags["GRIDR_NUMBA_OPTIONS"]) == {
        "resolution": [7, 6],
        "bands": [4, 1],
        "mask_out_values": "causes",
    }


def test_alpha_is_resampled_where_it_is_named(tmp_path, grid):
    path, _ = as_alpha(tmp_path, picture(), invalid_places())
    *_, report = resampled(path, grid, tmp_path / "out.tif", bands=[1, 2])
    assert report.bands == (1, 2)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.colorinterp == (ColorInterp.gray, ColorInterp.alpha)


def test_a_colour_table_is_for_nearest_alone(tmp_path, grid):
    path, colours = tmp_path / "image.tif", {1: (10, 20, 30, 255), 2: (40, 50, 60, 255)}
    profile = {"driver": "GTiff", "count": 1, "height": SHAPE[0], "width": SHAPE[1], "dtype": "uint8"}
    with rasterio.open(path, "w", transform=PLACE, **profile) as dataset:
        dataset.write_colormap(1, colours)
        dataset.write(picture("uint8") % 3)
    with pytest.raises(GridrValueError, match="interpolation must be 'nearest' for a band with a colour table") as info:
        resampled(path, grid, tmp_path / "out.tif")
    assert info.value.argument == "interpolation"
    resampled(path, grid, tmp_path / "out.tif", interpolation="nearest")
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert {key: dataset.colormap(1)[key] for key in colours} == colours


# -- the grid's options -------------------------------------------------------------------------------------------


def test_grids_of_other_tools(image, grid, tmp_path):
    wanted, causes, _ = resampled(image, grid, tmp_path / "wanted.tif")
    nodes = read(grid)
    i, j = np.meshgrid(*(np.arange(n) * step for n, step in zip(NODES, STEP, strict=True)), indexing="ij")
    moved = write(tmp_path / "moved.tif", (nodes - np.stack([i, j]))[::-1] + 0.5)
    how = {"grid_order": "xy", "displacement": True, "source_offset": (0.5, 0.5)}
    out, out_causes, report = resampled(image, moved, tmp_path / "out.tif", **how)
    assert (out_causes == causes).mean() > 0.999
    assert np.abs(out.astype(int) - wanted)[(causes == 0) & (out_causes == 0)].max() <= 1
    assert report.applied == {"displacement": True, "source_offset": [0.5, 0.5]} or report.applied["displacement"]


def test_a_grid_that_shrinks_the_image_is_warned_of(image, tmp_path):
    for scale, warned in ((1.45, False), (2.0, True)):
        coarse = write(tmp_path / f"{scale}.tif", turned(30.0, scale, void=None))
        *_, report = resampled(image, coarse, tmp_path / "out.tif")
        said = [text for text in report.warnings if "shrinks the image by" in text]
        assert bool(said) == warned
    assert "by 2," in said[0]
    with pytest.raises(StrictError, match="shrinks"):
        resampled(image, coarse, tmp_path / "none.tif", strict=True)
    assert not (tmp_path / "none.tif").exists()


# -- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int64", "uint64", "complex64", "complex_int16"])
def test_types_that_are_not_resampled_are_named(tmp_path, grid, dtype):
    path = tmp_path / "image.tif"
    with rasterio.open(path, "w", driver="GTiff", count=1, height=9, width=9, dtype=dtype, transform=PLACE):
        pass
    with pytest.raises(DtypeError, match=f"image: band 1 of .* is {dtype}, which is not resampled") as info:
        resampled(path, grid, tmp_path / "out.tif")
    assert info.value.argument == "image"
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize(
    ("options", "error", "argument", "text"),
    [
        (
            {"interpolation": "bicubic"},
            GridrValueError,
            "interpolation",
            "one of 'nearest', 'linear', 'cubic', 'lanczos3'",
        ),
        ({"interpolation": 3}, GridrValueError, "interpolation", "not 3"),
        ({"edge": "wrap"}, GridrValueError, "edge", "one of 'clamp', 'strict', not 'wrap'"),
        ({"band_validity": "most"}, GridrValueError, "band_validity", "'any', 'all', 'each'"),
        ({"bands": [2]}, GridrValueError, "bands", "1 to 1, not"),
        ({"bands": []}, GridrValueError, "bands", "1 to 1, not"),
        ({"bands": "1"}, GridrTypeError, "bands", "not '1'"),
        ({"bands": 1.5}, GridrTypeError, "bands", "not 1.5"),
        ({"nodata": "0"}, GridrTypeError, "nodata", "must be a number, not '0'"),
        ({"nodata": -1}, GridrValueError, "nodata", "fits in uint16"),
        ({"dtype": "int64"}, DtypeError, "dtype", "one of uint8, .*, not int64"),
        ({"dtype": "bool"}, DtypeError, "dtype", "not bool"),
        ({"dtype": "what"}, GridrTypeError, "dtype", "not 'what'"),
        ({"driver": "PNG"}, GridrValueError, "driver", "GTiff or COG"),
        ({"resolution": None}, GridrValueError, "resolution", "must be given"),
        ({"threads": 0}, GridrValueError, "threads", "at least 1"),
        ({"mask_out_values": (1, 1)}, GridrValueError, "mask_out_values", "differ"),
    ],
)
def test_wrong_arguments(image, grid, tmp_path, options, error, argument, text):
    with pytest.raises(error, match=text) as info:
        resampled(image, grid, tmp_path / "out.tif", **options)
    assert info.value.argument == argument
    assert not (tmp_path / "out.tif").exists()
    assert not (tmp_path / "causes.tif").exists()


def test_nodata_is_needed_where_nothing_else_tells_of_invalid_pixels(tmp_path, grid):
    path = write(tmp_path / "image.tif", picture())
    with pytest.raises(GridrValueError, match="nodata must be given where the image has none and no mask_out") as info:
        gn.resample(path, grid, tmp_path / "out.tif", resolution=STEP)
    assert info.value.argument == "nodata"
    wide = write(tmp_path / "wide.tif", picture("float32"), nodata=-9999.0)
    with pytest.raises(GridrValueError, match=r"nodata must be given: the image's, -9999.0, does not fit in uint8"):
        gn.resample(wide, grid, tmp_path / "out.tif", resolution=STEP, dtype="uint8")


def test_masks_of_the_source_that_are_none(image, grid, tmp_path):
    small = write(tmp_path / "small.tif", np.ones((5, 5), np.uint8))
    with pytest.raises(GridrValueError, match=r"source_mask must have .70, 90. rows and columns, as image has") as info:
        resampled(image, grid, tmp_path / "out.tif", source_mask=small)
    assert info.value.argument == "source_mask"
    full = write(tmp_path / "full.tif", np.ones(SHAPE, np.uint8))
    for name, value in (("source_mask_band", 2), ("source_mask_valid_value", 300)):
        with pytest.raises(GridrValueError, match=name) as info:
            resampled(image, grid, tmp_path / "out.tif", source_mask=full, **{name: value})
        assert info.value.argument == name


def test_inputs_are_not_replaced_and_outputs_differ(image, grid, tmp_path):
    mask = write(tmp_path / "mask.tif", np.ones(SHAPE, np.uint8))
    for out in (image, grid, mask):
        with pytest.raises(GridrValueError, match="is an input"):
            gn.resample(image, grid, out, resolution=STEP, source_mask=mask, overwrite=True)
    with pytest.raises(GridrValueError, match="out and mask_out must differ"):
        gn.resample(image, grid, tmp_path / "a.tif", resolution=STEP, mask_out=tmp_path / "a.tif")
    with pytest.raises(GridrTypeError, match="grid must be a path"):
        gn.resample(image, None, tmp_path / "a.tif", resolution=STEP)


@pytest.mark.parametrize("mask", ["out.tif.msk", "out.msk", "OUT.TIF.MSK", "out.tif.ovr"])
def test_a_mask_that_would_be_read_as_a_part_of_the_image_is_refused(image, grid, tmp_path, mask):
    with pytest.raises(
        GridrValueError, match=r"mask_out: '.*' would be read as a part of out, '.*out.tif', and is not"
    ):
        gn.resample(image, grid, tmp_path / "out.tif", resolution=STEP, mask_out=tmp_path / mask)
    assert not (tmp_path / "out.tif").exists()


def test_pixels_counted_once_are_found_by_where_they_are():
    """As many windows as a large image has, each with torn pixels: none is compared with all others."""
    use, boxes = (
        SourceUse(),
        [Window(row, row + 110, col, col + 110) for row in range(0, 4000, 100) for col in range(0, 4000, 100)],
    )
    for box in boxes:
        use.add(box, np.ones(box.shape, bool))
    assert use.torn == 4010**2
    assert use.pixels == len(boxes) * 110**2


def test_a_cell_that_looks_up_more_than_fits_is_named(tmp_path):
    values = picture("float64", shape=(600, 600))
    path = write(tmp_path / "image.tif", values, nodata=-1.0, TILED="YES", **TILES)
    nodes = turned(0.0, 1.0, void=None, nodes=(9, 9), step=(8, 8), about=(300.0, 300.0))
    nodes[:, 4, 4] = 0.0
    nodes[:, 4, 5] = [0.0, 599.0]
    nodes[:, 5, 4] = [599.0, 0.0]
    torn = write(tmp_path / "torn.tif", nodes)
    how = {"resolution": 8, "memory_budget": 300_000, "creation_options": TILES}
    with pytest.raises(
        MemoryError, match=r"the grid's cell at node \(\d, \d\) looks up rows [\d.]+ to [\d.]+ and"
    ) as info:
        resampled(path, torn, tmp_path / "out.tif", **how)
    assert "memory_budget" in str(info.value)
    assert not (tmp_path / "out.tif").exists()


# -- the report ---------------------------------------------------------------------------------------------------


def test_the_report(image, grid, tmp_path):
    *_, report = resampled(image, grid, tmp_path / "out.tif")
    assert report.shape == FULL
    assert report.interpolation == "cubic"
    assert report.valid_pixels + sum(report.invalid_pixels.values()) == FULL[0] * FULL[1]
    assert report.source_bytes == SHAPE[0] * SHAPE[1] * 2
    assert 0 < report.source_bytes_read <= report.source_bytes
    text = report.to_text()
    assert "source invalid" in text or report.invalid_pixels["source_invalid"] == 0
    assert f"{report.valid_pixels:,} valid" in text
    assert json.loads(json.dumps(report.to_dict()))["bands"] == [1]
    assert "<ResampleReport: image " in repr(report)


# -- what is read of the source -----------------------------------------------------------------------------------


@pytest.fixture
def boxes(monkeypatch):
    """The windows that are read of a source."""
    seen, read_window = [], SourceImage.read
    monkeypatch.setattr(
        SourceImage, "read", lambda self, window, *out: seen.append(window) or read_window(self, window, *out)
    )
    return seen


def test_nodes_of_each_window_are_read_once_and_beside(large, tmp_path, monkeypatch):
    """The main thread looks at some, to choose among plans; then another one reads all of them."""
    seen, read_nodes = [], WindowReader.read

    def reading(self, window):
        seen.append((threading.current_thread() is threading.main_thread(), window))
        return read_nodes(self, window)

    monkeypatch.setattr(WindowReader, "read", reading)
    monkeypatch.setattr(resample_step, "usable_threads", lambda threads: 2)
    how = {"resolution": (10, 11), "memory_budget": 1_500_000, "creation_options": TILES, "threads": 2}
    wanted, *_ = resampled(large / "tiled.tif", large / "grid45.tif", tmp_path / "one.tif", **how | {"threads": 1})
    seen.clear()
    out, *_ = resampled(large / "tiled.tif", large / "grid45.tif", tmp_path / "out.tif", **how)
    beside = [window for main, window in seen if not main]
    assert len(beside) == len(set(beside)) > 4
    last_of_main = max(index for index, (main, _) in enumerate(seen) if main)
    assert all(main for main, _ in seen[: last_of_main + 1])
    assert (out == wanted).all()


def test_a_source_that_fits_is_read_once(large, tmp_path, boxes):
    *_, report = resampled(large / "tiled.tif", large / "grid45.tif", tmp_path / "out.tif", resolution=(10, 11))
    assert len(boxes) == 1
    assert report.source_bytes_read == boxes[0].shape[0] * boxes[0].shape[1] * 2 * 2


@pytest.mark.parametrize(("angle", "times"), [(0, 1.6), (45, 3.2), (90, 1.6)])
def test_windows_do_not_read_the_source_again_and_again(large, tmp_path, boxes, angle, times):
    """Boxes are squares about turned ones, twice as large at 45 degrees, with a margin for taps around each."""
    how = {"resolution": (10, 11), "memory_budget": 1_500_000, "creation_options": TILES}
    *_, report = resampled(large / "tiled.tif", large / f"grid{angle}.tif", tmp_path / "out.tif", **how)
    assert len(boxes) > 4
    rows, cols = (stop - start for start, stop in (report.source_rows, report.source_cols))
    read = sum(box.shape[0] * box.shape[1] for box in boxes)
    assert read <= times * rows * cols
    assert report.source_bytes_read == read * 2 * 2
    # Half of the budget is more than a box and what it is made into take.
    assert max(box.shape[0] * box.shape[1] for box in boxes) * 2 * 8 < 1_500_000 / 2


@pytest.mark.parametrize("name", ["allow_vrt", "displacement", "overviews", "overwrite", "repair_geometry", "strict"])
def test_what_is_neither_true_nor_false_turns_nothing_on(image, grid, tmp_path, name):
    """The text 'no' counts as True: with `overwrite` it replaced a file."""
    out = tmp_path / "out.tif"
    out.write_text("precious")
    with pytest.raises(GridrTypeError, match=f"{name} must be True or False, not 'no'") as caught:
        gn.resample(image, grid, out, **{"resolution": STEP, "nodata": 0, "overwrite": True, name: "no"})
    assert caught.value.argument == name
    with pytest.raises(GridrTypeError, match=f"{name} must be True or False, not 'no'"):
        gn.densify(grid, out, **{"resolution": STEP, "overwrite": True, name: "no"})
    assert out.read_text() == "precious"


@pytest.mark.parametrize("name", ["overwrite", "verify", "strict", "allow_vrt"])
def test_what_is_neither_true_nor_false_makes_no_grid(image, tmp_path, name):
    """Of `warp` and `make_grid`."""
    out = tmp_path / "out.tif"
    out.write_text("precious")
    for door in (gn.warp, gn.make_grid):
        with pytest.raises(GridrTypeError, match=f"{name} must be True or False, not 'no'"):
            door(image, out, **{"crs": "EPSG:32631", "overwrite": True, name: "no"})
    assert out.read_text() == "precious"


def test_a_refusal_says_the_interpolation_as_it_was_given(grid, tmp_path):
    path = write(tmp_path / "colours.tif", picture("uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 0, 0, 255) for value in range(256)})
    with pytest.raises(GridrValueError, match="has, not 'cubic': its values"):
        gn.resample(path, grid, tmp_path / "out.tif", resolution=STEP, nodata=0)
