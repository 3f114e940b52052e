"""What starting costs: ``python -m bench.startup FOLDER [ROUNDS]`` times first calls of fresh processes, as JSON.

`measure` starts each process with a numba cache of its own: cold, where first calls compile, and again, where they load
what the first process compiled. The calls are those of users: `build_grid`, `build_mask` with a coarse mask, and with
polygons, in this order, then `build_grid` in float32; and, in another process, a chain on the smallest case.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .cases import SMALLEST, write_inputs

# Only the standard library and numpy, rasterio and shapely are loaded so far, the last three by `cases`: an import that
# is to be timed whole needs a process that has loaded nothing.
_TIME_IMPORT = "import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
_IMPORTED = {"gridr_numba": "gridr_numba", "the chains": "gridr_numba.doors.chains"}  # by what they are: modules move
_HELP = ("-c", "from gridr_numba.cli import main; main(['densify', '--help'])")
_DOORS, _CHAIN = "--doors", "--chain"


def measure(folder: Path, rounds: int = 1) -> dict[str, Any]:
    """Measure cold and cached processes, in seconds: medians of so many rounds."""
    write_inputs(SMALLEST, folder)
    cold, cached, imports = [], [], []
    for _ in range(rounds):
        with TemporaryDirectory() as cache:
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            cold.append(_ask("-m", "bench.startup", _DOORS, environment=environment))
            cached.append(_ask("-m", "bench.startup", _DOORS, environment=environment))
            imports.append(
                {
                    what: _ask("-c", _TIME_IMPORT.format(module=name), environment=environment)
                    for what, name in _IMPORTED.items()
                }
            )
        with TemporaryDirectory() as cache:
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            for found in (cold, cached):
                found[-1] |= _ask("-m", "bench.startup", _CHAIN, str(folder), environment=environment)
    return {
        "case": SMALLEST.name,
        "rounds": rounds,
        "import": _medians(imports),
        "help": _time_help(),
        "cold": _medians(cold),
        "cached": _medians(cached),
    }


def _medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(each[name] for each in found) for name in found[0]}


def _time_help() -> float:
    """Time the help of a command, the interpreter's own start included."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *_HELP], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _ask(*arguments: str, environment: dict[str, str]) -> Any:
    done = subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _time_chain(folder: Path) -> dict[str, float]:
    """Time the first call and the second: the chain on the smallest case."""
    import gridr_numba.doors.chains  # noqa: F401  # imports are timed apart

    from .contenders import make_contender
    from .worker import timed_run

    run = make_contender("package-2", SMALLEST)
    first, second = (timed_run(run, SMALLEST, folder, "startup") for _ in range(2))
    return {"first": first, "second": second}


def _time_doors() -> dict[str, float]:
    """Time the first call of each in-memory door, imports of the package apart."""
    import numpy as np
    import shapely

    import gridr_numba as gn

    nodes, coarse = np.random.default_rng(0).random((2, 40, 40)), np.ones((40, 40), np.uint8)
    coarse[0, 0] = 0
    shape, disc = gn.grid_full_resolution_shape(coarse.shape, (10, 10)), shapely.Point(200, 200).buffer(150)
    gn.build_grid, gn.build_mask  # noqa: B018  # imported when first named: timed apart
    calls = {
        "grid": lambda: gn.build_grid((1, 1), nodes, None, (10, 10), None),
        "mask": lambda: gn.build_mask(shape, (1, 1), None, mask_in=coarse, mask_in_resolution=(10, 10)),
        "polygons": lambda: gn.build_mask(shape, (1, 1), None, (0.0, 0.0), (disc, None)),
        "grid, float32": lambda: gn.build_grid((1, 1), nodes.astype(np.float32), None, (10, 10), None),
    }
    seconds = {}
    for name, call in calls.items():
        start = time.perf_counter()
        call()
        seconds[name] = time.perf_counter() - start
    return {**seconds, "grid, mask and polygons": sum(seconds[name] for name in ("grid", "mask", "polygons"))}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    if sys.argv[1] == _DOORS:
        print(json.dumps(_time_doors()))
    elif sys.argv[1] == _CHAIN:
        print(json.dumps(_time_chain(Path(sys.argv[2]))))
    else:
        print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1), indent=2))
