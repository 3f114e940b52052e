"""Well-known text and binary of one geometry -> the geometry, and the number of its CRS.

Both are scanned before GEOS sees them: it recurses into nested geometries until the process crashes, and of several
records of WKB it reads the first and says nothing of the others.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely

from ..errors import DatasetError, GridrError, GridrTypeError
from .forms import check_nesting

# The SRID that PostGIS writes before WKT.
_SRID = re.compile(r"SRID\s*=\s*(\d+)\s*;", re.ASCII | re.IGNORECASE)

# Types of WKB: what follows the type. Of all others, numbered from 4 on, a count of members does.
_POINT, _LINES, _POLYGON, _TYPES = 1, (2, 8), 3, range(1, 13)
_HAS_Z, _HAS_M, _HAS_SRID = 0x80000000, 0x40000000, 0x20000000


def from_wkt(text: str, name: str) -> tuple[Any, str]:
    """Read the WKT of one geometry, or PostGIS's EWKT.

    Returns
    -------
    geometry : shapely geometry
    srid : str
        The digits of the SRID; empty without one.

    Raises
    ------
    DatasetError
        For text that is no WKT, or more than that of one geometry.
    GridrValueError
        For what is nested deeper than `forms.NESTED_AT_MOST`, in brackets.
    GridrTypeError
        For curves.
    """
    text = text.strip()
    found = _SRID.match(text)
    text = text[found.end() :] if found else text
    before, semicolon, _ = text.partition(";")
    if semicolon:
        raise DatasetError(
            f"{name} does not hold the WKT of one geometry: it starts with {before[:40]!r}", argument=name
        )
    characters = np.frombuffer(text.encode(), np.uint8)
    places = np.flatnonzero((characters == ord("(")) | (characters == ord(")")))
    depth = np.cumsum(np.where(characters[places] == ord("("), 1, -1))
    check_nesting(int(depth.max(initial=0)), name)
    closed = places[depth == 0]
    if len(closed) and closed[0] + 1 < len(characters):  # of which GEOS before 3.12 says nothing
        end = closed[0] + 1
        raise DatasetError(
            f"{name} does not hold the WKT of one geometry: that ends after {end} of its {len(characters)} bytes",
            argument=name,
        )
    return _read(shapely.from_wkt, text, "WKT", name), found[1] if found else ""


def from_wkb(content: bytes, name: str) -> tuple[Any, str]:
    """Read the WKB of one geometry, or PostGIS's EWKB, or either in hexadecimal digits; else as `from_wkt`."""
    try:
        data = bytes.fromhex(content.decode("ascii")) if content.startswith(b"0") else content
        end = _end_of_wkb(data, name)
    except GridrError:
        raise
    except (LookupError, ValueError, struct.error) as error:
        raise DatasetError(
            f"{name} does not hold the WKB of one geometry: it is damaged, or cut short", argument=name
        ) from error
    if end != len(data):
        raise DatasetError(
            f"{name} does not hold the WKB of one geometry: that ends after {end} of its {len(data)} bytes",
            argument=name,
        )
    geometry = _read(shapely.from_wkb, data, "WKB", name)
    srid = int(shapely.get_srid(geometry)) & 0xFFFFFFFF  # GEOS has it signed
    return geometry, str(srid) if srid else ""


def _read(parse: Callable[[Any], Any], content: str | bytes, form: str, name: str) -> Any:
    try:
        return parse(content)
    except shapely.errors.ShapelyError as error:
        check_curves(error, name)
        raise DatasetError(f"{name} does not hold the {form} of one geometry: {error}", argument=name) from error
    except NotImplementedError as error:
        raise GridrTypeError(f"{name} must be polygons of straight edges, and holds curves", argument=name) from error


# How GEOS before 3.13 says that it knows no curves: by their number in WKB, or their name in WKT.
_UNKNOWN_CURVE = re.compile(
    r"Unknown (?:WKB )?type:? '?(?:8|9|10|11|12|CIRCULARSTRING|COMPOUNDCURVE|CURVEPOLYGON|MULTICURVE|MULTISURFACE)\b",
    re.IGNORECASE,
)


def check_curves(error: Exception, name: str) -> None:
    """Refuse curves where it is these that GEOS could not read."""
    if _UNKNOWN_CURVE.search(str(error)):
        raise GridrTypeError(f"{name} must be polygons of straight edges, and holds curves", argument=name) from error


def _end_of_wkb(data: bytes, name: str) -> int:
    """Walk the first geometry of WKB, and return where it ends; raise whatever damaged content leads to."""
    offset, left = 0, [1]  # members that are still to come, at each depth
    while left:
        if not left[-1]:
            left.pop()
            continue
        left[-1] -= 1
        check_nesting(len(left) - 1, name)
        integer = struct.Struct((">I", "<I")[data[offset]])
        (code,) = integer.unpack_from(data, offset + 1)
        offset += 9 if code & _HAS_SRID else 5
        thousands, kind = divmod(code & 0xFFFF, 1000)  # ISO's way to say Z, M and both; PostGIS has bits
        has_z, has_m = code & _HAS_Z or thousands in (1, 3), code & _HAS_M or thousands in (2, 3)
        point_bytes = 8 * (2 + bool(has_z) + bool(has_m))
        if kind == _POINT:
            offset += point_bytes
            continue
        (count,) = integer.unpack_from(data, offset)
        offset += 4
        if kind in _LINES:
            offset += count * point_bytes
        elif kind == _POLYGON:
            for _ in range(count):
                (points,) = integer.unpack_from(data, offset)
                offset += 4 + points * point_bytes
        elif kind in _TYPES:
            left.append(count)
        else:
            raise LookupError(kind)
    return offset
