"""A real job, made, run and verified: what ``gridr-numba demo`` does.

The job is the resampling grid of a map projection. The target is 50 km x 40 km of a UTM zone in pixels of 10 m, the
source an image in geographic coordinates, and PROJ says which source pixel each target pixel looks up. That is exact
at every pixel, so the dense grid can be judged: against PROJ, against GDAL's own warper, against GRIDR's resampler.
The mask is judged against shapely and an integer sum.

The picture is of a satellite pass: a tilted footprint, a swath that ends inside it, dead detector columns, clouds.
"""

from __future__ import annotations

import inspect
import json
import math
import textwrap
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
import rasterio
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject, transform

from .chain import build_grid_mask_chain
from .georef import dense_transform, map_to_pixel, pixel_to_map
from .quicklook import CLOUD, LINE, LOST, OUTSIDE, blend, coloured, displacement, every, lines, write_png
from .strips import grid_full_resolution_shape
from .types import GridRasterizeAlg, ShapelyPredicate
from .window import Window

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]
Result = TypeVar("Result")

TARGET_CRS = "EPSG:32631"
SOURCE_CRS = "EPSG:4326"
TARGET_PIXEL = 10.0  # metres
TARGET_CORNER = (700_000.0, 5_040_000.0)  # east of the zone's middle, so that the grid is turned and bent
SOURCE_PIXEL = 0.0002  # degrees, 16 m x 22 m there: coarser than the target, or GDAL would widen its bilinear kernel

RESOLUTION = (32, 24)
NODE_SHAPE = (157, 168)
SAMPLES = 1000
IMAGE_WINDOW = (500, 600)
TILE = 512

GRID_FILE, MASK_FILE = "grid.tif", "mask.tif"
VALID_FILE, INVALID_FILE = "valid.geojson", "invalid.geojson"
DENSE_GRID_FILE, DENSE_MASK_FILE = "dense_grid.tif", "dense_mask.tif"
PICTURE_FILE = "quicklook.png"

PASS_TILT = math.radians(12.0)  # of a descending satellite's track from the vertical
CLOUD_COUNT = 48

# How near WarpedVRT is asked to come to the exact transformation, in source pixels. Before rasterio 1.5 it cannot be
# asked for 0, which raises. GDAL halves a line until a straight one is as near as this, which soon leaves single
# pixels.
WARPED_VRT_TOLERANCE = 1e-9


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


def write_inputs(job: DemoJob, directory: Path) -> None:
    """Write the coarse grid and mask as GeoTIFFs, and the polygons as GeoJSON."""
    profile = {"crs": job.target_crs, "transform": job.coarse_transform, "shape_row_col": job.node_shape_row_col}
    with _create(directory / GRID_FILE, count=2, dtype="float64", **profile) as grid:
        grid.write(np.stack(job.project_nodes()))
        grid.descriptions = ("row", "col")
    with _create(directory / MASK_FILE, count=1, dtype="uint8", **profile) as mask:
        mask.write(_coarse_mask(job), 1)
    _write_geojson(directory / VALID_FILE, (job.footprint,))
    _write_geojson(directory / INVALID_FILE, job.clouds)


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


def warm_up() -> None:
    """Run the chain's kernels once on the smallest job that uses them all, so that compiling is timed apart."""
    job = make_job(node_shape_row_col=(5, 5))
    with TemporaryDirectory() as directory:
        write_inputs(job, Path(directory))
        run_chain(job, Path(directory))


