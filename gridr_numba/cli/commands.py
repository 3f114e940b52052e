"""The command line: ``gridr-numba``, and the same commands as ``rio grid-densify``.

Each command imports what it needs when it runs, so that help and version come at once.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import json
import logging
import re
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import __version__
from ..errors import GridrError, GridrTypeError, GridrValueError

if TYPE_CHECKING:
    from ..doors.densify import DensifyReport
    from ..types import Progress

_LOGGER = logging.getLogger("gridr_numba")
_COMPILER = logging.getLogger("gridr_numba.kernels.jit")  # says that kernels are being compiled
_DEBUG, _QUIET = "gridr_numba.debug", "gridr_numba.quiet"
_BAD_ARGUMENTS, _FAILURE, _INTERRUPTED = 2, 1, 130


# -- errors and messages ------------------------------------------------------------------------------------------


class _Commands(click.Group):  # type: ignore[misc]
    """Commands whose errors are one line on stderr, also where another program's command line runs them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _one_line_errors(ctx):
            return super().parse_args(ctx, args)  # type: ignore[no-any-return]

    def invoke(self, ctx: click.Context) -> Any:
        with _messages_on_stderr(), _tidy_when_terminated(), _one_line_errors(ctx):
            return super().invoke(ctx)


@contextmanager
def _one_line_errors(context: click.Context) -> Iterator[None]:
    """Exit with 2 for bad arguments, 1 for failures and 130 for Ctrl-C; the traceback is shown only with --debug."""
    try:
        yield
    except (click.exceptions.Exit, click.Abort, BrokenPipeError):
        raise  # click's own business
    except click.UsageError as error:
        if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())):
            raise
        hint = f" See '{error.ctx.command_path} --help'." if error.ctx else ""
        _fail(context, error.format_message() + hint, _BAD_ARGUMENTS)
    except (GridrValueError, GridrTypeError) as error:
        _fail(context, str(error), _BAD_ARGUMENTS)
    except (GridrError, OSError, MemoryError, click.ClickException) as error:
        _fail(context, str(error) or type(error).__name__, _FAILURE)
    except KeyboardInterrupt:
        _fail(context, "interrupted", _INTERRUPTED)
    except Exception as error:
        _fail(context, f"unexpected {type(error).__name__}: {error} (--debug shows where)", _FAILURE)


@contextmanager
def _tidy_when_terminated() -> Iterator[None]:
    """Let SIGTERM and SIGHUP unwind as Ctrl-C does, so that no partial file is left.

    Batch systems end jobs with the one, terminals that close with the other (where it is not ignored, as by nohup).
    """

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return
    numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fail(context: click.Context, message: str, code: int) -> None:
    if context.meta.get(_DEBUG):
        click.echo(traceback.format_exc(), err=True, nl=False)
    click.echo(f"Error: {_in_options(' '.join(message.split()))}", err=True)
    context.exit(code)


# What the package's messages call by its Python name, and the command line otherwise.
_SPOKEN = [
    (r"\b(overwrite|repair_geometry|allow_vrt)=True\b", lambda match: "--" + match[1].replace("_", "-")),
    (r"\bsee allow_vrt\b", "see --allow-vrt"),
    (r"\bpass grid_nodata=\(\)", "give --grid-nodata none"),
    (r"\bmemory_budget\b", "--memory"),
    (r"\bgeometry_layer\b", "--layer"),
    (r"\bgeometry_crs\b", "--geometry-crs"),
    (r"\brow_band and col_band\b", "--row-band and --col-band"),
]


def _in_options(message: str) -> str:
    replacement: Any
    for pattern, replacement in _SPOKEN:
        message = re.sub(pattern, replacement, message)
    return message


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"{record.levelname}: {_in_options(record.getMessage())}", err=True)


