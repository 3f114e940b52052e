"""The jobs that are measured, and their inputs. Tests use them too: everything here is deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray

Shape = tuple[int, int]

GRID_IN, MASK_IN = "grid-in.tif", "mask-in.tif"
TILE = 512


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
    compress : str or None
        GDAL's name for how the outputs are compressed; at level 1 where it is ZSTD.
    polygons : str or None
        The algorithm, 'SHAPELY' (predicate COVERS) or 'RASTERIO_RASTERIZE'; None for no polygons.
    clouds : int
        How many of the polygons are clouds.
    strip_size, strip_target : int, str
        GRIDR's `io_strip_size`, and the name of its `io_strip_size_target`.
    whole_blocks : bool
        Whether the reads and writes alone are in the windows of `densify`, which are whole blocks of the outputs.
    contenders : tuple of str
        The kinds of `contenders.LABELS` that do it: not GRIDR where it takes longer than a coffee.
    of_null_at_most : dict
        What is promised: contender -> time against the reads and writes alone.
    gridrs_time_at_least : float or None
        What is promised: GRIDR's time, the faster of its two, against the package's with two threads.
    gridrs_memory_at_most : float or None
        What is promised: peak memory against that of GRIDR.
    memory_at_most_mib : float or None
        What is promised: peak memory above what the process had before.
    """

    name: str
    node_shape_row_col: Shape
    resolution_row_col: Shape
    dtype: str = "float64"
    interleave: str = "pixel"
    tiled: bool = False
    compress: str | None = None
    polygons: str | None = None
    clouds: int = 12
    strip_size: int = 1000
    strip_target: str = "OUTPUT"
    whole_blocks: bool = False
    contenders: tuple[str, ...] = ("package", "densify", "unverified", "pool", "gridr", "null")
    of_null_at_most: dict[str, float] = field(default_factory=dict)
    gridrs_time_at_least: float | None = None
    gridrs_memory_at_most: float | None = None
    memory_at_most_mib: float | None = None

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


_WITHOUT_GRIDR = ("package", "densify", "unverified", "pool", "null")
_CHAIN = ("package", "null")
_UNVERIFIED = ("package", "unverified", "null")
# MiB: the default budget, and what GDAL, numpy and Python take beside.
_MEMORY = 1.2 * 256

MAIN = _square("resolution-10", 5000, 10)
LARGE = _square("100-mpx", 10000, 10, contenders=_CHAIN, of_null_at_most={"package-2": 1.1})

#: `python -m bench.run`, with the figures that are promised.
FULL = (
    replace(
        MAIN,
        of_null_at_most={"package-2": 1.3, "densify-2": 1.8, "unverified-2": 1.15},
        gridrs_time_at_least=10.0,
        gridrs_memory_at_most=1 / 3,
        memory_at_most_mib=_MEMORY,
    ),
    replace(LARGE, contenders=(*_CHAIN, "gridr"), gridrs_time_at_least=12.0),
    replace(LARGE, name="100-mpx-tiled", tiled=True),
    replace(LARGE, name="100-mpx-band-interleaved", interleave="band"),
    replace(LARGE, name="100-mpx-band-interleaved-tiled", interleave="band", tiled=True),
    replace(LARGE, name="100-mpx-zstd", compress="ZSTD", of_null_at_most={"package-2": 1.05}),
    replace(
        MAIN,
        name="clouds",
        polygons="SHAPELY",
        clouds=2000,
        contenders=_WITHOUT_GRIDR,
        of_null_at_most={"package-2": 1.2},
    ),
    _square("resolution-32", 5000, 32),
    _square("resolution-4", 5000, 4),
    replace(MAIN, name="resolution-10-input-strips", strip_target="INPUT"),
    replace(MAIN, name="tiled", tiled=True),
    replace(MAIN, name="band-interleaved", interleave="band"),
    replace(MAIN, name="float32", dtype="float32"),
    replace(MAIN, name="float32-band-interleaved", dtype="float32", interleave="band"),
    replace(MAIN, name="polygons", polygons="SHAPELY", contenders=_WITHOUT_GRIDR),
    replace(MAIN, name="polygons-gdal", polygons="RASTERIO_RASTERIZE"),
    # Wider and higher than the budget holds rows of: what a user of `densify` gets, in windows of blocks.
    *(
        Case(
            name,
            node_shape,
            (10, 10),
            tiled=True,
            whole_blocks=True,
            contenders=("densify", "unverified", "null"),
            of_null_at_most={"densify-2": 1.8, "unverified-2": 1.15},
            memory_at_most_mib=_MEMORY,
        )
        for name, node_shape in (("wide", (101, 20001)), ("tall", (20001, 101)))
    ),
    # One row of blocks of a raster that is a million pixels wide: more would not fit in memory beside their like.
    Case("million-wide", (52, 100001), (10, 10), tiled=True, whole_blocks=True, contenders=("unverified", "null")),
    # Twice the memory budget.
    _square("400-mpx", 20000, 10, contenders=_UNVERIFIED, memory_at_most_mib=_MEMORY),
    _square("400-mpx-tiled", 20000, 10, tiled=True, contenders=_UNVERIFIED, memory_at_most_mib=_MEMORY),
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
    return [footprint], list(_clouds(width, height, case.clouds))


def _clouds(width: int, height: int, count: int) -> Iterator[shapely.Polygon]:
    """Scatter clouds of 60 vertices; a dozen are a twentieth of the raster wide, more are as much smaller."""
    random = np.random.default_rng(7)
    width_of_one = min(1.0, math.sqrt(12 / count))
    angles = np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False)
    for _ in range(count):
        x, y = random.uniform(0.1, 0.9, 2)
        radii = width_of_one * random.uniform(0.02, 0.04) * (1.0 + 0.2 * np.sin(3 * angles + random.uniform(0.0, 6.0)))
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
    if case.compress:
        profile |= {"compress": case.compress, "zstd_level": 1}
    grid_path, mask_path = output_paths(folder, prefix)
    with ExitStack() as stack:
        yield (
            stack.enter_context(
                rasterio.open(grid_path, "w", count=2, dtype=case.dtype, interleave=case.interleave, **profile)
            ),
            stack.enter_context(rasterio.open(mask_path, "w", count=1, dtype="uint8", **profile)),
        )
