"""The fused kernel alone, in ns a pixel: ``python -m bench.kernel [--quick]`` prints JSON.

Two float64 bands and a mask, from nodes and a coarse mask as `bench.cases` makes them, next to numpy filling the same
buffers with one and two threads: what touching that much memory costs. The kernel leaves causes in the mask; turning
them into codes is timed apart.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gridr_numba.engine.codes import write_codes
from gridr_numba.engine.dense import DenseOptions, densify_window
from gridr_numba.plan import Bounds
from gridr_numba.window import Window

from .cases import CASES, QUICK, Case, Shape, make_mask, make_nodes

_BYTES_A_PIXEL = 17  # two bands and a mask


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure at each resolution a strip and a whole raster."""
    if quick:
        return [_measure("strip", QUICK[0], 300, rounds=3)]
    cases = [CASES[name] for name in ("resolution-4", "resolution-10", "resolution-32")]
    rows = Bounds(0).window_bytes // (_BYTES_A_PIXEL * cases[0].shape_row_col[1])
    return [
        *(_measure("strip", case, rows, rounds=50) for case in cases),
        *(_measure("raster", case, case.shape_row_col[0], rounds=7) for case in cases),
    ]


def _measure(extent: str, case: Case, rows: int, *, rounds: int) -> dict[str, Any]:
    """Alternate the contenders, each on the same buffers."""
    shape = (rows, case.shape_row_col[1])
    contenders = _contenders(case, shape)
    for call in contenders.values():
        call()  # compiles, and touches the pages
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    pixels = shape[0] * shape[1]
    nanoseconds = {name: statistics.median(values) / pixels * 1e9 for name, values in seconds.items()}
    return {
        "extent": extent,
        "resolution": case.resolution_row_col[0],
        "rows": shape[0],
        "columns": shape[1],
        "rounds": rounds,
        "nanoseconds_a_pixel": nanoseconds,
    }


def _contenders(case: Case, shape: Shape) -> dict[str, Callable[[], None]]:
    """Make the calls, by name: the kernel with one and two threads, and the fill."""
    # The first nodes that make so many rows: what a strip reads.
    node_rows = -(-(shape[0] - 1) // case.resolution_row_col[0]) + 1
    grid, mask = np.empty((2, *shape)), np.empty(shape, np.uint8)
    nodes = np.ascontiguousarray(make_nodes(case)[:, :node_rows], dtype=np.float64)
    valid_nodes = np.ascontiguousarray(make_mask(case)[:node_rows])
    largest = float(np.finfo(np.float64).max)

    def densify(threads: int) -> None:
        options = DenseOptions(case.resolution_row_col, Fraction("0.999"), limits=(largest, largest), threads=threads)
        densify_window(options, Window.whole(shape), nodes=nodes, valid_nodes=valid_nodes, out_grid=grid, out_mask=mask)

    return {
        "1 thread": partial(densify, 1),
        "2 threads": partial(densify, 2),
        "codes, 1 thread": partial(write_codes, mask, (1, 0), mask),
        "numpy fill, 1 thread": partial(_fill, [grid, mask]),
        "numpy fill, 2 threads": partial(_fill_halves, ThreadPoolExecutor(2), grid, mask),
    }


def _fill(arrays: Iterable[NDArray[Any]]) -> None:
    for array in arrays:
        array.fill(1)


def _fill_halves(threads: ThreadPoolExecutor, grid: NDArray[Any], mask: NDArray[Any]) -> None:
    """Fill in two threads: numpy lets go of the GIL."""
    half = mask.shape[0] // 2
    list(threads.map(_fill, ([*grid[:, :half], mask[:half]], [*grid[:, half:], mask[half:]])))


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv)))
