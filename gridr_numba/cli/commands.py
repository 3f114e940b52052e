"""The group of commands, and the short ones.

Each command imports what it needs when it runs, so that help and version come at once.
"""

# mypy: allow-untyped-decorators

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import click

from .. import __version__
from . import densify
from . import make_grid as grids
from . import resample as images
from .messages import QUIET, Commands, in_options
from .options import (
    allow_vrt_option,
    displacement_option,
    geometry_crs_of,
    grid_band_options,
    grid_nodata_option,
    mask_valid_value_option,
    message_options,
    overwrite_option,
    polygon_file_options,
    refuse_idle_of_polygons,
    resolution_if_known_option,
    resolution_of_polygons_option,
    xy_option,
)


@click.group(name="grid-densify", cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gridr-numba")
@message_options
def main() -> None:
    """Make coarse resampling grids and their masks dense."""


@main.command()
@click.argument("grid")
@click.argument("colgrid", required=False)
@xy_option
@displacement_option
@grid_band_options
@grid_nodata_option
@resolution_if_known_option
@click.option("--source", metavar="IMAGE", help="The image that is looked up; its shape says what lies in it.")
@allow_vrt_option
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@message_options
def info(grid: str, colgrid: str | None, as_json: bool, **options: Any) -> None:
    """Say what a coarse grid holds.

    Shape, type, statistics and void nodes, the part of the source that it looks up, the largest bilinear error, folds,
    and warnings where its bands look like x and y, displacements, longitudes and latitudes, or an image's.
    """
    from ..doors.inspection import inspect_grid

    files = grid if colgrid is None else (grid, colgrid)
    found = inspect_grid(files, **options)
    click.echo(json.dumps(found.to_dict(), indent=2) if as_json else in_options(found.to_text()))


@main.command()
@click.argument("paths", nargs=-1, required=True, metavar="FILE [COLFILE] OUT")
@xy_option
@displacement_option
@grid_band_options
@click.option("--mask", metavar="MASK", help="A mask to draw over the grid, of its rows and columns.")
@click.option("--mask-band", type=int, default=1, show_default=True, metavar="N", help="Its band.")
@mask_valid_value_option
@polygon_file_options
@resolution_of_polygons_option
@click.option("--size", type=int, default=1000, show_default=True, help="The longer side of what is drawn, in pixels.")
@overwrite_option
@allow_vrt_option
@message_options
@click.pass_context
def preview(
    context: click.Context,
    paths: tuple[str, ...],
    valid_crs: str | int | None,
    invalid_crs: str | int | None,
    **options: Any,
) -> None:
    """Draw a grid, coarse or dense, a mask, or both, and the edges of polygons.

    FILE holds a grid or a mask, or FILE the rows and COLFILE the columns of a grid. A grid is coloured by how far it
    bends the image; a mask by what is valid, and by cause where it holds causes. Title, scale and legend are in the
    picture. OUT.png is painted; OUT.svg and OUT.pdf are drawn by matplotlib.
    """
    if len(paths) not in (2, 3):
        raise click.UsageError(f"FILE [COLFILE] OUT are two or three files, not {len(paths)}.")
    refuse_idle_of_polygons(context)
    options["geometry_crs"] = geometry_crs_of(options["geometry_crs"], valid_crs, invalid_crs)
    *files, out = paths
    source = tuple(files) if len(files) == 2 else files[0]
    if Path(out).suffix.lower() in (".svg", ".pdf"):
        _plot(source, out, **options)
        return
    from ..doors.preview import preview as draw

    legend = draw(source, out, **options)
    if not context.meta.get(QUIET):
        click.echo(in_options(legend))


def _plot(source: Any, out: str, *, overwrite: bool, **options: Any) -> None:
    """Draw by matplotlib, whose lines and letters are sharp at any size."""
    try:
        from ..plot import plot_file, save
    except ImportError as error:
        raise click.UsageError(f"OUT.svg and OUT.pdf are drawn by matplotlib: {error}") from error
    save(plot_file(source, **options), out, overwrite=overwrite)


@main.command()
@message_options
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
    if not context.meta.get(QUIET):
        click.echo("The kernels are in numba's cache.")


@main.command()
@click.argument("directory", metavar="[DIR]", default="demo-out", type=click.Path(file_okay=False, path_type=Path))
@message_options
@click.pass_context
def demo(context: click.Context, directory: Path) -> None:
    """Make a real job in DIR (demo-out), run it and verify it.

    The resampling grid of a map projection, 20 million pixels, with a mask, a footprint and clouds. Writes about 750 MB
    and replaces the files of a former demo. Exits with 1 if a check fails.
    """
    from ..demo.run import run_demo

    if not run_demo(directory, echo=click.echo):
        context.exit(1)


for _command in (grids.make_grid, densify.densify, densify.mask, images.resample, images.warp):
    main.add_command(_command)
