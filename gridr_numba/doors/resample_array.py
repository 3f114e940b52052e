"""`resample_array`: an image resampled through a coarse grid, in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import checks
from ..engine.codes import write_codes
from ..engine.coordinates import Meaning
from ..engine.dense import NO_BYTES, DenseOptions
from ..engine.resampling import ResampleCounts, SourceTable, resample_window, source_validity
from ..errors import GridrValueError
from ..files.source import BAND_VALIDITIES
from ..kernels.bilinear import void_nodes
from ..plan import grid_full_resolution_shape, node_window
from ..polygons.files import Polygons, pixel_polygons
from ..polygons.mask import Lattice, PolygonMask
from ..polygons.projection import PixelFrame
from ..types import AnyArray, Pair, WindowPairs
from ..window import Window
from .output_files import mask_type, mask_values

logger = logging.getLogger(__name__)


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
    checks.switches({"displacement": displacement, "repair_geometry": repair_geometry})
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
    node_resolution = checks.one_or_two_resolutions(resolution, "resolution")
    stored = checks.array(nodes, "nodes", 3, "biuf")
    if len(stored) != 2:
        raise GridrValueError(f"nodes must have 2 bands, rows and columns, not {len(stored)}", argument="nodes")
    dense = _dense_window(window, stored.shape, node_resolution)
    needed, relative = node_window(dense, node_resolution)
    order = 1 if checks.one_of(grid_order, "grid_order", ("row_col", "xy")) == "row_col" else -1
    offset = checks.real_pair(source_offset, "source_offset")
    meanings = [Meaning(axis, displacement=displacement, source_offset=offset[axis]) for axis in (0, 1)]
    coordinates = _coordinates(stored[::order], _nodata_values(grid_nodata), needed, node_resolution, meanings)
    least = checks.binary_threshold(threshold, "threshold")
    valid_nodes = _valid_nodes(mask, mask_valid_value, threshold, stored.shape[1:], needed)
    values = mask_values(mask_out_values)
    origin = checks.real_pair(geometry_origin, "geometry_origin")
    full = grid_full_resolution_shape((stored.shape[1], stored.shape[2]), node_resolution)
    sets = pixel_polygons(valid, invalid, PixelFrame(None, None, origin, full), repair=repair_geometry)
    there = valid is not None or invalid is not None
    burned = checks.used_rasterize_options(rasterize_kwargs, "rasterize_kwargs", polygons=there)
    polygons = PolygonMask.of_sets(*sets, Lattice(full, origin), burned)
    options = DenseOptions(
        node_resolution,
        least,
        threads=None if threads is None else checks.integer(threads, "threads", minimum=1),
    )
    kind = checks.interpolation(interpolation, "interpolation")
    strict = checks.one_of(edge, "edge", ("clamp", "strict")) == "strict"

    causes = np.empty((len(bands) if band_validity == "each" else 1, *dense.shape), np.uint8)
    if polygons is not None:
        polygons.write_causes(dense, causes[0], options.threads)
    shape = bands.shape[1], bands.shape[2]
    table = SourceTable.of(bands, table_valid, (0, 0), shape, threads=options.threads)
    result, counts = np.empty((len(bands), *dense.shape), held), ResampleCounts()
    resample_window(
        table,
        options,
        relative,
        kind,
        result,
        causes,
        nodes=coordinates,
        valid_nodes=valid_nodes,
        marked=polygons is not None,
        strict=strict,
        nodata=nodata,
        counts=counts,
    )
    _warn(0 if differing is None else int(np.count_nonzero(differing)), counts, band_validity, nodata)
    codes = _codes(causes, values)
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
    values = checks.array(mask, name, 2, "biu")
    if values.shape != shape:
        raise GridrValueError(f"{name} must have {whose} {shape} rows and columns, not {values.shape}", argument=name)
    found: NDArray[np.bool_] = values == value
    return found


def _dense_window(window: object, node_shape: tuple[int, ...], resolution: Pair) -> Window:
    """Take the part of the dense raster that is to be made; None is all of it."""
    full = grid_full_resolution_shape((node_shape[1], node_shape[2]), resolution)
    if window is None:
        return Window.whole(full)
    given = Window.from_half_open(window, "window")
    if not given.within(full):
        raise GridrValueError(
            f"window must lie within the dense raster's {full} rows and columns, not {window!r}", argument="window"
        )
    return given


def _nodata_values(grid_nodata: object) -> list[float]:
    """Take values that mean no coordinate."""
    if grid_nodata is None:
        return []
    values = grid_nodata if isinstance(grid_nodata, Sequence) and not isinstance(grid_nodata, str) else [grid_nodata]
    return [checks.number(value, "grid_nodata") for value in values]


def _coordinates(
    stored: AnyArray, nodata: list[float], needed: Window, resolution: Pair, meanings: list[Meaning]
) -> NDArray[np.float64]:
    """Return coordinates of some nodes, as a copy; void ones are NaN in both bands."""
    nodes = np.array(stored[(slice(None), *needed.to_slices())], dtype=np.float64, order="C")
    if stored.dtype.kind == "f":  # as the nodes hold it: 0.1 is another number in float32
        with np.errstate(over="ignore"):
            nodata = [float(stored.dtype.type(value)) for value in nodata]
    void = np.array([[np.nan, *nodata]] * 2)
    void_nodes(nodes, void, (0, 0), np.empty(1, np.int64))
    for values, meaning in zip(nodes, meanings, strict=True):
        meaning.write_coordinates(values, needed, resolution)
    void_nodes(nodes, void[:, :1], (0, 0), np.empty(1, np.int64))  # of what overflowed
    return nodes


def _valid_nodes(
    mask: object, valid_value: object, threshold: object, shape: tuple[int, ...], needed: Window
) -> NDArray[np.uint8]:
    """Take the coarse mask: 1 where some nodes are valid."""
    wanted = checks.integer(valid_value, "mask_valid_value", minimum=-(2**63))
    if mask is None:
        checks.left_out(wanted, 1, "mask_valid_value", "mask")
        checks.left_out(threshold, 1.0, "threshold", "mask")
        return NO_BYTES
    where = _where(mask, "mask", wanted, shape, "the nodes'")
    return np.ascontiguousarray(where[needed.to_slices()]).view(np.uint8)


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
