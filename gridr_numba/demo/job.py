"""The demo's job: the resampling grid of a map projection, with a mask, a footprint and clouds, as files.

The target is 50 km x 40 km of a UTM zone in pixels of 10 m, the source an image in geographic coordinates, and PROJ
says which source pixel each target pixel looks up. The picture is of a satellite pass: a tilted footprint, a swath that
ends inside it, dead detector columns, clouds.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.transform import Affine
from rasterio.warp import transform

from ..doors.chains import build_grid_mask_chain
from ..doors.make_grid import make_grid
from ..doors.resample import resample
from ..georef import dense_transform, map_to_pixel, pixel_to_map
from ..plan import grid_full_resolution_shape
from ..types import MASK_BINARY_THRESHOLD, GridRasterizeAlg, ShapelyPredicate

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

TARGET_CRS = "EPSG:32631"
SOURCE_CRS = "EPSG:4326"
TARGET_PIXEL = 10.0  # metres
TARGET_CORNER = (700_000.0, 5_040_000.0)  # east of the zone's middle, so that the grid is turned and bent
SOURCE_PIXEL = 0.0002  # degrees, 16 m x 22 m there: coarser than the target, or GDAL would widen its bilinear kernel

RESOLUTION = (32, 24)
NODE_SHAPE = (157, 168)
TILE = 512

GRID_FILE, MASK_FILE = "grid.tif", "mask.tif"
VALID_FILE, INVALID_FILE = "valid.geojson", "invalid.geojson"
DENSE_GRID_FILE, DENSE_MASK_FILE = "dense_grid.tif", "dense_mask.tif"
IMAGE_FILE, RESAMPLED_FILE, THROUGH_DENSE_FILE = "image.tif", "resampled.tif", "resampled_through_dense.tif"

PASS_TILT = math.radians(12.0)  # of a descending satellite's track from the vertical
CLOUD_COUNT = 48


# -- the job ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DemoJob:
    """All that defines a job; everything else is computed from it.

    Polygons are in dense pixel coordinates: x is the column, y the row, integers are centres.
    """

    node_shape_row_col: tuple[int, int]
    resolution_row_col: tuple[int, int]
    target_crs: str
    source_crs: str
    coarse_transform: Affine
    source_transform: Affine
    footprint: shapely.Polygon
    clouds: tuple[shapely.Polygon, ...]
    seed: int

    @property
    def shape_row_col(self) -> tuple[int, int]:
        """Rows and columns of the dense raster."""
        return grid_full_resolution_shape(self.node_shape_row_col, self.resolution_row_col)

    @property
    def target_transform(self) -> Affine:
        """Of the dense raster."""
        return dense_transform(self.coarse_transform, self.resolution_row_col)

    def project(self, rows: Any, cols: Any) -> tuple[Floats, Floats]:
        """Ask PROJ which source (rows, columns) these dense pixels look up; fractions and outsiders are welcome."""
        xs, ys = pixel_to_map(self.target_transform, rows, cols)
        lons, lats = transform(self.target_crs, self.source_crs, xs.ravel().tolist(), ys.ravel().tolist())
        return map_to_pixel(self.source_transform, np.reshape(lons, xs.shape), np.reshape(lats, ys.shape))

    def project_nodes(self, *, border: int = 0) -> tuple[Floats, Floats]:
        """Project the nodes, and so many beyond each side."""
        (node_rows, node_cols), (rr, rc) = self.node_shape_row_col, self.resolution_row_col
        rows, cols = np.meshgrid(
            np.arange(-border, node_rows + border) * rr, np.arange(-border, node_cols + border) * rc, indexing="ij"
        )
        return self.project(rows, cols)

    def generator(self, purpose: int) -> np.random.Generator:
        """Start random numbers for one purpose, so that what one check draws does not change another's."""
        return np.random.default_rng([self.seed, purpose])


