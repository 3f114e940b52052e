"""Where a target's pixels look in a source image, by what the image says of itself: CRS, RPCs or ground control points.

Each model is a mapping as `search` takes it: float64 in, float64 out, integers being pixel centres; what has no mapping
is not finite. Points are mapped one by one, so nothing depends on which are asked together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from inspect import signature
from threading import Lock
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import GCPTransformer

from ..errors import DatasetError, GridrValueError
from ..files.crs import full_circle, same_crs, warped_xy
from ..files.gdal import gdal_errors, reason_of
from ..georef import from_corners, map_to_pixel, pixel_map_between, pixel_to_map
from ..kernels.rpc import image_of_ground
from ..types import Pair
from .search import Mapping

Floats = NDArray[np.float64]

MODELS = ("auto", "crs", "rpc", "gcps", "tps")
#: RPCs are fitted where their normalised coordinates are within 1; a little further they still hold.
RPC_REACH = 1.2
_LONGITUDE_LATITUDE = CRS.from_epsg(4326)


@dataclass(frozen=True)
class TargetRaster:
    """The raster that is to be filled."""

    crs: Any
    transform: Any
    shape: Pair


@dataclass(frozen=True)
class Composed:
    """Both rasters in one CRS: an affine map of pixels, whose coefficients are the exact ones, each rounded once."""

    coefficients: tuple[float, ...]

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Map."""
        rr, rc, r0, cr, cc, c0 = self.coefficients
        return rr * rows + rc * cols + r0, cr * rows + cc * cols + c0


@dataclass(frozen=True)
class Reprojection:
    """The way from the target's pixels to points of a CRS, x being east or longitude; what has no place there is NaN.

    Attributes
    ----------
    same : bool
        Whether the target has this CRS: then PROJ is not asked.
    """

    target: TargetRaster
    crs: Any
    same: bool

    @classmethod
    def of(cls, target: TargetRaster, crs: Any) -> Reprojection:
        """Compare the two, once."""
        return cls(target, crs, same_crs(target.crs, crs))

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Bring pixels."""
        xs, ys = pixel_to_map(self.target.transform, rows, cols)
        if self.same:
            return xs, ys
        new_xs, new_ys = warped_xy(self.target.crs, self.crs, xs.ravel(), ys.ravel())
        return new_xs.reshape(xs.shape), new_ys.reshape(ys.shape)


@dataclass(frozen=True)
class Projected:
    """A raster in another CRS: its pixels by its transform, the map by PROJ.

    Attributes
    ----------
    middle : float or None
        The longitude about which those of a geographic source are wrapped: that of its middle.
    turn : float
        A whole turn in the unit of its longitudes.
    """

    ground: Reprojection
    transform: Any
    middle: float | None
    turn: float

    @classmethod
    def of(cls, ground: Reprojection, transform: Any, shape: Pair) -> Projected:
        """Look at the source's middle, where it has longitudes."""
        middle, turn = None, 0.0
        if ground.crs.is_geographic:
            xs, _ = pixel_to_map(transform, (shape[0] - 1) / 2, (shape[1] - 1) / 2)
            middle, turn = float(xs), full_circle(ground.crs)
        return cls(ground, transform, middle, turn)

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Map."""
        xs, ys = self.ground(rows, cols)
        if self.middle is not None:
            xs = around(xs, self.middle, self.turn)
        return map_to_pixel(self.transform, xs, ys)


@dataclass(frozen=True)
class Rational:
    """An image with RPCs, on ground of one height above the ellipsoid, in metres."""

    ground: Reprojection
    offsets: Floats
    scales: Floats
    terms: Floats
    height: float

    @classmethod
    def of(cls, target: TargetRaster, rpcs: Any, height: float) -> Rational:
        """Take them as the kernel does."""
        offsets, scales = (
            np.array([getattr(rpcs, f"{name}_{kind}") for name in ("long", "lat", "height", "line", "samp")])
            for kind in ("off", "scale")
        )
        terms = np.array([rpcs.line_num_coeff, rpcs.line_den_coeff, rpcs.samp_num_coeff, rpcs.samp_den_coeff])
        return cls(Reprojection.of(target, _LONGITUDE_LATITUDE), offsets, scales, terms, height)

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Map."""
        lons, lats = self.ground(rows, cols)
        lons = around(lons, self.offsets[0], 360.0)
        out = np.empty((2, lons.size))
        image_of_ground(self.offsets, self.scales, self.terms, RPC_REACH, lons.ravel(), lats.ravel(), self.height, out)
        return out[0].reshape(lons.shape), out[1].reshape(lons.shape)


@dataclass(frozen=True)
class Controlled:
    """An image with ground control points: GDAL's polynomial through them, or its thin plate spline.

    Attributes
    ----------
    transformer : rasterio.transform.GCPTransformer
        One thread at a time asks it.
    called : str
        What the caller's argument for the image is called.
    """

    ground: Reprojection
    transformer: GCPTransformer
    called: str
    lock: Lock = field(default_factory=Lock)

    def __call__(self, rows: Floats, cols: Floats) -> tuple[Floats, Floats]:
        """Map."""
        xs, ys = self.ground(rows, cols)
        with self.lock, _mapped_by_points(self.called):  # `positive` is the operation that leaves fractions as they are
            corners = self.transformer.rowcol(xs.ravel(), ys.ravel(), op=np.positive)
        return tuple(from_corners(np.reshape(each, xs.shape)) for each in corners)  # type: ignore[return-value]


