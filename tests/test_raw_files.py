"""Raw files: those cut short are refused, whatever names them."""

from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from mosaics import NODES, SHAPE, mosaic, read, write

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.doors.inspection import inspect_grid
from gridr_numba.doors.preview import preview
from gridr_numba.files.inputs import open_raster


@pytest.fixture
def raw(tmp_path):
    """A grid and a mask as ENVI files, and a folder for what is made of them."""
    (tmp_path / "out").mkdir()
    write(tmp_path / "grid.img", NODES, "ENVI")
    write(tmp_path / "mask.img", np.ones(SHAPE, np.uint8), "ENVI")
    return tmp_path


RAW_DOORS = {
    "densify, grid": ("grid", lambda at: gn.densify(at / "grid.img", at / "out" / "a.tif", resolution=(2, 2))),
    "densify, second file": (
        "grid",
        lambda at: gn.densify(
            (at / "whole.tif", at / "grid.img"), at / "out" / "a.tif", resolution=(2, 2), row_band=1, col_band=2
        ),
    ),
    "densify, like": (
        "grid",
        lambda at: gn.densify(at / "whole.tif", at / "out" / "a.tif", resolution=(2, 2), like=at / "grid.img"),
    ),
    "densify, mask": (
        "mask",
        lambda at: gn.densify(
            at / "whole.tif",
            at / "out" / "a.tif",
            resolution=(2, 2),
            mask=at / "mask.img",
            mask_out=at / "out" / "b.tif",
        ),
    ),
    "mask": (
        "mask",
        lambda at: gn.densify(
            None, None, resolution=(2, 2), shape=SHAPE, mask=at / "mask.img", mask_out=at / "out" / "b.tif"
        ),
    ),
    "inspect_grid": ("grid", lambda at: inspect_grid(at / "grid.img")),
    "preview": ("grid", lambda at: preview(at / "grid.img", at / "out" / "a.png")),
    "preview, mask": ("mask", lambda at: preview(at / "mask.img", at / "out" / "a.png")),
}


@pytest.mark.parametrize("left", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("door", RAW_DOORS)
def test_a_raw_file_smaller_than_its_header_says(raw, door, left):
    kind, call = RAW_DOORS[door]
    path = write(raw / "whole.tif", NODES) and raw / f"{kind}.img"
    size = path.stat().st_size
    os.truncate(path, kept := min(int(size * left), size - 1))
    with pytest.raises(gn.DatasetError, match=rf"{kind}\.img' must have {size} bytes .* and has {kept}: ") as caught:
        call(raw)
    assert caught.value.argument in ("grid", "mask", "like", "file")
    assert os.listdir(raw / "out") == []


def test_an_empty_raw_file(raw):
    os.truncate(raw / "grid.img", 0)
    with pytest.raises(gn.DatasetError, match=r"grid: '.*grid\.img' cannot be opened as GTiff or ENVI"):
        inspect_grid(raw / "grid.img")


def test_the_command_line_says_so_too(raw):
    os.truncate(raw / "mask.img", 20)
    arguments = ("mask", raw / "out" / "b.tif", "--shape", 6, 7, "-r", 2, 2, "--mask", raw / "mask.img")
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 1
    assert "must have 42 bytes" in result.output
    assert "has 20" in result.output


def test_a_raw_file_of_its_size_or_larger_is_read(raw):
    with open(raw / "grid.img", "ab") as file:
        file.write(b"more")
    gn.densify(raw / "grid.img", raw / "out" / "a.tif", resolution=(1, 1))
    with rasterio.open(raw / "out" / "a.tif") as dataset:
        assert np.array_equal(dataset.read(), NODES)


def spoil_header(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    "line",
    [
        "header offset = 100",
        "Header Offset = 100",
        "Header  Offset = 100",
        "header offset = 100 bytes",
        "header offset = 1\nheader offset = 100",
    ],
)
def test_what_lies_before_the_pixels_counts(raw, line):
    content = bytes(100) + (raw / "grid.img").read_bytes()
    spoil_header(raw / "grid.hdr", "header offset = 0", line)
    (raw / "grid.img").write_bytes(content[:-1])
    double_space = "  " in line  # GDAL does not know it: then nothing lies before
    if not double_space:
        with pytest.raises(gn.DatasetError, match=r"must have 772 bytes .* and has 771"):
            inspect_grid(raw / "grid.img")
    (raw / "grid.img").write_bytes(content)
    with open_raster(raw / "grid.img", "grid") as dataset:
        assert np.array_equal(dataset.read(), NODES) is not double_space


@pytest.mark.parametrize("line", ["file compression = 1", "File Compression = 1"])
def test_compressed_raw_files(raw, line):
    content = (raw / "grid.img").read_bytes()
    spoil_header(raw / "grid.hdr", "header offset = 0", f"header offset = 0\n{line}")
    header, packed = (raw / "grid.hdr").read_text(), gzip.compress(content)
    # A name each: GDAL remembers what a gzip file held.
    for name, made, message in (
        ("a", packed[:60], "must have 672 bytes"),
        ("b", gzip.compress(content[:-1]), "and has 671"),
        ("c", packed[:80] + b"wrong" + packed[85:], "cannot be unpacked"),
        ("d", packed, None),
    ):
        path = raw / f"{name}.img"
        path.write_bytes(made)
        path.with_suffix(".hdr").write_text(header)
        if message is None:
            assert np.array_equal(read(path), NODES)
        else:
            with pytest.raises(gn.DatasetError, match=message):
                inspect_grid(path)


def test_a_mosaic_of_a_raw_file_that_was_cut_short(raw):
    os.truncate(raw / "grid.img", 600)
    (raw / "a.vrt").write_text(mosaic(["grid.img"]))
    with pytest.raises(gn.DatasetError, match=r"a source of '.*a\.vrt': .*grid\.img' must have 672 bytes"):
        gn.densify(raw / "a.vrt", raw / "out" / "a.tif", resolution=(2, 2), allow_vrt=True)
