"""Normalise and validate arguments. The only gate to the kernels.

Every function takes a value as the caller gave it and the argument's name, and returns the value as the package wants
it or raises one error that names the argument, what was expected and what came. Wrong values are `GridrValueError`,
wrong kinds of thing `GridrTypeError`.

Datasets are known by what they can do, so that rasterio need not be imported here.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from fractions import Fraction
from numbers import Integral, Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .errors import DtypeError, GridrTypeError, GridrValueError
from .types import (
    IMAGE_DTYPES,
    AnyArray,
    AnyDtype,
    GridRasterizeAlg,
    Interpolation,
    RasterizeOptions,
    ShapelyPredicate,
    Validity,
)

EnumT = TypeVar("EnumT", bound=IntEnum)


def integer(value: object, name: str, *, minimum: int, maximum: int | None = None) -> int:
    """Take an integer, or a float that is one, of at least `minimum` and at most `maximum`, if there is one."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise GridrTypeError(f"{name} must be an integer, not {value!r}", argument=name)
    if not isinstance(value, Integral) and (not math.isfinite(value) or value != math.floor(value)):
        raise GridrValueError(f"{name} must be an integer, not {value!r}", argument=name)
    number = int(value)  # type: ignore[call-overload]
    if number < minimum:
        raise GridrValueError(f"{name} must be at least {minimum}, not {value!r}", argument=name)
    if maximum is not None and number > maximum:
        raise GridrValueError(f"{name} must be at most {maximum}, not {value!r}", argument=name)
    return number  # type: ignore[no-any-return]


def left_out(value: object, default: object, name: str, other: str) -> None:
    """Refuse what differs from its default and cannot have an effect where another argument is not given."""
    if type(value) is np.ndarray or value != default:
        raise GridrValueError(
            f"{name} must not be given without {other}, of which it speaks; not {value!r}", argument=name
        )


def boolean(value: object, name: str) -> bool:
    """Take True or False."""
    if not isinstance(value, bool | np.bool_):
        raise GridrTypeError(f"{name} must be True or False, not {value!r}", argument=name)
    return bool(value)


_SWITCHES = ("allow_vrt", "displacement", "overviews", "overwrite", "repair_geometry", "strict", "verify")


def switches(given: Mapping[str, object]) -> None:
    """Refuse a call with anything but True or False for what turns something on: 'no' would count as True."""
    for name in _SWITCHES:
        if name in given:
            boolean(given[name], name)


def _is_scalar_array(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 0


def _pair(value: object, name: str, what: str) -> tuple[Any, Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable) or _is_scalar_array(value):
        raise GridrTypeError(f"{name} must be a pair of {what}, not {value!r}", argument=name)
    items = tuple(value)
    if len(items) != 2:
        raise GridrValueError(f"{name} must be a pair of {what}, not {len(items)} of them: {value!r}", argument=name)
    return items


def integer_pair(value: object, name: str, *, minimum: int) -> tuple[int, int]:
    """Take (row, column) integers of at least `minimum`, in any sequence."""
    first, second = _pair(value, name, "integers (row, column)")
    return integer(first, f"{name}[0]", minimum=minimum), integer(second, f"{name}[1]", minimum=minimum)


def input_resolution(value: object, name: str) -> tuple[int, int]:
    """Take the (row, column) resolution of nodes; a cell's pixels must be countable in float64, see the kernel."""
    rr, rc = integer_pair(value, name, minimum=1)
    if rr * rc >= 2**53:
        raise GridrValueError(f"{name} must make cells of less than 2**53 pixels, not {rr} x {rc}", argument=name)
    return rr, rc


def one_or_two_resolutions(value: object, name: str) -> tuple[int, int]:
    """Take the resolution of nodes: one integer for both directions, or (row, column)."""
    return input_resolution((value, value) if isinstance(value, Integral) else value, name)


def output_resolution(value: object, name: str) -> None:
    """Refuse an output resolution other than (1, 1), the only one there is."""
    if value is None:
        raise GridrValueError(f"{name} must be given, and be (1, 1); it came as None", argument=name)
    if integer_pair(value, name, minimum=1) != (1, 1):
        raise GridrValueError(f"{name} of the output must be (1, 1), not {value!r}", argument=name)


def real_pair(value: object, name: str) -> tuple[float, float]:
    """Take a pair (row, column) of finite numbers."""
    row, col = _pair(value, name, "numbers (row, column)")
    return finite(row, f"{name}[0]"), finite(col, f"{name}[1]")


def number(value: object, name: str) -> float:
    """Take a number, as float64."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise GridrTypeError(f"{name} must be a number, not {value!r}", argument=name)
    try:
        return float(value)
    except OverflowError:
        raise GridrValueError(
            f"{name} must fit in float64, and an integer of {len(str(value))} digits came", argument=name
        ) from None


def finite(value: object, name: str) -> float:
    """Take a finite number."""
    given = number(value, name)
    if not math.isfinite(given):
        raise GridrValueError(f"{name} must be finite, not {value!r}", argument=name)
    return given


def finite_or_nan(value: object, name: str) -> float:
    """Take a finite number or NaN."""
    given = number(value, name)
    return given if math.isnan(given) else finite(value, name)


def geometry_origin(value: object, name: str, *, needed_with: str | None) -> tuple[float, float]:
    """Take the (row, column) of pixel (0, 0) in the polygons' coordinates; only geometry needs one."""
    if value is None:
        if needed_with is not None:
            raise GridrValueError(
                f"{name} must be given with {needed_with}, as (row, column) of pixel (0, 0)", argument=name
            )
        return 0.0, 0.0
    return real_pair(value, name)


def member(enum: type[EnumT], value: object, name: str) -> EnumT:
    """Take a member of an enumeration, or anything with its integer value (GRIDR's own enumerations)."""
    known = ", ".join(f"{item.name} ({item.value})" for item in enum)
    if isinstance(value, bool | np.bool_) or not isinstance(value, Integral):
        raise GridrTypeError(f"{name} must be a {enum.__name__}, one of {known}, not {value!r}", argument=name)
    try:
        return enum(int(value))
    except ValueError:
        raise GridrValueError(
            f"{name} must be a {enum.__name__}, one of {known}, not {value!r}", argument=name
        ) from None


def one_of(value: object, name: str, choices: Sequence[str]) -> str:
    """Take one of some words."""
    if not isinstance(value, str) or value not in choices:
        raise GridrValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}", argument=name)
    return value


