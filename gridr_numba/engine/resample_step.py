"""Coarse nodes, masks, polygons and a source image -> the resampled image and its mask: a step of the loop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..files.bands import WindowBuffer
from ..files.source import SourceImage
from ..kernels.jit import usable_threads
from ..plan import Piece, WindowMemory, WindowPlan
from ..types import AnyArray, Interpolation, Pair, Warn
from ..window import Window
from .background import Ahead
from .codes import write_codes
from .counts import Tally
from .dense import NO_GRID
from .job import Job
from .memory import in_mb
from .resampling import ResampleCounts, resample_window
from .source_box import blocks_in, corner_coordinates, corner_pixels, outer_coordinates, source_box, united, widest_cell
from .source_tables import SourceTables, SourceUse
from .step import DenseStep, NodeReaders, Target
from .survey import NodeSurvey
from .tables import SourceWindow, stays_raw, table_size

Floats = NDArray[np.float64]

# There is room for source boxes so many times as high and as wide as windows: turned squares' are 1.41 times. And so
# many pixels more, for the taps.
_ROOM = 1.6
_ROOM_BESIDE = 24
# Windows are halved until their source boxes fit, but not below so many rows and columns.
_LEAST_SIDE = 8
# So many windows of a plan are looked at, to compare it with others.
_WINDOWS_SAMPLED = 6
# Of what the buffers may take, the whole source may take one part in so many.
_WHOLE_SHARE = 2
# Nodes are looked at in squares of so many a side, to find out what of the source is read whole.
_NODES_A_SIDE = 512
# Source pixels a target pixel from which on there is a warning.
_SHRINKS = 1.5
_BYTES_A_NODE = 2 * np.dtype(np.float64).itemsize


@dataclass(frozen=True)
class ImageOut:
    """The image that is made.

    Attributes
    ----------
    target : Target
        Its bands.
    interpolation : Interpolation
    strict : bool
        Whether a pixel with a tap beyond the source's edge is invalid; else the edge is repeated.
    nodata : float or None
        Of invalid pixels; None is NaN or 0.
    mask_bands : int
        Of the mask: one for all bands of the image, or one for each.
    """

    target: Target
    interpolation: Interpolation
    strict: bool
    nodata: float | None
    mask_bands: int


@dataclass(frozen=True)
class _Part:
    """A part of a window, as seen from the window's first node, and what of the source it looks up, if anything."""

    relative: Window
    box: Window | None


class _Coarse(NamedTuple):
    """Of a window: nodes and the coarse mask around it, and its parts."""

    nodes: Floats
    valid_nodes: NDArray[np.uint8]
    parts: list[_Part]


class _Arrays(NamedTuple):
    """Of a window: what is made."""

    pixels: AnyArray
    mask: NDArray[np.uint8]


