"""Polygons: ``python -m bench.polygons [--quick]`` prints JSON.

First the engine alone, four cases on 25 Mpx: extracting the edges, scanning, and asking shapely where there is doubt,
on polygons that are checked. Then what a caller gets: `grid_rasterize(alg=SHAPELY)`, into a new array and into one that
is given, with as many polygons and vertices as the coasts of the Aegean, of Norway and of the world have. Its seconds
are the call's less those that `shapely.is_valid` takes on the same polygons, which are given apart, as nothing that
GDAL does corresponds to it. Both are against one call of `rasterio.features.rasterize` on the same polygons, with a new
array or a given one too.

Then windows: a job's polygons in 100 strips, and in 10 x 10 windows of `PolygonMask.write_causes`, against one; and
512 x 512 pixels among 20,000 clouds, at the slowest of some places, against the two milliseconds that are promised.
Last, a megapixel against GRIDR's SHAPELY algorithm.

Windows are judged in one thread, where the ratio is that of the work: the whole gains from a second thread,
while a window of less than a millisecond does not. Waking a thread takes 10 to 300 microseconds.

Contenders take turns, each with three calls that are not timed before the one that is; ratios are medians of the
rounds' ratios. Outputs must be equal, but for centres on an edge, of which GDAL burns only some.
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

from gridr_numba import GridRasterizeAlg, grid_rasterize
from gridr_numba.polygons.edges import Layer, PolygonEdges
from gridr_numba.polygons.forms import polygon_set
from gridr_numba.polygons.mask import PolygonMask
from gridr_numba.polygons.sets import PolygonSet
from gridr_numba.types import ShapelyPredicate
from gridr_numba.window import Window

_THREADS = 2
# So many calls until the caches hold a contender's own buffers again, as they do from strip to strip.
_UNTIMED = 3
# A window of 512 x 512 pixels may take so long, wherever it lies.
_WINDOW_SECONDS = 0.002
# (like the coast of, polygons, vertices, at most so much of GDAL's time into a new array, and into a given one)
_COASTS = (
    ("the Aegean", 174, 2_354, 0.45, 0.3),
    ("Norway", 1_270, 10_885, 0.3, 0.3),
    ("the world", 9_573, 92_213, 0.2, 0.2),
)


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
    for like, polygons, vertices, *at_most in _COASTS:
        if quick:
            polygons, vertices = polygons // 10, vertices // 10
        coast = _coast(polygons, vertices, size)
        name = f"{polygons} polygons of {vertices} vertices, like {like}, {size}x{size}"
        for given, most in zip((False, True), at_most, strict=True):
            entries.append(_door(name, coast, np.uint8, given, most, size, rounds))
    entries.append(_door(name, coast, np.float32, False, 0.3, size, rounds))
    for threads in (1, _THREADS):
        entries.append(_strips(_clouds(5000, size), size, rounds, threads))
        entries.append(_tiles(_clouds(5000, size), size, rounds, threads))
    clouds = 2000 if quick else 20_000
    entries += [_window(_clouds(clouds, extent), extent, rounds) for extent in (size, 20 * size)]
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


def _door(
    name: str, polygons: list[shapely.Polygon], dtype: Any, given: bool, at_most: float, size: int, rounds: int
) -> dict[str, Any]:
    """Call `grid_rasterize` as anybody would, and GDAL likewise; what checking alone takes is taken off."""
    from rasterio import Affine
    from rasterio.features import rasterize

    ours, theirs = (np.zeros((size, size), dtype) for _ in range(2))
    raster = (None, (size, size), (0.0, 0.0), (1.0, 1.0), None, 1, 0, 0)
    call = partial(grid_rasterize, *raster, polygons, alg=GridRasterizeAlg.SHAPELY)
    burn = partial(rasterize, polygons, transform=Affine(1, 0, -0.5, 0, 1, -0.5))
    door = f"grid_rasterize({'output=' if given else 'dtype='}{'' if given else np.dtype(dtype)}) less checking"
    calls: dict[str, Callable[[], Any]] = {
        door: partial(call, output=ours) if given else partial(call, dtype=dtype),
        "rasterio.features.rasterize": partial(burn, out=theirs)
        if given
        else partial(burn, out_shape=(size, size), dtype=np.dtype(dtype).name),
        "checking": partial(shapely.is_valid, np.array(polygons)),
    }
    entry = _alternate(name, calls, rounds, at_most, less="checking")
    call(output=ours)
    burn(out=theirs)
    _assert_equal_off_edges(polygons, ours, theirs)
    return entry


def _tiles(polygons: list[shapely.Polygon], size: int, rounds: int, threads: int) -> dict[str, Any]:
    """Write a raster in 10 x 10 windows and in one, the edges built once. Judged in one thread."""
    mask = _mask(polygons, size)
    ours, tile, step = np.empty((size, size), np.uint8), np.empty((size // 10, size // 10), np.uint8), size // 10
    windows = [Window(r, r + step, c, c + step) for r in range(0, size, step) for c in range(0, size, step)]

    def tiles() -> None:
        for window in windows:
            mask.write_causes(window, tile, threads)

    whole = partial(mask.write_causes, Window(0, size, 0, size), ours, threads)
    calls = {"write_causes of 10 x 10 windows": tiles, "one window": whole}
    at_most = 1.5 if threads == 1 else None
    entry = _alternate(f"{len(polygons)} polygons, {size}x{size}", calls, rounds, at_most, threads=threads)
    for window in windows:
        mask.write_causes(window, tile, threads)
        assert np.array_equal(tile, ours[window.to_slices()])
    return entry


def _window(polygons: list[shapely.Polygon], size: int, rounds: int) -> dict[str, Any]:
    """Write 512 x 512 pixels in the corners, in the middle and anywhere: the slowest place is judged."""
    mask = _mask(polygons, size)
    side = min(512, size)
    out = np.empty((side, side), np.uint8)
    last = size - side
    places = [(0, 0), (0, last), (last, 0), (last, last), (last // 2, last // 2)]
    places += np.random.default_rng(7).integers(0, last + 1, (10, 2)).tolist()
    seconds = []
    for row, col in places:
        write = partial(mask.write_causes, Window(row, row + side, col, col + side), out, _THREADS)
        seconds.append(_alternate("", {"ours": write, "none": int}, rounds, 0.0)["seconds"]["ours"])
    return {
        "case": f"{len(polygons)} clouds, {size}x{size}",
        "threads": _THREADS,
        "rounds": rounds,
        "seconds": {f"write_causes of {side} x {side}, the slowest place": max(seconds), "promised": _WINDOW_SECONDS},
        "ratio": max(seconds) / _WINDOW_SECONDS,
        "at_most": 1.0,
    }


def _mask(polygons: list[shapely.Polygon], size: int) -> PolygonMask:
    mask = PolygonMask.of((None, polygons), (0.0, 0.0), {"alg": GridRasterizeAlg.SHAPELY}, (size, size))
    assert mask is not None
    return mask


def _strips(polygons: list[shapely.Polygon], size: int, rounds: int, threads: int) -> dict[str, Any]:
    """Write a raster in 100 strips and in one, the edges built for each call."""
    layers = [Layer(_checked(polygons), 0, 1)]
    cut, whole = np.empty((size, size), np.uint8), np.empty((size, size), np.uint8)
    calls = {
        "100 strips": partial(_scan, layers, 0, cut, 100, threads),
        "one strip": partial(_scan, layers, 0, whole, 1, threads),
    }
    entry = _alternate(f"{len(polygons)} polygons, {size}x{size}", calls, rounds, 1.3, threads=threads)
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


def _scan(layers: Sequence[Layer], base: int, out: NDArray[np.uint8], strips: int, threads: int = _THREADS) -> None:
    """Rasterize as a job does: the edges once, then strip after strip."""
    height, width = out.shape
    col_axis = (0.0, 1.0, 0, width)
    edges = PolygonEdges.of(layers, (0.0, 1.0, 0, height), col_axis)
    rows = height // strips
    for start in range(0, height, rows):
        row_axis = (0.0, 1.0, start, start + rows)
        edges.write(row_axis, col_axis, ShapelyPredicate.COVERS, base, out[start : start + rows], threads)


def _alternate(
    case: str,
    calls: dict[str, Callable[[], Any]],
    rounds: int,
    at_most: float | None,
    *,
    less: str | None = None,
    threads: int = _THREADS,
) -> dict[str, Any]:
    """Time contenders in turn; the ratio of the first to the second is promised to be at most so much.

    With `less`, the time of that call in the same round is taken off the first, and given as that of checking.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            for _ in range(_UNTIMED):
                call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    entry: dict[str, Any] = {"case": case, "threads": threads, "rounds": rounds}
    first, second = list(seconds)[:2]
    if less is not None:
        taken = seconds.pop(less)
        entry["seconds_to_parse_and_check"] = statistics.median(taken)
        entry["seconds_of_call"] = statistics.median(seconds[first])
        seconds[first] = [call - check for call, check in zip(seconds[first], taken, strict=True)]
    ratios = [ours / theirs for ours, theirs in zip(seconds[first], seconds[second], strict=True)]
    return {
        **entry,
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


def _coast(count: int, vertices: int, size: int) -> list[shapely.Polygon]:
    """Scatter islands, most of them small and a few large, rough at every scale, over three tenths of the raster.

    `vertices` counts the closing one of each ring; the longer a coast is, the more of them it has.
    """
    random = np.random.default_rng(7)
    radii = random.uniform(0.0, 1.0, count) ** -1.0  # a Pareto distribution, as that of islands is
    radii = np.minimum(radii, 0.3 * radii.max()) if count > 1000 else radii
    radii *= size * np.sqrt(0.3 / (np.pi * (radii**2).sum()))
    room = vertices - 5 * count
    extra = np.floor(room * radii / radii.sum()).astype(int)
    extra[np.argsort(-radii)[: room - extra.sum()]] += 1
    islands = []
    for radius, corners in zip(radii, 4 + extra, strict=True):
        angles = np.sort(random.uniform(0.1, 0.9, corners) + np.arange(corners)) * (2 * np.pi / corners)
        waves = np.arange(2, max(3, corners // 3))
        rough = (random.normal(0.0, 0.35, len(waves)) / waves**1.1)[:, np.newaxis]
        shape = np.exp((rough * np.sin(np.outer(waves, angles) + random.uniform(0, 6, (len(waves), 1)))).sum(axis=0))
        x, y = random.uniform(0.0, size, 2)
        points = np.column_stack([x + radius * shape * np.cos(angles), y + radius * shape * np.sin(angles)])
        islands.append(shapely.Polygon(points))
    assert sum(shapely.get_num_coordinates(islands)) == vertices
    return islands


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
