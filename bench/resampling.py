"""Resampling in memory: ``python -m bench.resampling [--quick]`` prints JSON.

Kernel and source table from a coarse grid, a source that is turned by 5 degrees, 16 Mpx of uint16 (quick: 0.25),
against what others take for the same mapping: GRIDR's core from the same grid, GDAL's warp with an exact transformer,
cv2.remap *with* the maps that it needs, scipy with coordinates given, cars-resample. Those that are installed compete.

GDAL, GRIDR, scipy and cars-resample must make the same pixels, within the stated bounds, 4 pixels from the edge. cv2's
kernels differ (Keys' with a = -0.75, positions of 1/32 pixel, Lanczos of 8 x 8 taps): its difference is given, and it
is timed only. Each turn of a contender follows one of the package itself, and is divided by it: machines that others
use too are slow for seconds. Ratios are medians. One thread is timed by the processor, two by the clock.

The package against itself: masks; and rotations by 5, 45 and 90 degrees against none, of one source that holds all.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridr_numba import build_grid, grid_full_resolution_shape
from gridr_numba.engine.dense import DenseOptions
from gridr_numba.engine.resampling import resample_window
from gridr_numba.engine.tables import source_window, stays_raw, table_dtype, table_size
from gridr_numba.types import Interpolation
from gridr_numba.window import Window

_RESOLUTION = 10
_DEGREES = 5.0
_MARGIN = 4
#: (contender, interpolation) -> its time is at least so many times the package's.
AT_LEAST = {
    ("GRIDR, 1 thread", "nearest"): 7.0,
    ("GRIDR, 1 thread", "linear"): 12.0,
    ("GRIDR, 1 thread", "cubic"): 9.0,
    ("GDAL, 1 thread", "nearest"): 4.0,
    ("GDAL, 1 thread", "linear"): 8.0,
    ("GDAL, 1 thread", "cubic"): 6.0,
    ("GDAL, 1 thread", "lanczos3"): 15.0,
    ("cv2 and its maps, 1 thread", "nearest"): 1 / 1.15,
    ("cv2 and its maps, 1 thread", "linear"): 1 / 1.3,
    ("cv2 and its maps, 1 thread", "cubic"): 1 / 1.15,
    ("cv2 and its maps, 1 thread", "lanczos3"): 1 / 1.5,
    ("scipy, 1 thread", "nearest"): 7.0,
    ("scipy, 1 thread", "linear"): 12.0,
    ("cars-resample, 1 thread", "cubic"): 20.0,
}
#: What the package itself may take of its own plain time: (case, interpolation) -> at most.
AT_MOST = {
    "a target mask with nothing set": 1.1,
    "a source mask with 14 % invalid": 1.1,
    "turned by 5 degrees": 1.3,
    "turned by 45 degrees": 1.3,
    "turned by 90 degrees": 1.3,
}
# Those are so close that a round measures them so many times.
_CLOSE = 3
_PLAIN = "1 thread"
# Of these the pixels are others: cv2's kernels are its own.
_OTHER_PIXELS = ("cv2", "a source mask", "turned")

Call = Callable[[], NDArray[Any]]


class Job:
    """An image, and a coarse grid that turns it."""

    def __init__(self, side: int, bands: int = 1, degrees: float = _DEGREES, source_side: int | None = None) -> None:
        nodes = side // _RESOLUTION + 1
        self.shape = grid_full_resolution_shape((nodes, nodes), (_RESOLUTION, _RESOLUTION))
        self.source_shape = (source_side or side + side // 10,) * 2
        random = np.random.default_rng(0)
        self.image = random.integers(0, 65536, (bands, *self.source_shape), np.uint16, endpoint=False)
        angle = np.deg2rad(degrees)
        middle = (np.array(self.source_shape) - 1) / 2
        i, j = np.meshgrid(*(np.arange(nodes) * _RESOLUTION - (n - 1) / 2 for n in self.shape), indexing="ij")
        self.affine = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        self.nodes = np.ascontiguousarray(np.tensordot(self.affine, np.stack([i, j]), 1) + middle[:, None, None])


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure every interpolation."""
    side, rounds = (500, 3) if quick else (4000, 7)
    job, four = Job(side), Job(side // 2, 4)
    found = [each for kind in Interpolation for each in _compare(kind, _contenders(job, kind), job, rounds)]
    angles = {degrees: Job(side, degrees=degrees, source_side=side * 3 // 2) for degrees in (0, 5, 45, 90)}
    for kind in Interpolation:
        turned = {_turned(degrees): package(each, kind, 1) for degrees, each in angles.items()}
        found += _compare(kind, turned, job, rounds, case="rotations")
    bands = {_PLAIN: package(four, Interpolation.CUBIC, 1)}
    if find_spec("cv2") is not None:
        bands["cv2 and its maps, 1 thread"] = cv2_remap(four, Interpolation.CUBIC, 1)
    return found + _compare(Interpolation.CUBIC, bands, four, rounds, case="4 bands")


def _turned(degrees: int) -> str:
    return f"turned by {degrees} degrees" if degrees else _PLAIN


def _contenders(job: Job, kind: Interpolation) -> dict[str, Call]:
    """Make the calls, by name."""
    valid = np.ones(job.source_shape, bool)
    side = job.source_shape[0]
    valid[: side * 3 // 8, : side * 3 // 8] = False
    mask = np.ones((job.nodes.shape[1], job.nodes.shape[2]), np.uint8)
    calls = {
        _PLAIN: package(job, kind, 1),
        "2 threads": package(job, kind, 2),
        "a target mask with nothing set": package(job, kind, 1, valid_nodes=mask),
        "a source mask with 14 % invalid": package(job, kind, 1, valid=valid),
    }
    if find_spec("cv2") is not None:
        calls["cv2 and its maps, 1 thread"] = cv2_remap(job, kind, 1)
    if kind is not Interpolation.LANCZOS3 and find_spec("gridr") is not None:
        calls["GRIDR, 1 thread"] = gridr_core(job, kind)
    if kind in (Interpolation.NEAREST, Interpolation.LINEAR) and find_spec("scipy") is not None:
        calls["scipy, 1 thread"] = scipy_coordinates(job, kind)
    if kind is Interpolation.CUBIC and find_spec("resample") is not None:
        calls["cars-resample, 1 thread"] = cars(job)
    calls["GDAL, 1 thread"] = gdal_warp(job, kind)
    return calls


def package(
    job: Job,
    kind: Interpolation,
    threads: int,
    *,
    valid: NDArray[np.bool_] | None = None,
    valid_nodes: NDArray[np.uint8] | None = None,
) -> Call:
    """Return a call of the source table and the kernels, in buffers that are there."""
    bands = len(job.image)
    room = np.zeros(table_size(bands, job.source_shape), table_dtype(job.image.dtype))
    out, mask = np.zeros((bands, *job.shape), job.image.dtype), np.zeros((1, *job.shape), np.uint8)
    options = DenseOptions((_RESOLUTION, _RESOLUTION), threads=threads)
    raw = stays_raw(kind, job.image.dtype, out.dtype, job.source_shape)
    more = {} if valid_nodes is None else {"valid_nodes": valid_nodes}

    def call() -> NDArray[Any]:
        source = source_window(job.image, valid, (0, 0), job.source_shape, raw=raw, out=room, threads=threads)
        resample_window(source, options, Window.whole(job.shape), kind, out, mask, nodes=job.nodes, **more)
        return out

    return call


def cv2_remap(job: Job, kind: Interpolation, threads: int) -> Call:
    """Return a call of the maps from the coarse grid, and of the remap."""
    import cv2

    flags = {
        "nearest": cv2.INTER_NEAREST,
        "linear": cv2.INTER_LINEAR,
        "cubic": cv2.INTER_CUBIC,
        "lanczos3": cv2.INTER_LANCZOS4,
    }
    image = np.ascontiguousarray(job.image.transpose(1, 2, 0))
    out = np.zeros((*job.shape, len(job.image)), job.image.dtype)
    maps = np.zeros((2, *job.shape), np.float32)

    def call() -> NDArray[Any]:
        cv2.setNumThreads(threads)
        build_grid((1, 1), job.nodes, None, (_RESOLUTION, _RESOLUTION), maps)
        cv2.remap(image, maps[1], maps[0], flags[kind.value], dst=out, borderMode=cv2.BORDER_REPLICATE)
        return out.transpose(2, 0, 1)

    return call


def gridr_core(job: Job, kind: Interpolation) -> Call:
    """Return a call of GRIDR's own, on float64, which is what its core takes."""
    from gridr.core.grid.grid_resampling import array_grid_resampling

    image = job.image[0].astype(np.float64)
    resolution = (_RESOLUTION, _RESOLUTION)

    def call() -> NDArray[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            out, _ = array_grid_resampling(kind.value, image, job.nodes[0], job.nodes[1], resolution, None)
        return np.clip(np.rint(out), 0, 65535)[np.newaxis]

    return call


def scipy_coordinates(job: Job, kind: Interpolation) -> Call:
    """Return a call of scipy's, with coordinates given."""
    from scipy.ndimage import map_coordinates

    coordinates = build_grid((1, 1), job.nodes, None, (_RESOLUTION, _RESOLUTION), None)
    order = 0 if kind is Interpolation.NEAREST else 1
    out = np.zeros(job.shape)

    def call() -> NDArray[Any]:
        map_coordinates(job.image[0], coordinates, order=order, mode="nearest", output=out)
        return np.clip(np.rint(out), 0, 65535)[np.newaxis]

    return call


def cars(job: Job) -> Call:
    """Return a call of Keys' kernel; columns first, counted from a pixel's corner."""
    import resample

    image = job.image.astype(np.float64)
    grid = np.ascontiguousarray(job.nodes[::-1]) + CARS_CENTRE

    def call() -> NDArray[Any]:
        out = resample.grid(image, grid, _RESOLUTION, "bicubic", 0.0)
        return np.clip(np.rint(out[:, : job.shape[0], : job.shape[1]]), 0, 65535)

    return call


# Where cars-resample has a pixel's centre.
CARS_CENTRE = 0.5


def gdal_warp(job: Job, kind: Interpolation) -> Call:
    """Return a call of GDAL's warper, exact: an affine map is one to it."""
    from rasterio import Affine
    from rasterio.crs import CRS
    from rasterio.enums import Resampling
    from rasterio.warp import reproject

    methods = {"nearest": "nearest", "linear": "bilinear", "cubic": "cubic", "lanczos3": "lanczos"}
    (a, b), (d, e) = job.affine  # rows and columns of the source, by rows and columns of the target
    middle, target = (np.array(job.source_shape) - 1) / 2, (np.array(job.shape) - 1) / 2
    row0, col0 = middle - job.affine @ target
    # Corners of pixels: x = column, y = row.
    place = Affine.translation(0.5, 0.5) @ Affine(e, d, col0, b, a, row0) @ Affine.translation(-0.5, -0.5)
    scale = Affine.scale(2.0)  # GDAL takes a unit geotransform for none
    out = np.zeros((len(job.image), *job.shape), job.image.dtype)

    def call() -> NDArray[Any]:
        reproject(
            job.image,
            out,
            src_transform=scale,
            dst_transform=scale @ place,
            src_crs=CRS.from_epsg(32631),
            dst_crs=CRS.from_epsg(32631),
            resampling=Resampling[methods[kind.value]],
            tolerance=0.0,
            num_threads=1,
            XSCALE=1,
            YSCALE=1,
        )
        return out

    return call


def _compare(
    kind: Interpolation, calls: dict[str, Call], job: Job, rounds: int, case: str = "1 band"
) -> list[dict[str, Any]]:
    """Compare pixels, then alternate the calls."""
    inner = (slice(None), slice(_MARGIN, -_MARGIN), slice(_MARGIN, -_MARGIN))
    expected = calls[_PLAIN]()[inner].astype(np.float64)
    differences = {}
    for name, call in calls.items():
        difference = np.abs(call()[inner].astype(np.float64) - expected)
        differences[name] = float(difference.max())
        # Values within the bound of a half round either way.
        if not name.startswith(_OTHER_PIXELS) and differences[name] > 1:
            print(f"{kind.value}: {name} differs by {differences[name]:g}", file=sys.stderr)
            if kind is not Interpolation.NEAREST or (difference > 1).mean() > 1e-3:
                raise SystemExit(f"{kind.value}: {name} is not the same image")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    ratios: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            clock = time.perf_counter if name == "2 threads" else time.process_time
            for _ in range(_CLOSE if name in AT_MOST else 1):
                plain, own = _seconds(calls[_PLAIN], clock), _seconds(call, clock)
                seconds[name].append(own)
                ratios[name].append(own / plain)
    pixels = calls[_PLAIN]().size
    return [
        {
            "case": case,
            "interpolation": kind.value,
            "contender": name,
            "rounds": rounds,
            "nanoseconds_a_pixel": statistics.median(taken) / pixels * 1e9,
            "ratio": statistics.median(ratios[name]),
            "at_least": 1.0 if case == "4 bands" and name != _PLAIN else AT_LEAST.get((name, kind.value)),
            "at_most": AT_MOST.get(name),
            "largest_difference": differences[name],
        }
        for name, taken in seconds.items()
    ]


def _seconds(call: Call, clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return clock() - start


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=2))
