"""`build_mask`: a dense mask in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import checks
from ..engine.codes import write_codes
from ..engine.dense import NO_BYTES, DenseOptions, densify_window, rows_of, write_in_parts
from ..errors import GridrValueError
from ..kernels.bilinear import mark_below
from ..plan import node_window
from ..polygons.mask import PolygonMask
from ..types import MASK_BINARY_THRESHOLD, AnyArray, GeometryType, WindowPairs
from ..window import Window
from .build_grid import target_window

# Rows of so many bytes are computed and turned into codes at a time, while they are in the cache. Few rows would have
# their nodes spread more often.
_BYTES_A_PART = 1 << 22


def build_mask(
    shape: tuple[int, int] | None,
    resolution: tuple[int, int],
    out: AnyArray | None,
    geometry_origin: tuple[float, float] | None = None,
    geometry_pair: tuple[GeometryType | None, GeometryType | None] | None = None,
    mask_in: AnyArray | None = None,
    mask_in_target_win: WindowPairs | None = None,
    mask_in_resolution: tuple[int, int] | None = None,
    oversampling_dtype: DTypeLike | None = None,
    mask_in_binary_threshold: float | None = MASK_BINARY_THRESHOLD,
    rasterize_kwargs: dict[str, Any] | None = None,
    init_out: bool = False,
) -> AnyArray | None:
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
        What holds no polygon means None, as in GRIDR, and a WARNING says so.
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

    Examples
    --------
    >>> import numpy as np
    >>> import shapely
    >>> from gridr_numba import build_mask
    >>> nodes = np.array([[1, 1], [1, 0]], np.uint8)
    >>> print(build_mask((3, 4), (1, 1), None, mask_in=nodes, mask_in_resolution=(2, 3)))
    [[1 1 1 1]
     [1 0 0 0]
     [1 0 0 0]]
    >>> print(build_mask((2, 4), (1, 1), None, (0.0, 0.0), (None, shapely.box(1, 0, 2, 0.5))))
    [[1 0 0 1]
     [1 1 1 1]]
    """
    checks.output_resolution(resolution, "resolution")
    checks.floating_dtype(oversampling_dtype, "oversampling_dtype", optional=True)
    threshold = checks.binary_threshold(mask_in_binary_threshold, "mask_in_binary_threshold")
    result_shape = _output_shape(shape, mask_in_target_win, out)
    result = None if out is None else checks.output_array(out, "out", result_shape, "biuf")
    polygons = PolygonMask.of(geometry_pair, geometry_origin, rasterize_kwargs, result_shape)
    window, node_resolution = Window.whole(result_shape), (1, 1)
    if mask_in is not None:
        checks.array(mask_in, "mask_in", 2, "biuf")
        if mask_in_resolution is None:
            raise GridrValueError(
                "mask_in_resolution must be given with mask_in, as (row, column)", argument="mask_in_resolution"
            )
        node_resolution = checks.input_resolution(mask_in_resolution, "mask_in_resolution")
        win = window.to_inclusive() if mask_in_target_win is None else mask_in_target_win
        window = target_window(win, "mask_in_target_win", mask_in.shape, node_resolution)
        if window.shape != result_shape:
            raise GridrValueError(
                f"mask_in_target_win must have the shape {result_shape}, not {window.shape}",
                argument="mask_in_target_win",
            )

    if mask_in is None and polygons is None:
        if result is None:
            return np.ones(result_shape, np.uint8)
        if init_out:
            result[...] = 1
        return None
    dense = np.empty(result_shape, np.uint8) if result is None else result
    coarse = (
        None
        if mask_in is None
        else _CoarseMask.of(mask_in, window, DenseOptions(node_resolution, threshold, parallel=False))
    )
    _write(polygons, coarse, dense)
    return dense if result is None else None


