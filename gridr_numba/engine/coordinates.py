"""What the stored values of a coarse grid mean: nodes as they are in files -> source coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..types import Pair
from ..window import Window


@dataclass(frozen=True)
class Meaning:
    """What the stored values of one band of a grid mean.

    Attributes
    ----------
    axis : int
        Of which they are coordinates: 0 is rows, 1 is columns.
    scale, offset : float
        The band's tags: a value is what is stored times `scale` plus `offset`.
    displacement : bool
        Whether values are counted from the node's own place in the dense raster.
    source_offset : float
        Of the source image's first pixel in these coordinates.
    """

    axis: int
    scale: float = 1.0
    offset: float = 0.0
    displacement: bool = False
    source_offset: float = 0.0

    def write_coordinates(self, values: NDArray[np.float64], nodes: Window, resolution: Pair) -> None:
        """Turn the stored values of some nodes into coordinates, in place.

        Each step is rounded to float64 before the next: scale, offset, the node's own place, the source's offset.

        Parameters
        ----------
        values : float64 (rows, columns)
            What stands for no data is NaN already.
        nodes : Window
            Which nodes of the whole grid.
        resolution : tuple of int
            Dense pixels a node along rows and columns.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # a coordinate that overflows is none, see law 5
            if self.scale != 1.0:
                values *= self.scale
            if self.offset != 0.0:
                values += self.offset
            if self.displacement:
                values += self._places(nodes, resolution)
            if self.source_offset != 0.0:
                values -= self.source_offset

    def _places(self, nodes: Window, resolution: Pair) -> NDArray[np.float64]:
        rows, cols = nodes.to_slices()
        line = (rows, cols)[self.axis]
        places = np.arange(line.start, line.stop, dtype=np.float64) * resolution[self.axis]
        return places[:, np.newaxis] if self.axis == 0 else places


#: Of a grid whose values are coordinates, rows first.
AS_STORED = (Meaning(0), Meaning(1))
