"""Bad input gets one clear error that names the argument, before anything is written."""

from __future__ import annotations

import inspect
import logging

import numpy as np
import pytest
import rasterio
import shapely

import gridr_numba as gn

FULL = (1, 1)
NODES = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
SQUARE = shapely.box(0, 0, 3, 3)
BOWTIE = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])


def named(error, door):
    """Assert that an error carries the argument by its name in the signature, unless it is no single one's."""
    assert isinstance(error, gn.GridrError)
    several = str(error).startswith(("an output must not", "two o"))
    known = {*inspect.signature(door).parameters, "kwargs_alg"}
    assert error.argument in known or (several and error.argument is None), (error.argument, str(error))
    assert several or error.argument in str(error)


# -- in memory ----------------------------------------------------------------------------------------------------

GRID = {
    "resolution": FULL,
    "grid": NODES,
    "grid_target_win": None,
    "grid_resolution": (2, 3),
    "out": None,
    "computation_dtype": None,
}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"resolution": None}, ValueError, "resolution must be given"),
        ({"resolution": (2, 1)}, ValueError, r"resolution of the output must be \(1, 1\), not \(2, 1\)"),
        ({"resolution": 1}, TypeError, "resolution must be a pair of integers"),
        ({"grid": None}, ValueError, "grid must be given"),
        ({"grid": [[1]]}, TypeError, "grid must be a numpy array, not list"),
        ({"grid": NODES[0]}, ValueError, r"grid must have 3 dimensions, none of them empty, not shape \(3, 4\)"),
        ({"grid": NODES[:1]}, ValueError, "grid must have at least 2 bands, rows first, not 1"),
        ({"grid": NODES[:, :0]}, ValueError, "none of them empty"),
        ({"grid": NODES.astype(complex)}, TypeError, "grid must hold .*, not complex128"),
        ({"grid_resolution": None}, TypeError, "grid_resolution must be a pair of integers"),
        ({"grid_resolution": (2, 2.5)}, ValueError, r"grid_resolution\[1\] must be an integer, not 2.5"),
        ({"grid_resolution": (0, 1)}, ValueError, r"grid_resolution\[0\] must be at least 1, not 0"),
        ({"grid_resolution": (1, 1, 1)}, ValueError, "grid_resolution must be a pair .*, not 3"),
        ({"grid_resolution": "23"}, TypeError, "grid_resolution must be a pair"),
        ({"grid_resolution": (2**30, 2**30)}, ValueError, r"less than 2\*\*53 pixels"),
        ({"grid_resolution": (True, 1)}, TypeError, r"grid_resolution\[0\] must be an integer, not True"),
        ({"grid_target_win": ((0, 5), (0, 9))}, ValueError, r"grid_target_win must lie within .*\(5, 10\)"),
        ({"grid_target_win": ((2, 1), (0, 9))}, ValueError, "each last >= its first"),
        ({"grid_target_win": ((-1, 1), (0, 9))}, ValueError, "grid_target_win must not start before 0"),
        ({"grid_target_win": (0, 1)}, ValueError, r"something of shape \(2,\)"),
        ({"grid_target_win": ((0, 1), (0,))}, ValueError, "grid_target_win must be inclusive pairs"),
        ({"grid_target_win": (("a", "b"), ("c", "d"))}, TypeError, "grid_target_win must be inclusive pairs"),
        ({"grid_target_win": ((0, 0.5), (0, 1))}, ValueError, "grid_target_win must be inclusive pairs"),
        ({"out": np.empty((2, 5, 9))}, ValueError, r"out must have shape \(2, 5, 10\), not \(2, 5, 9\)"),
        ({"out": np.empty((2, 5, 10), int)}, TypeError, "out must hold floating-point numbers, not int64"),
        ({"out": [1]}, TypeError, "out must be a numpy array"),
        ({"out": np.ma.zeros((2, 5, 10))}, TypeError, "out must be a numpy array, not MaskedArray"),
        ({"grid_target_win": ((0, 10**20), (0, 1))}, ValueError, "within 64 bits"),
        ({"computation_dtype": np.int32}, TypeError, "computation_dtype must be a floating data type, not int32"),
        ({"computation_dtype": "nonsense"}, TypeError, "computation_dtype must be a data type, not 'nonsense'"),
    ],
)
def test_build_grid(change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        gn.build_grid(**{**GRID, **change})
    named(caught.value, gn.build_grid)


def test_a_read_only_out_is_refused():
    out = np.empty((2, 5, 10))
    out.flags.writeable = False
    with pytest.raises(ValueError, match="out must be writable"):
        gn.build_grid(**{**GRID, "out": out})


MASK_IN = np.ones((3, 4), np.uint8)
MASK = {"shape": (5, 10), "resolution": FULL, "out": None, "mask_in": MASK_IN, "mask_in_resolution": (2, 3)}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"resolution": None}, ValueError, "resolution must be given"),
        ({"resolution": [2, 2]}, ValueError, "resolution of the output must be"),
        ({"shape": None}, ValueError, "shape must be given"),
        ({"shape": (0, 3)}, ValueError, r"shape\[0\] must be at least 1, not 0"),
        ({"shape": (5, 11)}, ValueError, r"mask_in_target_win must lie within .*\(5, 10\)"),
        ({"mask_in_target_win": ((0, 3), (0, 9))}, ValueError, r"must have the shape \(5, 10\), not \(4, 10\)"),
        ({"mask_in_target_win": ((1, 5), (0, 9))}, ValueError, "mask_in_target_win must lie within"),
        ({"mask_in_resolution": None}, ValueError, "mask_in_resolution must be given with mask_in"),
        ({"mask_in_resolution": (-2, 3)}, ValueError, r"mask_in_resolution\[0\] must be at least 1"),
        ({"mask_in": MASK_IN[0]}, ValueError, "mask_in must have 2 dimensions"),
        ({"mask_in": "mask"}, TypeError, "mask_in must be a numpy array, not str"),
        ({"oversampling_dtype": np.uint8}, TypeError, "oversampling_dtype must be a floating data type, not uint8"),
        ({"mask_in_binary_threshold": 1.5}, ValueError, r"mask_in_binary_threshold must be in \[0, 1\], not 1.5"),
        ({"mask_in_binary_threshold": -0.1}, ValueError, r"must be in \[0, 1\]"),
        ({"mask_in_binary_threshold": float("nan")}, ValueError, r"must be in \[0, 1\]"),
        ({"mask_in_binary_threshold": "1"}, TypeError, "mask_in_binary_threshold must be a number"),
        ({"out": np.empty((5, 9), np.uint8)}, ValueError, r"out must have shape \(5, 10\)"),
        ({"geometry_pair": (SQUARE, None)}, ValueError, "geometry_origin must be given with geometry_pair"),
        ({"geometry_pair": (SQUARE, None), "geometry_origin": (0,)}, ValueError, "geometry_origin must be a pair"),
        ({"geometry_pair": (SQUARE, None), "geometry_origin": (0, "x")}, TypeError, r"geometry_origin\[1\] must be"),
        (
            {"geometry_pair": (SQUARE, None), "geometry_origin": (np.inf, 0)},
            ValueError,
            r"geometry_origin\[0\] must be finite",
        ),
    ],
)
def test_build_mask(change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        gn.build_mask(**{**MASK, **change})
    named(caught.value, gn.build_mask)


RASTERIZE = {
    "grid_coords": None,
    "shape": (4, 5),
    "origin": (0.0, 0.0),
    "resolution": (1, 1),
    "win": None,
    "inner_value": 1,
    "outer_value": 0,
    "default_value": 0,
    "geometry": SQUARE,
    "dtype": np.uint8,
}


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"dtype": None}, ValueError, "exactly one of output and dtype must be given, not neither"),
        ({"output": np.zeros((4, 5), np.uint8)}, ValueError, "exactly one of output and dtype must be given, not both"),
        ({"output": np.zeros((4, 4), np.uint8), "dtype": None}, ValueError, r"output must have shape \(4, 5\)"),
        ({"output": np.zeros((4, 5), bool), "dtype": None}, ValueError, "bool is not a data type that RASTERIO"),
        ({"dtype": bool}, ValueError, "bool is not a data type that RASTERIO_RASTERIZE can burn"),
        ({"dtype": complex}, TypeError, "dtype must be a real number type"),
        ({"dtype": None, "output": np.zeros((4, 5), np.uint8), "reduce": True}, ValueError, "reduce must be False"),
        ({"win": ((0, 4), (0, 4))}, ValueError, r"win must lie within the lattice's \(4, 5\)"),
        ({"alg": 7}, ValueError, r"alg must be a GridRasterizeAlg, one of RASTERIO_RASTERIZE \(1\), SHAPELY \(2\)"),
        ({"alg": "SHAPELY"}, TypeError, "alg must be a GridRasterizeAlg"),
        ({"predicate": 1}, ValueError, "unknown key 'predicate'; the known ones are shapely_predicate"),
        ({"alg": 2, "shapely_predicate": 9}, ValueError, r"one of COVERS \(1\), CONTAINS \(2\), INTERSECTS \(3\)"),
        ({"resolution": (0, 1)}, ValueError, "resolution must be positive"),
        ({"resolution": None}, ValueError, "either as grid_coords or as shape, origin and resolution"),
        ({"grid_coords": (np.arange(5), np.arange(4))}, ValueError, "either as grid_coords or as shape"),
        ({"inner_value": 256}, ValueError, r"inner_value must be an integer that fits in uint8 \(0 to 255\), not 256"),
        ({"outer_value": "no"}, TypeError, "outer_value must be a number"),
        ({"geometry_buffer_dst": 1e300}, ValueError, "geometry_buffer_dst must be at most"),
        ({"dtype": "nonsense"}, TypeError, "dtype must be a data type, not 'nonsense'"),
        ({"shape": np.array(3)}, TypeError, "shape must be a pair"),
        ({"geometry_buffer_dst": float("nan")}, ValueError, "geometry_buffer_dst must be finite"),
        ({"geometry": BOWTIE}, ValueError, "geometry is not a valid polygon: Self-intersection"),
        ({"geometry": shapely.Point(0, 0)}, TypeError, "geometry must be polygons, not a Point"),
    ],
)
def test_grid_rasterize(change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        gn.grid_rasterize(**{**RASTERIZE, **change})
    named(caught.value, gn.grid_rasterize)


@pytest.mark.parametrize(
    ("coords", "kind", "message"),
    [
        ((np.array([0, 1, 3]), np.arange(3)), ValueError, "regular lattice for RASTERIO_RASTERIZE"),
        (np.zeros((2, 3)), ValueError, "regular lattice"),
        ((np.arange(3),), ValueError, "grid_coords must be two arrays, columns first, not 1"),
        (7, TypeError, "grid_coords must be two arrays"),
        ((np.zeros((2, 2)), np.zeros((2, 3))), ValueError, "not of shapes"),
        ((np.array([0, np.nan]), np.arange(2)), ValueError, "grid_coords must be finite"),
        ((np.array(["a"]), np.arange(2)), TypeError, "grid_coords must hold real numbers"),
        (([1, [2, 3]], [1]), ValueError, "grid_coords must be two arrays"),
        (np.array(1), TypeError, "grid_coords must be two arrays"),
    ],
)
def test_lattices(coords, kind, message):
    lattice = {"grid_coords": coords, "shape": None, "origin": None, "resolution": None}
    with pytest.raises(kind, match=message):
        gn.grid_rasterize(**{**RASTERIZE, **lattice})


def test_windows_and_shapes():
    with pytest.raises(ValueError, match="resolution"):
        gn.grid_full_resolution_shape((3, 3), (2, 0))
    with pytest.raises(TypeError, match="shape"):
        gn.grid_full_resolution_shape(3, (2, 2))
    with pytest.raises(ValueError, match="win"):
        gn.grid_resolution_window((2, 2), ((0, -1), (0, 1)))


# -- the chains: refused before anything is written ----------------------------------------------------------------


class Call:
    """A good call of the grid and mask chain, to be spoilt one argument at a time."""

    def __init__(self, rasters):
        self.rasters = rasters
        self.full = (5, 10)
        self.good = {
            "resolution": (2, 3),
            "grid_in_ds": rasters.reader(NODES),
            "grid_in_col_ds": None,
            "grid_in_row_coords_band": 1,
            "grid_in_col_coords_band": 2,
            "grid_out_ds": rasters.writer(self.full, np.float64, bands=2),
            "grid_out_col_ds": None,
            "grid_out_row_coords_band": 1,
            "grid_out_col_coords_band": 2,
            "mask_out_ds": rasters.writer(self.full, np.uint8),
            "mask_out_dtype": np.uint8,
            "mask_in_ds": rasters.reader(MASK_IN),
            "mask_in_unmasked_value": 1,
            "mask_in_band": 1,
            "computation_dtype": np.float64,
            "geometry_origin": (0.0, 0.0),
            "geometry_pair": None,
        }

    def refuse(self, kind, message, **change):
        with pytest.raises(kind, match=message) as caught:
            gn.build_grid_mask_chain(**{**self.good, **change})
        named(caught.value, gn.build_grid_mask_chain)

    def refuse_mask(self, kind, message, **change):
        names = (
            "resolution mask_out_ds mask_out_dtype mask_in_ds mask_in_unmasked_value mask_in_band computation_dtype "
            "geometry_origin geometry_pair"
        )
        call = {"shape": (3, 4), **{name: self.good[name] for name in names.split()}, **change}
        with pytest.raises(kind, match=message) as caught:
            gn.build_mask_chain(**call)
        named(caught.value, gn.build_mask_chain)


@pytest.fixture
def call(rasters):
    return Call(rasters)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"resolution": (2, 2.5)}, ValueError, r"resolution\[1\] must be an integer, not 2.5"),
        ({"resolution": (0, 3)}, ValueError, r"resolution\[0\] must be at least 1"),
        ({"resolution": None}, TypeError, "resolution must be a pair"),
        ({"io_strip_size": -1}, ValueError, "io_strip_size must be at least 0, not -1"),
        ({"io_strip_size": 2.5}, ValueError, "io_strip_size must be an integer, not 2.5"),
        ({"io_strip_size": "all"}, TypeError, "io_strip_size must be an integer"),
        ({"io_strip_size_target": 3}, ValueError, r"one of INPUT \(1\), OUTPUT \(2\), not 3"),
        ({"ncpu": 0}, ValueError, "ncpu must be at least 1, not 0"),
        ({"cpu_tile_shape": (0, 1)}, ValueError, r"cpu_tile_shape\[0\] must be at least 1"),
        ({"cpu_tile_shape": 1000}, TypeError, "cpu_tile_shape must be a pair"),
        ({"computation_dtype": np.int16}, TypeError, "computation_dtype must be a floating data type, not int16"),
        ({"computation_dtype": None}, TypeError, "computation_dtype must be a data type, not None"),
        ({"mask_out_dtype": np.float32}, TypeError, "mask_out_dtype must be an integer data type, not float32"),
        ({"mask_out_values": (1, 256)}, ValueError, r"mask_out_values\[1\] must be .* fits in uint8"),
        ({"mask_out_values": (-1, 0)}, ValueError, r"mask_out_values\[0\]"),
        ({"mask_out_values": (1, 0.5)}, ValueError, r"mask_out_values\[1\]"),
        ({"mask_out_values": (3, 3)}, ValueError, "mask_out_values must differ"),
        ({"mask_out_values": (1, 0, 2)}, ValueError, "mask_out_values must be a pair"),
        ({"mask_in_unmasked_value": 256}, ValueError, "mask_in_unmasked_value must be an integer that fits in uint8"),
        ({"mask_in_unmasked_value": float("nan")}, ValueError, "nothing equals nan"),
        ({"mask_in_band": None}, TypeError, "mask_in_band must be a band number, not None"),
        ({"mask_in_band": 2}, ValueError, "mask_in_band must be a band of mask_in_ds, 1 to 1, not 2"),
        ({"mask_in_binary_threshold": 2}, ValueError, r"mask_in_binary_threshold must be in \[0, 1\]"),
        ({"logger": "log"}, TypeError, "logger must be a logging.Logger or None"),
        ({"geometry_pair": SQUARE}, TypeError, "geometry_pair must be None or a pair .*, not a Polygon"),
        ({"geometry_pair": (SQUARE,)}, ValueError, r"geometry_pair must be None or a pair \(valid .* not 1 of them"),
        ({"geometry_pair": "ab"}, TypeError, "geometry_pair must be None or a pair"),
        ({"geometry_pair": (SQUARE, None), "geometry_origin": None}, ValueError, "geometry_origin must be given"),
        ({"geometry_pair": (None, BOWTIE)}, ValueError, r"geometry_pair\[1\] \(invalid\) is not a valid polygon: Self"),
        (
            {"geometry_pair": ([SQUARE, [SQUARE, shapely.LineString([(0, 0), (1, 1)])]], None)},
            TypeError,
            r"geometry_pair\[0\] \(valid\)\[1\]\[1\] must be polygons, not a LineString",
        ),
        (
            {"geometry_pair": (shapely.GeometryCollection([SQUARE, shapely.Point(0, 0)]), None)},
            TypeError,
            r"geometry_pair\[0\] \(valid\).geoms\[1\] must be polygons, not a Point",
        ),
        ({"rasterize_kwargs": {"algorithm": 2}}, ValueError, "unknown key 'algorithm'; the known ones are alg, kwargs"),
        ({"rasterize_kwargs": {"alg": 5}}, ValueError, r"rasterize_kwargs\['alg'\] must be a GridRasterizeAlg, one of"),
        ({"rasterize_kwargs": {"kwargs_alg": {"p": 1}}}, ValueError, "the known ones are shapely_predicate"),
        ({"rasterize_kwargs": {"kwargs_alg": {"shapely_predicate": 4}}}, ValueError, r"one of COVERS \(1\)"),
        ({"rasterize_kwargs": [1]}, TypeError, "rasterize_kwargs must be a dict"),
        ({"geometry_pair": np.array(SQUARE)}, TypeError, "geometry_pair must be None or a pair"),
        ({"geometry_origin": (10**400, 0), "geometry_pair": (SQUARE, None)}, ValueError, "must fit in float64"),
        ({"mask_in_binary_threshold": 10**400}, ValueError, "mask_in_binary_threshold must fit in float64"),
    ],
)
def test_arguments_of_both_chains(call, change, kind, message):
    call.refuse(kind, message, **change)
    call.refuse_mask(kind, message, **change)


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"grid_in_ds": None}, TypeError, "grid_in_ds must be an open dataset to read, not None"),
        ({"grid_in_ds": "grid.tif"}, TypeError, "grid_in_ds must be an open dataset"),
        ({"grid_out_ds": None}, TypeError, "grid_out_ds must be a dataset open for writing, not None"),
        ({"grid_in_row_coords_band": 3}, ValueError, "grid_in_row_coords_band must be a band of grid_in_ds, 1 to 2"),
        ({"grid_in_row_coords_band": 0}, ValueError, "grid_in_row_coords_band must be at least 1"),
        ({"grid_in_col_coords_band": None}, TypeError, "grid_in_col_coords_band must be a band number"),
        ({"grid_in_col_coords_band": 1}, ValueError, "grid_in_row_coords_band and grid_in_col_coords_band must differ"),
        ({"grid_out_row_coords_band": 2}, ValueError, "grid_out_row_coords_band and .* must differ in one dataset"),
        ({"merge_mask_grid": "nan"}, TypeError, "merge_mask_grid must be a number"),
        ({"merge_mask_grid": 10**400}, ValueError, "merge_mask_grid must fit in float64"),
        ({"grid_nodata": 10**400}, ValueError, "grid_nodata must fit in float64"),
        ({"grid_nodata": "0"}, TypeError, "grid_nodata must be a number"),
        ({"grid_nodata": [None]}, TypeError, "grid_nodata must be a number"),
    ],
)
def test_arguments_of_the_grid_chain(call, change, kind, message):
    call.refuse(kind, message, **change)


