"""`resample_array`: an image resampled through a coarse grid, in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from rasterio import Affine

from .. import checks
from ..engine.codes import write_codes
from ..engine.dense import DenseOptions
from ..engine.job import Names, Warnings
from ..engine.resampling import ResampleCounts, resample_window
from ..engine.step import DenseStep
from ..engine.tables import source_validity, source_window, stays_raw
from ..errors import GridrValueError
from ..files.arrays import ArrayRaster
from ..files.source import BAND_VALIDITIES
from ..plan import WindowPlan
from ..polygons.files import Polygons
from ..types import AnyArray, Pair, WindowPairs
from .dense_inputs import DenseArguments, DenseInputs
from .in_arrays import ArraysOut, job_in_arrays
from .output_files import mask_type
from .placement import Sources

logger = logging.getLogger(__name__)

_NAMES = Names(
    grid="nodes",
    grid_col="nodes",
    mask="mask",
    mask_band="mask",
    mask_valid_value="mask_valid_value",
    threshold="threshold",
)


class ResampledArray(NamedTuple):
    """What `resample_array` made.

    Attributes
    ----------
    image : ndarray (bands, rows, columns) or (rows, columns)
    mask : uint8 (rows, columns), or (bands, rows, columns)
        Where `mask_out_values` do not fit in uint8, the smallest type that holds them.
    counts : ResampleCounts
        Valid pixels, band by band, that were `clipped` to the type or are `equal_to_nodata`, and those that are
        invalid since they would be `overflown`.

    Examples
    --------
    >>> import numpy as np
    >>> from gridr_numba import resample_array
    >>> nodes = np.array([[[0.0, 0.0]], [[0.0, 3.0]]])
    >>> image, mask, counts = resample_array(np.array([[7, 8]], np.uint8), nodes, 1)
    >>> mask.tolist(), counts.clipped
    ([[1, 0]], 0)
    """

    image: AnyArray
    mask: AnyArray
    counts: ResampleCounts


# Longer than a screen, and half of it parameters: each is checked once.
def resample_array(
    image: AnyArray,
    nodes: AnyArray,
    resolution: int | tuple[int, int],
    *,
    window: WindowPairs | None = None,
    interpolation: Literal["nearest", "linear", "cubic", "lanczos3"] = "cubic",
    nodata: float | None = None,
    source_mask: AnyArray | None = None,
    source_mask_valid_value: int = 1,
    band_validity: Literal["any", "all", "each"] = "any",
    edge: Literal["clamp", "strict"] = "clamp",
    grid_order: Literal["row_col", "xy"] = "row_col",
    displacement: bool = False,
    source_offset: tuple[float, float] = (0.0, 0.0),
    grid_nodata: float | tuple[float, ...] | None = None,
    mask: AnyArray | None = None,
    mask_valid_value: int = 1,
    threshold: float = 1.0,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    mask_out_values: tuple[int, int] | str = (1, 0),
    dtype: DTypeLike | None = None,
    threads: int | None = None,
) -> ResampledArray:
    """Resample an image through a coarse grid. Not GRIDR's name.

    Laws 1 to 6 hold for the coordinates and for what they make invalid, and law 10: a pixel does not depend on the
    window that it is made in. A pixel lies in the image at the coordinates that `densify` writes in float64; integers
    are centres. It is invalid, and `nodata`, where `densify` makes it so; where it lies outside of the image, whose
    area is ``-0.5 <= row <= rows - 0.5`` and the same of columns (`Cause.OUTSIDE_SOURCE`); and where one of its taps is
    an invalid pixel of the image (`Cause.SOURCE_INVALID`): nothing is extrapolated, and no invalid pixel is read into a
    valid one. What is invalid by its coordinates or a mask is not looked up in the image.

    Its taps are the pixels of the image that it is made of. Along each axis a coordinate that is an integer has one,
    and any other all that the interpolation has.

    *Accuracy.* Fractions of coordinates are taken in float64. Then images of up to 16-bit integers and of float32 are
    summed in float32, all others in float64. Before it is rounded to the output's type, a pixel is within 1e-4 of the
    exact value for 8-bit images, 0.02 for 16-bit ones, and 3e-7 times the largest magnitude among its taps for
    float32; five times that for lanczos3. Nearest is exact.

    Parameters
    ----------
    image : ndarray (bands, rows, columns) or (rows, columns)
        Integers of up to 32 bits, float32 or float64. Not modified.
    nodes : ndarray (2, R, C)
        Source coordinates of the nodes, rows first: see `grid_order`.
    resolution : int or tuple of int
        Dense pixels a node along rows and columns; one integer is for both.
    window : pairs ``((row_start, row_stop), (col_start, col_stop))``, optional
        The part of the dense raster to make, half-open. The result is that part of the whole, to the bit.
    interpolation : 'nearest', 'linear', 'cubic' or 'lanczos3'
        Taps along each axis: one, the pixel that ``floor(x + 0.5)`` is; 2; 4, of Keys' kernel with a = -0.5; 6, of
        Lanczos' kernel, whose weights are made to sum to 1.
    nodata : float, optional
        Of the image's invalid pixels, and of the result's, whose type must hold it. None: all numbers of the image are
        valid, and invalid pixels of the result are NaN, or 0 in integers. A valid pixel that comes out as `nodata`
        stays valid and is counted, and a WARNING says so.
    source_mask : ndarray (rows, columns), optional
        Pixels of the image that are not `source_mask_valid_value` there are invalid. So are NaN and infinities always.
    band_validity : 'any', 'all' or 'each'
        A pixel of the image is invalid where a band is; or where all bands are nodata, as GDAL has it (NaN and
        infinities in any band still count); or each band is valid for itself, and the mask has as many bands.
    edge : 'clamp' or 'strict'
        Taps beyond the image are its nearest pixel; or make the pixel lie outside of it.
    grid_order, displacement, source_offset, threshold, valid, invalid, geometry_origin, rasterize_kwargs
        As in `densify`, and so is `repair_geometry`.
    grid_nodata : float or tuple of float, optional
        Values in `nodes` that mean no coordinate, beside NaN and infinities.
    mask : ndarray (R, C), optional
        The coarse mask: `mask_valid_value` is valid.
    mask_out_values : pair of int, or 'causes'
        Of valid and invalid pixels in the mask; 'causes' leaves the bits of `Cause`.
    dtype : data type, optional
        Of the result, one that `image` may have; None is the image's. Integers are rounded half to even, and clipped.
    threads : int, optional
        None is all that the process may use. Nothing depends on it.

    Returns
    -------
    ResampledArray
        ``image, mask, counts``.

    Raises
    ------
    GridrValueError, GridrTypeError
        For an argument that is not as described.

    Examples
    --------
    >>> import numpy as np
    >>> from gridr_numba import resample_array
    >>> image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    >>> nodes = np.array([[[0.0, 0.0], [2.0, 2.0]], [[0.5, 2.5], [0.5, 4.5]]])  # rows, columns
    >>> resampled = resample_array(image, nodes, 2, interpolation="linear", nodata=255)
    >>> resampled.image
    array([[  0,   2,   2],
           [  4,   6,   7],
           [  8,  10, 255]], dtype=uint8)
    """
    checks.switches(given := locals())
    bands = _bands_of(image)
    table_valid, differing = source_validity(
        bands,
        [_number_or_none(nodata, "nodata")] * len(bands),
        _source_mask(source_mask, source_mask_valid_value, bands.shape[1:]),
        all_bands=checks.one_of(band_validity, "band_validity", BAND_VALIDITIES) == "all",
    )
    held = bands.dtype if dtype is None else checks.image_dtype(dtype, "dtype")
    if nodata is not None:
        checks.fits(nodata, held, "nodata")
    dense = _dense_inputs(nodes, mask, given)
    outputs, rules, polygons = ArraysOut.of(None, None, mask_out_values), dense.rules(None), dense.inputs.polygons
    extent = dense.place.extent
    options = DenseOptions(
        extent.resolution,
        rules.threshold,
        threads=None if threads is None else checks.integer(threads, "threads", minimum=1),
    )
    kind = checks.interpolation(interpolation, "interpolation")
    strict = checks.one_of(edge, "edge", ("clamp", "strict")) == "strict"

    step = DenseStep(job_in_arrays(extent, dense.inputs, rules, outputs))
    piece = WindowPlan(extent.window, extent.resolution, extent.window.shape).piece(0, 0)
    causes = np.empty((len(bands) if band_validity == "each" else 1, *piece.dense.shape), np.uint8)
    if polygons is not None:
        polygons.write_causes(piece.dense, causes[0], options.threads)
    shape = bands.shape[1], bands.shape[2]
    raw = stays_raw(kind, bands.dtype, held, shape)
    source = source_window(bands, table_valid, (0, 0), shape, raw=raw, threads=options.threads)
    result, counts = np.empty((len(bands), *piece.dense.shape), held), ResampleCounts()
    resample_window(
        source,
        options,
        piece.relative,
        kind,
        result,
        causes,
        nodes=step.nodes(piece),
        valid_nodes=step.valid_nodes(piece),
        marked=polygons is not None,
        strict=strict,
        nodata=nodata,
        counts=counts,
    )
    _warn(0 if differing is None else int(np.count_nonzero(differing)), counts, band_validity, nodata)
    codes = _codes(causes, outputs.mask.values)
    flat = image.ndim == 2
    return ResampledArray(result[0] if flat else result, codes[0] if flat or len(codes) == 1 else codes, counts)


def _bands_of(image: object) -> AnyArray:
    """Take an image as bands of rows, in native byte order."""
    flat = isinstance(image, np.ndarray) and image.ndim == 2
    bands = checks.array(image, "image", 2 if flat else 3, "iuf")
    bands = bands.astype(checks.image_dtype(bands.dtype, "image"), copy=False)
    return bands[np.newaxis] if flat else bands


def _number_or_none(value: object, name: str) -> float | None:
    return None if value is None else checks.number(value, name)


def _source_mask(mask: object, valid_value: object, shape: tuple[int, ...]) -> NDArray[np.bool_] | None:
    """Take the mask of an image as what is valid."""
    wanted = checks.integer(valid_value, "source_mask_valid_value", minimum=-(2**63))
    if mask is None:
        checks.left_out(wanted, 1, "source_mask_valid_value", "source_mask")
        return None
    return _where(mask, "source_mask", wanted, shape, "the image's")


def _where(mask: object, name: str, value: int, shape: tuple[int, ...], whose: str) -> NDArray[np.bool_]:
    """Take a mask, as where it has a value."""
    found: NDArray[np.bool_] = _of_shape(checks.array(mask, name, 2, "biu"), name, shape, whose) == value
    return found


def _of_shape(values: AnyArray, name: str, shape: tuple[int, ...], whose: str) -> AnyArray:
    """Refuse a mask of another shape."""
    if values.shape != shape:
        raise GridrValueError(f"{name} must have {whose} {shape} rows and columns, not {values.shape}", argument=name)
    return values


def _dense_inputs(nodes: object, mask: object, given: Mapping[str, Any]) -> DenseInputs:
    """Check the nodes, the coarse mask, and the arguments that say what is made of them."""
    checks.binary_threshold(given["threshold"], "threshold")
    stored = checks.array(nodes, "nodes", 3, "biuf")
    if len(stored) != 2:
        raise GridrValueError(f"nodes must have 2 bands, rows and columns, not {len(stored)}", argument="nodes")
    order = 1 if checks.one_of(given["grid_order"], "grid_order", ("row_col", "xy")) == "row_col" else -1
    rows, cols = (_raster("nodes", values) for values in stored[::order])
    mask_nodes = None
    if mask is not None:
        mask_nodes = _raster("mask", _of_shape(checks.array(mask, "mask", 2, "biu"), "mask", rows.shape, "the nodes'"))
    arguments = DenseArguments.of({**given, "grid": None, "mask": None, "grid_order": "row_col"})  # these are in memory
    return DenseInputs.of(Sources(rows, cols, mask_nodes, names=_NAMES), arguments, Warnings(logger))


def _raster(name: str, values: AnyArray) -> ArrayRaster:
    stored = values.view(np.uint8) if values.dtype == bool else values
    return ArrayRaster(name, (len(stored), stored.shape[1]), stored.dtype, None, Affine.identity(), values=stored)


def _codes(causes: NDArray[np.uint8], values: Pair | None) -> AnyArray:
    """Return causes as a mask is to say them."""
    dtype = mask_type(values)
    out = causes if dtype == causes.dtype else np.empty(causes.shape, dtype)
    for band, codes in zip(causes, out, strict=True):
        write_codes(band, values, codes)
    return out


def _warn(differing: int, counts: ResampleCounts, band_validity: str, nodata: float | None) -> None:
    if differing:
        logger.warning(
            "%d pixels of the image are nodata in some bands and not in others: band_validity=%r",
            differing,
            band_validity,
        )
    if counts.equal_to_nodata:
        logger.warning("%d valid values of the result equal nodata, %r", counts.equal_to_nodata, nodata)
