"""What `inspect_grid` says of a grid, recomputed with plain numpy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.warp import transform

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
    for nodes in (mapping(), mapping()[:, ::-1, ::-1].copy(), mapping().astype(np.float32), np.rint(mapping())):
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
    assert info.inspect_grid((row_file.name, col_file.name)).col.band == 1  # as in `densify`
    found = info.inspect_grid((row_file.name, col_file.name), col_band=2)
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


# -- what looks like a mistake ------------------------------------------------------------------------------------

ROW, COL = np.meshgrid(np.arange(60.0), np.arange(50.0), indexing="ij")
STEP = 4
RELIEF = np.stack([np.sin(ROW / 7) * np.cos(COL / 5), np.cos(ROW / 4 + COL / 9)])


def turned(degrees, *, step=STEP, relief=2.0):
    """Positions as in CNES shareloc's epipolar grids: a raster that is turned in the source, with relief."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    nodes = np.stack([cosine * ROW - sine * COL, sine * ROW + cosine * COL]) * step
    return nodes - nodes.min(axis=(1, 2), keepdims=True) + 500 + relief * RELIEF


def displacements(degrees):
    """What turns the raster about its first pixel, less the pixel's own place."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    place = np.stack([ROW, COL]) * STEP
    return np.stack([(cosine - 1) * place[0] - sine * place[1], sine * place[0] + (cosine - 1) * place[1]])


def geographic(*, south_up=False):
    """Latitudes and longitudes of the nodes of a map grid."""
    xs, ys = 500000 + COL * 300, 4800000 - (ROW[::-1] if south_up else ROW) * 300
    lon, lat = transform("EPSG:32631", "EPSG:4326", xs.ravel(), ys.ravel())
    return np.stack([np.reshape(lat, ROW.shape), np.reshape(lon, ROW.shape)])


def photo(size=100):
    """Bands like an image's: alike, rough, with detail at every scale."""
    rng = np.random.default_rng(3)
    places = np.arange(size)
    grey = np.zeros((size, size))
    for k in range(1, 8):
        coarse = rng.normal(size=(2**k + 1,) * 2) / 2**k
        at = places * 2**k // size
        grey += coarse[np.ix_(at, at)]
    grey = (grey - grey.min()) / np.ptp(grey) * 220
    bands = np.stack([grey + rng.normal(0, 6, grey.shape) + shift for shift in (10, 20, 0)])
    return np.clip(bands, 0, 255).astype(np.uint8)


X_Y = "they look like (x, y); exchange row_band and col_band"
MOVED = "they look like displacements, as OTB's grids hold them"
LON_LAT = "they look like longitudes and latitudes"
WAVES = np.stack([12 + 3 * np.sin(COL / 9), -4 + 2 * np.cos(ROW / 5)])
LOOKS = {
    **{f"turned by {angle}": (turned(angle), ()) for angle in (0, 45, 87, 135, 180, -95)},
    **{f"turned by {angle}, x and y": (turned(angle)[::-1], (X_Y,)) for angle in (0, 87, 180, -95)},
    "rows upwards": (turned(3)[:, ::-1], ("the grid mirrors the source", "unless the source or the raster is")),
    "columns leftwards": (turned(3)[:, :, ::-1], ("the grid mirrors the source",)),
    "finer than the source": (turned(2, step=0.3, relief=0.01), ()),
    "whole numbers": (np.rint(turned(2)).astype(np.int32), ()),
    "float32": (turned(2).astype(np.float32), ()),
    "waves": (WAVES.astype(np.float32), (MOVED, "pass displacement=True")),
    "waves, x and y": (WAVES[::-1].astype(np.float32), (MOVED,)),
    "nothing moves": (np.zeros((2, 60, 50), np.float32), (MOVED,)),
    "along rows alone": (np.stack([0 * ROW, 7 + np.sin(COL / 3)]).astype(np.float32), (MOVED,)),
    "large waves": (np.stack([40 * np.sin(COL / 4 + ROW / 9), 50 * np.cos(ROW / 5)]).astype(np.float32), (MOVED,)),
    "a shear": (np.stack([0.01 * COL, 0.02 * ROW]).astype(np.float32), (MOVED,)),
    "turned a little": (displacements(0.5).astype(np.float32), (MOVED,)),
    "turned more": (displacements(8).astype(np.float32), (MOVED,)),
    "turned back": (displacements(-30).astype(np.float32), (MOVED,)),
    "latitude, longitude": (geographic(), (LON_LAT, "map_to_pixel")),
    "longitude, latitude": (geographic()[::-1], (LON_LAT,)),
    "longitude, latitude in float32": (geographic()[::-1].astype(np.float32), (LON_LAT,)),
    "from south to north": (geographic(south_up=True), (LON_LAT,)),
    "a photo": (photo()[:2], ("an image",)),
    "a part of a photo": (photo(200)[:2, ::10, ::10], ("an image",)),
    "a grey photo": (photo()[[0, 0]], ("an image",)),
    "noise": (np.random.default_rng(1).random((2, 40, 40)) * 1000, ("turns back on itself", "an image")),
    "columns that do not change": (np.stack([10 * ROW, 0 * ROW + 5]), ("have no area in the source",)),
    "before the image": (turned(0) - 9000, ("0 % of the nodes lie in an image", "source_offset")),
    "huge": (np.stack([ROW, COL]) * 1e306, ()),
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_a_grid_looks_like(rasters, tmp_path, name):
    """One warning, in `info` and in `densify`, which says what was seen and what to try; or none."""
    nodes, words = LOOKS[name]
    grid = rasters.reader(np.ascontiguousarray(nodes)).name
    resolution = (STEP, STEP) if nodes[0].shape == ROW.shape else (2, 2)
    found = info.inspect_grid(grid, resolution=resolution).warnings
    made = gn.densify(grid, tmp_path / "out.tif", resolution=resolution, verify=False)
    assert made.warnings == found
    assert len(found) == bool(words)
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *((name, {"grid_order": "xy"}) for name in LOOKS if name.startswith("turned by") and name.endswith("x and y")),
        *(
            (name, {"displacement": True})
            for name in ("waves", "nothing moves", "along rows alone", "a shear", "turned a little", "turned more")
        ),
        ("waves, x and y", {"displacement": True, "grid_order": "xy"}),
        ("turned back", {"displacement": True, "source_offset": (-300, -300)}),
        ("before the image", {"source_offset": (-9000, -9000)}),
    ],
)
def test_what_is_said_of_a_grid_makes_it_one_to_which_nothing_is_said(rasters, tmp_path, name, options):
    """Nodes are inspected as they are used: displaced, in the order that is said, from the source's first pixel."""
    nodes, words = LOOKS[name]
    assert words
    grid = rasters.reader(np.ascontiguousarray(nodes)).name
    made = gn.densify(grid, tmp_path / "out.tif", resolution=(STEP, STEP), verify=False, strict=True, **options)
    assert made.warnings == ()