def test_datasets_of_the_grid_chain(call, rasters):
    other = np.zeros((2, 4, 4))
    call.refuse(
        ValueError,
        r"grid_in_col_ds must have \(3, 4\) rows and columns, .* \(4, 4\)",
        grid_in_col_ds=rasters.reader(other),
    )
    call.refuse(
        ValueError,
        r"grid_out_ds must have \(5, 10\) .*, and it has \(5, 9\)",
        grid_out_ds=rasters.writer((5, 9), np.float64, bands=2),
    )
    call.refuse(
        TypeError,
        "grid_out_row_coords_band must hold floating-point numbers, and band 1 of grid_out_ds is int32",
        grid_out_ds=rasters.writer(call.full, np.int32, bands=2),
    )
    call.refuse(
        ValueError,
        "grid_out_ds must be a dataset open for writing, .* mode 'r'",
        grid_out_ds=rasters.reader(np.zeros((2, 5, 10))),
    )
    call.refuse(
        ValueError, "grid_in_ds must be an open dataset to read, .* mode 'w'", grid_in_ds=call.good["grid_out_ds"]
    )
    closed = rasters.reader(NODES)
    closed.close()
    call.refuse(ValueError, "grid_in_ds must be .* is closed", grid_in_ds=closed)
    float32 = rasters.writer(call.full, np.float32, bands=2)
    call.refuse(ValueError, "merge_mask_grid must fit in float32", grid_out_ds=float32, merge_mask_grid=1e39)


