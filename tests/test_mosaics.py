"""VRTs: mosaics of local rasters are read as GDAL reads them, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from mosaics import FULL, NODES, SHAPE, make, mosaic, read, write

import gridr_numba as gn
from gridr_numba.doors.inspection import inspect_grid
from gridr_numba.doors.preview import preview
from gridr_numba.files.inputs import open_raster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("mosaics"))


def test_a_mosaic_is_read_as_gdal_reads_it(folder):
    path = folder / "full.vrt"
    path.write_text(FULL)
    with open_raster(path, "grid", allow_vrt=True) as ours, rasterio.open(path) as gdals:
        assert ours.name == str(path)
        files = ["full.vrt", "tif.tif", "raw.img", "raw.hdr"]
        assert sorted(ours.files) == sorted(str(folder / name) for name in files)
        for band in (1, 2):
            assert np.array_equal(ours.read(band), gdals.read(band), equal_nan=True)
        assert str(ours.profile) == str(gdals.profile)
        for name in ("crs", "transform", "nodatavals", "descriptions", "scales", "offsets", "units", "block_shapes"):
            assert str(getattr(ours, name)) == str(getattr(gdals, name)), name
        assert ours.tags() == gdals.tags()
        assert ours.colormap(2) == gdals.colormap(2)


def test_names_are_compared_without_case(folder):
    path = folder / "case.vrt"
    path.write_text(FULL.replace("SourceFilename", "SOURCEfilename").replace("relativeToVRT", "RELATIVEtovrt"))
    (folder / "plain.vrt").write_text(FULL)
    expected = read(folder / "plain.vrt", allow_vrt=True)
    assert np.array_equal(read(path, allow_vrt=True), expected, equal_nan=True)


@pytest.mark.parametrize("name", ["a b & c.tif", "per%20cent.tif", "é.tif", "a'b\".tif", "x=1,y=2#3.tif"])
def test_odd_names_of_sources(folder, tmp_path, name):
    write(tmp_path / name, NODES)
    (tmp_path / "a.vrt").write_text(mosaic([name.replace("&", "&amp;")]), encoding="utf-8")
    assert np.array_equal(read(tmp_path / "a.vrt", allow_vrt=True), NODES)


def test_a_link_to_a_mosaic(folder, tmp_path):
    (folder / "linked.vrt").write_text(mosaic(["tif.tif"]))
    (tmp_path / "a.vrt").symlink_to(folder / "linked.vrt")
    with rasterio.open(tmp_path / "a.vrt") as dataset:
        assert np.array_equal(read(tmp_path / "a.vrt", allow_vrt=True), dataset.read())


def test_a_source_is_no_output(folder, tmp_path):
    write(tmp_path / "a.tif", NODES)
    (tmp_path / "a.vrt").write_text(mosaic(["a.tif"]))
    with pytest.raises(ValueError, match="is an input, and is not overwritten"):
        gn.densify(tmp_path / "a.vrt", tmp_path / "a.tif", resolution=(2, 2), allow_vrt=True, overwrite=True)


def test_a_vrt_in_any_door(folder, tmp_path):
    (tmp_path / "a.vrt").write_text(mosaic([folder / "tif.tif"]).replace('relativeToVRT="1"', ""))
    assert inspect_grid(tmp_path / "a.vrt", allow_vrt=True).shape == SHAPE
    preview(tmp_path / "a.vrt", tmp_path / "a.png", allow_vrt=True)
    gn.densify(tmp_path / "a.vrt", tmp_path / "b.tif", resolution=(1, 1), allow_vrt=True)
    with rasterio.open(tmp_path / "b.tif") as dataset:
        assert np.array_equal(dataset.read(), NODES)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<SourceBand>1", "<SourceBand>9", "names band 9 of '.*tif.tif', which has 2"),
        (">tif.tif<", ">what?.tif<", "there is no file"),
        ("<Scale>2.5</Scale>", "<Scale>2.5</Scale><Scale>2</Scale>", "holds a second Scale in a VRTRasterBand"),
        ('band="1"', 'band="1" BAND="2"', "holds BAND='2' in a VRTRasterBand"),
        ("EPSG:32631", "/tmp/crs.prj", "holds '/tmp/crs.prj' in a SRS"),
        ("<NODATA>5", "<NODATA>5<b/>", "holds a b"),
        ("</NODATA>", "</NODATA>6", "holds '6' in a ComplexSource"),
        (">tif.tif<", "><", "must be a path, not an empty string"),
        (">tif.tif<", ">full.vrt<", "is a VRT"),
        ("UTF-8", "utf-7", "is not XML"),
    ],
)
def test_what_a_mosaic_does_not_hold(folder, old, new, message):
    assert old in FULL
    path = folder / "wrong.vrt"
    path.write_text(FULL.replace(old, new, 1))
    with pytest.raises((gn.GridrValueError, gn.DatasetError), match=message) as caught:
        read(path, allow_vrt=True)
    assert caught.value.argument == "grid"


def test_a_source_whose_name_is_a_query(folder, tmp_path):
    write(tmp_path / "a.tif?if=VRT", NODES)
    (tmp_path / "a.vrt").write_text(mosaic(["a.tif?if=VRT"]))
    with pytest.raises(gn.GridrValueError, match="whose name GDAL would not take for a path"):
        read(tmp_path / "a.vrt", allow_vrt=True)
