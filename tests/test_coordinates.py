"""What the stored values of a grid mean, and which of its pixels look into the source image."""

from __future__ import annotations

import json

import numpy as np
import oracles
import pytest
import rasterio
import shapely
import strategies as own
from affine import Affine
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.doors.inspection import inspect_grid
from gridr_numba.types import Cause

RESOLUTION = (3, 4)


def grid_file(rasters, stored, *, scale=(1.0, 1.0), offset=(0.0, 0.0), **profile):
    """Write stored values and tags, and return the path."""
    bands = stored if stored.ndim == 3 else stored[np.newaxis]
    writer = rasters.writer(bands.shape[1:], bands.dtype, len(bands), **profile)
    writer.write(bands)
    if scale != (1.0, 1.0) or offset != (0.0, 0.0):
        writer.scales, writer.offsets = scale[: len(bands)], offset[: len(bands)]
    writer.close()
    return writer.name


def image_file(rasters, shape):
    return grid_file(rasters, np.zeros(shape, np.uint8))


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def dense(nodes, resolution=RESOLUTION):
    return gn.build_grid((1, 1), nodes, None, resolution, None)


@pytest.fixture
def stored():
    values = np.random.default_rng(7).integers(-20_000, 20_000, (2, 5, 6)).astype(np.int16)
    values[0, 2, 3] = -9999
    return values


# -- scale and offset tags ----------------------------------------------------------------------------------------


def test_scale_and_offset_tags_are_applied_after_nodata_and_nothing_carries_them_on(rasters, tmp_path, stored):
    scale, offset = (0.01, 0.1), (100.5, -3.0)
    path = grid_file(rasters, stored, scale=scale, offset=offset, nodata=-9999)
    report = gn.densify(path, tmp_path / "out.tif", resolution=RESOLUTION, mask_out=tmp_path / "mask.tif")
    nodes = oracles.coordinates_of(stored, (scale, offset, False, (0.0, 0.0)), RESOLUTION, ((-9999,), (-9999,)))
    assert np.isnan(nodes).sum() == 2
    assert np.array_equal(read(tmp_path / "out.tif"), dense(nodes), equal_nan=True)
    assert report.applied == {"scale": scale, "offset": offset}
    assert json.loads(json.dumps(report.to_dict()))["applied"] == {"scale": [0.01, 0.1], "offset": [100.5, -3.0]}
    for name in ("out.tif", "mask.tif"):
        with rasterio.open(tmp_path / name) as made:
            assert (set(made.scales), set(made.offsets)) == ({1.0}, {0.0})


def test_grid_nodata_is_a_stored_value(rasters, tmp_path, stored):
    path = grid_file(rasters, stored, scale=(0.5, 0.5))
    gn.densify(path, tmp_path / "out.tif", resolution=RESOLUTION, grid_nodata=-9999)
    assert np.isnan(read(tmp_path / "out.tif")[:, 2 * 3, 3 * 4]).all()
    gn.densify(path, tmp_path / "out.tif", resolution=RESOLUTION, grid_nodata=-9999 / 2, overwrite=True)
    assert np.isfinite(read(tmp_path / "out.tif")).all()


def test_float32_values_are_scaled_in_float64_and_written_so(rasters, tmp_path):
    stored = np.random.default_rng(2).random((2, 5, 6)).astype(np.float32)
    path = grid_file(rasters, stored, scale=(1e5, 1e5))
    gn.densify(path, tmp_path / "out.tif", resolution=RESOLUTION)
    out = read(tmp_path / "out.tif")
    assert out.dtype == np.float64
    assert np.array_equal(out[:, ::3, ::4], stored.astype(np.float64) * 1e5)
    gn.densify(path, tmp_path / "narrow.tif", resolution=RESOLUTION, dtype="float32")
    assert np.array_equal(read(tmp_path / "narrow.tif"), out.astype(np.float32))


