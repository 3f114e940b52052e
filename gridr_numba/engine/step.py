"""What the loop makes of a window: a step. The dense grid and its mask are one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.bands import SinkBand, WindowBuffer, WindowReader
from ..kernels.bilinear import void_nodes
from ..plan import Piece, WindowMemory, WindowPlan
from ..types import AnyArray, AnyDtype, Pair, Warn
from ..window import Window
from .codes import write_codes
from .counts import Tally
from .dense import NO_BYTES, NO_GRID, DenseOptions, densify_window
from .job import GridIn, Inputs, Job, MaskIn
from .survey import NodeSurvey


class Target(NamedTuple):
    """Bands that a step writes into one array, of which each dataset then gets its part in its own type."""

    bands: tuple[SinkBand, ...]
    dtype: AnyDtype


class Step(ABC):
    """One capability of the loop: it reads what a window needs, and computes the window.

    A step is called from one thread. What it allocates, it allocates in `reserve`.
    """

    #: Of the job, for messages.
    name: str
    #: The part of the dense raster that is made.
    window: Window
    #: Dense pixels a node along rows and columns.
    resolution: Pair
    #: What is written, in the order in which it is.
    targets: tuple[Target, ...]
    #: The shapes of windows to choose from by `cost`, as rows and columns; None is as wide as can be.
    aspects: tuple[Pair | None, ...] = (None,)
    #: How many threads read or write files. What GDAL's block cache freed in one, malloc does not give to others.
    threads_with_files = 1
    #: Whether each row of windows begins where the one before it ends.
    serpentine = False

    @abstractmethod
    def memory(self, shape_row_col: Pair, buffer_sets: int) -> int:
        """Return the bytes for windows of this shape: the step's own, and so many sets of arrays for the targets."""

    def cost(self, plan: WindowPlan) -> float:
        """Return what a plan costs beside others; the first that costs least is taken."""
        return 0.0

    @abstractmethod
    def reserve(self, shape_row_col: Pair, node_shape_row_col: Pair) -> None:
        """Allocate and touch what windows of so many pixels and nodes need."""

    @abstractmethod
    def run(self, piece: Piece, out: Sequence[AnyArray], threads: int) -> None:
        """Read and compute one window.

        Parameters
        ----------
        piece : Piece
        out : sequence of ndarray (bands, rows, columns)
            One array a target, C-contiguous, written whole.
        threads : int
            To compute with.
        """

    def expect(self, piece: Piece | None) -> None:  # noqa: B027  # most steps read little
        """Learn which window comes after the one that is run next, None after the last: it may be read for ahead."""

    def close(self) -> None:  # noqa: B027  # most steps leave nothing behind
        """End what runs beside; the job is done, or has failed."""

    def report(self, warn: Warn) -> None:  # noqa: B027  # most steps have nothing to say
        """Warn of what was seen, once all windows are made."""


class NodeReaders:
    """What reads the nodes of a window and the coarse mask at them, and which of these are valid.

    Attributes
    ----------
    grid, mask : WindowReader
        Of no bands where there is none.
    valid : WindowBuffer
    """

    def __init__(self, grid: GridIn | None, mask: MaskIn | None) -> None:
        self.grid = WindowReader(() if grid is None else grid.bands, np.float64)
        self.mask = WindowReader(() if mask is None else [mask.band], np.uint8 if mask is None else mask.dtype)
        self.valid = WindowBuffer(0 if mask is None else 1, np.uint8)

    def reserve(self, node_shape_row_col: Pair) -> None:
        """Make room for so many nodes."""
        for each in (self.grid, self.mask, self.valid):
            each.reserve(node_shape_row_col)