@contextmanager
def _mapped_by_points(called: str) -> Iterator[None]:
    try:
        yield
    except gdal_errors() as error:
        raise DatasetError(
            f"{called}: GDAL finds no mapping through its ground control points: {reason_of(error)}", argument=called
        ) from error


def around(longitudes: Floats, middle: float, turn: float) -> Floats:
    """Return longitudes within half a turn of a middle one; those that are so stay to the bit."""
    with np.errstate(invalid="ignore"):
        turns = np.floor((longitudes - middle) / turn + 0.5)
        return longitudes if not turns.any() else np.where(turns == 0, longitudes, longitudes - turns * turn)


# Points are in a line where their spread across it is at most such a part of that along it.
_IN_A_LINE = 1e-9


def check_solvable(source: Any, name: str, called: str) -> None:
    """Refuse ground control points and RPCs of which no mapping can be made. The argument is called so.

    Raises
    ------
    DatasetError
        If the points are in a line, on the ground or in the image, or a denominator is zero in the middle of the RPCs'
        domain.
    """
    if name == "rpc":
        for terms, of in ((source.rpcs.line_den_coeff, "line"), (source.rpcs.samp_den_coeff, "sample")):
            if not (np.isfinite(terms).all() and terms[0]):
                raise DatasetError(
                    f"{called}: the RPCs of {source.name!r} cannot be right: the denominator of the {of} is zero in "
                    f"the middle of their domain, its first coefficient being {terms[0]:g}",
                    argument=called,
                )
    if name in ("gcps", "tps"):
        points, _ = source.gcps
        for places, where in (([(p.x, p.y) for p in points], "ground"), ([(p.row, p.col) for p in points], "image")):
            apart = np.subtract(places, np.mean(places, axis=0))
            spread = np.linalg.svd(apart, compute_uv=False) if np.isfinite(apart).all() else np.zeros(2)
            if len(points) < 3 or not spread[1] > _IN_A_LINE * spread[0]:
                raise DatasetError(
                    f"{called}: the {len(points)} ground control points of {source.name!r} lie in one line, or one "
                    f"point, of the {where}: they do not say where the rest lies",
                    argument=called,
                )


def model_of(
    source: Any, target: TargetRaster, model: str, height: object, stack: ExitStack, called: str = "source"
) -> tuple[Mapping, str]:
    """Return the mapping from a target to an open source, and the model's name; errors name the source as it is called.

    'auto' takes a CRS with a transform that is not the identity, then RPCs, then ground control points. What the model
    keeps open is closed with the stack.

    Raises
    ------
    GridrValueError
        If the source does not say what the model needs, or the target has no CRS.
    """
    placed = source.crs is not None and not source.transform.is_identity
    points, points_crs = source.gcps
    has = {"crs": placed, "rpc": source.rpcs is not None, "gcps": bool(points), "tps": bool(points)}
    name = next((each for each, there in has.items() if there), None) if model == "auto" else model
    if name is None or not has[name]:
        needed = {
            "crs": "a CRS and a transform",
            "rpc": "RPCs",
            "gcps": "ground control points",
            "tps": "ground control points",
            None: "a CRS and a transform, RPCs or ground control points",
        }[name]
        raise GridrValueError(f"{called} must have {needed}, and {source.name!r} has none", argument=called)
    check_solvable(source, name, called)
    if height is not None and name != "rpc":
        raise GridrValueError(
            f"height must be given for an image with RPCs alone, and this one is mapped by its {name}; not {height!r}",
            argument="height",
        )
    if name == "crs":
        ground = Reprojection.of(target, source.crs)
        if ground.same:
            if tuple(source.transform)[:6] == tuple(target.transform)[:6]:
                return Composed((1.0, 0.0, 0.0, 0.0, 1.0, 0.0)), name
            return Composed(pixel_map_between(target.transform, source.transform)), name
        return Projected.of(ground, source.transform, source.shape), name
    if name == "rpc":
        return Rational.of(target, source.rpcs, _height(height, source.rpcs)), name
    if name == "tps" and "tps" not in signature(GCPTransformer).parameters:
        raise GridrValueError(
            f"model must be 'gcps' with rasterio {rasterio.__version__}, whose splines come with 1.4", argument="model"
        )
    with _mapped_by_points(called):
        transformer = stack.enter_context(GCPTransformer(points, **({"tps": True} if name == "tps" else {})))
    return Controlled(Reprojection.of(target, points_crs), transformer, called), name


def _height(height: object, rpcs: Any) -> float:
    if height == "rpc":
        return float(rpcs.height_off)
    if isinstance(height, bool) or not isinstance(height, int | float | np.number) or not np.isfinite(height):
        raise GridrValueError(
            "height must be given for an image with RPCs: metres above the ellipsoid, or 'rpc' for the RPCs' own "
            f"height offset ({rpcs.height_off:g}); not {height!r}",
            argument="height",
        )
    return float(height)