def known(options: Iterable[str], names: Collection[str], door: str) -> None:
    """Refuse options that a door does not have."""
    for name in options:
        if name not in names:
            raise GridrTypeError(f"{name} is no argument of {door}", argument=name)


def interpolation(value: object, name: str) -> Interpolation:
    """Take the name of an interpolation."""
    return Interpolation[one_of(value, name, [each.value for each in Interpolation]).upper()]


def image_dtype(value: DTypeLike | None, name: str) -> AnyDtype:
    """Take the data type of an image that can be resampled, in native byte order."""
    given = dtype(value, name).newbyteorder("=")
    if given.name not in IMAGE_DTYPES:
        raise DtypeError(f"{name} must be one of {', '.join(IMAGE_DTYPES)}, not {given}", argument=name)
    return given


def dtype(value: DTypeLike | None, name: str) -> AnyDtype:
    """Take a data type, in any form that numpy takes."""
    if value is None:
        raise GridrTypeError(f"{name} must be a data type, not None", argument=name)
    try:
        given: AnyDtype = np.dtype(value)
    except TypeError:
        raise GridrTypeError(f"{name} must be a data type, not {value!r}", argument=name) from None
    return given


def floating_dtype(value: DTypeLike | None, name: str, *, optional: bool = False) -> AnyDtype | None:
    """Take a floating data type, or None where the signature has it."""
    if value is None and optional:
        return None
    given = dtype(value, name)
    if given.kind != "f":
        raise DtypeError(f"{name} must be a floating data type, not {given}", argument=name)
    return given


def file_dtype(value: DTypeLike | None, name: str) -> AnyDtype:
    """Take a floating data type that GeoTIFFs hold everywhere: float32 or float64."""
    given = floating_dtype(value, name)
    if given not in (np.float32, np.float64):
        raise DtypeError(
            f"{name} must be float32 or float64, which GeoTIFFs hold everywhere, not {given}", argument=name
        )
    return np.dtype(given)


def integer_dtype(value: DTypeLike | None, name: str) -> AnyDtype:
    """Take an integer data type, or bool."""
    given = dtype(value, name)
    if given.kind not in "iub":
        raise DtypeError(f"{name} must be an integer data type, not {given}", argument=name)
    return given


def array(value: object, name: str, ndim: int, kinds: str) -> AnyArray:
    """Take an array of so many dimensions, none empty, whose data type is of one of these kinds."""
    if not isinstance(value, np.ndarray) or isinstance(value, np.ma.MaskedArray):
        raise GridrTypeError(f"{name} must be a numpy array, not {type(value).__name__}", argument=name)
    if value.ndim != ndim or 0 in value.shape:
        raise GridrValueError(
            f"{name} must have {ndim} dimensions, none of them empty, not shape {value.shape}", argument=name
        )
    if value.dtype.kind not in kinds:
        raise DtypeError(f"{name} must hold {_kind_names(kinds)}, not {value.dtype}", argument=name)
    return value


