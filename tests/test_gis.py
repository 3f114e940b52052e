"""What a GIS shows of the outputs: colours, names, COGs, overviews; and what is refused of how they are made."""

from __future__ import annotations

import logging
import os
import shutil

import numpy as np
import pytest
import rasterio
import rasterio.shutil

import gridr_numba as gn
from gridr_numba.files import cog
from gridr_numba.types import INVALID_COLOUR, VALID_COLOUR, Cause

NODE_SHAPE, RESOLUTION = (21, 26), (20, 20)
FULL = gn.grid_full_resolution_shape(NODE_SHAPE, RESOLUTION)


@pytest.fixture
def job(rasters, tmp_path):
    """A grid of 401 x 501 pixels, whose coarse mask is invalid in its upper left part."""
    rng = np.random.default_rng(1)
    mask = np.ones(NODE_SHAPE, np.uint8)
    mask[:8, :10] = 0
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(40, 0, 1000, 0, -40, 9000)}
    grid, coarse = rasters.reader(rng.random((2, *NODE_SHAPE)) * 1000, **place), rasters.reader(mask, **place)
    (tmp_path / "out").mkdir()
    return {
        "grid": grid.name,
        "out": tmp_path / "out/grid.tif",
        "mask": coarse.name,
        "mask_out": tmp_path / "out/mask.tif",
        "resolution": RESOLUTION,
    }


def files_of(job):
    return sorted(os.listdir(job["out"].parent))


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


# -- colours and names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_a_mask_of_causes_has_colours_and_says_what_its_bits_mean(job, driver):
    gn.densify(**job, mask_out_values="causes", driver=driver)
    with rasterio.open(job["mask_out"]) as mask:
        colours, tags = mask.colormap(1), mask.tags(1)
        assert mask.colorinterp == (rasterio.enums.ColorInterp.palette,)
    assert colours[0] == (*VALID_COLOUR, 255)
    for causes in range(1, 2 * max(Cause)):
        first = next(cause for cause in Cause if cause & causes)
        assert colours[causes] == (*first.colour, 255)
    assert tags["VALUE_0"] == "valid"
    assert {f"BIT_{cause.value}": cause.label for cause in Cause}.items() <= tags.items()
    assert tags["BIT_1"] == "raster mask"
    assert files_of(job) == ["grid.tif", "mask.tif"]


@pytest.mark.parametrize("values", [(1, 0), (0, 255), (7, 9)])
def test_a_mask_of_two_values_has_two_colours(job, values):
    gn.densify(**job, mask_out_values=values)
    with rasterio.open(job["mask_out"]) as mask:
        colours, tags = mask.colormap(1), mask.tags(1)
    assert colours[values[0]] == (*VALID_COLOUR, 255)
    assert colours[values[1]] == (*INVALID_COLOUR, 255)
    assert (tags[f"VALUE_{values[0]}"], tags[f"VALUE_{values[1]}"]) == ("valid", "invalid")


def test_a_mask_of_another_type_has_no_colour_table(job):
    gn.densify(**job, mask_out_values=(-1, 300))
    with rasterio.open(job["mask_out"]) as mask:
        assert mask.tags(1)["VALUE_300"] == "invalid"
        with pytest.raises(ValueError, match="NULL color table"):
            mask.colormap(1)


def test_causes_have_what_is_shown_of_them():
    assert len({cause.label for cause in Cause}) == len({cause.colour for cause in Cause}) == len(Cause)
    assert VALID_COLOUR not in {cause.colour for cause in Cause}


# -- COG and overviews --------------------------------------------------------------------------------------------


def test_a_cog_holds_what_a_geotiff_does(job):
    gn.densify(**job)
    plain = [read(job[name]) for name in ("out", "mask_out")]
    report = gn.densify(**job, driver="COG", overwrite=True)
    assert report.verified
    assert files_of(job) == ["grid.tif", "mask.tif"]
    for name, pixels in zip(("out", "mask_out"), plain, strict=True):
        with rasterio.open(job[name]) as dataset:
            assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
            assert dataset.compression is None
            assert dataset.overviews(1) == []
            assert dataset.read().tobytes() == pixels.tobytes()
            assert dataset.crs == "EPSG:32631"
            assert dataset.tags()["GRIDR_NUMBA_VERSION"] == gn.__version__
            assert '"driver": "COG"' in dataset.tags()["GRIDR_NUMBA_OPTIONS"]
            assert dataset.descriptions == (("row", "col") if name == "out" else ("validity",))
            assert (dataset.nodata is None) is (name == "mask_out")


