"""Of what and how an output was made: as its tags say it, and reports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from inspect import signature
from numbers import Real
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.crs import CRS

from .. import __version__


def tags_of_making(inputs: Iterable[Path], options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the tags of what is made of some files, with options if they are known."""
    tags = {"GRIDR_NUMBA_VERSION": __version__, "GRIDR_NUMBA_INPUTS": " ".join(path.name for path in inputs)}
    return tags if options is None else {**tags, "GRIDR_NUMBA_OPTIONS": json.dumps(options)}


# The arguments that are files to read.
_INPUTS = ("image", "grid", "mask", "like", "source", "source_mask", "valid", "invalid")


def files_given(given: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the paths of a call of a door, by the argument's name."""
    named = {name: given[name] for name in _INPUTS if name in given}
    return {name: found for name, value in named.items() if (found := list(_paths(value)))}


def _paths(value: object) -> Iterator[str]:
    """Yield what is a path of an argument: itself, or some of its items."""
    for item in value if isinstance(value, tuple | list) else (value,):
        if isinstance(item, str | PathLike):
            yield str(fspath(item))


# What is said elsewhere in the files, or does not bear on their pixels.
_NOT_OPTIONS = frozenset(
    [
        "image",
        "grid",
        "grid_out",
        "source_mask",
        "out",
        "mask",
        "mask_out",
        "threads",
        "memory_budget",
        "progress",
        "overwrite",
        "verify",
        "allow_vrt",
        "strict",
    ]
)

# What is a path where it is a string.
_PATHS = frozenset(["like", "source", "valid", "invalid"])

# Longer sequences than an affine transform are polygons: their type is said.
_DESCRIBED_ITEMS = 9


def options_given(door: Callable[..., Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call of a door that differ from their defaults, in JSON's types."""
    options = {}
    for name, parameter in signature(door).parameters.items():
        value = _described(_file_names(given[name]) if name in _PATHS else given[name])
        if name not in _NOT_OPTIONS and value is not None and value != _described(parameter.default):
            options[name] = value
    return options


def _file_names(value: Any) -> Any:
    """Return the names of files in place of their paths, which tell of their maker."""
    if isinstance(value, str | PathLike):
        return Path(value).name
    return [_file_names(item) for item in value] if isinstance(value, tuple | list) else value


def _described(value: Any) -> Any:
    """Return an option in JSON's types."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, bool | str | int) or value is None:
        return value
    if isinstance(value, Real):
        return float(value)
    if isinstance(value, CRS):
        return value.to_string()
    if hasattr(value, "to_wkt"):
        return value.to_wkt()
    if isinstance(value, tuple | list) and len(value) <= _DESCRIBED_ITEMS:
        return [_described(item) for item in value]
    return getattr(value, "__name__", type(value).__name__)
