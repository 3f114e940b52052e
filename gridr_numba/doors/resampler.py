"""Any window of a resampled image and its mask, made when it is asked for: what lazy images are made of."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from .. import checks
from ..engine.job import Limits, Warnings
from ..engine.resample_step import ImageOut, ResampleStep
from ..files.bands import BandTraits
from ..plan import WindowPlan
from ..types import AnyArray, AnyDtype, FilePath
from ..window import Window
from .dense_inputs import DenseArguments, DenseInputs
from .file_pool import OnDemand, Opened, Recipe, Stamp, absolute
from .in_arrays import ArraysOut
from .placement import Placement, file_limits
from .resample import image_out, open_source, refuse_no_grid, resample

logger = logging.getLogger(__name__)

# Of `resample`, what says where its outputs are, and how they are made.
_OF_OUTPUTS = {"out", "mask_out", "driver", "creation_options", "overviews", "threads", "progress"}
_OF_OUTPUTS |= {"overwrite", "verify", "strict"}
_OPTIONS = {name: each.default for name, each in signature(resample).parameters.items() if name not in _OF_OUTPUTS}
_OF_SOURCE = ("bands", "interpolation", "nodata", "band_validity", "source_mask_band", "source_mask_valid_value")


def open_resampler(image: FilePath, grid: FilePath | Sequence[FilePath], door: str, **options: Any) -> Resampler:
    """Check the arguments of `resample` that say what to compute, once, for what reads windows of it in one thread.

    `door` is the name of what was called, for errors.
    """
    checks.known(options, _OPTIONS, door)
    checks.switches(options)
    given = {**_OPTIONS, **options, "image": image, "grid": grid}
    with ExitStack() as stack:
        refuse_no_grid(grid)
        source, files = open_source(stack, given)
        arguments = DenseArguments.of(given)
        dense = DenseInputs.opened(stack, arguments, Warnings(logger))
        outputs = ArraysOut.of(None, None, given["mask_out_values"])
        out = image_out(given, source, masked=True)
        limits = file_limits(1, given["memory_budget"])
        recipe = Recipe.of(dense, arguments, outputs, 1)
        stamps = [stamp for name, paths in files.items() for stamp in Stamp.of_all(paths, name)]
        paths = {name: absolute(given[name]) for name in ("image", "source_mask")}
        kept = {name: given[name] for name in (*_OF_SOURCE, "allow_vrt")}
        bands = Bands(tuple(source.indexes), source.traits)
        return Resampler(ImageRecipe(recipe, {**kept, **paths}, bands, out, limits, door, tuple(stamps)))


class Bands(NamedTuple):
    """The bands of the source that are resampled: their numbers, and what they say of their values."""

    numbers: tuple[int, ...]
    traits: tuple[BandTraits, ...]


@dataclass(frozen=True)
class ImageRecipe:
    """All that a resampler is, files apart: what travels where it is pickled.

    Attributes
    ----------
    dense : Recipe
        Of the coordinates, and of what they and masks make invalid.
    source : dict
        The arguments that say what of the image is read.
    bands : Bands
    out : ImageOut
    limits : Limits
    door : str
        What was called.
    source_stamps : tuple of Stamp
    """

    dense: Recipe
    source: Mapping[str, Any]
    bands: Bands
    out: ImageOut
    limits: Limits
    door: str
    source_stamps: tuple[Stamp, ...]

    @property
    def place(self) -> Placement:
        """Which raster is made."""
        return self.dense.place

    @property
    def outputs(self) -> ArraysOut:
        """Its mask."""
        return self.dense.outputs

    @property
    def stamps(self) -> tuple[Stamp, ...]:
        """The files that are read."""
        return (*self.source_stamps, *self.dense.stamps)

    def opened(self) -> Opened:
        """Open the files that are read, for one read at a time."""
        with ExitStack() as stack:
            source, _ = open_source(stack, self.source)
            job, files = self.dense.opened()
            stack.push(files)
            return Opened((replace(job, name=self.door, limits=self.limits), source), stack.pop_all())


class Resampler(OnDemand[ImageRecipe]):
    """A resampled image and its mask, of which windows are made where they are asked for."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the bands, in the source."""
        return self._recipe.bands.numbers

    @property
    def traits(self) -> tuple[BandTraits, ...]:
        """What each band says of its values."""
        return self._recipe.bands.traits

    @property
    def dtype(self) -> AnyDtype:
        """Of the image."""
        return self._recipe.out.target.dtype

    @property
    def nodata(self) -> float | None:
        """Of the image's invalid pixels; None is NaN, or 0 in integers."""
        return self._recipe.out.nodata

    @property
    def mask_bands(self) -> int:
        """One, or as many as the image has."""
        return self._recipe.out.mask_bands

    def read(self, window: Window) -> tuple[AnyArray, AnyArray]:
        """Make a window of this raster: the image (bands, rows, columns), and the mask, with its bands if several."""
        pixels = np.empty((len(self.numbers), *window.shape), self.dtype)
        codes = np.empty((self.mask_bands, *window.shape), self.mask_dtype)
        recipe = self._recipe
        start = recipe.place.extent.window
        dense = window.moved(start.row_start, start.col_start)
        piece = WindowPlan(dense, recipe.place.extent.resolution, dense.shape).piece(0, 0)
        with self._pool.job(recipe) as (job, source):
            ResampleStep(job, source, recipe.out).run(piece, [codes, pixels], 1)
        return pixels, codes if self.mask_bands > 1 else codes[0]
