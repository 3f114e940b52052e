"""`write_zarr`: a densifier in, a Zarr store out, one task a shard, in threads or on a cluster."""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import checks
from ..engine.job import Warnings
from ..errors import DatasetError, GridrTypeError, GridrValueError
from ..files.inputs import local_path
from ..files.outputs import check_space
from ..files.zarr import (
    ZarrOptions,
    create_arrays,
    holds_something,
    is_complete,
    is_store,
    is_store_name,
    read_array,
    zarr_library,
)
from ..types import DEFAULT_MEMORY_BUDGET, AnyArray, FilePath, Pair
from ..window import Window
from .densifier import Densifier
from .file_pool import recipe_of
from .output_files import FileMaker, Kind, tags_of
from .production import Production
from .stages import Stages

logger = logging.getLogger(__name__)


def write_zarr(
    densifier: Densifier,
    store: FilePath | Any,
    *,
    client: Any = None,
    zarr_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    verify: bool = True,
) -> None:
    """Make all of a dense grid and its mask, and write them to a Zarr store, shard by shard.

    Not in GRIDR. The store holds what ``densify(out="x.zarr")`` would write, to the bit (law 10). A task makes one
    shard, writes it, and reads it back; no two tasks share a file or an object, and a task that is done once more,
    since its worker died, writes the same. Where `store` is a path, nothing is there, or what was, until all shards are
    written and on the disk.

    Parameters
    ----------
    densifier : Densifier
        Opened with ``threads=1``, which is its default: tasks are what runs side by side.
    store : path or zarr.abc.store.Store
        A folder, whose name ends in .zarr: all workers must reach it, and the coarse files, by the same paths. Or an
        empty store of zarr's, such as a bucket's: that is written in place, and is not removed where a task fails.
        It has to travel to the workers.
    client : distributed.Client, optional
        Of the cluster whose workers are to do it. None is threads of this process.
    zarr_options : dict, optional
        As in `densify`.
    overwrite : bool
        Allow a folder that is such a store to be replaced.
    verify : bool
        Have each task read back and compare what it has written.

    Raises
    ------
    GridrValueError, GridrTypeError
        For a wrong argument, before anything is written.
    DatasetError
        For a file that cannot be read, or has changed; for a shard that cannot be written, or is not read back.
    ImportError
        Without dask (extra ``dask``).

    Examples
    --------
    >>> import zarr
    >>> from gridr_numba import open_densifier, write_zarr
    >>> with open_densifier(None, shape=(3, 4), resolution=10) as dense:
    ...     write_zarr(dense, "dense.zarr")
    >>> int(zarr.open("dense.zarr")["mask"][:].sum())
    651
    """
    if not isinstance(densifier, Densifier):
        raise GridrTypeError(f"densifier must be a Densifier, not {type(densifier).__name__}", argument="densifier")
    _check_client(client)
    zarr_library("store")
    _check_dask()
    options = ZarrOptions.of(zarr_options)
    overwrite, verify = checks.boolean(overwrite, "overwrite"), checks.boolean(verify, "verify")
    if isinstance(store, str | PathLike):
        _write_folder(densifier, store, client, options, overwrite, verify)
    elif is_store(store):
        _write_store(densifier, store, client, options, overwrite, verify)
    else:
        raise GridrTypeError(f"store must be a path or a zarr Store, not {store!r}", argument="store")


def _check_dask() -> None:
    try:
        import dask.array  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"write_zarr needs dask, which cannot be imported ({error}): pip install 'gridr_numba[dask]'"
        ) from error


def _check_client(client: Any) -> None:
    if client is not None and not (hasattr(client, "compute") and hasattr(client, "scheduler_info")):
        raise GridrTypeError(f"client must be a distributed.Client or None, not {client!r}", argument="client")


