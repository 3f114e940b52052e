"""Dense grids and masks as xarray Datasets, made chunk by chunk by dask, or at once of arrays in memory.

The extra ``dask`` is needed for what is lazy, ``xarray`` for arrays in memory. What a graph holds is small: a chunk's
task is a function of this file, the slices of its chunk, and a reference to one task, which holds what all chunks have
in common (paths, options, polygons). A task computes in its own thread, and starts no others.

The threaded scheduler and dask.distributed are what lazy arrays are for. Dask's multiprocessing scheduler gives the
same bits, but pipes each chunk through the parent process, and is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from .doors.densifier import Densifier, open_densifier
from .doors.node_arrays import NodeArrays, array_raster
from .errors import GridrTypeError, GridrValueError
from .files.crs import axis_attributes, grid_mapping_of
from .georef import centres_along, is_turned
from .plan import node_window
from .types import AnyArray, AnyDtype, FilePath, Pair
from .window import Window

if TYPE_CHECKING:
    import xarray

__all__ = ["densify_arrays", "densify_lazy"]

_SPATIAL_REF = "spatial_ref"
_BANDS = ("row", "col", "mask")


def densify_lazy(
    grid: FilePath | Sequence[FilePath] | None,
    *,
    resolution: int | tuple[int, int] | None = None,
    chunks: Any = 2048,
    **options: Any,
) -> xarray.Dataset:
    """Describe a dense grid and its mask, of which dask makes the chunks that are asked for.

    Chunks have the bits of what `densify` writes (law 10; RASTERIO_RASTERIZE with law 7's exception), whatever their
    shape and the scheduler. Inputs and options are checked now, and files that have changed when a chunk is made are
    refused. Where tasks run, the coarse files must have the same paths.

    Parameters
    ----------
    grid : path, pair of paths or None
        The coarse grid. None makes only the mask.
    resolution : int or tuple of int, optional
        Dense pixels a node along rows and columns.
    chunks : int, tuple, dict or 'auto'
        Rows and columns of a chunk, as dask has it; a dict is by the names ``y`` and ``x``.
    **options
        All others of `open_densifier`, but for `threads`.

    Returns
    -------
    xarray.Dataset
        ``row``, ``col`` and ``mask``, with dimensions ``y`` and ``x``, whose coordinates are those of pixel centres:
        numbers of pixels where the inputs say no place, none where the transform has a rotation or a shear. The
        coordinate ``spatial_ref`` has CRS and transform as rioxarray and odc-geo read them.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DatasetError
        For a file that cannot be read, now; when a chunk is made, also for one that has changed.
    ImportError
        Without the extra ``dask``.
    """
    _needed("dask.array", "dask")
    _needed("xarray", "dask")
    densifier = open_densifier(grid, resolution=resolution, threads=1, **options)
    sizes = _chunks(chunks, densifier.shape, densifier.dtype or densifier.mask_dtype)
    arrays = _arrays(_read, sizes, densifier, (), (densifier.dtype, densifier.mask_dtype))
    return _dataset(arrays, densifier.shape, densifier.crs, densifier.transform)


def densify_arrays(
    row: xarray.DataArray,
    col: xarray.DataArray,
    resolution: int | tuple[int, int],
    *,
    mask: xarray.DataArray | None = None,
    chunks: Any = 2048,
    **options: Any,
) -> xarray.Dataset:
    """Make a coarse grid and its mask dense that are xarray's: at once where they are in memory, lazily where dask's.

    The laws are those of `densify`. Where the arrays lie is what their ``x`` and ``y`` coordinates say, or else the
    ``GeoTransform`` of their grid mapping, which also has the CRS. ``_FillValue``, ``scale_factor`` and ``add_offset``
    among their attributes are nodata, scale and offset of values that are not decoded yet.

    Parameters
    ----------
    row, col : xarray.DataArray
        Source rows and source columns of the nodes, of two dimensions, rows first.
    resolution : int or tuple of int
        Dense pixels a node along rows and columns.
    mask : xarray.DataArray, optional
        The coarse mask, one pixel a node.
    chunks : int, tuple, dict or 'auto'
        Where an input is dask's, about the rows and columns of a chunk: chunks are whole cells between nodes.
    **options
        Of `open_densifier`: window, valid, invalid, geometry_origin, displacement, source_offset, source,
        mask_valid_value, mask_out_values, fill, threshold, rasterize_kwargs, repair_geometry, grid_nodata, dtype,
        geometry_crs, geometry_layer.

    Returns
    -------
    xarray.Dataset
        As `densify_lazy` returns it.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    ImportError
        Without the extra ``xarray``, or ``dask`` where an array is dask's.
    """
    _needed("xarray", "xarray")
    for name in options:
        if name not in _OF_ARRAYS:
            raise GridrTypeError(f"{name} is no argument of densify_arrays", argument=name)
    given = {"row": row, "col": col} if mask is None else {"row": row, "col": col, "mask": mask}
    rasters = [_raster(name, each) for name, each in given.items()]
    described = NodeArrays.of(rasters[0], rasters[1], rasters[2] if mask is not None else None, resolution, options)
    values = [each.data for each in given.values()]
    place, dtypes = described.place, (described.dtype, described.mask_out.dtype)
    if any(hasattr(each, "__dask_graph__") for each in values):
        _needed("dask.array", "dask")
        sizes = _chunks(chunks, place.extent.window.shape, described.dtype)
        cells, blocks = _whole_cells(place.extent.window, place.extent.resolution, (sizes[0][0], sizes[1][0]))
        arrays = _arrays(_make, cells, described, [_node_blocks(each, blocks) for each in values], dtypes)
    else:
        nodes = [np.asarray(each) for each in values]
        coords, codes = described.make(
            place.extent.window, nodes[0], nodes[1], nodes[2] if mask is not None else None, threads=None
        )
        arrays = dict(zip(_BANDS, (*coords, codes), strict=True))
    return _dataset(arrays, place.extent.window.shape, place.crs, place.transform)


_OF_ARRAYS = frozenset(
    [
        "window",
        "valid",
        "invalid",
        "geometry_origin",
        "displacement",
        "source_offset",
        "source",
        "mask_valid_value",
        "mask_out_values",
        "fill",
        "threshold",
        "rasterize_kwargs",
        "repair_geometry",
        "grid_nodata",
        "dtype",
        "geometry_crs",
        "geometry_layer",
    ]
)


def _needed(module: str, extra: str) -> Any:
    """Import an optional library."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"gridr_numba.lazy needs {module.split('.')[0]}, which cannot be imported ({error}): "
            f"pip install 'gridr_numba[{extra}]'"
        ) from error