def make_job(
    *,
    seed: int = 0,
    node_shape_row_col: tuple[int, int] = NODE_SHAPE,
    resolution_row_col: tuple[int, int] = RESOLUTION,
) -> DemoJob:
    """Define a job. The polygons grow with the raster, so that a small job looks like a large one."""
    rr, rc = resolution_row_col
    x_corner, y_corner = TARGET_CORNER
    width, height = TARGET_PIXEL * rc, TARGET_PIXEL * rr
    # The first node's centre is the first dense pixel's.
    x_node, y_node = x_corner + 0.5 * TARGET_PIXEL, y_corner - 0.5 * TARGET_PIXEL
    coarse = Affine(width, 0.0, x_node - 0.5 * width, 0.0, -height, y_node + 0.5 * height)
    shape = grid_full_resolution_shape(node_shape_row_col, resolution_row_col)
    return DemoJob(
        node_shape_row_col=node_shape_row_col,
        resolution_row_col=resolution_row_col,
        target_crs=TARGET_CRS,
        source_crs=SOURCE_CRS,
        coarse_transform=coarse,
        source_transform=_source_transform(dense_transform(coarse, resolution_row_col), shape),
        footprint=_footprint(shape),
        clouds=_clouds(shape, np.random.default_rng([seed, 0])),
        seed=seed,
    )


def _source_transform(target_transform: Affine, shape_row_col: tuple[int, int]) -> Affine:
    """Place the source image's corner north-west of the target, on a whole pixel of its own lattice."""
    rows, cols = shape_row_col
    xs, ys = pixel_to_map(target_transform, [0, 0, rows, rows], [0, cols, 0, cols])
    lons, lats = transform(TARGET_CRS, SOURCE_CRS, xs.tolist(), ys.tolist())
    west = math.floor(min(lons) / SOURCE_PIXEL - 20) * SOURCE_PIXEL
    north = math.ceil(max(lats) / SOURCE_PIXEL + 20) * SOURCE_PIXEL
    return Affine(SOURCE_PIXEL, 0.0, west, 0.0, -SOURCE_PIXEL, north)


def _across_track(shape_row_col: tuple[int, int], rows: Any, cols: Any) -> Any:
    """Measure how far east of the satellite's track pixels are, in half widths of the footprint."""
    height, width = shape_row_col
    across = (cols - 0.5 * width) * math.cos(PASS_TILT) + (rows - 0.5 * height) * math.sin(PASS_TILT)
    return across / _half_footprint(shape_row_col)[0]


def _half_footprint(shape_row_col: tuple[int, int]) -> tuple[float, float]:
    """Return half the footprint's width and length, chosen so that its corners stay inside the raster."""
    height, width = shape_row_col
    length = 0.40 * height
    return (0.48 * width - length * math.sin(PASS_TILT)) / math.cos(PASS_TILT), length


def _footprint(shape_row_col: tuple[int, int]) -> shapely.Polygon:
    height, width = shape_row_col
    across, along = _half_footprint(shape_row_col)
    cosine, sine = math.cos(PASS_TILT), math.sin(PASS_TILT)
    corners = [(-across, -along), (across, -0.97 * along), (across, along), (-across, 0.97 * along)]
    return shapely.Polygon(
        [(0.5 * width + u * cosine - v * sine, 0.5 * height + u * sine + v * cosine) for u, v in corners]
    )


def _clouds(shape_row_col: tuple[int, int], rng: np.random.Generator) -> tuple[shapely.Polygon, ...]:
    """Scatter clouds around a few centres, most of them small, every sixth with a hole."""
    height, width = shape_row_col
    weather = rng.uniform((0.1, 0.1), (0.9, 0.9), (7, 2)) * (height, width)
    clouds = []
    for number in range(CLOUD_COUNT):
        row, col = weather[rng.integers(len(weather))] + rng.normal(0.0, (0.09 * height, 0.09 * width))
        radius = 0.016 * min(height, width) * rng.lognormal(0.0, 0.6)
        rim = _cloud_rim(radius, rng)
        place = np.array((col, row))
        holes = [place + 0.4 * rim[::-1]] if number % 6 == 0 else []
        clouds.append(shapely.Polygon(place + rim, holes))
    return tuple(clouds)