@contextmanager
def _messages_on_stderr() -> Iterator[None]:
    """Show what the package logs, and warnings, a line each."""
    handler, propagated, compilers = _StderrHandler(), _LOGGER.propagate, _COMPILER.level
    _LOGGER.addHandler(handler)
    _LOGGER.propagate = False
    _COMPILER.setLevel(max(_LOGGER.level, logging.INFO))
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Dataset has no geotransform")  # as rasters in pixels should
            warnings.showwarning = lambda message, *_: _LOGGER.warning("%s", message)
            yield
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagated
        _COMPILER.setLevel(compilers)


def _verbose(context: click.Context, _: click.Parameter, count: int) -> None:
    if count:
        _set_level(context, logging.INFO if count == 1 else logging.DEBUG)


def _quiet(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        context.meta[_QUIET] = True
        _set_level(context, logging.ERROR)


def _set_level(context: click.Context, level: int) -> None:
    for logger, lowest in ((_LOGGER, level), (_COMPILER, max(level, logging.INFO))):
        context.call_on_close(partial(logger.setLevel, logger.level))
        logger.setLevel(lowest)


def _debug(context: click.Context, _: click.Parameter, given: bool) -> None:
    if given:
        context.meta[_DEBUG] = True


# -- values of options --------------------------------------------------------------------------------------------


def _size(text: str) -> int:
    """Take bytes: 268435456, 256M, 1.5GiB; K, M, G and T are powers of 1024."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise click.BadParameter(f"{text!r} is not a number of bytes such as 256M.")
    return int(float(match[1]) * 1024.0 ** " KMGT".index(match[2].upper() or " "))


def _number(text: str | float) -> int | float:
    """Take an integer, whatever its size, or else a float."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a number.") from None


def _number_or_none(text: str) -> int | float | str:
    return "none" if text.lower() == "none" else _number(text)


