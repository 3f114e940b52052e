"""What `inspect_grid` says of a grid, recomputed with plain numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gridr_numba as gn
from gridr_numba.doors import inspection as info


def mapping(rows=40, cols=30, *, bend=0.002):
    i, j = np.meshgrid(np.arange(rows) * 10.0, np.arange(cols) * 12.0, indexing="ij")
    return np.stack([100 + 0.9 * i - 0.2 * j + bend * i**2, 50 + 1.1 * j + 0.1 * i - bend * i * j / 3])


@pytest.fixture(params=[1, 3, 7, 1000])
def window_rows(request, monkeypatch):
    """The rows of a window must not matter."""
    monkeypatch.setattr(info, "_NODES_A_WINDOW", request.param * 30)


def inspect(rasters, nodes, **options):
    profile = {key: options.pop(key) for key in ("nodata", "crs") if key in options}
    return info.inspect_grid(rasters.reader(nodes, **profile).name, **options)


def folds_of(nodes):
    """Cells in which the Jacobian is, at some corner, of the sign that most corners have not."""
    by_cell = []
    for i in range(nodes.shape[1] - 1):
        for j in range(nodes.shape[2] - 1):
            corners = []
            for a, b in ((0, 0), (0, 1), (1, 0), (1, 1)):
                down = nodes[:, i + 1, j + b] - nodes[:, i, j + b]
                right = nodes[:, i + a, j + 1] - nodes[:, i + a, j]
                with np.errstate(invalid="ignore"):  # of void nodes
                    corners.append(np.linalg.det(np.stack([down, right])))
            by_cell.append(corners)
    signs = np.sign(by_cell)
    signs = signs[~np.isnan(signs).any(axis=1)]
    rarer = -1 if (signs > 0).sum() >= (signs < 0).sum() else 1
    return len(signs), int((signs == rarer).any(axis=1).sum())


@pytest.mark.usefixtures("window_rows")
def test_every_number(rasters):
    nodes = mapping()
    nodes[0, 5, 7] = np.nan
    nodes[1, 5, 8] = np.inf
    nodes[1, 20, 3:6] = -9999
    nodes[:, 30, 0] = -9999
    nodes[0, 12, 12] += 300  # folds the cells around it
    found = inspect(rasters, nodes, nodata=-9999.0, crs="EPSG:32631")
    void = (~np.isfinite(nodes) | (nodes == -9999)).any(axis=0)
    usable = np.where(void, np.nan, nodes)
    assert found.shape == (40, 30)
    assert found.crs == "EPSG:32631"
    assert found.void_nodes == void.sum() == 6
    assert (found.row.nodata_nodes, found.col.nodata_nodes) == (1, 4)
    assert (found.row.not_finite_nodes, found.col.not_finite_nodes) == (1, 1)
    for band, values in ((found.row, usable[0]), (found.col, usable[1])):
        assert (band.minimum, band.maximum) == (np.nanmin(values), np.nanmax(values))
        assert band.mean == pytest.approx(np.nanmean(values), rel=1e-12)
        assert band.standard_deviation == pytest.approx(np.nanstd(values), rel=1e-12)
        assert band.bilinear_error == sum(np.nanmax(np.abs(np.diff(values, 2, axis))) for axis in (0, 1)) / 8
        assert (band.nodata, band.dtype) == (-9999.0, "float64")
    assert (found.cells, found.folded_cells) == folds_of(usable)
    assert found.folded_cells == 2
    assert found.warnings == ()


@pytest.mark.usefixtures("window_rows")
@pytest.mark.parametrize("mirrored", [False, True])
def test_folds_where_the_grid_turns_back(rasters, mirrored):
    nodes = mapping(bend=0.0)
    nodes[:, 25:] = nodes[:, 25:26] - 0.5 * (nodes[:, 25:] - nodes[:, 25:26])
    if mirrored:  # a mirror image has the other sign everywhere, and is no fold
        nodes = nodes[:, :, ::-1].copy()
    found = inspect(rasters, nodes)
    assert (found.cells, found.folded_cells) == folds_of(nodes) == (39 * 29, 14 * 29)


def test_a_good_grid_has_no_folds_and_no_warnings(rasters):
    for nodes in (mapping(), mapping()[:, ::-1].copy(), mapping()[:, :, ::-1].copy(), mapping().astype(np.float32)):
        found = inspect(rasters, nodes)
        assert (found.folded_cells, found.cells, found.warnings) == (0, 39 * 29, ())


def test_the_estimate_bounds_the_true_error(rasters):
    fine = mapping(391, 349, bend=0.0)  # the same function at ten times as many nodes
    i, j = np.meshgrid(np.arange(391) / 10, np.arange(349) / 12, indexing="ij")
    truth = np.stack([30 * i + 4 * np.sin(i / 6) * np.cos(j / 7), 25 * j + 3 * np.cos(i / 5)])
    assert truth.shape == fine.shape
    nodes = truth[:, ::10, ::12]
    dense = gn.build_grid((1, 1), np.ascontiguousarray(nodes), None, (10, 12), None)
    found = inspect(rasters, nodes)
    for band, error in zip((found.row, found.col), np.abs(dense - truth).max(axis=(1, 2)), strict=True):
        assert 0.5 * error < band.bilinear_error < 4 * error


@pytest.mark.usefixtures("window_rows")
def test_x_y(rasters):
    found = inspect(rasters, mapping()[::-1].copy())
    assert len(found.warnings) == 1
    assert "they look like (x, y); exchange row_band and col_band" in found.warnings[0]
    assert inspect(rasters, mapping()[::-1].copy(), row_band=2, col_band=1).warnings == ()


@pytest.mark.parametrize("swapped", [False, True])
def test_displacements(rasters, swapped):
    i, j = np.meshgrid(np.arange(40), np.arange(30), indexing="ij")
    shifts = np.stack([12 + 3 * np.sin(j / 9), -4 + 2 * np.cos(i / 5)])
    found = inspect(rasters, shifts[::-1].copy() if swapped else shifts)
    assert len(found.warnings) == 1
    assert "they look like displacements, as OTB's grids hold them" in found.warnings[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (40, 1), (2, 2)])
def test_small_grids(rasters, shape):
    found = inspect(rasters, mapping(*shape))
    assert found.warnings == ()
    assert found.cells == (shape[0] - 1) * (shape[1] - 1)
    assert (found.row.bilinear_error is None) is (max(shape) < 3)
    assert found.to_text()


def test_nothing_but_void_nodes(rasters):
    found = inspect(rasters, np.full((2, 5, 6), np.nan), nodata=np.nan)
    assert found.void_nodes == 30
    assert (found.row.minimum, found.row.mean, found.row.bilinear_error, found.row.nodata) == (None, None, None, "nan")
    assert (found.cells, found.warnings) == (0, ())
    assert "unknown" in found.to_text()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["col"]["not_finite_nodes"] == 30


def test_two_files_and_their_bands(rasters):
    rows, cols = mapping()
    row_file, col_file = rasters.reader(np.rint(rows).astype(np.int32)), rasters.reader(np.stack([rows, cols]))
    found = info.inspect_grid((row_file.name, col_file.name))
    assert (found.row.dtype, found.col.dtype, found.col.band) == ("int32", "float64", 2)
    assert found.row.file == row_file.name
    assert found.row.maximum == np.rint(rows).max()
    assert found.col.mean == pytest.approx(cols.mean())


def test_nodata_that_is_given(rasters):
    nodes = mapping()
    nodes[1, 3, 3] = 7.0
    assert inspect(rasters, nodes, grid_nodata=7.0).col.nodata_nodes == 1
    nodes[0, 0, 0] = -1
    assert inspect(rasters, nodes, nodata=-1, grid_nodata=()).void_nodes == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [({"row_band": 3}, "^row_band must be a band of grid, "), ({"col_band": 1}, "must differ in one dataset")],
)
def test_bad_arguments(rasters, options, message):
    with pytest.raises(ValueError, match=message):
        inspect(rasters, mapping(), **options)
    with pytest.raises(OSError, match="there is no file"):
        info.inspect_grid("missing.tif")
    with pytest.raises(ValueError, match="grid must be"):
        info.inspect_grid(("a.tif", "b.tif", "c.tif"))
