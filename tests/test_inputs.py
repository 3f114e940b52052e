"""What is opened and what is not: VRTs that reach further than they say, files beside files."""

from __future__ import annotations

import copy
import ctypes
import os
import socket
import struct
from contextlib import contextmanager, suppress
from itertools import count
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from mosaics import FULL, NODES, SHAPE, make, mosaic, read, write

import gridr_numba as gn
from gridr_numba.doors.inspection import inspect_grid
from gridr_numba.files.gdal import gdal_errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("mosaics"))


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
