"""What is opened and what is not: raw files cut short, VRTs that reach further than they say, files beside files."""

from __future__ import annotations

import copy
import ctypes
import gzip
import os
import socket
import struct
from contextlib import contextmanager, suppress
from itertools import count
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.doors.inspection import inspect_grid
from gridr_numba.doors.preview import preview
from gridr_numba.files.gdal import gdal_errors
from gridr_numba.files.inputs import open_raster

SHAPE = (6, 7)
NODES = np.arange(84.0).reshape(2, *SHAPE)


def write(path, values, driver="GTiff", **profile):
    values = values if values.ndim == 3 else values[np.newaxis]
    bands, height, width = values.shape
    profile = {"count": bands, "height": height, "width": width, "dtype": values.dtype.name, **profile}
    with rasterio.open(path, "w", driver=driver, **profile) as dataset:
        dataset.write(values)
    path.with_name(path.name + ".aux.xml").unlink(missing_ok=True)
    return path


# -- raw files ----------------------------------------------------------------------------------------------------


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


# -- VRTs ---------------------------------------------------------------------------------------------------------


def mosaic(names):
    """A VRT of two bands, and of so many sources beside one another."""
    rows, cols = SHAPE
    bands = "".join(
        f'<VRTRasterBand dataType="Float64" band="{band}">'
        + "".join(
            f'<SimpleSource><SourceFilename relativeToVRT="1">{name}</SourceFilename><SourceBand>{band}</SourceBand>'
            f'<SrcRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/>'
            f'<DstRect xOff="{index * cols}" yOff="0" xSize="{cols}" ySize="{rows}"/></SimpleSource>'
            for index, name in enumerate(names)
        )
        + "</VRTRasterBand>"
        for band in (1, 2)
    )
    return f'<VRTDataset rasterXSize="{cols * len(names)}" rasterYSize="{rows}">{bands}</VRTDataset>'


#: All that a mosaic may hold, as GDAL's tools write it.
FULL = """<?xml version="1.0" encoding="UTF-8"?>
<VRTDataset rasterXSize="14" rasterYSize="6">
  <SRS dataAxisToSRSAxisMapping="1,2" coordinateEpoch="2021.3">EPSG:32631</SRS>
  <GeoTransform>  1.0e+02,  2.0, 0.0e+00,  300,  .0, -4.  </GeoTransform>
  <Metadata><MDI key="AREA_OR_POINT">Area</MDI></Metadata>
  <Metadata domain="IMAGE_STRUCTURE"><MDI key="INTERLEAVE">PIXEL</MDI></Metadata>
  <!-- left -->
  <VRTRasterBand dataType="Float64" band="1" blockXSize="128" blockYSize="64" subClass="VRTSourcedRasterBand">
    <Description>row &amp; such</Description><NoDataValue>nan</NoDataValue><ColorInterp>Gray</ColorInterp>
    <UnitType>m</UnitType><Offset>1</Offset><Scale>2.5</Scale>
    <ComplexSource resampling="nearest">
      <SourceFilename relativeToVRT="1" shared="0">tif.tif</SourceFilename><SourceBand>1</SourceBand>
      <SourceProperties RasterXSize="7" RasterYSize="6" DataType="Float64" BlockXSize="7" BlockYSize="6" />
      <SrcRect xOff="0" yOff="0" xSize="7" ySize="6" /><DstRect xOff="0" yOff="0" xSize="7" ySize="6" />
      <NODATA>5</NODATA><ScaleOffset>0</ScaleOffset><ScaleRatio>1</ScaleRatio>
    </ComplexSource>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">raw.img</SourceFilename><SourceBand>1</SourceBand>
      <SrcRect xOff="0" yOff="0" xSize="7" ySize="6" /><DstRect xOff="7" yOff="0" xSize="7" ySize="6" />
    </SimpleSource>
  </VRTRasterBand>
  <VRTRasterBand dataType="Byte" band="2">
    <ColorInterp>Palette</ColorInterp>
    <ColorTable><Entry c1="0" c2="0" c3="0" c4="255" /><Entry c1="1" c2="2" c3="3" c4="255" /></ColorTable>
    <CategoryNames><Category>none</Category><Category>some</Category></CategoryNames>
    <SimpleSource>
      <SourceFilename relativeToVRT="1">raw.img</SourceFilename><SourceBand>2</SourceBand>
    </SimpleSource>
  </VRTRasterBand>
</VRTDataset>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two plain rasters, and others that nothing may open that does not name them."""
    at = tmp_path_factory.mktemp("mosaics")
    write(at / "tif.tif", NODES)
    write(at / "raw.img", NODES + 100, "ENVI")
    write(at / "canary.tif", NODES - 1000)
    return at


