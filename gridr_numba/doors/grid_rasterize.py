"""`grid_rasterize`: polygons on a lattice of pixel centres, in memory."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from .. import checks
from ..errors import DtypeError, GridrTypeError, GridrValueError
from ..polygons.forms import polygon_set
from ..polygons.mask import RASTERIO_DILATION, Lattice, paint, write_inside
from ..polygons.sets import BUFFER_LIMIT, PolygonSet, inside_points
from ..types import AnyArray, GeometryType, GridRasterizeAlg, RasterizeOptions, WindowPairs
from ..window import Window

logger = logging.getLogger(__name__)


def grid_rasterize(
    grid_coords: Sequence[AnyArray] | AnyArray | None,
    shape: tuple[int, int] | None,
    origin: tuple[float, float] | None,
    resolution: tuple[float, float] | None,
    win: WindowPairs | None,
    inner_value: int,
    outer_value: int,
    default_value: int,
    geometry: GeometryType | None,
    geometry_buffer_dst: float | EllipsisType | None = ...,
    alg: GridRasterizeAlg = GridRasterizeAlg.RASTERIO_RASTERIZE,
    output: AnyArray | None = None,
    dtype: DTypeLike | None = None,
    reduce: bool = False,
    **kwargs_alg: Any,
) -> AnyArray | int | float | None:
    """Rasterize polygons on a lattice of pixel centres. GRIDR's name and signature.

    Law 6. SHAPELY gives what shapely's predicate answers for each centre and each polygon; RASTERIO_RASTERIZE what
    `rasterio.features.rasterize(all_touched=False)` burns of the dilated polygons.

    Parameters
    ----------
    grid_coords : pair of arrays, array (2, rows, columns), or None
        The centres, columns (x) first: two 1-D arrays (x of the columns, y of the rows) or two 2-D ones. Irregular
        lattices only for SHAPELY.
    shape, origin, resolution : pairs (row, column), or None
        The lattice instead of `grid_coords`: its shape, the centre of pixel (0, 0), and the step, any positive number.
    win : inclusive pairs ``((first_row, last_row), (first_col, last_col))`` or None
        The part of the lattice to rasterize; None is all.
    inner_value, outer_value, default_value : int
        For pixels inside, outside, and all of them where no geometry was given.
    geometry : GeometryType or None
        Polygons, in the frame of the centres: x along columns, y along rows. What holds no polygon means None, as in
        GRIDR, and a WARNING says so.
    geometry_buffer_dst : float or None, optional
        Grow (shrink, where negative) the polygons by so much first. By default 1e-6 for RASTERIO_RASTERIZE, as in
        GRIDR, and None for SHAPELY (GRIDR: 1e-6 too).
    alg : GridRasterizeAlg
        Or its integer value.
    output : ndarray, optional
        Where to write; any strides, the window's shape. Exactly one of `output` and `dtype` must be given.
    dtype : data type, optional
        Of the array to return. `bool` only for SHAPELY.
    reduce : bool
        Return the value alone where the whole window has one. Not with `output`.
    **kwargs_alg
        For SHAPELY: `shapely_predicate`, a ShapelyPredicate (COVERS).

    Returns
    -------
    ndarray, number or None
        None where `output` was given.

    Raises
    ------
    GridrValueError
        For a window outside the lattice, both or neither of `output` and `dtype`, a wrong shape, values that do not
        fit, an irregular lattice with RASTERIO_RASTERIZE, an unknown algorithm or option.
    GridrTypeError
        For arguments that are the wrong kind of thing, such as a line among the polygons.

    Examples
    --------
    >>> import numpy as np
    >>> import shapely
    >>> from gridr_numba import GridRasterizeAlg, ShapelyPredicate, grid_rasterize
    >>> box = shapely.box(1, 0, 3, 2)  # x, y: columns 1 to 3, rows 0 to 2
    >>> lattice = dict(grid_coords=None, shape=(3, 5), origin=(0, 0), resolution=(1, 1), win=None)
    >>> values = dict(inner_value=1, outer_value=0, default_value=0, geometry=box, dtype=np.uint8)
    >>> print(grid_rasterize(**lattice, **values, alg=GridRasterizeAlg.SHAPELY))
    [[0 1 1 1 0]
     [0 1 1 1 0]
     [0 1 1 1 0]]
    >>> open_set = grid_rasterize(
    ...     **lattice, **values, alg=GridRasterizeAlg.SHAPELY, shapely_predicate=ShapelyPredicate.CONTAINS
    ... )
    >>> print(open_set[1])
    [0 0 1 0 0]
    """
    options = checks.algorithm_options(alg, kwargs_alg, "alg", "kwargs_alg")
    lattice, points = _lattice(grid_coords, shape, origin, resolution)
    whole = lattice.shape_row_col if lattice is not None else points[0].shape
    window = Window.whole(whole) if win is None else Window.from_inclusive(win, "win")
    if not window.within(whole):
        raise GridrValueError(
            f"win must lie within the lattice's {whole} rows and columns, not {win!r}", argument="win"
        )
    result = _result_array(output, dtype, window.shape, options, reduce)
    for value, name in ((inner_value, "inner_value"), (outer_value, "outer_value"), (default_value, "default_value")):
        checks.fits(value, result.dtype, name)

    polygons = polygon_set(geometry, "geometry")
    if polygons is None:
        if geometry is not None:
            logger.warning("geometry holds no polygon: as if it were not given")
        result[...] = default_value
        return default_value if reduce else (None if output is not None else result)
    if geometry_buffer_dst is ...:
        geometry_buffer_dst = RASTERIO_DILATION if options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE else None
    if geometry_buffer_dst is not None:
        distance = checks.finite(geometry_buffer_dst, "geometry_buffer_dst")
        if abs(distance) > BUFFER_LIMIT:
            raise GridrValueError(
                f"geometry_buffer_dst must be at most {BUFFER_LIMIT:g}, not {geometry_buffer_dst!r}",
                argument="geometry_buffer_dst",
            )
        polygons = polygons.dilated(distance)

    values = (outer_value, inner_value)
    if lattice is not None:
        write_inside(polygons, lattice, window, options, values, result)
    else:
        _write_inside_coordinates(polygons, points, window, options, values, result)
    if reduce and (inner_value == outer_value or _is_uniform(result)):
        return inner_value if _is_uniform(np.array([result.flat[0], inner_value], result.dtype)) else outer_value
    return None if output is not None else result


def _is_uniform(values: AnyArray) -> bool:
    """Say whether an array has one value, which may be NaN."""
    if values.itemsize > 8:  # longdouble
        return bool(((values == values.flat[0]) | (values != values) & np.isnan(values.flat[0])).all())
    bits = values.view(f"u{values.itemsize}")
    return bool(bits.min() == bits.max())


def _result_array(output: Any, dtype: Any, shape: tuple[int, int], options: RasterizeOptions, reduce: bool) -> AnyArray:
    if (output is None) == (dtype is None):
        raise GridrValueError(
            f"exactly one of output and dtype must be given, not {'both' if dtype else 'neither'}", argument="output"
        )
    if output is not None and reduce:
        raise GridrValueError("reduce must be False with output: there is nothing to return", argument="reduce")
    result = (
        np.empty(shape, checks.dtype(dtype, "dtype"))
        if output is None
        else checks.output_array(output, "output", shape, "biuf")
    )
    if result.dtype.kind == "b" and options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE:
        name = "dtype" if output is None else "output"
        raise DtypeError(
            f"{name}: bool is not a data type that RASTERIO_RASTERIZE can burn; use uint8, or SHAPELY", argument=name
        )
    if result.dtype.kind not in "biuf":
        raise DtypeError(f"dtype must be a real number type, not {result.dtype}", argument="dtype")
    return result


Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def _lattice(grid_coords: Any, shape: Any, origin: Any, resolution: Any) -> tuple[Lattice | None, Points]:
    """Take the lattice in either of its forms: a regular one, or the x and y of each centre (2-D, columns first)."""
    described = (shape, origin, resolution)
    if grid_coords is None and not any(part is None for part in described):
        step = checks.real_pair(resolution, "resolution")
        if not (step[0] > 0 and step[1] > 0):
            raise GridrValueError(f"resolution must be positive, not {resolution!r}", argument="resolution")
        shape_row_col = checks.integer_pair(shape, "shape", minimum=1)
        nothing = np.empty((0, 0))
        return Lattice(shape_row_col, checks.real_pair(origin, "origin"), step), (nothing, nothing)
    if grid_coords is None or any(part is not None for part in described):
        raise GridrValueError(
            "the lattice must be given either as grid_coords or as shape, origin and resolution", argument="grid_coords"
        )
    if not isinstance(grid_coords, np.ndarray | Sequence) or (
        isinstance(grid_coords, np.ndarray) and not grid_coords.ndim
    ):
        raise GridrTypeError(
            f"grid_coords must be two arrays, columns first, not {grid_coords!r}", argument="grid_coords"
        )
    if len(grid_coords) != 2:
        raise GridrValueError(
            f"grid_coords must be two arrays, columns first, not {len(grid_coords)}", argument="grid_coords"
        )
    try:
        xs, ys = (np.asarray(part) for part in grid_coords)
    except ValueError as error:  # ragged sequences
        raise GridrValueError(
            f"grid_coords must be two arrays, columns first: {error}", argument="grid_coords"
        ) from error
    if xs.dtype.kind not in "iuf" or ys.dtype.kind not in "iuf":
        raise GridrTypeError(
            f"grid_coords must hold real numbers, not {xs.dtype} and {ys.dtype}", argument="grid_coords"
        )
    xs, ys = xs.astype(np.float64), ys.astype(np.float64)
    if xs.ndim == ys.ndim == 1:
        xs, ys = np.meshgrid(xs, ys)
    if xs.ndim != 2 or xs.shape != ys.shape or xs.size == 0:
        raise GridrValueError(
            "grid_coords must be two 1-D arrays, or two 2-D ones of one shape, "
            f"not of shapes {xs.shape} and {ys.shape}",
            argument="grid_coords",
        )
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise GridrValueError("grid_coords must be finite", argument="grid_coords")
    return None, (xs, ys)


def _write_inside_coordinates(
    polygons: PolygonSet,
    points: Points,
    window: Window,
    options: RasterizeOptions,
    values: tuple[Any, Any],
    out: AnyArray,
) -> None:
    """Write values for centres given one by one: shapely is asked each, unless they are regular, as GDAL needs them."""
    whole_xs, whole_ys = points
    xs, ys = (part[window.to_slices()] for part in points)
    separable = (whole_xs == whole_xs[:1]).all() and (whole_ys == whole_ys[:, :1]).all()
    if options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE:
        step_col, step_row = _regular_step(whole_xs[0]), _regular_step(whole_ys[:, 0])
        if step_col is None or step_row is None or not separable:
            raise GridrValueError(
                "grid_coords must be a regular lattice for RASTERIO_RASTERIZE; SHAPELY takes any",
                argument="grid_coords",
            )
        lattice = Lattice(window.shape, (float(ys[0, 0]), float(xs[0, 0])), (step_row, step_col))
        write_inside(polygons, lattice, Window.whole(window.shape), options, values, out)
        return
    if not (separable and _is_monotonic(xs[0]) and _is_monotonic(ys[:, 0])):
        paint(inside_points(polygons, xs, ys, options.predicate).view(np.uint8), values, out)
        return
    forward_cols, forward_rows = (slice(None, None, -1 if part[0, 0] > part[-1, -1] else 1) for part in (xs, ys))
    regular = _exact_lattice(xs[0, forward_cols], ys[forward_rows, 0])
    if regular is None:
        inside = np.zeros(window.shape, np.bool_)
        polygons.mark_inside(xs[0], ys[:, 0], options.predicate, inside)
        paint(inside.view(np.uint8), values, out)
    else:
        forward = out[forward_rows, forward_cols]
        write_inside(polygons, regular, Window.whole(window.shape), options, values, forward)


def _exact_lattice(xs: NDArray[np.float64], ys: NDArray[np.float64]) -> Lattice | None:
    """Return the lattice that has these ascending centres to the bit, or None where there is none."""
    step_row, step_col = _regular_step(ys), _regular_step(xs)
    if step_row is None or step_col is None:
        return None
    lattice = Lattice((len(ys), len(xs)), (float(ys[0]), float(xs[0])), (step_row, step_col))
    same = zip(lattice.centres(Window.whole(lattice.shape_row_col)), (xs, ys), strict=True)
    return lattice if all(np.array_equal(a, b) for a, b in same) else None


def _is_monotonic(values: NDArray[np.float64]) -> bool:
    steps = np.diff(values)
    return bool((steps > 0).all() or (steps < 0).all())


def _regular_step(values: NDArray[np.float64]) -> float | None:
    """Return the step of equally spaced values (1 for a single one), or None where they are not.

    A thousandth of a step is let pass: values computed in float32 are as regular as that.
    """
    if len(values) == 1:
        return 1.0
    step = float((values[-1] - values[0]) / (len(values) - 1))
    expected = values[0] + step * np.arange(len(values))
    return step if step != 0 and float(np.abs(values - expected).max()) <= 1e-3 * abs(step) else None
