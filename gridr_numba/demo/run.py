"""A real job, made, run, verified and drawn: what ``gridr-numba demo`` does."""

from __future__ import annotations

import math
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import rasterio
import shapely
import shapely.geometry

from ..doors.paint import CLOUD, LINE, LOST, OUTSIDE, blend, coloured, displacement, every, lines, write_png
from ..doors.view import image_values, shown, step_of, stretch
from .checks import (
    SAMPLES,
    Check,
    check_fused,
    check_grid,
    check_gridr,
    check_image,
    check_mask,
    check_resampled,
    raster_valid,
)
from .job import (
    DENSE_GRID_FILE,
    DENSE_MASK_FILE,
    GRID_FILE,
    IMAGE_FILE,
    INVALID_FILE,
    MASK_FILE,
    NODE_SHAPE,
    RESAMPLED_FILE,
    SOURCE_PIXEL,
    TARGET_PIXEL,
    THROUGH_DENSE_FILE,
    VALID_FILE,
    DemoJob,
    make_job,
    resample_image,
    run_chain,
    warm_up,
    write_inputs,
)

Result = TypeVar("Result")

PICTURE_FILE = "quicklook.png"
IMAGES_FILE = "before_after.png"


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


def write_images(job: DemoJob, directory: Path) -> str:
    """Draw the image before and after it is resampled, side by side in one scale of grey; return a legend."""
    pictures, limits = [], None
    for name in (IMAGE_FILE, RESAMPLED_FILE):
        with rasterio.open(directory / name) as image:
            step = step_of(image.shape, _PICTURE_ROWS)
            values = image_values(image, [1], step)[0]
        limits = stretch(values) if limits is None else limits
        picture = np.repeat(255 * shown(values, limits)[..., np.newaxis], 3, axis=2)
        picture[np.isnan(values)] = OUTSIDE
        pictures.append(picture)
    rows, gap = max(len(picture) for picture in pictures), 24
    width = sum(picture.shape[1] for picture in pictures) + gap
    both, col = np.full((rows, width, 3), 255.0), 0
    for picture in pictures:
        both[: len(picture), col : col + picture.shape[1]] = picture
        col += picture.shape[1] + gap
    write_png(directory / IMAGES_FILE, both)
    return "Left the image, right what became of it; dark where it is invalid."


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
    twice = "resample the image: through the coarse grid, and through the dense one"
    _timed(echo, twice, lambda: resample_image(job, directory), 2 * megapixels)
    checks = [
        _timed(echo, "check the grid against PROJ", lambda: check_grid(job, directory, samples=samples)),
        _timed(echo, "check a resampled image against GDAL", lambda: check_image(job, directory)),
        _timed(echo, "check the image that was written against GDAL", lambda: check_resampled(job, directory)),
        _timed(echo, "check it against the one through the dense grid", lambda: check_fused(job, directory)),
        _timed(echo, "check a resampled image against GRIDR", lambda: check_gridr(job, directory)),
        _timed(echo, "check the mask against shapely", lambda: check_mask(job, directory, samples=samples)),
    ]
    legend = _timed(echo, "draw the pictures", lambda: write_picture(job, directory))
    of_images = write_images(job, directory)
    echo("\nChecks")
    for check in checks:
        for line in _check_lines(check):
            echo(line)
    echo("\nFiles")
    for line in _file_lines(directory):
        echo(line)
    for line in textwrap.wrap(legend, 100):
        echo(f"    {line}")
    echo(f"  {directory / IMAGES_FILE}  {of_images}")
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
        IMAGE_FILE: "the source image",
        RESAMPLED_FILE: "the image resampled through the coarse grid, NaN where it is invalid",
        THROUGH_DENSE_FILE: "the same through the dense grid",
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