def _cloud_rim(radius: float, rng: np.random.Generator) -> Floats:
    """Draw a closed line around (0, 0): the radius is a positive function of the angle, so it never crosses itself."""
    angles = np.linspace(0.0, 2.0 * np.pi, int(rng.integers(24, 96)), endpoint=False)
    radii = np.ones_like(angles)
    for waves in range(2, 9):
        radii += rng.uniform(0.0, 0.5 / waves) * np.cos(waves * angles + rng.uniform(0.0, 2.0 * np.pi))
    radii = radius * np.maximum(radii, 0.2)
    return np.column_stack((1.7 * radii * np.cos(angles), radii * np.sin(angles)))


# -- the files ----------------------------------------------------------------------------------------------------


# (amplitude, cycles a row, cycles a column): wavelengths of 18 to 30 source pixels, each across another direction, and
# no symmetry between rows and columns.
WAVES = ((1.0, 1 / 37.0, 1 / 53.0), (0.8, -1 / 61.0, 1 / 29.0), (0.6, 1 / 23.0, 1 / 91.0), (0.4, 1 / 75.0, -1 / 19.0))


def source_image(rows: Any, cols: Any) -> Floats:
    """Return the synthetic image's values at whole source pixels: a smooth sum of plane waves, defined everywhere."""
    image = 0.0
    for amplitude, by_row, by_col in WAVES:
        image = image + amplitude * np.sin(2.0 * math.pi * (by_row * rows + by_col * cols))
    return np.asarray(image)


def write_inputs(job: DemoJob, directory: Path) -> None:
    """Write the image, the coarse grid and the coarse mask as GeoTIFFs, and the polygons as GeoJSON."""
    _write_image(job, directory / IMAGE_FILE)
    profile = {"crs": job.target_crs, "transform": job.coarse_transform, "shape_row_col": job.node_shape_row_col}
    make_grid(
        job.project,
        directory / GRID_FILE,
        crs=job.target_crs,
        transform=job.target_transform,
        shape=job.shape_row_col,
        step=job.resolution_row_col,  # that of the mask, which needs a finer one than the tolerance
        overwrite=True,
    )
    with _create(directory / MASK_FILE, count=1, dtype="uint8", **profile) as mask:
        mask.write(_coarse_mask(job), 1)
    _write_geojson(directory / VALID_FILE, (job.footprint,))
    _write_geojson(directory / INVALID_FILE, job.clouds)


def _write_image(job: DemoJob, path: Path) -> None:
    """Write the part of the synthetic image that the target looks up, with a margin."""
    height, width = job.shape_row_col
    rows, cols = job.project(*np.meshgrid([0, height / 2, height - 1], [0, width / 2, width - 1]))
    shape = math.ceil(rows.max()) + _MARGIN, math.ceil(cols.max()) + _MARGIN
    profile = {"crs": job.source_crs, "transform": job.source_transform, "nodata": np.nan}
    with _create(path, count=1, dtype="float64", shape_row_col=shape, **profile) as image:
        image.write(source_image(*np.ogrid[: shape[0], : shape[1]]), 1)


def _coarse_mask(job: DemoJob) -> NDArray[np.uint8]:
    """Mark the nodes that the sensor saw: west of the swath's edge, and not by a dead detector."""
    (node_rows, node_cols), (rr, rc) = job.node_shape_row_col, job.resolution_row_col
    rows, cols = np.meshgrid(np.arange(node_rows) * rr, np.arange(node_cols) * rc, indexing="ij")
    across = _across_track(job.shape_row_col, rows, cols)
    seen = across < 0.88
    half_node = 0.5 * rc / _half_footprint(job.shape_row_col)[0]
    for dead in (-0.55, 0.15, 0.22):
        seen &= np.abs(across - dead) > half_node
    return np.asarray(seen, dtype=np.uint8)


