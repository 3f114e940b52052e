"""The commands `densify` and `mask`."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .messages import QUIET
from .options import (
    coordinate_options,
    dense_options,
    files_in,
    grid_band_options,
    grid_nodata_option,
    mask_options,
    mask_out_option,
    output_options,
    part_options,
    polygon_options,
    resolution_option,
    source_option,
)

if TYPE_CHECKING:
    from ..doors.reports import Report
    from ..types import Progress


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="GRID [COLGRID] OUT")
@resolution_option
@part_options
@mask_out_option
@mask_options
@polygon_options
@click.option("--fill", type=float, help="Both coordinates of invalid pixels.  [default: as computed]")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Of OUT.  [default: that of GRID]")
@coordinate_options
@source_option
@grid_band_options
@grid_nodata_option
@output_options
@click.pass_context
def densify(context: click.Context, paths: tuple[str, ...], **options: Any) -> None:
    """Make a coarse grid dense, and its mask.

    GRID holds source rows and columns in two bands, or GRID the rows and COLGRID the columns. OUT is a GeoTIFF, or
    where its name ends in .zarr a Zarr store, of grid and mask. Outputs appear whole and verified, or not at all.
    """
    if len(paths) not in (2, 3):
        raise click.UsageError(f"GRID [COLGRID] OUT are two or three files, not {len(paths)}.")
    *grid, out = paths
    _densify(context, tuple(grid) if len(grid) == 2 else grid[0], out, **options)


@click.command()
@click.argument("out", metavar="OUT")
@click.option(
    "--shape",
    type=(int, int),
    metavar="R C",
    help="Rows and columns of nodes.  [default: those of the mask, or enough for IMAGE]",
)
@resolution_option
@part_options
@mask_options
@polygon_options
@output_options
@click.pass_context
def mask(context: click.Context, out: str, **options: Any) -> None:
    """Make a dense mask, without a grid.

    OUT is a GeoTIFF, or where its name ends in .zarr a Zarr store, which appears whole and verified, or not at all.
    """
    _densify(context, None, None, mask_out=out, **options)


def _densify(
    context: click.Context,
    grid: Any,
    out: str | None,
    *,
    report: str | None,
    **given: Any,
) -> None:
    from ..doors.densify import densify as run

    options = dense_options(context, **given)
    inputs = files_in(grid, *(options.get(name) for name in ("mask", "like", "source", "valid", "invalid")))
    made = files_in(out, options.get("mask_out"))
    with reported(report, inputs, made, overwrite=options["overwrite"]) as keep, bar(context) as progress:
        done = run(grid, out, progress=progress, **options)
        keep(done)
    if not context.meta.get(QUIET):
        click.echo(done.to_text())


# Of reports that are pages.
_PAGES = (".html", ".htm")


@contextmanager
def reported(
    report: str | None, inputs: list[Path], outputs: list[Path], *, overwrite: bool
) -> Iterator[Callable[[Report], object]]:
    """Yield what keeps a report for its file, if there is to be one: made before the job, in its place after it."""
    from ..files.whole_file import whole_file

    if report is None:
        yield lambda _: None
        return
    path = _report_path(report, inputs, outputs, overwrite=overwrite)
    with whole_file(path, "report", overwrite=overwrite) as file:
        yield lambda done: file.write(_report_text(done, path).encode() + b"\n")


def _report_text(report: Report, path: Path) -> str:
    if path.suffix.lower() in _PAGES:
        from ..doors.report_page import page_of

        return page_of(report)
    return json.dumps(report.to_dict(), indent=2)


def _report_path(report: str, inputs: list[Path], outputs: list[Path], *, overwrite: bool) -> Path:
    """Take the path of a report: its suffix says HTML, JSON, or nothing, which is JSON."""
    from ..files.outputs import check_suffix, destination

    path = destination(report, "report", inputs, overwrite=overwrite, outputs=outputs)
    if path.suffix.lower() not in _PAGES:
        check_suffix(path, "report", "JSON")
    return path


@contextmanager
def bar(context: click.Context) -> Iterator[Progress]:
    """Show a progress bar on a terminal, and nothing in a pipe."""
    from ..engine.progress import progress_bar

    hidden = True if context.meta.get(QUIET) else None  # None: tqdm looks whether stderr is a terminal
    with progress_bar(None, disable=hidden, leave=False, dynamic_ncols=True, file=sys.stderr) as advance:
        yield advance