def _nodata(_: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Take 'none' and numbers as `grid_nodata`: a number adds to the tags, a sequence replaces them."""
    numbers = tuple(value for value in values if value != "none")
    if "none" in values:
        return numbers
    if len(numbers) > 1:
        raise click.BadParameter("several values replace the files' tags: give 'none' too.", param=parameter)
    return numbers[0] if numbers else None


def _window(_: click.Context, __: click.Parameter, value: tuple[int, int, int, int] | None) -> Any:
    return None if value is None else (value[:2], value[2:])


def _creation_options(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for key, equals, item in pairs:
        if not (key and equals):
            raise click.BadParameter(f"{key + equals + item!r} is not KEY=VAL.", param=parameter)
    return {key: item for key, _, item in pairs}


def _col_band(given: int | None, files: int) -> int:
    """Return the band of source columns: of the only file the second, of a file of their own the first."""
    return given if given is not None else 2 if files == 1 else 1


def _files(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[str] | str | None:
    return list(values) if len(values) > 1 else values[0] if values else None


def _crs(_: click.Context, __: click.Parameter, value: str | None) -> str | int | None:
    """Take an EPSG code without its prefix too."""
    return int(value) if value is not None and value.isdecimal() else value


def _layers(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    if len(values) > 2:
        raise click.BadParameter("at most two, of --valid and of --invalid.", param=parameter)
    return values if len(values) == 2 else values[0] if values else None


# -- options ------------------------------------------------------------------------------------------------------

_Decorator = Callable[[Any], Any]


def _together(*options: _Decorator) -> _Decorator:
    """Make one decorator of several, shown in their order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_message_options = _together(
    click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_verbose, is_eager=True, help="Say more; -vv all."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_quiet, is_eager=True, help="Say only errors."
    ),
    click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_debug,
        is_eager=True,
        help="Show a traceback with an error.",
    ),
)
_allow_vrt = click.option("--allow-vrt", is_flag=True, help="Read VRTs of plain local rasters too.")
_overwrite = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")
_resolution = click.option(
    "-r", "--resolution", type=(int, int), required=True, metavar="ROW COL", help="Dense pixels a node."
)
_mask_valid_value = click.option(
    "--mask-valid-value",
    type=_number,
    default=1,
    show_default=True,
    metavar="VALUE",
    help="Its value for valid; all else is not.",
)
_grid_bands = _together(
    click.option(
        "--row-band", type=int, default=1, show_default=True, metavar="N", help="The band of source rows, in GRID."
    ),
    click.option(
        "--col-band",
        type=int,
        metavar="N",
        help="The band of source columns.  [default: 2, or 1 of COLGRID]",
    ),
)
_grid_nodata = click.option(
    "--grid-nodata",
    type=_number_or_none,
    multiple=True,
    callback=_nodata,
    metavar="VALUE|none",
    help="One more value of void nodes; 'none' turns the files' nodata tags off.",
)
_part_options = _together(
    click.option("--like", metavar="IMAGE", help="Take CRS, transform and size from this image."),
    click.option(
        "--window",
        type=(int, int, int, int),
        callback=_window,
        metavar="R0 R1 C0 C1",
        help="Make only rows R0 to R1 - 1 and columns C0 to C1 - 1.",
    ),
)
_mask_options = _together(
    click.option("--mask", metavar="FILE", help="The coarse mask, one pixel a node."),
    click.option("--mask-band", type=int, default=1, show_default=True, metavar="N", help="Its band."),
    _mask_valid_value,
    click.option(
        "--threshold",
        type=float,
        default=1.0,
        show_default=True,
        help="Least weight of valid nodes; 1 is every contributing node.",
    ),
    click.option(
        "--mask-values",
        type=(int, int),
        metavar="VALID INVALID",
        help="What the dense mask holds.  [default: 1 0]",
    ),
    click.option(
        "--causes",
        is_flag=True,
        help="The dense mask holds 0 for valid, else a bit a cause: 1 raster mask, 2 node, 4 outside valid,"
        " 8 inside invalid.",
    ),
)
_polygon_options = _together(
    click.option(
        "--valid",
        multiple=True,
        callback=_files,
        metavar="FILE",
        help="Polygons inside which pixels are valid; repeatable.",
    ),
    click.option(
        "--invalid",
        multiple=True,
        callback=_files,
        metavar="FILE",
        help="Polygons inside which they are not; repeatable.",
    ),
    click.option(
        "--layer",
        "geometry_layer",
        multiple=True,
        callback=_layers,
        metavar="NAME",
        help="The layer of polygon files that have several; given twice, of --valid and of --invalid.",
    ),
    click.option(
        "--geometry-crs",
        callback=_crs,
        metavar="CRS",
        help="Of the polygons, instead of what the files say. Files without a CRS, GeoJSON too, are in dense pixels.",
    ),
    click.option(
        "--origin",
        "geometry_origin",
        type=(float, float),
        default=(0.0, 0.0),
        metavar="ROW COL",
        help="Of dense pixel (0, 0) in the coordinates of polygons without a CRS.  [default: 0 0]",
    ),
    click.option(
        "--predicate",
        type=click.Choice(["covers", "contains", "intersects"]),
        default="covers",
        show_default=True,
        help="Which pixel centres are inside; contains leaves out those on an edge.",
    ),
    click.option(
        "--alg",
        type=click.Choice(["shapely", "rasterio"]),
        default="shapely",
        show_default=True,
        help="How polygons become pixels.",
    ),
    click.option("--repair-geometry", is_flag=True, help="Mend invalid polygons."),
)
_output_options = _together(
    click.option(
        "--co",
        "creation_options",
        multiple=True,
        callback=_creation_options,
        metavar="KEY=VAL",
        help="A GeoTIFF creation option, as for GDAL; repeatable.",
    ),
    click.option("--threads", type=int, help="At most so many.  [default: all]"),
    click.option(
        "--memory",
        "memory_budget",
        type=_size,
        default="256M",
        show_default=True,
        metavar="BYTES",
        help="For the strips' output buffers, such as 1G.",
    ),
    click.option("--verify/--no-verify", default=True, help="Read the outputs back and compare.  [default: verify]"),
    _overwrite,
    _allow_vrt,
    click.option("--report", metavar="FILE.json", help="Write what was done, as JSON."),
    _message_options,
)


