"""What a cluster's scheduler takes for `write_zarr`, simulated: ``python -m bench.scale [--tasks N] [--workers N]``.

The graph is the one of `write_zarr`, and the scheduler dask's own. Tasks do nothing but, where asked, sleep, and the
workers are threads of this process: what is left is what dask takes. With ``--processes`` they are processes of their
own: the processor time of this one is then the scheduler's and the client's, whatever else the machine does.
docs/scale.md says what follows from it.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import sys
import tempfile
import time
import warnings
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely

SIDE, SHARD = 1_000_000, 4096


def no_work(window: object, common: object, *, seconds: float = 0.0) -> Any:
    """Be a task that computes and writes nothing."""
    if seconds:
        time.sleep(seconds)
    return np.ones((1, 1), np.bool_)


def densifier_of(folder: Path, clouds: int) -> Any:
    """Open a densifier on a small grid, with clouds of 60 vertices."""
    from gridr_numba import open_densifier

    nodes = 20 * np.mgrid[:300, :300].astype(np.float64)
    with rasterio.open(
        folder / "grid.tif", "w", driver="GTiff", count=2, height=300, width=300, dtype="float64"
    ) as dataset:
        dataset.write(nodes)
    centres = np.random.default_rng(1).random((clouds, 2)) * 5980
    return open_densifier(
        folder / "grid.tif",
        resolution=20,
        invalid=list(shapely.buffer(shapely.points(centres), 9, quad_segs=15)) or None,
    )


def graph(rows: int, cols: int) -> dict[str, Any]:
    """Time the graph of a raster of so many tasks, and weigh what of it is sent."""
    from gridr_numba.doors.window_tasks import flag_tasks

    start = time.perf_counter()
    tasks = flag_tasks(no_work, (rows * SHARD, cols * SHARD), (SHARD, SHARD), None)
    seconds = time.perf_counter() - start
    sent = sum(len(pickle.dumps(layer)) for layer in tasks.dask.layers.values())
    return {"tasks": rows * cols, "seconds": seconds, "bytes": sent}


def scheduler(tasks: int, workers: int, seconds: float, processes: bool) -> dict[str, Any]:
    """Have a scheduler run so many tasks on so many workers."""
    from distributed import Client, LocalCluster

    from gridr_numba.doors.window_tasks import flag_tasks

    cols = max(1, round(tasks**0.5))
    rows = ceil(tasks / cols)
    options = {"n_workers": workers, "threads_per_worker": 1, "processes": processes, "dashboard_address": ":0"}
    options["memory_limit"] = 0  # of all together, which dask takes for each one's
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        task = partial(no_work, seconds=seconds)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        client.wait_for_workers(workers)
        start, cpu_start = time.perf_counter(), time.process_time()
        done = flag_tasks(task, (rows * SHARD, cols * SHARD), (SHARD, SHARD), None).all()
        assert client.compute(done, sync=True)
        took, cpu = time.perf_counter() - start, time.process_time() - cpu_start
        memory = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {
        "tasks": rows * cols,
        "workers": workers,
        "seconds_a_task": seconds,
        "seconds": took,
        "processes": processes,
        "tasks_a_second": rows * cols / took,
        "tasks_a_second_of_this_process": rows * cols / cpu,
        "bytes_a_task": memory / (rows * cols),
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=0.0, help="what each task sleeps")
    parser.add_argument("--processes", action="store_true", help="workers are processes, not threads of this one")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    side = ceil(SIDE / SHARD)
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for clouds in (0, 2000, 20_000):
            with densifier_of(Path(folder), clouds) as densifier:
                sizes[f"{clouds} clouds"] = len(pickle.dumps(densifier))
    found = {
        "graph": graph(side, side),
        "densifier_bytes": sizes,
        "scheduler": scheduler(given.tasks, given.workers, given.seconds, given.processes),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
    }
    json.dump(found, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