# -- the checks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """What a check found.

    `figure` was to be at most `bound`; `text` says what both are and what else is worth knowing. `passed` is None
    where the check was left out.
    """

    name: str
    figure: float
    bound: float
    passed: bool | None
    text: str


def _judge(name: str, figure: float, bound: float, text: str) -> Check:
    return Check(name, figure, bound, bool(figure <= bound), text)  # NaN passes nothing


def coordinate_bounds(job: DemoJob) -> tuple[float, float]:
    """Bound the dense grid's distance from the projection, in rows and in columns of the source.

    Bilinear interpolation is within ``rr**2/8 * |f_ii| + rc**2/8 * |f_jj|``. The second differences of the nodes, one
    beyond each side included, are ``rr**2 * f_ii`` and ``rc**2 * f_jj`` between them; their largest is taken with 1 %
    for what lies between the nodes, and with 1e-9 pixels for what PROJ and float64 round.
    """
    row_bound, col_bound = (
        1.01 / 8.0 * float(sum(np.abs(np.diff(band, 2, axis)).max() for axis in (0, 1))) + 1e-9
        for band in job.project_nodes(border=1)
    )
    return row_bound, col_bound


def check_grid(job: DemoJob, directory: Path, *, samples: int = SAMPLES) -> Check:
    """Compare the dense grid at random pixels with the projection computed there."""
    rows, cols = _random_pixels(job, samples, job.generator(1))
    found = _read_pixels(directory / DENSE_GRID_FILE, rows, cols)
    errors = np.abs(found - np.stack(job.project(rows, cols))).max(axis=1)
    bounds = np.array(coordinate_bounds(job))
    worst = int(np.argmax(errors / bounds))  # a NaN counts as the largest
    text = (
        f"source pixels, the {('row', 'column')[worst]}'s distance from PROJ at {samples} random pixels"
        f" (rows {errors[0]:.2e}, columns {errors[1]:.2e})"
    )
    return _judge("grid = projection", float(errors[worst]), float(bounds[worst]), text)


def _random_pixels(job: DemoJob, samples: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    height, width = job.shape_row_col
    return rng.integers(height, size=samples), rng.integers(width, size=samples)


def _read_pixels(path: Path, rows: Integers, cols: Integers) -> NDArray[Any]:
    """Read single pixels of all bands, shape (bands, pixels)."""
    with rasterio.open(path) as dataset:
        pixels = [
            dataset.read(window=Window(row, row + 1, col, col + 1).to_rasterio())[:, 0, 0]
            for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
        ]
    return np.stack(pixels, axis=1)


# (amplitude, cycles a row, cycles a column): wavelengths of 18 to 30 source pixels, each across another direction, and
# no symmetry between rows and columns.
_WAVES = ((1.0, 1 / 37.0, 1 / 53.0), (0.8, -1 / 61.0, 1 / 29.0), (0.6, 1 / 23.0, 1 / 91.0), (0.4, 1 / 75.0, -1 / 19.0))
_AMPLITUDE = sum(amplitude for amplitude, _, _ in _WAVES)
#: The image changes by at most so much a row, and a column; so does what is interpolated bilinearly from it.
_SLOPES = (
    sum(2.0 * math.pi * amplitude * abs(by_row) for amplitude, by_row, _ in _WAVES),
    sum(2.0 * math.pi * amplitude * abs(by_col) for amplitude, _, by_col in _WAVES),
)


def source_image(rows: Any, cols: Any) -> Floats:
    """Return the synthetic image's values at whole source pixels: a smooth sum of plane waves, defined everywhere."""
    image = 0.0
    for amplitude, by_row, by_col in _WAVES:
        image = image + amplitude * np.sin(2.0 * math.pi * (by_row * rows + by_col * cols))
    return np.asarray(image)


def resample(rows: Floats, cols: Floats) -> Floats:
    """Interpolate the synthetic image bilinearly at source coordinates."""
    row_0, col_0 = np.floor(rows), np.floor(cols)
    a, b = rows - row_0, cols - col_0
    upper = (1.0 - b) * source_image(row_0, col_0) + b * source_image(row_0, col_0 + 1.0)
    lower = (1.0 - b) * source_image(row_0 + 1.0, col_0) + b * source_image(row_0 + 1.0, col_0 + 1.0)
    return np.asarray((1.0 - a) * upper + a * lower)


