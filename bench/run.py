"""Measure all contenders: ``python -m bench.run [--quick] [--case NAME] [--rounds N]``; ``--table FILE`` prints again.

``--part NAME`` measures a part alone, and keeps what else is in the output.

For each case, every contender lives in a process of its own. Outputs are compared first, memory is sampled in a run
of its own, then rounds alternate: each runs every contender once, starting with another one each time. Medians are of
a contender's rounds, ratios are medians of the rounds' ratios, so that what disturbs a whole round cancels out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from shutil import disk_usage
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.windows import Window

from . import startup
from .cases import CASES, FULL, QUICK, Case, output_paths, write_inputs
from .contenders import contenders_of, reference_of
from .memory import PeakMemory, can_measure
from .report import render
from .worker import Worker

RESULTS = Path(__file__).parent / "results"

_MEMORY_FILE_SYSTEM = Path("/dev/shm")
# Fresh processes whose first calls are timed, of which the median is judged.
_STARTS = 5


class _Part(NamedTuple):
    """A module that measures something else than grid and mask, and the packages without which it is left out."""

    what: str
    module: str
    needs: tuple[str, ...] = ()


_PARTS = {
    "kernel": _Part("the kernel alone", "bench.kernel"),
    "polygons": _Part("polygons", "bench.polygons"),
    "in_memory": _Part("the public doors in memory", "bench.in_memory"),
    "grids": _Part("coarse grids", "bench.make_grid"),
    "resampling": _Part("resampling", "bench.resampling"),
    "resample_files": _Part("resampling from files to files", "bench.resample_files"),
    "lazy": _Part("windows when they are asked for, and lazy arrays", "bench.lazy", ("dask", "xarray")),
    "stores": _Part("Zarr stores", "bench.stores", ("zarr", "distributed")),
}

# For the coarse inputs, and what else is there.
_BYTES_BESIDE_OUTPUTS = 512 << 20

# GRIDR interpolates in another order. Its float32 may so be rounded to the neighbour.
_GRIDR_TOLERANCE = {"float64": 1e-9, "float32": 2.0**-23}


def main(arguments: list[str] | None = None) -> None:
    """Run what the command line says, and print the table."""
    options = _parser().parse_args(arguments)
    if options.table is not None:
        print(render(json.loads(options.table.read_text())))
        return
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    cases = [CASES[name] for name in options.case] or list(QUICK if options.quick else FULL)
    rounds = options.rounds or (2 if options.quick else 5)
    output = options.output
    if output is None and not options.quick and not options.case and not options.part:
        output = RESULTS / f"{os.cpu_count()}-cores.json"

    def save(result: dict[str, Any]) -> None:
        if output is not None:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps(result, indent=1) + "\n")

    if options.part:
        result = _nothing(options.quick)
        if output is not None and output.exists():
            kept = json.loads(output.read_text())
            here, there = ((each["machine"]["cpu"], each["versions"], each["quick"]) for each in (result, kept))
            if here != there:
                raise SystemExit(f"{output} is of another machine or of other versions")
            result = {**kept, "date": result["date"]}
        result.update(_measure_parts(options.part, quick=options.quick))
        save(result)
    else:
        result = measure(cases, rounds=rounds, quick=options.quick, only_cases=bool(options.case), save=save)
    print(render(result))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description="Benchmark gridr_numba.")
    parser.add_argument("--quick", action="store_true", help="small cases: are the outputs equal, does it all run")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--case", action="append", default=[], choices=sorted(CASES), help="only this case; repeatable")
    only.add_argument("--part", action="append", default=[], choices=_PARTS, help="only this part; repeatable")
    parser.add_argument("--rounds", type=int, help="timed runs of each contender (default: 5, quick: 2)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="JSON (default for all cases: in bench/results)")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the tables of a JSON file")
    return parser


def measure(
    cases: Sequence[Case], *, rounds: int, quick: bool, only_cases: bool, save: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Measure parts and starts, unless `only_cases`, and cases. What is known is saved after each."""
    result = _nothing(quick)
    # The outputs of the reference, and those of one more contender.
    needed = 2 * max(case.output_bytes for case in cases) + _BYTES_BESIDE_OUTPUTS
    with _fast_folder(needed) as (folder, in_memory):
        result["files"] = "memory file system" if in_memory else "default temporary directory"
        if not only_cases:
            result.update(_measure_parts(_PARTS, quick=quick))
            if not quick:  # compiling anew takes longer than all of the rest
                _say("starts")
                result["startup"] = startup.measure(folder, _STARTS)
        for case in cases:
            result["cases"].append(_measure_case(case, folder, rounds))
            save(result)
    return result


def _nothing(quick: bool) -> dict[str, Any]:
    """Return what is known before anything is measured."""
    parts: dict[str, Any] = {name: [] for name in _PARTS}
    about = {"quick": quick, "machine": _machine(), "versions": _versions(), "files": ""}
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return {"date": date, **about, "cases": [], **parts, "startup": None}


