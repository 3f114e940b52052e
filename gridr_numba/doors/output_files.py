"""The files that doors make of a dense raster: where on the map, with which tags and options; its mask is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..engine.codes import value_colours, value_tags
from ..engine.job import GridOut, MaskOut
from ..errors import GridrValueError
from ..files.bands import SinkBand
from ..files.cog import Cog, cog_options
from ..files.geotiff import GeoTiff, gtiff_options
from ..files.outputs import OutputFormat, RasterLayout, check_suffix, destination
from ..files.zarr import ZarrOptions, ZarrStore, is_store_name, store_destination
from ..types import AnyDtype, Cause, Interpolation, Pair, Validity
from .options_tag import tags_of_making
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
    """How outputs are made, whatever they hold: driver, its creation options, overviews; or how a Zarr store is."""

    driver: str
    creation_options: object
    overviews: bool
    zarr: ZarrOptions | None = None

    @classmethod
    def of(cls, driver: object, creation_options: object, overviews: object) -> Kind:
        """Check the arguments, but for the options, which depend on what a file holds."""
        if not isinstance(driver, str) or driver not in _DRIVERS:
            raise GridrValueError(f"driver must be {' or '.join(_DRIVERS)}, not {driver!r}", argument="driver")
        return cls(driver, creation_options, checks.boolean(overviews, "overviews"))

    @classmethod
    def by_name(
        cls, path: object, driver: object, creation_options: object, overviews: object, zarr_options: object
    ) -> Kind:
        """Check the same and `zarr_options`, where the output's name says whether it is a store or a file."""
        if not is_store_name(path):
            if zarr_options is not None:
                raise GridrValueError(
                    f"zarr_options are for an output whose name ends in .zarr, not {path!r}", argument="zarr_options"
                )
            return cls.of("GTiff" if driver is None else driver, creation_options, overviews)
        for name, given in {"driver": driver, "creation_options": creation_options, "overviews": overviews}.items():
            if given:
                raise GridrValueError(f"{name} must not be given for a Zarr store, {path!r}", argument=name)
        return cls.store(ZarrOptions.of(zarr_options))

    @classmethod
    def store(cls, options: ZarrOptions) -> Kind:
        """Return that of Zarr stores."""
        return cls("Zarr", None, False, options)

    @property
    def of_grids(self) -> str | None:
        """How overviews of coordinates are made."""
        return "average" if self.overviews else None

    def of_images(self, interpolation: Interpolation) -> str | None:
        """How overviews of an image are made: of classes, which are not to be averaged, as the image itself."""
        how = "nearest" if interpolation is Interpolation.NEAREST else "average"
        return how if self.overviews else None

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
        return cls(kind, place, tags_of(place, inputs, options), inputs, overwrite)

    def file(self, value: object, name: str, dtype: AnyDtype, bands: tuple[str, ...], **more: Any) -> OutputFormat:
        """Check a destination, and describe what will be there: an argument of this name."""
        path = destination(value, name, self.inputs, overwrite=self.overwrite)
        return self.kind.file(name, path, self._layout(dtype, bands, **more))

    def mask(
        self, value: object, values: Pair | None, bands: int = 1
    ) -> tuple[OutputFormat, MaskOut] | tuple[None, None]:
        """Describe `mask_out`, of so many bands, as a file and as what a job writes; nothing where it is not given."""
        if value is None:
            checks.left_out(CAUSES if values is None else values, _DEFAULT_VALUES, "mask_out_values", "mask_out")
            return None, None
        layout = self._mask_layout(values, bands)
        path = destination(value, "mask_out", self.inputs, overwrite=self.overwrite)
        file = self.kind.file("mask_out", path, layout)
        return file, MaskOut(SinkBand(file, 1, "mask_out"), layout.dtype, values)

    def store(
        self, value: object, name: str, options: ZarrOptions, values: Pair | None, grid_dtype: AnyDtype | None
    ) -> tuple[ZarrStore, MaskOut, GridOut | None]:
        """Check a store's destination; describe it, and what a job writes to it: mask, and grid where it has a type."""
        path = store_destination(value, name, self.inputs, overwrite=self.overwrite)
        store = ZarrStore(name, path, self.store_layouts(values, grid_dtype), options)
        *bands, band = (SinkBand(store, number, name) for number in range(1, len(store.dtypes) + 1))
        grid = None if grid_dtype is None else GridOut((bands[0], bands[1]), (grid_dtype, grid_dtype))
        return store, MaskOut(band, mask_type(values), values), grid

    def store_layouts(self, values: Pair | None, grid_dtype: AnyDtype | None) -> list[RasterLayout]:
        """Describe the arrays of a store: the grid's if it has a type, and the mask."""
        mask = self._mask_layout(values)
        tags = {"long_name": mask.descriptions[0], **mask.band_tags}
        grids = [] if grid_dtype is None else [self._layout(grid_dtype, ("row", "col"), nodata=np.nan)]
        return [*grids, replace(mask, descriptions=("mask",), band_tags=tags)]

    def _layout(self, dtype: AnyDtype, bands: tuple[str, ...], **more: Any) -> RasterLayout:
        about = {"crs": self.place.crs, "transform": self.place.transform, "tags": self.tags, **more}
        return RasterLayout(self.place.extent.window.shape, dtype, bands, **about)

    def _mask_layout(self, values: Pair | None, bands: int = 1) -> RasterLayout:
        dtype = mask_type(values)
        band = "causes" if values is None else "validity"
        said = {"band_tags": value_tags(values), "colours": value_colours(values), "unwritten": _unused(dtype, values)}
        return self._layout(dtype, (band,) * bands, nodata=None, overviews=self.kind.of_masks, **said)


def _unused(dtype: AnyDtype, values: Pair | None) -> int:
    """Return a value of the mask's type that no pixel has."""
    largest = int(np.iinfo(dtype).max)
    return next(value for value in (largest, largest - 1, largest - 2) if value not in (values or ()))


def tags_of(place: Placement, inputs: Sequence[Path], options: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the tags of a dense raster that is made of some files, with options if they are known."""
    rows, cols = place.extent.resolution
    return {"GRIDR_NUMBA_RESOLUTION": f"{rows} {cols}", **tags_of_making(inputs, options)}


def mask_type(values: Pair | None) -> AnyDtype:
    """Return the smallest integer type that holds what a mask is to say, unsigned where it can be."""
    values = (0, sum(Cause)) if values is None else values
    types = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
    held = (each for each in types if np.iinfo(each).min <= min(values) and max(values) <= np.iinfo(each).max)
    return np.dtype(next(held))
