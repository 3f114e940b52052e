"""Each public name's docstring says what it promises, of what shapes and units, and shows it: the examples are run."""

from __future__ import annotations

import doctest
import importlib
import inspect

import pytest

import gridr_numba

FUNCTIONS = [name for name in gridr_numba.__all__ if inspect.isfunction(getattr(gridr_numba, name))]
LAZY = ["resample_lazy"]
CLASSES = [name for name in gridr_numba.__all__ if inspect.isclass(getattr(gridr_numba, name))]


def public(name):
    if name in LAZY:
        pytest.importorskip("dask.array")
        pytest.importorskip("xarray")
        return getattr(importlib.import_module("gridr_numba.lazy"), name)
    return getattr(gridr_numba, name)


@pytest.mark.parametrize("name", FUNCTIONS + LAZY + CLASSES)
def test_an_example_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "write_zarr":
        pytest.importorskip("zarr", minversion="3")
    (found,) = [test for test in doctest.DocTestFinder(recurse=False).find(public(name), name) if test.examples] or [
        None
    ]
    assert found is not None, "no example"
    assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(found).failed == 0


@pytest.mark.parametrize("name", FUNCTIONS + LAZY)
def test_a_function_says_its_law_its_source_and_its_errors(name):
    function = public(name)
    text = inspect.getdoc(function)
    returns = ("Returns",) if function.__annotations__["return"] != "None" else ()
    for heading in ("Parameters", *returns, "Raises", "Examples"):
        assert f"\n{heading}\n{'-' * len(heading)}\n" in text, heading
    assert "GRIDR" in text, "whether the name is GRIDR's"
    assert "law" in text.lower()
