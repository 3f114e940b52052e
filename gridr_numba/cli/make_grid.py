"""The command `make-grid`."""

# mypy: allow-untyped-decorators

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .densify import bar, reported
from .messages import QUIET
from .options import (
    allow_vrt_option,
    creation_option,
    crs_of,
    message_options,
    overwrite_option,
    strict_option,
    together,
    verify_option,
)


def _height(_: click.Context, parameter: click.Parameter, value: str | None) -> float | str | None:
    if value is None or value == "rpc":
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither metres nor 'rpc'.", param=parameter) from None


def _check(_: click.Context, parameter: click.Parameter, value: str) -> int | str:
    if value == "all" or value.isdecimal():
        return value if value == "all" else int(value)
    raise click.BadParameter(f"{value!r} is neither a number of pixels nor 'all'.", param=parameter)


def _one_or_pair(_: click.Context, parameter: click.Parameter, values: tuple[Any, ...]) -> Any:
    """Take an option that is given once for both axes, or twice."""
    if len(values) > 2:
        raise click.BadParameter("at most twice.", param=parameter)
    return values if len(values) == 2 else values[0] if values else None


target_options = together(
    click.option("--like", metavar="FILE", help="An image that is the target: its CRS, transform and shape."),
    click.option(
        "--crs", callback=crs_of, metavar="CRS", help="Of the target, such as EPSG:32631, where it is not --like."
    ),
    click.option(
        "--pixel-size",
        type=float,
        multiple=True,
        callback=_one_or_pair,
        metavar="SIZE",
        help="In units of --crs; twice for x and y.  [default: the image's resolution]",
    ),
    click.option(
        "--bounds",
        type=(float, float, float, float),
        metavar="LEFT BOTTOM RIGHT TOP",
        help="In units of --crs.  [default: what the image covers]",
    ),
)
search_options = together(
    click.option("--tolerance", type=float, default=0.01, show_default=True, help="In pixels of IMAGE."),
    click.option(
        "--model",
        type=click.Choice(["auto", "crs", "rpc", "gcps", "tps"]),
        default="auto",
        show_default=True,
        help="What says where the pixels of IMAGE lie.",
    ),
    click.option(
        "--height",
        callback=_height,
        metavar="METRES|rpc",
        help="For RPCs: of the ground above the ellipsoid, or their own.",
    ),
    click.option(
        "--step",
        type=int,
        multiple=True,
        callback=_one_or_pair,
        help="Pixels a node; twice for rows and columns.  [default: chosen]",
    ),
    click.option(
        "--check",
        callback=_check,
        default="100000",
        show_default=True,
        metavar="N|all",
        help="Random pixels to check, or all.",
    ),
    click.option(
        "--max-evaluations",
        type=int,
        default=20_000_000,
        show_default=True,
        metavar="N",
        help="How many pixels the search may ask for at most.",
    ),
)


def unreachable_option(default: str) -> Any:
    """Return the option, which is not the same by default for all commands."""
    return click.option(
        "--unreachable",
        type=click.Choice(["error", "void"]),
        default=default,
        show_default=True,
        help="Where the tolerance cannot be kept: refuse, or leave out the nodes.",
    )


@click.command(name="make-grid")
@click.argument("image")
@click.argument("out", metavar="GRID")
@target_options
@search_options
@unreachable_option("error")
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), default="float64", show_default=True, help="Of GRID."
)
@creation_option
@verify_option
@strict_option
@overwrite_option
@allow_vrt_option
@click.option("--report", metavar="FILE", help="Write what was done, as JSON, or as a page with a picture: FILE.html.")
@message_options
@click.pass_context
def make_grid(context: click.Context, image: str, out: str, *, report: str | None, **options: Any) -> None:
    """Make the coarsest grid that leads a target to IMAGE within a tolerance.

    IMAGE says where its pixels lie by its CRS and transform, its RPCs or its ground control points. GRID then goes to
    densify, and says its resolution there.
    """
    from ..doors.make_grid import make_grid as run

    taken = [Path(each) for each in (image, options["like"]) if each is not None]
    with reported(report, taken, [Path(out)], overwrite=options["overwrite"]) as keep, bar(context) as progress:
        done = run(image, out, progress=progress, **options)
        keep(done)
    if not context.meta.get(QUIET):
        click.echo(done.to_text())
        click.echo(f"next     gridr-numba densify {done.grid} OUT.tif")