def test_displacements_of_a_turned_raster_are_seen_without_a_resolution_too(rasters):
    """They are nearly all negative then, in one band or the other."""
    assert "pass displacement=True" in inspect(rasters, displacements(-30)).warnings[0]


@pytest.mark.usefixtures("window_rows")
def test_the_windows_of_info_do_not_matter(rasters):
    for nodes, words in ((mapping()[::-1].copy(), X_Y), (WAVES[:, :40, :30].copy(), MOVED)):
        found = inspect(rasters, nodes)
        assert len(found.warnings) == 1
        assert words in found.warnings[0]
    assert inspect(rasters, mapping()[::-1].copy(), row_band=2, col_band=1).warnings == ()


@pytest.mark.parametrize(
    ("nodes", "shape", "words"),
    [
        (turned(0), (800, 720), ()),
        (turned(0)[::-1], (740, 700), (X_Y,)),
        (turned(0)[:, :, ::-1], (800, 800), ("the grid mirrors the source",)),
        (
            turned(0)[:, ::-1] + np.reshape([500, 0], (2, 1, 1)),
            (3000, 700),
            (),
        ),  # mirrored: exchanged it would lie outside
        (
            turned(90) + np.reshape([0, 3000], (2, 1, 1)),
            (4000, 800),
            ("0 % of the nodes lie in the source of (4000, 800)", X_Y),
        ),
        (turned(0) + 9000, (800, 720), ("0 % of the nodes lie in the source of (800, 720)", "source_offset")),
        (
            turned(0) + np.reshape([0, 150], (2, 1, 1)),
            (10000, 720),
            (),
        ),  # at the image's edge: exchanged all would lie inside
    ],
)
def test_where_the_source_is_known(rasters, tmp_path, nodes, shape, words):
    image = rasters.reader(np.zeros(shape, np.uint8)).name
    grid = rasters.reader(np.ascontiguousarray(nodes)).name
    found = info.inspect_grid(grid, source=image, resolution=(STEP, STEP)).warnings
    made = gn.densify(grid, tmp_path / "out.tif", source=image, resolution=(STEP, STEP), verify=False)
    assert [each for each in made.warnings if not each.startswith("no pixel is valid")] == list(found)
    assert len(found) == bool(words)
    for word in words:
        assert word in found[0]


