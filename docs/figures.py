"""How the site's figures look: sizes, and colours that are told apart without red and green."""

from __future__ import annotations

import matplotlib as mpl

BLUE, ORANGE, TEAL, PURPLE, GREY, DARK = "#0072b2", "#d55e00", "#2da09b", "#8a3ca0", "#9a9a9a", "#1e1e26"

mpl.rcParams.update(
    {
        "figure.figsize": (8.0, 4.0),
        "figure.dpi": 110,
        "font.size": 11,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "image.interpolation": "nearest",
        "savefig.facecolor": "white",
    }
)


def pixel_axes(axes, shape, *, title=""):
    """Prepare axes for a raster: row 0 above, a line around each pixel."""
    rows, cols = shape
    axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal", title=title)
    axes.set(xlabel="column (x)", ylabel="row (y)")
    axes.set_xticks([k - 0.5 for k in range(cols + 1)], minor=True)
    axes.set_yticks([k - 0.5 for k in range(rows + 1)], minor=True)
    axes.grid(which="minor", color="#cccccc", linewidth=0.6)
    axes.tick_params(which="minor", length=0)
