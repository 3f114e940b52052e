"""Zarr stores in seconds: ``python -m bench.stores [--quick]`` prints JSON.

One process with the loop of `densify`, threads and two worker processes with the tasks of `write_zarr`, and the reads
and writes alone, in alternation. None reads back what it has written. All must make the same bytes.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .cases import GRID_IN, LARGE, MASK_IN, Case, _square, opened_inputs, write_inputs
from .memory import PeakMemory, can_measure

_LOOP, _THREADS, _WORKERS, _NULL = (
    'densify(out="x.zarr"), one process',
    "write_zarr, two threads",
    "write_zarr, two worker processes",
    "reads and writes alone, one thread",
)
#: What each may take of another's time.
AT_MOST = {(_LOOP, _NULL): 1.35, (_THREADS, _LOOP): 1.15, (_WORKERS, _LOOP): 1.3}
#: How many chunks of memory a worker may take beside what it had.
CHUNKS_AT_MOST = 6
_SIDE = 2048


def measure(*, quick: bool) -> list[dict[str, Any]]:
    """Measure on 100 Mpx (quick: 1 Mpx, in shards of 512)."""
    case = _square("quick-stores", 1000, 10) if quick else LARGE
    options = {"shard": 512, "chunk": 256} if quick else {}
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with TemporaryDirectory(prefix="gridr-numba-stores-", dir=place) as name, _client() as client:
        folder = Path(name)
        write_inputs(case, folder)
        runs = _runs(case, folder, options, client)
        _check_same(runs, folder)
        seconds = _alternated(runs, folder, rounds=2 if quick else 5)
        memory = _memory(runs[_WORKERS], folder, client, options.get("shard", _SIDE)) if can_measure() else []
    compared = [
        {
            "what": what,
            "seconds": statistics.median(seconds[what]),
            "reference": reference,
            "ratio": statistics.median(a / b for a, b in zip(seconds[what], seconds[reference], strict=True)),
            "at_most": at_most,
        }
        for (what, reference), at_most in AT_MOST.items()
    ]
    return [*compared, *memory]


@contextmanager
def _client() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "memory_limit": 0}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield client


def _runs(case: Case, folder: Path, options: dict[str, int], client: Any) -> dict[str, Callable[[Path], None]]:
    """Return what makes a store at a path."""
    from gridr_numba import densify, open_densifier, write_zarr

    inputs: dict[str, Any] = {"mask": folder / MASK_IN, "resolution": case.resolution_row_col, "threshold": 0.999}
    made = open_densifier(folder / GRID_IN, **inputs)

    def loop(path: Path) -> None:
        densify(folder / GRID_IN, path, **inputs, zarr_options=options, verify=False)

    def tasks(path: Path, client: Any) -> None:
        write_zarr(made, path, client=client, zarr_options=options, verify=False)

    return {
        _LOOP: loop,
        _THREADS: lambda path: tasks(path, None),
        _WORKERS: lambda path: tasks(path, client),
        _NULL: _NullStore(case, folder, options),
    }


class _NullStore:
    """The reads of a store's windows, and the writes of arrays that were made once."""

    def __init__(self, case: Case, folder: Path, options: dict[str, int]) -> None:
        self._case, self._folder, self._options = case, folder, options
        self._values: dict[tuple[int, int], list[Any]] = {}

    def __call__(self, path: Path) -> None:
        from gridr_numba.files.outputs import RasterLayout
        from gridr_numba.files.zarr import ZarrOptions, ZarrStore
        from gridr_numba.plan import WindowPlan
        from gridr_numba.window import Window

        options, shape = ZarrOptions.of(self._options), self._case.shape_row_col
        about: dict[str, Any] = {"crs": None, "transform": None, "tags": {}}
        grid = RasterLayout(shape, np.dtype(self._case.dtype), ("row", "col"), np.nan, **about)
        mask = RasterLayout(shape, np.dtype(np.uint8), ("mask",), None, **about, unwritten=255)
        store = ZarrStore("out", path, [grid, mask], options)
        plan = WindowPlan(Window.whole(shape), self._case.resolution_row_col, options.shard)
        with opened_inputs(self._folder) as (grid_in, mask_in):
            for piece in plan:
                grid_in.read(window=piece.nodes.to_rasterio())
                mask_in.read(window=piece.nodes.to_rasterio())
                coords, codes = self._arrays(piece.target.shape)
                store.write(codes, [3], window=piece.target.to_rasterio())
                store.write(coords, [1, 2], window=piece.target.to_rasterio())
        store.close()
        store.publish(overwrite=False)

    def _arrays(self, shape: tuple[int, int]) -> list[Any]:
        if shape not in self._values:
            coords = np.linspace(0.5, 5000.5, 2 * shape[0] * shape[1]).reshape(2, *shape)
            self._values[shape] = [coords, (np.arange(shape[0] * shape[1]) % 7 != 0).astype("u1").reshape(1, *shape)]
        return self._values[shape]


def _check_same(runs: dict[str, Callable[[Path], None]], folder: Path) -> None:
    """Refuse to time what does not make the same bytes."""
    for what, run in runs.items():
        run(folder / f"{what[:9].strip()}-{abs(hash(what))}.zarr")
    first, *others = (
        {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("c/*/*") if each.is_file()}
        for path in sorted(folder.glob("*.zarr"))
        if not path.name.startswith("reads")
    )
    if any(other != first for other in others):
        raise SystemExit("the stores differ")
    for path in folder.glob("*.zarr"):
        shutil.rmtree(path)


def _alternated(runs: dict[str, Callable[[Path], None]], folder: Path, rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {what: [] for what in runs}
    for number in range(rounds):
        names = list(runs)
        for what in names[number % len(names) :] + names[: number % len(names)]:
            start = time.perf_counter()
            runs[what](folder / "out.zarr")
            seconds[what].append(time.perf_counter() - start)
            shutil.rmtree(folder / "out.zarr")
    return seconds


def _memory(run: Callable[[Path], None], folder: Path, client: Any, side: int) -> list[dict[str, Any]]:
    """Measure the peak of one worker, beside what it had, in chunks of what a task makes."""
    pid = next(iter(client.run(os.getpid).values()))
    with PeakMemory(pid) as memory:
        run(folder / "out.zarr")
    shutil.rmtree(folder / "out.zarr")
    grown = (memory.result.peak - memory.result.before) * 2**20 / (side * side * 17)
    what = "a worker's peak beside what it had"
    return [{"what": what, "seconds": None, "reference": "a chunk", "ratio": grown, "at_most": CHUNKS_AT_MOST}]


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measure(quick="--quick" in sys.argv), indent=2))