def test_datasets_of_both_chains(call, rasters):
    for refuse in (call.refuse, call.refuse_mask):
        refuse(
            ValueError,
            r"mask_in_ds must have \(3, 4\) rows and columns",
            mask_in_ds=rasters.reader(np.ones((3, 5), np.uint8)),
        )
        refuse(
            ValueError,
            r"mask_out_ds must have \(5, 10\) rows and columns",
            mask_out_ds=rasters.writer((4, 10), np.uint8),
        )
        refuse(
            TypeError,
            "band 1 must hold .* and band 1 of mask_out_ds is float32",
            mask_out_ds=rasters.writer(call.full, np.float32),
        )
        refuse(ValueError, "mask_out_ds must be .* mode 'r'", mask_out_ds=rasters.reader(np.ones((5, 10), np.uint8)))
        narrow = rasters.writer(call.full, np.uint8)
        refuse(
            ValueError,
            r"mask_out_values\[0\] must be .* uint8",
            mask_out_ds=narrow,
            mask_out_dtype=np.int16,
            mask_out_values=(-1, 0),
        )
    call.refuse_mask(TypeError, "mask_out_ds must be a dataset open for writing, not None", mask_out_ds=None)
    call.refuse_mask(ValueError, r"shape\[0\] must be at least 1", shape=(0, 4))


