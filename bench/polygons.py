"""The polygon engine alone: ``python -m bench.polygons [--quick]`` prints JSON.

Four cases on 25 Mpx, each against one call of `rasterio.features.rasterize` on the same polygons: extracting the edges,
scanning, and asking shapely where there is doubt. Parsing and checking come before, and are timed apart. Then 5000
polygons in 100 strips against one, and a megapixel against GRIDR's SHAPELY algorithm. Contenders take turns, each with
three calls that are not timed before the one that is; ratios are medians of the rounds' ratios. Outputs must be equal,
but for centres on an edge, of which GDAL burns only some.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from gridr_numba.polygons import Layer, PolygonEdges, PolygonSet, polygon_set
from gridr_numba.types import ShapelyPredicate

_THREADS = 2
# So many calls until the caches hold a contender's own buffers again, as they do from strip to strip.
_UNTIMED = 3


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure all cases, on small rasters with `quick`."""
    size, rounds = (500, 2) if quick else (5000, 9)
    cases = [
        ("one footprint of 200 vertices", [_wavy(size / 2, size / 2, 0.4 * size, 200, 3)], 0.12),
        ("2000 clouds of 30 to 80 vertices", _clouds(2000, size), 0.2),
        ("one coastline of 200,000 vertices", [_coastline(size)], 0.01),
        ("2000 boxes and diagonals on integers", _aligned(2000, size), 0.4),
    ]
    entries = [_against_gdal(*case, size, rounds) for case in cases]
    entries.append(_strips(_clouds(5000, size), size, rounds))
    if find_spec("gridr") is not None:
        entries.append(_against_gridr(100 if quick else 1000, 1))
    return entries


def _against_gdal(name: str, polygons: list[shapely.Polygon], at_most: float, size: int, rounds: int) -> dict[str, Any]:
    from rasterio import Affine
    from rasterio.features import rasterize

    start = time.perf_counter()
    checked = _checked(polygons)
    seconds_to_check = time.perf_counter() - start
    ours, theirs = np.empty((size, size), np.uint8), np.zeros((size, size), np.uint8)
    calls = {
        "engine": partial(_scan, [Layer(checked, 0, 1)], 0, ours, 1),
        "rasterio.features.rasterize": partial(
            rasterize, polygons, out=theirs, transform=Affine(1, 0, -0.5, 0, 1, -0.5)
        ),
    }
    entry = _alternate(f"{name}, {size}x{size}", calls, rounds, at_most)
    _assert_equal_off_edges(polygons, ours, theirs)
    return {**entry, "seconds_to_parse_and_check": seconds_to_check}


def _strips(polygons: list[shapely.Polygon], size: int, rounds: int) -> dict[str, Any]:
    layers = [Layer(_checked(polygons), 0, 1)]
    cut, whole = np.empty((size, size), np.uint8), np.empty((size, size), np.uint8)
    calls = {"100 strips": partial(_scan, layers, 0, cut, 100), "one strip": partial(_scan, layers, 0, whole, 1)}
    entry = _alternate(f"{len(polygons)} polygons, {size}x{size}", calls, rounds, at_most=1.3)
    assert np.array_equal(cut, whole)
    return entry


def _against_gridr(size: int, rounds: int) -> dict[str, Any]:
    """One footprint and 60 clouds: bit 1 where outside the footprint, bit 2 where in a cloud."""
    from gridr.core.grid.grid_rasterize import GridRasterizeAlg, grid_rasterize

    sets = [_wavy(size / 2, size / 2, 0.45 * size, 200, 3)], _clouds(60, size)
    layers = [Layer(_checked(sets[0]), 0xFE, 0), Layer(_checked(sets[1]), 0xFF, 2)]
    ours, theirs = np.empty((size, size), np.uint8), np.empty((size, size), np.uint8)

    def gridr() -> None:
        raster = (None, (size, size), (0, 0), (1, 1), None)
        valid, invalid = (
            grid_rasterize(*raster, 1, 0, 0, polygons, None, GridRasterizeAlg.SHAPELY, dtype=np.uint8)
            for polygons in sets
        )
        np.bitwise_or(1 - valid, 2 * invalid, out=theirs)

    calls = {"engine": partial(_scan, layers, 1, ours, 1), "GRIDR": gridr}
    entry = _alternate(f"one footprint and 60 clouds, {size}x{size}", calls, rounds, at_most=1 / 500)
    assert np.array_equal(ours, theirs)
    return entry