def read(path, **options):
    """Read all that the doors may ask of a raster."""
    with open_raster(path, "grid", **options) as dataset:
        _ = dataset.files, dataset.crs, dataset.transform, dataset.gcps, dataset.nodatavals, dataset.block_shapes
        return np.array([dataset.read(band) for band in dataset.indexes])


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


# -- who is called ------------------------------------------------------------------------------------------------


class Trap:
    """A server that notes who connects, and eyes on the files of a folder."""

    def __init__(self, folder):
        self.folder, self.numbers = folder, count()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.libc = ctypes.CDLL(None, use_errno=True)

    def url(self):
        """An address that nobody has asked for yet: GDAL remembers what was not there."""
        return f"http://127.0.0.1:{self.server.getsockname()[1]}/{next(self.numbers)}.tif"

    def connections(self):
        found = 0
        while True:
            try:
                self.server.accept()[0].close()
            except BlockingIOError:
                return found
            found += 1

    @contextmanager
    def watching(self, opened):
        """Add the names of files in the folder that are opened inside, and of addresses, to `opened`."""
        descriptor = self.libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self.libc.inotify_add_watch(descriptor, os.fsencode(self.folder), 0x20)  # IN_OPEN
        self.connections()
        try:
            # Servers do not answer: to be called is enough. Python is run where the user has enabled it.
            with rasterio.Env(GDAL_HTTP_TIMEOUT="1", GDAL_HTTP_MAX_RETRY="0", GDAL_VRT_ENABLE_PYTHON="YES"):
                yield
            opened |= set(self._events(descriptor))
            if self.connections():
                opened.add("the server")
        finally:
            os.close(descriptor)

    @staticmethod
    def _events(descriptor):
        while True:
            try:
                content = os.read(descriptor, 1 << 20)
            except BlockingIOError:
                return
            while content:
                _, mask, _, length = struct.unpack_from("iIII", content)
                name, content = content[16 : 16 + length].rstrip(b"\0").decode(), content[16 + length :]
                if not mask & 0x40000000:  # the folder itself
                    yield name


@pytest.fixture(scope="module")
def trap(folder):
    made = Trap(folder)
    yield made
    made.server.close()


def raw_of(folder):
    """An ENVI file that begins like a VRT, which names the canary."""
    text = mosaic(["canary.tif"]).encode()
    write(folder / "two.img", np.zeros((2, *SHAPE)), "ENVI")
    (folder / "two.img").write_bytes(text + bytes(max(0, 8 * NODES.size - len(text))))
    return mosaic(["two.img"])


def relative_2(folder):
    """The check sees tif.tif of the working directory, GDAL what is beside the VRT."""
    os.makedirs(folder / "elsewhere", exist_ok=True)
    write(folder / "elsewhere" / "canary.tif", NODES)
    return mosaic(["canary.tif"]).replace('relativeToVRT="1"', 'relativeToVRT="2"')


PYTHON = "def f(inputs, out, *rest):\n  open({path!r}, 'w').close()\n  out[:] = 0\n"