def test_scales_of_one_and_zero_change_nothing(rasters, tmp_path):
    stored = np.random.default_rng(2).random((2, 5, 6)).astype(np.float32)
    report = gn.densify(grid_file(rasters, stored), tmp_path / "out.tif", resolution=RESOLUTION)
    assert report.applied == {}
    assert read(tmp_path / "out.tif").dtype == np.float32


def test_a_pair_of_files_each_with_its_own_scale(rasters, tmp_path, stored):
    rows = grid_file(rasters, stored[0], scale=(2.0,), offset=(1.0,))
    cols = grid_file(rasters, stored[1], scale=(0.5,))
    report = gn.densify((rows, cols), tmp_path / "out.tif", resolution=RESOLUTION)
    nodes = oracles.coordinates_of(stored, ((2.0, 0.5), (1.0, 0.0), False, (0.0, 0.0)), RESOLUTION)
    assert np.array_equal(read(tmp_path / "out.tif"), dense(nodes))
    assert report.applied == {"scale": (2.0, 0.5), "offset": (1.0, 0.0)}


def test_what_overflows_by_its_scale_is_no_coordinate(rasters, tmp_path):
    stored = np.ones((2, 3, 3))
    stored[1, 1, 1] = 1e308
    path = grid_file(rasters, stored, scale=(1.0, 1e10))
    report = gn.densify(path, tmp_path / "out.tif", resolution=(2, 2), source=image_file(rasters, (9, 9)))
    out = read(tmp_path / "out.tif")
    assert np.isnan(out[:, 1:4, 1:4]).all()
    assert np.isfinite(out).sum() == 2 * (25 - 9)
    assert report.invalid_pixels["node"] == 9


@pytest.mark.parametrize(("scale", "offset"), [((0.0, 1.0), (0.0, 0.0)), ((np.nan, 1.0), (0.0, 0.0)),
                                               ((1.0, 1.0), (np.inf, 0.0))])  # fmt: skip
def test_a_scale_that_says_nothing_is_refused(rasters, tmp_path, stored, scale, offset):
    path = grid_file(rasters, stored, scale=scale, offset=offset)
    with pytest.raises(
        gn.GridrValueError, match=r"grid: band 1 of .*; both must be finite, and the scale not 0"
    ) as error:
        gn.densify(path, tmp_path / "out.tif", resolution=RESOLUTION)
    assert error.value.argument == "grid"
    assert not (tmp_path / "out.tif").exists()


def test_a_mask_with_a_scale_is_refused(rasters, tmp_path, stored):
    mask = grid_file(rasters, np.ones((5, 6), np.uint8), offset=(1.0,))
    with pytest.raises(gn.GridrValueError, match=r"mask: band 1 of .* the offset 1 in its tags; .* 1 and 0") as error:
        gn.densify(grid_file(rasters, stored), tmp_path / "out.tif", resolution=RESOLUTION, mask=mask)
    assert error.value.argument == "mask"
    assert not (tmp_path / "out.tif").exists()


def test_the_chains_do_not_apply_them_and_warn(rasters, stored, caplog):
    grid = rasters.keep(rasterio.open(grid_file(rasters, stored, scale=(2.0, 1.0))))
    mask = rasters.keep(rasterio.open(grid_file(rasters, np.ones((5, 6), np.uint8), offset=(1.0,))))
    out = rasters.writer(oracles.full_shape((5, 6), RESOLUTION), np.float64, 2)
    mask_out = rasters.writer(out.shape, np.uint8)
    origin = {"geometry_origin": None, "geometry_pair": None}
    gn.build_grid_mask_chain(
        *(RESOLUTION, grid, None, 1, 2, out, None, 1, 2, mask_out, "uint8", mask, 1, 1, "float64"), **origin
    )
    assert np.array_equal(rasters.content(out), dense(stored.astype(np.float64)))
    assert rasters.content(mask_out).all()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 2
    assert f"band 1 of {grid.name!r} has the scale 2 and the offset 0 in its tags, which are not applied" in said[0]
    assert f"band 1 of {mask.name!r} has the scale 1 and the offset 1 in its tags, which are not applied" in said[1]
    caplog.clear()
    mask_out = rasters.writer(out.shape, np.uint8)
    gn.build_mask_chain(
        *((5, 6), RESOLUTION, mask_out, "uint8", mask, 1, 1, "float64", None, None),
    )
    assert "which are not applied" in caplog.text


