"""What is lazy, as dask arrays: the graph, and the tasks in it. It needs dask, and is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks
from dask.array.overlap import overlap
from dask.base import tokenize
from dask.blockwise import blockwise
from dask.highlevelgraph import HighLevelGraph

from .doors.densifier import Densifier
from .doors.node_arrays import NodeArrays
from .doors.resampler import Resampler
from .doors.window_tasks import Sizes, window_tasks
from .errors import GridrValueError
from .plan import node_window
from .types import AnyArray, AnyDtype, Pair
from .window import Window


class _Part(NamedTuple):
    """Of what a task makes, an array: its name in a Dataset, its type, and its bands where it has a dimension of them.

    Without a type, it is not made.
    """

    name: str
    dtype: AnyDtype | None
    bands: int | None = None


def arrays_of_files(densifier: Densifier, chunks: Sizes) -> dict[str, Any]:
    """Return what a densifier makes, by the names of a Dataset."""
    return _arrays(_read, chunks, densifier, (), _coordinates_and_mask(densifier.dtype, densifier.mask_dtype))


def arrays_of_images(resampler: Resampler, chunks: Sizes) -> dict[str, Any]:
    """Return what a resampler makes, by the names of a Dataset; all bands are in one chunk."""
    mask = _Part("mask", resampler.mask_dtype, resampler.mask_bands if resampler.mask_bands > 1 else None)
    return _arrays(_resample, chunks, resampler, (), (_Part("image", resampler.dtype, len(resampler.numbers)), mask))


def arrays_of_blocks(described: NodeArrays, chunks: Sizes, values: Sequence[Any]) -> dict[str, Any]:
    """Return what is made of arrays of nodes, in chunks of whole cells that are about as large as the first wanted."""
    extent = described.place.extent
    cells, blocks = _whole_cells(extent.window, extent.resolution, (chunks[0][0], chunks[1][0]))
    parts = _coordinates_and_mask(described.dtype, described.outputs.mask.dtype)
    return _arrays(_make, cells, described, [_node_blocks(each, blocks) for each in values], parts)


def _coordinates_and_mask(dtype: AnyDtype | None, mask_dtype: AnyDtype) -> tuple[_Part, ...]:
    return _Part("row", dtype), _Part("col", dtype), _Part("mask", mask_dtype)


# -- tasks --------------------------------------------------------------------------------------------------------


def _read(window: Window, densifier: Densifier) -> tuple[AnyArray | None, AnyArray | None, AnyArray]:
    """Make a chunk of what is in files."""
    coords, mask = densifier.read(window)
    return (None, None, mask) if coords is None else (coords[0], coords[1], mask)


def _resample(window: Window, resampler: Resampler) -> tuple[AnyArray, AnyArray]:
    """Make a chunk of an image in a file."""
    return resampler.read(window)


def _make(
    window: Window, described: NodeArrays, row: AnyArray, col: AnyArray, mask: AnyArray | None = None
) -> tuple[AnyArray, AnyArray, AnyArray]:
    """Make a chunk of what is in blocks of nodes: those that contribute to it, and perhaps more after them."""
    extent = described.place.extent
    dense = window.moved(extent.window.row_start, extent.window.col_start)
    nodes, _ = node_window(dense, extent.resolution)
    coords, codes = described.make(dense, row, col, mask, (nodes.row_start, nodes.col_start))
    return coords[0], coords[1], codes


# -- the graph ----------------------------------------------------------------------------------------------------


def _arrays(
    task: Callable[..., Any],
    chunks: Sizes,
    common: Any,
    blocks: Sequence[Any],
    parts: Sequence[_Part],
) -> dict[str, Any]:
    """Return dask arrays of what a task makes: it takes a chunk's window, what all have in common, and its blocks."""
    token = tokenize(task.__name__, common, chunks, *blocks)
    made, tasks = window_tasks(task, chunks, common, blocks, token=token)
    counts, arrays = {made: tuple(map(len, chunks))}, {}
    for index, part in enumerate(parts):
        if part.dtype is None:
            continue
        name = f"gridr-{part.name}-{token}"
        dims, bands = ("yx", {}) if part.bands is None else ("byx", {"b": part.bands})
        layer = blockwise(itemgetter(index), name, dims, made, "yx", numblocks=counts, new_axes=bands)
        # Of its own band alone: of which no other takes a part, dask makes one task of the two.
        graph = HighLevelGraph({**tasks.layers, name: layer}, {**tasks.dependencies, name: {made}})
        sizes = chunks if part.bands is None else ((part.bands,), *chunks)
        arrays[part.name] = da.Array(graph, name, sizes, dtype=part.dtype)
    return arrays


def chunk_sizes(chunks: object, shape: Pair, dtype: AnyDtype) -> Sizes:
    """Take `chunks` in any form that dask has, or by the names of the dimensions."""
    if isinstance(chunks, Mapping):
        for name in chunks:
            if name not in ("y", "x"):
                raise GridrValueError(f"chunks must be by 'y' and 'x', not {name!r}", argument="chunks")
        chunks = {0: chunks.get("y", -1), 1: chunks.get("x", -1)}
    try:
        if isinstance(chunks, bool):
            raise TypeError("it is no number")
        sizes: Sizes = normalize_chunks(chunks, shape, dtype=dtype)
    except (TypeError, ValueError, ArithmeticError, NotImplementedError) as error:
        raise GridrValueError(
            f"chunks must be rows and columns as dask takes them, not {chunks!r}: {error}", argument="chunks"
        ) from error
    if any(not isinstance(size, int) or size < 1 for axis in sizes for size in axis):
        raise GridrValueError(f"chunks must be whole numbers from 1 on, not {chunks!r}", argument="chunks")
    return sizes


def _whole_cells(window: Window, resolution: Pair, wanted: Pair) -> tuple[Sizes, list[Any]]:
    """Cut a window between nodes: the chunks' sizes, and for each axis the first nodes of the blocks and the last."""
    sizes, nodes = [], []
    ends = (window.row_start, window.row_stop), (window.col_start, window.col_stop)
    for (start, stop), step, size in zip(ends, resolution, wanted, strict=True):
        cells = max(1, size // step)
        last = -(-(stop - 1) // step)
        firsts = list(range(start // step, max(last, start // step + 1), cells))
        edges = [start, *(first * step for first in firsts[1:]), stop]
        sizes.append(tuple(int(size) for size in np.diff(edges)))
        nodes.append((firsts, last))
    return tuple(sizes), nodes


def _node_blocks(values: Any, nodes: Sequence[tuple[list[int], int]]) -> Any:
    """Cut nodes into one block a chunk, each with the first nodes of the next ones."""
    array = da.asarray(values)[tuple(slice(firsts[0], last + 1) for firsts, last in nodes)]
    sizes = tuple(tuple(int(size) for size in np.diff([*firsts, last + 1])) for firsts, last in nodes)
    depth = {axis: (0, 1 if len(each) > 1 else 0) for axis, each in enumerate(sizes)}
    return overlap(array.rechunk(sizes), depth=depth, boundary="none", allow_rechunk=False)
