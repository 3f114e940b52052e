"""Points of the polygons' coordinate reference system <-> dense pixels, by PROJ."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.crs import CRS

from ..files.crs import Points, all_finite, full_circle, same_crs, warped
from ..georef import edge_before, map_to_pixel, pixel_to_map

#: Polygons and rasters whose x go further around than this lie nowhere.
TURNS_AT_MOST = 4

_WGS_84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class PixelFrame:
    """Where the whole dense raster lies on the map, and where its pixel (0, 0) lies in the polygons' coordinates.

    `transform` takes pixel corners to the map, as GDAL's do; both it and `crs` may be None.
    """

    crs: Any
    transform: Any
    origin_row_col: tuple[float, float]
    shape_row_col: tuple[int, int]


@dataclass(frozen=True)
class Projection:
    """From the polygons' CRS to the pixels of a raster, and back. Points are (x, y), pixels (x = column, y = row)."""

    crs: Any
    frame: PixelFrame

    @cached_property
    def is_affine(self) -> bool:
        """Whether the polygons are in the raster's own CRS."""
        return same_crs(self.crs, self.frame.crs)

    @cached_property
    def turn(self) -> float | None:
        """How far x is from itself once around the Earth, in the polygons' CRS; None where x does not go around."""
        return _turn(self.crs)

    @cached_property
    def raster_turn(self) -> float | None:
        """The same in the raster's CRS."""
        return self.turn if self.is_affine else _turn(self.frame.crs)

    def to_pixels(self, points: Points, near: Points | None = None) -> Points:
        """Bring points to pixels; those that have no image become NaN.

        Where x goes around the Earth, the image is that of the turn which is nearest to a pixel of the raster, `near`.
        """
        mapped = points if self.is_affine else warped(self.crs, self.frame.crs, points)
        if near is not None and self.raster_turn is not None:
            centre = self._to_map(near)[..., 0]
            turns = np.round((centre - mapped[:, 0]) / self.raster_turn)
            mapped = np.column_stack([mapped[:, 0] + turns * self.raster_turn, mapped[:, 1]])
        rows, cols = map_to_pixel(self.frame.transform, *mapped.T)
        return np.column_stack([cols, rows]) + self.frame.origin_row_col[::-1]

    def from_pixels(self, pixels: Points) -> Points:
        """Bring pixels to the polygons' CRS; those that have no place there become NaN."""
        mapped = self._to_map(pixels)
        return mapped if self.is_affine else warped(self.frame.crs, self.crs, mapped)

    def on_earth(self, points: Points) -> NDArray[np.bool_]:
        """Say of which points PROJ knows a longitude and a latitude."""
        if self.crs.is_geographic:
            circle = full_circle(self.crs)
            return all_finite(np.where(np.abs(points) <= (TURNS_AT_MOST * circle, circle / 4), points, np.nan))
        try:
            return all_finite(warped(self.crs, _WGS_84, points))
        except Exception:  # as in `files.crs`: not of the Earth
            return np.zeros(len(points), dtype=bool)

    @property
    def pixels_a_turn(self) -> Points:
        """Which way the raster's pixels go, (x, y), on one turn of its x."""
        x, y = self.frame.transform[2], self.frame.transform[5]
        rows, cols = map_to_pixel(self.frame.transform, [x, x + (self.raster_turn or 0.0)], [y, y])
        step: Points = np.array([cols[1] - cols[0], rows[1] - rows[0]], dtype=np.float64)
        return step

    @property
    def corners(self) -> tuple[Points, Points]:
        """The first and the last pixel's centre, (x, y)."""
        low = np.array(self.frame.origin_row_col[::-1])
        return low, low + self.frame.shape_row_col[::-1] - 1.0

    def centres(self, window: NDArray[np.int64]) -> Points:
        """Return the centres of a window (row start, row stop, column start, column stop), row by row."""
        row_start, row_stop, col_start, col_stop = window
        cols, rows = np.meshgrid(np.arange(col_start, col_stop), np.arange(row_start, row_stop))
        points: Points = np.column_stack([cols.ravel(), rows.ravel()]) + self.frame.origin_row_col[::-1]
        return points

    def pixel_box(self, window: NDArray[np.int64]) -> Any:
        """Return a window as a polygon that ends half way between centres."""
        origin_row, origin_col = self.frame.origin_row_col
        min_y, max_y = edge_before(origin_row, window[:2])
        min_x, max_x = edge_before(origin_col, window[2:])
        return shapely.box(min_x, min_y, max_x, max_y)

    def _to_map(self, pixels: Points) -> Points:
        cols, rows = np.moveaxis(pixels - self.frame.origin_row_col[::-1], -1, 0)
        mapped: Points = np.stack(pixel_to_map(self.frame.transform, rows, cols), axis=-1)
        return mapped


def _turn(crs: Any) -> float | None:
    if crs.is_geographic:
        return full_circle(crs)
    # A cylindrical projection: a degree of longitude, taken 360 times, leads back to where it started.
    places = np.array([(0.0, 10.0), (1.0, 10.0), (0.0, -20.0)])
    try:
        start, degree, south = warped(_WGS_84, crs, places)
        turn = 360.0 * float(degree[0] - start[0])
        around = warped(crs, _WGS_84, np.array([start, south]) + np.array([turn, 0.0]))
    except Exception:  # as above: not on Earth
        return None
    if not turn > 0.0 or not np.isfinite(around).all():
        return None
    away = np.abs(around - places[[0, 2]])
    return turn if (np.minimum(away, np.abs(away - 360.0)) < 1e-6).all() else None
