"""The jobs that are measured, and their inputs. Tests use them too: everything here is deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

Shape = tuple[int, int]

GRID_IN, MASK_IN = "grid-in.tif", "mask-in.tif"
TILE = 256


@dataclass(frozen=True)
class Case:
    """One job: a coarse grid and its mask made dense, with polygons or without.

    Attributes
    ----------
    name : str
    node_shape_row_col : tuple of int
    resolution_row_col : tuple of int
        Dense pixels a node.
    dtype : str
        Of the grid, coarse and dense. The mask is uint8.
    interleave : str
        Of the dense grid's two bands: 'pixel' or 'band'.
    tiled : bool
        Whether the outputs have blocks of `TILE` rows and columns, or GDAL's default: a few rows.
    polygons : str or None
        The algorithm, 'SHAPELY' (predicate COVERS) or 'RASTERIO_RASTERIZE'; None for no polygons.
    strip_size, strip_target : int, str
        GRIDR's `io_strip_size`, and the name of its `io_strip_size_target`.
    gridr : bool
        Whether GRIDR can do it in the time of a coffee.
    """

    name: str
    node_shape_row_col: Shape
    resolution_row_col: Shape
    dtype: str = "float64"
    interleave: str = "pixel"
    tiled: bool = False
    polygons: str | None = None
    strip_size: int = 1000
    strip_target: str = "OUTPUT"
    gridr: bool = True

    @property
    def shape_row_col(self) -> Shape:
        """Rows and columns of the dense raster."""
        (rows, cols), (rr, rc) = self.node_shape_row_col, self.resolution_row_col
        return (rows - 1) * rr + 1, (cols - 1) * rc + 1

    @property
    def pixels(self) -> int:
        """Of the dense raster."""
        return math.prod(self.shape_row_col)

    @property
    def output_bytes(self) -> int:
        """Of the dense grid and the dense mask."""
        return self.pixels * (2 * np.dtype(self.dtype).itemsize + 1)


def _square(name: str, side: int, resolution: int, **others: Any) -> Case:
    """Describe a raster of about `side` pixels a side."""
    nodes = round(side / resolution) + 1
    return Case(name, (nodes, nodes), (resolution, resolution), **others)


MAIN = _square("resolution-10", 5000, 10)
MAIN_INPUT_STRIPS = replace(MAIN, name="resolution-10-input-strips", strip_target="INPUT")

#: The cases for which figures are promised.
PROMISED = (MAIN.name, MAIN_INPUT_STRIPS.name)

#: `python -m bench.run`
FULL = (
    MAIN,
    _square("polygons-1-mpx", 1000, 10, polygons="SHAPELY"),
    replace(MAIN, name="polygons", polygons="SHAPELY", gridr=False),
    replace(MAIN, name="tiled", tiled=True),
    _square("resolution-32", 5000, 32),
    _square("resolution-4", 5000, 4),
    replace(MAIN, name="band-interleaved", interleave="band"),
    MAIN_INPUT_STRIPS,
    replace(MAIN, name="float32", dtype="float32"),
    replace(MAIN, name="float32-band-interleaved", dtype="float32", interleave="band"),
    replace(MAIN, name="polygons-gdal", polygons="RASTERIO_RASTERIZE"),
)

#: `python -m bench.run --quick`: some of everything, in strips that do not divide the raster.
QUICK = (
    _square("quick", 1000, 10, strip_size=300),
    _square(
        "quick-polygons",
        160,
        4,
        dtype="float32",
        interleave="band",
        polygons="SHAPELY",
        strip_size=15,
        strip_target="INPUT",
    ),
)

#: The smallest, to time starts with: what is measured then is compilation.
SMALLEST = _square("smallest", 100, 10)

CASES = {case.name: case for case in (*FULL, *QUICK, SMALLEST)}


# -- inputs -------------------------------------------------------------------------------------------------------


def make_nodes(case: Case) -> NDArray[Any]:
    """Make the coarse grid, (rows, columns) in source pixels: a shifted, turned, bent image. All nodes are finite."""
    y, x = _node_places(case)
    relief = np.sin(x / 211.0) * np.cos(y / 173.0)
    rows = 250.3 + 0.97 * y - 0.06 * x + 1.7 * relief
    cols = 180.7 + 0.06 * y + 0.98 * x - 2.3 * relief
    return np.stack([rows, cols]).astype(case.dtype)


def make_mask(case: Case) -> NDArray[np.uint8]:
    """Make the coarse mask, 1 where valid: the swath ends on a slant, and two columns of the detector are dead."""
    y, x = _node_places(case)
    height, width = case.shape_row_col
    mask = (x < 0.95 * width - 0.1 * width * y / height).astype(np.uint8)
    node_cols = case.node_shape_row_col[1]
    mask[:, [node_cols // 5, node_cols // 2]] = 0
    return mask


def _node_places(case: Case) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the dense rows and columns of the nodes."""
    (rows, cols), (rr, rc) = case.node_shape_row_col, case.resolution_row_col
    y, x = np.meshgrid(rr * np.arange(rows, dtype=np.float64), rc * np.arange(cols, dtype=np.float64), indexing="ij")
    return y, x