@pytest.mark.parametrize(
    ("driver", "options", "factors"),
    [
        ("GTiff", {}, [2]),
        ("GTiff", {"COMPRESS": "ZSTD", "PREDICTOR": 3}, [2]),
        ("GTiff", {"TILED": "NO"}, [2]),
        ("COG", {"BLOCKSIZE": 128}, [2, 4]),
        ("COG", {"BLOCKSIZE": 128, "compress": "deflate", "PREDICTOR": "FLOATING_POINT"}, [2, 4]),
    ],
)
@pytest.mark.parametrize("verify", [True, False])
def test_overviews_are_averages_of_grids_and_modes_of_masks(job, driver, options, factors, verify):
    even = {"window": ((0, 400), (0, 500)), "overviews": True, "mask_out_values": (3, 8)}
    gn.densify(**job, **even, driver=driver, creation_options=options, verify=verify)
    for name in ("out", "mask_out"):
        with rasterio.open(job[name]) as dataset:
            assert dataset.overviews(1) == factors
        with rasterio.open(job[name], OVERVIEW_LEVEL=0) as dataset:
            small = dataset.read()
        large = read(job[name])
        blocks = large.reshape(-1, 200, 2, 250, 2)
        if name == "out":
            assert np.allclose(small, blocks.mean(axis=(2, 4)))
        else:
            assert set(np.unique(small)) == {3, 8}
            whole = (blocks == blocks[:, :, :1, :, :1]).all(axis=(2, 4))
            assert np.array_equal(small[whole], blocks[:, :, 0, :, 0][whole])
    assert files_of(job) == ["grid.tif", "mask.tif"]


def test_without_being_asked_for_there_are_no_overviews(job):
    gn.densify(**job)
    with rasterio.open(job["out"]) as dataset:
        assert dataset.overviews(1) == []


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("harm", ["another pixel", "cut short"])
def test_what_is_verified_is_the_copy(job, monkeypatch, harm, verify):
    copy = rasterio.shutil.copy

    def harmed(source, destination, **options):
        if not str(destination).startswith("/vsimem") and harm == "another pixel":
            with rasterio.open(source, "r+") as dataset:
                dataset.write(dataset.read(1, window=((0, 1), (0, 1))) + 1, 1, window=((0, 1), (0, 1)))
        copy(source, destination, **options)
        if not str(destination).startswith("/vsimem") and harm == "cut short":
            os.truncate(destination, os.stat(destination).st_size - 3)

    monkeypatch.setattr(cog.rasterio.shutil, "copy", harmed)
    if harm == "another pixel" and not verify:
        gn.densify(**job, driver="COG", verify=False)
        return
    with pytest.raises(gn.DatasetError, match=r"were not read back as written|was not written whole"):
        gn.densify(**job, driver="COG", verify=verify)
    assert files_of(job) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_a_copy_that_fails_leaves_nothing(job, monkeypatch, error):
    copy = rasterio.shutil.copy

    def fails(source, destination, **options):
        copy(source, destination, **options)
        if not str(destination).startswith("/vsimem"):
            (destination.parent / f"{destination.name}.ovr.tmp").write_bytes(b"half")
            assert destination.parent.stat().st_mode & 0o777 == 0o700
            raise error

    monkeypatch.setattr(cog.rasterio.shutil, "copy", fails)
    with pytest.raises((KeyboardInterrupt, gn.DatasetError)) as caught:
        gn.densify(**job, driver="COG")
    if caught.type is gn.DatasetError:
        assert caught.value.argument in ("out", "mask_out")
        assert "No space left" in str(caught.value)
    assert files_of(job) == []


