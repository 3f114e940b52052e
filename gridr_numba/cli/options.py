"""Options that several commands have, and the values that they take."""

# mypy: allow-untyped-decorators

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ..types import IMAGE_DTYPES, Cause, Interpolation
from .messages import set_debug, set_quiet, set_verbose


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


class _OneOrTwo(click.Option):  # type: ignore[misc]
    """An option of one integer or two: a number that follows the first is the second."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        super().add_to_parser(parser, ctx)
        option = parser._long_opt[self.opts[-1]]
        take = option.process

        def take_both(value: str, state: Any) -> None:
            if state.rargs and re.fullmatch(r"[+-]?[\d.]+", state.rargs[0]):
                value += " " + state.rargs.pop(0)
            take(value, state)

        option.process = take_both


def _resolution(_: click.Context, parameter: click.Parameter, value: str | None) -> int | tuple[int, int] | None:
    if value is None:
        return None
    try:
        numbers = [int(text) for text in value.split()]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise click.BadParameter(f"{value!r} is not one integer or two.", param=parameter)
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _grid_order(_: click.Context, __: click.Parameter, xy: bool) -> str:
    return "xy" if xy else "row_col"


def _window(_: click.Context, __: click.Parameter, value: tuple[int, int, int, int] | None) -> Any:
    return None if value is None else (value[:2], value[2:])


def _creation_options(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for key, equals, item in pairs:
        if not (key and equals):
            raise click.BadParameter(f"{key + equals + item!r} is not KEY=VAL.", param=parameter)
    return {key: item for key, _, item in pairs}


def _zarr_options(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any] | None:
    """Take numbers and pairs of them as such, other values as text."""

    def item(text: str) -> Any:
        parts = text.split(",")
        if not all(part.isdecimal() for part in parts):
            return text
        return int(text) if len(parts) == 1 else tuple(map(int, parts))

    given = _creation_options(context, parameter, values)
    return {key: item(text) for key, text in given.items()} or None


def geometry_crs_of(both: Any, valid: Any, invalid: Any) -> Any:
    """Return the CRS of polygons: of all, or of valid and of invalid ones."""
    if valid is None and invalid is None:
        return both
    if both is not None:
        raise click.UsageError("--geometry-crs and --valid-crs or --invalid-crs exclude one another.")
    return valid, invalid


def refuse_idle(context: click.Context, others: Sequence[str], *names: str) -> None:
    """Refuse options on the command line that have no effect without others, also if they say their default."""
    if any(context.params[other] is not None for other in others):
        return
    called = {option.name: option.opts[-1] for option in context.command.params}
    for name in names:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            needed = " or ".join(called[other] for other in others)
            raise click.UsageError(f"{called[name]} must not be given without {needed}.")


def refuse_idle_of_polygons(context: click.Context, *more: str) -> None:
    """Refuse options of polygons where there are none."""
    where = "geometry_layer", "geometry_crs", "geometry_origin"
    refuse_idle(context, ("valid", "invalid"), *where, *more)
    refuse_idle(context, ("valid",), "valid_crs")
    refuse_idle(context, ("invalid",), "invalid_crs")


def _several(_: click.Context, __: click.Parameter, values: tuple[int, ...]) -> list[int] | None:
    return list(values) or None


def _files(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> list[str] | str | None:
    return list(values) if len(values) > 1 else values[0] if values else None


def crs_of(_: click.Context, __: click.Parameter, value: str | None) -> str | int | None:
    """Take an EPSG code without its prefix too; what is too long for one is refused as other text is."""
    return int(value) if value is not None and value.isdecimal() and len(value) < 10 else value


def _layers(_: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> Any:
    if len(values) > 2:
        raise click.BadParameter("at most two, of --valid and of --invalid.", param=parameter)
    return values if len(values) == 2 else values[0] if values else None


def dense_options(
    context: click.Context,
    *,
    causes: bool,
    mask_values: tuple[int, int] | None,
    predicate: str | None,
    alg: str,
    valid_crs: str | int | None,
    invalid_crs: str | int | None,
    **options: Any,
) -> dict[str, Any]:
    """Return `mask_options`, `polygon_options` and others as the parameters of the doors that take them."""
    from ..types import GridRasterizeAlg, ShapelyPredicate

    refuse_idle(context, ("mask",), "threshold", "mask_valid_value", "mask_band")
    refuse_idle_of_polygons(context, "predicate", "alg", "repair_geometry")
    if predicate is None and alg == "shapely":
        predicate = "covers"
    if causes and mask_values is not None:
        raise click.UsageError("--causes and --mask-values exclude one another.")
    if causes or mask_values is not None:
        options["mask_out_values"] = "causes" if causes else mask_values
    options["geometry_crs"] = geometry_crs_of(options["geometry_crs"], valid_crs, invalid_crs)
    options["rasterize_kwargs"] = {
        "alg": GridRasterizeAlg.SHAPELY if alg == "shapely" else GridRasterizeAlg.RASTERIO_RASTERIZE,
        "kwargs_alg": {} if predicate is None else {"shapely_predicate": ShapelyPredicate[predicate.upper()]},
    }
    return options


def files_in(*values: Any) -> list[Path]:
    """Return the paths among the values of options, each of which may be one, several or None."""
    return [Path(each) for item in values for each in ((item,) if isinstance(item, str) else item or ())]


# -- options ------------------------------------------------------------------------------------------------------

_Decorator = Callable[[Any], Any]


def together(*options: _Decorator) -> _Decorator:
    """Make one decorator of several, shown in their order."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