def test_outputs_that_would_overwrite_an_input_or_one_another(call, rasters):
    nodes = rasters.reader(np.zeros((2, 5, 10)))
    path = nodes.name
    nodes.close()
    with rasterio.open(path, "r+") as both:
        call.refuse(
            ValueError,
            "an output must not be an input",
            resolution=FULL,
            grid_in_ds=both,
            grid_out_ds=both,
            mask_in_ds=None,
            mask_out_ds=None,
        )
    mask = rasters.writer((3, 4), np.uint8)
    mask.close()
    with rasterio.open(mask.name) as source, rasterio.open(mask.name, "r+") as target:
        call.refuse(
            ValueError,
            "an output must not be an input",
            resolution=FULL,
            grid_out_ds=rasters.writer((3, 4), np.float64, bands=2),
            mask_in_ds=source,
            mask_out_ds=target,
        )
    nodes = rasters.reader(np.zeros((2, 5, 10)))
    link = rasters.path()
    link.symlink_to(nodes.name)
    with rasterio.open(link, "r+") as same:
        call.refuse(
            ValueError, "an output must not be", resolution=FULL, grid_in_ds=nodes, grid_out_ds=same, mask_in_ds=None
        )
    grid = call.good["grid_out_ds"]
    grid.close()
    with rasterio.open(grid.name, "r+") as rows, rasterio.open(grid.name, "r+") as cols:
        call.refuse(ValueError, "two open datasets must not write to one file", grid_out_ds=rows, grid_out_col_ds=cols)