def _measure_parts(names: Iterable[str], *, quick: bool) -> dict[str, Any]:
    """Measure those of which all that they need is installed."""
    found = {}
    for name in names:
        part = _PARTS[name]
        if all(find_spec(package) is not None for package in part.needs):
            _say(part.what)
            found[name] = _ask_module(part.module, *(["--quick"] if quick else []))
    return found


def _measure_case(case: Case, folder: Path, rounds: int) -> dict[str, Any]:
    """Compare the outputs of all contenders, then sample their memory, then time them."""
    _say(case.name)
    write_inputs(case, folder)
    names = contenders_of(case)
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, case, folder)) for name in names}
        reference = reference_of(case)
        workers[reference].run()
        for name in names:
            if name != reference:
                workers[name].run()
                _check_outputs(case, folder, name)
                _remove_outputs(folder, name)
        _remove_outputs(folder, reference)
        memory = {name: _peak_of_run(workers[name], folder) for name in names if can_measure()}
        seconds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            for name in _rotated(names, number):
                seconds[name].append(workers[name].run())
                _remove_outputs(folder, name)
    return {
        "case": asdict(case),
        "pixels": case.pixels,
        "medians": {name: statistics.median(values) for name, values in seconds.items()},
        "ratios": _ratios(seconds),
        "memory_mib": memory,
        "rounds": seconds,
    }


def _rotated(names: list[str], number: int) -> list[str]:
    start = number % len(names)
    return names[start:] + names[:start]


def _ratios(seconds: dict[str, list[float]]) -> dict[str, float]:
    """Compare contenders round by round. GRIDR is the faster of its two."""
    of_null = ("package-1", "package-2", "densify-2", "unverified-2")
    pairs = [(name, "null") for name in of_null if name in seconds]
    pairs += [("pool-2", "package-2")] if "pool-2" in seconds else []
    gridr = [name for name in seconds if name.startswith("gridr")]
    if gridr:
        best = min(gridr, key=lambda name: statistics.median(seconds[name]))
        pairs += [(best, "package-1"), (best, "package-2")]
    return {
        f"{slow}/{fast}": statistics.median(a / b for a, b in zip(seconds[slow], seconds[fast], strict=True))
        for slow, fast in pairs
    }


def _peak_of_run(worker: Worker, folder: Path) -> dict[str, float]:
    with PeakMemory(worker.pid) as memory:
        worker.run()
    _remove_outputs(folder, worker.contender)
    return {key: round(value, 1) for key, value in asdict(memory.result).items()}


# -- outputs ------------------------------------------------------------------------------------------------------


# At a time.
_PIXELS_COMPARED = 10_000_000


def _check_outputs(case: Case, folder: Path, name: str) -> None:
    """Refuse to time a contender whose outputs are not the reference's: GRIDR's grid nearly, all else to the bit."""
    if name == "null":
        return
    tolerance = _GRIDR_TOLERANCE[case.dtype] if name.startswith("gridr") else 0.0
    grids, masks = zip(output_paths(folder, reference_of(case)), output_paths(folder, name), strict=True)
    _check_equal(grids, tolerance, f"{case.name}: the grid of {name}")
    _check_equal(masks, 0.0, f"{case.name}: the mask of {name}")


def _check_equal(paths: tuple[Path, Path], tolerance: float, what: str) -> None:
    with rasterio.open(paths[0]) as expected_ds, rasterio.open(paths[1]) as actual_ds:
        rows = 512 * max(1, _PIXELS_COMPARED // (512 * expected_ds.width))
        for start in range(0, expected_ds.height, rows):
            window = Window(0, start, expected_ds.width, min(rows, expected_ds.height - start))
            expected, actual = expected_ds.read(window=window), actual_ds.read(window=window)
            if tolerance == 0.0:
                wrong = expected.view(np.uint8) != actual.view(np.uint8)
            else:
                wrong = ~np.isclose(actual, expected, rtol=tolerance, atol=0.0)
            if wrong.any():
                raise SystemExit(f"{what} differs from the reference's in rows {start} to {start + rows - 1}")


def _remove_outputs(folder: Path, name: str) -> None:
    for path in output_paths(folder, name):
        path.unlink()


@contextmanager
def _fast_folder(needed: int) -> Iterator[tuple[Path, bool]]:
    """Make a temporary folder in memory where there is room, and say whether it is there."""
    place = _MEMORY_FILE_SYSTEM
    in_memory = place.is_dir() and os.access(place, os.W_OK) and disk_usage(place).free >= needed
    with TemporaryDirectory(prefix="gridr-numba-bench-", dir=place if in_memory else None) as folder:
        yield Path(folder), in_memory


# -- what was measured on ------------------------------------------------------------------------------------------


def _machine() -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(os.getloadavg()[0], 1),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {"python": platform.python_version(), "gdal": rasterio.__gdal_version__}
    for package in ("numpy", "numba", "rasterio", "shapely", "gridr"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def _ask_module(module: str, *arguments: str) -> Any:
    done = subprocess.run([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
