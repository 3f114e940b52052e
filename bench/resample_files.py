"""`resample` from files to files: ``python -m bench.resample_files [--quick] [--rounds N]`` prints JSON.

An image of four times the memory budget, through grids that turn the target by several angles. The reference is a *null
chain*: each block of the image that any pixel looks up read once, the output written once, and no computation. Of each
run the seconds, the bytes that the process read (those of the grid, which all of them read once, are not counted), and
its peak of memory above what it held before. A process each.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import rasterio

import gridr_numba as gn
from gridr_numba.types import DEFAULT_MEMORY_BUDGET

from .memory import PeakMemory

_TILE = 512
_STEP = 10
_ANGLES = (0, 5, 45, 90)
_MEMORY_FILE_SYSTEM = Path("/dev/shm")
#: At most so many times the null chain's time, and so many times the bytes of the blocks that are touched.
TIME_AT_MOST = {("cubic", 0): 2.0, ("cubic", 5): 2.0, ("cubic", 45): 2.5, ("cubic", 90): 2.5, ("nearest", 0): 1.3}
BYTES_AT_MOST = {0: 1.1, 5: 1.1, 45: 1.5, 90: 1.5}
#: Peak memory, in budgets.
MEMORY_AT_MOST = 1.2


def measure(*, quick: bool, rounds: int) -> list[dict[str, Any]]:
    """Measure each angle and layout."""
    side, budget = (2000, 24 << 20) if quick else (10_000, DEFAULT_MEMORY_BUDGET)
    layouts, angles, rounds = (("tiled",), (0, 45), 1) if quick else (("tiled", "striped"), _ANGLES, rounds)
    found = []
    with TemporaryDirectory(dir=_MEMORY_FILE_SYSTEM if _MEMORY_FILE_SYSTEM.is_dir() else None) as name:
        folder = Path(name)
        source_side = math.ceil(math.sqrt(4 * budget / 2))
        for layout in layouts:
            _write_image(folder / "image.tif", source_side, tiled=layout == "tiled")
            for angle in angles:
                boxes = _write_grid(folder / "grid.tif", side, source_side, angle)
                touched = len(_touched(folder / "image.tif", boxes)) * _bytes_of_block(folder / "image.tif")
                grid = (folder / "grid.tif").stat().st_size
                kinds = ["null", "cubic", *(["nearest"] if angle == 0 else [])]
                runs = [{kind: _run(kind, folder, side, budget) for kind in kinds} for _ in range(rounds)]
                found += [_judged(kind, angle, layout, runs, (touched, grid), budget) for kind in kinds[1:]]
    return found


def _judged(
    kind: str, angle: int, layout: str, runs: list[dict[str, Any]], touched_and_grid: tuple[int, int], budget: int
) -> dict[str, Any]:
    touched, grid = touched_and_grid
    ratios = [run[kind]["seconds"] / run["null"]["seconds"] for run in runs]
    return {
        "interpolation": kind,
        "angle": angle,
        "source": layout,
        "seconds": statistics.median(run[kind]["seconds"] for run in runs),
        "null": statistics.median(run["null"]["seconds"] for run in runs),
        "ratio": statistics.median(ratios),
        "ratio_at_most": TIME_AT_MOST.get((kind, angle)) if layout == "tiled" else None,
        "bytes_of_touched": (max(run[kind]["read"] for run in runs) - grid) / touched,
        "bytes_at_most": BYTES_AT_MOST[angle] if layout == "tiled" else None,
        "memory_of_budget": max(run[kind]["memory"] for run in runs) / budget,
        "memory_at_most": MEMORY_AT_MOST,
    }


def _write_image(path: Path, side: int, *, tiled: bool) -> None:
    tiles = {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE} if tiled else {}
    profile = {"driver": "GTiff", "count": 1, "height": side, "width": side, "dtype": "uint16", "nodata": 0}
    random = np.random.default_rng(1)
    with rasterio.open(path, "w", transform=rasterio.Affine.scale(1, -1), **profile, **tiles) as dataset:
        for start in range(0, side, _TILE):
            rows = min(_TILE, side - start)
            values = random.integers(1, 60_000, (1, rows, side), np.uint16)
            dataset.write(values, window=rasterio.windows.Window(0, start, side, rows))


def _write_grid(path: Path, side: int, source_side: int, angle: float) -> np.ndarray:
    """Turn the target about the middle of the image; return the positions at its pixels, thinned."""
    nodes = -(-(side - 1) // _STEP) + 1
    i, j = np.meshgrid(*[np.arange(nodes) * float(_STEP) - side / 2] * 2, indexing="ij")
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    values = np.stack([cos * i - sin * j, sin * i + cos * j]) + source_side / 2 + 0.3
    profile = {"driver": "GTiff", "count": 2, "height": nodes, "width": nodes, "dtype": "float64"}
    with rasterio.open(path, "w", transform=rasterio.Affine.scale(1, -1), **profile) as dataset:
        dataset.write(values)
    return values


def _touched(path: Path, positions: np.ndarray) -> set[tuple[int, int]]:
    """Return the blocks of an image that positions and what lies between them look up."""
    with rasterio.open(path) as dataset:
        height, width = dataset.block_shapes[0]
        (rows, cols) = dataset.shape
    inside = (positions[0] >= 0) & (positions[0] < rows) & (positions[1] >= 0) & (positions[1] < cols)
    down, across = positions[0][inside], positions[1][inside]
    if width == cols:  # striped: blocks are lower than a step, so all between the first and the last
        return {(row, 0) for row in range(int(down.min() // height), int(down.max() // height) + 1)}
    return set(zip((down // height).astype(int).tolist(), (across // width).astype(int).tolist(), strict=True))


def _bytes_of_block(path: Path) -> int:
    with rasterio.open(path) as dataset:
        height, width = dataset.block_shapes[0]
    return int(height * width * 2)


def _run(kind: str, folder: Path, side: int, budget: int) -> dict[str, Any]:
    """Run in a process of its own."""
    command = [sys.executable, "-m", "bench.resample_files", "--one", kind, str(folder), str(side), str(budget)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _one(kind: str, folder: Path, side: int, budget: int) -> dict[str, Any]:
    run = partial(_null, folder)
    if kind != "null":
        run = partial(_resample, kind, folder, budget, window=((0, side), (0, side)))
        _resample(kind, folder, budget, window=((0, 64), (0, 64)))  # kernels are loaded
    before, start = _bytes_read(), time.perf_counter()
    run()
    seconds, read = time.perf_counter() - start, _bytes_read() - before
    with PeakMemory(os.getpid()) as memory:  # sampling takes time: what is timed goes without
        run()
    return {"seconds": seconds, "read": read, "memory": (memory.result.peak - memory.result.before) * 2**20}


def _resample(kind: str, folder: Path, budget: int, *, window: Any) -> None:
    gn.resample(
        folder / "image.tif",
        folder / "grid.tif",
        folder / f"{kind}.tif",
        resolution=_STEP,
        window=window,
        interpolation=kind,
        memory_budget=budget,
        overwrite=True,
        verify=False,
    )


def _null(folder: Path) -> None:
    with rasterio.open(folder / "grid.tif") as grid, rasterio.open(folder / "image.tif") as image:
        side = (grid.shape[0] - 1) * _STEP
        touched = _touched(folder / "image.tif", grid.read())
        height, width = image.block_shapes[0]
        read = np.empty((1, height, width), np.uint16)
        for row, col in sorted(touched):
            window = rasterio.windows.Window(int(col) * width, int(row) * height, width, height)
            window = window.intersection(rasterio.windows.Window(0, 0, image.width, image.height))
            image.read(window=window, out=read[:, : window.height, : window.width])
        tiles = {"tiled": True, "blockxsize": _TILE, "blockysize": _TILE}
        profile = {"driver": "GTiff", "count": 1, "height": side, "width": side, "dtype": "uint16"}
        values = np.ones((1, _TILE, side), np.uint16)
        with rasterio.open(folder / "null.tif", "w", transform=image.transform, **profile, **tiles) as out:
            for start in range(0, side, _TILE):
                rows = min(_TILE, side - start)
                out.write(values[:, :rows], window=rasterio.windows.Window(0, start, side, rows))


def _bytes_read() -> int:
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    return 0


if __name__ == "__main__":
    if "--one" in sys.argv:
        kind, folder, side, budget = sys.argv[sys.argv.index("--one") + 1 :]
        print(json.dumps(_one(kind, Path(folder), int(side), int(budget))))
    else:
        rounds = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 3
        print(json.dumps(measure(quick="--quick" in sys.argv, rounds=rounds), indent=2))
