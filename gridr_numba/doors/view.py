"""What pictures are made of: a grid, a mask or both, of which every so manieth pixel is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .. import checks
from ..engine.job import GridIn
from ..errors import GridrValueError
from ..files.bands import SourceBand
from ..files.inputs import OpenRaster, open_raster
from ..georef import dense_transform
from ..kernels.bilinear import void_nodes
from ..plan import grid_full_resolution_shape
from ..polygons.projection import PixelFrame
from ..types import INVALID_COLOUR, AnyArray, Cause, Colour, Pair
from ..window import Window
from .paint import Bools, Floats, every
from .placement import NAMES, Sources

#: The longer side of what is drawn, in pixels, where the caller does not say.
DEFAULT_SIZE = 1000
# And what may be said: a picture is in memory as a whole.
_SMALLEST, _LARGEST = 16, 10_000


def step_of(shape: Pair, longest: int) -> int:
    """Return each how manieth row and column is drawn."""
    return -(-max(shape) // longest)


def size_of(value: object) -> int:
    """Check how long the longer side of a picture may be."""
    return checks.integer(value, "size", minimum=_SMALLEST, maximum=_LARGEST)


class ViewBands(NamedTuple):
    """Where coordinates and the mask are in their files, and what coordinates are; as given."""

    grid_order: object = "row_col"
    row_band: object = None
    col_band: object = None
    displacement: object = False
    mask_band: object = 1
    mask_valid_value: object = 1


@dataclass(frozen=True)
class View:
    """What is drawn: a grid, a mask, or both, of one shape."""

    sources: Sources
    grid: GridIn | None
    mask: SourceBand | None
    files: tuple[OpenRaster, ...]

    @classmethod
    def opened(cls, stack: ExitStack, source: object, mask: object, bands: ViewBands, *, allow_vrt: bool) -> View:
        """Open the files, to be closed by the stack, and check their bands."""

        def opened(value: object, name: str) -> OpenRaster:
            return stack.enter_context(open_raster(value, name, allow_vrt=allow_vrt))

        def mask_in(dataset: OpenRaster, of: str) -> SourceBand:
            return SourceBand(dataset, checks.band(bands.mask_band, dataset, "mask_band", of, kinds="biuf")[0], of)

        pair = [source]
        if isinstance(source, Sequence) and not isinstance(source, str | bytes):
            pair = list(source)
            if len(pair) != 2:
                raise GridrValueError(
                    f"file must be a path or a pair (row file, column file), not {len(pair)} of them", argument="file"
                )
        names = ["file"] if len(pair) == 1 else ["file[0]", "file[1]"]
        files = [opened(value, name) for value, name in zip(pair, names, strict=True)]
        called = replace(NAMES, grid=names[0], grid_col=names[-1])
        sources = Sources(files[0], files[1] if len(files) == 2 else None, None, names=called)
        if len(names) == 1 and len(files[0].dtypes) == 1:
            of_a_grid = {"displacement": bands.displacement, "grid_order": bands.grid_order != "row_col"}
            if mask is not None:
                of_a_grid = {"mask": True, **of_a_grid}
            for name in (name for name, given in of_a_grid.items() if given):
                raise GridrValueError(
                    f"{name} must be given with a grid, and {files[0].name!r} has one band: it is a mask itself",
                    argument=name,
                )
            return cls(sources, None, mask_in(files[0], "file"), tuple(files))
        as_given = bands.grid_order, bands.row_band, bands.col_band, None, bands.displacement, (0.0, 0.0)
        grid = sources.grid_in(*as_given)
        if mask is None:
            checks.left_out(bands.mask_band, 1, "mask_band", "mask")
            checks.left_out(bands.mask_valid_value, 1, "mask_valid_value", "mask")
            return cls(sources, grid, None, tuple(files))
        mask_file = opened(mask, "mask")
        checks.dataset_shape(mask_file, "mask", files[0].shape, "as the grid has")
        return cls(sources, grid, mask_in(mask_file, "mask"), (*files, mask_file))

    @property
    def shape(self) -> Pair:
        """Rows and columns."""
        return self.files[0].shape

    @property
    def paths(self) -> list[Path]:
        """The files that must not be overwritten."""
        return [Path(name) for file in self.files for name in file.files]

    @property
    def title(self) -> str:
        """Which files, what they hold, and how much of it."""
        what = "Mask" if self.grid is None else "Grid" if self.mask is None else "Grid and mask"
        names = ", ".join(Path(file.name).name for file in self.files)
        return f"{what} {names}: {self.shape[0]} x {self.shape[1]} pixels"

    def frame(self, resolution: Pair, origin: tuple[float, float]) -> PixelFrame:
        """Return where dense pixels lie, of which there are so many a pixel."""
        transform = self.files[0].transform
        dense = None if transform.is_identity else dense_transform(transform, resolution)
        return PixelFrame(self.files[0].crs, dense, origin, grid_full_resolution_shape(self.shape, resolution))


def coordinates_of(grid: GridIn, step: int, resolution: Pair | None) -> Floats:
    """Read coordinates, (2, rows, columns), NaN where there are none; `resolution` is that of what is read."""
    rows, cols = grid.bands
    if rows.dataset is cols.dataset:  # whose blocks may hold both
        read = list(every(rows.dataset, [rows.number, cols.number], step, rows.argument))
    else:
        read = [every(band.dataset, [band.number], step, band.argument)[0] for band in grid.bands]
    coordinates: Floats = np.stack(read).astype(np.float64)
    void_nodes(coordinates, grid.nodata, (0, 0), np.empty(1, np.int64))
    grid.write_coordinates(coordinates, Window.whole(coordinates.shape[1:]), resolution or (1, 1))
    return coordinates


#: Some pixels, their colour, its name, and what they are.
Part = tuple[Bools, Colour, str, str]


def invalid_parts(mask: SourceBand, step: int, valid_value: int) -> tuple[list[Part], float]:
    """Read a mask; return its invalid pixels by what they are, and the valid ones in percent."""
    values = every(mask.dataset, [mask.number], step, mask.argument)[0]
    by_cause = mask.dataset.descriptions[mask.number - 1] == "causes" and values.dtype.kind in "iu"
    valid = values == (0 if by_cause else valid_value)
    parts = _first_causes(values) if by_cause else [(~valid, INVALID_COLOUR, "Dark", "invalid")]
    return [part for part in parts if part[0].any()], 100 * float(valid.mean())


def _first_causes(values: AnyArray) -> Iterator[Part]:
    """Yield the pixels of each cause that is the first of theirs."""
    left = values != 0
    for cause in Cause:
        where = left & (values & cause != 0)
        left &= ~where
        yield where, cause.colour, cause.colour_name.capitalize(), cause.label
    yield left, INVALID_COLOUR, "Dark", "of no known cause"


# Of an image's values, in percent: what is darker is black, what is lighter white.
_DARKEST, _LIGHTEST = 2.0, 98.0


def image_values(image: OpenRaster, bands: list[int], step: int) -> Floats:
    """Read every so manieth pixel of some bands; NaN where a band's tag says nodata."""
    values = every(image, bands, step).astype(np.float64)
    for band, number in zip(values, bands, strict=True):
        tag = image.nodatavals[number - 1]
        if tag is not None:
            band[band == tag] = np.nan
    return values


def stretch(band: Floats) -> tuple[float, float]:
    """Return which values to show as black and as white."""
    known = band[np.isfinite(band)]
    if not len(known):
        return 0.0, 1.0
    low, high = np.percentile(known, (_DARKEST, _LIGHTEST))
    return float(low), float(high) if high > low else float(low) + 1.0


def shown(band: Floats, limits: tuple[float, float]) -> Floats:
    """Return values from 0, black, to 1, white."""
    low, high = limits
    return np.clip((band - low) / (high - low), 0.0, 1.0)
