"""Dense grids and masks, and resampled images, as xarray Datasets: made chunk by chunk by dask, or at once in memory.

The extra ``dask`` is needed for what is lazy, ``xarray`` for arrays in memory. What a graph holds is small: a chunk's
task is a function of this file, the slices of its chunk, and a reference to one task, which holds what all chunks have
in common (paths, options, polygons). A task computes in its own thread, and starts no others.

The threaded scheduler and dask.distributed are what lazy arrays are for. Dask's multiprocessing scheduler gives the
same bits, but pipes each chunk through the parent process, and is slow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np

from . import checks
from .doors.densifier import open_densifier
from .doors.node_arrays import NodeArrays, array_raster
from .doors.resampler import Resampler, open_resampler
from .errors import GridrTypeError, GridrValueError
from .files.crs import axis_attributes, grid_mapping_of
from .georef import centres_along, is_turned
from .types import FilePath, Pair

if TYPE_CHECKING:
    import xarray

__all__ = ["densify_arrays", "densify_lazy", "resample_lazy"]

_SPATIAL_REF = "spatial_ref"


def densify_lazy(
    grid: FilePath | Sequence[FilePath] | None,
    *,
    resolution: int | tuple[int, int] | None = None,
    chunks: Any = 2048,
    **options: Any,
) -> xarray.Dataset:
    """Describe a dense grid and its mask, of which dask makes the chunks that are asked for.

    Not in GRIDR. Chunks have the bits of what `densify` writes (law 10; RASTERIO_RASTERIZE with law 7's exception),
    whatever their shape and the scheduler. Inputs and options are checked now, and files that have changed when a chunk
    is made are refused. Where tasks run, the coarse files must have the same paths.

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

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import lazy
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=3, width=4, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:3, :4] * 10.0)
    >>> dense = lazy.densify_lazy("grid.tif", resolution=10, chunks=16)
    >>> dict(dense.sizes), dense["row"].chunks
    ({'y': 21, 'x': 31}, ((16, 5), (16, 15)))
    >>> dense["col"][7, 10:13].values.tolist()
    [10.0, 11.0, 12.0]
    """
    graph = _needed("dask", "dask", ".graph")
    _needed("xarray", "dask")
    checks.known(options, _OF_FILES, "densify_lazy")
    densifier = open_densifier(grid, resolution=resolution, threads=1, **options)
    sizes = graph.chunk_sizes(chunks, densifier.shape, densifier.dtype or densifier.mask_dtype)
    arrays = graph.arrays_of_files(densifier, sizes)
    return _dataset(arrays, densifier.shape, densifier.crs, densifier.transform)


def resample_lazy(
    image: FilePath,
    grid: FilePath | Sequence[FilePath],
    *,
    resolution: int | tuple[int, int] | None = None,
    chunks: Any = 2048,
    **options: Any,
) -> xarray.Dataset:
    """Describe an image resampled through a coarse grid, and its mask, of which dask makes the chunks asked for.

    Not in GRIDR. Chunks have the bits of what `resample` writes (law 10; RASTERIO_RASTERIZE with law 7's exception),
    whatever their shape and the scheduler. A task reads the part of the image that its chunk looks up. Inputs and
    options are checked now, and files that have changed when a chunk is made are refused. Where tasks run, the files
    must have the same paths.

    Parameters
    ----------
    image : path
        The source image.
    grid : path or pair of paths
        The coarse grid.
    resolution : int or tuple of int, optional
        Dense pixels a node along rows and columns.
    chunks : int, tuple, dict or 'auto'
        Rows and columns of a chunk, as dask has it; a dict is by the names ``y`` and ``x``. A chunk has all bands.
    **options
        Of `resample`: like, window, bands, interpolation, nodata, source_mask, source_mask_band,
        source_mask_valid_value, band_validity, edge, mask, mask_out_values, mask_band, mask_valid_value, threshold,
        valid, invalid, geometry_origin, geometry_crs, geometry_layer, rasterize_kwargs, repair_geometry, grid_order,
        row_band, col_band, displacement, source_offset, grid_nodata, dtype, allow_vrt. `nodata` may be left out, since
        there is a mask. `memory_budget` is a task's: half of it is for its part of the image, and a chunk that looks
        up more is made piece by piece.

    Returns
    -------
    xarray.Dataset
        ``image``, with dimensions ``band``, ``y`` and ``x``, and ``mask``, with ``y`` and ``x``, and with
        ``band_validity="each"`` and several bands ``band`` too. Their coordinates are the bands' numbers in the source,
        and as `densify_lazy` has them. Attributes of ``image`` are what the bands say of their values, which are raw:
        ``_FillValue``, ``scale_factor``, ``add_offset``, ``units``, ``long_name``.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument.
    DtypeError
        For an image or a `dtype` of 64-bit integers or complex numbers.
    DatasetError
        For a file that cannot be read, now; when a chunk is made, also for one that has changed.
    MemoryError
        When a chunk is made, if `memory_budget` is too small for what a few pixels of a cell of the grid look up.
    ImportError
        Without the extra ``dask``.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba.lazy import resample_lazy
    >>> pixels = np.arange(35, dtype="uint8").reshape(5, 7)
    >>> with rasterio.open("image.tif", "w", driver="GTiff", count=1, height=5, width=7, dtype="uint8") as image:
    ...     image.write(pixels, 1)
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=2, width=3, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:2, :3] * 2.0 + 1.0)  # one row down and one column to the right
    >>> lazy = resample_lazy("image.tif", "grid.tif", resolution=2, nodata=255, chunks=(2, 4))
    >>> lazy["image"].dims, lazy["image"].chunks
    (('band', 'y', 'x'), ((1,), (2, 1), (4, 1)))
    >>> lazy["image"][0].values.tolist() == pixels[1:4, 1:6].tolist()
    True
    """
    graph = _needed("dask", "dask", ".graph")
    _needed("xarray", "dask")
    resampler = open_resampler(image, grid, "resample_lazy", resolution=resolution, **options)
    of_a_pixel = np.dtype((resampler.dtype, (len(resampler.numbers),)))
    arrays = graph.arrays_of_images(resampler, graph.chunk_sizes(chunks, resampler.shape, of_a_pixel))
    dataset = _dataset(arrays, resampler.shape, resampler.crs, resampler.transform)
    dataset["image"].attrs.update(_band_attributes(resampler))
    return dataset.assign_coords(band=np.array(resampler.numbers))


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

    Not in GRIDR. The laws are those of `densify`. Where the arrays lie is what their ``x`` and ``y`` coordinates say,
    or else the ``GeoTransform`` of their grid mapping, which also has the CRS. ``_FillValue``, ``scale_factor`` and
    ``add_offset`` among their attributes are nodata, scale and offset of values that are not decoded yet.

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

    Examples
    --------
    >>> import numpy as np
    >>> import xarray
    >>> from gridr_numba import lazy
    >>> row, col = (xarray.DataArray(band, dims=("y", "x")) for band in np.mgrid[:3, :4] * 10.0)
    >>> dense = lazy.densify_arrays(row, col, 10)
    >>> dense["row"].shape, float(dense["col"][7, 12])
    ((21, 31), 12.0)
    """
    _needed("xarray", "xarray")
    checks.known(options, _OF_ARRAYS, "densify_arrays")
    given = {"row": row, "col": col} if mask is None else {"row": row, "col": col, "mask": mask}
    rasters = [_raster(name, each) for name, each in given.items()]
    described = NodeArrays.of(rasters[0], rasters[1], rasters[2] if mask is not None else None, resolution, options)
    values = [each.data for each in given.values()]
    place = described.place
    if any(hasattr(each, "__dask_graph__") for each in values):
        graph = _needed("dask", "dask", ".graph")
        sizes = graph.chunk_sizes(chunks, place.extent.window.shape, described.dtype)
        arrays = graph.arrays_of_blocks(described, sizes, values)
    else:
        nodes = [np.asarray(each) for each in values]
        coords, codes = described.make(
            place.extent.window, nodes[0], nodes[1], nodes[2] if mask is not None else None, threads=None
        )
        arrays = {"row": coords[0], "col": coords[1], "mask": codes}
    return _dataset(arrays, place.extent.window.shape, place.crs, place.transform)