# -- commands -----------------------------------------------------------------------------------------------------


@click.group(name="grid-densify", cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gridr-numba")
@_message_options
def main() -> None:
    """Make coarse resampling grids and their masks dense."""


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="GRID [COLGRID] OUT")
@_resolution
@_part_options
@click.option("--mask-out", metavar="FILE", help="The dense mask to make.")
@_mask_options
@_polygon_options
@click.option("--fill", type=float, help="Both coordinates of invalid pixels.  [default: as computed]")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of OUT.  [default: that of GRID]")
@_grid_bands
@_grid_nodata
@_output_options
@click.pass_context
def densify(context: click.Context, paths: tuple[str, ...], col_band: int | None, **options: Any) -> None:
    """Make a coarse grid dense, and its mask.

    GRID holds source rows and columns in two bands, or GRID the rows and COLGRID the columns. OUT is a GeoTIFF. Outputs
    appear whole and verified, or not at all.
    """
    if len(paths) not in (2, 3):
        raise click.UsageError(f"GRID [COLGRID] OUT are two or three files, not {len(paths)}.")
    *grid, out = paths
    options["col_band"] = _col_band(col_band, len(grid))
    _densify(context, tuple(grid) if len(grid) == 2 else grid[0], out, **options)


@main.command()
@click.argument("out", metavar="OUT")
@click.option("--shape", type=(int, int), required=True, metavar="R C", help="Rows and columns of nodes.")
@_resolution
@_part_options
@_mask_options
@_polygon_options
@_output_options
@click.pass_context
def mask(context: click.Context, out: str, **options: Any) -> None:
    """Make a dense mask, without a grid.

    OUT is a GeoTIFF, which appears whole and verified, or not at all.
    """
    _densify(context, None, None, mask_out=out, **options)


def _densify(
    context: click.Context,
    grid: Any,
    out: str | None,
    *,
    report: str | None,
    causes: bool,
    mask_values: tuple[int, int] | None,
    predicate: str,
    alg: str,
    **options: Any,
) -> None:
    from ..doors.densify import CAUSES
    from ..doors.densify import densify as run
    from ..files.outputs import destination
    from ..files.whole_file import whole_file
    from ..types import GridRasterizeAlg, ShapelyPredicate

    if causes and mask_values is not None:
        raise click.UsageError("--causes and --mask-values exclude one another.")
    if causes or mask_values is not None:
        options["mask_out_values"] = CAUSES if causes else mask_values
    options["rasterize_kwargs"] = {
        "alg": GridRasterizeAlg.SHAPELY if alg == "shapely" else GridRasterizeAlg.RASTERIO_RASTERIZE,
        "kwargs_alg": {"shapely_predicate": ShapelyPredicate[predicate.upper()]},
    }
    path = None
    if report is not None:
        named = [grid, out, *(options.get(name) for name in ("mask_out", "mask", "like", "valid", "invalid"))]
        taken = [Path(each) for item in named for each in ((item,) if isinstance(item, str) else item or ())]
        path = destination(report, "report", taken, overwrite=options["overwrite"])
    with nullcontext() if path is None else whole_file(path, "report") as file:
        with _bar(context) as progress:
            done = run(grid, out, progress=progress, **options)
        if file is not None:
            file.write(json.dumps(done.to_dict(), indent=2).encode() + b"\n")
    if not context.meta.get(_QUIET):
        click.echo("\n".join(_summary(done)))


@contextmanager
def _bar(context: click.Context) -> Iterator[Progress]:
    """Show a progress bar on a terminal, and nothing in a pipe."""
    from tqdm import tqdm

    hidden = True if context.meta.get(_QUIET) else None  # None: tqdm looks whether stderr is a terminal
    with tqdm(unit="row", disable=hidden, leave=False, dynamic_ncols=True, file=sys.stderr) as bar:

        def advance(rows_done: int, rows_total: int) -> None:
            bar.total = rows_total
            bar.update(rows_done - bar.n)

        yield advance