@pytest.mark.parametrize("block", [16, 64])
@pytest.mark.parametrize("resolution", [(1, 1), (2, 3), (7, 5)])
def test_densify_counts_each_node_and_each_cell_of_its_window_once(rasters, tmp_path, monkeypatch, resolution, block):
    """Windows of blocks along both axes share rows and columns of nodes."""
    surveys = []
    monkeypatch.setattr("gridr_numba.engine.survey.NodeSurvey.doubts", lambda self: iter(surveys.append(self) or ()))
    nodes = turned(20)
    nodes[0, 5:9, 7] = np.nan
    (rr, rc), rows, cols = resolution, slice(3, 50), slice(2, 44)
    window = ((3 * rr, 49 * rr + 1), (2 * rc, 43 * rc + 1))
    gn.densify(
        rasters.reader(nodes).name,
        tmp_path / "out.tif",
        resolution=resolution,
        window=window,
        memory_budget=700 * block**2 // 8,
        creation_options={"TILED": True, "BLOCKXSIZE": block, "BLOCKYSIZE": block},
    )
    info.inspect_grid(rasters.reader(np.ascontiguousarray(nodes[:, rows, cols])).name)
    made, whole = surveys
    assert made.usable == whole.usable == 47 * 42 - 4
    assert np.array_equal(made.ranges, whole.ranges)
    assert made.means == pytest.approx(whole.means, rel=1e-12)
    assert made.deviations == pytest.approx(whole.deviations, rel=1e-12)
    assert made.fit.slope == pytest.approx(whole.fit.slope, rel=1e-9, abs=1e-9)
    if min(resolution) > 1:  # else windows share no nodes, and the cells between them are nobody's
        assert made.cells == whole.cells == 46 * 41 - 10


def test_a_fit_is_that_of_least_squares(rasters, monkeypatch):
    surveys = []
    monkeypatch.setattr("gridr_numba.engine.survey.NodeSurvey.doubts", lambda self: iter(surveys.append(self) or ()))
    nodes = turned(20) + 1e6
    nodes[1, 30:, 20:] = np.nan
    inspect(rasters, nodes)
    known = ~np.isnan(nodes[1])
    places = np.stack([np.ones(known.sum()), ROW[known], COL[known]], axis=1)
    for band in (0, 1):
        values = nodes[band][known]
        coefficients, squares, *_ = np.linalg.lstsq(places, values, rcond=None)
        assert surveys[0].fit.slope[band] == pytest.approx(coefficients[1:], rel=1e-9)
        whole = ((values - values.mean()) ** 2).sum()
        assert surveys[0].fit.remainder[band] == pytest.approx(squares[0] / whole, rel=1e-6, abs=1e-12)


def test_a_photo_is_not_densified_in_silence(rasters, tmp_path, caplog):
    grid, out = rasters.reader(photo()).name, tmp_path / "out.tif"
    with pytest.raises(gn.StrictError, match="an image"):
        gn.densify(grid, out, resolution=(2, 2), strict=True)
    assert list(tmp_path.glob("out*")) == []
    (warning,) = gn.densify(grid, out, resolution=(2, 2)).warnings
    assert warning in caplog.text


def test_a_mask_alone_is_made_without_a_word_of_nodes(rasters, tmp_path):
    mask = rasters.reader(np.ones((60, 50), np.uint8)).name
    made = gn.densify(None, None, shape=(60, 50), mask=mask, mask_out=tmp_path / "out.tif", resolution=(2, 2))
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("resolution", "size", "warned"),
    [
        ((24, 32), (32.0, 24.0), True),
        ((32, 24), (32.0, 24.0), False),
        ((24, 32), (31.0, 24.0), True),  # nearly square, exchanged
        ((24, 32), (32.0, 48.0), False),  # long either way
        ((10, 10), (32.0, 24.0), False),  # exchanged is the same
        ((24, 25), (25.0, 24.0), True),
        ((30, 31), (30.5, 30.5), False),
    ],
)
@pytest.mark.parametrize("angle", [0, 30])
def test_a_resolution_that_seems_exchanged(rasters, tmp_path, resolution, size, warned, angle):
    place = Affine.translation(1000, 9000) @ Affine.rotation(angle) @ Affine.scale(size[1], -size[0])
    grid = rasters.reader(turned(0), crs="EPSG:32631", transform=place).name
    made = gn.densify(grid, tmp_path / "out.tif", resolution=resolution, window=((0, 30), (0, 30)))
    assert info.inspect_grid(grid, resolution=resolution).warnings == made.warnings
    assert len(made.warnings) == warned
    if warned:
        assert f"{resolution[1]}, {resolution[0]} would make square ones" in made.warnings[0]


def test_a_grid_that_lies_nowhere_has_no_pixels_to_be_square(rasters, tmp_path):
    assert inspect(rasters, turned(0), resolution=(24, 32)).warnings == ()


# -- map coordinates ----------------------------------------------------------------------------------------------

MAP = "they look like map coordinates"
ON_MAP = Affine(300, 0, 500000, 0, -300, 4800000)