def test_info_applies_them(rasters, stored):
    found = inspect_grid(grid_file(rasters, stored, scale=(0.5, 2.0), offset=(7.0, 0.0), nodata=-9999))
    usable = stored[:, stored[0] != -9999].astype(np.float64)
    for band, values, scale, offset in zip((found.row, found.col), usable, (0.5, 2.0), (7.0, 0.0), strict=True):
        assert band.minimum == values.min() * scale + offset
        assert band.maximum == values.max() * scale + offset
        assert band.nodata == -9999
    assert found.void_nodes == 1


def test_what_is_doubted_is_what_is_used(rasters, tmp_path):
    """A grid of displacements in hundredths of a pixel, and what it looks like once it is read as such."""
    stored = np.random.default_rng(1).integers(0, 200, (2, 20, 30)).astype(np.int16)
    path = grid_file(rasters, stored, scale=(0.01, 0.01))
    report = gn.densify(path, tmp_path / "out.tif", resolution=(10, 10), displacement=True)
    assert report.warnings == ()


# -- the order of bands, displacements, the source's offset ---------------------------------------------------------


@given(st.data())
def test_the_order_of_operations(shared_rasters, data):
    """Stored values and nodata, then scale and offset, the node's own place, the source's offset: each to the bit."""
    rasters = shared_rasters
    nodes = data.draw(own.node_arrays(elements=st.floats(-1e5, 1e5)))
    resolution = data.draw(own.resolutions)
    numbers = st.floats(-1e3, 1e3).filter(lambda value: abs(value) > 1e-3)
    scale, offset = data.draw(st.tuples(numbers, numbers)), data.draw(st.tuples(numbers, numbers))
    displacement, source_offset = data.draw(st.booleans()), data.draw(st.tuples(numbers, numbers))
    expected = dense(
        oracles.coordinates_of(nodes, (scale, offset, displacement, source_offset), resolution), resolution
    )
    window = data.draw(own.windows_in(expected.shape[1:]))
    out = rasters.path()
    report = gn.densify(
        grid_file(rasters, nodes, scale=scale, offset=offset),
        out,
        resolution=resolution,
        displacement=displacement,
        source_offset=source_offset,
        window=(window[:2], window[2:]),
    )
    assert np.array_equal(read(out), expected[:, window[0] : window[1], window[2] : window[3]], equal_nan=True)
    moved = {"displacement": True} if displacement else {}
    assert report.applied == {"scale": scale, "offset": offset, **moved, "source_offset": source_offset}


def test_x_and_y(rasters, tmp_path, stored):
    rows, cols = stored
    third = np.zeros_like(rows)
    xy = grid_file(rasters, np.stack([cols, rows, third]))
    gn.densify(xy, tmp_path / "out.tif", resolution=RESOLUTION, grid_order="xy")
    assert np.array_equal(read(tmp_path / "out.tif"), dense(stored.astype(np.float64)))
    gn.densify(xy, tmp_path / "other.tif", resolution=RESOLUTION, row_band=2, col_band=1)
    assert np.array_equal(read(tmp_path / "out.tif"), read(tmp_path / "other.tif"))
    with rasterio.open(tmp_path / "out.tif") as made:
        assert made.descriptions == ("row", "col")


