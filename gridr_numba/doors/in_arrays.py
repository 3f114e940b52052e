"""A window of a dense raster in arrays, which nothing writes to a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ..engine.job import Extent, GridIn, GridOut, Inputs, Job, Limits, MaskOut, MaskRules, Outputs, job_of
from ..engine.step import DenseStep
from ..files.bands import Nowhere, SinkBand
from ..kernels.jit import usable_threads
from ..plan import Bounds, WindowPlan
from ..types import AnyArray
from ..window import Window
from .dense_inputs import coordinate_type
from .output_files import mask_type, mask_values

_UNBOUNDED = Limits(None, None, Bounds(0))


@dataclass(frozen=True)
class ArraysOut:
    """What is made in arrays: a mask always, coordinates of a grid."""

    mask: MaskOut
    grid: GridOut | None

    @classmethod
    def of(cls, grid_in: GridIn | None, dtype: DTypeLike | None, mask_out_values: object) -> ArraysOut:
        """Check what is to be made."""
        grid_out, values = None, mask_values(mask_out_values)
        if grid_in is not None:
            made = coordinate_type(dtype, grid_in)
            grid_out = GridOut((SinkBand(_NOWHERE, 1), SinkBand(_NOWHERE, 2)), (made, made))
        return cls(MaskOut(SinkBand(_NOWHERE, 3), mask_type(values), values), grid_out)


_NOWHERE = Nowhere()


def job_in_arrays(extent: Extent, inputs: Inputs, rules: MaskRules, outputs: ArraysOut) -> Job:
    """Put together what makes windows in arrays."""
    return job_of("read", extent, inputs, rules, Outputs(outputs.grid, outputs.mask), _UNBOUNDED)


def make_window(job: Job, window: Window, coords: AnyArray, mask: AnyArray, threads: int | None) -> None:
    """Write a window of the whole dense raster to C-contiguous arrays; `coords` has no bands where there is no grid."""
    piece = WindowPlan(window, job.extent.resolution, window.shape).piece(0, 0)
    DenseStep(job).run(piece, [mask[np.newaxis], coords], usable_threads(threads))
