"""Draw docs/in-and-out.png from a demo's files: ``python docs/draw_in_and_out.py demo-out docs/in-and-out.png``.

Left, what goes in: one block of colour a node, red where the coarse mask is invalid, the outlines of the footprint and
of the clouds. Right, what comes out: the dense grid, with the dense mask.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import rasterio
import shapely.geometry
from rasterio.features import rasterize
from rasterio.transform import Affine

from gridr_numba.demo.job import RESOLUTION
from gridr_numba.doors.paint import blend, coloured, displacement, write_png

GAP = 24


def outlines(path: Path, shape: tuple[int, int], step: int) -> np.ndarray:
    """Mark the pixels of every step-th row and column that a polygon's outline passes."""
    features = json.loads(path.read_text())["features"]
    lines = [shapely.geometry.shape(feature["geometry"]).boundary.buffer(step) for feature in features]
    lattice = Affine(step, 0, -0.5 * step, 0, step, -0.5 * step)
    return rasterize(lines, shape, transform=lattice).astype(bool)


def main(directory: Path, picture: Path) -> None:
    """Draw the picture."""
    with rasterio.open(directory / "quicklook.png") as dataset:
        right = dataset.read().transpose(1, 2, 0).astype(np.float64)
    with rasterio.open(directory / "grid.tif") as dataset:
        rows, cols = dataset.read()
    with rasterio.open(directory / "mask.tif") as dataset:
        valid = dataset.read(1) == 1
    blocks = coloured(displacement(rows, cols), 0.5)
    blend(blocks, ~valid, (200, 40, 50), 0.85)
    height, width = right.shape[:2]
    step = round(((len(rows) - 1) * RESOLUTION[0] + 1) / height)
    r, c = np.meshgrid(np.arange(height) * step, np.arange(width) * step, indexing="ij")
    left = blocks[np.rint(r / RESOLUTION[0]).astype(int), np.rint(c / RESOLUTION[1]).astype(int)].astype(np.float64)
    blend(left, outlines(directory / "invalid.geojson", (height, width), step), (255, 255, 255), 1.0)
    blend(left, outlines(directory / "valid.geojson", (height, width), step), (255, 220, 60), 1.0)
    gap = np.full((height, GAP, 3), 255.0)
    write_png(picture, np.concatenate([left, gap, right], axis=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