def make_polygons(case: Case) -> tuple[list[shapely.Polygon], list[shapely.Polygon]] | None:
    """Make the valid and the invalid polygons, in dense pixels: one tilted footprint, a dozen clouds."""
    if case.polygons is None:
        return None
    height, width = case.shape_row_col
    corners = ((0.113, 0.031), (0.961, 0.072), (0.893, 0.957), (0.042, 0.929))
    footprint = shapely.Polygon([(x * width, y * height) for x, y in corners])
    return [footprint], list(_clouds(width, height))


def _clouds(width: int, height: int, count: int = 12) -> Iterator[shapely.Polygon]:
    """Scatter clouds of 60 vertices, a twentieth of the raster wide."""
    random = np.random.default_rng(7)
    angles = np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False)
    for _ in range(count):
        x, y = random.uniform(0.1, 0.9, 2)
        radii = random.uniform(0.02, 0.04) * (1.0 + 0.2 * np.sin(3 * angles + random.uniform(0.0, 6.0)))
        yield shapely.Polygon(
            np.column_stack([width * (x + radii * np.cos(angles)), height * (y + radii * np.sin(angles))])
        )


# -- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OpenFiles:
    """The datasets of one run."""

    grid_in: Any
    mask_in: Any
    grid_out: Any
    mask_out: Any


def write_inputs(case: Case, folder: Path) -> None:
    """Write the coarse grid and the coarse mask."""
    _write(folder / GRID_IN, make_nodes(case))
    _write(folder / MASK_IN, make_mask(case)[np.newaxis])


def _write(path: Path, bands: NDArray[Any]) -> None:
    count, height, width = bands.shape
    profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": bands.dtype.name}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(bands)


def output_paths(folder: Path, prefix: str) -> tuple[Path, Path]:
    """Return where the dense grid and the dense mask of a contender go."""
    return folder / f"{prefix}-grid.tif", folder / f"{prefix}-mask.tif"


@contextmanager
def opened_inputs(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Open the coarse grid and the coarse mask."""
    with rasterio.open(folder / GRID_IN) as grid, rasterio.open(folder / MASK_IN) as mask:
        yield grid, mask


@contextmanager
def opened_outputs(case: Case, folder: Path, prefix: str) -> Iterator[tuple[Any, Any]]:
    """Create the dense grid and the dense mask; leaving closes them, which writes what GDAL still holds."""
    height, width = case.shape_row_col
    profile: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width}
    if case.tiled:
        profile |= {"tiled": True, "blockxsize": TILE, "blockysize": TILE}
    grid_path, mask_path = output_paths(folder, prefix)
    with ExitStack() as stack:
        yield (
            stack.enter_context(
                rasterio.open(grid_path, "w", count=2, dtype=case.dtype, interleave=case.interleave, **profile)
            ),
            stack.enter_context(rasterio.open(mask_path, "w", count=1, dtype="uint8", **profile)),
        )
