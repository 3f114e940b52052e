"""What is counted of a job while it runs: pixels by cause, and the range of the valid coordinates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..kernels.bilinear import dense_part, summarise
from ..types import AnyArray, Cause


class Tally:
    """Counts window by window, from the causes that the kernel leaves in the mask.

    Parameters
    ----------
    bands : int
        Of the grid; 0 where only a mask is made.
    """

    def __init__(self, bands: int) -> None:
        self._counts = np.zeros(1 + len(Cause), np.int64)
        self._box = np.tile([np.inf, -np.inf], (bands, 1))

    def add(self, grid: AnyArray, mask: NDArray[np.uint8]) -> None:
        """Count a window whose mask holds causes."""
        rows = len(mask)
        counts = np.empty((rows, len(self._counts)), np.int64)
        boxes = np.empty((rows, *self._box.shape))
        summarise(dense_part(grid, mask), counts, boxes)
        self._counts += counts.sum(axis=0)
        if len(self._box):
            self._box[:, 0] = np.minimum(self._box[:, 0], boxes[:, :, 0].min(axis=0))
            self._box[:, 1] = np.maximum(self._box[:, 1], boxes[:, :, 1].max(axis=0))

    @property
    def valid(self) -> int:
        """Valid pixels."""
        return int(self._counts[0])

    @property
    def invalid(self) -> dict[Cause, int]:
        """Invalid pixels by their first cause, in the causes' order: a pixel counts once."""
        return {cause: int(count) for cause, count in zip(Cause, self._counts[1:], strict=True)}

    @property
    def ranges(self) -> list[tuple[float, float]] | None:
        """The least and the largest value of each band among valid pixels; None where no pixel is valid."""
        return [(float(low), float(high)) for low, high in self._box] if self.valid and len(self._box) else None