def _write(polygons: PolygonMask | None, coarse: _CoarseMask | None, out: AnyArray) -> None:
    """Write the mask in parts that stay in the cache: no second array of its size where its own bytes can be used.

    Polygons are written in one go, for which those of another type or other strides need bytes beside them.
    """
    own_bytes = out.itemsize == 1 and out.flags.c_contiguous
    causes = out.view(np.uint8) if own_bytes else None
    if polygons is not None:
        causes = np.empty(out.shape, np.uint8) if causes is None else causes
        polygons.write_causes(Window.whole(out.shape), causes)

    def worker(most_rows: int) -> Callable[[slice], None]:
        buffer = np.empty((most_rows, out.shape[1]), np.uint8) if causes is None else NO_BYTES
        scratch = None if coarse is None else coarse.scratch(most_rows)

        def write(rows: slice) -> None:
            part = buffer[: rows.stop - rows.start] if causes is None else causes[rows]
            if coarse is not None:
                coarse.add_causes(rows, scratch, part, marked=polygons is not None)
            write_codes(part, (1, 0), out[rows])

        return write

    write_in_parts(out.shape, _BYTES_A_PART // (1 if coarse is None else coarse.bytes_a_pixel), worker)


class _CoarseMask:
    """The nodes of a coarse mask around a window, and what they say of each pixel.

    Attributes
    ----------
    bytes_a_pixel : int
        Of what is computed for it, the cause beside a number left out.
    """

    bytes_a_pixel = 1

    def __init__(self, options: DenseOptions, relative: Window) -> None:
        self._options = options
        self._relative = relative

    @classmethod
    def of(cls, mask_in: AnyArray, window: Window, options: DenseOptions) -> _CoarseMask:
        """Take the nodes that contribute to a window, as copies."""
        needed, relative = node_window(window, options.resolution_row_col)
        nodes = mask_in[needed.to_slices()]
        binary = mask_in.dtype.kind == "b" or (
            mask_in.dtype.kind != "f" and int(mask_in.min()) >= 0 and int(mask_in.max()) <= 1
        )
        return (_BinaryMask if binary else _FractionalMask)(options, relative, nodes)

    def scratch(self, most_rows: int) -> Any:
        """Return what a thread needs for itself."""
        return None

    def add_causes(self, rows: slice, scratch: Any, causes: NDArray[np.uint8], *, marked: bool) -> None:
        """Write the causes of some rows, or add them where polygons have marked theirs."""
        raise NotImplementedError


class _BinaryMask(_CoarseMask):
    """Nodes that are all 0 or 1: the kernel decides in integers."""

    def __init__(self, options: DenseOptions, relative: Window, nodes: AnyArray) -> None:
        super().__init__(options, relative)
        self._valid_nodes = np.ascontiguousarray(nodes == 1).view(np.uint8)

    def add_causes(self, rows: slice, scratch: Any, causes: NDArray[np.uint8], *, marked: bool) -> None:
        window = rows_of(self._relative, rows)
        densify_window(self._options, window, valid_nodes=self._valid_nodes, marked=marked, out_mask=causes)


class _FractionalMask(_CoarseMask):
    """Fractional validity: the magnitude of the interpolated value is compared with the threshold, in float64."""

    bytes_a_pixel = 8

    def __init__(self, options: DenseOptions, relative: Window, nodes: AnyArray) -> None:
        super().__init__(replace(options, limits=(np.inf,)), relative)
        self._nodes = np.array(nodes, dtype=np.float64, order="C")[np.newaxis]

    def scratch(self, most_rows: int) -> Any:
        return np.empty((1, most_rows, self._relative.shape[1]))

    def add_causes(self, rows: slice, scratch: Any, causes: NDArray[np.uint8], *, marked: bool) -> None:
        validity = scratch[:, : len(causes)]
        densify_window(self._options, rows_of(self._relative, rows), nodes=self._nodes, out_grid=validity)
        mark_below(validity[0], float(self._options.threshold), marked, causes)


def _output_shape(shape: Any, win: Any, out: Any) -> tuple[int, int]:
    if shape is not None:
        return checks.integer_pair(shape, "shape", minimum=1)
    if win is not None:
        return Window.from_inclusive(win, "mask_in_target_win").shape
    if out is None:
        raise GridrValueError(
            "shape must be given where there is neither mask_in_target_win nor out to take it from", argument="shape"
        )
    rows, cols = checks.array(out, "out", 2, "biuf").shape
    return rows, cols
