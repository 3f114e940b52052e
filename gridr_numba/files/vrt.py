"""VRTs, as far as they are read here: mosaics of rasters, written anew.

GDAL finds more in a VRT than a check of its text can foresee: it compares names without case, takes attributes for
elements, and opens sources with any of its drivers. So it never gets a caller's VRT. That is read by the rules below,
in which all that is not listed is refused, and GDAL gets what is written from what was read, with each source by its
absolute path and held to one driver.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from rasterio.dtypes import dtype_rev, typename_fwd

from ..errors import DatasetError, GridrValueError

_INTEGER = r"\d{1,10}"
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf|infinity)"
_ANY = r"(?s).*"


class _Rule(NamedTuple):
    """What an element may hold: values are patterns, without case; a child that is not repeated stands there once."""

    text: str = ""
    attributes: dict[str, str] = {}  # noqa: RUF012
    children: tuple[str, ...] = ()


_RECT = _Rule(attributes=dict.fromkeys(("xOff", "yOff", "xSize", "ySize"), _NUMBER))
_RESAMPLING = "near|nearest|bilinear|cubic|cubicspline|lanczos|average|rms|mode|gauss"
_SOURCE = ("SourceFilename", "SourceBand", "SourceProperties", "SrcRect", "DstRect")
_BLOCK = ("BlockXSize", "BlockYSize")

_RULES = {
    "VRTDataset": _Rule(
        attributes={"rasterXSize": _INTEGER, "rasterYSize": _INTEGER},
        children=("SRS", "GeoTransform", "Metadata", "VRTRasterBand", *_BLOCK),
    ),
    # Not the name of a file, nor an address: WKT, or a code such as EPSG:4326.
    "SRS": _Rule(
        r"((EPSG|ESRI|OGC|IGNF|IAU_\d+):\w+|(GEOG|GEOD|PROJ|VERT|COMPD|COMPOUND|BOUND|GEOC|ENG|ENGINEERING|LOCAL_|DERIVED)\w*\s*\[[\s\S]*\])?",
        {"dataAxisToSRSAxisMapping": r"-?\d(,-?\d)*", "coordinateEpoch": _NUMBER},
    ),
    "GeoTransform": _Rule(rf"({_NUMBER})(\s*,\s*({_NUMBER})){{5}}"),
    # Other domains name files, of overviews and of geolocation.
    "Metadata": _Rule(attributes={"domain": "(IMAGE_STRUCTURE)?"}, children=("MDI",)),
    "MDI": _Rule(_ANY, {"key": _ANY}),
    "BlockXSize": _Rule(_INTEGER),
    "BlockYSize": _Rule(_INTEGER),
    "VRTRasterBand": _Rule(
        attributes={
            "dataType": r"Byte|U?Int\d\d?|Float\d\d|CInt\d\d|CFloat\d\d",
            "band": _INTEGER,
            "blockXSize": _INTEGER,
            "blockYSize": _INTEGER,
            "subClass": "VRTSourcedRasterBand",
        },
        children=(
            *("Metadata", "ColorInterp", "ColorTable", "CategoryNames", "Description", "NoDataValue", "UnitType"),
            *("Offset", "Scale", "SimpleSource", "ComplexSource", *_BLOCK),
        ),
    ),
    "ColorInterp": _Rule(r"\w*"),
    "ColorTable": _Rule(children=("Entry",)),
    "Entry": _Rule(attributes=dict.fromkeys(("c1", "c2", "c3", "c4"), _INTEGER)),
    "CategoryNames": _Rule(children=("Category",)),
    "Category": _Rule(_ANY),
    "Description": _Rule(_ANY),
    "NoDataValue": _Rule(_NUMBER),
    "UnitType": _Rule(_ANY),
    "Offset": _Rule(_NUMBER),
    "Scale": _Rule(_NUMBER),
    "SimpleSource": _Rule(attributes={"resampling": _RESAMPLING}, children=_SOURCE),
    "ComplexSource": _Rule(
        attributes={"resampling": _RESAMPLING}, children=(*_SOURCE, "NODATA", "ScaleOffset", "ScaleRatio")
    ),
    "SourceFilename": _Rule(_ANY, {"relativeToVRT": "[01]", "shared": "[01]"}),
    "SourceBand": _Rule(_INTEGER),
    "SourceProperties": _Rule(
        attributes={"DataType": r"\w+", **dict.fromkeys(("RasterXSize", "RasterYSize", *_BLOCK), _INTEGER)}
    ),
    "SrcRect": _RECT,
    "DstRect": _RECT,
    "NODATA": _Rule(_NUMBER),
    "ScaleOffset": _Rule(_NUMBER),
    "ScaleRatio": _Rule(_NUMBER),
}
_REPEATED = frozenset(["Metadata", "MDI", "VRTRasterBand", "Entry", "Category", "SimpleSource", "ComplexSource"])
_ELEMENTS = {tag.lower(): tag for tag in _RULES}


def read_mosaic(path: Path, name: str) -> Element:
    """Read a VRT that is a mosaic, into elements of its own.

    Raises
    ------
    GridrValueError
        For what is not XML, and for what the rules do not list: the message says which of it.
    DatasetError
        For a file that cannot be read.
    """
    try:
        root = ElementTree.fromstring(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{name}: {str(path)!r} cannot be read: {error.strerror}", argument=name) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the latter two for odd encodings
        raise GridrValueError(f"{name}: {str(path)!r} is not XML: {error}", argument=name) from error
    try:
        return _checked(root, ("VRTDataset",))
    except ValueError as error:
        raise GridrValueError(
            f"{name}: {str(path)!r} holds {error}, and only mosaics of local rasters are read", argument=name
        ) from None


def _checked(given: Element, allowed: tuple[str, ...]) -> Element:
    """Return what the rules know of an element; a ValueError says what they do not."""
    tag = _ELEMENTS.get(given.tag.lower())
    if tag not in allowed:
        raise ValueError(f"a {given.tag}")
    made, rule = Element(tag), _RULES[tag]
    keys = {key.lower(): key for key in rule.attributes}
    for written, value in given.attrib.items():
        key = keys.get(written.lower(), "")
        if key in made.attrib or not _fits(value, rule.attributes.get(key)):
            raise ValueError(f"{written}={value!r} in a {given.tag}")
        made.set(key, value.strip())
    text = (given.text or "").strip()
    if not _fits(text, rule.text):
        raise ValueError(f"{text!r} in a {given.tag}")
    made.text = text
    for child in given:
        inner = _checked(child, rule.children)
        if inner.tag not in _REPEATED and made.find(inner.tag) is not None:
            raise ValueError(f"a second {child.tag} in a {given.tag}")
        if tail := (child.tail or "").strip():
            raise ValueError(f"{tail!r} in a {given.tag}")
        made.append(inner)
    return made


def _fits(value: str, pattern: str | None) -> bool:
    return pattern is not None and re.fullmatch(pattern, value.strip(), re.IGNORECASE | re.ASCII) is not None


def sources_by_path(mosaic: Element, folder: Path) -> dict[str, list[Element]]:
    """Return the sources of all bands, by the path that they name in a VRT of this folder."""
    found: dict[str, list[Element]] = {}
    for source in (part for part in mosaic.iter() if part.tag in ("SimpleSource", "ComplexSource")):
        named = source.find("SourceFilename")
        text = "" if named is None else named.text or ""
        if text and named is not None and named.get("relativeToVRT") == "1":
            text = str(folder / text)
        found.setdefault(text, []).append(source)
    return found


def hold_source(source: Element, path: Path, dataset: Any) -> None:
    """Have GDAL open a source at this path as what it was opened as, and only with the driver that did it.

    Raises
    ------
    ValueError
        For a path or a band that cannot be named; the message says which.
    """
    text = str(path.absolute())
    if re.search(r"[<?\x00-\x1f]", text):  # the query of a vrt:// address, XML in place of a path
        raise ValueError(f"a source {text!r}, whose name GDAL would not take for a path")
    band = int(source.findtext("SourceBand", "1"))
    if not 1 <= band <= dataset.count:
        raise ValueError(f"band {band} of {text!r}, which has {dataset.count}")
    for tag in ("SourceFilename", "SourceProperties"):
        for old in source.findall(tag):
            source.remove(old)
    SubElement(source, "SourceFilename", relativeToVRT="0").text = f"vrt://{text}?if={dataset.driver}"
    (height, width), (block_height, block_width) = dataset.shape, dataset.block_shapes[band - 1]
    properties = {
        "RasterXSize": width,
        "RasterYSize": height,
        "DataType": typename_fwd[dtype_rev[dataset.dtypes[band - 1]]],
        "BlockXSize": block_width,
        "BlockYSize": block_height,
    }
    SubElement(source, "SourceProperties", {key: str(value) for key, value in properties.items()})