def check_image(job: DemoJob, directory: Path, *, window_shape_row_col: tuple[int, int] = IMAGE_WINDOW) -> Check:
    """Resample the synthetic image through the dense grid, and compare with GDAL's warper.

    GDAL has its own convention for pixels and does its own projecting, so half a pixel amiss anywhere, or rows taken
    for columns, shows here even where the grid and the projection that it is compared with agree.
    """
    differences = []
    for window in _opposite_corners(job.shape_row_col, window_shape_row_col):
        with rasterio.open(directory / DENSE_GRID_FILE) as dataset:
            rows, cols = dataset.read(window=window.to_rasterio())
        differences.append(resample(rows, cols) - warp_with_gdal(job, window))
    bound, terms = _image_bound(job)
    text = f"of an amplitude of {_AMPLITUDE:.1f}, the distance from GDAL's bilinear image; the bound is {terms}"
    return _judge("image = GDAL's", _largest(np.stack(differences)), bound, text)


def _image_bound(job: DemoJob) -> tuple[float, str]:
    """Bound how far the image through the dense grid is from the image through the projection, and say why."""
    row_bound, col_bound = coordinate_bounds(job)
    rounding = 1e-9 * _AMPLITUDE + WARPED_VRT_TOLERANCE * sum(_SLOPES)
    terms = f"slope x grid's bound: {_SLOPES[0]:.2f} x {row_bound:.1e} + {_SLOPES[1]:.2f} x {col_bound:.1e}"
    return _SLOPES[0] * row_bound + _SLOPES[1] * col_bound + rounding, f"{terms}; + {rounding:.0e} for GDAL's rounding"


def _opposite_corners(shape_row_col: tuple[int, int], window_shape_row_col: tuple[int, int]) -> tuple[Window, Window]:
    """Choose two windows of the target; they may touch its edge, for all of it is far inside the source."""
    height, width = shape_row_col
    rows, cols = (min(sizes) for sizes in zip(window_shape_row_col, shape_row_col, strict=True))
    return Window(0, rows, 0, cols), Window(height - rows, height, width - cols, width)


def warp_with_gdal(job: DemoJob, window: Window) -> Floats:
    """Let GDAL's warper bring the synthetic image to a window of the target, with the exact transformation.

    `rasterio.warp.reproject` takes a tolerance since rasterio 1.5. Before, it swallows the argument and GDAL comes
    within an eighth of a pixel only; there the same warper is reached by `WarpedVRT`, which has always taken one.
    """
    image, row_first, col_first = _source_for(job, window)
    image_transform = _shifted(job.source_transform, row_first, col_first)
    target_transform = _shifted(job.target_transform, window.row_start, window.col_start)
    warp = _reproject if "tolerance" in inspect.signature(reproject).parameters else _read_warped
    return warp(job, image, image_transform, window.shape, target_transform)


def _reproject(
    job: DemoJob, image: Floats, image_transform: Affine, shape_row_col: tuple[int, int], target_transform: Affine
) -> Floats:
    warped = np.full(shape_row_col, np.nan)
    reproject(
        image,
        warped,
        src_crs=job.source_crs,
        src_transform=image_transform,
        dst_crs=job.target_crs,
        dst_transform=target_transform,
        resampling=Resampling.bilinear,
        tolerance=0,
    )
    return warped


def _read_warped(
    job: DemoJob, image: Floats, image_transform: Affine, shape_row_col: tuple[int, int], target_transform: Affine
) -> Floats:
    profile = {"count": 1, "dtype": "float64", "crs": job.source_crs, "transform": image_transform}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", height=image.shape[0], width=image.shape[1], **profile) as dataset:
            dataset.write(image, 1)
        with (
            memory.open() as dataset,
            WarpedVRT(
                dataset,
                crs=job.target_crs,
                transform=target_transform,
                height=shape_row_col[0],
                width=shape_row_col[1],
                resampling=Resampling.bilinear,
                tolerance=WARPED_VRT_TOLERANCE,
            ) as warper,
        ):
            return np.asarray(warper.read(1), dtype=np.float64)