message_options = together(
    click.option(
        "-v",
        "--verbose",
        count=True,
        expose_value=False,
        callback=set_verbose,
        is_eager=True,
        help="Say more; -vv all.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=set_quiet, is_eager=True, help="Say only errors."
    ),
    click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=set_debug,
        is_eager=True,
        help="Show a traceback with an error.",
    ),
)
allow_vrt_option = click.option(
    "--allow-vrt", is_flag=True, help="Read VRTs too that are mosaics of local GeoTIFF and ENVI files."
)
overwrite_option = click.option("--overwrite", is_flag=True, help="Replace outputs that exist.")


def _resolution_option(help: str, **more: Any) -> _Decorator:
    names = "-r", "--resolution"
    option: _Decorator = click.option(
        *names, cls=_OneOrTwo, callback=_resolution, metavar="ROW [COL]", help=help, **more
    )
    return option


resolution_option = _resolution_option(
    "Dense pixels a node; one number is for both.  [default: what a grid of make-grid says]"
)
resolution_of_polygons_option = _resolution_option(
    "Dense pixels a pixel of FILE, where it is a coarse grid: for polygons in dense pixels, and for displacements."
    "  [default: 1]"
)
resolution_if_known_option = _resolution_option(
    "Dense pixels a node; one number is for both. With it more mistakes are recognised."
)
mask_valid_value_option = click.option(
    "--mask-valid-value",
    type=_number,
    default=1,
    show_default=True,
    metavar="VALUE",
    help="Its value for valid; all else is not.",
)
grid_band_options = together(
    click.option(
        "--row-band", type=int, metavar="N", help="The band of source rows, in GRID.  [default: 1, with --xy 2]"
    ),
    click.option(
        "--col-band",
        type=int,
        metavar="N",
        help="The band of source columns.  [default: 2, with --xy or of COLGRID 1]",
    ),
)
grid_nodata_option = click.option(
    "--grid-nodata",
    type=_number_or_none,
    multiple=True,
    callback=_nodata,
    metavar="VALUE|none",
    help="One more value of void nodes; 'none' turns the files' nodata tags off.",
)
xy_option = click.option(
    "--xy",
    "grid_order",
    is_flag=True,
    callback=_grid_order,
    help="GRID holds source columns (x) in band 1 and rows (y) in band 2.",
)
displacement_option = click.option(
    "--displacement", is_flag=True, help="GRID holds displacements: each node's own place is added."
)
coordinate_options = together(
    xy_option,
    displacement_option,
    click.option(
        "--source-offset",
        type=(float, float),
        default=(0.0, 0.0),
        metavar="ROW COL",
        help="Subtracted from source coordinates: where the source begins in its image.  [default: 0 0]",
    ),
)
source_option = click.option(
    "--source", metavar="IMAGE", help="Pixels whose coordinates lie outside this image are invalid; it is not read."
)
mask_out_option = click.option("--mask-out", metavar="FILE", help="The dense mask to make.")
image_options = together(
    click.option(
        "-b",
        "--bands",
        type=int,
        multiple=True,
        callback=_several,
        metavar="N",
        help="A band of IMAGE; repeatable.  [default: all but an alpha band]",
    ),
    click.option(
        "--interpolation",
        type=click.Choice([str(each) for each in Interpolation]),
        default="cubic",
        show_default=True,
        help="How a pixel is made of those of IMAGE.",
    ),
    click.option(
        "--nodata", type=_number, metavar="VALUE", help="Of OUT, and of IMAGE where it says none.  [default: IMAGE's]"
    ),
    click.option("--source-mask", metavar="FILE", help="A mask of IMAGE, beside those that it has itself."),
    click.option("--source-mask-band", type=int, default=1, show_default=True, metavar="N", help="Its band."),
    click.option(
        "--source-mask-valid-value",
        type=_number,
        default=1,
        show_default=True,
        metavar="VALUE",
        help="Its value for valid; all else is not.",
    ),
    click.option(
        "--band-validity",
        type=click.Choice(["any", "all", "each"]),
        default="any",
        show_default=True,
        help="Pixels of IMAGE are invalid where any band is nodata, where all are, or each band for itself.",
    ),
    click.option(
        "--edge",
        type=click.Choice(["clamp", "strict"]),
        default="clamp",
        show_default=True,
        help="Beyond the edge of IMAGE: repeat it, or make pixels that need more invalid.",
    ),
    click.option("--dtype", type=click.Choice(list(IMAGE_DTYPES)), help="Of OUT.  [default: that of IMAGE]"),
)
window_option = click.option(
    "--window",
    type=(int, int, int, int),
    callback=_window,
    metavar="R0 R1 C0 C1",
    help="Make only rows R0 to R1 - 1 and columns C0 to C1 - 1.",
)
part_options = together(
    click.option("--like", metavar="IMAGE", help="Take CRS, transform and size from this image."),
    window_option,
)
mask_options = together(
    click.option("--mask", metavar="FILE", help="The coarse mask, one pixel a node."),
    click.option("--mask-band", type=int, default=1, show_default=True, metavar="N", help="Its band."),
    mask_valid_value_option,
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
        help="The dense mask holds 0 for valid, else a bit a cause: "
        + ", ".join(f"{cause:d} {cause.label}" for cause in Cause)
        + ".",
    ),
)
polygon_file_options = together(
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
        callback=crs_of,
        metavar="CRS|pixels",
        help="Of the polygons, instead of what the files say. Files without a CRS are in dense pixels; GeoJSON is"
        " WGS 84 where the outputs have a CRS.",
    ),
    click.option("--valid-crs", callback=crs_of, metavar="CRS|pixels", help="The same, of --valid alone."),
    click.option("--invalid-crs", callback=crs_of, metavar="CRS|pixels", help="The same, of --invalid alone."),
    click.option(
        "--origin",
        "geometry_origin",
        type=(float, float),
        default=(0.0, 0.0),
        metavar="ROW COL",
        help="Of dense pixel (0, 0) in the coordinates of polygons without a CRS.  [default: 0 0]",
    ),
)
polygon_options = together(
    polygon_file_options,
    click.option(
        "--predicate",
        type=click.Choice(["covers", "contains", "intersects"]),
        help="Which pixel centres are inside, with --alg shapely; contains leaves out those on an edge."
        "  [default: covers]",
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
creation_option = click.option(
    "--co",
    "creation_options",
    multiple=True,
    callback=_creation_options,
    metavar="KEY=VAL",
    help="A creation option of the driver, as for GDAL; repeatable.",
)
verify_option = click.option(
    "--verify/--no-verify", default=True, help="Read the outputs back and compare.  [default: verify]"
)
strict_option = click.option("--strict", is_flag=True, help="Fail, and publish nothing, where there is a warning.")
file_output_options = together(
    click.option(
        "--driver",
        type=click.Choice(["GTiff", "COG"], case_sensitive=False),
        help="GeoTIFF, or cloud optimised GeoTIFF.  [default: GTiff]",
    ),
    creation_option,
    click.option("--overviews", is_flag=True, help="Add overviews: averages of grids, most frequent values of masks."),
    click.option("--threads", type=int, help="At most so many.  [default: all]"),
    click.option(
        "--memory",
        "memory_budget",
        type=_size,
        default="256M",
        show_default=True,
        metavar="BYTES",
        help="For the windows' buffers and GDAL's block cache, such as 1G.",
    ),
    verify_option,
    strict_option,
    overwrite_option,
    allow_vrt_option,
    click.option("--report", metavar="FILE", help="Write what was done, as JSON; as a page with a picture: FILE.html."),
    message_options,
)
output_options = together(
    file_output_options,
    click.option(
        "--zarr-option",
        "zarr_options",
        multiple=True,
        callback=_zarr_options,
        metavar="KEY=VAL",
        help="Of a Zarr store: shard=2048, chunk=512 (or two, as 512,256), zarr_format=3, compressor=zstd; repeatable.",
    ),
)
