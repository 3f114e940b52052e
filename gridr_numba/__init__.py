"""Make coarse resampling grids and their masks dense, window by window, on rasters of any size.

Public names are imported when they are first used (PEP 562), so that ``import gridr_numba`` loads neither numba
nor rasterio.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.2.0"

# Public name -> the module that defines it.
_HOMES = {
    "build_grid": "doors.build_grid",
    "build_grid_mask_chain": "doors.chains",
    "build_mask": "doors.build_mask",
    "build_mask_chain": "doors.chains",
    "dense_transform": "georef",
    "densify": "doors.densify",
    "make_grid": "doors.make_grid",
    "open_densifier": "doors.densifier",
    "resample": "doors.resample",
    "warp": "doors.warp",
    "grid_full_resolution_shape": "plan",
    "grid_rasterize": "doors.grid_rasterize",
    "grid_resolution_window": "plan",
    "map_to_pixel": "georef",
    "pixel_to_map": "georef",
    "resample_array": "doors.resample_array",
    "write_zarr": "doors.write_zarr",
    "DEFAULT_CPU_TILE_SHAPE": "types",
    "DEFAULT_IO_STRIP_SIZE": "types",
    "DEFAULT_NCPU": "types",
    "MASK_BINARY_THRESHOLD": "types",
    "Cause": "types",
    "GeometryType": "types",
    "GridRIOMode": "types",
    "GridRasterizeAlg": "types",
    "ShapelyPredicate": "types",
    "Validity": "types",
    "Densifier": "doors.densifier",
    "Interpolation": "types",
    "ResampledArray": "doors.resample_array",
    "DensifyReport": "doors.densify",
    "GridReport": "doors.make_grid",
    "ResampleReport": "doors.resample",
    "DatasetError": "errors",
    "DtypeError": "errors",
    "GridrError": "errors",
    "GridrTypeError": "errors",
    "GridrValueError": "errors",
    "InvalidGeometryError": "errors",
    "StrictError": "errors",
}

# Written out, since type checkers read it as it stands.
__all__ = [
    "DEFAULT_CPU_TILE_SHAPE",
    "DEFAULT_IO_STRIP_SIZE",
    "DEFAULT_NCPU",
    "MASK_BINARY_THRESHOLD",
    "Cause",
    "DatasetError",
    "Densifier",
    "DensifyReport",
    "DtypeError",
    "GeometryType",
    "GridRIOMode",
    "GridRasterizeAlg",
    "GridReport",
    "GridrError",
    "GridrTypeError",
    "GridrValueError",
    "Interpolation",
    "InvalidGeometryError",
    "ResampleReport",
    "ResampledArray",
    "ShapelyPredicate",
    "StrictError",
    "Validity",
    "__version__",
    "build_grid",
    "build_grid_mask_chain",
    "build_mask",
    "build_mask_chain",
    "dense_transform",
    "densify",
    "grid_full_resolution_shape",
    "grid_rasterize",
    "grid_resolution_window",
    "make_grid",
    "map_to_pixel",
    "open_densifier",
    "pixel_to_map",
    "resample",
    "resample_array",
    "warp",
    "write_zarr",
]

if TYPE_CHECKING:
    from .doors.build_grid import build_grid
    from .doors.build_mask import build_mask
    from .doors.chains import build_grid_mask_chain, build_mask_chain
    from .doors.densifier import Densifier, open_densifier
    from .doors.densify import DensifyReport, densify
    from .doors.grid_rasterize import grid_rasterize
    from .doors.make_grid import GridReport, make_grid
    from .doors.resample import ResampleReport, resample
    from .doors.resample_array import ResampledArray, resample_array
    from .doors.warp import warp
    from .doors.write_zarr import write_zarr
    from .errors import (
        DatasetError,
        DtypeError,
        GridrError,
        GridrTypeError,
        GridrValueError,
        InvalidGeometryError,
        StrictError,
    )
    from .georef import dense_transform, map_to_pixel, pixel_to_map
    from .plan import grid_full_resolution_shape, grid_resolution_window
    from .types import (
        DEFAULT_CPU_TILE_SHAPE,
        DEFAULT_IO_STRIP_SIZE,
        DEFAULT_NCPU,
        MASK_BINARY_THRESHOLD,
        Cause,
        GeometryType,
        GridRasterizeAlg,
        GridRIOMode,
        Interpolation,
        ShapelyPredicate,
        Validity,
    )


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