FIVE_WAYS = {
    "an attribute": lambda at, url: mosaic(["tif.tif"]).replace(
        "<SimpleSource>", f'<SimpleSource SourceFilename="/vsicurl/{url}">'
    ),
    "relative to what": lambda at, url: relative_2(at),
    "a header": lambda at, url: raw_of(at),
    "lower case": lambda at, url: mosaic(["tif.tif"]).replace(
        'dataType="Float64"', 'dataType="Float64" subclass="VRTRawRasterBand" SourceFilename="canary.tif" '
        'ImageOffset="0" PixelOffset="8" LineOffset="8"',
    ).replace('canary.tif"', f'{at}/canary.tif"'),
    "python": lambda at, url: mosaic(["tif.tif"]).replace(
        'dataType="Float64"',
        'dataType="Float64" subclass="VRTDerivedRasterBand" PixelFunctionType="f" PixelFunctionLanguage="Python" '
        f'PixelFunctionCode="{PYTHON.format(path=str(at / "marker")).replace(chr(10), "&#10;")}"',
    ),
}  # fmt: skip
OTHERS = {"canary.tif", "marker", "the server"}


@pytest.mark.parametrize("way", FIVE_WAYS)
def test_the_traps_are_traps(folder, trap, way):
    """That what the next test finds closed is open in GDAL, and that it would be seen."""
    path, opened = folder / "trap.vrt", set()
    path.write_text(FIVE_WAYS[way](folder, trap.url()))
    with trap.watching(opened), suppress(*gdal_errors()), rasterio.open(path) as dataset:
        dataset.read()
    (folder / "marker").unlink(missing_ok=True)
    assert opened & OTHERS


@pytest.mark.parametrize("way", FIVE_WAYS)
def test_five_ways_in(folder, trap, way, monkeypatch):
    path, opened = folder / "trap.vrt", set()
    path.write_text(FIVE_WAYS[way](folder, trap.url()))
    if way == "relative to what":
        monkeypatch.chdir(folder / "elsewhere")
    with trap.watching(opened):
        if way == "a header":
            assert read(path, allow_vrt=True).shape == (2, *SHAPE)  # as the numbers that its header says
        else:
            with pytest.raises(gn.GridrValueError, match=r"holds .*, and only mosaics of local rasters are read"):
                read(path, allow_vrt=True)
    assert not opened & OTHERS


@pytest.mark.parametrize("vrt", [False, True])
@pytest.mark.parametrize(
    ("suffix", "message"),
    [
        (".ovr", "cannot be opened as GTiff"),
        (".OVR", "cannot be opened as GTiff"),
        (".msk", "cannot be opened as GTiff"),
        (".ovr.ovr", "cannot be opened as GTiff"),
        (".aux.xml", "names another file for its overviews"),
        ("", "names another file for its overviews"),
    ],
)
def test_files_beside_a_raster(folder, trap, suffix, message, vrt):
    path, opened = write(folder / "beside.tif", NODES), set()
    companion = folder / f"beside.tif{suffix}"
    text = mosaic(["canary.tif"])
    if not suffix:
        with rasterio.open(path, "r+") as dataset:
            dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(folder / "canary.tif"))
    elif suffix == ".aux.xml":
        item = f'<MDI key="overview_file">{folder / "canary.tif"}</MDI>'
        companion.write_text(f'<PAMDataset><Metadata domain="overviews">{item}</Metadata></PAMDataset>')
    else:
        if suffix == ".ovr.ovr":
            write(folder / "beside.tif.ovr", NODES[:, ::2, ::2])
        companion.write_text(text)
    (folder / "beside.vrt").write_text(mosaic(["beside.tif"]))
    try:
        with trap.watching(opened), pytest.raises((gn.GridrValueError, gn.DatasetError), match=message):
            read(folder / ("beside.vrt" if vrt else "beside.tif"), allow_vrt=vrt)
    finally:
        for made in folder.glob("beside.*"):
            made.unlink()
    assert not opened & OTHERS


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "a.tif", NODES)
    monkeypatch.setattr("gridr_numba.files.inputs.os.listdir", refuse)
    with pytest.raises(gn.DatasetError, match=r"grid: what lies beside .* cannot be listed: Permission denied"):
        inspect_grid(path)