def _create(path: Path, *, shape_row_col: tuple[int, int], **profile: Any) -> Any:
    height, width = shape_row_col
    return rasterio.open(path, "w", driver="GTiff", height=height, width=width, **profile)


def _write_geojson(path: Path, polygons: tuple[shapely.Polygon, ...]) -> None:
    features = [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(polygon)} for polygon in polygons
    ]
    text = "dense pixel coordinates: x is the column, y the row, integers are pixel centres"
    path.write_text(json.dumps({"type": "FeatureCollection", "description": text, "features": features}) + "\n")


# Source pixels beyond those that the target looks up.
_MARGIN = 20


# -- the chain ----------------------------------------------------------------------------------------------------


def run_chain(job: DemoJob, directory: Path) -> None:
    """Make the grid and the mask of a directory dense, with the job's polygons."""
    profile = {
        "crs": job.target_crs,
        "transform": job.target_transform,
        "shape_row_col": job.shape_row_col,
        "tiled": True,
        "blockxsize": TILE,
        "blockysize": TILE,
    }
    with (
        rasterio.open(directory / GRID_FILE) as grid_in,
        rasterio.open(directory / MASK_FILE) as mask_in,
        _create(directory / DENSE_GRID_FILE, count=2, dtype="float64", **profile) as grid_out,
        _create(directory / DENSE_MASK_FILE, count=1, dtype="uint8", **profile) as mask_out,
    ):
        grid_out.descriptions = ("row", "col")
        build_grid_mask_chain(
            resolution=job.resolution_row_col,
            grid_in_ds=grid_in,
            grid_in_col_ds=None,
            grid_in_row_coords_band=1,
            grid_in_col_coords_band=2,
            grid_out_ds=grid_out,
            grid_out_col_ds=None,
            grid_out_row_coords_band=1,
            grid_out_col_coords_band=2,
            mask_out_ds=mask_out,
            mask_out_dtype=np.dtype(np.uint8),
            mask_in_ds=mask_in,
            mask_in_unmasked_value=1,
            mask_in_band=1,
            computation_dtype=np.dtype(np.float64),
            geometry_origin=(0.0, 0.0),
            geometry_pair=([job.footprint], list(job.clouds)),
            rasterize_kwargs={
                "alg": GridRasterizeAlg.SHAPELY,
                "kwargs_alg": {"shapely_predicate": ShapelyPredicate.COVERS},
            },
            ncpu=None,
        )


def resample_image(job: DemoJob, directory: Path) -> None:
    """Resample the image, through the coarse grid with all masks at once, and through the dense grid and its mask."""
    image = directory / IMAGE_FILE
    how: dict[str, Any] = {"interpolation": "linear", "overwrite": True}
    resample(
        image,
        directory / GRID_FILE,
        directory / RESAMPLED_FILE,
        resolution=job.resolution_row_col,
        mask=directory / MASK_FILE,
        valid=job.footprint,
        invalid=list(job.clouds),
        threshold=MASK_BINARY_THRESHOLD,  # the chain's
        **how,
    )
    dense = directory / DENSE_GRID_FILE, directory / THROUGH_DENSE_FILE
    resample(image, *dense, resolution=1, mask=directory / DENSE_MASK_FILE, **how)


def warm_up() -> None:
    """Run the chain's kernels once on the smallest job that uses them all, so that compiling is timed apart."""
    job = make_job(node_shape_row_col=(5, 5))
    with TemporaryDirectory() as directory:
        write_inputs(job, Path(directory))
        run_chain(job, Path(directory))
        resample_image(job, Path(directory))