def _write_folder(
    densifier: Densifier, value: FilePath, client: Any, options: ZarrOptions, overwrite: bool, verify: bool
) -> None:
    """Write to a folder beside the destination, and put it in its place."""
    if not is_store_name(value):
        raise GridrValueError(f"store must be a path whose name ends in .zarr, not {value!r}", argument="store")
    recipe, maker = recipe_of(densifier), _maker(densifier, options, overwrite=overwrite)
    path = os.path.abspath(local_path(value, "store"))  # workers start from folders of their own
    folder = maker.store(path, "store", options, recipe.outputs.mask.values, densifier.dtype)[0]
    check_space([folder])

    def write() -> None:
        folder.create()
        _run(ShardWriter(densifier, tuple(folder.arrays), folder.name, verify), options.task_shape, client)

    production = Production([folder], maker.inputs, overwrite, None, 1, DEFAULT_MEMORY_BUDGET)
    production.run(write, Stages(), Warnings(logger))


def _write_store(
    densifier: Densifier, store: Any, client: Any, options: ZarrOptions, overwrite: bool, verify: bool
) -> None:
    """Write to an empty store of zarr's."""
    if overwrite:
        raise GridrValueError("overwrite is for folders: a store of zarr's must be empty", argument="overwrite")
    if client is not None:
        _check_travels(store)
    maker = _maker(densifier, options, overwrite=False)
    layouts = maker.store_layouts(recipe_of(densifier).outputs.mask.values, densifier.dtype)
    if holds_something(store):
        raise GridrValueError(f"store must be empty, and {store!r} holds something", argument="store")
    arrays = create_arrays(store, layouts, options)
    _run(ShardWriter(densifier, tuple(arrays), str(store), verify), options.task_shape, client)
    for array in arrays:
        if not is_complete(array):
            raise DatasetError(
                f"store: what workers wrote to {array.path!r} did not arrive: {store!r} must travel to them, and not "
                "be in the memory of a process",
                argument="store",
            )


def _check_travels(store: Any) -> None:
    try:
        pickle.dumps(store)
    except Exception as error:  # whatever a store says
        raise GridrValueError(
            f"store must travel to the client's workers, and {store!r} cannot be pickled: {error}", argument="store"
        ) from error


def _maker(densifier: Densifier, options: ZarrOptions, *, overwrite: bool) -> FileMaker:
    """Describe what a densifier makes, as a store."""
    recipe = recipe_of(densifier)
    inputs = list(dict.fromkeys(Path(stamp.path) for stamp in recipe.stamps))
    return FileMaker(Kind.store(options), recipe.place, tags_of(recipe.place, inputs), inputs, overwrite)


# -- tasks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ShardWriter:
    """What all tasks have in common: what to make, and the arrays to write it to."""

    densifier: Densifier
    arrays: tuple[Any, ...]
    name: str
    verify: bool

    def write(self, window: Window) -> None:
        """Make a shard and write it; read it back, and compare."""
        coords, mask = self.densifier.read(window)
        where = window.to_slices()
        bands = (mask,) if coords is None else (*coords, mask)
        for array, band in zip(self.arrays, bands, strict=True):
            try:
                array[where] = band
                same = not self.verify or _reads_as(array, where, band)
            except Exception as error:  # a store's errors have no common root
                raise self._error(window, array, f"cannot be written: {error}") from error
            if not same:
                raise self._error(window, array, "were not read back as written")

    def _error(self, window: Window, array: Any, what: str) -> DatasetError:
        return DatasetError(f"store: {window} of {array.path!r} in {self.name!r} {what}", argument="store")


def _reads_as(array: Any, where: tuple[slice, slice], band: AnyArray) -> bool:
    """Read a part of an array back, some rows of chunks at a time, and compare it to the bit."""
    rows, cols = where
    step = array.chunks[0]
    for start in range(rows.start, rows.stop, step):
        part = slice(start, min(start + step, rows.stop))
        read = np.empty((part.stop - part.start, cols.stop - cols.start), band.dtype)
        read_array(array, (part, cols), read)
        if read.tobytes() != band[part.start - rows.start : part.stop - rows.start].tobytes():
            return False
    return True


def write_shard(window: Window, writer: ShardWriter) -> AnyArray:
    """Be a task."""
    writer.write(window)
    return np.ones((1, 1), np.bool_)


def _run(writer: ShardWriter, shape: Pair, client: Any) -> None:
    """Have dask run a task a shard."""
    from .window_tasks import flag_tasks  # needs dask

    done = flag_tasks(write_shard, writer.densifier.shape, shape, writer).all()
    if client is None:
        done.compute(scheduler="threads")
    else:
        client.compute(done, sync=True)
