"""Map coordinates <-> pixel centres. The only file with a 0.5.

Integer pixel coordinates are pixel centres (GRIDR's convention and this package's), while GDAL's affine transforms put
integers on pixel corners. The half pixel between the two is applied here and nowhere else.

A transform is any sequence that starts with the six coefficients ``(a, b, c, d, e, f)`` of ``x = a*col + b*row + c``,
``y = d*col + e*row + f``, as `affine.Affine` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import integer_pair, number
from .errors import GridrValueError

TransformT = TypeVar("TransformT", bound=Sequence[float])


def map_to_pixel(
    transform: Sequence[float], xs: ArrayLike, ys: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert map coordinates to pixel coordinates, integers being centres: law 6. Not in GRIDR.

    ``(col, row) = ~transform * (x, y) - (0.5, 0.5)``

    Parameters
    ----------
    transform : affine.Affine
        From pixel corners to the map, as `rasterio` datasets give it.
    xs, ys : array_like
        Map coordinates, of shapes that broadcast.

    Returns
    -------
    rows, cols : ndarray of float64
        Note the order: rows first, as everywhere in this package.

    Raises
    ------
    GridrValueError
        If the transform cannot be inverted.

    Examples
    --------
    >>> from rasterio.transform import from_origin
    >>> from gridr_numba import map_to_pixel
    >>> rows, cols = map_to_pixel(from_origin(500_000, 5_000_000, 10, 10), 500_005, 4_999_975)
    >>> print(rows, cols)
    2.0 0.0
    """
    a, b, c, d, e, f = _coefficients(transform)
    determinant = a * e - b * d
    if determinant == 0.0:
        raise GridrValueError(f"transform must be invertible, and {tuple(transform[:6])} is not", argument="transform")
    dx = np.asarray(xs, dtype=np.float64) - c
    dy = np.asarray(ys, dtype=np.float64) - f
    cols = (e * dx - b * dy) / determinant - 0.5
    rows = (a * dy - d * dx) / determinant - 0.5
    return rows, cols