def test_two_datasets_in_memory_may_have_one_name(call):
    profile = {"driver": "MEM", "height": 5, "width": 10, "count": 1}
    with (
        rasterio.open("mem", "w", dtype="float64", **profile) as rows,
        rasterio.open("mem", "w", dtype="float64", **profile) as cols,
    ):
        done = gn.build_grid_mask_chain(
            **{**call.good, "grid_out_ds": rows, "grid_out_col_ds": cols, "grid_out_col_coords_band": 1}
        )
        assert done == 1


def test_nothing_is_written_where_an_argument_is_refused(rasters):
    """The last of all checks fails, and the output still is as it was created."""
    call = Call(rasters)
    out = rasters.writer(call.full, np.float64, bands=2)
    call.refuse(ValueError, "geometry_pair", grid_out_ds=out, geometry_pair=(None, BOWTIE))
    assert not rasters.content(out).any()


def test_a_file_that_cannot_be_read_is_named(call, rasters, tmp_path):
    rng = np.random.default_rng(0)
    path = rasters.reader(rng.random((2, 300, 300))).name
    with open(path, "r+b") as file:
        file.truncate(700_000)
    broken = rasters.keep(rasterio.open(path))
    full = gn.grid_full_resolution_shape((300, 300), (2, 3))
    with pytest.raises(OSError, match=r"cannot read '.*tif'") as caught:
        gn.build_grid_mask_chain(
            (2, 3), broken, None, 1, 2, rasters.writer(full, np.float64, bands=2), None, 1, 2, None, None, None, None,
            None, np.float64, None, None,
        )  # fmt: skip
    assert isinstance(caught.value, gn.DatasetError)