def test_a_grid_that_shareloc_wrote(rasters, tmp_path):
    """Position from displacement as shareloc's reader of its own grids (`RectificationGrid`) defines it.

    Band 1 holds displacements of columns, band 2 of rows, band 3 altitudes. A position is the displacement plus the
    place of the node, which is where the grid's transform puts the centre of its pixel: -step/2 + (k + 1/2)*step, that
    is k*step, since shareloc writes the transform with an origin of -step/2. 0.5 is the centre of the image's first
    pixel: shareloc counts from the corner of the image.
    """
    step, shape = 30, (5, 6)
    moved = np.random.default_rng(1).random((3, *shape)) * 100
    transform = Affine(step, 0, -step / 2, 0, step, -step / 2)
    expected = np.empty((2, *shape))
    for r, c in np.ndindex(shape):
        x, y = transform.c + (c + 0.5) * transform.a, transform.f + (r + 0.5) * transform.e
        expected[:, r, c] = moved[1, r, c] + y, moved[0, r, c] + x
    path = grid_file(rasters, moved, transform=transform)
    call = {"resolution": (step, step), "grid_order": "xy", "displacement": True}
    gn.densify(path, tmp_path / "out.tif", **call)
    assert np.array_equal(read(tmp_path / "out.tif")[:, ::step, ::step], expected)
    gn.densify(path, tmp_path / "centres.tif", source_offset=(0.5, 0.5), **call)
    assert np.array_equal(read(tmp_path / "centres.tif")[:, ::step, ::step], expected - 0.5)


def test_a_deformation_grid_of_otb(rasters, tmp_path):
    """OTB's convention, as its GridBasedImageResampling and StereoRectificationGridGenerator document it.

    A grid of type ``def`` holds deltas, x in band 1 and y in band 2, in float32, which are added to the physical place
    of the output's pixel; one of type ``loc`` holds places in the source. The first node lies on the first pixel of the
    output (``out.ulx`` and ``out.uly`` are 0), and the nodes are so many pixels apart as the spacing of the grid says.
    """
    step, shape = (20, 10), (4, 5)
    deltas = (np.random.default_rng(1).random((2, *shape)) * 10).astype(np.float32)
    gn.densify(grid_file(rasters, deltas), tmp_path / "def.tif", resolution=step, grid_order="xy", displacement=True)
    places = np.array([[[r * step[0], c * step[1]] for c in range(shape[1])] for r in range(shape[0])], np.float64)
    loc = np.stack([deltas[1] + places[..., 0], deltas[0] + places[..., 1]])
    out = read(tmp_path / "def.tif")
    assert out.dtype == np.float64
    assert np.array_equal(out[:, :: step[0], :: step[1]], loc)
    gn.densify(grid_file(rasters, loc[::-1].copy()), tmp_path / "loc.tif", resolution=step, grid_order="xy")
    assert np.array_equal(read(tmp_path / "loc.tif"), out)


@pytest.mark.parametrize(
    ("change", "kind", "argument", "message"),
    [
        ({"grid_order": "yx"}, gn.GridrValueError, "grid_order", "grid_order must be 'row_col' or 'xy', not 'yx'"),
        ({"grid_order": "xy", "row_band": 2}, gn.GridrValueError, "row_band", "not be given with grid_order='xy'"),
        ({"grid_order": "xy", "col_band": 1}, gn.GridrValueError, "col_band", "not be given with grid_order='xy'"),
        ({"displacement": "yes"}, gn.GridrTypeError, "displacement", "must be True or False, not 'yes'"),
        ({"source_offset": (1.0, np.nan)}, gn.GridrValueError, "source_offset", "must be finite, not nan"),
        ({"source_offset": 3}, gn.GridrTypeError, "source_offset", "must be a pair of numbers"),
        ({"source": 3}, gn.GridrTypeError, "source", "source must be a path, not 3"),
        ({"source": "none.tif"}, gn.DatasetError, "source", "source: there is no file 'none.tif'"),
        ({"source": "SELF"}, gn.GridrValueError, "out", "is an input"),
    ],
)
def test_refusals(rasters, tmp_path, stored, change, kind, argument, message):
    out = tmp_path / "out.tif"
    if change.get("source") == "SELF":
        change = {"source": image_file(rasters, (5, 5)), "overwrite": True}
        out = change["source"]
    with pytest.raises(kind, match=message.replace("(", r"\(")) as error:
        gn.densify(grid_file(rasters, stored), out, resolution=RESOLUTION, **change)
    assert error.value.argument == argument
    assert not (tmp_path / "out.tif").exists()


