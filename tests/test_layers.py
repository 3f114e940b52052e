"""Layers import only downwards. The order is written down here, lowest first, and held."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gridr_numba

PACKAGE = Path(gridr_numba.__file__).parent
LAYERS = [
    {"errors", "types"},
    {"window", "checks", "codes", "exact", "kernels.jit", "atomic", "memory"},
    {"georef", "plan", "kernels.bilinear", "kernels.scanline", "io", "sources"},
    {"polygons"},
    {"dense", "rasterize", "tally", "outputs", "vector"},
    {"grid", "job", "quicklook", "geotiff"},
    {"mask", "step", "target"},
    {"loop", "info"},
    {"chain", "product"},
    {"demo_job"},
    {"demo_checks", "warmup"},
    {"demo"},
    {"cli"},
]
# Who may import what from outside: the libraries that a module is there to keep from the others.
KEEPERS = {
    "numba": {"kernels.jit", "kernels.bilinear", "kernels.scanline"},
    "shapely": {"polygons", "vector", "demo", "demo_checks", "demo_job"},
    "pyogrio": {"vector"},
    "rasterio": {
        "window",
        "io",
        "rasterize",
        "sources",
        "geotiff",
        "vector",
        "quicklook",
        "product",
        "demo",
        "demo_checks",
        "demo_job",
        "warmup",
    },
    "click": {"cli"},
    "tqdm": {"cli"},
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


def test_every_module_has_a_layer():
    assert set(MODULES) == set().union(*LAYERS)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_a_layer_imports_only_lower_ones(name):
    height = next(index for index, layer in enumerate(LAYERS) if name in layer)
    lower = set().union(*LAYERS[:height])
    own, foreign = imports_of(MODULES[name])
    assert own <= lower, f"{name} imports {own - lower}, which is not below it"
    for library, keepers in KEEPERS.items():
        assert library not in foreign or name in keepers, f"{name} imports {library}"


@pytest.mark.parametrize("command", ["", "densify", "mask", "info", "preview", "warmup", "demo"])
def test_the_package_and_its_help_import_nothing_heavy(command):
    code = (
        "import sys, gridr_numba\n"
        "from gridr_numba.cli import main\n"
        f"try: main([*{command.split()}, '--help'])\n"
        "except SystemExit as exit: assert not exit.code, exit.code\n"
        "heavy = {'numpy', 'numba', 'rasterio', 'shapely', 'scipy', 'tqdm', 'pyogrio'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, stdout=subprocess.DEVNULL)


def test_public_names_are_there_and_nothing_else_is_promised():
    for name in gridr_numba.__all__:
        assert getattr(gridr_numba, name) is not None
        assert name in dir(gridr_numba)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = gridr_numba.nonsense
