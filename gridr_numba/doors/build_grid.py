"""`build_grid`: dense coordinates in memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .. import checks
from ..engine.dense import DenseOptions, compiled_for, densify_window, largest_float64_in, rows_of, write_in_parts
from ..errors import GridrTypeError, GridrValueError
from ..kernels.bilinear import void_nodes
from ..plan import grid_full_resolution_shape, node_window
from ..types import AnyArray, WindowPairs
from ..window import Window

# Rows of so many pixels are computed, and cast or copied while they are in the cache, where the output is not one that
# the kernel can write.
_PIXELS_A_PART = 1 << 17


def build_grid(
    resolution: tuple[int, int],
    grid: AnyArray,
    grid_target_win: WindowPairs | None,
    grid_resolution: tuple[int, int],
    out: AnyArray | None,
    computation_dtype: DTypeLike | None = None,
) -> AnyArray | None:
    """Interpolate a coarse grid to full resolution. GRIDR's name and signature.

    Laws 1, 2, 3 and 5: a pixel on a node is that node, to the bit; every other is within 4 ulp of the exact bilinear
    value and never outside the range of its nodes; a node that does not contribute is not read; a node that is not
    finite in some band makes each pixel that it contributes to NaN in every band, as does a value that overflows `out`.

    Parameters
    ----------
    resolution : tuple of int
        Of the output: only (1, 1).
    grid : ndarray (bands, R, C)
        Two bands or more, real numbers. Not modified.
    grid_target_win : inclusive pairs ``((first_row, last_row), (first_col, last_col))`` or None
        The part of the dense raster to make; None is all.
    grid_resolution : tuple of int
        Dense pixels a node along rows and columns.
    out : ndarray (bands, rows, columns) or None
        Floating; any strides. None returns a new array.
    computation_dtype : data type, optional
        Must be floating; otherwise ignored, since the arithmetic is in float64.

    Returns
    -------
    ndarray or None
        A new array of the grid's data type (float64 for integers), or None where `out` was given.

    Raises
    ------
    GridrValueError
        For a missing argument, a resolution other than (1, 1), a window outside the dense raster, a wrong shape.
    GridrTypeError
        For an argument that is the wrong kind of thing, such as an `out` that is not floating.

    Examples
    --------
    >>> import numpy as np
    >>> from gridr_numba import build_grid
    >>> nodes = np.array([[[0.0, 0.0], [4.0, 4.0]], [[0.0, 6.0], [0.0, 6.0]]])  # rows, then columns, of 2 x 2 nodes
    >>> rows, cols = build_grid((1, 1), nodes, None, (2, 3), None)
    >>> rows.shape, rows[:, 0].tolist(), cols[0].tolist()
    ((3, 4), [0.0, 2.0, 4.0], [0.0, 2.0, 4.0, 6.0])
    """
    checks.output_resolution(resolution, "resolution")
    checks.floating_dtype(computation_dtype, "computation_dtype", optional=True)
    if grid is None:
        raise GridrValueError("grid must be given", argument="grid")
    nodes = checks.array(grid, "grid", 3, "biuf")
    if nodes.shape[0] < 2:
        raise GridrValueError(f"grid must have at least 2 bands, rows first, not {nodes.shape[0]}", argument="grid")
    if grid_resolution is None:
        raise GridrTypeError(
            "grid_resolution must be a pair of integers (row, column), not None", argument="grid_resolution"
        )
    node_resolution = checks.input_resolution(grid_resolution, "grid_resolution")
    window = target_window(grid_target_win, "grid_target_win", nodes.shape[1:], node_resolution)
    shape = (nodes.shape[0], *window.shape)
    if out is None:
        result = np.empty(shape, nodes.dtype.newbyteorder("=") if nodes.dtype.kind == "f" else np.float64)
    else:
        result = checks.output_array(out, "out", shape, "f")

    interpolate(nodes, window, node_resolution, result)
    return result if out is None else None


def target_window(win: Any, name: str, node_shape: tuple[int, ...], resolution: tuple[int, int]) -> Window:
    """Take a window of the dense raster that so many nodes make; None is all of it."""
    full = grid_full_resolution_shape((node_shape[0], node_shape[1]), resolution)
    window = Window.whole(full) if win is None else Window.from_inclusive(win, name)
    if not window.within(full):
        raise GridrValueError(
            f"{name} must lie within the dense raster's {full} rows and columns, not {win!r}", argument=name
        )
    return window


def interpolate(nodes: AnyArray, window: Window, resolution: tuple[int, int], result: AnyArray) -> None:
    """Interpolate checked arrays into any floating array of any strides."""
    needed, relative = node_window(window, resolution)
    contributing = np.array(nodes[(slice(None), *needed.to_slices())], dtype=np.float64, order="C")  # always a copy
    bands = len(contributing)
    void_nodes(contributing, np.full((bands, 1), np.nan), (0, 0), np.empty(1, np.int64))
    dtype = compiled_for({result.dtype})
    options = DenseOptions(resolution, limits=(largest_float64_in(result.dtype),) * bands)
    if result.dtype == dtype and result.flags.c_contiguous:
        densify_window(options, relative, nodes=contributing, out_grid=result)
        return

    def worker(most_rows: int) -> Callable[[slice], None]:
        buffer = np.empty(bands * most_rows * result.shape[2], dtype)

        def write(rows: slice) -> None:
            shape = (bands, rows.stop - rows.start, result.shape[2])
            out_grid = buffer[: math.prod(shape)].reshape(shape)
            densify_window(options, rows_of(relative, rows), nodes=contributing, out_grid=out_grid)
            result[:, rows] = out_grid

        return write

    options = replace(options, parallel=False)
    write_in_parts(result.shape[1:], _PIXELS_A_PART, worker)
