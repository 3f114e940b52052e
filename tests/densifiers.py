"""Densifiers of `grids`' files in every way that counts, and what `densify` makes of the same: for their tests."""

from __future__ import annotations

from contextlib import contextmanager

import rasterio
import shapely
from grids import RESOLUTION, clouds

import gridr_numba as gn


def options_of(folder, **more):
    """Name what the cases below are asked for: every way in which a pixel can be invalid."""
    everything = {
        "resolution": RESOLUTION,
        "mask": folder / "mask.tif",
        "valid": shapely.box(2, 2.5, 66, 38),
        "invalid": clouds(),
        "geometry_origin": (0.25, -0.5),
    }
    return {**everything, **more}


CASES = {
    "everything": {},
    "float32": {"dtype": "float32"},
    "causes": {"mask_out_values": "causes"},
    "wide codes": {"mask_out_values": (7, -300)},
    "filled": {"fill": -1.0},
    "contains": {"rasterize_kwargs": {"kwargs_alg": {"shapely_predicate": 2}}},
    "half": {"threshold": 0.5},
    "displacement": {"displacement": True, "source_offset": (0.5, 0.25)},
    "a part": {"window": ((3, 33), (10, 64))},
}


def made(folder, tmp_path, grid="grid.tif", **options):
    """Return what `densify` makes of it: coordinates and mask."""
    path = None if grid is None else folder / grid
    out = None if grid is None else tmp_path / "dense.tif"
    gn.densify(path, out, mask_out=tmp_path / "dense_mask.tif", overwrite=True, **options)
    with rasterio.open(tmp_path / "dense_mask.tif") as dataset:
        mask = dataset.read(1)
    if grid is None:
        return None, mask
    with rasterio.open(tmp_path / "dense.tif") as dataset:
        return dataset.read(), mask


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


@contextmanager
def opened(folder, out, **options):
    """Open a densifier; yield it, and the coordinates and the mask of the whole."""
    options = options_of(folder, **options)
    coords, mask = made(folder, out, **options)
    with gn.open_densifier(folder / "grid.tif", **options) as densifier:
        yield densifier, coords, mask