def test_there_must_be_room_for_both_files(job, monkeypatch):
    pixels = FULL[0] * FULL[1] * 17
    tiles = 512 * 512 * 17
    assert tiles < 1.5 * pixels
    usage = shutil.disk_usage(".")
    for driver, free, enough in (("GTiff", tiles, True), ("COG", 2 * tiles - 1000, False), ("COG", 3 * tiles, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        if enough:
            gn.densify(**job, driver=driver, overwrite=True)
        else:
            with pytest.raises(gn.DatasetError, match="the outputs need 9 MB"):
                gn.densify(**job, driver=driver, overwrite=True)


def test_a_copy_of_a_killed_run_is_replaced_and_a_private_file_stays_private(job):
    gn.densify(**job)
    job["out"].chmod(0o600)
    left = job["out"].parent / f".grid.tif.{os.getpid()}.copying"
    left.mkdir()
    (left / "copy").write_bytes(b"half")
    gn.densify(**job, driver="COG", overwrite=True)
    assert files_of(job) == ["grid.tif", "mask.tif"]
    assert job["out"].stat().st_mode & 0o777 == 0o600


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("driver", "options", "message"),
    [
        ("GTiff", {"COMPRES": "LZW"}, "does not support creation option COMPRES"),
        ("GTiff", {"COMPRESS": "ZSDT"}, "'ZSDT' is an unexpected value for COMPRESS"),
        ("GTiff", {"BLOCKSIZE": 512}, "does not support creation option BLOCKSIZE"),
        ("GTiff", {"OVERVIEWS": "AUTO"}, "does not support creation option OVERVIEWS"),
        ("GTiff", {"COMPRESS": "JXL"}, "COMPRESS=JXL would lose digits"),
        ("COG", {"COMPRES": "LZW"}, "does not support creation option COMPRES"),
        ("COG", {"COMPRESS": "ZSDT"}, "'ZSDT' is an unexpected value for COMPRESS"),
        ("COG", {"TILED": "YES"}, "does not support creation option TILED"),
        ("COG", {"BLOCKXSIZE": 256}, "does not support creation option BLOCKXSIZE"),
        ("COG", {"BLOCKSIZE": "1e2"}, "must be a positive integer"),
        ("COG", {"BLOCKSIZE": 100}, "GDAL refuses them|would not do"),
        ("COG", {"compress": "jpeg"}, "COMPRESS=jpeg would lose digits"),
        ("COG", {"COMPRESS": "WEBP"}, "COMPRESS=WEBP would lose digits"),
        ("COG", {"OVERVIEW_COMPRESS": "JPEG"}, "OVERVIEW_COMPRESS=JPEG would lose digits"),
        ("COG", {"COMPRESS": "LERC", "MAX_Z_ERROR": 0.01}, "MAX_Z_ERROR=0.01 would lose digits"),
        ("COG", {"NBITS": 7}, "NBITS=7 would lose digits"),
        ("COG", {"TILING_SCHEME": "GoogleMapsCompatible"}, "would bring the pixels elsewhere"),
        ("COG", {"TARGET_SRS": "EPSG:3857"}, "would bring the pixels elsewhere"),
        ("COG", {"OVERVIEWS": "AUTO"}, "overviews=True makes overviews"),
    ],
)
def test_options_that_lose_digits_or_that_the_driver_does_not_know(job, driver, options, message, caplog):
    with pytest.raises(gn.GridrValueError, match=f"^creation_options.*({message})") as caught:
        gn.densify(**job, driver=driver, creation_options=options)
    assert caught.value.argument == "creation_options"
    assert files_of(job) == []
    assert caplog.text == ""


def test_unknown_options_are_found_however_little_is_logged(job):
    logger = logging.getLogger("rasterio._env")
    logging.disable(logging.CRITICAL)
    logger.setLevel(logging.CRITICAL)
    try:
        with pytest.raises(gn.GridrValueError, match="COMPRES"):
            gn.densify(**job, creation_options={"COMPRES": "LZW"})
        assert logging.root.manager.disable == logging.CRITICAL
        assert logger.level == logging.CRITICAL
    finally:
        logging.disable(logging.NOTSET)
        logger.setLevel(logging.NOTSET)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"driver": "PNG"}, ValueError, "^driver must be GTiff or COG, not 'PNG'"),
        ({"driver": 2}, ValueError, "^driver must be GTiff or COG, not 2"),
        ({"driver": ["COG"]}, ValueError, "^driver must be GTiff or COG"),
        ({"overviews": [2, 4]}, TypeError, r"^overviews must be True or False, not \[2, 4\]"),
    ],
)
def test_drivers_and_overviews(job, change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        gn.densify(**job, **change)
    assert caught.value.argument == next(iter(change))
    assert files_of(job) == []


@pytest.mark.parametrize("argument", ["out", "mask_out"])
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("name", ["a.png", "a.JP2", "a.jpg", "a.vrt", "a.img", "a.nc", "a.json"])
def test_a_suffix_that_says_another_format(job, argument, driver, name):
    job[argument] = job[argument].with_name(name)
    with pytest.raises(gn.GridrValueError, match=f"^{argument}: '.*{name}' would hold a {driver}, and the suffix"):
        gn.densify(**job, driver=driver)
    assert files_of(job) == []


@pytest.mark.parametrize("name", ["a", "a.tiff", "a.TIF", "a.v1", "a.2026", "a.tif.msk"])
def test_other_names_are_the_callers_own(job, name):
    job["out"] = job["out"].with_name(name)
    gn.densify(**job)
    assert name in files_of(job)