def _source_for(job: DemoJob, window: Window) -> tuple[Floats, int, int]:
    """Make the part of the synthetic image that a window of the target looks up; and its first row and column."""
    rows, cols = job.project(*np.meshgrid([window.row_start, window.row_stop], [window.col_start, window.col_stop]))
    margin = 16  # the window's sides are bent by less than a pixel; the rest keeps GDAL away from the image's edge
    row_first, row_last = math.floor(rows.min()) - margin, math.ceil(rows.max()) + margin
    col_first, col_last = math.floor(cols.min()) - margin, math.ceil(cols.max()) + margin
    image = source_image(np.arange(row_first, row_last + 1.0)[:, None], np.arange(col_first, col_last + 1.0)[None, :])
    return image, row_first, col_first


def _shifted(whole: Affine, rows: int, cols: int) -> Affine:
    """Return the transform of a window that starts so many rows and columns into a raster."""
    a, b, c, d, e, f = whole[:6]
    return Affine(a, b, a * cols + b * rows + c, d, e, d * cols + e * rows + f)


def _largest(differences: Floats) -> float:
    """Return the largest magnitude; a NaN is one."""
    return float(np.abs(differences).max())


def check_gridr(job: DemoJob, directory: Path) -> Check:
    """Let GRIDR's resampler make the same image twice: from the coarse grid, and from the dense one at (1, 1)."""
    name = "GRIDR: coarse = dense"
    try:
        from gridr.core.grid.grid_resampling import array_grid_resampling
    except ImportError as error:
        return Check(name, math.nan, math.nan, None, f"GRIDR cannot be imported here: {error}")

    nodes = _middle_nodes(job.node_shape_row_col)
    rr, rc = job.resolution_row_col
    dense = Window(
        nodes.row_start * rr, (nodes.row_stop - 1) * rr + 1, nodes.col_start * rc, (nodes.col_stop - 1) * rc + 1
    )
    source, row_first, col_first = _source_for(job, dense)
    images = []
    for file_name, window, resolution in ((GRID_FILE, nodes, (rr, rc)), (DENSE_GRID_FILE, dense, (1, 1))):
        with rasterio.open(directory / file_name) as dataset:
            rows, cols = dataset.read(window=window.to_rasterio())
        # The image's part starts at a whole pixel, so that these subtractions are exact.
        image, _ = array_grid_resampling(
            "linear",
            source,
            rows - row_first,
            cols - col_first,
            resolution,
            None,
            nodata_out=np.nan,  # so that a pixel that looks outside the image counts as wrong in both
            trust_padding=False,  # as GRIDR asks for where the padding has no rule; there is none here to trust
        )
        images.append(np.squeeze(image))
    ulp = float(np.spacing(np.abs(rows).max() + np.abs(cols).max()))
    bound = 16.0 * (sum(_SLOPES) * ulp + _AMPLITUDE * float(np.finfo(np.float64).eps))
    text = (
        f"of an amplitude of {_AMPLITUDE:.1f}, between the images ({dense.shape[0]} x {dense.shape[1]} pixels) that"
        f" GRIDR's resampler makes from the coarse grid at {rr, rc} and from the dense one at (1, 1)"
    )
    return _judge(name, _largest(images[0] - images[1]), bound, text)


