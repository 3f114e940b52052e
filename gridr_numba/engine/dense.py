"""The one place that launches the fused kernel, for the in-memory doors and the loop alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from ..kernels.bilinear import Nodes, Rules, dense_part, densify
from ..kernels.jit import share, team, usable_threads
from ..types import AnyArray, AnyDtype, Range
from ..window import Window
from .codes import parts_of

# Rows and columns of the tile that one thread works on at a time. Whole rows would write a little faster where nothing
# is masked, but a tile with a masked node is evaluated whole.
_TILE_SHAPE = (64, 1024)

NO_BYTES: NDArray[np.uint8] = np.empty((0, 0), np.uint8)
NO_GRID: NDArray[np.float64] = np.empty((0, 0, 0), np.float64)


@dataclass(frozen=True)
class DenseOptions:
    """What is the same for every window of a job.

    Attributes
    ----------
    resolution_row_col : tuple of int
        Dense pixels a node.
    threshold : Fraction
        A pixel is raster-valid if its valid nodes weigh at least this.
    limits : tuple of float
        The largest magnitude that each band's output can hold.
    source : tuple of pairs of float
        The least and the largest coordinate in each band that are inside the source image; empty where it does not
        matter.
    fill : float
        For void pixels and, with `fill_masked`, for all invalid ones.
    fill_masked : bool
        See `fill`.
    threads : int or None
        None is as many as the process may use.
    parallel : bool
        False computes in the calling thread, whatever `threads` says: any number of threads may do so at a time, and no
        threading layer is started. See `kernels.jit`. The result does not depend on it.
    tile_shape : tuple of int or None
        The largest tile that a thread works on at a time; None leaves it to the package. Nothing depends on it.
    """

    resolution_row_col: tuple[int, int]
    threshold: Fraction = Fraction(1)
    limits: tuple[float, ...] = ()
    source: tuple[Range, ...] = ()
    fill: float = np.nan
    fill_masked: bool = False
    threads: int | None = None
    parallel: bool = True
    tile_shape: tuple[int, int] | None = None


def densify_window(
    options: DenseOptions,
    relative: Window,
    *,
    nodes: NDArray[np.float64] = NO_GRID,
    valid_nodes: NDArray[np.uint8] = NO_BYTES,
    marked: bool = False,
    out_grid: AnyArray = NO_GRID,
    out_mask: NDArray[np.uint8] = NO_BYTES,
) -> None:
    """Compute one window from the nodes around it. What is left out is absent; see the kernel for the arrays.

    `relative` is the window in the dense raster that the given nodes alone would make. The mask gets causes, which
    `codes.write_codes` turns into what a file is to hold. With `marked` it holds what polygons say already.
    """
    rr, rc = options.resolution_row_col
    tile_rows, tile_cols = (min(sides) for sides in zip(options.tile_shape or _TILE_SHAPE, _TILE_SHAPE, strict=True))
    # Of one tile there is nothing to share: threads would be woken to wait, busily, for the one that works.
    one_tile = relative.shape[0] <= tile_rows and relative.shape[1] <= tile_cols
    first = (relative.row_start, relative.col_start)
    with team(options.threads, parallel=options.parallel and not one_tile) as loop:
        densify(
            Nodes(nodes, valid_nodes, first, (rr, rc)),
            rules_of(options),
            marked,
            (tile_rows, tile_cols),
            loop,
            dense_part(out_grid, out_mask),
        )


def rules_of(options: DenseOptions) -> Rules:
    """Return what the kernels are told of the options."""
    rr, rc = options.resolution_row_col
    source = options.source or [(-limit, limit) for limit in options.limits]
    return Rules(
        float(ceil(options.threshold * rr * rc)),
        np.array(options.limits, dtype=np.float64),
        np.array(source, dtype=np.float64).reshape(-1, 2),
        bool(options.source),
        options.fill,
        options.fill_masked,
    )


def write_in_parts(shape: tuple[int, ...], pixels: int, worker: Callable[[int], Callable[[slice], None]]) -> None:
    """Have parts of a raster written while they are in the cache, by as many threads as the process may use.

    Each thread takes the next part when it has done one, so none waits for another. What it calls must not be parallel.

    Parameters
    ----------
    shape : (int, int)
        Of the raster.
    pixels : int
        Of a part, about.
    worker : callable
        Takes the most rows that a part has, for buffers of its own, and returns the call that writes some rows.
    """
    parts = parts_of(shape, pixels)
    remaining = iter(parts)  # shared: each part is taken once

    def work() -> None:
        write = worker(parts[0].stop)
        for rows in remaining:
            write(rows)

    share(work, min(usable_threads(None), len(parts)))


def rows_of(window: Window, rows: slice) -> Window:
    """Return some rows of a window, counted from its first."""
    return replace(window, row_start=window.row_start + rows.start, row_stop=window.row_start + rows.stop)


def compiled_for(dtypes: set[AnyDtype]) -> AnyDtype:
    """Return the type in which the kernel writes bands of these types: theirs if it has it, else float64 to be cast."""
    if len(dtypes) == 1 and (dtype := next(iter(dtypes)).newbyteorder("=")) in (np.float32, np.float64):
        return dtype
    return np.dtype(np.float64)


def largest_float64_in(dtype: AnyDtype) -> float:
    """Return the largest float64 that a floating type holds without overflow, rounding included."""
    if dtype.itemsize >= 8:
        return float(np.finfo(np.float64).max)
    largest = np.finfo(dtype).max
    step = float(largest) - float(np.nextafter(largest, dtype.type(0)))
    # Half a step beyond the largest number is a tie, which rounds to the even neighbour: infinity.
    return float(np.nextafter(float(largest) + step / 2, 0.0))
