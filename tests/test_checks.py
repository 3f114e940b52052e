"""Each check says its argument by the name that it was given, which is the caller's; so do the parts of a job."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import rasterio

from gridr_numba import checks
from gridr_numba.engine.job import (
    Extent,
    GridIn,
    GridOut,
    Inputs,
    Limits,
    MaskIn,
    MaskOut,
    MaskRules,
    Names,
    Outputs,
    job_of,
)
from gridr_numba.errors import GridrError
from gridr_numba.plan import Bounds
from gridr_numba.types import GridRasterizeAlg

INT64 = np.dtype(np.int64)
NAME = "its_name"
# Of each check, arguments that it refuses, but for the names.
WRONG = {
    "integer": [{"value": "x", "minimum": 0}, {"value": 0.5, "minimum": 0}, {"value": -1, "minimum": 0}],
    "left_out": [{"value": 3, "default": None, "other": "mask"}],
    "boolean": [{"value": 1}],
    "integer_pair": [{"value": 1, "minimum": 0}, {"value": (1,), "minimum": 0}, {"value": (1, -1), "minimum": 0}],
    "input_resolution": [{"value": None}, {"value": (2**30, 2**30)}],
    "one_or_two_resolutions": [{"value": 0}, {"value": "2"}],
    "output_resolution": [{"value": None}, {"value": (2, 2)}, {"value": 1}],
    "real_pair": [{"value": (1, "x")}],
    "number": [{"value": "x"}, {"value": 10**400}],
    "finite": [{"value": np.inf}],
    "finite_or_nan": [{"value": np.inf}],
    "geometry_origin": [{"value": None, "needed_with": "polygons"}, {"value": 3, "needed_with": None}],
    "member": [{"enum": GridRasterizeAlg, "value": 99}, {"enum": GridRasterizeAlg, "value": "x"}],
    "dtype": [{"value": None}, {"value": "nonsense"}],
    "floating_dtype": [{"value": np.int8}],
    "file_dtype": [{"value": np.int8}, {"value": np.float16}],
    "integer_dtype": [{"value": np.float32}],
    "array": [
        {"value": [1], "ndim": 1, "kinds": "i"},
        {"value": np.ones(3), "ndim": 2, "kinds": "f"},
        {"value": np.ones(3), "ndim": 1, "kinds": "i"},
    ],
    "output_array": [{"value": np.ones(3), "shape": (4,), "kinds": "f"}],
    "binary_threshold": [{"value": 2}, {"value": "x"}],
    "fits": [{"value": "x", "dtype": INT64}, {"value": 0.5, "dtype": INT64}, {"value": 10**40, "dtype": INT64}],
    "mask_out_values": [
        {"value": 1, "dtypes": [INT64]},
        {"value": (1, 10**40), "dtypes": [INT64]},
        {"value": (1, 1), "dtypes": [INT64]},
    ],
    "thread_count": [{"value": 0}],
    "tile_shape": [{"value": (0, 1)}, {"value": 1}],
    "logger": [{"value": "x", "default": "d"}],
    "strip_size": [{"value": -1}],
    "progress": [{"value": 3}],
    "one_of": [{"value": "c", "choices": ("a", "b")}, {"value": 1, "choices": ("a",)}],
    "interpolation": [{"value": "best"}, {"value": 1}, {"value": "CUBIC"}],
    "image_dtype": [{"value": "int64"}, {"value": "complex64"}, {"value": None}, {"value": "x"}],
    "rasterize_options": [{"value": 1}, {"value": {"x": 1}}, {"value": {"alg": 99}}, {"value": {"kwargs_alg": 1}}],
    "used_rasterize_options": [
        {"value": 1, "polygons": True},
        {"value": {"alg": 1, "kwargs_alg": {"shapely_predicate": 1}}, "polygons": True},
        {"value": {"alg": 1}, "polygons": False},
    ],
    "algorithm_options": [{"alg": 99, "kwargs_alg": None}, {"alg": 1, "kwargs_alg": {"x": 1}}],
    "geometry_pair": [{"value": 1}, {"value": (1, 2, 3)}],
    "readable": [{"dataset": None}],
    "writable": [{"dataset": None}],
}
DATASETS = {"dataset_shape", "band"}  # need a dataset: `test_the_parts_of_a_job_take_the_doors_names` has them
OF_NAMES = {"known", "switches"}  # take arguments by their names


def test_every_check_is_listed():
    own = {name for name, check in vars(checks).items() if inspect.isfunction(check) and not name.startswith("_")}
    assert {
        name for name in own if inspect.getmodule(getattr(checks, name)) is checks
    } == WRONG.keys() | DATASETS | OF_NAMES


@pytest.mark.parametrize(("check", "wrong"), [(check, wrong) for check, cases in WRONG.items() for wrong in cases])
def test_a_check_says_the_name_that_it_was_given(check, wrong):
    function = getattr(checks, check)
    names = [name for name in inspect.signature(function).parameters if name == "name" or name.endswith("_name")]
    assert names
    with pytest.raises(GridrError, match=NAME) as caught:
        function(**wrong, **dict.fromkeys(names, NAME))
    assert caught.value.argument == NAME


OWN = Names(**{name: f"my_{name}" for name in inspect.signature(Names).parameters})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("grid", {"row_ds": None}),
        ("row_band", {"row_band": 3}),
        ("col_band", {"col_band": 0}),
        ("grid_nodata", {"grid_nodata": "x"}),
        ("grid_out", {"out_ds": None}),
        ("row_band_out", {"out_row": None}),
        ("col_band_out", {"out_col": 7}),
        ("mask", {"mask_ds": 3}),
        ("mask_band", {"mask_band": 2}),
        ("mask_valid_value", {"valid_value": 0.5}),
        ("mask_out", {"mask_out_ds": 3}),
        ("mask_out_dtype", {"mask_out_dtype": float}),
        ("mask_out_values", {"mask_out_values": (1, 1)}),
        ("threshold", {"threshold": 2}),
        ("fill", {"fill": "x"}),
    ],
)
def test_the_parts_of_a_job_take_the_doors_names(rasters, name, wrong):
    given = _given(rasters)
    _job(**given)
    with pytest.raises(GridrError, match=f"my_{name}") as caught:
        _job(**{**given, **wrong})
    assert caught.value.argument == f"my_{name}"


@pytest.mark.parametrize(("name", "source"), [("grid_out", "row_ds"), ("mask_out", "mask_ds")])
def test_an_output_that_is_an_input_is_named_by_both_arguments(rasters, name, source):
    given = _given(rasters)
    output = {"grid_out": "out_ds", "mask_out": "mask_out_ds"}[name]
    given[output] = rasters.keep(rasterio.open(given[source].name, "r+"))
    with pytest.raises(GridrError, match=rf"an output must not be an input, .* my_{name} and my_") as caught:
        _job(**given)
    assert caught.value.argument == f"my_{name}"


def test_outputs_that_share_a_file_are_named_by_both_arguments(rasters):
    given = _given(rasters)
    given["out_ds"].close()
    rows, cols = (rasters.keep(rasterio.open(given["out_ds"].name, "r+")) for _ in range(2))
    with pytest.raises(GridrError, match=r"two open datasets must not .* my_grid_out and my_grid_out_col") as caught:
        _job(**{**given, "out_ds": rows, "out_col_ds": cols})
    assert caught.value.argument == "my_grid_out"


def _given(rasters):
    return {
        "row_ds": rasters.reader(np.zeros((2, 3, 4))),
        "row_band": 1,
        "col_band": 2,
        "grid_nodata": None,
        "out_ds": rasters.writer((3, 4), np.float64, bands=2),
        "out_col_ds": None,
        "out_row": 1,
        "out_col": 2,
        "mask_ds": rasters.reader(np.zeros((3, 4), np.uint8)),
        "mask_band": 1,
        "valid_value": 1,
        "mask_out_ds": rasters.writer((3, 4), np.uint8),
        "mask_out_dtype": np.uint8,
        "mask_out_values": None,
        "threshold": 1,
        "fill": None,
    }


def _job(
    row_ds, row_band, col_band, grid_nodata, out_ds, out_col_ds, out_row, out_col, mask_ds, mask_band, valid_value,
    mask_out_ds, mask_out_dtype, mask_out_values, threshold, fill,
):  # fmt: skip
    extent = Extent.whole((3, 4), (1, 1))
    grid_in = GridIn.of(row_ds, None, row_band, col_band, grid_nodata, OWN)
    grid_out = GridOut.of(out_ds, out_col_ds, out_row, out_col, extent.full_shape, OWN)
    mask_in = MaskIn.of(mask_ds, valid_value, mask_band, extent.node_shape, "as the grid has", OWN)
    mask_out = MaskOut.of(mask_out_ds, mask_out_dtype, mask_out_values, extent.full_shape, OWN)
    rules = MaskRules.of(threshold, fill, grid_out, OWN)
    return job_of(
        "job", extent, Inputs(grid_in, mask_in), rules, Outputs(grid_out, mask_out), Limits(1, None, Bounds(10**8))
    )
