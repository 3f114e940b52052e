"""Each public name's docstring says what it promises, of what shapes and units, and shows it: the examples are run."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import gridr_numba

FUNCTIONS = [name for name in gridr_numba.__all__ if inspect.isfunction(getattr(gridr_numba, name))]
LAZY = ["densify_arrays", "densify_lazy", "resample_lazy"]
PLOT = ["overview", "plot_file", "plot_grid", "plot_images", "plot_mask", "save"]
CLASSES = [name for name in gridr_numba.__all__ if inspect.isclass(getattr(gridr_numba, name))]


def public(name):
    if name in LAZY:
        pytest.importorskip("dask.array")
        pytest.importorskip("xarray")
        return getattr(importlib.import_module("gridr_numba.lazy"), name)
    if name in PLOT:
        pytest.importorskip("matplotlib")
        return getattr(importlib.import_module("gridr_numba.plot"), name)
    return getattr(gridr_numba, name)


def test_no_function_of_a_module_is_forgotten():
    for names, module in ((LAZY, "lazy"), (PLOT, "plot")):
        pytest.importorskip({"lazy": "xarray", "plot": "matplotlib"}[module])
        functions = inspect.getmembers(importlib.import_module(f"gridr_numba.{module}"), inspect.isfunction)
        there = [name for name, each in functions if each.__module__ == f"gridr_numba.{module}"]
        assert names == [name for name in there if not name.startswith("_")]


@pytest.mark.parametrize("name", FUNCTIONS + LAZY + PLOT + CLASSES)
def test_an_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "write_zarr":
        pytest.importorskip("zarr", minversion="3")
    (found,) = [test for test in doctest.DocTestFinder(recurse=False).find(public(name), name) if test.examples] or [
        None
    ]
    assert found is not None, "no example"
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS + LAZY + PLOT)
def test_a_function_says_its_law_its_source_and_its_errors(name):
    function = public(name)
    text = inspect.getdoc(function)
    returns = ("Returns",) if function.__annotations__["return"] != "None" else ()
    for heading in ("Parameters", *returns, "Raises", "Examples"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in text, heading
    assert "GRIDR" in text, "whether the name is GRIDR's"
    assert "law" in text.lower()
