"""Fill the kernel cache, so that no later run waits for the compiler."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import rasterio

from ..kernels.bilinear import densify_at, mark_below
from ..kernels.checksum import LANES, fold
from ..kernels.jit import parallel_loop
from ..kernels.rpc import image_of_ground
from ..types import IMAGE_DTYPES
from .densify import densify
from .resample_array import resample_array


def warm_up() -> None:
    """Run `densify` on the smallest files that need every kernel, and `resample_array` on each type of image.

    Numba keeps the compiled kernels in its cache (``NUMBA_CACHE_DIR``, else beside the package or in the user's cache
    folder), for this kind of processor and this version of the package.
    """
    nodes = np.stack(np.meshgrid(np.arange(3.0), np.arange(3.0), indexing="ij"))
    diamond: dict[str, Any] = {"type": "Polygon", "coordinates": [[(2, -1), (5, 2), (2, 5), (-1, 2), (2, -1)]]}
    beside = {"type": "Polygon", "coordinates": [[(x + 2, y) for x, y in diamond["coordinates"][0]]]}
    with TemporaryDirectory() as folder:
        grid, mask = Path(folder, "grid.tif"), Path(folder, "mask.tif")
        _write(grid, nodes)
        _write(mask, np.ones((1, 3, 3), np.uint8))
        common: dict[str, Any] = {
            "resolution": (2, 2),
            "mask": mask,
            "mask_out": Path(folder, "dense_mask.tif"),
            "valid": diamond,
            "invalid": beside,
            "overwrite": True,
        }
        densify(grid, Path(folder, "dense.tif"), **common)
    interpolations: tuple[Literal["nearest", "cubic"], ...] = "nearest", "cubic"
    for dtype, interpolation in product(IMAGE_DTYPES, interpolations):
        image, valid = np.ones((2, 2), dtype), np.eye(2, dtype=np.uint8)
        resample_array(image, nodes, 2, interpolation=interpolation, source_mask=valid)
    parallel_loop()
    for size in (1, 2, 4, 8):  # of the words that a row of a window may be made of
        fold(np.zeros(1, f"u{size}"), 0, np.zeros(LANES, np.uint64))
    ground = np.zeros(5), np.ones(5), np.ones((4, 20)), 1.0, np.zeros(1), np.zeros(1)
    image_of_ground(*ground, 0.0, np.empty((2, 1)))
    densify_at(np.zeros((2, 1, 1)), (1, 1), *np.zeros((2, 1), np.int64), np.empty((2, 1)))
    mark_below(np.zeros((1, 1)), 1.0, False, np.zeros((1, 1), np.uint8))


def _write(path: Path, bands: Any) -> None:
    count, height, width = bands.shape
    place = rasterio.Affine.scale(2.0)  # any but the identity, which GDAL takes for none and warns of
    profile = {"count": count, "height": height, "width": width, "dtype": bands.dtype.name, "transform": place}
    with rasterio.open(path, "w", driver="GTiff", **profile) as dataset:
        dataset.write(bands)