class ResampleStep(DenseStep):
    """Coarse nodes, coarse mask, polygons and a source image -> the resampled image, and its mask where it is wanted.

    A window's coordinates say what of the source is read for it, its *source box*. A window whose box is larger than
    there is room for is halved until they fit. Where the whole source fits in the budget, it is read once; else, with
    two threads or more, another one reads what is next, nodes and source, while all of them compute.

    Parameters
    ----------
    job : Job
        With a grid to read, and without one to be written.
    image : SourceImage
    out : ImageOut
    counts : Tally, optional
        Counts pixels by cause.
    survey : NodeSurvey, optional
    """

    serpentine = True

    def __init__(
        self,
        job: Job,
        image: SourceImage,
        out: ImageOut,
        counts: Tally | None = None,
        survey: NodeSurvey | None = None,
    ) -> None:
        super().__init__(job, counts, survey)
        self.counts = ResampleCounts()
        self._grid, self._image, self.out, self._threads = job.inputs.given_grid, image, out, job.limits.threads
        masks = []
        if self._mask_out is not None:
            sink = self._mask_out.band
            bands = tuple(sink._replace(number=sink.number + band) for band in range(out.mask_bands))
            masks.append(Target(bands, self._mask_out.dtype))
        self.targets = (*masks, out.target)
        self._causes = WindowBuffer(out.mask_bands, np.uint8)
        self._part_causes = WindowBuffer(out.mask_bands, np.uint8)
        self._part_pixels = WindowBuffer(len(out.target.bands), out.target.dtype)
        # Until room is made for windows of a plan: one window alone may take as much.
        self._room, self._tables = job.limits.bounds.buffer_bytes // _WHOLE_SHARE, 1
        self._raw = stays_raw(out.interpolation, image.dtype, out.target.dtype, image.shape)
        self._whole = self._table_bytes(image.shape) <= self._room
        # What is next: with the whole source in memory, and with one thread, nothing is read ahead.
        self._ahead = None if self._whole or usable_threads(job.limits.threads) == 1 else Ahead()
        if self._ahead is not None:
            self._tables = 2
            self._other_readers = NodeReaders(self._grid, self._mask_in)
        self.threads_with_files = self._tables
        self._source = SourceTables(image, self._tables, job.limits.threads, raw=self._raw)
        self._next: Piece | None = None
        self._is_begun = False
        self._held: SourceWindow | None = None
        self.aspects = (None,) if self._whole else (None, (1, 1), (4, 1), (1, 4))

    # -- memory and windows ---------------------------------------------------------------------------------------

    def memory(self, shape_row_col: Pair, buffer_sets: int) -> int:
        """Return the bytes for the image and its mask, for nodes, and for parts of the source."""
        bands = len(self.out.target.bands) * self.out.target.dtype.itemsize
        more_masks = (self.out.mask_bands - 1) * (1 + (self._mask_out.dtype.itemsize if self._mask_out else 0))
        nodes = 0
        if self._ahead is not None:
            nodes = _BYTES_A_NODE + (0 if self._mask_in is None else self._mask_in.dtype.itemsize + 1)
        own = WindowMemory(bands + more_masks, 0, nodes, self.window, self.resolution)(shape_row_col, buffer_sets)
        return super().memory(shape_row_col, buffer_sets) + own + self._room_bytes(shape_row_col)

    def reserve(self, shape_row_col: Pair, node_shape_row_col: Pair) -> None:
        """Make room for nodes, for causes that no target holds, and for parts of the source."""
        super().reserve(shape_row_col, node_shape_row_col)
        self._room = self._room_bytes(shape_row_col)
        if self._whole:
            box = self._span()
            self._held = None if box is None else self._source.only(box)
            return
        if self._ahead is not None:
            self._other_readers.reserve(node_shape_row_col)
        self._source.reserve(self._room // self._bytes_per_source_pixel)

    def cost(self, plan: WindowPlan) -> float:
        """Return about how many blocks of the source are read for a pixel of the windows of a plan."""
        if self._whole:
            return 0.0
        room, self._room = self._room, self._room_bytes(plan.piece_shape)
        pixels, blocks, pieces = 0, 0, len(plan)
        for index in range(0, pieces, -(-pieces // _WINDOWS_SAMPLED)):
            piece = plan.piece(*divmod(index, plan.grid_shape[1]))
            pixels += piece.dense.shape[0] * piece.dense.shape[1]
            for part in self._parts_of(piece):
                if part.box is not None:
                    down, across = blocks_in(part.box, self._image.block_shape).shape
                    blocks += down * across
        self._room = room
        return blocks / pixels

    @property
    def _bytes_per_source_pixel(self) -> int:
        return SourceTables.bytes_per_pixel(self._image, self._tables, raw=self._raw)

    def _table_bytes(self, shape: Pair) -> int:
        """Return the bytes that source boxes of this shape take, in all tables."""
        return self._bytes_per_source_pixel * table_size(1, shape)

    def _room_bytes(self, shape: Pair) -> int:
        """Return the bytes for the source boxes of windows of this shape."""
        most = self._table_bytes(self._image.shape)
        if self._whole:
            return most
        rows, cols = (ceil(_ROOM * side) + _ROOM_BESIDE for side in shape)
        return min(most, self._table_bytes((rows, cols)))

    # -- a window -------------------------------------------------------------------------------------------------

    def expect(self, piece: Piece | None) -> None:
        """Learn which window is next: it is begun while the last part of the one before is computed."""
        self._next = piece

    def run(self, piece: Piece, out: Sequence[AnyArray], threads: int) -> None:
        """Read the nodes of a window and what they look up, and compute its pixels and its mask."""
        pixels, codes = out[-1], None if self._mask_out is None else out[0]
        shape = piece.dense.shape
        mask = self._causes.part(shape) if codes is None or self._wide else codes.view(np.uint8)
        if self._polygons is not None:
            self._polygons.write_causes(piece.dense, mask[0], threads)
        arrays = _Arrays(pixels, mask)
        for part, coarse, table in self._parts_read(piece):
            self._write_part(piece.relative, part, coarse, table, arrays)
        rows = mask.reshape(-1, shape[1])
        if self._counts is not None:
            self._counts.add(NO_GRID, rows)
        if self._mask_out is not None and codes is not None:
            write_codes(rows, self._mask_out.values, codes.reshape(-1, shape[1]))

    def _write_part(self, whole: Window, part: Window, coarse: _Coarse, table: SourceWindow, arrays: _Arrays) -> None:
        """Compute a part of a window, in place where it is all of it: kernels want whole arrays."""
        if part == whole:
            self._compute(part, coarse, table, arrays)
            return
        rows = slice(part.row_start - whole.row_start, part.row_stop - whole.row_start)
        cols = slice(part.col_start - whole.col_start, part.col_stop - whole.col_start)
        its_own = _Arrays(self._part_pixels.part(part.shape), self._part_causes.part(part.shape))
        its_own.mask[0] = arrays.mask[0, rows, cols]
        self._compute(part, coarse, table, its_own)
        arrays.pixels[:, rows, cols] = its_own.pixels
        arrays.mask[:, rows, cols] = its_own.mask

    def _compute(self, part: Window, coarse: _Coarse, table: SourceWindow, arrays: _Arrays) -> None:
        # All threads: those that read and write files beside wait for most of the time, and take what they need.
        resample_window(
            table,
            replace(self._options, threads=self._threads),
            part,
            self.out.interpolation,
            arrays.pixels,
            arrays.mask,
            nodes=coarse.nodes,
            valid_nodes=coarse.valid_nodes,
            marked=self._polygons is not None,
            strict=self.out.strict,
            nodata=self.out.nodata,
            counts=self.counts,
        )

    @property
    def use(self) -> SourceUse:
        """What was read of the source."""
        return self._source.use

    def close(self) -> None:
        """Wait for what is read ahead."""
        if self._ahead is not None:
            self._ahead.close()

    def report(self, warn: Warn) -> None:
        """Warn of what was seen in the grid and in the source."""
        super().report(warn)
        if self.use.torn and self._image.validity != "each":
            effect = "invalid" if self._image.validity == "any" else "valid, with their nodata as a value"
            warn(
                f"image: {self.use.torn:,} pixels of {self._image.dataset.name!r} hold nodata in some of the bands "
                f"{self._image.indexes} only, and are {effect}; see band_validity"
            )
        fit = None if self._survey is None else self._survey.fit
        if fit is not None:
            factor = float(np.linalg.svd(fit.slope / np.array(self.resolution), compute_uv=False)[0])
            if factor > _SHRINKS:
                warn(
                    f"the grid shrinks the image by {factor:.3g}, and each pixel is made of those next to its position "
                    "alone: what is finer than a target pixel shows as false patterns; smooth the image before, or "
                    "make it smaller"
                )

    # -- the source -----------------------------------------------------------------------------------------------

    def _parts(self, piece: Piece, nodes: Floats) -> Iterator[_Part]:
        """Cut a window until what each part looks up fits."""
        waiting = [piece.relative]
        while waiting:
            part = waiting.pop()
            positions = outer_coordinates(nodes, part, self.resolution)
            box = source_box(positions, self._image.shape, self.out.interpolation.support)
            if box is None or self._whole or self._table_bytes(box.shape) <= self._room:
                yield _Part(part, box)
            elif max(part.shape) > _LEAST_SIDE:
                waiting += _halves(part)
            else:
                corners = corner_coordinates(nodes, part, self.resolution)
                raise MemoryError(self._too_large(piece, part, corners, box))

    def _parts_of(self, piece: Piece) -> Iterator[_Part]:
        """Cut a window that is only looked at: its nodes do not count."""
        return self._parts(piece, self._coordinates(self._grid, self._readers.grid, piece)[0])

    def _too_large(self, piece: Piece, part: Window, corners: Floats, box: Window) -> str:
        """Say which cell looks up more than fits."""
        (row, col), ((row_low, row_high), (col_low, col_high)) = widest_cell(corners)
        rows, cols = corner_pixels(part, self.resolution)
        node_row = piece.nodes.row_start + rows[row] // self.resolution[0]
        node_col = piece.nodes.col_start + cols[col] // self.resolution[1]
        return (
            f"{self.name}: the grid's cell at node ({node_row}, {node_col}) looks up rows {row_low:.6g} to "
            f"{row_high:.6g} and columns {col_low:.6g} to {col_high:.6g} of the image, all of which {part.shape[0]} x "
            f"{part.shape[1]} pixels need: {in_mb(self._table_bytes(box.shape))}, and the memory_budget leaves "
            f"{in_mb(self._room)}. If the grid is torn there, make its nodes void"
        )

    def _parts_read(self, piece: Piece) -> Iterator[tuple[Window, _Coarse, SourceWindow]]:
        """Yield the parts of a window and what they look up, the next one being read while one is used."""
        if self._ahead is None:
            coarse = self._coarse(piece)
            yield from ((part.relative, coarse, self._table_of(part)) for part in coarse.parts)
            return
        if not self._is_begun:
            self._ahead.start(partial(self._begin, piece))
        coarse, table = self._ahead.take()
        self._is_begun = self._next is not None
        for part, following in zip_longest(coarse.parts, coarse.parts[1:]):
            if following is not None:
                self._ahead.start(partial(self._table_of, following))
            elif self._next is not None:
                self._ahead.start(partial(self._begin, self._next))
            yield part.relative, coarse, table
            if following is not None:
                table = self._ahead.take()

    def _begin(self, piece: Piece) -> tuple[_Coarse, SourceWindow]:
        """Read the nodes of a window, and what its first part looks up."""
        self._readers, self._other_readers = self._other_readers, self._readers
        coarse = self._coarse(piece)
        return coarse, self._table_of(coarse.parts[0])

    def _coarse(self, piece: Piece) -> _Coarse:
        nodes = self.nodes(piece)
        return _Coarse(nodes, self.valid_nodes(piece), list(self._parts(piece, nodes)))

    def _table_of(self, part: _Part) -> SourceWindow:
        return self._source.read(part.box) if self._held is None else self._held

    def _span(self) -> Window | None:
        """Return what all windows together look up of the source."""
        sides = (min(n, _NODES_A_SIDE * step) for n, step in zip(self.window.shape, self.resolution, strict=True))
        height, width = sides
        plan = WindowPlan(self.window, self.resolution, (height, width))
        return united(part.box for piece in plan for part in self._parts_of(piece))


def _halves(window: Window) -> list[Window]:
    """Cut a window across its longer side."""
    if window.shape[0] >= window.shape[1]:
        middle = (window.row_start + window.row_stop) // 2
        return [replace(window, row_start=middle), replace(window, row_stop=middle)]
    middle = (window.col_start + window.col_stop) // 2
    return [replace(window, col_start=middle), replace(window, col_stop=middle)]
