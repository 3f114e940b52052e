"""The commands `resample` and `warp`."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from typing import Any

import click

from .densify import bar, reported
from .make_grid import search_options, target_options, unreachable_option
from .messages import QUIET
from .options import (
    coordinate_options,
    dense_options,
    file_output_options,
    files_in,
    grid_band_options,
    grid_nodata_option,
    image_options,
    mask_options,
    mask_out_option,
    part_options,
    polygon_options,
    refuse_idle,
    resolution_option,
    window_option,
)

# Options that are files, which are read or made.
_INPUTS = ("mask", "like", "source_mask", "valid", "invalid")
_OUTPUTS = ("mask_out", "grid_out")


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="IMAGE GRID [COLGRID] OUT")
@resolution_option
@part_options
@image_options
@mask_out_option
@mask_options
@polygon_options
@coordinate_options
@grid_band_options
@grid_nodata_option
@file_output_options
@click.pass_context
def resample(context: click.Context, paths: tuple[str, ...], *, report: str | None, **given: Any) -> None:
    """Resample IMAGE through a coarse grid.

    GRID holds rows and columns of IMAGE in two bands, or GRID the rows and COLGRID the columns. OUT is a GeoTIFF.
    Outputs appear whole and verified, or not at all.
    """
    from ..doors.resample import resample as run

    if len(paths) not in (3, 4):
        raise click.UsageError(f"IMAGE GRID [COLGRID] OUT are three or four files, not {len(paths)}.")
    refuse_idle(context, ("source_mask",), "source_mask_band", "source_mask_valid_value")
    image, *files, out = paths
    grid = tuple(files) if len(files) == 2 else files[0]
    options = dense_options(context, **given)
    inputs = files_in(image, grid, *(options.get(name) for name in _INPUTS))
    made = files_in(out, *(options.get(name) for name in _OUTPUTS))
    with reported(report, inputs, made, overwrite=options["overwrite"]) as keep, bar(context) as progress:
        done = run(image, grid, out, progress=progress, **options)
        keep(done)
    if not context.meta.get(QUIET):
        click.echo(done.to_text())


@click.command()
@click.argument("image")
@click.argument("out")
@target_options
@search_options
@unreachable_option("void")
@click.option("--grid-out", metavar="FILE", help="Keep the coarse grid, too.")
@window_option
@image_options
@mask_out_option
@mask_options
@polygon_options
@file_output_options
@click.pass_context
def warp(context: click.Context, image: str, out: str, *, report: str | None, **given: Any) -> None:
    """Bring IMAGE to the pixels of another image, or of a CRS.

    IMAGE says where its pixels lie by its CRS and transform, its RPCs or its ground control points: make-grid and
    resample in one. OUT is a GeoTIFF, which appears whole and verified, or not at all.
    """
    from ..doors.warp import warp as run

    refuse_idle(context, ("source_mask",), "source_mask_band", "source_mask_valid_value")
    options = dense_options(context, **given)
    inputs = files_in(image, *(options.get(name) for name in _INPUTS))
    made = files_in(out, *(options.get(name) for name in _OUTPUTS))
    with reported(report, inputs, made, overwrite=options["overwrite"]) as keep, bar(context) as progress:
        done = run(image, out, progress=progress, **options)
        keep(done)
    if not context.meta.get(QUIET):
        click.echo(done.to_text())
