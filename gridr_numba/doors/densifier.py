"""`open_densifier`: any window of a dense raster, and scattered places of it, made when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from .. import checks
from ..engine.job import Warnings
from ..engine.scattered import Places, write_places
from ..errors import GridrTypeError, GridrValueError
from ..polygons.files import Polygons
from ..types import AnyArray, AnyDtype, FilePath, GeometryCrs, Pair, WindowPairs
from ..window import Window
from .dense_inputs import DenseArguments, DenseInputs
from .file_pool import OnDemand, Recipe
from .in_arrays import ArraysOut, make_window

logger = logging.getLogger(__name__)


def open_densifier(
    grid: FilePath | Sequence[FilePath] | None,
    *,
    resolution: int | tuple[int, int] | None = None,
    shape: tuple[int, int] | None = None,
    like: FilePath | None = None,
    window: WindowPairs | None = None,
    mask: FilePath | None = None,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    grid_order: Literal["row_col", "xy"] = "row_col",
    row_band: int | None = None,
    col_band: int | None = None,
    displacement: bool = False,
    source_offset: tuple[float, float] = (0.0, 0.0),
    source: object = None,
    mask_band: int = 1,
    mask_valid_value: int = 1,
    mask_out_values: tuple[int, int] | str = (1, 0),
    fill: float | None = None,
    threshold: float = 1.0,
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    grid_nodata: float | tuple[float, ...] | None = None,
    dtype: DTypeLike | None = None,
    allow_vrt: bool = False,
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    threads: int | None = 1,
) -> Densifier:
    """Prepare a coarse grid and its mask to be made dense where and when it is asked for.

    Not in GRIDR. What is read has the bits of what `densify` writes with the same arguments (law 10; RASTERIO_RASTERIZE
    with law 7's exception). All arguments are checked, and polygons are prepared, once; nothing is left open but what
    reads need.

    Parameters
    ----------
    grid : path, pair of paths or None
        The coarse grid, as in `densify`. None makes only the mask.
    resolution, shape, like, window, mask, valid, invalid, geometry_origin, grid_order, row_band, col_band, displacement
        As in `densify`. What is read is relative to the part that `window` or `like` chooses; polygons and
        `geometry_origin` stay those of the whole dense raster.
    source_offset, source, mask_band, mask_valid_value, mask_out_values, fill, threshold, rasterize_kwargs
        As in `densify`.
    repair_geometry, grid_nodata, dtype, allow_vrt, geometry_crs, geometry_layer
        As in `densify`.
    threads : int, optional
        Of one read. With 1, reads of several threads do not wait for one another, no threading layer is started, and
        the process may fork. None is all that the process may use.

    Returns
    -------
    Densifier
        A context manager: `Densifier.close` closes its files.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import open_densifier
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> with open_densifier("grid.tif", resolution=10) as dense:
    ...     coordinates, mask = dense.read(((5, 7), (12, 14)))  # half-open: rows 5 and 6, columns 12 and 13
    >>> coordinates.tolist(), mask.tolist()
    ([[[5.0, 5.0], [6.0, 6.0]], [[12.0, 13.0], [12.0, 13.0]]], [[1, 1], [1, 1]])
    """
    checks.switches(arguments := locals())
    given = DenseArguments.of(arguments)
    used = None if threads is None else checks.integer(threads, "threads", minimum=1)
    with ExitStack() as stack:
        dense = DenseInputs.opened(stack, given, Warnings(logger))
        outputs = ArraysOut.of(dense.inputs.grid, dtype, mask_out_values)
        return Densifier(Recipe.of(dense, given, outputs, used))


class Densifier(OnDemand[Recipe]):
    """A dense grid and its mask that are made where they are asked for. `open_densifier` makes one.

    Threads may share it: each read has files of its own for as long as it takes. It can be pickled: paths, options,
    polygons, and the size and the time of the last change of each file that is read, travel. Where it arrives, files
    are opened when they are first needed. A file that has changed since `open_densifier` is refused.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    crs : rasterio.crs.CRS or None
    transform : affine.Affine or None
        From pixel corners to the map. None where the inputs have none.
    dtype : numpy.dtype or None
        Of coordinates. None where only the mask is made.
    mask_dtype : numpy.dtype

    Examples
    --------
    >>> import shapely
    >>> from gridr_numba import open_densifier
    >>> with open_densifier(None, shape=(3, 4), resolution=10, invalid=shapely.box(0, 0, 5, 5)) as dense:
    ...     _, mask = dense.at([2.5, 7.5], [4.0, 4.0])  # places between pixels
    >>> dense.shape, mask.tolist()
    ((21, 31), [0, 1])
    """

    @property
    def dtype(self) -> AnyDtype | None:
        """Of coordinates; None where only the mask is made."""
        return None if self._recipe.outputs.grid is None else self._recipe.outputs.grid.dtype

    def read(
        self, window: Any, out: tuple[AnyArray | None, AnyArray] | None = None
    ) -> tuple[AnyArray | None, AnyArray]:
        """Make a window.

        Parameters
        ----------
        window : rasterio.windows.Window, pair of slices, or pairs ``((row_start, row_stop), (col_start, col_stop))``
            Half-open, of rows and columns of this raster.
        out : pair of ndarray, optional
            Written and returned: (coords, mask), of the shapes and data types that would be returned, of any strides.

        Returns
        -------
        coords : ndarray (2, rows, columns) or None
            Source rows and source columns. None where only the mask is made.
        mask : ndarray (rows, columns)

        Raises
        ------
        GridrValueError, GridrTypeError
            For a window that is none, or not within the raster; for an `out` that does not fit; once closed.
        DatasetError
            For a file that cannot be read, or that has changed.
        """
        asked = Window.of_raster(window, self.shape, "window")
        coords, mask = self._arrays(asked.shape, out)
        # A step fills whole arrays: where the caller's are parts of others, they get copies.
        filled = [each if each.flags.c_contiguous else np.empty(each.shape, each.dtype) for each in (mask, coords)]
        start = self._recipe.place.extent.window
        dense = asked.moved(start.row_start, start.col_start)
        with self._pool.job(self._recipe) as job:
            make_window(job, dense, filled[1], filled[0], self._recipe.threads)
        for made, wanted in zip(filled, (mask, coords), strict=True):
            if made is not wanted:
                wanted[...] = made
        return (coords if self.dtype is not None else None), mask

    def at(self, rows: ArrayLike, cols: ArrayLike) -> tuple[AnyArray | None, AnyArray]:
        """Make scattered places: what `read` makes where they are integers, and the same laws between pixels.

        Between pixels, coordinates are within 4 ulp of the exact bilinear value at the position as float64 holds it;
        the threshold of a raster mask is decided exactly; polygons are asked about the point, as float64 holds it in
        their frame.

        Parameters
        ----------
        rows, cols : array_like (n,)
            Positions in this raster, from 0 to its last row and its last column. Integers are pixels. With
            RASTERIO_RASTERIZE and polygons they must be.

        Returns
        -------
        coords : ndarray (2, n) or None
            None where only the mask is made.
        mask : ndarray (n,)

        Raises
        ------
        GridrValueError, GridrTypeError
            For what is no position, or lies outside the raster; once closed.
        DatasetError
            For a file that cannot be read, or that has changed.
        """
        places = self._places(rows, cols)
        n = places.pixels.shape[1]
        coords = None if self.dtype is None else np.empty((2, n), self.dtype)
        mask = np.empty(n, self.mask_dtype)
        with self._pool.job(self._recipe) as job:
            if n:
                write_places(job, places, coords, mask)
        return coords, mask

    def __repr__(self) -> str:
        rows, cols = self.shape
        return f"<Densifier of {self._recipe.given.grid or self._recipe.given.mask!r}: {rows} x {cols} pixels>"

    def _arrays(self, shape: Pair, out: object) -> tuple[AnyArray, AnyArray]:
        """Return arrays for a window: the caller's, checked, or new ones; no bands where only the mask is made."""
        bands = 0 if self.dtype is None else 2
        if out is None:
            return np.empty((bands, *shape), self.dtype or np.float64), np.empty(shape, self.mask_dtype)
        if not isinstance(out, tuple | list) or len(out) != 2:
            raise GridrTypeError(f"out must be a pair of arrays (coords, mask), not {type(out).__name__}", "out")
        if self.dtype is None:
            if out[0] is not None:
                raise GridrValueError("out[0] must be None where only the mask is made", argument="out")
            return np.empty((0, *shape)), _output_array(out[1], "out[1]", shape, self.mask_dtype)
        coords = _output_array(out[0], "out[0]", (2, *shape), self.dtype)
        return coords, _output_array(out[1], "out[1]", shape, self.mask_dtype)

    def _places(self, rows: object, cols: object) -> Places:
        """Check positions in this raster, and take them apart in the whole one."""
        extent, polygons = self._recipe.place.extent, self._recipe.polygons
        names = zip((rows, cols), ("rows", "cols"), self.shape, strict=True)
        pairs = [_axis(each, name, size) for each, name, size in names]
        if pairs[0][0].shape != pairs[1][0].shape:
            raise GridrValueError(
                f"rows and cols must be of one length, not {len(pairs[0][0])} and {len(pairs[1][0])}", argument="cols"
            )
        first = np.array([[extent.window.row_start], [extent.window.col_start]])
        pixels, beyond = np.stack([pair[0] for pair in pairs]), np.stack([pair[1] for pair in pairs])
        if polygons is not None and polygons.edges is None and beyond.any():
            name = "rows" if beyond[0].any() else "cols"
            raise GridrValueError(
                f"{name} must hold integers with RASTERIO_RASTERIZE, which burns pixels; SHAPELY answers between them",
                argument=name,
            )
        return Places(pixels + first, beyond)


def _output_array(value: object, name: str, shape: tuple[int, ...], dtype: AnyDtype) -> AnyArray:
    """Take an array to write to, of exactly this type."""
    array = checks.output_array(value, name, shape, "iuf")
    if array.dtype != dtype:
        raise GridrTypeError(f"{name} must be of {dtype}, not {array.dtype}", argument=name)
    return array


def _axis(value: object, name: str, size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Take positions along an axis of so many pixels: the pixels, and how far beyond them."""
    try:
        given = np.atleast_1d(np.asarray(value))
    except ValueError:
        given = np.empty(0, object)
    if given.ndim != 1 or given.dtype.kind not in "iuf" or isinstance(value, np.ma.MaskedArray):
        raise GridrTypeError(f"{name} must be numbers, in one dimension and none masked, not {value!r}", argument=name)
    wrong = np.flatnonzero(~((given >= 0) & (given <= size - 1)))
    if len(wrong):
        raise GridrValueError(
            f"{name} must lie within the raster, from 0 to {size - 1}, and {name}[{wrong[0]}] is {given[wrong[0]]!r}",
            argument=name,
        )
    pixels = given.astype(np.int64)
    beyond = (given - pixels).astype(np.float64) if given.dtype.kind == "f" else np.zeros(given.shape)
    return pixels, beyond