def _middle_nodes(node_shape_row_col: tuple[int, int]) -> Window:
    """Choose some nodes in the middle of the coarse grid."""
    starts = [max(0, (count - 22) // 2) for count in node_shape_row_col]
    stops = [min(count, start + 22) for count, start in zip(node_shape_row_col, starts, strict=True)]
    return Window(starts[0], stops[0], starts[1], stops[1])


def check_mask(job: DemoJob, directory: Path, *, samples: int = SAMPLES) -> Check:
    """Compare the dense mask with shapely and an integer sum: anywhere, by the polygons' edges, by invalid nodes."""
    places = {
        "anywhere": _random_pixels(job, samples, job.generator(2)),
        "within a pixel of a polygon's edge": _pixels_near_edges(job, samples, job.generator(3)),
        "beside an invalid node": _pixels_near_invalid_nodes(job, directory, samples, job.generator(4)),
    }
    wrong, sizes = 0, []
    for place, (rows, cols) in places.items():
        found = _read_pixels(directory / DENSE_MASK_FILE, rows, cols)[0]
        wrong += int(np.count_nonzero(found != expected_mask(job, directory, rows, cols)))
        sizes.append(f"{len(rows)} {place}")
    return _judge("mask = shapely", float(wrong), 0.0, f"wrong pixels of {', '.join(sizes)}")


def expected_mask(job: DemoJob, directory: Path, rows: Integers, cols: Integers) -> NDArray[np.uint8]:
    """Decide single pixels the slow and readable way."""
    centres = shapely.points(cols.astype(np.float64), rows.astype(np.float64))
    valid = raster_valid(job, directory, rows, cols) & shapely.covers(job.footprint, centres)
    for cloud in job.clouds:
        valid &= ~shapely.covers(cloud, centres)
    return np.asarray(valid, dtype=np.uint8)


def raster_valid(job: DemoJob, directory: Path, rows: Integers, cols: Integers) -> Bools:
    """Say where the valid nodes weigh at least 0.999, in integers: a node's weight is a product out of ``rr * rc``."""
    with rasterio.open(directory / MASK_FILE) as dataset:
        valid = (dataset.read(1) == 1).astype(np.int64)
    rr, rc = job.resolution_row_col
    (node_rows, a), (node_cols, b) = np.divmod(rows, rr), np.divmod(cols, rc)
    # On the last row and column the next node would be outside; its weight there is 0.
    next_rows = np.minimum(node_rows + 1, valid.shape[0] - 1)
    next_cols = np.minimum(node_cols + 1, valid.shape[1] - 1)
    upper = valid[node_rows, node_cols] * (rc - b) + valid[node_rows, next_cols] * b
    lower = valid[next_rows, node_cols] * (rc - b) + valid[next_rows, next_cols] * b
    return np.asarray(((rr - a) * upper + a * lower) * 1000 >= 999 * rr * rc)


def _pixels_near_edges(job: DemoJob, samples: int, rng: np.random.Generator) -> tuple[Integers, Integers]:
    """Draw points along the polygons' edges, and for each a pixel whose centre is within one pixel of it."""
    starts, ends = _segments((job.footprint, *job.clouds))
    lengths = np.hypot(*(ends - starts).T)
    chosen = rng.choice(len(lengths), size=4 * samples, p=lengths / lengths.sum())
    points = starts[chosen] + rng.random((4 * samples, 1)) * (ends - starts)[chosen]
    # Half a pixel of rounding and a fifth of a pixel of spread in x and in y: less than one pixel from the edge.
    cols, rows = np.rint(points + rng.uniform(-0.2, 0.2, points.shape)).astype(np.int64).T
    height, width = job.shape_row_col
    inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
    return rows[inside][:samples], cols[inside][:samples]


def _segments(polygons: tuple[shapely.Polygon, ...]) -> tuple[Floats, Floats]:
    """Return the starts and the ends of all edges, holes included, as (x, y)."""
    rings = [shapely.get_coordinates(ring) for polygon in polygons for ring in (polygon.exterior, *polygon.interiors)]
    return np.concatenate([ring[:-1] for ring in rings]), np.concatenate([ring[1:] for ring in rings])


def _pixels_near_invalid_nodes(
    job: DemoJob, directory: Path, samples: int, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """Draw pixels less than one node from an invalid node."""
    with rasterio.open(directory / MASK_FILE) as dataset:
        node_rows, node_cols = np.nonzero(dataset.read(1) != 1)
    rr, rc = job.resolution_row_col
    chosen = rng.integers(len(node_rows), size=samples)
    rows = node_rows[chosen] * rr + rng.integers(-rr, rr + 1, size=samples)
    cols = node_cols[chosen] * rc + rng.integers(-rc, rc + 1, size=samples)
    height, width = job.shape_row_col
    return np.clip(rows, 0, height - 1), np.clip(cols, 0, width - 1)


# -- the picture --------------------------------------------------------------------------------------------------

_BAND = 0.5  # source pixels that share a colour
_LINE_SPACING = 250  # source pixels
_PICTURE_ROWS = 1000


def write_picture(job: DemoJob, directory: Path) -> str:
    """Draw the written mask over the displacement that the written grid holds, and return the picture's legend.

    The displacement is what is left of the mapping when its straight-line part, the best affine one, is taken away.
    """
    step = -(-job.shape_row_col[0] // _PICTURE_ROWS)
    with rasterio.open(directory / DENSE_GRID_FILE) as grid, rasterio.open(directory / DENSE_MASK_FILE) as mask:
        source_rows, source_cols = every(grid, [1, 2], step)
        valid = every(mask, [1], step)[0] == 1
    away = displacement(source_rows, source_cols)
    lost = np.isnan(away)  # none in a right grid, but a wrong one is to be seen
    away[lost] = 0.0
    picture = coloured(away, _BAND)
    blend(picture, lines(source_rows, _LINE_SPACING) | lines(source_cols, _LINE_SPACING) | lost, LINE, 0.6)

    # The mask's file alone decides which pixels are covered; why they are invalid only chooses the colour.
    rows, cols = np.meshgrid(*(np.arange(0, size, step) for size in job.shape_row_col), indexing="ij")
    unseen = ~raster_valid(job, directory, rows, cols)
    shapely.prepare(job.footprint)
    outside = ~shapely.intersects_xy(job.footprint, cols.astype(np.float64), rows.astype(np.float64))
    blend(picture, ~valid & ~unseen & ~outside, CLOUD, 0.93)
    blend(picture, ~valid & unseen & ~outside, LOST, 0.85)
    blend(picture, ~valid & outside, OUTSIDE, 0.72)
    write_png(directory / PICTURE_FILE, picture)
    return (
        f"Blue to yellow: how far the projection bends the image, 0 to {away.max():.1f} source pixels from a"
        f" straight-line mapping, a step of colour each {_BAND}. Thin lines: every {_LINE_SPACING}th source row and"
        " column. Invalid pixels: white under a cloud, red where the sensor saw nothing (beyond the swath's edge, dead"
        f" detectors), dark outside the footprint. One pixel of the picture is every {step}th row and column."
    )


# -- the door -----------------------------------------------------------------------------------------------------


def run_demo(
    directory: str | Path,
    *,
    echo: Callable[[str], object] = print,
    seed: int = 0,
    node_shape_row_col: tuple[int, int] = NODE_SHAPE,
    samples: int = SAMPLES,
) -> bool:
    """Make the job, run it, verify it, draw it.

    Parameters
    ----------
    directory : path
        Where the files go. It is made if it is absent; files of a former demo are replaced.
    echo : callable
        Takes each line of the report.
    seed : int
        Of the clouds and of the pixels that are checked.
    node_shape_row_col : tuple of int
        Nodes of the coarse grid, at least (2, 2).
    samples : int
        Random pixels a check.

    Returns
    -------
    bool
        Whether every check passed that was not left out.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    job = make_job(seed=seed, node_shape_row_col=node_shape_row_col)
    for line in _description(job):
        echo(line)

    echo("\nStages")
    megapixels = math.prod(job.shape_row_col) / 1e6
    _timed(echo, "write the coarse grid, the coarse mask and the polygons", lambda: write_inputs(job, directory))
    _timed(echo, "run the chain on a tiny job first (compiles the kernels, or loads them)", warm_up)
    _timed(echo, "run the chain: files to files", lambda: run_chain(job, directory), megapixels)
    checks = [
        _timed(echo, "check the grid against PROJ", lambda: check_grid(job, directory, samples=samples)),
        _timed(echo, "check a resampled image against GDAL", lambda: check_image(job, directory)),
        _timed(echo, "check a resampled image against GRIDR", lambda: check_gridr(job, directory)),
        _timed(echo, "check the mask against shapely", lambda: check_mask(job, directory, samples=samples)),
    ]
    legend = _timed(echo, "draw the picture", lambda: write_picture(job, directory))
    echo("\nChecks")
    for check in checks:
        for line in _check_lines(check):
            echo(line)
    echo("\nFiles")
    for line in _file_lines(directory):
        echo(line)
    for line in textwrap.wrap(legend, 100):
        echo(f"    {line}")
    passed = all(check.passed is not False for check in checks)
    echo(f"\n{_verdict(checks)}")
    return passed


def _description(job: DemoJob) -> list[str]:
    (height, width), (rr, rc) = job.shape_row_col, job.resolution_row_col
    node_rows, node_cols = job.node_shape_row_col
    return [
        "The resampling grid of a map projection, from a coarse one; and which of its pixels are valid.",
        f"  target    {height} rows x {width} columns ({height * width / 1e6:.1f} Mpx) of {TARGET_PIXEL:g} m,"
        f" {job.target_crs}",
        f"  source    an image in pixels of {SOURCE_PIXEL:g} degrees, {job.source_crs}",
        f"  grid      {node_rows} x {node_cols} nodes, one every {rr} x {rc} pixels; each says which (row, column) of"
        " the source to look up",
        "  mask      one value a node: the swath's edge, three dead detectors",
        f"  polygons  1 footprint (valid inside), {len(job.clouds)} clouds (invalid inside)",
    ]


def _timed(
    echo: Callable[[str], object], name: str, work: Callable[[], Result], megapixels: float | None = None
) -> Result:
    start = time.perf_counter()
    result = work()
    seconds = time.perf_counter() - start
    echo(f"  {seconds:8.2f} s  {name}" + (f" ({megapixels / seconds:.1f} Mpx/s)" if megapixels else ""))
    return result


def _check_lines(check: Check) -> list[str]:
    verdict = {True: "passed", False: "FAILED", None: "left out"}[check.passed]
    figures = "" if check.passed is None else f"found {check.figure:.3g}, at most {check.bound:.3g}"
    return [f"  {verdict:9} {check.name:22} {figures}".rstrip(), *(f"    {t}" for t in textwrap.wrap(check.text, 100))]


def _file_lines(directory: Path) -> list[str]:
    descriptions = {
        GRID_FILE: "coarse grid: source row, source column",
        MASK_FILE: "coarse mask: 1 is valid",
        VALID_FILE: "the footprint, in dense pixel coordinates",
        INVALID_FILE: "the clouds, likewise",
        DENSE_GRID_FILE: "dense grid, float64",
        DENSE_MASK_FILE: "dense mask: 1 is valid, 0 is not",
        PICTURE_FILE: "the mask over the displacement:",
    }
    return [
        f"  {(directory / name).stat().st_size / 1e3:10,.1f} kB  {directory / name}  {text}"
        for name, text in descriptions.items()
    ]


def _verdict(checks: list[Check]) -> str:
    failed = [check.name for check in checks if check.passed is False]
    left_out = [check.name for check in checks if check.passed is None]
    if failed:
        return f"FAILED: {'; '.join(failed)}"
    return f"All checks passed, but left out: {'; '.join(left_out)}" if left_out else "All checks passed."