def _summary(report: DensifyReport) -> Iterator[str]:
    how = "verified" if report.verified else "not verified"
    for name, path in (("grid", report.grid), ("mask", report.mask)):
        if path is not None:
            yield f"{name:8} {path}, {how}"
    rows, cols = report.shape
    share = 100 * report.valid_pixels / (rows * cols)
    yield f"pixels   {rows} x {cols}, {report.valid_pixels:,} valid ({share:.1f} %)"
    if causes := [f"{name.replace('_', ' ')} {count:,}" for name, count in report.invalid_pixels.items() if count]:
        yield f"invalid  {', '.join(causes)}"
    if report.source_rows is not None and report.source_cols is not None:
        yield f"source   rows {_span(report.source_rows)}, columns {_span(report.source_cols)}"
    yield f"time     {sum(report.seconds.values()):.2f} s, {report.mpx_per_second:.1f} Mpx/s, {report.threads} threads"


def _span(pair: Sequence[float]) -> str:
    return f"{pair[0]:.10g} to {pair[1]:.10g}"


@main.command()
@click.argument("grid")
@click.argument("colgrid", required=False)
@_grid_bands
@_grid_nodata
@_allow_vrt
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@_message_options
def info(grid: str, colgrid: str | None, col_band: int | None, as_json: bool, **options: Any) -> None:
    """Say what a coarse grid holds.

    Shape, type, statistics and void nodes, the part of the source that it looks up, the largest bilinear error, folds,
    and warnings where its bands look like x and y, or like displacements.
    """
    from ..doors.inspection import inspect_grid

    files = grid if colgrid is None else (grid, colgrid)
    found = inspect_grid(files, col_band=_col_band(col_band, 1 if colgrid is None else 2), **options)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else _in_options(found.to_text()))


@main.command()
@click.argument("file")
@click.argument("out", metavar="OUT.png")
@_grid_bands
@_mask_valid_value
@click.option("--size", type=int, default=1000, show_default=True, help="The longer side, in pixels.")
@_overwrite
@_allow_vrt
@_message_options
@click.pass_context
def preview(context: click.Context, file: str, out: str, col_band: int | None, **options: Any) -> None:
    """Draw a grid, coarse or dense, or a mask.

    A grid is coloured by how far it bends the image; a mask by what is valid, and by cause where it holds causes.
    """
    from ..doors.preview import preview as draw

    legend = draw(file, out, col_band=_col_band(col_band, 1), **options)
    if not context.meta.get(_QUIET):
        click.echo(legend)


@main.command()
@_message_options
@click.pass_context
def warmup(context: click.Context) -> None:
    """Compile the kernels and keep them in numba's cache.

    For container builds: later runs of the same version on the same kind of processor start at once. Fails where the
    cache cannot be written; NUMBA_CACHE_DIR says where it is, NUMBA_CPU_NAME=generic compiles for any processor.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # as which the lack of a cache shows
        try:
            from ..doors.warmup import warm_up

            warm_up()
        except RuntimeWarning as warning:
            raise click.ClickException(str(warning)) from warning
    if not context.meta.get(_QUIET):
        click.echo("The kernels are in numba's cache.")


@main.command()
@click.argument("directory", metavar="[DIR]", default="demo-out", type=click.Path(file_okay=False, path_type=Path))
@_message_options
@click.pass_context
def demo(context: click.Context, directory: Path) -> None:
    """Make a real job in DIR (demo-out), run it and verify it.

    The resampling grid of a map projection, 20 million pixels, with a mask, a footprint and clouds. Writes about 360 MB
    and replaces the files of a former demo. Exits with 1 if a check fails.
    """
    from ..demo.run import run_demo

    if not run_demo(directory, echo=click.echo):
        context.exit(1)