# -- tasks --------------------------------------------------------------------------------------------------------


def _read(slices: tuple[slice, slice], densifier: Densifier) -> tuple[AnyArray | None, AnyArray | None, AnyArray]:
    """Make a chunk of what is in files."""
    coords, mask = densifier.read(slices)
    return (None, None, mask) if coords is None else (coords[0], coords[1], mask)


def _make(
    slices: tuple[slice, slice], described: NodeArrays, row: AnyArray, col: AnyArray, mask: AnyArray | None = None
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Make a chunk of what is in blocks of nodes: those that contribute to it, and perhaps more after them."""
    extent = described.place.extent
    rows, cols = slices
    part = Window(rows.start, rows.stop, cols.start, cols.stop)
    window = part.moved(extent.window.row_start, extent.window.col_start)
    nodes, _ = node_window(window, extent.resolution)
    coords, codes = described.make(window, row, col, mask, (nodes.row_start, nodes.col_start))
    return coords[0], coords[1], codes


# -- the graph ----------------------------------------------------------------------------------------------------


def _arrays(
    task: Callable[..., Any],
    chunks: tuple[tuple[int, ...], ...],
    common: Any,
    blocks: Sequence[Any],
    dtypes: tuple[AnyDtype | None, AnyDtype],
) -> dict[str, Any]:
    """Return dask arrays of what a task makes: it takes a chunk's slices, what all have in common, and its blocks."""
    import dask.array as da
    from dask.base import tokenize
    from dask.blockwise import blockwise
    from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
    from dask.layers import ArraySliceDep

    token = tokenize(task.__name__, common, chunks, *blocks)
    shared, made = f"gridr-inputs-{token}", f"gridr-chunk-{token}"
    numblocks = {shared: (), **{each.name: each.numblocks for each in blocks}}
    pairs = [argument for each in blocks for argument in (each.name, "yx")]
    layers: dict[str, Any] = {
        shared: MaterializedLayer({(shared,): common}),
        made: blockwise(task, made, "yx", ArraySliceDep(chunks), "yx", shared, (), *pairs, numblocks=numblocks),
    }
    dependencies = {shared: set(), made: {shared, *(each.name for each in blocks)}}
    for each in blocks:
        layers.update(each.dask.layers)
        dependencies.update(each.dask.dependencies)
    names = {band: f"gridr-{band}-{token}" for band in _BANDS}
    counts = {made: tuple(map(len, chunks))}
    for index, name in enumerate(names.values()):
        layers[name] = blockwise(itemgetter(index), name, "yx", made, "yx", numblocks=counts)
        dependencies[name] = {made}
    graph = HighLevelGraph(layers, dependencies)
    typed = zip(_BANDS, (dtypes[0], dtypes[0], dtypes[1]), strict=True)
    return {band: da.Array(graph, names[band], chunks, dtype=dtype) for band, dtype in typed if dtype is not None}


def _chunks(chunks: object, shape: Pair, dtype: AnyDtype) -> tuple[tuple[int, ...], ...]:
    """Take `chunks` in any form that dask has, or by the names of the dimensions."""
    from dask.array.core import normalize_chunks

    if isinstance(chunks, Mapping):
        for name in chunks:
            if name not in ("y", "x"):
                raise GridrValueError(f"chunks must be by 'y' and 'x', not {name!r}", argument="chunks")
        chunks = {0: chunks.get("y", -1), 1: chunks.get("x", -1)}
    try:
        sizes: tuple[tuple[int, ...], ...] = normalize_chunks(chunks, shape, dtype=dtype)
    except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
        raise GridrValueError(
            f"chunks must be rows and columns as dask takes them, not {chunks!r}: {error}", argument="chunks"
        ) from error
    if any(not isinstance(size, int) or size < 1 for axis in sizes for size in axis):
        raise GridrValueError(f"chunks must be whole numbers from 1 on, not {chunks!r}", argument="chunks")
    return sizes


def _whole_cells(window: Window, resolution: Pair, wanted: Pair) -> tuple[tuple[tuple[int, ...], ...], list[Any]]:
    """Cut a window between nodes: the chunks' sizes, and for each axis the first nodes of the blocks and the last."""
    sizes, nodes = [], []
    ends = (window.row_start, window.row_stop), (window.col_start, window.col_stop)
    for (start, stop), step, size in zip(ends, resolution, wanted, strict=True):
        cells = max(1, size // step)
        last = -(-(stop - 1) // step)
        firsts = list(range(start // step, max(last, start // step + 1), cells))
        edges = [start, *(first * step for first in firsts[1:]), stop]
        sizes.append(tuple(int(size) for size in np.diff(edges)))
        nodes.append((firsts, last))
    return tuple(sizes), nodes


def _node_blocks(values: Any, nodes: Sequence[tuple[list[int], int]]) -> Any:
    """Cut nodes into one block a chunk, each with the first nodes of the next ones."""
    import dask.array as da
    from dask.array.overlap import overlap

    array = da.asarray(values)[tuple(slice(firsts[0], last + 1) for firsts, last in nodes)]
    sizes = tuple(tuple(int(size) for size in np.diff([*firsts, last + 1])) for firsts, last in nodes)
    depth = {axis: (0, 1 if len(each) > 1 else 0) for axis, each in enumerate(sizes)}
    return overlap(array.rechunk(sizes), depth=depth, boundary="none", allow_rechunk=False)


# -- xarray -------------------------------------------------------------------------------------------------------


def _raster(name: str, array: Any) -> Any:
    """Describe a DataArray."""
    import xarray as xr

    if not isinstance(array, xr.DataArray):
        raise GridrTypeError(f"{name} must be an xarray.DataArray, not {type(array).__name__}", argument=name)
    if array.ndim != 2 or 0 in array.shape:
        raise GridrValueError(
            f"{name} must have two dimensions, rows first, none of them empty, not {dict(array.sizes)}", argument=name
        )
    mapping = array.encoding.get("grid_mapping", array.attrs.get("grid_mapping", _SPATIAL_REF))
    spatial_ref = array.coords[mapping].attrs if mapping in array.coords else {}
    axes = [array.coords[dim].values for dim in array.dims if dim in array.coords]
    numbers = len(axes) == 2 and all(axis.dtype.kind in "iuf" for axis in axes)
    shape = int(array.shape[0]), int(array.shape[1])
    return array_raster(name, shape, array.dtype, array.attrs, spatial_ref, axes if numbers else None)


def _dataset(arrays: Mapping[str, Any], shape: Pair, crs: Any, transform: Any) -> xarray.Dataset:
    """Put arrays together, with their place."""
    import xarray as xr

    coords: dict[str, Any] = _axes(shape, crs, transform)
    mapping = grid_mapping_of(crs, transform)
    if mapping:
        coords[_SPATIAL_REF] = ((), np.int64(0), mapping)
    dataset = xr.Dataset({name: (("y", "x"), values) for name, values in arrays.items()}, coords)
    for name in arrays if mapping else ():
        dataset[name].encoding["grid_mapping"] = _SPATIAL_REF
    return dataset


def _axes(shape: Pair, crs: Any, transform: Any) -> dict[str, Any]:
    """Return the coordinates of pixel centres along each axis, where they have such."""
    if transform is not None and is_turned(transform):
        return {}
    about = zip(("y", "x"), shape, axis_attributes(crs, transform), strict=True)
    return {
        name: (name, centres_along(transform, axis, 0, size), attributes)
        for axis, (name, size, attributes) in enumerate(about)
    }
