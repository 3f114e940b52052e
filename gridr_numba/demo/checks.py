"""Whether the demo's files are right: against PROJ, GDAL's warper, GRIDR's resampler, and shapely.

PROJ is exact at every pixel, so the dense grid can be judged.
"""

from __future__ import annotations

import inspect
import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
import shapely.geometry
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import reproject

from ..types import AnyArray
from ..window import Window
from .job import (
    DENSE_GRID_FILE,
    DENSE_MASK_FILE,
    GRID_FILE,
    MASK_FILE,
    RESAMPLED_FILE,
    THROUGH_DENSE_FILE,
    WAVES,
    DemoJob,
    source_image,
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

SAMPLES = 1000
IMAGE_WINDOW = (500, 600)

# How near WarpedVRT is asked to come to the exact transformation, in source pixels. Before rasterio 1.5 it cannot be
# asked for 0, which raises. GDAL halves a line until a straight one is as near as this, which soon leaves single
# pixels.
WARPED_VRT_TOLERANCE = 1e-9


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


def _read_pixels(path: Path, rows: Integers, cols: Integers) -> AnyArray:
    """Read single pixels of all bands, shape (bands, pixels)."""
    with rasterio.open(path) as dataset:
        pixels = [
            dataset.read(window=Window(row, row + 1, col, col + 1).to_rasterio())[:, 0, 0]
            for row, col in zip(rows.tolist(), cols.tolist(), strict=True)
        ]
    return np.stack(pixels, axis=1)


_AMPLITUDE = sum(amplitude for amplitude, _, _ in WAVES)
#: The image changes by at most so much a row, and a column; so does what is interpolated bilinearly from it.
_SLOPES = (
    sum(2.0 * math.pi * amplitude * abs(by_row) for amplitude, by_row, _ in WAVES),
    sum(2.0 * math.pi * amplitude * abs(by_col) for amplitude, _, by_col in WAVES),
)


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


def check_resampled(job: DemoJob, directory: Path, *, window_shape_row_col: tuple[int, int] = IMAGE_WINDOW) -> Check:
    """Compare the image that `resample` wrote with GDAL's warper where it is valid, in the middle of the target."""
    starts = [max(0, (size - part) // 2) for size, part in zip(job.shape_row_col, window_shape_row_col, strict=True)]
    stops = [
        min(size, at + part) for size, at, part in zip(job.shape_row_col, starts, window_shape_row_col, strict=True)
    ]
    window = Window(starts[0], stops[0], starts[1], stops[1])
    with rasterio.open(directory / RESAMPLED_FILE) as made, rasterio.open(directory / DENSE_MASK_FILE) as mask:
        values, valid = (dataset.read(1, window=window.to_rasterio()) for dataset in (made, mask))
    differences = (values - warp_with_gdal(job, window))[valid == 1]
    bound, terms = _image_bound(job)
    text = f"of {differences.size} valid pixels, the distance from GDAL's bilinear image; the bound is {terms}"
    return _judge("resampled = GDAL's", float(np.abs(differences).max(initial=0.0)), bound, text)


def check_fused(job: DemoJob, directory: Path) -> Check:
    """Compare the image through the coarse grid with that through the dense grid, and its validity with the mask."""
    wrong, names = 0, (RESAMPLED_FILE, THROUGH_DENSE_FILE, DENSE_MASK_FILE)
    with ExitStack() as stack:
        files = [stack.enter_context(rasterio.open(directory / name)) for name in names]
        for _, part in files[0].block_windows(1):
            fused, through, mask = (file.read(1, window=part) for file in files)
            same = (fused == through) | (np.isnan(fused) & np.isnan(through))
            wrong += int(np.count_nonzero(~same | (np.isnan(fused) != (mask != 1))))
    return _judge("fused = through dense", float(wrong), 0.0, "pixels of the resampled image that differ in any bit")


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
    """Let GDAL's warper bring the synthetic image to a window of the target, with the exact transformation."""
    image, row_first, col_first = _source_for(job, window)
    image_transform = _shifted(job.source_transform, row_first, col_first)
    target_transform = _shifted(job.target_transform, window.row_start, window.col_start)
    # Only from rasterio 1.5 on does `reproject` pass a tolerance on; `WarpedVRT` always has.
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
