"""Draw docs/how-fast.png from the bench's results: ``python docs/draw_how_fast.py``. Needs the extra ``plot``."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

ROOT = Path(__file__).parent.parent
CONTENDERS = {
    "gridr-2": ("GRIDR, 2 processes", "#d98032"),
    "pool-2": ("the same kernels in a fork pool", "#8c8c8c"),
    "densify-2": ("densify, verified", "#7b5ea7"),
    "package-2": ("the chain, 2 threads", "#2c7fb8"),
    "null": ("reads and writes alone", "#30343c"),
}


def main() -> None:
    """Draw the picture."""
    result = json.loads((ROOT / "bench/results/2-cores.json").read_text())
    entries = [entry for entry in result["cases"] if "gridr-2" in entry["medians"]][:2]
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, len(entries))
    for ax, entry in zip(axes, entries, strict=True):
        there = [(*CONTENDERS[name], entry["medians"][name]) for name in CONTENDERS if name in entry["medians"]]
        names, colours, seconds = zip(*there, strict=True)
        bars = ax.barh(names, seconds, color=colours)
        ax.bar_label(bars, labels=[f"{each:.2f} s" for each in seconds], padding=4)
        ax.invert_yaxis()
        ax.set(
            title=f"Grid and mask of {entry['pixels'] / 1e6:.0f} Mpx",
            xlabel="seconds, file to file",
            xlim=(0, 1.2 * max(seconds)),
        )
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(ROOT / "docs/how-fast.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
