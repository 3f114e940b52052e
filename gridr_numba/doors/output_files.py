"""The files that doors make of a dense raster: where on the map, with which tags and options; its mask is one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, checks
from ..engine.codes import value_colours, value_tags
from ..engine.job import MaskOut
from ..errors import GridrValueError
from ..files.bands import SinkBand
from ..files.cog import Cog, cog_options
from ..files.geotiff import GeoTiff, gtiff_options
from ..files.outputs import OutputFormat, RasterLayout, check_suffix, destination
from ..types import AnyDtype, Cause, Pair, Validity
from .placement import Placement

#: `mask_out_values` for a mask that holds a bit for every cause that applies.
CAUSES = "causes"


def mask_values(value: object) -> Pair | None:
    """Take `mask_out_values`; None is 'causes'."""
    if isinstance(value, str):
        if value != CAUSES:
            raise GridrValueError(
                f"mask_out_values must be a pair (valid, invalid) or {CAUSES!r}, not {value!r}",
                argument="mask_out_values",
            )
        return None
    return checks.mask_out_values(value, (np.dtype(np.int64),), "mask_out_values")


# Of `mask_out_values`.
_DEFAULT_VALUES: Pair = (Validity.VALID, Validity.INVALID)

_DRIVERS: dict[str, tuple[type[GeoTiff], Callable[[object, AnyDtype], dict[str, str]]]] = {
    "GTiff": (GeoTiff, gtiff_options),
    "COG": (Cog, cog_options),
}


@dataclass(frozen=True)
class Kind:
    """How outputs are made, whatever they hold: driver, its creation options, overviews."""

    driver: str
    creation_options: object
    overviews: bool

    @classmethod
    def of(cls, driver: object, creation_options: object, overviews: object) -> Kind:
        """Check the arguments, but for the options, which depend on what a file holds."""
        if not isinstance(driver, str) or driver not in _DRIVERS:
            raise GridrValueError(f"driver must be {' or '.join(_DRIVERS)}, not {driver!r}", argument="driver")
        return cls(driver, creation_options, checks.boolean(overviews, "overviews"))

    @property
    def of_grids(self) -> str | None:
        """How overviews of coordinates are made."""
        return "average" if self.overviews else None

    @property
    def of_masks(self) -> str | None:
        """How overviews of codes are made, which have no average."""
        return "mode" if self.overviews else None

    def file(self, name: str, path: Path, layout: RasterLayout) -> OutputFormat:
        """Return an output that is not there yet."""
        check_suffix(path, name, self.driver)
        made, options = _DRIVERS[self.driver]
        return made(name, path, layout, options(self.creation_options, layout.dtype))


@dataclass(frozen=True)
class FileMaker:
    """Describes outputs, which are not there yet: what all of one call have in common.

    Attributes
    ----------
    kind : Kind
    place : Placement
        What part of which dense raster they hold.
    tags : dict
    inputs : sequence of Path
        The files that they must not replace.
    overwrite : bool
        Whether they may replace others.
    """

    kind: Kind
    place: Placement
    tags: Mapping[str, str]
    inputs: Sequence[Path]
    overwrite: bool

    @classmethod
    def of(
        cls,
        kind: Kind,
        place: Placement,
        inputs: Sequence[Path],
        overwrite: bool,
        options: Mapping[str, Any],
    ) -> FileMaker:
        """Tag what a door makes with how it was called."""
        tags = {
            "GRIDR_NUMBA_VERSION": __version__,
            "GRIDR_NUMBA_RESOLUTION": f"{place.extent.resolution[0]} {place.extent.resolution[1]}",
            "GRIDR_NUMBA_INPUTS": " ".join(path.name for path in inputs),
            "GRIDR_NUMBA_OPTIONS": json.dumps(options),
        }
        return cls(kind, place, tags, inputs, overwrite)

    def file(self, value: object, name: str, dtype: AnyDtype, bands: tuple[str, ...], **more: Any) -> OutputFormat:
        """Check a destination, and describe what will be there: an argument of this name."""
        about = {"crs": self.place.crs, "transform": self.place.transform, "tags": self.tags, **more}
        layout = RasterLayout(self.place.extent.window.shape, dtype, bands, **about)
        return self.kind.file(name, destination(value, name, self.inputs, overwrite=self.overwrite), layout)

    def mask(self, value: object, values: Pair | None) -> tuple[OutputFormat, MaskOut] | tuple[None, None]:
        """Describe `mask_out` as a file and as what a job writes; nothing where it is not given."""
        if value is None:
            checks.left_out(CAUSES if values is None else values, _DEFAULT_VALUES, "mask_out_values", "mask_out")
            return None, None
        dtype = mask_type(values)
        band = "causes" if values is None else "validity"
        said = {"band_tags": value_tags(values), "colours": value_colours(values)}
        file = self.file(value, "mask_out", dtype, (band,), nodata=None, overviews=self.kind.of_masks, **said)
        return file, MaskOut(SinkBand(file, 1, "mask_out"), dtype, values)


def mask_type(values: Pair | None) -> AnyDtype:
    """Return the smallest integer type that holds what a mask is to say, unsigned where it can be."""
    values = (0, sum(Cause)) if values is None else values
    types = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
    held = (each for each in types if np.iinfo(each).min <= min(values) and max(values) <= np.iinfo(each).max)
    return np.dtype(next(held))