def test_plain_overviews_and_masks_beside_a_raster_are_fine(tmp_path):
    path = write(tmp_path / "a.tif", NODES)
    write(tmp_path / "a.tif.ovr", NODES[:, ::2, ::2])
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK="NO"), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full(SHAPE, 255, np.uint8))
    assert sorted(os.listdir(tmp_path)) == ["a.tif", "a.tif.msk", "a.tif.ovr"]
    assert np.array_equal(read(path), NODES)


# -- any VRT ------------------------------------------------------------------------------------------------------

#: What a value may be changed to. {url} is the server's; the canary is named by its path, as a source by its address.
VALUES = [
    *(
        "{url}",
        "/vsicurl/{url}",
        "/vsicurl_streaming/{url}",
        "/vsicurl?url={url}",
        "vrt:///vsicurl/{url}",
        "HTTP:{url}",
    ),
    *("vrt://{canary}", "vrt://canary.tif?bands=1", "GTIFF_RAW:{canary}", "GTIFF_DIR:1:{canary}", "two.img"),
    *("&lt;VRTDataset&gt;{canary}", "DERIVED_SUBDATASET:AMPLITUDE:{canary}", "/vsisubfile/0_999,{canary}"),
    *("2", "-1", "01", "1 ", "yes", "", "nan", "mask,1", "1e9", "VRTRawRasterBand", "VRTDerivedRasterBand", "Python"),
    *("OVERVIEWS", "xml:VRT", "GEOLOCATION", "RPC", "vrt_sources", "new_vrt_sources", "sum", "GTI:{url}", "WMS:{url}"),
]
NAMED = "<SourceFilename>{canary}</SourceFilename><SourceBand>1</SourceBand>"
#: What may be put into an element, as another element or as an attribute of that name.
PARTS = [
    "<SourceFilename>{url}</SourceFilename>",
    "<SourceFilename>{canary}</SourceFilename>",
    '<SourceFilename relativeToVRT="1">canary.tif</SourceFilename>',
    f"<Overview>{NAMED}</Overview>",
    "<OverviewList>2</OverviewList>",
    f'<MaskBand><VRTRasterBand dataType="Byte"><SimpleSource>{NAMED}</SimpleSource></VRTRasterBand></MaskBand>',
    f"<SimpleSource>{NAMED.replace('{canary}', '/vsicurl/{url}')}</SimpleSource>",
    f"<KernelFilteredSource>{NAMED}<Kernel><Size>1</Size><Coefs>1</Coefs></Kernel></KernelFilteredSource>",
    f"<AveragedSource>{NAMED}</AveragedSource>",
    f"<ArraySource><SimpleSource>{NAMED}</SimpleSource></ArraySource>",
    "<UseMaskBand>true</UseMaskBand>",
    '<OpenOptions><OOI key="OVERVIEW_LEVEL">0</OOI></OpenOptions>',
    "<GDALWarpOptions><SourceDataset>{canary}</SourceDataset></GDALWarpOptions>",
    "<PansharpeningOptions><PanchroBand><SourceFilename>{canary}</SourceFilename></PanchroBand></PansharpeningOptions>",
    "<Input><SourceFilename>{canary}</SourceFilename></Input>",
    "<subClass>VRTRawRasterBand</subClass>",
    "<subClass>VRTDerivedRasterBand</subClass>",
    "<PixelFunctionType>f</PixelFunctionType>",
    "<PixelFunctionLanguage>Python</PixelFunctionLanguage>",
    f"<PixelFunctionCode>{PYTHON}</PixelFunctionCode>".replace("{path!r}", "'{marker}'"),
    "<ImageOffset>0</ImageOffset>",
    '<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{canary}</MDI></Metadata>',
    '<Metadata domain="GEOLOCATION"><MDI key="X_DATASET">{canary}</MDI></Metadata>',
    "<GCPList><GCP Pixel='0' Line='0' X='0' Y='0'/></GCPList>",
    "<SRS>{canary}</SRS>",
    "<SRS>{url}</SRS>",
    "<Group name='/'><Array name='a'/></Group>",
]


