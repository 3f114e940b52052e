"""`build_mask`: a dense mask in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from . import checks
from .dense import NO_BYTES, DenseOptions, densify_window
from .errors import GridrValueError
from .grid import target_window
from .plan import node_window
from .rasterize import PolygonMask
from .types import MASK_BINARY_THRESHOLD, Cause, GeometryType
from .window import Window


def build_mask(
    shape: tuple[int, int] | None,
    resolution: tuple[int, int],
    out: NDArray[Any] | None,
    geometry_origin: tuple[float, float] | None = None,
    geometry_pair: tuple[GeometryType | None, GeometryType | None] | None = None,
    mask_in: NDArray[Any] | None = None,
    mask_in_target_win: Any = None,
    mask_in_resolution: tuple[int, int] | None = None,
    oversampling_dtype: DTypeLike | None = None,
    mask_in_binary_threshold: float | None = MASK_BINARY_THRESHOLD,
    rasterize_kwargs: dict[str, Any] | None = None,
    init_out: bool = False,
) -> NDArray[Any] | None:
    """Merge a coarse raster mask and polygons into a mask at full resolution. GRIDR's name and signature.

    A pixel is 1 (VALID) if it is raster-valid, inside a valid polygon where any is given, and inside no invalid one;
    else 0 (INVALID). Laws 4 and 6.

    Parameters
    ----------
    shape : tuple of int or None
        Of the output; None takes it from `mask_in_target_win`, else from `out`.
    resolution : tuple of int
        Of the output: only (1, 1).
    out : ndarray or None
        Any strides and real data type. None returns a new uint8 array. Where there is neither `mask_in` nor a polygon
        it is left as it is unless `init_out` says otherwise.
    geometry_origin : tuple of float, optional
        The (row, column) of the output's pixel (0, 0) in the polygons' frame; needed with polygons.
    geometry_pair : pair (valid, invalid) of GeometryType or None, optional
    mask_in : ndarray (R, C), optional
        1 is valid. Integers and booleans that are all 0 or 1 are decided exactly: a pixel is raster-valid iff the
        summed weight of its valid contributing nodes is at least the threshold. Any other mask carries fractional
        validity: a pixel is raster-valid iff the absolute interpolated value, in float64, is at least the threshold.
        Not modified.
    mask_in_target_win : inclusive pairs ``((first_row, last_row), (first_col, last_col))``, optional
        The part of the dense mask that the output is; by default its first `shape` pixels.
    mask_in_resolution : tuple of int, optional
        Dense pixels a node; needed with `mask_in`.
    oversampling_dtype : data type, optional
        Must be floating; otherwise ignored.
    mask_in_binary_threshold : float or None
        In [0, 1], taken as the decimal that was written; 1 means every contributing node. None is 0.999.
    rasterize_kwargs : dict, optional
        ``{'alg': A, 'kwargs_alg': {'shapely_predicate': P}}``; SHAPELY and COVERS where left out.
    init_out : bool
        Fill `out` with VALID first.

    Returns
    -------
    ndarray or None
        A new uint8 array, or None where `out` was given.

    Raises
    ------
    GridrValueError
        For a missing or contradictory argument, a window outside the mask, a wrong shape, a threshold outside [0, 1].
    GridrTypeError
        For an argument that is the wrong kind of thing.
    """
    checks.output_resolution(resolution)
    checks.floating_dtype(oversampling_dtype, "oversampling_dtype", optional=True)
    threshold = checks.binary_threshold(mask_in_binary_threshold, "mask_in_binary_threshold")
    result_shape = _output_shape(shape, mask_in_target_win, out)
    result = None if out is None else checks.output_array(out, "out", result_shape, "biuf")
    polygons = PolygonMask.of(geometry_pair, geometry_origin, rasterize_kwargs, result_shape)
    window, node_resolution = Window.whole(result_shape), (1, 1)
    if mask_in is not None:
        checks.array(mask_in, "mask_in", 2, "biuf")
        if mask_in_resolution is None:
            raise GridrValueError("mask_in_resolution must be given with mask_in, as (row, column)")
        node_resolution = checks.input_resolution(mask_in_resolution, "mask_in_resolution")
        win = window.to_inclusive() if mask_in_target_win is None else mask_in_target_win
        window = target_window(win, "mask_in_target_win", mask_in.shape, node_resolution)
        if window.shape != result_shape:
            raise GridrValueError(f"mask_in_target_win must have the shape {result_shape}, not {window.shape}")

    if result is not None and init_out:
        result[...] = 1
    if mask_in is None and polygons is None:
        return np.ones(result_shape, np.uint8) if result is None else None
    causes = NO_BYTES
    if polygons is not None:
        causes = np.empty(result_shape, np.uint8)
        polygons.write_causes(Window.whole(result_shape), causes)
    mask = np.empty(result_shape, np.uint8)
    options = DenseOptions(node_resolution, threshold)
    if mask_in is None:
        densify_window(options, window, causes=causes, out_mask=mask)
    elif mask_in.dtype.kind == "f" or not np.isin(mask_in, (0, 1)).all():
        causes = _fractional_causes(mask_in, window, options, causes)
        densify_window(options, window, causes=causes, out_mask=mask)
    else:
        needed, relative = node_window(window, node_resolution)
        valid_nodes = np.ascontiguousarray(mask_in[needed.to_slices()] == 1).view(np.uint8)
        densify_window(options, relative, valid_nodes=valid_nodes, causes=causes, out_mask=mask)
    if result is None:
        return mask
    result[...] = mask
    return None


def _output_shape(shape: Any, win: Any, out: Any) -> tuple[int, int]:
    if shape is not None:
        return checks.integer_pair(shape, "shape", minimum=1)
    if win is not None:
        return Window.from_inclusive(win, "mask_in_target_win").shape
    if out is None:
        raise GridrValueError("shape must be given where there is neither mask_in_target_win nor out to take it from")
    rows, cols = checks.array(out, "out", 2, "biuf").shape
    return rows, cols


def _fractional_causes(
    mask_in: NDArray[Any], window: Window, options: DenseOptions, causes: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Add to the causes where the interpolated validity is below the threshold, or not a number."""
    needed, relative = node_window(window, options.resolution_row_col)
    nodes = np.ascontiguousarray(mask_in[needed.to_slices()], dtype=np.float64)[np.newaxis]
    validity = np.empty((1, *window.shape))
    interpolating = DenseOptions(options.resolution_row_col, limits=(np.inf,))
    densify_window(interpolating, relative, nodes=nodes, out_grid=validity)
    masked = ~(np.abs(validity[0]) >= float(options.threshold))
    added: NDArray[np.uint8] = masked.view(np.uint8) * np.uint8(Cause.RASTER_MASK)
    return added if causes is NO_BYTES else added | causes
