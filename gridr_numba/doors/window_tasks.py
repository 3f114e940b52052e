"""Dask's graph of tasks that make a window each and share all else. Needs dask, and is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any
from uuid import uuid4

import dask.array as da
import numpy as np
from dask.blockwise import blockwise
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer
from dask.layers import ArraySliceDep

from ..types import AnyArray, Pair
from ..window import Window

Sizes = tuple[tuple[int, ...], ...]


class _ChunkWindows(ArraySliceDep):  # type: ignore[misc]
    """The window of each chunk. Dask looks into slices when it builds a graph, which takes longer than all else."""

    def __getitem__(self, index: tuple[int, int]) -> Window:
        (i, j), (rows, cols) = index, self.starts
        return Window(int(rows[i]), int(rows[i + 1]), int(cols[j]), int(cols[j + 1]))


def window_tasks(
    task: Callable[..., Any], chunks: Sizes, common: Any, blocks: Sequence[Any] = (), *, token: str
) -> tuple[str, Any]:
    """Return the name of a layer of tasks, one a chunk, and its graph.

    What tasks have in common is a task of its own, of which a graph of any size holds one, and workers ask one another
    for it.

    Parameters
    ----------
    task : callable
        Takes a chunk's window, what all have in common, and the chunk's block of each array.
    chunks : pair of tuple of int
        Rows of each row of chunks, and columns of each column.
    common : object
    blocks : sequence of dask.array.Array
        Of as many blocks as there are chunks.
    token : str
        Graphs of one token are taken for the same.
    """
    shared, made = f"gridr-inputs-{token}", f"gridr-chunk-{token}"
    numblocks = {shared: (), **{each.name: each.numblocks for each in blocks}}
    pairs = [argument for each in blocks for argument in (each.name, "yx")]
    layers: dict[str, Any] = {
        shared: MaterializedLayer({(shared,): common}),
        made: blockwise(task, made, "yx", _ChunkWindows(chunks), "yx", shared, (), *pairs, numblocks=numblocks),
    }
    dependencies = {shared: set(), made: {shared, *(each.name for each in blocks)}}
    for each in blocks:
        layers.update(each.dask.layers)
        dependencies.update(each.dask.dependencies)
    return made, HighLevelGraph(layers, dependencies)


def flag_tasks(task: Callable[[Window, Any], AnyArray], raster_shape: Pair, task_shape: Pair, common: Any) -> Any:
    """Return a dask array of one element a task, each of which makes so many rows and columns, and nothing twice."""
    sides = zip(raster_shape, task_shape, strict=True)
    chunks = tuple((*[side] * (ceil(size / side) - 1), (size - 1) % side + 1) for size, side in sides)
    name, graph = window_tasks(task, chunks, common, token=uuid4().hex)  # done anew each time
    return da.Array(graph, name, tuple((1,) * len(each) for each in chunks), dtype=np.bool_)