def elements(root):
    return list(root.iter())


@st.composite
def mutants(draw):
    """A mosaic that some things were done to, which GDAL may take for something else than a check does."""
    root = ElementTree.fromstring(draw(st.sampled_from([FULL.encode(), mosaic(["tif.tif", "raw.img"])])))
    for _ in range(draw(st.integers(1, 3))):
        element = draw(st.sampled_from(elements(root)))
        kind = draw(st.sampled_from(["case", "value", "text", "insert", "attribute", "lower", "swap", "twice", "drop"]))
        if kind == "case":
            element.tag = draw(st.sampled_from([str.lower, str.upper, str.swapcase]))(element.tag)
        elif kind == "value" and element.attrib:
            element.set(draw(st.sampled_from(sorted(element.attrib))), draw(st.sampled_from(VALUES)))
        elif kind == "text":
            element.text = draw(st.sampled_from(VALUES))
        elif kind == "insert":
            part = ElementTree.fromstring(draw(st.sampled_from(PARTS)))
            element.insert(draw(st.integers(0, len(element))), part)
        elif kind == "attribute":
            part = ElementTree.fromstring(draw(st.sampled_from(PARTS)))
            element.set(draw(st.sampled_from([part.tag, part.tag.lower()])), part.text or draw(st.sampled_from(VALUES)))
        elif kind == "lower":
            element.attrib = {key.lower(): value for key, value in element.attrib.items()}
        elif kind == "swap":  # attributes become elements, elements attributes
            inner = list(element)
            for key in list(element.attrib):
                ElementTree.SubElement(element, key).text = element.attrib.pop(key)
            for child in inner:
                if not len(child):
                    element.set(child.tag, child.text or "")
                    element.remove(child)
        elif kind == "twice" and len(element):
            child = copy.deepcopy(draw(st.sampled_from(list(element))))
            child.text = draw(st.sampled_from([child.text, *VALUES]))
            element.insert(0, child)
        elif kind == "drop" and len(element):
            child = draw(st.sampled_from(list(element)))
            if child.tag.lower() != "sourcefilename":  # the canary might take its place, and be listed
                element.remove(child)
    return ElementTree.tostring(root, encoding="unicode")


@given(mutants(), st.sampled_from(["", "<!DOCTYPE a [<!ENTITY x 'canary.tif'>]>", "<VRTDataset/>", "<!-- --><?a b?>"]))
def test_no_mutant_opens_what_it_does_not_list(folder, trap, text, before):
    raw_of(folder)
    path, opened, refused = folder / "mutant.vrt", set(), "grid"
    for key, value in (("url", trap.url()), ("canary", folder / "canary.tif"), ("marker", folder / "marker")):
        text = text.replace(f"{{{key}}}", str(value))
    path.write_text(before + text)
    with trap.watching(opened), suppress(*gdal_errors()):  # the loop says which file that was
        try:
            read(path, allow_vrt=True)
        except gn.GridrError as error:
            refused = error.argument
    sources = {name for name in opened if not name.startswith(("mutant.vrt", "tif.tif", "raw.", "two."))}
    assert not sources, text
    assert refused == "grid"


@given(st.data())
def test_no_spoilt_bytes_open_what_they_do_not_list(folder, trap, data):
    content = bytearray(FULL.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        some = data.draw(
            st.sampled_from([b"", b"<", b">", b'"', b"'", b"&", b"/", b"&#0;", b"\0", b"\xff", b"<![CDATA["])
        )
        content[place : place + data.draw(st.integers(0, 2))] = some
    path, opened = folder / "mutant.vrt", set()
    path.write_bytes(content)
    with trap.watching(opened), suppress(gn.GridrError, *gdal_errors()):
        read(path, allow_vrt=True)
    assert not {name for name in opened if not name.startswith(("mutant.vrt", "tif.tif", "raw."))}