_OF_FILES = frozenset(signature(open_densifier).parameters) - {"threads"}

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


def _needed(library: str, extra: str, module: str | None = None) -> Any:
    """Import an optional library, or a module of this package that imports it."""
    try:
        import_module(library)
    except ImportError as error:
        raise ImportError(
            f"gridr_numba.lazy needs {library}, which cannot be imported ({error}): pip install 'gridr_numba[{extra}]'"
        ) from error
    return None if module is None else import_module(module, __package__)


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
    dims = ("band", "y", "x")
    dataset = xr.Dataset({name: (dims[-values.ndim :], values) for name, values in arrays.items()}, coords)
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


def _band_attributes(resampler: Resampler) -> dict[str, Any]:
    """Return what bands say of their values, by the names of CF; where they differ, one each, as rioxarray has it."""
    attributes: dict[str, Any] = {}
    if resampler.nodata is not None:
        attributes["_FillValue"] = resampler.dtype.type(resampler.nodata)

    def add(name: str, name_of_several: str, values: Sequence[Any], default: object) -> None:
        if len(set(values)) > 1:
            attributes[name_of_several] = tuple("" if value is None else value for value in values)
        elif values[0] != default:
            attributes[name] = values[0]

    traits = resampler.traits
    add("scale_factor", "scales", [each.scale for each in traits], 1.0)
    add("add_offset", "offsets", [each.offset for each in traits], 0.0)
    add("units", "units", [each.units for each in traits], None)
    add("long_name", "long_name", [each.description for each in traits], None)
    return attributes