def on_map(crs, *, transform_of_nodes=ON_MAP):
    """Map coordinates (y, x) of the nodes of a grid with this transform, in a CRS."""
    xs, ys = transform_of_nodes @ (COL + 0.5, ROW + 0.5)
    x, y = transform("EPSG:32631", crs, xs.ravel(), ys.ravel())
    return np.stack([np.reshape(y, ROW.shape), np.reshape(x, ROW.shape)])


@pytest.mark.parametrize(
    "crs", ["EPSG:32631", "EPSG:3857", "EPSG:3035", "+proj=tmerc +lat_0=1 +lon_0=4 +k=1 +x_0=500000 +datum=WGS84"]
)
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("placed", [True, False])
def test_map_coordinates_are_no_pixels(rasters, tmp_path, crs, order, placed):
    """In either order, also where the grid says its CRS and not its place; a CRS of no known area needs the place."""
    unknown = crs.startswith("+")
    nodes = on_map(crs)
    place = {"transform": Affine(300, 0, nodes[1].min(), 0, -300, nodes[0].max())} if placed else {}
    grid = rasters.reader(np.ascontiguousarray(nodes[::order]), crs=crs, **place).name
    found = info.inspect_grid(grid, resolution=(STEP, STEP)).warnings
    made = gn.densify(grid, tmp_path / "out.tif", resolution=(STEP, STEP), verify=False)
    assert made.warnings == found
    expected = not unknown or placed
    assert (len(found) == 1 and MAP in found[0] and "map_to_pixel" in found[0]) == expected


@pytest.mark.parametrize(
    ("nodes", "options"),
    [
        (turned(2) + 1000, {}),  # pixels
        (turned(2) + 250_000, {}),  # of an image that is large
        (turned(2) + 20_000_000, {}),  # beyond the CRS's area
    ],
)
def test_pixels_of_an_image_with_a_crs_are_no_map_coordinates(rasters, nodes, options):
    grid = rasters.reader(nodes, crs="EPSG:32631", transform=ON_MAP).name
    assert info.inspect_grid(grid, **options).warnings == ()


def test_in_a_source_that_is_so_large_they_are_pixels(rasters, tmp_path):
    nodes = on_map("EPSG:3857")[:, ::-1]
    grid = rasters.reader(np.ascontiguousarray(nodes), crs="EPSG:3857").name
    with rasterio.open(
        *(tmp_path / "a.tif", "w", "GTiff"),
        width=10**6,
        height=6 * 10**6,
        count=1,
        dtype="uint8",
        SPARSE_OK="YES",
        TILED="YES",
        BLOCKXSIZE=8192,  # few blocks: GDAL writes where each of them lies
        BLOCKYSIZE=8192,
    ):
        pass
    assert MAP in info.inspect_grid(grid).warnings[0]
    assert info.inspect_grid(grid, source=tmp_path / "a.tif").warnings == ()


# -- grids of another order, and displacements --------------------------------------------------------------------


def test_coordinates_are_inspected_as_they_are_meant(rasters, monkeypatch):
    """Whatever the windows: a displaced node's place is counted from the grid's first."""
    nodes = turned(3, relief=2)
    plain = inspect(rasters, nodes, resolution=(STEP, STEP))
    places = np.stack([ROW, COL]) * STEP
    monkeypatch.setattr(info, "_NODES_A_WINDOW", 7 * ROW.shape[1])
    moved = rasters.reader(np.ascontiguousarray((nodes - places)[::-1])).name
    found = info.inspect_grid(moved, grid_order="xy", displacement=True, resolution=(STEP, STEP))
    assert (found.row.band, found.col.band, found.warnings) == (2, 1, ())
    for ours, theirs in ((found.row, plain.row), (found.col, plain.col)):
        assert (ours.minimum, ours.maximum) == pytest.approx((theirs.minimum, theirs.maximum), abs=1e-9)
        assert ours.mean == pytest.approx(theirs.mean, rel=1e-12)
        assert ours.bilinear_error == pytest.approx(theirs.bilinear_error, rel=1e-6)
    assert found.cells == plain.cells
    rows, cols = (rasters.reader(band - place).name for band, place in zip(nodes, places, strict=True))
    pair = info.inspect_grid((rows, cols), displacement=True, resolution=STEP)
    assert (pair.row.maximum, pair.col.maximum) == pytest.approx((plain.row.maximum, plain.col.maximum))


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"displacement": True}, "resolution"),
        ({"displacement": 1, "resolution": 2}, "displacement"),
        ({"grid_order": "yx"}, "grid_order"),
        ({"grid_order": "xy", "row_band": 1}, "row_band"),
    ],
)
def test_what_is_refused(rasters, options, argument):
    with pytest.raises((gn.GridrValueError, gn.GridrTypeError), match=f"^{argument} must") as caught:
        inspect(rasters, turned(0), **options)
    assert caught.value.argument == argument
