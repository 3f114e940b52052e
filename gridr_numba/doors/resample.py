"""`resample`: an image and a coarse grid in, the resampled image out, verified."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from numpy.typing import DTypeLike

from .. import checks
from ..engine.counts import Tally
from ..engine.job import Limits, MaskIn, Names, Outputs, Services, Warnings, job_of, refuse_scaling
from ..engine.loop import run_windows
from ..engine.resample_step import ImageOut, ResampleStep
from ..engine.step import Target
from ..engine.survey import NodeSurvey
from ..errors import GridrTypeError, GridrValueError
from ..files.bands import Nowhere, SinkBand
from ..files.inputs import HeldRaster, open_raster
from ..files.outputs import OutputFormat, check_apart
from ..files.source import SourceImage
from ..polygons.files import Polygons
from ..types import DEFAULT_MEMORY_BUDGET, AnyDtype, FilePath, GeometryCrs, Pair, Progress, WindowPairs
from .dense_inputs import DenseArguments, DenseInputs
from .options_tag import files_given, options_given
from .output_files import FileMaker, Kind, mask_values
from .placement import file_limits
from .production import Production
from .reports import DenseReport, of_dense, span
from .stages import Stages

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, repr=False)
class ResampleReport(DenseReport):
    """What `resample` made.

    Attributes
    ----------
    image, mask : str or None
        The files.
    shape : tuple of int
        Rows and columns of each.
    bands : tuple of int
        Of the source image, in the order of the output's.
    interpolation : str
    valid_pixels : int
    invalid_pixels : dict
        By the `key` of each `Cause`, such as ``source_invalid``. A pixel counts once, under its first cause. With
        ``band_validity="each"``, both count the pixels of each band.
    clipped : int
        Valid values, of all bands, that were beyond what the output's integers hold, and were set to the nearest that
        they do: where an interpolation overshoots.
    equal_to_nodata : int
        Valid values, of all bands, that are the output's nodata: readers will take them for invalid.
    overflown : int
        Values that were beyond what the output's floating type holds: their pixels are invalid.
    source_rows, source_cols : tuple of int or None
        The first row (column) of the source that was read, and the one after the last. None where none was.
    source_bytes_read, source_bytes : int
        Of the source's bands: as windows asked for them, what windows share again for each; and all that there are.
    seconds : dict
        By stage.
    mpx_per_second : float
        Of the whole call.
    threads : int
    versions : dict
        Of the package and of what it computes with.
    verified : bool
        Whether the files were read back and compared before they replaced anything.
    warnings : tuple of str
        What looked wrong and was no error; it was logged too.
    applied : dict
        To the stored values of the grid; see `DensifyReport`.
    resolution, window
        Of the dense raster, as in `DensifyReport`.
    inputs : dict
        The paths that were given, by the argument's name; each a list.
    options : dict
        The other arguments that were not as by default.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import resample
    >>> pixels = np.arange(35, dtype="uint8").reshape(5, 7)
    >>> with rasterio.open("image.tif", "w", driver="GTiff", count=1, height=5, width=7, dtype="uint8") as image:
    ...     image.write(pixels, 1)
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=2, width=3, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:2, :3] * 2.0 + 1.0)  # one row down and one column to the right
    >>> report = resample("image.tif", "grid.tif", "out.tif", resolution=2, nodata=255)
    >>> report.shape, report.valid_pixels
    ((3, 5), 15)
    """

    image: str
    bands: tuple[int, ...]
    interpolation: str
    clipped: int
    equal_to_nodata: int
    overflown: int
    source_rows: Pair | None
    source_cols: Pair | None
    source_bytes_read: int
    source_bytes: int

    _brief: ClassVar = ("image", "mask", "pixels")

    def _lines(self) -> Iterator[tuple[str, str]]:
        yield from self._made_lines("image", self.image)
        name, said = self._pixels_line(self.valid_pixels + sum(self.invalid_pixels.values()))
        yield name, f"{said}, {self.interpolation}"
        yield from self._invalid_lines()
        counts = {"clipped": self.clipped, "equal to nodata": self.equal_to_nodata, "overflown": self.overflown}
        if values := [f"{name} {count:,}" for name, count in counts.items() if count]:
            yield "values", ", ".join(values)
        if self.source_rows is not None and self.source_cols is not None:
            read = f"{self.source_bytes_read / 1e6:.1f} MB read of {self.source_bytes / 1e6:.1f} MB"
            yield "source", f"rows {span(self.source_rows)}, columns {span(self.source_cols)}, {read}"
        yield self._time_line()


# Longer than a screen: half of it are parameters, each of which is checked once.
def resample(
    image: FilePath,
    grid: FilePath | Sequence[FilePath],
    out: FilePath,
    *,
    resolution: int | tuple[int, int] | None = None,
    like: FilePath | None = None,
    window: WindowPairs | None = None,
    bands: int | Sequence[int] | None = None,
    interpolation: str = "cubic",
    nodata: float | None = None,
    source_mask: FilePath | None = None,
    source_mask_band: int = 1,
    source_mask_valid_value: int = 1,
    band_validity: Literal["any", "all", "each"] = "any",
    edge: Literal["clamp", "strict"] = "clamp",
    mask: FilePath | None = None,
    mask_out: FilePath | None = None,
    mask_out_values: tuple[int, int] | str = (1, 0),
    mask_band: int = 1,
    mask_valid_value: int = 1,
    threshold: float = 1.0,
    valid: Polygons | None = None,
    invalid: Polygons | None = None,
    geometry_origin: tuple[float, float] = (0.0, 0.0),
    geometry_crs: GeometryCrs = None,
    geometry_layer: str | tuple[str | None, str | None] | None = None,
    rasterize_kwargs: dict[str, Any] | None = None,
    repair_geometry: bool = False,
    grid_order: Literal["row_col", "xy"] = "row_col",
    row_band: int | None = None,
    col_band: int | None = None,
    displacement: bool = False,
    source_offset: tuple[float, float] = (0.0, 0.0),
    grid_nodata: float | tuple[float, ...] | None = None,
    dtype: DTypeLike | None = None,
    driver: str | None = None,
    creation_options: dict[str, Any] | None = None,
    overviews: bool = False,
    threads: int | None = None,
    memory_budget: int = DEFAULT_MEMORY_BUDGET,
    progress: Progress | bool | None = None,
    overwrite: bool = False,
    verify: bool = True,
    allow_vrt: bool = False,
    strict: bool = False,
) -> ResampleReport:
    """Resample an image through a coarse grid, from files to files.

    Not in GRIDR by this name. Laws 1 to 5 for positions, laws 9 and 10.

    A pixel of the output is the image at the position that the dense grid has there: what `densify` would write in
    float64, bit for bit, without it being written. Where `densify` would make a pixel invalid, it is invalid here, and
    so is one that would be made of invalid pixels of the image, or lies outside of it: nothing is extrapolated, and no
    invalid pixel bleeds into a valid one. Outputs appear as those of `densify` do: complete, verified, or not at all.

    Parameters
    ----------
    image : path
        The source image, of integers of up to 32 bits or floating-point numbers.
    grid : path or pair of paths
        The coarse grid, as in `densify`.
    out : path
        The resampled image. Its values are raw: scales, offsets, units, descriptions and colour interpretation of the
        bands are copied; RPCs, ground control points, geolocation and statistics, which are true of the source alone,
        are not.
    bands : int or sequence of int, optional
        Of the image, from 1. None takes all but alpha bands.
    interpolation : {'cubic', 'nearest', 'linear', 'lanczos3'}
        'nearest' takes the pixel ``floor(x + 0.5)``, and n - 1 at the position n - 0.5. 'linear' makes a pixel of 2 x 2
        of the image, 'cubic' (Keys, a = -0.5) of 4 x 4, 'lanczos3', with weights that sum to 1, of 6 x 6: its *taps*.
        Where a position is an integer along an axis, only one tap along it counts. A band with a colour table is
        refused but for 'nearest'.
    nodata : float, optional
        Of the output, written to its invalid pixels. None is the image's; one must be given where the image has none
        and no `mask_out` is written. Where a band of the image has no nodata tag, pixels that hold this value are
        invalid.
    source_mask : path, optional
        A mask of the image, of its shape; `source_mask_valid_value` in band `source_mask_band` is valid, all else is
        not. It adds to what the image itself says: nodata tags, NaN and infinity, an internal or ``.msk`` mask, and
        alpha bands, where 0 is invalid. A mask that a band has for itself goes with its nodata.
    band_validity : {'any', 'all', 'each'}
        A pixel of the image is invalid where any of the bands holds nodata, where all do, or each band for itself;
        then `mask_out` has a band for each. NaN and infinities are invalid always, in all bands but with 'each'.
    edge : {'clamp', 'strict'}
        Of positions within the image's pixels, ``-0.5 <= row <= rows - 0.5`` and the same of columns, of which a tap
        lies beyond the edge: take the pixel at the edge for it, or make the output's pixel invalid
        (`Cause.OUTSIDE_SOURCE`, as all other positions are).
    dtype : data type, optional
        Of the output; None is the image's. Values are rounded half to even and clipped to an integer type.
    resolution, like, window
        As in `densify`.
    mask, mask_band, mask_valid_value, threshold, valid, invalid, geometry_origin, geometry_crs, geometry_layer
        As in `densify`.
    rasterize_kwargs, repair_geometry, grid_order, row_band, col_band, displacement, source_offset, grid_nodata
        As in `densify`.
    mask_out, mask_out_values
        As in `densify`; 'causes' has `Cause.SOURCE_INVALID` too.
    driver, creation_options, overviews, threads, progress, overwrite, verify, allow_vrt, strict
        As in `densify`. Overviews are averages, or, with 'nearest', pixels of the image.
    memory_budget : int
        Bytes for the windows' buffers, the parts of the image that they look up, and GDAL's block cache.

    Returns
    -------
    ResampleReport

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before a file is created.
    DtypeError
        For an image or a `dtype` of 64-bit integers or complex numbers.
    DatasetError
        For a file that cannot be read, written or verified.
    StrictError
        With `strict`, for what would be a warning.
    MemoryError
        If `memory_budget` is too small for one of the outputs' blocks, or for what a few pixels of a cell of the grid
        look up, as where it is torn: the message says which.

    Examples
    --------
    >>> import numpy as np
    >>> import rasterio
    >>> from gridr_numba import resample
    >>> pixels = np.arange(35, dtype="uint8").reshape(5, 7)
    >>> with rasterio.open("image.tif", "w", driver="GTiff", count=1, height=5, width=7, dtype="uint8") as image:
    ...     image.write(pixels, 1)
    >>> with rasterio.open("grid.tif", "w", driver="GTiff", count=2, height=2, width=3, dtype="float64") as grid:
    ...     grid.write(np.mgrid[:2, :3] * 2.0 + 1.0)  # one row down and one column to the right
    >>> report = resample("image.tif", "grid.tif", "out.tif", resolution=2, nodata=255)
    >>> rasterio.open("out.tif").read(1).tolist() == pixels[1:4, 1:6].tolist()
    True
    """
    given, stages, warn = locals(), Stages(), Warnings(logger)
    with ExitStack() as stack:
        with stages("check"):
            made = Resampling.checked(stack, given, resample, warn)
        made.run(stages)
    return made.report(stages)


@dataclass(frozen=True)
class Resampling:
    """What is read and made of a call of a door that resamples, checked.

    Attributes
    ----------
    dense : DenseInputs
    source : SourceImage
    step : ResampleStep
    limits : Limits
    services : Services
    counts : Tally
    production : Production
    image, mask : OutputFormat
        The mask may be None.
    about : dict
        The files and the options that were given, as a report has them.
    """

    dense: DenseInputs
    source: SourceImage
    step: ResampleStep
    limits: Limits
    services: Services
    counts: Tally
    production: Production
    image: OutputFormat
    mask: OutputFormat | None
    about: dict[str, Any]

    @classmethod
    def checked(
        cls,
        stack: ExitStack,
        given: Mapping[str, Any],
        door: Callable[..., Any],
        warn: Warnings,
        *,
        grid: HeldRaster | None = None,
        grid_files: Sequence[OutputFormat] = (),
        read: Sequence[Path] = (),
    ) -> Resampling:
        """Open the inputs, to be closed by the stack, and check all arguments.

        Parameters
        ----------
        given : dict
            The arguments of a call, by their names.
        door : callable
            What was called.
        grid : HeldRaster, optional
            A grid that the door has made of other arguments, which then do not bear on it any more.
        grid_files : sequence of OutputFormat
            As which it is kept: published before the image.
        read : sequence of Path
            What it was made of.
        """
        checks.switches(given)
        arguments = given if grid is None else {**given, "grid": grid, "like": None, "shape": None}
        refuse_no_grid(arguments["grid"])
        source, files_of_source = open_source(stack, arguments)
        dense = DenseInputs.opened(stack, DenseArguments.of(arguments), warn)
        of_source = (Path(name) for names in files_of_source.values() for name in names)
        inputs = list(dict.fromkeys([*of_source, *dense.paths, *read]))
        kind = Kind.of(
            "GTiff" if given["driver"] is None else given["driver"], given["creation_options"], given["overviews"]
        )
        about = {"inputs": files_given(given), "options": options_given(door, given)}
        maker = FileMaker.of(kind, dense.place, inputs, given["overwrite"], about["options"])
        out = image_out(given, source, masked=given["mask_out"] is not None)
        mask, mask_out = maker.mask(given["mask_out"], mask_values(given["mask_out_values"]), out.mask_bands)
        out, image = _in_file(given["out"], out, source, maker)
        files = _distinct(mask, *grid_files, image)
        limits = _limits(given["threads"], given["memory_budget"])
        extent, rules = dense.place.extent, dense.rules(None)
        job = job_of(door.__name__, extent, dense.inputs, rules, Outputs(None, mask_out), limits)
        progress, how = checks.progress(given["progress"]), ("overwrite", "verify", "strict")
        production = Production.of(files, inputs, limits, warn, **{name: given[name] for name in how})
        counts, survey = Tally(0), NodeSurvey(extent.resolution, source.shape)
        services = Services(warn, counts, survey, production.watch, progress)
        step = ResampleStep(job, source, out, counts, survey)
        return cls(dense, source, step, limits, services, counts, production, image, mask, about)

    def run(self, stages: Stages, *, first: Callable[[], None] = lambda: None) -> None:
        """Write, verify and publish; other files are written first."""

        def write() -> None:
            first()
            run_windows(self.step, self.limits, self.services)

        self.production.run(write, stages, self.services.warn)

    def report(self, stages: Stages) -> ResampleReport:
        """Say what was made."""
        use, counts = self.step.use, self.step.counts
        rows, cols = self.source.shape
        return ResampleReport(
            image=self.image.name,
            mask=None if self.mask is None else self.mask.name,
            bands=tuple(self.source.indexes),
            interpolation=str(self.step.out.interpolation),
            clipped=counts.clipped,
            equal_to_nodata=counts.equal_to_nodata,
            overflown=counts.overflown,
            source_rows=None if use.box is None else (use.box.row_start, use.box.row_stop),
            source_cols=None if use.box is None else (use.box.col_start, use.box.col_stop),
            source_bytes_read=use.pixels * self.source.bytes_per_pixel,
            source_bytes=rows * cols * self.source.bytes_per_pixel,
            verified=self.production.checksums is not None,
            applied=self.dense.inputs.given_grid.applied,
            **of_dense(self.dense.place.extent, self.counts, self.limits, self.services.warn, stages),
            **self.about,
        )


_MASK_NAMES = Names(mask="source_mask", mask_band="source_mask_band", mask_valid_value="source_mask_valid_value")


def refuse_no_grid(grid: object) -> None:
    """Refuse None, which other doors take for a mask alone."""
    if grid is None:
        raise GridrTypeError("grid must be a path or a pair of paths, not None", argument="grid")


def open_source(stack: ExitStack, given: Mapping[str, Any]) -> tuple[SourceImage, dict[str, Sequence[str]]]:
    """Open the image and its mask, and check what says which pixels of it are valid; return the files of each too."""
    allow_vrt, how = given["allow_vrt"], checks.interpolation(given["interpolation"], "interpolation")
    opened = stack.enter_context(open_raster(given["image"], "image", allow_vrt=allow_vrt))
    image = SourceImage.of(opened, given["bands"], given["nodata"], given["band_validity"], how)
    files = {"image": opened.files}
    value, band = given["source_mask_valid_value"], given["source_mask_band"]
    mask_file = None
    if given["source_mask"] is not None:
        mask_file = stack.enter_context(open_raster(given["source_mask"], "source_mask", allow_vrt=allow_vrt))
        files["source_mask"] = mask_file.files
    mask = MaskIn.of(mask_file, value, band, image.shape, "as image has", _MASK_NAMES)
    if mask is None:
        checks.left_out(band, 1, "source_mask_band", "source_mask")
        checks.left_out(value, 1, "source_mask_valid_value", "source_mask")
        return image, files
    refuse_scaling(mask.band)
    return replace(image, mask=mask.band, mask_valid_value=mask.valid_value), files


def image_out(given: Mapping[str, Any], source: SourceImage, *, masked: bool) -> ImageOut:
    """Check the arguments that say what the image holds, which is in no file yet; with a mask, nodata may be None."""
    edge = checks.one_of(given["edge"], "edge", ("clamp", "strict"))
    dtype = source.dtype if given["dtype"] is None else checks.image_dtype(given["dtype"], "dtype")
    nodata = _nodata_out(given["nodata"], source, dtype, masked=masked)
    target = Target(tuple(SinkBand(Nowhere(), number) for number in range(1, len(source.indexes) + 1)), dtype)
    mask_bands = len(source.indexes) if source.validity == "each" else 1
    how = checks.interpolation(given["interpolation"], "interpolation")
    return ImageOut(target, how, edge == "strict", nodata, mask_bands)


def _in_file(path: FilePath, out: ImageOut, source: SourceImage, maker: FileMaker) -> tuple[ImageOut, OutputFormat]:
    """Say in which file the image is to be; return that too."""
    traits, dtype = source.traits, out.target.dtype
    layout = {
        "nodata": out.nodata,
        "colours": traits[0].colours if len(traits) == 1 and dtype == source.dtype else {},
        "band_traits": traits,
        "overviews": maker.kind.of_images(out.interpolation),
    }
    file = maker.file(path, "out", dtype, tuple(each.description or "" for each in traits), **layout)
    bands = tuple(SinkBand(file, number, "out") for number in range(1, len(traits) + 1))
    return replace(out, target=Target(bands, dtype)), file


def _nodata_out(given: object, source: SourceImage, dtype: AnyDtype, *, masked: bool) -> float | None:
    """Return what invalid pixels of the output hold: what is given, or else what the image's bands agree on."""
    if given is not None:
        return checks.fits(given, dtype, "nodata")
    tags = {str(tag): tag for tag in source.nodata}
    tag = source.nodata[0]
    if len(tags) > 1:
        raise GridrValueError(
            f"nodata must be given where the image's bands have different ones: {', '.join(tags)}", argument="nodata"
        )
    if tag is None:
        if not masked:
            raise GridrValueError(
                "nodata must be given where the image has none and no mask_out is written: invalid pixels could not be "
                "told from valid ones",
                argument="nodata",
            )
        return None
    try:
        return checks.fits(tag, dtype, "nodata")
    except GridrValueError as error:
        raise GridrValueError(
            f"nodata must be given: the image's, {tag}, does not fit in {dtype}", argument="nodata"
        ) from error


def _distinct(*files: OutputFormat | None) -> list[OutputFormat]:
    """Return the files that there are; refuse two in one place, and one that readers take for a part of another."""
    there = [file for file in files if file is not None]
    for index, file in enumerate(there):
        for other in there[:index]:
            if file.path.resolve() == other.path.resolve():
                raise GridrValueError(
                    f"{file.argument} and {other.argument} must differ, and both are {file.name!r}",
                    argument=file.argument,
                )
    check_apart(there)
    return there


# Windows of so many bytes: larger ones share less of the source.
_WINDOW_BYTES = 64 << 20


def _limits(threads: object, memory_budget: object) -> Limits:
    limits = file_limits(threads, memory_budget)
    return replace(limits, bounds=replace(limits.bounds, window_bytes=_WINDOW_BYTES))