def test_a_pair_of_files_says_itself_which_holds_rows(rasters, tmp_path, stored):
    pair = tuple(grid_file(rasters, band) for band in stored)
    with pytest.raises(gn.GridrValueError, match=r"grid_order must be 'row_col' where grid is a pair"):
        gn.densify(pair, tmp_path / "out.tif", resolution=RESOLUTION, grid_order="xy")


@pytest.mark.parametrize(
    ("name", "value"), [("grid_order", "xy"), ("displacement", True), ("source_offset", (1, 2)), ("source", "image")]
)
def test_without_a_grid_there_is_nothing_that_they_could_mean(rasters, tmp_path, name, value):
    value = image_file(rasters, (5, 5)) if name == "source" else value
    with pytest.raises(gn.GridrValueError, match=f"{name} must not be given where grid is None") as error:
        gn.densify(None, None, shape=(5, 6), resolution=RESOLUTION, mask_out=tmp_path / "mask.tif", **{name: value})
    assert error.value.argument == name
    assert not (tmp_path / "mask.tif").exists()


# -- the source image -------------------------------------------------------------------------------------------------


@given(st.data())
def test_outside_the_source_is_decided_on_float64_coordinates(shared_rasters, data):
    """Both ends of the area of an image's pixels are inside, to the last bit, whatever the type of the output."""
    rasters = shared_rasters
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    edges = sorted({edge for size in shape for edge in (-0.5, size - 0.5)})
    near = st.sampled_from([value for e in edges for value in (e, np.nextafter(e, -9e9), np.nextafter(e, 9e9))])
    nodes = data.draw(own.node_arrays(elements=st.one_of(near, st.floats(-1, 6), st.just(1e39))))
    resolution = data.draw(own.resolutions)
    exact = dense(nodes, resolution)
    outside = oracles.looks_outside(exact, shape)
    for dtype in (np.float64, np.float32):
        out, mask_out = rasters.path(), rasters.path()
        report = gn.densify(
            grid_file(rasters, nodes),
            out,
            mask_out=mask_out,
            resolution=resolution,
            source=image_file(rasters, shape),
            dtype=dtype,
            mask_out_values="causes",
        )
        lost = ~np.isfinite(read(out)).all(axis=0)
        expected = np.where(lost, int(Cause.NODE), np.where(outside, int(Cause.OUTSIDE_SOURCE), 0))
        assert np.array_equal(read(mask_out)[0], expected)
        with np.errstate(over="ignore"):
            kept = np.where(lost, np.nan, exact).astype(dtype)
        assert np.array_equal(read(out), kept, equal_nan=True)
        assert report.invalid_pixels["outside_source"] == (expected == 16).sum()
        assert report.valid_pixels == (expected == 0).sum()


@pytest.fixture
def job(rasters, tmp_path):
    """A reprojection that looks past the image, with a mask, polygons and a node without coordinates."""
    i, j = np.meshgrid(np.arange(6.0) * 3, np.arange(7.0) * 4, indexing="ij")
    nodes = np.stack([i * 0.9 + j * 0.1 - 1.3, j * 0.8 - i * 0.2 + 2.1])
    nodes[1, 4, 2] = np.nan
    mask = np.ones((6, 7), np.uint8)
    mask[0, 1] = 0
    return {
        "nodes": nodes,
        "mask": mask,
        "call": {
            "grid": grid_file(rasters, nodes),
            "out": tmp_path / "out.tif",
            "mask": grid_file(rasters, mask),
            "mask_out": tmp_path / "mask.tif",
            "resolution": RESOLUTION,
            "valid": shapely.box(-1, -1, 20, 13.5),
            "invalid": shapely.box(2.5, 2.5, 7.5, 6.5),
        },
        "source": image_file(rasters, (12, 17)),
    }


