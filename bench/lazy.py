"""Windows when they are asked for, and lazy arrays: ``python -m bench.lazy [--quick]`` prints JSON.

A window of 512 x 512 pixels of a raster of 10^10, against the kernel alone on the same nodes, with no polygons and with
20,000 clouds; the graph of 10^5 chunks; `dask.optimize` of one of its arrays, against that of `dask.array.zeros` of the
same chunks; and 256 tasks with 2,000 clouds, against those without.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio
import shapely

from gridr_numba import open_densifier
from gridr_numba.engine.dense import DenseOptions, densify_window
from gridr_numba.lazy import densify_lazy
from gridr_numba.window import Window

_NODES, _RESOLUTION = 1001, 100
_SIDE = 512
_READ_AT_MOST, _CLOUDS_MS_AT_MOST, _GRAPH_MS_AT_MOST, _OPTIMIZE_AT_MOST, _TASKS_AT_MOST = 3.0, 2.0, 100.0, 4.0, 2.0

Calls = dict[str, Callable[[], Any]]


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure all; `quick` on few clouds and chunks."""
    import dask
    import dask.array as da

    place = Path("/dev/shm")
    with TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        path = Path(folder) / "grid.tif"
        _write_grid(path)
        clouds, some = _clouds(200 if quick else 20_000, 100_001), _clouds(200 if quick else 2_000, 8192)
        entries = _reads(path, clouds, 5 if quick else 200)
        side, rounds = (20, 2) if quick else (317, 5)
        chunk = (_NODES - 1) * _RESOLUTION // side
        lazy = densify_lazy(path, resolution=_RESOLUTION, chunks=chunk)["row"].data
        zeros = da.zeros(lazy.shape, chunks=chunk)
        build = f"graph of {lazy.npartitions} chunks"
        built = _alternate({build: lambda: densify_lazy(path, resolution=_RESOLUTION, chunks=chunk)}, rounds)
        entries += _entries(built, build, {}, milliseconds={build: _GRAPH_MS_AT_MOST})
        name, reference = "dask.optimize of an array", "dask.optimize of da.zeros"
        calls = {reference: lambda: dask.optimize(zeros), name: lambda: dask.optimize(lazy)}
        entries += _entries(_alternate(calls, rounds), reference, {name: _OPTIMIZE_AT_MOST})
        return [*entries, *_tasks(path, some, rounds)]


def _reads(path: Path, clouds: list[Any], rounds: int) -> list[dict[str, Any]]:
    start = (_NODES // 2) * _RESOLUTION
    window = slice(start, start + _SIDE), slice(start, start + _SIDE)
    nodes = np.random.default_rng(0).random((2, 7, 7))
    coords, mask = np.empty((2, _SIDE, _SIDE)), np.empty((_SIDE, _SIDE), np.uint8)
    options = DenseOptions((_RESOLUTION, _RESOLUTION), limits=(1e300, 1e300), parallel=False)
    part = Window.whole((_SIDE, _SIDE))
    plain, clouded, kernel = "Densifier.read, 512 x 512", f"the same with {len(clouds)} clouds", "the kernel alone"
    with (
        open_densifier(path, resolution=_RESOLUTION) as one,
        open_densifier(path, resolution=_RESOLUTION, invalid=clouds) as other,
    ):
        calls: Calls = {
            kernel: lambda: densify_window(options, part, nodes=nodes, out_grid=coords, out_mask=mask),
            plain: lambda: one.read(window),
            clouded: lambda: other.read(window),
        }
        seconds = _alternate(calls, rounds)
    without = statistics.median(seconds[plain]) * 1e3
    return _entries(seconds, kernel, {plain: _READ_AT_MOST}, milliseconds={clouded: without + _CLOUDS_MS_AT_MOST})


def _tasks(path: Path, clouds: list[Any], rounds: int) -> list[dict[str, Any]]:
    import dask

    def call(**options: Any) -> Callable[[], Any]:
        part = (0, 16 * _SIDE)
        dataset = densify_lazy(path, resolution=_RESOLUTION, window=(part, part), chunks=_SIDE, **options)
        sums = dataset["row"].data.sum(), dataset["mask"].data.sum()
        return lambda: dask.compute(*sums, scheduler="threads")

    reference, name = "256 tasks, threads", f"the same with {len(clouds)} clouds, threads"
    seconds = _alternate({reference: call(), name: call(invalid=clouds)}, rounds)
    return _entries(seconds, reference, {name: _TASKS_AT_MOST})


def _write_grid(path: Path) -> None:
    rows, cols = np.mgrid[:_NODES, :_NODES] * float(_RESOLUTION)
    profile = {"driver": "GTiff", "width": _NODES, "height": _NODES, "count": 2, "dtype": "float64", "tiled": True}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(np.stack([rows, cols]))


def _clouds(count: int, side: int) -> list[Any]:
    random = np.random.default_rng(1)
    places, radii = random.uniform(0, side, (count, 2)), random.uniform(10, side / 250, count)
    return [shapely.Point(x, y).buffer(radius) for (x, y), radius in zip(places, radii, strict=True)]


def _alternate(calls: Calls, rounds: int) -> dict[str, list[float]]:
    for call in calls.values():
        call()  # compiles, and opens
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def _entries(
    seconds: dict[str, list[float]],
    reference: str,
    ratios: dict[str, float],
    milliseconds: dict[str, float] | None = None,
) -> list[dict[str, Any]]:
    """Describe calls as `bench.in_memory` does; a time that is promised is promised as a ratio."""
    entries = []
    for name, taken in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(taken, seconds[reference], strict=True))
        entry = {"call": name, "rounds": len(taken), "milliseconds": statistics.median(taken) * 1e3}
        at_most, against = ratios.get(name), reference
        if milliseconds and name in milliseconds:
            ratio, at_most, against = entry["milliseconds"] / milliseconds[name], 1.0, f"{milliseconds[name]:.3g} ms"
        entries.append({**entry, "ratio": ratio, "reference": against, "at_most": at_most})
    return entries


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=2))
