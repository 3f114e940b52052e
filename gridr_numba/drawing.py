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
_ALARM = "#b8283c"
#: Of all letters, in points: a figure as narrow as a phone shows them with nine pixels.
POINTS = 10.0
# The side of a picture with its words; what is higher than wide is at most so high.
_INCHES, _INCHES_AT_MOST = 5.0, 8.0
# Of letters, in inches: how wide they are on average, and from one line to the next.
_LETTER, _LINE = 0.6 * POINTS / 72, 1.4 * POINTS / 72
# Of the height of a figure.
_SPARE_AT_MOST = 0.005
# Letters a line above a picture.
_TITLE = 56
_FOLDED: Colour = (209, 73, 91)
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


def new_figure(pictures: int, *, stacked: bool = False) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many axes, side by side or one below the other, in rows and columns of pixels."""
    down, across = (pictures, 1) if stacked else (1, pictures)
    size = (_INCHES * across, _INCHES_AT_MOST * down)
    figure = ShownFigure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.1))
    axes = list(figure.subplots(down, across, squeeze=False).flat)
    for ax in axes:
        ax.set_xlabel("column", fontsize=POINTS)
        ax.set_ylabel("row", fontsize=POINTS)
        ax.tick_params(labelsize=POINTS)
        ax.locator_params(nbins=5)
        ax.set_anchor("N")
    return figure, axes


def _fit(figure: Figure) -> None:
    """Make a figure as high as its pictures, which are as wide as it allows."""
    layout = figure.get_layout_engine()
    if layout is None:
        return
    for _ in range(4):  # the room for words is found on the way
        layout.execute(figure)
        spare: dict[float, float] = {}  # below pictures, by their row
        for ax in figure.axes:
            if ax.images and (place := ax.get_subplotspec()) is not None:
                box = ax.get_position(original=True).height - ax.get_position().height
                row = place.rowspan.start
                spare[row] = min(box, spare.get(row, 1.0))
        figure.set_figheight(figure.get_figheight() * (1 - sum(spare.values())))
        if sum(spare.values()) < _SPARE_AT_MOST:
            return


def extent_of(shape: Pair, step: int, resolution: Pair, first: Pair = (0, 0)) -> tuple[float, float, float, float]:
    """Return left, right, bottom and top of a picture whose pixels are centred on every so manieth node."""
    (rr, rc), (rows, cols) = resolution, shape
    down, across = step * rr, step * rc
    left, top = first[1] - across / 2, first[0] - down / 2
    return left, left + cols * across, top + rows * down, top


def write_title(ax: Axes, text: str) -> None:
    """Write above a picture."""
    ax.set_title("\n".join(textwrap.wrap(text, _TITLE)), fontsize=POINTS)


def write_below(figure: Figure, keys: Sequence[Artist], findings: Iterable[str] = ()) -> None:
    """Write below all what looks wrong, and what colours mean, if there is any of it. The figure is complete then."""
    width = figure.get_figwidth()
    letters = int(width / _LETTER)
    lines = [line for text in findings for line in textwrap.wrap(f"! {text}", letters, subsequent_indent="   ")]
    words = "\n".join(lines)
    rows = len(lines)
    if keys:  # as one, which the layout keeps clear of the picture: two would lie over one another
        entry = 0.6 + _LETTER * max(len(str(key.get_label())) for key in keys)
        columns = min(len(keys), max(1, int(width / entry)))
        how: dict[str, Any] = {"ncols": columns, "fontsize": POINTS, "frameon": False, "alignment": "left"}
        legend = figure.legend(handles=list(keys), loc="outside lower center", title=words or None, **how)
        legend.get_title().set(fontsize=POINTS, color=_ALARM)
        rows += -(-len(keys) // columns) + 1
    elif lines:
        figure.supxlabel(words, fontsize=POINTS, color=_ALARM, ha="left", x=0.02)
    figure.set_figheight(figure.get_figheight() + _LINE * rows)
    _fit(figure)


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


def draw_grid(
    ax: Axes,
    grid: GridIn,
    step: int,
    resolution: Pair,
    largest: float | None,
    first: Pair = (0, 0),
    *,
    hidden: Bools | None = None,
    void: str | None = None,
) -> list[Artist]:
    """Draw how far a mapping is from a straight-line one, its source rows and columns, and its folds.

    No number is where a mask will hide the lines. Return the legend; `void` says what is without coordinates.
    """
    rows, cols = coordinates_of(grid, step, (resolution[0] * step, resolution[1] * step))
    extent = extent_of(rows.shape, step, resolution, first)
    straight, away = straight_part(rows, cols)
    known = np.isfinite(away)
    top = float(away[known].max()) if known.any() else 0.0
    top = top if top >= _SOURCE_PIXELS_AT_LEAST else 0.0
    norm = Normalize(0.0, largest or top or 1.0)
    ax.imshow(away, extent=extent, cmap=_MAP, norm=norm, interpolation="nearest")
    below: dict[str, Any] = {"location": "bottom", "aspect": 30, "shrink": 0.9, "pad": 0.02}
    bar = ax.figure.colorbar(
        ScalarMappable(norm, _MAP), ax=ax, extend="max" if largest and top > largest else "neither", **below
    )
    bar.set_label("source pixels from a straight-line mapping", fontsize=POINTS)
    bar.ax.tick_params(labelsize=POINTS)
    covered = np.zeros(rows.shape, dtype=bool) if hidden is None else hidden
    lost = ~known & ~covered
    keys = [void_key(void or f"no coordinates, {100 * lost.mean():.3g} %")] if lost.any() else []
    if min(rows.shape) < 2 or not known.any():
        return keys
    keys += _draw_folds(ax, rows, cols, extent)
    room = _Room(extent, covered | ~known)
    _draw_axes_of_the_source(ax, straight, extent, room)
    _draw_lines(ax, (rows, cols), extent, room)
    return keys


class _Room:
    """Where in a picture numbers may be written: over nothing that is written already, and over no mask.

    What is written are discs, of which the diameter is the height of a letter. Places are inches from the upper left
    corner of a picture that is as wide as a figure allows.
    """

    _RADIUS = 0.65 * POINTS / 72

    def __init__(self, extent: tuple[float, float, float, float], hidden: Bools) -> None:
        left, right, bottom, top = extent
        inches = (_INCHES - 0.9) / (right - left)
        if (bottom - top) * inches > _INCHES_AT_MOST - 2:
            inches = (_INCHES_AT_MOST - 2) / (bottom - top)
        self._first, self.inches, self._hidden = np.array([left, top]), inches, hidden
        self.size = np.array([right - left, bottom - top]) * inches
        self._taken = np.empty((0, 2))

    def places(self, points: Floats) -> Floats:
        """Bring (x, y) of the axes to inches."""
        at: Floats = (points - self._first) * self.inches
        return at

    def _discs(self, place: Floats, towards: Floats, letters: int) -> Floats:
        half = max(0.0, letters * _LETTER / 2 - self._RADIUS / 2)
        discs: Floats = place + np.linspace(-half, half, max(2, letters + 1))[:, np.newaxis] * towards
        return discs

    def is_free(self, place: Floats, towards: Floats, letters: int) -> bool:
        """Find whether there is room for so many letters in a direction, around a place."""
        discs = self._discs(place, towards, letters)
        if (discs < self._RADIUS).any() or (discs > self.size - self._RADIUS).any():
            return False
        shape = np.array(self._hidden.shape)
        col_row = np.floor(discs / self.size * shape[::-1]).astype(int).clip(0, shape[::-1] - 1)
        if self._hidden[col_row[:, 1], col_row[:, 0]].any():
            return False
        apart = np.hypot(*(discs[:, np.newaxis] - self._taken).transpose(2, 0, 1))
        return not (apart < 2 * self._RADIUS).any()

    def take(self, place: Floats, towards: Floats, letters: int) -> None:
        """Keep others away from what is written there."""
        self._taken = np.concatenate([self._taken, self._discs(place, towards, letters)])


# Arrows are this long, in inches, or left out.
_ARROW = 0.2
# A line so much longer than its number, in inches, goes around something that the number would hide.
_ROUND = 0.6
# Numbers are written near the left or the upper edge, this part of the picture from it, where there is room.
_ALONG = 0.12


def _draw_lines(ax: Axes, bands: Sequence[Floats], extent: tuple[float, float, float, float], room: _Room) -> None:
    """Draw every so manieth source row, solid, and column, dashed, with their numbers where there is room."""
    spans = [float(np.nanmax(band) - np.nanmin(band)) for band in bands]
    spacing = round_step(max(spans), _LINES_AT_MOST)
    for band, dashes in zip(bands, ("solid", "dashed"), strict=True):
        low, high = np.nanmin(band), np.nanmax(band)
        levels = np.arange(np.ceil(low / spacing), np.floor(high / spacing) + 1) * spacing + 0.0  # -0 is 0
        if len(levels):
            style: dict[str, Any] = {"linewidths": 0.7, "linestyles": dashes, "colors": "white"}
            drawn = ax.contour(band, levels, extent=_centres(extent, band.shape), **style)
            drawn.set_path_effects([withStroke(linewidth=1.5, foreground="black", alpha=0.35)])
            for level, segments in zip(levels, drawn.allsegs, strict=True):
                _write_number(ax, f"{level:.10g}", segments, room)


def _write_number(ax: Axes, number: str, segments: Iterable[Floats], room: _Room) -> None:
    """Write what a line stands for on it, along it; nothing where there is no room."""
    found = []
    for segment in (each for each in segments if len(each) > 1):
        points = _evenly(segment)
        at = room.places(points)
        if np.hypot(*np.diff(at, axis=0).T).sum() < len(number) * _LETTER + _ROUND:
            continue
        across = int(np.ptp(at[:, 0]) <= np.ptp(at[:, 1]))  # 0 of lines that lead from left to right
        off = np.abs(at[:, across] - _ALONG * room.size[across])
        found += [(float(off[k]), points[k], at[k], at[k + 1] - at[k - 1]) for k in range(1, len(at) - 1)]
    for _, point, place, towards in sorted(found, key=lambda each: each[0]):
        length = float(np.hypot(*towards))
        if length == 0:
            continue
        direction = towards / (length if towards[0] >= 0 else -length)  # letters stand upright
        if room.is_free(place, direction, len(number)):
            room.take(place, direction, len(number))
            turned = float(np.degrees(np.arctan2(-direction[1], direction[0])))
            how: dict[str, Any] = {"ha": "center", "va": "center", "rotation": turned, "rotation_mode": "anchor"}
            text = ax.text(point[0], point[1], number, color="white", fontsize=POINTS, zorder=4.5, **how)
            text.set_path_effects([withStroke(linewidth=2.0, foreground="black")])
            return


def _evenly(points: Floats, number: int = 101) -> Floats:
    """Return so many points of a line, equally far apart."""
    lengths = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    at = np.linspace(0.0, lengths[-1], number)
    evenly: Floats = np.stack([np.interp(at, lengths, each) for each in points.T], axis=1)
    return evenly


def _centres(extent: tuple[float, float, float, float], shape: Pair) -> tuple[float, float, float, float]:
    """Return the extent of a picture's pixels' centres, from the first to the last."""
    left, right, bottom, top = extent
    half_col, half_row = (right - left) / shape[1] / 2, (bottom - top) / shape[0] / 2
    return left + half_col, right - half_col, top + half_row, bottom - half_row


def _draw_folds(ax: Axes, rows: Floats, cols: Floats, extent: tuple[float, float, float, float]) -> list[Artist]:
    """Colour and outline the cells whose orientation is not that of most; return their legend."""
    down = [np.diff(band, axis=0)[:, :-1] for band in (rows, cols)]
    across = [np.diff(band, axis=1)[:-1] for band in (rows, cols)]
    turn = np.sign(down[0] * across[1] - down[1] * across[0])
    usual = np.sign(np.nansum(turn))
    folded = np.isfinite(turn) & (turn != usual) & (turn != 0)
    if not folded.any():
        return []
    left, right, top, bottom = _centres(extent, rows.shape)
    ax.imshow(_rgba(folded, _FOLDED, 0.85), extent=(left, right, bottom, top), interpolation="nearest", zorder=3)
    # Around them a line that is seen where a cell is less than a pixel of the picture, and by all eyes.
    half_col, half_row = (
        (far - near) / size / 2 for near, far, size in ((left, right, len(folded[0])), (top, bottom, len(folded)))
    )
    around = (left - half_col, right + half_col, top - half_row, bottom + half_row)
    cells = np.pad(folded, 1).astype(np.float64)
    line = ax.contour(cells, [0.5], extent=around, colors="black", linewidths=1.0, zorder=3)
    line.set_path_effects([withStroke(linewidth=3.0, foreground="white")])
    return [_patch([level / 255 for level in _FOLDED], f"folded, {folded.sum():,} cells drawn")]


def _draw_axes_of_the_source(
    ax: Axes, straight: Floats, extent: tuple[float, float, float, float], room: _Room
) -> None:
    """Draw arrows to where source rows and source columns grow; in red where the source is mirrored."""
    left, right, bottom, top = extent
    half = np.array([(bottom - top) / 2, (right - left) / 2])
    jacobian = straight[:, 1:] / half  # (row, column) of the source by (row, column) of the picture
    turned = float(np.linalg.det(jacobian))
    if not np.isfinite(turned) or turned == 0:
        return
    towards = np.linalg.inv(jacobian)
    length = 0.16 * float(half.min()) * 2
    if length * room.inches < _ARROW:  # their names would lie outside
        return
    middle = ((left + right) / 2, (bottom + top) / 2)
    colour = _ALARM if turned < 0 else "black"
    for axis, name in ((0, "rows"), (1, "columns")):
        down, across = towards[:, axis] / np.hypot(*towards[:, axis])
        end = (middle[0] + length * across, middle[1] + length * down)
        # The name lies beyond the arrow's head, by half of its own size that way.
        beyond = 72 * _LETTER * len(name) / 2 * abs(across) + POINTS / 2 * abs(down) + 6
        arrow = {"arrowstyle": "-|>", "color": colour, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0}
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
        named: dict[str, Any] = {"textcoords": "offset points", "fontsize": POINTS, "ha": "center", "va": "center"}
        ax.annotate("", end, middle, arrowprops=arrow, zorder=5)
        ax.annotate(name, end, (beyond * across, -beyond * down), color=colour, bbox=box, zorder=6, **named)
        start, head = room.places(np.array([middle, end]))
        direction = np.array([across, down])
        room.take((start + head) / 2, direction, int(np.hypot(*(head - start)) / _LETTER))
        room.take(head + direction * beyond / 72, np.array([1.0, 0.0]), len(name) + 1)


# -- a mask, polygons ---------------------------------------------------------------------------------------------


def draw_mask(
    ax: Axes, mask: SourceBand, step: int, resolution: Pair, valid_value: int, *, over: bool, first: Pair = (0, 0)
) -> tuple[list[Artist], Bools]:
    """Draw a mask, alone or over a grid or an image; return its legend, and what it hides of what is below."""
    parts, share = invalid_parts(mask, step, valid_value)
    shape = tuple(-(-size // step) for size in mask.dataset.shape)
    extent = extent_of((shape[0], shape[1]), step, resolution, first)
    keys: list[Artist] = []
    hidden = np.zeros(shape, dtype=bool)
    if not over:
        everywhere = np.ones(shape, dtype=bool)
        ax.imshow(_rgba(everywhere, VALID_COLOUR, 1.0), extent=extent, interpolation="nearest")
        keys.append(_patch([level / 255 for level in VALID_COLOUR], f"valid, {share:.3g} %"))
    for where, colour, _, label in parts:
        ax.imshow(_rgba(where, colour, 0.85 if over else 1.0), extent=extent, interpolation="nearest", zorder=2)
        keys.append(_patch([level / 255 for level in colour], f"{label}, {100 * where.mean():.3g} %"))
        hidden |= where
    return keys, hidden


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
