"""Results as the documentation's tables, and against the figures that the package promises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from .cases import Case
from .contenders import LABELS

_MISSING = "-"
_LAZY = "Windows when they are asked for, and lazy arrays"

# What is promised of the kernel, in ns a pixel; what is promised of cases is in `cases`.
_KERNEL_AT_MOST = 2.0

# What is promised of the first calls of `build_grid` and of `build_mask`, with a coarse mask and with polygons: seconds
# of all together, where they compile and where they load what was compiled.
_COLD_AT_MOST = 6.0
_CACHED_AT_MOST = 0.3
_FIRST_CALLS = {
    "grid": "build_grid, float64",
    "mask": "then build_mask, a coarse mask",
    "polygons": "then build_mask, polygons",
    "grid, float32": "then build_grid, float32",
    "grid, mask and polygons": "build_grid, build_mask with a coarse mask, and with polygons",
}


def render(result: dict[str, Any]) -> str:
    """Return all tables as Markdown."""
    machine, versions = result["machine"], result["versions"]
    known = ", ".join(f"{name} {number}" for name, number in versions.items() if number is not None)
    files = f"files in the {result['files']}"
    parts = [
        f"{result['date'][:10]}, {machine['cpu']}, {machine['cores']} cores, {files}; {known}.",
        _times(result["cases"]),
        _memory(result["cases"]),
        _kernel(result["kernel"]) if result["kernel"] else "",
        _polygons(result["polygons"], judged=not result["quick"]) if result.get("polygons") else "",
        _in_memory(result["in_memory"], judged=not result["quick"]) if result.get("in_memory") else "",
        _grids(result["grids"], judged=not result["quick"]) if result.get("grids") else "",
        _resampling(result["resampling"], judged=not result["quick"]) if result.get("resampling") else "",
        _resample_files(result["resample_files"], judged=not result["quick"]) if result.get("resample_files") else "",
        _in_memory(result["lazy"], judged=not result["quick"], what=_LAZY) if result.get("lazy") else "",
        _stores(result["stores"], judged=not result["quick"]) if result.get("stores") else "",
        _startup(result["startup"]) if result["startup"] else "",
        "" if result["quick"] else _promises(result),  # small cases are not what is promised of
    ]
    if versions.get("gridr") is None:
        parts.append("GRIDR is not installed, and was left out.")
    return "\n\n".join(part for part in parts if part)


def describe(case: Case) -> str:
    """Name what sets a case apart."""
    rr, rc = case.resolution_row_col
    mpx = case.pixels / 1e6
    words = [
        f"{mpx:.0f} Mpx" if mpx > 9.5 else f"{mpx:.2g} Mpx",
        f"resolution {rr}" if rr == rc else f"resolution ({rr}, {rc})",
        case.dtype,
    ]
    if case.interleave == "band":
        words.append("band-interleaved")
    if case.tiled:
        words.append("tiled")
    if case.compress is not None:
        words.append(case.compress)
    if case.polygons is not None:
        words.append(f"polygons ({case.polygons}, {case.clouds} clouds)")
    words.append(f"strips of {case.strip_size} {'node' if case.strip_target == 'INPUT' else 'output'} rows")
    return ", ".join(words)


def case_of(entry: dict[str, Any]) -> Case:
    """Return the case that an entry of the results is of."""
    fields = dict(entry["case"])
    for pair in ("node_shape_row_col", "resolution_row_col", "contenders"):
        fields[pair] = tuple(fields[pair])
    return Case(**fields)


def _times(entries: Sequence[dict[str, Any]]) -> str:
    header = ["Grid + mask", *LABELS.values(), "GRIDR / 2 threads", "2 threads / reads and writes"]
    return _table(header, (_times_row(entry) for entry in entries))


def _times_row(entry: dict[str, Any]) -> list[str]:
    medians, ratios = entry["medians"], entry["ratios"]
    return [
        describe(case_of(entry)),
        *(_seconds(medians.get(name)) for name in LABELS),
        _number(_gridr_ratio(ratios)),
        _number(ratios.get("package-2/null")),
    ]


def _gridr_ratio(ratios: dict[str, float]) -> float | None:
    """Say how many times GRIDR takes the time of two threads."""
    return next((ratio for pair, ratio in ratios.items() if pair in ("gridr-1/package-2", "gridr-2/package-2")), None)


def _memory(entries: Sequence[dict[str, Any]]) -> str:
    measured = [entry for entry in entries if entry["memory_mib"]]
    if not measured:
        return ""
    header = ["Peak memory in MiB, of which the run's own", *LABELS.values(), "2 threads / GRIDR"]
    return _table(header, (_memory_row(entry) for entry in measured))


def _memory_row(entry: dict[str, Any]) -> list[str]:
    memory = entry["memory_mib"]
    peaks = (
        f"{memory[name]['peak']:.0f} ({memory[name]['peak'] - memory[name]['before']:.0f})"
        if name in memory
        else _MISSING
        for name in LABELS
    )
    return [describe(case_of(entry)), *peaks, _number(_memory_of_gridrs(memory))]


def _memory_of_gridrs(memory: dict[str, dict[str, float]]) -> float | None:
    """Compare with the GRIDR that takes less."""
    gridr = [values["peak"] for name, values in memory.items() if name.startswith("gridr")]
    return memory["package-2"]["peak"] / min(gridr) if gridr else None


def _kernel(entries: Sequence[dict[str, Any]]) -> str:
    names = list(entries[0]["nanoseconds_a_pixel"])
    header = ["The kernel alone, ns a pixel (two float64 bands and a mask)", *names]
    return _table(
        header,
        (
            [
                f"resolution {entry['resolution']}, {entry['extent']} of {entry['rows']} x {entry['columns']}",
                *(_number(entry["nanoseconds_a_pixel"][name]) for name in names),
            ]
            for entry in entries
        ),
    )


def _polygons(entries: Sequence[dict[str, Any]], *, judged: bool) -> str:
    header = ["Polygons", "parsing, checking", "ours", "against", "its time", "ratio"]
    return _table([*header, "promised", "kept"] if judged else header, (_polygons_row(e, judged) for e in entries))


def _polygons_row(entry: dict[str, Any], judged: bool) -> list[str]:
    (ours, seconds), (other, other_seconds) = entry["seconds"].items()
    what = f"{entry['case']}, {'engine alone' if ours == 'engine' else ours}"
    ratio, at_most = entry["ratio"], entry["at_most"]
    what = f"{what}, 1 thread" if entry["threads"] == 1 else what
    apart = _seconds(entry.get("seconds_to_parse_and_check"))
    row = [what, apart, _seconds(seconds), other, _seconds(other_seconds), f"{ratio:.2g}"]
    return [*row, *_promise(ratio, at_most)] if judged else row


def _promise(ratio: float, at_most: float | None) -> list[str]:
    return [_MISSING, _MISSING] if at_most is None else [f"at most {at_most:g}", _kept(ratio <= at_most)]


def _in_memory(entries: Sequence[dict[str, Any]], *, judged: bool, what: str = "Public doors in memory") -> str:
    header = [what, "time", "against", "ratio"]
    return _table([*header, "promised", "kept"] if judged else header, (_in_memory_row(e, judged) for e in entries))


def _in_memory_row(entry: dict[str, Any], judged: bool) -> list[str]:
    at_most, ratio = entry["at_most"], entry["ratio"]
    row = [entry["call"], _seconds(entry["milliseconds"] / 1e3), entry["reference"], _number(ratio)]
    return [*row, *_promise(ratio, at_most)] if judged else row


def _grids(entries: Sequence[dict[str, Any]], *, judged: bool) -> str:
    header = ["Coarse grids, from file to verified file", "time", "largest error", "GDAL's warp of the tile"]
    return _table([*header, "promised", "kept"] if judged else header, (_grids_row(e, judged) for e in entries))


def _grids_row(entry: dict[str, Any], judged: bool) -> list[str]:
    seconds, at_most, error = entry["seconds"], entry["at_most"], entry["largest_error"]
    row = [
        entry["case"],
        _seconds(seconds),
        _MISSING if error is None else f"{error:.2g} px",
        _seconds(entry["gdals_warp"]),
    ]
    if not judged or at_most is None:
        return [*row, _MISSING, _MISSING] if judged else row
    return [*row, f"at most {_seconds(at_most)}", _kept(seconds <= at_most)]


def _resampling(entries: Sequence[dict[str, Any]], *, judged: bool) -> str:
    header = ["Resampling, kernel and source table, uint16, turned by 5 degrees", "ns a pixel", "its time / 1 thread's"]
    return _table([*header, "promised", "kept"] if judged else header, (_resampling_row(e, judged) for e in entries))


def _resampling_row(entry: dict[str, Any], judged: bool) -> list[str]:
    name = f"{entry['interpolation']}, {entry['case']}: {entry['contender']}"
    row = [name, f"{entry['nanoseconds_a_pixel']:.2f}", _number(entry["ratio"])]
    if not judged:
        return row
    if entry["at_least"] is not None:
        return [*row, f"at least {entry['at_least']:.3g}", _kept(entry["ratio"] >= entry["at_least"])]
    return [*row, *_promise(entry["ratio"], entry["at_most"])]


def _resample_files(entries: Sequence[dict[str, Any]], *, judged: bool) -> str:
    header = ["resample, 100 Mpx uint16, a source of 4 budgets", "time", "null chain", "ratio"]
    header += ["bytes read of touched blocks", "memory in budgets"]
    rows = (_resample_files_row(e, judged) for e in entries)
    return _table([*header, "promised (time, bytes, memory)", "kept"] if judged else header, rows)


def _resample_files_row(entry: dict[str, Any], judged: bool) -> list[str]:
    found = entry["ratio"], entry["bytes_of_touched"], entry["memory_of_budget"]
    name = f"{entry['interpolation']}, {entry['angle']} degrees, {entry['source']}"
    row = [name, _seconds(entry["seconds"]), _seconds(entry["null"]), *(_number(each) for each in found)]
    if not judged:
        return row
    most = entry["ratio_at_most"], entry["bytes_at_most"], entry["memory_at_most"]
    said = ", ".join(_MISSING if each is None else f"{each:g}" for each in most)
    return [*row, said, _kept(all(limit is None or value <= limit for value, limit in zip(found, most, strict=True)))]


def _stores(entries: Sequence[dict[str, Any]], *, judged: bool) -> str:
    header = ["Zarr stores, 100 Mpx", "time", "against", "ratio"]
    return _table([*header, "promised", "kept"] if judged else header, (_stores_row(e, judged) for e in entries))


def _stores_row(entry: dict[str, Any], judged: bool) -> list[str]:
    row = [entry["what"], _seconds(entry["seconds"]), entry["reference"], _number(entry["ratio"])]
    return [*row, *_promise(entry["ratio"], entry["at_most"])] if judged else row


def _startup(startup: dict[str, Any]) -> str:
    header = ["Start", "seconds"]
    imports, cold, cached = startup["import"], startup["cold"], startup["cached"]
    chain = "build_grid_mask_chain"
    tables = [
        _table(
            header,
            [
                ["import gridr_numba", _seconds(imports["gridr_numba"])],
                ["import of the chains", _seconds(imports["the chains"])],
                ["gridr-numba densify --help, whole process", _seconds(startup["help"])],
                [f"first call ever of {chain} (compiles)", _seconds(cold["first"])],
                [f"first call of {chain} in a process (loads from the cache)", _seconds(cached["first"])],
                ["second call", _seconds(cached["second"])],
            ],
        )
    ]
    if "grid" in cold:
        header = [f"First calls in a process, median of {startup['rounds']}", "compiles", "loads from the cache"]
        doors = ([what, _seconds(cold[name]), _seconds(cached[name])] for name, what in _FIRST_CALLS.items())
        tables.append(_table(header, doors))
    return "\n\n".join(tables)


def _promises(result: dict[str, Any]) -> str:
    """Judge the promised figures, as far as they were measured."""
    rows = [row for entry in result["cases"] for row in _case_promises(entry)]
    rows += [_kernel_promise(entry) for entry in result["kernel"]]
    rows += _first_call_promises(result["startup"] or {})
    return _table(["Promise", "measured", "kept"], rows) if rows else ""


# Contenders that the package promises something of.
_OURS = ("package", "densify", "unverified")


def _case_promises(entry: dict[str, Any]) -> Iterator[list[str]]:
    case, ratios, memory = case_of(entry), entry["ratios"], entry["memory_mib"]
    what = describe(case)
    for name, most in case.of_null_at_most.items():
        ratio = ratios[f"{name}/null"]
        yield [f"{what}: {LABELS[name]}, at most {most} x reads and writes", _number(ratio), _kept(ratio <= most)]
    least, faster = case.gridrs_time_at_least, _gridr_ratio(ratios)
    if least is not None and faster is not None:
        yield [f"{what}: {least:.0f} x GRIDR's best", _number(faster), _kept(faster >= least)]
    most_memory, share = case.gridrs_memory_at_most, _memory_of_gridrs(memory)
    if most_memory is not None and share is not None:
        yield [f"{what}: at most {most_memory:.2f} of GRIDR's memory", _number(share), _kept(share <= most_memory)]
    if case.memory_at_most_mib is not None and memory:
        grown = max(peak["peak"] - peak["before"] for name, peak in memory.items() if name.startswith(_OURS))
        promise = f"{what}: at most {case.memory_at_most_mib:.0f} MiB more than before"
        yield [promise, f"{grown:.0f}", _kept(grown <= case.memory_at_most_mib)]


def _kernel_promise(entry: dict[str, Any]) -> list[str]:
    measured = entry["nanoseconds_a_pixel"]["2 threads"]
    what = f"kernel, resolution {entry['resolution']}, {entry['extent']}: {_KERNEL_AT_MOST:.0f} ns a pixel"
    return [what, _number(measured), _kept(measured <= _KERNEL_AT_MOST)]


def _first_call_promises(startup: dict[str, Any]) -> Iterator[list[str]]:
    together = "grid, mask and polygons"
    for where, how, most in (("cold", "compiled", _COLD_AT_MOST), ("cached", "from the cache", _CACHED_AT_MOST)):
        if together in startup.get(where, {}):
            seconds = startup[where][together]
            what = f"first calls of {_FIRST_CALLS[together]}, {how}: at most {most:g} s"
            yield [what, _number(seconds), _kept(seconds <= most)]


def _kept(kept: bool) -> str:
    return "yes" if kept else "no"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _seconds(value: float | None) -> str:
    if value is None:
        return _MISSING
    return f"{value * 1e3:.3g} ms" if value < 0.9995 else f"{value:.2f} s"


def _number(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.2f}"
