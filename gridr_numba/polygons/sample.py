"""Pixel centres of the whole raster, brought to the polygons' CRS: what polygons in pixels must agree with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from ..files.crs import Points, all_finite
from .projection import TURNS_AT_MOST, Projection

# So many rows and columns, from the raster's first to its last.
_A_SIDE = 65
# In pixels: where a centre lies nearer to an edge, either answer is right.
_NEAR = 0.05


@dataclass(frozen=True)
class Sample:
    """Pixel centres of the whole raster, and where they lie in the polygons' CRS."""

    projection: Projection
    pixels: Points
    places: Points

    @classmethod
    def of(cls, projection: Projection) -> Sample:
        """Take centres of the whole raster, whatever part of it is made."""
        rows, cols = (
            origin + np.unique(np.linspace(0, size - 1, min(size, _A_SIDE)).round())
            for origin, size in zip(projection.frame.origin_row_col, projection.frame.shape_row_col, strict=True)
        )
        pixels = np.stack(np.meshgrid(cols, rows), axis=-1).reshape(-1, 2)
        return cls(projection, pixels, projection.from_pixels(pixels))

    def disagrees(
        self,
        polygons: NDArray[np.object_],
        images: NDArray[np.object_],
        polygon_owner: NDArray[np.int64] | None = None,
        image_owner: NDArray[np.int64] | None = None,
    ) -> NDArray[np.bool_]:
        """Say of each polygon whether a centre lies in it that does not lie in its image, or the reverse.

        Polygons and images of one owner are judged together; without, each polygon is its own, and its image's.
        """
        n = len(self.pixels)
        polygon_owner = np.arange(len(polygons)) if polygon_owner is None else polygon_owner
        image_owner = polygon_owner if image_owner is None else image_owner
        disagreeing = np.zeros(polygon_owner.max(initial=-1) + 1, dtype=bool)
        right = inside_pairs(polygons, polygon_owner, self.places, self.projection)
        found = _pairs(images, image_owner, self.pixels, np.arange(n), n)
        owner, centre = np.divmod(np.setxor1d(right, found), n)
        if not len(owner):
            return disagreeing
        # Centres on an edge do not count: all around them must be as they are.
        asked, centre = np.unique(centre, return_inverse=True)
        around = self.pixels[asked, np.newaxis] + _NEAR * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        places = self.projection.from_pixels(around.reshape(-1, 2))
        near = inside_pairs(polygons, polygon_owner, places, self.projection)
        corners = np.isin(owner[:, np.newaxis] * len(places) + centre[:, np.newaxis] * 4 + np.arange(4), near).sum(
            axis=1
        )
        inside = np.isin(owner * n + asked[centre], right)
        disagreeing[owner[corners == np.where(inside, 4, 0)]] = True
        return disagreeing


def inside_pairs(
    polygons: NDArray[np.object_], owner: NDArray[np.int64], places: Points, projection: Projection
) -> NDArray[np.int64]:
    """Return, sorted, ``owner * len(places) + place`` for each place that lies in a polygon, after any turn.

    What has no place lies in no polygon.
    """
    there = np.flatnonzero(all_finite(places))
    points, index = places[there], there
    if projection.turn is not None and len(there) and len(polygons):
        min_x, _, max_x, _ = shapely.bounds(polygons).T
        first = np.ceil((min_x.min() - points[:, 0].max()) / projection.turn)
        last = np.floor((max_x.max() - points[:, 0].min()) / projection.turn)
        turns = np.arange(max(first, -TURNS_AT_MOST), min(last, TURNS_AT_MOST) + 1)
        shift = np.column_stack([turns * projection.turn, np.zeros(len(turns))])
        points = (points + shift[:, np.newaxis]).reshape(-1, 2)
        index = np.tile(there, len(turns))
    return _pairs(polygons, owner, points, index, len(places))


def _pairs(
    polygons: NDArray[np.object_], owner: NDArray[np.int64], points: Points, index: NDArray[np.int64], n: int
) -> NDArray[np.int64]:
    polygon, point = shapely.STRtree(shapely.points(points)).query(polygons, predicate="intersects")
    pairs: NDArray[np.int64] = np.unique(owner[polygon] * n + index[point])
    return pairs