def _kind_names(kinds: str) -> str:
    names = {"b": "booleans", "i": "integers", "f": "floating-point numbers"}
    return " or ".join(text for kind, text in names.items() if kind in kinds)


def output_array(value: object, name: str, shape: tuple[int, ...], kinds: str) -> AnyArray:
    """Take a writable array of this shape."""
    out = array(value, name, len(shape), kinds)
    if out.shape != shape:
        raise GridrValueError(f"{name} must have shape {shape}, not {out.shape}", argument=name)
    if not out.flags.writeable:
        raise GridrValueError(f"{name} must be writable, and it is read-only", argument=name)
    return out


def binary_threshold(value: object, name: str) -> Fraction:
    """Take a threshold as the decimal that was written: 0.999 is 999/1000, not its nearest double. None is 0.999."""
    if value is None:
        value = "0.999"
    elif not 0 <= number(value, name) <= 1:
        raise GridrValueError(f"{name} must be in [0, 1], not {value!r}", argument=name)
    return Fraction(str(value))


def fits(value: object, dtype: AnyDtype, name: str) -> int | float:
    """Take a number that a data type can hold, of Python's types: in range, and no fraction in an integer type."""
    if not isinstance(value, Real | np.bool_):
        raise GridrTypeError(f"{name} must be a number, not {value!r}", argument=name)
    exact: int | float = int(value) if isinstance(value, Integral | np.bool_) else float(value)
    if dtype.kind == "f":
        given = number(exact, name)
        with np.errstate(over="ignore"):
            overflows = math.isfinite(given) and not np.isfinite(np.array(given).astype(dtype))
        if overflows:
            raise GridrValueError(f"{name} must fit in {dtype}, and {value!r} overflows it", argument=name)
        return exact
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not low <= exact <= high or exact != math.floor(exact):
        raise GridrValueError(
            f"{name} must be an integer that fits in {dtype} ({low} to {high}), not {value!r}", argument=name
        )
    return exact


def mask_out_values(value: object, dtypes: Iterable[AnyDtype], name: str) -> tuple[int, int]:
    """Take the (valid, invalid) pair to write, each of which every data type on the way must hold."""
    if value is None:
        value = (Validity.VALID, Validity.INVALID)
    valid, invalid = _pair(value, name, "integers (valid, invalid)")
    for dtype in dtypes:
        fits(valid, dtype, f"{name}[0]")
        fits(invalid, dtype, f"{name}[1]")
    if valid == invalid:
        raise GridrValueError(f"{name} must differ, or the mask says nothing; both are {valid!r}", argument=name)
    return int(valid), int(invalid)


def thread_count(value: object, name: str) -> int | None:
    """Take a number of threads; None is as many as the process may use."""
    return None if value is None else integer(value, name, minimum=1)


def tile_shape(value: object, name: str) -> tuple[int, int] | None:
    """Take the shape of a tile, or None."""
    return None if value is None else integer_pair(value, name, minimum=1)


def logger(value: object, name: str, default: str) -> logging.Logger:
    """Take a logger, or anything that logs like one; None is the module's own."""
    if value is None:
        return logging.getLogger(default)
    if not all(callable(getattr(value, level, None)) for level in ("debug", "info", "warning")):
        raise GridrTypeError(f"{name} must be a logging.Logger or None, not {value!r}", argument=name)
    given: Any = value
    return given  # type: ignore[no-any-return]


def strip_size(value: object, name: str) -> int:
    """Take the rows of a strip; 0 or None is the whole raster."""
    return 0 if value is None else integer(value, name, minimum=0)


def progress(value: object, name: str = "progress") -> Any:
    """Take a callable for progress, True for a bar, or False or None for nothing."""
    if value is not None and not isinstance(value, bool) and not callable(value):
        raise GridrTypeError(
            f"{name} must be a callable (pixels_done, pixels_total), True for a bar, or None, not {value!r}",
            argument=name,
        )
    return value


def rasterize_options(value: object, name: str) -> RasterizeOptions:
    """Take GRIDR's `rasterize_kwargs`: ``{'alg': A, 'kwargs_alg': {'shapely_predicate': P}}``, any part left out."""
    options = _mapping(value, name, ("alg", "kwargs_alg"))
    alg = options.get("alg")
    return algorithm_options(
        GridRasterizeAlg.SHAPELY if alg is None else alg,
        options.get("kwargs_alg"),
        f"{name}['alg']",
        f"{name}['kwargs_alg']",
    )


