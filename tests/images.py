"""Images, coarse grids that turn them, and where they lie: for tests of resampling, from files and lazy."""

from __future__ import annotations

import numpy as np
import rasterio

SHAPE = (70, 90)
NODES = (13, 17)
STEP = (7, 6)
FULL = (85, 97)
PLACE = rasterio.Affine(60.0, 0.0, 5e5, 0.0, -70.0, 5e6)


def write(path, values, **profile):
    """Write a GeoTIFF of (bands, rows, columns) or (rows, columns)."""
    bands = values if values.ndim == 3 else values[np.newaxis]
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype, **profile}
    profile.setdefault("transform", rasterio.Affine(1.0, 0.0, 1.0, 0.0, -1.0, 1.0))
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(bands)
    return path


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def turned(angle=10.0, scale=0.9, void=(3, 4), nodes=NODES, step=STEP, about=(45.0, 30.0)):
    """Nodes that turn a target about its centre to a place in an image."""
    i, j = np.meshgrid(np.arange(nodes[0]) * step[0], np.arange(nodes[1]) * step[1], indexing="ij")
    i, j = i - i.mean(), j - j.mean()
    cos, sin = scale * np.cos(np.deg2rad(angle)), scale * np.sin(np.deg2rad(angle))
    values = np.stack([about[1] + cos * i - sin * j, about[0] + sin * i + cos * j])
    if void is not None:
        values[:, void[0], void[1]] = np.nan
    return values


def picture(dtype="uint16", bands=1, seed=1, shape=SHAPE):
    random = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return random.normal(0.0, 1000.0, (bands, *shape)).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, (bands, *shape), dtype, endpoint=True)


def invalid_places(seed=5):
    return np.random.default_rng(seed).random(SHAPE) < 0.03
