"""Layers import only downwards. The order is written down here, lowest first, and held."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gridr_numba

PACKAGE = Path(gridr_numba.__file__).parent
# Folders of one line do not import one another. `__init__` files are not layers: they are empty, but for the package's
# own and the command line's, which names its entry.
ROOMS = [
    {"errors", "types"},
    {"checks", "window"},
    {"georef", "plan"},
    {"kernels"},
    {"files"},
    {"polygons", "mapping"},
    {"engine"},
    {"doors"},
    {"drawing"},
    {"plot"},
    {"demo", "graph"},
    {"lazy"},
    {"cli"},
    {"__main__"},
]
# Within a folder.
FILES = {
    "kernels": [
        {"jit"},
        {"bilinear", "checksum", "crossings", "rpc", "survey", "vectors"},
        {"edge_table", "source_table"},
        {"scanline", "taps", "lost"},
        {"pixels", "validity"},
        {"resample"},
    ],
    "files": [
        {"crs", "gdal", "locks", "partial", "vrt"},
        {"arrays", "bands", "whole_file"},
        {"source"},
        {"inputs"},
        {"outputs"},
        {"geotiff", "zarr"},
        {"cog"},
    ],
    "polygons": [
        {"exact"},
        {"sets"},
        {"edges", "forms", "projection"},
        {"footprint", "mask", "sample", "wellknown"},
        {"projected"},
        {"files"},
    ],
    "mapping": [{"search"}, {"models", "grid"}],
    "engine": [
        {"background", "codes", "coordinates", "counts", "memory", "progress", "source_box", "survey"},
        {"dense"},
        {"job", "tables"},
        {"resampling"},
        {"source_tables", "step"},
        {"resample_step", "scattered"},
        {"loop"},
    ],
    "doors": [
        {"build_grid", "chains", "grid_rasterize", "grid_tag", "legend", "options_tag", "paint", "stages"},
        {"window_tasks"},
        {"reports", "target"},
        {"build_mask", "placement", "production"},
        {"dense_inputs", "output_files", "view"},
        {"in_arrays"},
        {"file_pool", "node_arrays", "resample_array"},
        {"densifier", "densify", "inspection", "make_grid", "preview", "resample"},
        {"report_page", "resampler", "warmup", "warp", "write_zarr"},
    ],
    "cli": [{"messages"}, {"options"}, {"densify"}, {"make_grid"}, {"resample"}, {"commands"}],
    "demo": [{"job"}, {"checks"}, {"run"}],
}
# Who may import what from outside: the libraries that a room or a module is there to keep from the others.
KEEPERS = {
    "numba": {"kernels"},
    "llvmlite": {"kernels.jit", "kernels.vectors"},
    "shapely": {"polygons", "demo"},
    "pyogrio": {"polygons.files"},
    "rasterio": {
        "window",
        "files",
        "engine.background",
        "polygons.files",
        "polygons.mask",
        "polygons.projection",
        "mapping.models",
        "doors",
        "demo",
    },
    "matplotlib": {"drawing", "plot"},
    "zarr": {"files.zarr"},
    "numcodecs": {"files.zarr"},
    "click": {"cli"},
    "tqdm": {"engine.progress"},
    "dask": {"graph", "doors.window_tasks", "doors.write_zarr"},
    "xarray": {"lazy"},
}


def imports_of(path):
    """Return the package's own modules, and the other packages, that a file imports anywhere in it."""
    own, foreign = set(), set()
    folder = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            foreign |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            foreign.add(node.module.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            base = [*folder[: len(folder) - node.level + 1], *(node.module or "").split(".")]
            stem = ".".join(part for part in base if part)
            for alias in node.names:
                deeper = f"{stem}.{alias.name}" if stem else alias.name
                is_module = (PACKAGE / (deeper.replace(".", "/") + ".py")).exists()
                own.add(deeper if is_module else stem)
    return own - {""}, foreign


MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}


def place_of(name):
    """Return the heights of a module: of its folder (or of itself, where it is in none), and within the folder."""
    room, _, file = name.partition(".")
    height = next(index for index, rooms in enumerate(ROOMS) if room in rooms)
    return room, height, next((index for index, files in enumerate(FILES[room]) if file in files), -1) if file else 0


def test_every_module_has_a_layer_and_every_layer_modules():
    listed = {f"{room}.{file}" for room, layers in FILES.items() for files in layers for file in files}
    listed |= set().union(*ROOMS) - set(FILES)
    assert set(MODULES) == listed


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_layer_imports_only_lower_ones(name):
    room, height, within = place_of(name)
    own, foreign = imports_of(MODULES[name])
    for other in own:
        its_room, its_height, its_within = place_of(other)
        lower = its_within < within if its_room == room else its_height < height
        assert lower, f"{name} imports {other}, which is not below it"
    for library, keepers in KEEPERS.items():
        kept = name in keepers or room in keepers
        assert library not in foreign or kept, f"{name} imports {library}"


@pytest.mark.parametrize(
    "command", ["", "densify", "mask", "resample", "warp", "make-grid", "info", "preview", "warmup", "demo"]
)
def test_the_package_and_its_help_import_nothing_heavy(command):
    code = (
        "import sys, gridr_numba\n"
        "from gridr_numba.cli import main\n"
        f"try: main([*{command.split()}, '--help'])\n"
        "except SystemExit as exit: assert not exit.code, exit.code\n"
        "heavy = {'numpy', 'numba', 'rasterio', 'shapely', 'scipy', 'tqdm', 'pyogrio', 'zarr'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_public_names_are_there_and_nothing_else_is_promised():
    for name in gridr_numba.__all__:
        assert getattr(gridr_numba, name) is not None
        assert name in dir(gridr_numba)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gridr_numba.nonsense
