"""The public in-memory doors, in ms a call: ``python -m bench.in_memory [--quick]`` prints JSON.

`build_mask` and `build_grid` as users call them: checks, allocation and conversion included. Each call is timed against
a reference in alternation: masks against a new array from a mask of 0 and 1, grids against a float64 output that the
kernel writes itself.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

import gridr_numba as gn

_RESOLUTION = (10, 10)
_MASK, _GRID = "build_mask, 0 and 1, new array", "build_grid, float64 out"
#: What a call may take of its reference's time: no more with `out` than without, but for 0.05 that are noise.
AT_MOST = {
    "build_mask, 0 and 1, uint8 out": 1.05,
    "build_mask, 0 and 1, bool out": 1.05,
    "build_mask, fractional, new array": 3.0,
    "build_mask, fractional, uint8 out": 3.0,
}


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure each call on a square raster of 25 Mpx (quick: 0.25 Mpx)."""
    nodes = 51 if quick else 501
    rounds = 3 if quick else 15
    return [
        *_compare(_MASK, _mask_calls(nodes), rounds),
        *_compare(_GRID, _grid_calls(nodes), rounds),
    ]


def _mask_calls(nodes: int) -> dict[str, Callable[[], Any]]:
    rng = np.random.default_rng(0)
    binary = np.ones((nodes, nodes), np.uint8)
    binary[:, :3] = binary[nodes // 2 : nodes // 2 + 5, nodes // 3 : nodes // 2] = 0  # a swath's edge, a hole
    fractional = np.where(binary == 1, 1.0, rng.random(binary.shape))
    shape = gn.grid_full_resolution_shape(binary.shape, _RESOLUTION)
    middle = shape[0] / 2
    footprint = shapely.Point(middle, middle).buffer(0.9 * middle)

    def call(coarse: NDArray[Any], out: NDArray[Any] | None, polygon: Any = None) -> Callable[[], Any]:
        geometry = {} if polygon is None else {"geometry_origin": (0.0, 0.0), "geometry_pair": (polygon, None)}
        options: dict[str, Any] = {"mask_in": coarse, "mask_in_resolution": _RESOLUTION, **geometry}
        return lambda: gn.build_mask(shape, (1, 1), out, **options)

    strided = np.zeros((shape[0], 2 * shape[1]), np.uint8)[:, ::2]
    return {
        _MASK: call(binary, None),
        "build_mask, 0 and 1, uint8 out": call(binary, np.zeros(shape, np.uint8)),
        "build_mask, 0 and 1, bool out": call(binary, np.zeros(shape, bool)),
        "build_mask, 0 and 1, int32 out": call(binary, np.zeros(shape, np.int32)),
        "build_mask, 0 and 1, strided uint8 out": call(binary, strided),
        "build_mask, fractional, new array": call(fractional, None),
        "build_mask, fractional, uint8 out": call(fractional, np.zeros(shape, np.uint8)),
        "build_mask, 0 and 1 and a footprint, new array": call(binary, None, footprint),
    }


def _grid_calls(nodes: int) -> dict[str, Callable[[], Any]]:
    coarse = np.random.default_rng(1).random((2, nodes, nodes)) * 10 * nodes
    shape = (2, *gn.grid_full_resolution_shape(coarse.shape[1:], _RESOLUTION))

    def call(out: NDArray[Any]) -> Callable[[], Any]:
        return lambda: gn.build_grid((1, 1), coarse, None, _RESOLUTION, out)

    return {
        _GRID: call(np.zeros(shape)),
        "build_grid, float32 out": call(np.zeros(shape, np.float32)),
        "build_grid, float16 out": call(np.zeros(shape, np.float16)),
        "build_grid, strided float64 out": call(np.zeros((*shape[1:], 2)).transpose(2, 0, 1)),
    }


def _compare(reference: str, calls: dict[str, Callable[[], Any]], rounds: int) -> list[dict[str, Any]]:
    """Alternate the calls; the ratios are medians of the rounds' own."""
    for call in calls.values():
        call()  # compiles, and touches the pages
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return [
        {
            "call": name,
            "rounds": rounds,
            "milliseconds": statistics.median(taken) * 1e3,
            "ratio": statistics.median(a / b for a, b in zip(taken, seconds[reference], strict=True)),
            "reference": reference,
            "at_most": AT_MOST.get(name),
        }
        for name, taken in seconds.items()
    ]


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=2))