def used_rasterize_options(value: object, name: str, *, polygons: bool) -> RasterizeOptions:
    """Take `rasterize_kwargs`; refuse options that its algorithm does not have, and any where there are no polygons."""
    options = rasterize_options(value, name)
    kwargs_alg = _mapping(value, name, ("alg", "kwargs_alg")).get("kwargs_alg") or {}
    if options.alg is GridRasterizeAlg.RASTERIO_RASTERIZE and kwargs_alg.get("shapely_predicate") is not None:
        raise GridrValueError(
            f"{name}: a predicate is SHAPELY's alone, and the algorithm is RASTERIO_RASTERIZE, which takes "
            f"the centres that GDAL burns; not {kwargs_alg!r}",
            argument=name,
        )
    if not polygons and options != RasterizeOptions():
        left_out(value, None, name, "valid or invalid")
    return options


def algorithm_options(alg: object, kwargs_alg: object, alg_name: str, kwargs_name: str) -> RasterizeOptions:
    """Take an algorithm and its own options. RASTERIO_RASTERIZE has none: a predicate given with it has no effect."""
    options = _mapping(kwargs_alg, kwargs_name, ("shapely_predicate",))
    predicate = options.get("shapely_predicate")
    return RasterizeOptions(
        member(GridRasterizeAlg, alg, alg_name),
        member(
            ShapelyPredicate,
            ShapelyPredicate.COVERS if predicate is None else predicate,
            f"{kwargs_name}['shapely_predicate']",
        ),
    )


def _mapping(value: object, name: str, known: tuple[str, ...]) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise GridrTypeError(f"{name} must be a dict, not {value!r}", argument=name)
    for key in value:
        if key not in known:
            raise GridrValueError(
                f"{name} has an unknown key {key!r}; the known ones are {', '.join(known)}", argument=name
            )
    return value


def geometry_pair(value: object, name: str) -> tuple[Any, Any]:
    """Take the pair (valid polygons, invalid polygons), each as it came; None is (None, None)."""
    what = f"{name} must be None or a pair (valid polygons, invalid polygons), either of which may be None"
    if value is None:
        return None, None
    if isinstance(value, np.ndarray) and value.ndim:
        value = list(value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise GridrTypeError(f"{what}, not a {type(value).__name__}", argument=name)
    if len(value) != 2:
        raise GridrValueError(f"{what}, not {len(value)} of them", argument=name)
    return value[0], value[1]


# -- datasets -----------------------------------------------------------------------------------------------------


def readable(dataset: Any, name: str) -> Any:
    """Take an open dataset that can be read: anything that is a `BandSource`."""
    return _dataset(dataset, name, "an open dataset to read", "read", lambda mode: mode != "w")


def writable(dataset: Any, name: str) -> Any:
    """Take an open dataset that can be written: anything that is a `BandSink`."""
    return _dataset(dataset, name, "a dataset open for writing", "write", lambda mode: mode != "r")


def _dataset(dataset: Any, name: str, expected: str, verb: str, allows: Any) -> Any:
    if not all(hasattr(dataset, attribute) for attribute in ("name", "shape", "dtypes")):
        raise GridrTypeError(f"{name} must be {expected}, not {dataset!r}", argument=name)
    # Files have these two; other sources and sinks need not.
    if getattr(dataset, "closed", False):
        raise GridrValueError(f"{name} must be {expected}, and {dataset.name!r} is closed", argument=name)
    mode = getattr(dataset, "mode", None)
    if mode is not None and not allows(mode):
        raise GridrValueError(
            f"{name} must be {expected}, and {dataset.name!r} is open in mode {mode!r}", argument=name
        )
    if not callable(getattr(dataset, verb, None)):
        raise GridrTypeError(f"{name} must be {expected}, not {dataset!r}", argument=name)
    return dataset


def dataset_shape(dataset: Any, name: str, shape: tuple[int, int], why: str) -> None:
    """Refuse a dataset of another shape."""
    if tuple(dataset.shape) != shape:
        raise GridrValueError(
            f"{name} must have {shape} rows and columns, {why}, and it has {tuple(dataset.shape)}", argument=name
        )


def band(value: object, dataset: Any, band_name: str, dataset_name: str, *, kinds: str) -> tuple[int, AnyDtype]:
    """Take a band number (from 1) of a dataset, of a data type of one of these kinds; return both."""
    if value is None:
        raise GridrTypeError(f"{band_name} must be a band number, not None", argument=band_name)
    index = integer(value, band_name, minimum=1)
    count = len(dataset.dtypes)
    if index > count:
        raise GridrValueError(
            f"{band_name} must be a band of {dataset_name}, 1 to {count}, not {index}", argument=band_name
        )
    own = dataset.dtypes[index - 1]
    # rasterio names types that numpy does not have, such as complex_int16.
    held = None if str(own).startswith("complex") else np.dtype(own)
    if held is None or held.kind not in kinds:
        raise DtypeError(
            f"{band_name} must hold {_kind_names(kinds)}, and band {index} of {dataset_name} is {own}",
            argument=band_name,
        )
    return index, held
