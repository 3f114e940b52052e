"""What figures are drawn of: grids, masks, polygons, and the words around them, on matplotlib's axes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke

from .doors.paint import Bools, Floats, round_step, straight_part
from .doors.view import coordinates_of, invalid_parts
from .engine.job import GridIn
from .files.bands import SourceBand
from .polygons.sets import PolygonSet
from .types import VALID_COLOUR, Colour, Pair

_MAP = "viridis"
_VALID_LINE, _INVALID_LINE = "white", "#e128c8"
_ALARM = "#d1495b"
_INCHES = 6.4
# Words below a picture, in letters a line.
_LETTERS = 92
# A picture has at most so many lines a direction.
_LINES_AT_MOST = 12
# Coordinates are rounded to this much; what is left of a straight mapping is less.
_SOURCE_PIXELS_AT_LEAST = 1e-4


# -- a figure -----------------------------------------------------------------------------------------------------


class ShownFigure(Figure):
    """A figure that notebooks show, whether or not pyplot was imported there."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def new_figure(pictures: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many axes side by side, in rows and columns of pixels."""
    figure = ShownFigure(figsize=(_INCHES * pictures, _INCHES), layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
    axes = list(figure.subplots(1, pictures, squeeze=False)[0])
    for ax in axes:
        ax.set_xlabel("column")
        ax.set_ylabel("row")
        ax.tick_params(labelsize="small")
        ax.locator_params(nbins=6)
    return figure, axes


def extent_of(shape: Pair, step: int, resolution: Pair, first: Pair = (0, 0)) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a picture whose pixels are centred on every so manieth node."""
    (rr, rc), (rows, cols) = resolution, shape
    down, across = step * rr, step * rc
    left, top = first[1] - across / 2, first[0] - down / 2
    return left, left + cols * across, top + rows * down, top


def write_title(ax: Axes, text: str) -> None:
    """Write above a picture."""
    ax.set_title("\n".join(textwrap.wrap(text, 60)), fontsize="medium")


def write_below(figure: Figure, keys: Sequence[Artist], findings: Iterable[str] = ()) -> None:
    """Write below all what looks wrong, and what colours mean, if there is any of it."""
    lines = [line for text in findings for line in textwrap.wrap(f"! {text}", _LETTERS, subsequent_indent="   ")]
    words = "\n".join(lines)
    if keys:  # as one, which the layout keeps clear of the picture: two would lie over one another
        how: dict[str, Any] = {"ncols": 2, "fontsize": "small", "frameon": False, "alignment": "left"}
        legend = figure.legend(handles=list(keys), loc="outside lower center", title=words or None, **how)
        legend.get_title().set(fontsize="small", color=_ALARM)
    elif lines:
        figure.supxlabel(words, fontsize="small", color=_ALARM, ha="left", x=0.02)
    figure.set_figheight(figure.get_figheight() + 0.17 * len(lines))


def _patch(colour: Any, label: str) -> Artist:
    return Patch(facecolor=colour, edgecolor="black", linewidth=0.6, label=label)


def _line(colour: Any, label: str) -> Artist:
    around = [withStroke(linewidth=3.5, foreground="black")]
    return Line2D([], [], color=colour, linewidth=2.0, label=label, path_effects=around)


def _rgba(where: Bools, colour: Colour, weight: float) -> Floats:
    picture = np.zeros((*where.shape, 4))
    picture[where] = (*(level / 255 for level in colour), weight)
    return picture


# -- a grid -------------------------------------------------------------------------------------------------------


def draw_grid(ax: Axes, grid: GridIn, step: int, resolution: Pair, largest: float | None, first: Pair = (0, 0)) -> None:
    """Draw how far a mapping is from a straight-line one, its source rows and columns, and its folds."""
    rows, cols = coordinates_of(grid, step, (resolution[0] * step, resolution[1] * step))
    extent = extent_of(rows.shape, step, resolution, first)
    straight, away = straight_part(rows, cols)
    known = np.isfinite(away)
    top = float(away[known].max()) if known.any() else 0.0
    top = top if top >= _SOURCE_PIXELS_AT_LEAST else 0.0
    norm = Normalize(0.0, largest or top or 1.0)
    ax.imshow(away, extent=extent, cmap=_MAP, norm=norm, interpolation="nearest")
    bar = ax.figure.colorbar(
        ScalarMappable(norm, _MAP), ax=ax, shrink=0.8, extend="max" if largest and top > largest else "neither"
    )
    bar.set_label("source pixels from a straight-line mapping", fontsize="small")
    if min(rows.shape) < 2 or not known.any():
        return
    _draw_lines(ax, (rows, cols), extent)
    _draw_folds(ax, rows, cols, extent)
    _draw_axes_of_the_source(ax, straight, extent)


def _draw_lines(ax: Axes, bands: Sequence[Floats], extent: tuple[float, float, float, float]) -> None:
    """Draw every so manieth source row, solid, and column, dashed, with their numbers."""
    spans = [float(np.nanmax(band) - np.nanmin(band)) for band in bands]
    spacing = round_step(max(spans), _LINES_AT_MOST)
    for band, dashes in zip(bands, ("solid", "dashed"), strict=True):
        low, high = np.nanmin(band), np.nanmax(band)
        levels = np.arange(np.ceil(low / spacing), np.floor(high / spacing) + 1) * spacing
        if len(levels):
            style: dict[str, Any] = {"linewidths": 0.7, "linestyles": dashes, "colors": "white"}
            drawn = ax.contour(band, levels, extent=_centres(extent, band.shape), **style)
            drawn.set_path_effects([withStroke(linewidth=1.5, foreground="black", alpha=0.35)])
            for number in ax.clabel(drawn, fontsize="x-small", fmt="%g"):
                number.set_path_effects([withStroke(linewidth=1.5, foreground="black")])


def _centres(extent: tuple[float, float, float, float], shape: Pair) -> tuple[float, float, float, float]:
    """Return the extent of a picture's pixels' centres, from the first to the last."""
    left, right, bottom, top = extent
    half_col, half_row = (right - left) / shape[1] / 2, (bottom - top) / shape[0] / 2
    return left + half_col, right - half_col, top + half_row, bottom - half_row


def _draw_folds(ax: Axes, rows: Floats, cols: Floats, extent: tuple[float, float, float, float]) -> None:
    """Outline the cells whose orientation is not that of most."""
    down = [np.diff(band, axis=0)[:, :-1] for band in (rows, cols)]
    across = [np.diff(band, axis=1)[:-1] for band in (rows, cols)]
    turn = np.sign(down[0] * across[1] - down[1] * across[0])
    usual = np.sign(np.nansum(turn))
    folded = np.isfinite(turn) & (turn != usual) & (turn != 0)
    if folded.any():
        left, right, top, bottom = _centres(extent, rows.shape)
        ax.imshow(
            _rgba(folded, (209, 73, 91), 0.85), extent=(left, right, bottom, top), interpolation="nearest", zorder=3
        )
        ax.plot([], [], "s", color=_ALARM, label=f"folded, {folded.sum():,} cells drawn")
        ax.legend(loc="upper right", fontsize="small")


def _draw_axes_of_the_source(ax: Axes, straight: Floats, extent: tuple[float, float, float, float]) -> None:
    """Draw arrows to where source rows and source columns grow; in red where the source is mirrored."""
    left, right, bottom, top = extent
    half = np.array([(bottom - top) / 2, (right - left) / 2])
    jacobian = straight[:, 1:] / half  # (row, column) of the source by (row, column) of the picture
    turned = float(np.linalg.det(jacobian))
    if not np.isfinite(turned) or turned == 0:
        return
    towards = np.linalg.inv(jacobian)
    length = 0.16 * float(half.min()) * 2
    middle = ((left + right) / 2, (bottom + top) / 2)
    colour = _ALARM if turned < 0 else "black"
    for axis, name in ((0, "rows"), (1, "columns")):
        down, across = towards[:, axis] / np.hypot(*towards[:, axis]) * length
        end, beyond = ((middle[0] + part * across, middle[1] + part * down) for part in (1.0, 1.25))
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        ax.annotate("", end, middle, arrowprops=arrow, zorder=5)
        ax.annotate(name, beyond, color=colour, fontsize="small", ha="center", va="center", bbox=box, zorder=6)


# -- a mask, polygons ---------------------------------------------------------------------------------------------


def draw_mask(
    ax: Axes, mask: SourceBand, step: int, resolution: Pair, valid_value: int, *, over: bool, first: Pair = (0, 0)
) -> list[Artist]:
    """Draw a mask, alone or over a grid; return its legend."""
    parts, share = invalid_parts(mask, step, valid_value)
    shape = tuple(-(-size // step) for size in mask.dataset.shape)
    extent = extent_of((shape[0], shape[1]), step, resolution, first)
    keys: list[Artist] = []
    if not over:
        everywhere = np.ones(shape, dtype=bool)
        ax.imshow(_rgba(everywhere, VALID_COLOUR, 1.0), extent=extent, interpolation="nearest")
        keys.append(_patch([level / 255 for level in VALID_COLOUR], f"valid, {share:.3g} %"))
    for where, colour, _, label in parts:
        ax.imshow(_rgba(where, colour, 0.85 if over else 1.0), extent=extent, interpolation="nearest", zorder=2)
        keys.append(_patch([level / 255 for level in colour], f"{label}, {100 * where.mean():.3g} %"))
    return keys


def void_key(label: str) -> Artist:
    """Return the legend's entry of what is left white."""
    return _patch("white", label)


def edge_of(values: Floats) -> Floats:
    """Return the values at the edge of a lattice, once around."""
    rows, cols = values.shape
    down, right = np.arange(rows), np.arange(cols)
    row = np.concatenate([right * 0, down, right * 0 + rows - 1, down[::-1]])
    col = np.concatenate([right, down * 0 + cols - 1, right[::-1], down * 0])
    edge: Floats = values[row, col]
    return edge


def draw_outline(ax: Axes, rows: Sequence[float] | Floats, cols: Sequence[float] | Floats, label: str) -> Artist:
    """Draw a line in an image, which is kept in the picture as a whole; return its entry in the legend."""
    ends = ((ax.set_xlim, ax.get_xlim(), cols), (ax.set_ylim, ax.get_ylim(), rows))
    around = [withStroke(linewidth=3.0, foreground="black")]
    ax.plot(cols, rows, color=_VALID_LINE, linewidth=1.3, path_effects=around, zorder=4)
    for set_ends, (first, last), values in ends:
        known = np.asarray(values)[np.isfinite(values)]
        low, high = min([first, last, *known]), max([first, last, *known])
        set_ends((low, high) if first < last else (high, low))
    return _line(_VALID_LINE, label)


def draw_polygons(ax: Axes, sets: Sequence[PolygonSet | None], origin: tuple[float, float]) -> list[Artist]:
    """Draw the edges of both sets of polygons; return their legend."""
    limits = ax.get_xlim(), ax.get_ylim()
    keys: list[Artist] = []
    tolerance = abs(limits[0][1] - limits[0][0]) / 4000
    for polygons, colour, name in zip(sets, (_VALID_LINE, _INVALID_LINE), ("valid", "invalid"), strict=True):
        if polygons is None:
            continue
        xs, ys = polygons.outline(tolerance)
        around = [withStroke(linewidth=2.2, foreground="black")]
        ax.plot(xs - origin[1], ys - origin[0], color=colour, linewidth=1.1, path_effects=around, zorder=4)
        keys.append(_line(colour, f"edge of {name} polygons"))
    ax.set(xlim=limits[0], ylim=limits[1])
    return keys