# -- what is said in the log --------------------------------------------------------------------------------------


def test_the_log(call, rasters, caplog):
    logger = logging.getLogger("of.the.caller")
    with caplog.at_level(logging.DEBUG, logger="of.the.caller"):
        gn.build_grid_mask_chain(**call.good, io_strip_size=1, logger=logger, ncpu=2)
    levels = [record.levelno for record in caplog.records]
    assert levels.count(logging.INFO) == 1
    assert levels.count(logging.DEBUG) == 3
    said = caplog.records[-1].getMessage()
    for part in ("build_grid_mask_chain", "5 x 10 pixels", "3 windows", "threads", "Mpx/s"):
        assert part in said


@pytest.mark.parametrize(("size", "threads"), [(0, 1), (1, 2), (2, 1)])
def test_a_tag_that_makes_numbers_invalid_is_warned_of_and_counted_once_a_node(rasters, caplog, size, threads):
    nodes = np.array([[[0.0, 0, 0], [1, 1, 1], [2, 0, 2]], [[0, 1.0, 2], [0, 1, 2], [0, 1, np.nan]]])
    grid_in = rasters.reader(nodes, nodata=0.0)
    for grid_nodata, invalid, warned in ((None, 7, 6), (1.0, 9, 6), ((), 1, None), ((2.0,), 4, None)):
        caplog.clear()
        out = rasters.writer((3, 3), np.float32, bands=2)
        gn.build_grid_mask_chain(
            FULL, grid_in, None, 1, 2, out, None, 1, 2, None, None, None, None, None, np.float32, None, None,
            io_strip_size=size, ncpu=threads, grid_nodata=grid_nodata,
        )  # fmt: skip
        content = rasters.content(out)
        assert np.isnan(content[0]).sum() == np.isnan(content[1]).sum() == invalid
        warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        assert [int(text.split()[0]) for text in warnings] == ([] if warned is None else [warned])