class DenseStep(Step):
    """Coarse nodes, coarse mask and polygons -> coordinates, mask, or both.

    Parameters
    ----------
    job : Job
    counts : Tally, optional
        Counts pixels by cause, and the range of the coordinates.
    survey : NodeSurvey, optional
        Doubts the nodes; what it says is warned of in the end.
    """

    def __init__(self, job: Job, counts: Tally | None = None, survey: NodeSurvey | None = None) -> None:
        self.name, self.window, self.resolution = job.name, job.extent.window, job.extent.resolution
        self._counts, self._survey = counts, survey
        self._grid_out, self._mask_out = job.outputs.grid, job.outputs.mask
        # Whether it matters which pixels the masks make invalid: where not, none of them is read.
        self._wants_mask = self._mask_out is not None or job.rules.fill is not None or counts is not None
        inputs = job.inputs if self._wants_mask else Inputs(job.inputs.grid)
        self._grid_in, self._mask_in, self._polygons = inputs.grid, inputs.mask, inputs.polygons
        self._wide = self._mask_out is not None and self._mask_out.dtype.itemsize > 1
        masks = () if self._mask_out is None else (Target((self._mask_out.band,), self._mask_out.dtype),)
        grids = () if self._grid_out is None else (Target(self._grid_out.bands, self._grid_out.dtype),)
        self.targets = (*masks, *grids)
        self._tagged = 0
        self._options = self._dense_options(job)
        self._readers = NodeReaders(self._grid_in, self._mask_in)
        self._causes = WindowBuffer(1, np.uint8)

    def memory(self, shape_row_col: Pair, buffer_sets: int) -> int:
        """Return the bytes of buffers for outputs, of what is cast for a file, and of nodes."""
        dense, nodes = 0, 0
        if self._grid_out is not None:
            dense += 2 * self._grid_out.dtype.itemsize
            dense += sum(dtype.itemsize for dtype in self._grid_out.dtypes if dtype != self._grid_out.dtype)
        if self._wants_mask:
            dense += 1
        if self._wide and self._mask_out is not None:
            dense += self._mask_out.dtype.itemsize
        if self._grid_in is not None:
            nodes += 2 * np.dtype(np.float64).itemsize
        if self._mask_in is not None:
            nodes += self._mask_in.dtype.itemsize + 1
        # At most: what is inside of a set where GDAL burns it, and what that changes.
        once = 2 if self._polygons is not None else 0
        return WindowMemory(dense, once, nodes, self.window, self.resolution)(shape_row_col, buffer_sets)

    def reserve(self, shape_row_col: Pair, node_shape_row_col: Pair) -> None:
        """Make room for nodes, and for causes that no target holds."""
        self._readers.reserve(node_shape_row_col)
        if self._wants_mask and (self._mask_out is None or self._wide):
            self._causes.reserve(shape_row_col)

    def run(self, piece: Piece, out: Sequence[AnyArray], threads: int) -> None:
        """Read the nodes of a window, and compute its coordinates and its mask."""
        grid = NO_GRID if self._grid_out is None else out[-1]
        codes = None if self._mask_out is None else out[0][0]
        mask = NO_BYTES
        if self._wants_mask:
            mask = self._causes.part(piece.dense.shape)[0] if codes is None or self._wide else codes.view(np.uint8)
        if self._polygons is not None:
            self._polygons.write_causes(piece.dense, mask, threads)
        densify_window(
            replace(self._options, threads=threads),
            piece.relative,
            nodes=self.nodes(piece),
            valid_nodes=self.valid_nodes(piece),
            marked=self._polygons is not None,
            out_grid=grid,
            out_mask=mask,
        )
        if self._counts is not None:
            self._counts.add(grid, mask)
        if self._mask_out is not None and codes is not None:
            write_codes(mask, self._mask_out.values, codes)

    def report(self, warn: Warn) -> None:
        """Warn of nodes that equal a nodata tag, of those that do not look like coordinates, and of nothing valid."""
        if self._tagged:
            warn(
                f"{self._tagged} nodes are finite numbers and invalid because they equal the nodata tag of their band; "
                "if they are coordinates, pass grid_nodata=()"
            )
        for doubt in () if self._survey is None else self._survey.doubts():
            warn(doubt.text)
        if self._counts is not None and not self._counts.valid:
            cause, pixels = max(self._counts.invalid.items(), key=lambda item: item[1])
            warn(
                f"no pixel is valid: of {pixels:,} of {sum(self._counts.invalid.values()):,} the first cause is "
                f"{cause.label!r} ({cause.help}); {cause.advice}"
            )

    def _dense_options(self, job: Job) -> DenseOptions:
        fill, grid_out, source = job.rules.fill, job.outputs.grid, job.rules.source_area or ()
        return DenseOptions(
            job.extent.resolution,
            job.rules.threshold,
            limits=() if grid_out is None else grid_out.limits,
            source=source[::-1] if grid_out is not None and grid_out.swapped else source,
            fill=np.nan if fill is None else fill,
            fill_masked=fill is not None,
            tile_shape=job.limits.tile_shape,
        )

    def nodes(self, piece: Piece) -> NDArray[np.float64]:
        """Return coordinates in float64, void ones NaN in both bands; valid until the next read. They are counted."""
        if self._grid_in is None:
            return NO_GRID
        nodes, tagged = self._coordinates(self._grid_in, self._readers.grid, piece)
        self._tagged += tagged
        if self._survey is not None:
            first = piece.nodes.row_start, piece.nodes.col_start
            self._survey.add(nodes, first, piece.shared_nodes_row_col)
        return nodes

    def _coordinates(self, grid: GridIn, reader: WindowReader, piece: Piece) -> tuple[NDArray[np.float64], int]:
        """Return coordinates, and how many nodes are void by their tag and were not read with another window."""
        nodes = reader.read(piece.nodes)
        tagged = np.empty(1, np.int64)
        void_nodes(nodes, grid.nodata, piece.shared_nodes_row_col, tagged)
        grid.write_coordinates(nodes, piece.nodes, self.resolution)
        return nodes, int(tagged[0])

    def valid_nodes(self, piece: Piece) -> NDArray[np.uint8]:
        """Return 1 where the coarse mask is valid. It is compared in its own type: no value is rounded."""
        if self._mask_in is None:
            return NO_BYTES
        valid_nodes: NDArray[np.uint8] = self._readers.valid.part(piece.nodes.shape)[0]
        nodes = self._readers.mask.read(piece.nodes)[0]
        np.equal(nodes, self._mask_in.valid_value, out=valid_nodes.view(np.bool_))
        return valid_nodes
