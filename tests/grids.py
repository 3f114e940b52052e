"""Files of a coarse grid with void nodes and of its mask, and clouds: for tests of densifiers and of lazy arrays."""

from __future__ import annotations

import images
import numpy as np
import rasterio
import shapely

NODES, RESOLUTION, SHAPE = (9, 11), (5, 7), (41, 71)
TRANSFORM = rasterio.Affine(50.0, 0.0, 4e5, 0.0, -50.0, 5e6)


def write(path, bands, **profile):
    """Write a GeoTIFF that lies somewhere on the map."""
    return images.write(path, bands, **{"crs": "EPSG:32631", "transform": TRANSFORM, **profile})


def make(folder):
    """Make the grid, as one file and as two, and its mask."""
    random = np.random.default_rng(11)
    nodes = random.normal(500.0, 200.0, (2, *NODES))
    nodes[0, 1, 2] = -9999.0
    nodes[1, 6, 7] = np.nan
    write(folder / "grid.tif", nodes, nodata=-9999.0)
    write(folder / "rows.tif", nodes[:1])
    write(folder / "cols.tif", nodes[1:])
    write(folder / "mask.tif", (random.random((1, *NODES)) < 0.8).astype(np.uint8))
    return folder


def clouds(count=12, shape=SHAPE, largest=6):
    random = np.random.default_rng(5)
    places = random.uniform((0, 0), shape[::-1], (count, 2))
    return [shapely.Point(*place).buffer(r) for place, r in zip(places, random.uniform(1, largest, count), strict=True)]