def pixel_to_map(
    transform: Sequence[float], rows: ArrayLike, cols: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Convert pixel coordinates, integers being centres, to map coordinates: law 6. Not in GRIDR.

    The inverse of `map_to_pixel`: ``(x, y) = transform * (col + 0.5, row + 0.5)``

    Parameters
    ----------
    transform : affine.Affine
        From pixel corners to the map, as `rasterio` datasets give it.
    rows, cols : array_like
        Pixel coordinates, rows first, of shapes that broadcast.

    Returns
    -------
    xs, ys : ndarray of float64
        In the map's units. Note the order: x first.

    Raises
    ------
    GridrValueError
        If the transform has no six finite coefficients.

    Examples
    --------
    >>> from rasterio.transform import from_origin
    >>> from gridr_numba import pixel_to_map
    >>> xs, ys = pixel_to_map(from_origin(500_000, 5_000_000, 10, 10), [0, 2], [0, 0])
    >>> print(xs, ys)
    [500005. 500005.] [4999995. 4999975.]
    """
    a, b, c, d, e, f = _coefficients(transform)
    col_corner = np.asarray(cols, dtype=np.float64) + 0.5
    row_corner = np.asarray(rows, dtype=np.float64) + 0.5
    return a * col_corner + b * row_corner + c, d * col_corner + e * row_corner + f


def dense_transform(transform: TransformT, resolution_row_col: tuple[int, int]) -> TransformT:
    """Return the transform of the dense raster whose coarse nodes have this one. Not in GRIDR.

    Law 6: node centres stay where they are. ``T * translation(0.5, 0.5) * scale(1/rc, 1/rr) * translation(-0.5, -0.5)``

    Parameters
    ----------
    transform : affine.Affine
        The coarse raster's, from pixel corners to the map.
    resolution_row_col : tuple of int
        Dense pixels a node, along rows and columns.

    Returns
    -------
    affine.Affine
        Of the same type as `transform`.

    Raises
    ------
    GridrTypeError, GridrValueError
        If the resolution is not a pair of integers of at least 1.

    Examples
    --------
    Nodes every 4 pixels of 10 m: the first pixel's corner is nearer to its centre than the first node's is.

    >>> from rasterio.transform import from_origin
    >>> from gridr_numba import dense_transform
    >>> tuple(dense_transform(from_origin(0, 0, 40, 40), (4, 4)))[:6]
    (10.0, 0.0, 15.0, 0.0, -10.0, -15.0)
    """
    a, b, _, d, e, _ = _coefficients(transform)
    rr, rc = integer_pair(resolution_row_col, "resolution_row_col", minimum=1)
    return _about_first_centre(transform, a / rc, b / rr, d / rc, e / rr)


def coarse_transform(transform: TransformT, resolution_row_col: tuple[int, int]) -> TransformT:
    """Return the transform of the coarse nodes of a dense raster that has this one: the inverse of `dense_transform`.

    Parameters
    ----------
    transform : affine.Affine
        The dense raster's, from pixel corners to the map.
    resolution_row_col : tuple of int
        Dense pixels a node, along rows and columns.

    Returns
    -------
    affine.Affine
        Of the same type as `transform`.
    """
    a, b, _, d, e, _ = _coefficients(transform)
    rr, rc = integer_pair(resolution_row_col, "resolution_row_col", minimum=1)
    return _about_first_centre(transform, a * rc, b * rr, d * rc, e * rr)


def pixel_map_between(
    transform: Sequence[float], other: Sequence[float]
) -> tuple[float, float, float, float, float, float]:
    """Return the affine map from the pixels of one raster to those of another, integers being centres on both sides.

    ``(rr, rc, r0, cr, cc, c0)`` of ``other_row = rr*row + rc*col + r0`` and ``other_col = cr*row + cc*col + c0``,
    computed in fractions and each rounded once.

    Raises
    ------
    GridrValueError
        If the other transform cannot be inverted.
    """
    half = Fraction(1, 2)
    (a, b, c, d, e, f), (oa, ob, oc, od, oe, of) = (map(Fraction, _coefficients(each)) for each in (transform, other))
    determinant = oa * oe - ob * od
    if determinant == 0:
        raise GridrValueError(f"transform must be invertible, and {tuple(other[:6])} is not", argument="transform")
    x0, y0 = (a + b) * half + c - oc, (d + e) * half + f - of
    exact = (
        (oa * e - od * b) / determinant,
        (oa * d - od * a) / determinant,
        (oa * y0 - od * x0) / determinant - half,
        (oe * b - ob * e) / determinant,
        (oe * a - ob * d) / determinant,
        (oe * x0 - ob * y0) / determinant - half,
    )
    rr, rc, r0, cr, cc, c0 = map(float, exact)
    return rr, rc, r0, cr, cc, c0


def from_corners(corners: ArrayLike) -> NDArray[np.float64]:
    """Take the half pixel off rows or columns that count from a pixel's corner, as GDAL's transformers give them."""
    return np.asarray(corners, dtype=np.float64) - 0.5


def centres(origin: float, step: float, start: int, stop: int) -> NDArray[np.float64]:
    """Return one coordinate of the centres of pixels `start` to `stop` along an axis: ``fl(origin + fl(step * j))``.

    `j` counts from the whole raster's first pixel, so that a centre does not depend on the window it is in.
    """
    centre: NDArray[np.float64] = origin + step * np.arange(start, stop, dtype=np.float64)
    return centre


def edge_before(origin: float, index: ArrayLike) -> NDArray[np.float64]:
    """Return where pixels start along an axis of step 1: half way to the centre before theirs, ``origin + index``."""
    edge: NDArray[np.float64] = origin + np.asarray(index, dtype=np.float64) - 0.5
    return edge


def lattice_transform(
    origin_row_col: tuple[float, float], step_row_col: tuple[float, float]
) -> tuple[float, float, float, float, float, float]:
    """Return the coefficients that take GDAL's pixel corners to the frame in which `origin_row_col` is a centre."""
    (origin_row, origin_col), (step_row, step_col) = origin_row_col, step_row_col
    return step_col, 0.0, origin_col - 0.5 * step_col, 0.0, step_row, origin_row - 0.5 * step_row


def pixel_area(size: float) -> tuple[float, float]:
    """Return the coordinates along an axis at which an image of so many pixels begins and ends."""
    return -0.5, size - 0.5


def is_turned(transform: Sequence[float]) -> bool:
    """Say whether rows and columns of pixels are not along the axes of the map."""
    _, b, _, d, _, _ = _coefficients(transform)
    return b != 0.0 or d != 0.0


def centres_along(transform: Sequence[float] | None, axis: int, start: int, stop: int) -> NDArray[Any]:
    """Return the y (axis 0) or the x (axis 1) of some pixel centres of a raster that is not turned.

    Without a transform, they are the pixels' numbers.
    """
    numbers = np.arange(start, stop)
    if transform is None:
        return numbers
    xs, ys = pixel_to_map(transform, numbers, numbers)
    return ys if axis == 0 else xs


def outline(transform: Sequence[float], shape_row_col: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return the least and the largest map coordinates of a raster's corners: left, bottom, right, top."""
    a, b, c, d, e, f = _coefficients(transform)
    corners = [(row, col) for row in (0, shape_row_col[0]) for col in (0, shape_row_col[1])]
    xs = [a * col + b * row + c for row, col in corners]
    ys = [d * col + e * row + f for row, col in corners]
    return min(xs), min(ys), max(xs), max(ys)


def shifted_transform(transform: TransformT, row: int, col: int) -> TransformT:
    """Return the transform of the part of a raster that starts at this pixel."""
    a, b, c, d, e, f = _coefficients(transform)
    return _like(transform, a, b, a * col + b * row + c, d, e, d * col + e * row + f)


def _coefficients(transform: Sequence[float]) -> tuple[float, ...]:
    coefficients = tuple(number(value, "transform") for value in tuple(transform)[:6])
    if len(coefficients) != 6:
        raise GridrValueError(
            f"transform must have six coefficients (a, b, c, d, e, f), not {len(coefficients)}", argument="transform"
        )
    return coefficients


def _about_first_centre(transform: TransformT, a: float, b: float, d: float, e: float) -> TransformT:
    """Return a transform with pixels of another size, the first of which has its centre where that of this one is."""
    old_a, old_b, c, old_d, old_e, f = _coefficients(transform)
    x, y = old_a * 0.5 + old_b * 0.5 + c, old_d * 0.5 + old_e * 0.5 + f
    return _like(transform, a, b, x - 0.5 * (a + b), d, e, y - 0.5 * (d + e))


def _like(transform: TransformT, *coefficients: float) -> TransformT:
    """Return coefficients as the type that the transform is of: an `Affine` takes them apart, a list or tuple not."""
    build: Any = type(transform)
    like: TransformT = build(coefficients) if build in (tuple, list) else build(*coefficients)
    return like
