"""How the site's figures look: as wide as a phone can show with letters that are read, and colours for all eyes.

A figure is five inches wide, which the site shows as 480 pixels, and on narrow screens as wide as these; its letters
have ten points or more. Panels are below one another, or two in a row. Colours are told apart without red and green.
"""

from __future__ import annotations

import io
import sys

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.text import Text

BLUE, ORANGE, TEAL, PURPLE, GREY, DARK = "#0072b2", "#d55e00", "#2da09b", "#8a3ca0", "#9a9a9a", "#1e1e26"

#: Of a figure, in inches.
WIDTH = 5.0

mpl.rcParams.update(
    {
        "figure.figsize": (WIDTH, 3.6),
        "figure.constrained_layout.use": True,
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.labelsize": 10,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "legend.fontsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "image.interpolation": "nearest",
        "savefig.facecolor": "white",
    }
)


def png_of(figure):
    """Return a figure as PNG, two pixels for one of the page's; it says how many points its smallest letters have."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=192, metadata={"Points": f"{smallest_letters(figure):g}"})
    return file.getvalue()


def smallest_letters(figure):
    """Return the size of a figure's smallest letters, in points."""
    figure.draw_without_rendering()
    return min(text.get_fontsize() for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip())


def pixel_axes(axes, shape, *, title=""):
    """Prepare axes for a raster: row 0 above, a line around each pixel."""
    rows, cols = shape
    axes.set(xlim=(-0.5, cols - 0.5), ylim=(rows - 0.5, -0.5), aspect="equal", title=title)
    axes.set(xlabel="column (x)", ylabel="row (y)")
    axes.set_xticks([k - 0.5 for k in range(cols + 1)], minor=True)
    axes.set_yticks([k - 0.5 for k in range(rows + 1)], minor=True)
    axes.grid(which="minor", color="#cccccc", linewidth=0.6)
    axes.tick_params(which="minor", length=0)


shell = "IPython" in sys.modules and sys.modules["IPython"].get_ipython()
if shell:  # in a page
    import matplotlib.pyplot as plt  # which brings formats of its own, once

    plt.close(plt.figure())
    shell.display_formatter.formatters["image/png"].for_type(Figure, png_of)
