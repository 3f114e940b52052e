"""Polygons and a lattice of pixel centres -> pixels."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..georef import centres, lattice_transform
from ..kernels.crossings import Axis
from ..plan import by_rectangle
from ..types import AnyArray, Cause, GridRasterizeAlg, RasterizeOptions, ShapelyPredicate, Warn
from ..window import Window
from .edges import Layer, PolygonEdges, change
from .forms import polygon_set
from .sets import BUFFER_LIMIT, Box, PolygonSet, inside_points, warn_of_a_miss

logger = logging.getLogger(__name__)

#: GRIDR dilates polygons by this before GDAL burns them, so that centres on the boundary are burned.
RASTERIO_DILATION = 1e-6

# So many bytes stay in a processor's cache between being scanned and being looked up.
_PIXELS_IN_CACHE = 1 << 21


# Single pixels in the same rectangle are burned in one call.
_BURNED_TOGETHER = (256, 256)


@dataclass(frozen=True)
class Lattice:
    """The pixel centres of a regular raster: centre ``(i, j)`` is ``origin + step * (i, j)``, rows first."""

    shape_row_col: tuple[int, int]
    origin_row_col: tuple[float, float]
    step_row_col: tuple[float, float] = (1.0, 1.0)

    def axes(self, window: Window) -> tuple[Axis, Axis]:
        """Return the rows and the columns of a window, as the kernel takes them."""
        (origin_row, origin_col), (step_row, step_col) = self.origin_row_col, self.step_row_col
        return (
            (origin_row, step_row, window.row_start, window.row_stop),
            (origin_col, step_col, window.col_start, window.col_stop),
        )

    def centres(self, window: Window) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the x of a window's columns and the y of its rows."""
        row_axis, col_axis = self.axes(window)
        return centres(*col_axis), centres(*row_axis)