def _checked(polygons: list[shapely.Polygon]) -> PolygonSet:
    checked = polygon_set(polygons, "polygons")
    assert checked is not None
    return checked


def _scan(layers: Sequence[Layer], base: int, out: NDArray[np.uint8], strips: int) -> None:
    """Rasterize as a job does: the edges once, then strip after strip."""
    height, width = out.shape
    col_axis = (0.0, 1.0, 0, width)
    edges = PolygonEdges.of(layers, (0.0, 1.0, 0, height), col_axis)
    rows = height // strips
    for start in range(0, height, rows):
        row_axis = (0.0, 1.0, start, start + rows)
        edges.write(row_axis, col_axis, ShapelyPredicate.COVERS, base, out[start : start + rows], _THREADS)


def _alternate(case: str, calls: dict[str, Callable[[], Any]], rounds: int, at_most: float) -> dict[str, Any]:
    """Time two contenders in turn; the ratio of the first to the second is promised to be at most so much."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(_UNTIMED):
                call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    ratios = [first / second for first, second in zip(*seconds.values(), strict=True)]
    return {
        "case": case,
        "threads": _THREADS,
        "rounds": rounds,
        "seconds": {name: statistics.median(values) for name, values in seconds.items()},
        "ratio": statistics.median(ratios),
        "at_most": at_most,
    }


def _assert_equal_off_edges(
    polygons: list[shapely.Polygon], ours: NDArray[np.uint8], theirs: NDArray[np.uint8]
) -> None:
    rows, cols = np.nonzero(ours != theirs)
    edges = shapely.STRtree(shapely.boundary(np.array(polygons)))
    _, distances = edges.query_nearest(shapely.points(cols, rows), return_distance=True, all_matches=False)
    assert (distances <= 1e-9).all()


# -- the polygons -------------------------------------------------------------------------------------------------


def _wavy(x: float, y: float, radius: float, count: int, waves: int, phase: float = 0.7) -> shapely.Polygon:
    """Make a ring that winds around a circle."""
    angles = np.linspace(0.0, 2.0 * np.pi, count, endpoint=False)
    radii = radius * (1.0 + 0.2 * np.sin(waves * angles + phase)) / 1.2
    return shapely.Polygon(np.column_stack([x + radii * np.cos(angles), y + radii * np.sin(angles)]))


def _clouds(count: int, size: int) -> list[shapely.Polygon]:
    """Scatter clouds; every fourth has a hole."""
    random = np.random.default_rng(7)
    clouds = []
    for index in range(count):
        x, y = random.uniform(0.02 * size, 0.98 * size, 2)
        cloud = _wavy(x, y, random.uniform(0.006, 0.018) * size, random.integers(30, 81), 3, random.uniform(0.0, 6.0))
        if index % 4 == 0:
            ring = shapely.get_coordinates(cloud)
            cloud = shapely.Polygon(ring, [(x, y) + 0.4 * (ring - (x, y))])
        clouds.append(cloud)
    return clouds


def _coastline(size: int) -> shapely.Polygon:
    """Make a ring of 200,000 vertices with bays of every size."""
    random = np.random.default_rng(7)
    angles = np.linspace(0.0, 2.0 * np.pi, 200_000, endpoint=False)
    radii = np.full(len(angles), 0.36)
    for waves in (2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181):
        radii += 0.072 / waves**1.3 * np.sin(waves * angles + random.uniform(0.0, 6.0))
    return shapely.Polygon(size * (0.5 + radii[:, np.newaxis] * np.column_stack([np.cos(angles), np.sin(angles)])))


def _aligned(count: int, size: int) -> list[shapely.Polygon]:
    """Make boxes, and diamonds whose sides go through centres."""
    random = np.random.default_rng(7)
    polygons = []
    for index in range(count):
        x, y = (int(value) for value in random.integers(0.02 * size, 0.97 * size, 2))
        w, h = (int(value) for value in random.integers(0.004 * size, 0.03 * size, 2))
        diamond = [(x - w, y), (x, y - w), (x + w, y), (x, y + w)]
        polygons.append(shapely.Polygon(diamond) if index % 2 else shapely.box(x, y, x + w, y + h))
    return polygons


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv)))
