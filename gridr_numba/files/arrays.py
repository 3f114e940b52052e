"""Arrays as rasters that windows are read from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..types import AnyArray, AnyDtype, Pair


@dataclass(frozen=True)
class ArrayRaster:
    """A raster of one band whose pixels are in an array, or will be: an `OpenRaster`.

    Attributes
    ----------
    name : str
        What to call it in errors.
    shape : tuple of int
        Rows and columns of the whole.
    dtype : numpy.dtype
    crs : rasterio.crs.CRS or None
    transform : affine.Affine
        From pixel corners to the map; the identity where nothing says it.
    nodata : float or None
    scale, offset : float
    values : ndarray (rows, columns) or None
        A part of the raster. None where it is only described.
    first_row_col : tuple of int
        The pixel of the raster that is the first of `values`.
    """

    name: str
    shape: Pair
    dtype: AnyDtype
    crs: Any
    transform: Any
    nodata: float | None = None
    scale: float = 1.0
    offset: float = 0.0
    values: AnyArray | None = None
    first_row_col: Pair = (0, 0)

    files: Sequence[str] = ()
    gcps: tuple[Sequence[object], object] = ((), None)

    def holding(self, values: AnyArray, first_row_col: Pair) -> ArrayRaster:
        """Return the raster with the part of it that starts at a pixel."""
        return replace(self, values=values, first_row_col=first_row_col)

    @property
    def dtypes(self) -> Sequence[str]:
        """The data type."""
        return (str(self.dtype),)

    @property
    def block_shapes(self) -> Sequence[Pair]:
        """The raster is one block."""
        return (self.shape,)

    @property
    def nodatavals(self) -> Sequence[float | None]:
        """The value that means no data."""
        return (self.nodata,)

    @property
    def scales(self) -> Sequence[float]:
        """What stored values are multiplied by."""
        return (self.scale,)

    @property
    def offsets(self) -> Sequence[float]:
        """What is added then."""
        return (self.offset,)

    @property
    def descriptions(self) -> Sequence[str | None]:
        """The name."""
        return (self.name,)

    def tags(self) -> dict[str, str]:
        """Nothing: an array is no file of `make_grid`."""
        return {}

    def read(self, indexes: list[int], *, window: Any, out: AnyArray) -> object:
        """Copy a window, which `values` hold, converted to the type of `out`."""
        if self.values is None:
            raise NotImplementedError(f"{self.name} is only described")
        row, col = window.row_off - self.first_row_col[0], window.col_off - self.first_row_col[1]
        part = self.values[row : row + window.height, col : col + window.width]
        with np.errstate(over="ignore", invalid="ignore"):
            out[:] = part
        return out
