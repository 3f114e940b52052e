"""The polygon engine alone: ``python -m bench.polygons [--quick]`` prints JSON.

Four cases on 25 Mpx, each against one call of `rasterio.features.rasterize` on the same polygons: extracting the edges,
scanning and asking shapely where there is doubt, on polygons that were parsed and found valid before, which is timed
apart. 5000 polygons in 100 strips against one. And a megapixel against GRIDR's SHAPELY algorithm. Contenders alternate,
each with one call that is not timed before the one that is; ratios are medians of the rounds' ratios. All outputs are
compared: with GDAL's on centres that are not on an edge, with shapely's on all centres of the megapixel.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from gridr_numba.polygons import Layer, PolygonEdges, PolygonSet, polygon_set
from gridr_numba.types import ShapelyPredicate

_THREADS = 2
_Call = Callable[[], Any]


def measure(*, quick: bool) -> dict[str, Any]:
    """Measure all cases, on a small raster with `quick`."""
    size, rounds = (500, 2) if quick else (5000, 7)
    cases = {
        "a: one footprint of 200 vertices": [_wavy(size / 2, size / 2, 0.4 * size, 200, 3)],
        "b: 2000 clouds of 30 to 80 vertices": _clouds(2000, size),
        "c: one coastline of 200,000 vertices": [_coastline(size)],
        "d: 2000 boxes and diagonals on integers": _aligned(2000, size),
    }
    return {
        "threads": _THREADS,
        "size": size,
        "rounds": rounds,
        "against_gdal": [_against_gdal(name, polygons, size, rounds) for name, polygons in cases.items()],
        "strips": _strips(_clouds(5000, size), size, rounds),
        "against_gridr": _against_gridr(rounds=1 if quick else 3),
    }


# -- the measurements ---------------------------------------------------------------------------------------------


def _against_gdal(name: str, polygons: list[shapely.Polygon], size: int, rounds: int) -> dict[str, Any]:
    from rasterio import Affine
    from rasterio.features import rasterize

    start = time.perf_counter()
    checked = polygon_set(polygons, "polygons")
    check_seconds = time.perf_counter() - start
    assert checked is not None
    ours, theirs = np.empty((size, size), np.uint8), np.zeros((size, size), np.uint8)
    seconds = _alternate(
        {
            "engine": partial(_scan, checked, ours, 1),
            "gdal": partial(rasterize, polygons, out=theirs, transform=Affine(1, 0, -0.5, 0, 1, -0.5)),
        },
        rounds,
    )
    _assert_equal_off_edges(polygons, ours, theirs)
    return {
        "case": name,
        "vertices": int(shapely.get_num_coordinates(checked.polygons).sum()),
        "parse_and_check_seconds": check_seconds,
        **_summary(seconds, "engine", "gdal"),
    }


def _strips(polygons: list[shapely.Polygon], size: int, rounds: int) -> dict[str, Any]:
    checked = polygon_set(polygons, "polygons")
    assert checked is not None
    cut, whole = np.empty((size, size), np.uint8), np.empty((size, size), np.uint8)
    seconds = _alternate(
        {"100 strips": partial(_scan, checked, cut, 100), "1 strip": partial(_scan, checked, whole, 1)}, rounds
    )
    assert np.array_equal(cut, whole)
    return {"case": f"{len(polygons)} polygons", **_summary(seconds, "100 strips", "1 strip")}


def _against_gridr(rounds: int) -> dict[str, Any]:
    """One footprint and 60 clouds on a megapixel, as a mask of both: GRIDR burns each set with a call."""
    from gridr.core.grid.grid_rasterize import GridRasterizeAlg, grid_rasterize

    size = 1000
    sets = [_wavy(size / 2, size / 2, 0.45 * size, 200, 3)], _clouds(60, size)
    checked = [polygon_set(polygons, "polygons") for polygons in sets]
    layers = [Layer(checked[0], 0xFE, 0), Layer(checked[1], 0xFF, 2)]
    ours = np.empty((size, size), np.uint8)

    def gridr() -> NDArray[np.uint8]:
        valid, invalid = (
            grid_rasterize(
                None, (size, size), (0, 0), (1, 1), None, 1, 0, 0, polygons, None, GridRasterizeAlg.SHAPELY,
                dtype=np.uint8,
            )
            for polygons in sets
        )  # fmt: skip
        return (1 - valid) | (2 * invalid)

    def engine() -> None:
        axis = (0.0, 1.0, 0, size)
        edges = PolygonEdges.of(layers, axis, axis)
        edges.write(axis, axis, ShapelyPredicate.COVERS, 1, ours, _THREADS)

    engine()
    seconds: dict[str, list[float]] = {"engine": [], "gridr": []}
    for _ in range(rounds):
        start = time.perf_counter()
        theirs = gridr()
        seconds["gridr"].append(time.perf_counter() - start)
        engine()
        start = time.perf_counter()
        engine()
        seconds["engine"].append(time.perf_counter() - start)
        assert np.array_equal(ours, theirs)
    return {"case": "one footprint and 60 clouds on 1 Mpx", **_summary(seconds, "gridr", "engine")}


def _scan(polygons: PolygonSet, out: NDArray[np.uint8], strips: int) -> None:
    """Rasterize as a job does: the edges once, then strip after strip."""
    height, width = out.shape
    col_axis = (0.0, 1.0, 0, width)
    edges = PolygonEdges.of([Layer(polygons, 0, 1)], (0.0, 1.0, 0, height), col_axis)
    rows = height // strips
    for start in range(0, height, rows):
        axis = (0.0, 1.0, start, start + rows)
        edges.write(axis, col_axis, ShapelyPredicate.COVERS, 0, out[start : start + rows], _THREADS)


def _alternate(calls: dict[str, _Call], rounds: int) -> dict[str, list[float]]:
    """Time the calls in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _summary(seconds: dict[str, list[float]], name: str, other: str) -> dict[str, Any]:
    ratios = [a / b for a, b in zip(seconds[name], seconds[other], strict=True)]
    return {
        "seconds": {who: statistics.median(values) for who, values in seconds.items()},
        "ratio": statistics.median(ratios),
    }


def _assert_equal_off_edges(
    polygons: list[shapely.Polygon], ours: NDArray[np.uint8], theirs: NDArray[np.uint8]
) -> None:
    """GDAL burns some of the centres that are on an edge, and the engine all of them."""
    rows, cols = np.nonzero(ours != theirs)
    edges = shapely.boundary(np.array(polygons))
    tree = shapely.STRtree(edges)
    _, distances = tree.query_nearest(shapely.points(cols, rows), return_distance=True, all_matches=False)
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