def test_it_is_one_cause_among_others_and_counted_last(job):
    gn.densify(**job["call"], mask_out_values="causes")
    before, grid = read(job["call"]["mask_out"])[0], read(job["call"]["out"])
    call = {**job["call"], "overwrite": True, "source": job["source"]}
    report = gn.densify(**call, mask_out_values="causes")
    after = read(job["call"]["mask_out"])[0]
    outside = oracles.looks_outside(grid, (12, 17))
    assert np.array_equal(after, before | np.where(outside, 16, 0).astype(np.uint8))
    assert {*np.unique(after)} >= {0, 1, 2, 4, 8, 16, 17, 20}
    assert np.array_equal(read(job["call"]["out"]), grid, equal_nan=True)
    first = np.where(after == 0, 0, after & -after.astype(np.int16))
    assert report.invalid_pixels == {cause.key: (first == cause).sum() for cause in Cause}
    assert report.source_rows is not None
    assert -0.5 <= report.source_rows[0] <= report.source_rows[1] <= 11.5
    with rasterio.open(job["call"]["mask_out"]) as mask:
        options = json.loads(mask.tags()["GRIDR_NUMBA_OPTIONS"])
    assert options["source"] == job["source"].rpartition("/")[2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fill_applies_and_windows_and_threads_do_not_matter(job, dtype):
    call = {**job["call"], "source": job["source"], "dtype": dtype, "overwrite": True}
    gn.densify(**call)
    kept, mask = read(call["out"]), read(call["mask_out"])[0]
    gn.densify(**call, fill=-7.0, threads=1)
    assert np.array_equal(read(call["out"]), np.where(mask == 1, kept, -7.0))
    gn.densify(**call, window=((4, 11), (3, 17)))
    assert np.array_equal(read(call["out"]), kept[:, 4:11, 3:17], equal_nan=True)
    assert np.array_equal(read(call["mask_out"])[0], mask[4:11, 3:17])


def test_a_chip_of_an_image(job, rasters, tmp_path):
    """`source_offset` is subtracted before it is looked whether coordinates lie in the chip."""
    nodes = np.round(job["nodes"] * 64) / 64  # exact after the sum too
    far = grid_file(rasters, nodes + np.array([5000.0, 4000.0])[:, np.newaxis, np.newaxis])
    call = {**job["call"], "grid": grid_file(rasters, nodes), "source": job["source"], "mask_out_values": "causes"}
    gn.densify(**call)
    near = read(call["mask_out"])
    moved = {**call, "grid": far, "out": tmp_path / "b.tif", "mask_out": tmp_path / "c.tif"}
    report = gn.densify(**moved, source_offset=(5000, 4000))
    assert np.array_equal(read(moved["mask_out"]), near)
    assert np.allclose(read(moved["out"]), read(call["out"]), atol=1e-9, equal_nan=True)
    assert report.applied == {"source_offset": (5000.0, 4000.0)}


# -- the command line ---------------------------------------------------------------------------------------------


def test_the_command_line_says_what_was_applied(rasters, tmp_path, stored):
    path = grid_file(rasters, stored, scale=(0.01, 0.02))
    arguments = ["densify", path, str(tmp_path / "a.tif"), "-r", "3", "4", "--xy", "--displacement"]
    arguments += ["--source-offset", "5000", "0", "--source", image_file(rasters, (20, 20))]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    assert "applied  scale 0.02 0.01, displacement, source offset 5000 0\n" in result.output
    assert "outside source" in result.output
    call = {"grid_order": "xy", "displacement": True, "source_offset": (5000, 0)}
    gn.densify(path, tmp_path / "b.tif", resolution=RESOLUTION, **call)
    assert np.array_equal(read(tmp_path / "a.tif"), read(tmp_path / "b.tif"))
