"""What starting costs: ``python -m bench.startup FOLDER`` times imports and the first two calls of one process.

`measure` runs it twice with a numba cache of its own: cold, where the first call compiles, and again, where it loads
what the first process compiled.
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
_IMPORTED = ("gridr_numba", "gridr_numba.chain")
_HELP = ("-c", "from gridr_numba.cli import main; main(['densify', '--help'])")


def measure(folder: Path) -> dict[str, Any]:
    """Measure a cold and a cached process, in seconds."""
    write_inputs(SMALLEST, folder)
    with TemporaryDirectory() as cache:
        environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
        cold, cached = (_ask("-m", "bench.startup", str(folder), environment=environment) for _ in range(2))
        imports = {
            module: _ask("-c", _TIME_IMPORT.format(module=module), environment=environment) for module in _IMPORTED
        }
    return {"case": SMALLEST.name, "import": imports, "help": _time_help(), "cold": cold, "cached": cached}


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


def _time_calls(folder: Path) -> dict[str, float]:
    """Time the first call and the second: the chain on the smallest case."""
    import gridr_numba.chain  # noqa: F401  # imports are timed apart

    from .contenders import make_contender
    from .worker import timed_run

    run = make_contender("package-2", SMALLEST)
    first, second = (timed_run(run, SMALLEST, folder, "startup") for _ in range(2))
    return {"first": first, "second": second}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(_time_calls(Path(sys.argv[1]))))