def write_inside(
    polygons: PolygonSet,
    lattice: Lattice,
    window: Window,
    options: RasterizeOptions,
    values: tuple[Any, Any],
    out: AnyArray,
) -> None:
    """Write one of two values for each pixel of a window: outside the set, and inside it.

    Memory beyond `out` is that of some rows; for RASTERIO_RASTERIZE, where `out` is wider than a byte, a byte a pixel.

    Parameters
    ----------
    polygons : PolygonSet
        For RASTERIO_RASTERIZE dilated already.
    lattice, window, options
        Which centres, and how they are decided.
    values : tuple
        Outside and inside, that fit in `out`.
    out : ndarray (rows, columns)
        Of any real type and strides. Written whole.
    """
    in_bytes = out.itemsize == 1 and out.flags.c_contiguous
    if options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE:
        inside = out.view(np.uint8) if in_bytes else np.empty(out.shape, np.uint8)
        _burn(polygons, *lattice.axes(window), options.predicate, inside)
        paint(inside, values, out)
        return
    axes = lattice.axes(window)
    if in_bytes:
        outside_byte, inside_byte = (int(value) for value in np.array(values, out.dtype).view(np.uint8))
        edges = PolygonEdges.of([Layer(polygons, 0, inside_byte)], *axes)
        edges.write(*axes, options.predicate, outside_byte, out.view(np.uint8))
        return
    edges = PolygonEdges.of([Layer(polygons, 0, 1)], *axes)
    rows = max(1, _PIXELS_IN_CACHE // out.shape[1])
    inside = np.empty((min(rows, len(out)), out.shape[1]), np.uint8)
    (origin, step, first, stop), col_axis = axes
    for start in range(first, stop, rows):
        part = slice(start - first, min(start + rows, stop) - first)
        strip = inside[: part.stop - part.start]
        edges.write((origin, step, start, first + part.stop), col_axis, options.predicate, 0, strip)
        paint(strip, values, out[part])


def paint(inside: NDArray[np.uint8], values: tuple[Any, Any], out: AnyArray) -> None:
    """Write one of two values for each byte, which is 0 or 1 and may be that of the pixel itself."""
    pair = np.array(values, out.dtype)
    if out.itemsize > 8:  # longdouble
        out[...] = pair[inside]
        return
    # As integers of the same width, values of any type are bits: exact, and faster than a choice.
    bits = np.dtype(f"u{out.itemsize}")
    outside_bits, inside_bits = pair.view(bits)
    pixels = out.view(bits)
    if out.itemsize == 1 and outside_bits == 0 and inside_bits == 1:
        if not np.may_share_memory(inside, pixels):
            pixels[...] = inside
        return
    np.multiply(inside, outside_bits ^ inside_bits, out=pixels, dtype=bits)
    np.bitwise_xor(pixels, outside_bits, out=pixels)


def _burn(
    polygons: PolygonSet, row_axis: Axis, col_axis: Axis, predicate: ShapelyPredicate, out: NDArray[np.uint8]
) -> None:
    """Let GDAL burn 1 where polygons come near the window, 0 elsewhere; those it would lose are asked of shapely."""
    from rasterio import Affine
    from rasterio.features import rasterize

    xs, ys = centres(*col_axis), centres(*row_axis)
    within_reach, beyond_reach = polygons.clipped(_around(row_axis, col_axis)).split_by_reach(BUFFER_LIMIT)
    out.fill(0)
    if len(within_reach.polygons):
        transform = Affine(*lattice_transform((ys[0], xs[0]), (row_axis[1], col_axis[1])))
        rasterize(list(within_reach.polygons), out=out, transform=transform, all_touched=False, default_value=1)
    beyond_reach.mark_inside(xs, ys, predicate, out.view(np.bool_))


def _around(row_axis: Axis, col_axis: Axis) -> Box:
    """Return the bounds of a window's centres and a margin of two pixels, beyond which polygons do not matter."""
    (low_x, high_x), (low_y, high_y) = (
        sorted((origin + step * (start - 2), origin + step * (stop + 1)))
        for origin, step, start, stop in (col_axis, row_axis)
    )
    return low_x, low_y, high_x, high_y


@dataclass(frozen=True, eq=False)
class PolygonMask:
    """The polygons of a job, and what they say of each pixel of its raster.

    Attributes
    ----------
    base : int
        The causes of a pixel that is in no polygon.
    layers : tuple of Layer
        The valid and the invalid set, and what being in them does to the causes. For RASTERIO_RASTERIZE cut to the
        raster, and dilated.
    edges : PolygonEdges or None
        Their edges on the raster, for SHAPELY.
    """

    base: int
    layers: tuple[Layer, ...]
    edges: PolygonEdges | None
    lattice: Lattice
    options: RasterizeOptions

    @classmethod
    def of(
        cls,
        geometry_pair: Any,
        geometry_origin: Any,
        rasterize_kwargs: Any,
        shape_row_col: tuple[int, int],
        *,
        repair: bool = False,
        whole: bool = False,
        warn: Warn = logger.warning,
    ) -> PolygonMask | None:
        """Check GRIDR's arguments for polygons; None where there is no polygon.

        `warn` is told of what was given and holds none, which means the same as None; and of polygons that miss the
        raster, where that is the `whole` that they are for and not a part.
        """
        options = checks.rasterize_options(rasterize_kwargs, "rasterize_kwargs")
        pair = checks.geometry_pair(geometry_pair, "geometry_pair")
        names = ("geometry_pair[0] (valid)", "geometry_pair[1] (invalid)")
        valid, invalid = (
            polygon_set(geometry, name, repair=repair) for geometry, name in zip(pair, names, strict=True)
        )
        given = valid is not None or invalid is not None
        needed_with = "geometry_pair" if given else None
        origin_row_col = checks.geometry_origin(geometry_origin, "geometry_origin", needed_with=needed_with)
        lattice = Lattice(shape_row_col, origin_row_col)
        for geometry, polygons, name in zip(pair, (valid, invalid), names, strict=True):
            if geometry is not None and polygons is None:
                warn(f"{name} holds no polygon: as if it were not given")
            if whole and polygons is not None:
                warn_of_a_miss(polygons, name, lattice.origin_row_col, shape_row_col, "geometry_origin", warn)
        return cls.of_sets(valid, invalid, lattice, options)

    @classmethod
    def of_sets(
        cls, valid: PolygonSet | None, invalid: PolygonSet | None, lattice: Lattice, options: RasterizeOptions
    ) -> PolygonMask | None:
        """Prepare checked polygons for a raster; None where there are none."""
        if valid is None and invalid is None:
            return None
        changes = ((valid, 0xFF ^ Cause.OUTSIDE_VALID, 0), (invalid, 0xFF, int(Cause.INSIDE_INVALID)))
        layers = tuple(Layer(polygons, keep, add) for polygons, keep, add in changes if polygons is not None)
        base = 0 if valid is None else int(Cause.OUTSIDE_VALID)
        if options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE:
            around = _around(*lattice.axes(Window.whole(lattice.shape_row_col)))
            grown = [layer.polygons.clipped(around).dilated(RASTERIO_DILATION) for layer in layers]
            layers = tuple(layer._replace(polygons=polygons) for layer, polygons in zip(layers, grown, strict=True))
        return cls._with_edges(base, layers, lattice, options)

    @classmethod
    def _with_edges(
        cls, base: int, layers: tuple[Layer, ...], lattice: Lattice, options: RasterizeOptions
    ) -> PolygonMask:
        scanned = options.alg is GridRasterizeAlg.SHAPELY
        axes = lattice.axes(Window.whole(lattice.shape_row_col))
        return cls(base, layers, PolygonEdges.of(layers, *axes) if scanned else None, lattice, options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle polygons: edges are collected anew."""
        return PolygonMask._with_edges, (self.base, self.layers, self.lattice, self.options)

    def write_causes(self, window: Window, out: NDArray[np.uint8], threads: int | None = None) -> None:
        """Write for each pixel of a window which of its sets make it invalid, as bits of `types.Cause`.

        `out` is C-contiguous; `threads` as in `PolygonEdges.write`.
        """
        if self.edges is not None:
            self.edges.write(*self.lattice.axes(window), self.options.predicate, self.base, out, threads)
            return
        out[:] = self.base
        inside = np.empty(window.shape, np.uint8)
        for polygons, keep, add in self.layers:
            _burn(polygons, *self.lattice.axes(window), self.options.predicate, inside)
            change(out, inside.view(np.bool_), keep, add)

    def causes_at(
        self, rows: NDArray[np.int64], cols: NDArray[np.int64], rows_beyond: Any, cols_beyond: Any
    ) -> NDArray[np.uint8]:
        """Return what the sets say of single places: so far beyond pixels of the whole raster, from 0 to less than 1.

        GDAL burns pixels alone: for RASTERIO_RASTERIZE nothing may lie beyond them.
        """
        causes = np.full(rows.shape, self.base, np.uint8)
        if self.edges is None:
            for group in by_rectangle(np.stack([rows, cols]), _BURNED_TOGETHER):
                row, col = int(rows[group].min()), int(cols[group].min())
                window = Window(row, int(rows[group].max()) + 1, col, int(cols[group].max()) + 1)
                burned = np.empty(window.shape, np.uint8)
                self.write_causes(window, burned)
                causes[group] = burned[rows[group] - row, cols[group] - col]
            return causes
        (origin_row, origin_col), (step_row, step_col) = self.lattice.origin_row_col, self.lattice.step_row_col
        xs, ys = origin_col + step_col * (cols + cols_beyond), origin_row + step_row * (rows + rows_beyond)
        for polygons, keep, add in self.layers:
            change(causes, inside_points(polygons, xs, ys, self.options.predicate), keep, add)
        return causes
