"""`densify`: files in, verified files out."""

from __future__ import annotations

import inspect
import json
import os
from types import SimpleNamespace

import numpy as np
import oracles
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint

import gridr_numba as gn
from gridr_numba.files import outputs
from gridr_numba.types import Cause

RESOLUTION = (3, 4)
NODE_SHAPE = (6, 7)
FULL = oracles.full_shape(NODE_SHAPE, RESOLUTION)
PLACE = {"crs": "EPSG:32631", "transform": Affine(40, 5, 1000, 3, -30, 9000)}
CLOUD = shapely.box(2.5, 2.5, 7.5, 6.5)
FOOTPRINT = shapely.box(-1, -1, 20, 13.5)


@pytest.fixture
def job(rasters, tmp_path):
    rng = np.random.default_rng(1)
    nodes = rng.random((2, *NODE_SHAPE)) * 1000
    nodes[1, 4, 2] = np.nan
    mask = (rng.random(NODE_SHAPE) > 0.15).astype(np.uint8)
    grid_in, mask_in = rasters.reader(nodes, **PLACE), rasters.reader(mask)
    folder = tmp_path / "out"
    folder.mkdir()
    return {
        "nodes": nodes,
        "valid_nodes": mask,
        "call": {
            "grid": grid_in.name,
            "out": folder / "grid.tif",
            "mask": mask_in.name,
            "mask_out": str(folder / "mask.tif"),
            "resolution": RESOLUTION,
            "valid": FOOTPRINT,
            "invalid": CLOUD,
        },
        "folder": folder,
    }


def read(path):
    with rasterio.open(path) as dataset:
        return dataset.read()


def expected_causes(job):
    node = np.array([[values is None for values in row] for row in oracles.dense_grid(job["nodes"], RESOLUTION)])
    raster = ~oracles.raster_valid(job["valid_nodes"], RESOLUTION, 1)
    outside = ~oracles.inside_shapely([FOOTPRINT], FULL, 1)
    inside = oracles.inside_shapely([CLOUD], FULL, 1)
    return (raster * 1 + node * 2 + outside * 4 + inside * 8).astype(np.uint8)


@pytest.mark.parametrize("verify", [True, False])
def test_the_files_and_the_report(job, verify):
    report = gn.densify(**job["call"], verify=verify)
    grid, mask = read(job["call"]["out"]), read(job["call"]["mask_out"])[0]
    causes = expected_causes(job)
    assert np.array_equal(mask, causes == 0)
    dense = gn.build_grid((1, 1), job["nodes"], None, RESOLUTION, None)
    assert np.array_equal(grid, dense, equal_nan=True)
    assert sorted(os.listdir(job["folder"])) == ["grid.tif", "mask.tif"]
    assert report.shape == FULL
    assert report.valid_pixels == (causes == 0).sum()
    first = np.where(causes == 0, 0, causes & -causes.astype(np.int16))
    assert list(report.invalid_pixels) == [cause.key for cause in Cause]
    for cause in Cause:
        assert report.invalid_pixels[cause.key] == (first == cause).sum()
    assert report.source_rows == (grid[0][causes == 0].min(), grid[0][causes == 0].max())
    assert report.source_cols == (grid[1][causes == 0].min(), grid[1][causes == 0].max())
    assert report.coordinate_spacing == np.spacing(max(grid[:, causes == 0].max(), 0))
    assert report.verified is verify
    assert ("verify" in report.seconds) is verify
    assert report.mpx_per_second > 0
    assert report.grid == str(job["call"]["out"])
    assert json.loads(json.dumps(report.to_dict()))["shape"] == list(FULL)


def test_what_the_files_say_of_themselves(job):
    gn.densify(**job["call"])
    with rasterio.open(job["call"]["out"]) as grid, rasterio.open(job["call"]["mask_out"]) as mask:
        for dataset in (grid, mask):
            assert dataset.crs == PLACE["crs"]
            assert np.allclose(dataset.transform, gn.dense_transform(PLACE["transform"], RESOLUTION))
            assert dataset.tags()["GRIDR_NUMBA_VERSION"] == gn.__version__
            assert dataset.tags()["GRIDR_NUMBA_RESOLUTION"] == "3 4"
            assert dataset.block_shapes[0] == (512, 512)
        assert grid.descriptions == ("row", "col")
        assert np.isnan(grid.nodata)
        assert mask.nodata is None


def test_causes(job):
    report = gn.densify(**job["call"], mask_out_values="causes")
    mask = read(job["call"]["mask_out"])[0]
    assert mask.dtype == np.uint8
    assert np.array_equal(mask, expected_causes(job))
    assert report.valid_pixels == (mask == 0).sum()


@pytest.mark.parametrize(
    ("values", "dtype"),
    [((1, 0), "uint8"), ((0, 255), "uint8"), ((-1, 0), "int8"), ((300, 2), "uint16"), ((-9999, 7), "int16")],
)
def test_mask_values_choose_the_type(job, values, dtype):
    gn.densify(**job["call"], mask_out_values=values)
    mask = read(job["call"]["mask_out"])[0]
    assert mask.dtype == dtype
    assert np.array_equal(mask, np.where(expected_causes(job) == 0, *values))


@pytest.mark.parametrize("fill", [-1.0, np.nan])
def test_fill_without_a_mask_file(job, fill):
    report = gn.densify(**{**job["call"], "mask_out": None}, fill=fill)
    grid = read(job["call"]["out"])
    invalid = expected_causes(job) != 0
    assert np.array_equal(grid[:, invalid], np.full((2, invalid.sum()), fill), equal_nan=True)
    assert report.mask is None
    assert report.valid_pixels == (~invalid).sum()


def test_only_a_mask(job):
    call = {**job["call"], "grid": None, "out": None}
    report = gn.densify(**call, shape=NODE_SHAPE)
    assert np.array_equal(read(call["mask_out"])[0], (expected_causes(job) & 13) == 0)
    assert report.grid is None
    assert report.source_rows is None


def test_only_a_mask_of_the_coarse_masks_shape(job):
    call = {**job["call"], "grid": None, "out": None}
    assert gn.densify(**call).shape == FULL
    assert np.array_equal(read(call["mask_out"])[0], (expected_causes(job) & 13) == 0)


def test_a_window_is_a_part_of_the_whole(job):
    gn.densify(**job["call"])
    whole, mask = read(job["call"]["out"]), read(job["call"]["mask_out"])
    part = {**job["call"], "out": job["folder"] / "part.tif", "mask_out": job["folder"] / "part_mask.tif"}
    gn.densify(**part, window=((4, 11), (3, 17)), memory_budget=100_000)
    assert np.array_equal(read(part["out"]), whole[:, 4:11, 3:17], equal_nan=True)
    assert np.array_equal(read(part["mask_out"]), mask[:, 4:11, 3:17])
    with rasterio.open(part["out"]) as dataset, rasterio.open(job["call"]["out"]) as all_of_it:
        a, b, c, d, e, f = all_of_it.transform[:6]
        assert np.allclose(dataset.transform[:6], (a, b, 3 * a + 4 * b + c, d, e, 3 * d + 4 * e + f))


def test_like_an_image_of_an_odd_size_on_a_rotated_transform(job, rasters):
    # Where the grid lies if its transform is taken to place the nodes' corners: not quite where its nodes are.
    place = {"crs": PLACE["crs"], "transform": Affine(10, 5 / 3, 1000, 0.75, -10, 9000)}
    image = rasters.reader(np.zeros((11, 19), np.uint8), **place)
    gn.densify(**{**job["call"], "like": image.name})
    with rasterio.open(job["call"]["out"]) as dataset:
        assert dataset.shape == (11, 19)
        assert dataset.crs == place["crs"]
        assert dataset.transform == place["transform"]
        dense = gn.build_grid((1, 1), job["nodes"], None, RESOLUTION, None)
        assert np.array_equal(dataset.read(), dense[:, :11, :19], equal_nan=True)


def test_a_grid_in_two_files_of_two_types(job, rasters):
    rows, cols = job["nodes"]
    row_file, col_file = rasters.reader(rows.astype(np.int32)), rasters.reader(cols.astype(np.float32))
    gn.densify((row_file.name, col_file.name), job["call"]["out"], resolution=RESOLUTION, col_band=1)
    grid = read(job["call"]["out"])
    assert grid.dtype == np.float64
    assert np.array_equal(grid[0, ::3, ::4][np.isfinite(cols)], rows.astype(np.int32)[np.isfinite(cols)])


@pytest.mark.parametrize(
    "options",
    [
        {"TILED": "NO"},
        {"compress": "deflate", "BLOCKYSIZE": 16, "blockxsize": 16},
        {"ALPHA": "NO", "PHOTOMETRIC": "MINISBLACK", "STREAMABLE_OUTPUT": "NO"},
        {"COMPRESS": "ZSTD", "PREDICTOR": 3},  # the mask's values are integers: 2 there
    ],
)
def test_creation_options(job, options):
    gn.densify(**job["call"], creation_options=options)
    gn.densify(**{**job["call"], "out": job["folder"] / "other.tif", "mask_out": None})
    assert np.array_equal(read(job["call"]["out"]), read(job["folder"] / "other.tif"), equal_nan=True)


def test_sidecars_of_the_old_file_do_not_speak_of_the_new(job):
    out = job["call"]["out"]
    gn.densify(**job["call"])
    for suffix in (".aux.xml", ".ovr", ".msk"):
        out.with_name(out.name + suffix).write_text("of the old file")
    gn.densify(**job["call"], overwrite=True)
    assert sorted(path.name for path in job["folder"].iterdir()) == ["grid.tif", "mask.tif"]


def test_a_link_is_followed(job):
    link, target = job["folder"] / "link.tif", job["folder"] / "target.tif"
    link.symlink_to(target)
    gn.densify(**{**job["call"], "out": link})
    assert link.is_symlink()
    assert read(target).shape == read(link).shape
    assert not target.is_symlink()


def test_what_is_no_regular_file_is_not_replaced(job):
    os.mkfifo(job["call"]["out"])
    with pytest.raises(gn.GridrValueError, match=r"out: '.*grid.tif' is not a regular file"):
        gn.densify(**job["call"], overwrite=True)
    assert job["call"]["out"].is_fifo()


def test_ground_control_points_are_not_lost_in_silence(job, rasters, caplog):
    points = [GroundControlPoint(row, col, 7 + col, 45 - row) for row, col in ((0, 0), (0, 4), (4, 0))]
    grid = rasters.reader(job["nodes"], gcps=points, crs="EPSG:4326")
    report = gn.densify(**{**job["call"], "grid": grid.name})
    assert "is placed by ground control points, which the outputs do not get" in caplog.text
    assert [record.getMessage() for record in caplog.records] == list(report.warnings)


def test_strict_publishes_nothing_where_there_is_a_warning(job, rasters):
    points = [GroundControlPoint(row, col, 7 + col, 45 - row) for row, col in ((0, 0), (0, 4), (4, 0))]
    call = {**job["call"], "grid": rasters.reader(job["nodes"], gcps=points, crs="EPSG:4326").name}
    out = call["out"]
    out.write_bytes(b"what was there")
    before = sorted(out.parent.iterdir())
    with pytest.raises(gn.StrictError, match=r"strict=True, and there is what to warn of: .* ground control points"):
        gn.densify(**call, strict=True, overwrite=True)
    assert out.read_bytes() == b"what was there"
    assert sorted(out.parent.iterdir()) == before
    assert gn.densify(**job["call"], strict=True, overwrite=True).warnings == ()


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "kind", "message"),
    [
        ({"grid": "http://example.org/grid.tif"}, ValueError, "grid must be the path of a local file"),
        ({"grid": "/vsicurl/http://example.org/grid.tif"}, ValueError, "only local files are read"),
        ({"grid": "/vsimem/grid.tif"}, ValueError, "only local files"),
        ({"grid": "GTIFF_DIR:1:grid.tif"}, ValueError, "only local files"),
        ({"grid": "<VRTDataset/>"}, ValueError, "only local files"),
        ({"grid": "missing.tif"}, OSError, "grid: there is no file 'missing.tif'"),
        ({"grid": 7}, TypeError, "grid must be a path, not 7"),
        ({"grid": ("a.tif",)}, ValueError, "grid must be a path or a pair"),
        ({"mask_out": "s3://bucket/mask.tif"}, ValueError, "mask_out must be the path of a local file"),
        ({"out": "nowhere/grid.tif"}, OSError, "out: there is no folder 'nowhere'"),
        ({"out": None}, ValueError, "out must be given with a grid"),
        ({"grid": None}, ValueError, "out must be given with a grid, and only with one"),
        ({"grid": None, "out": None, "mask": None}, ValueError, "shape must be given, as .* no mask and no like"),
        (
            {"grid": None, "out": None, "mask_out": None, "shape": (2, 2)},
            ValueError,
            "^mask must have|nothing to make",
        ),
        ({"shape": (2, 2)}, ValueError, "shape must not be given with a grid"),
        ({"window": ((0, 17), (0, 3))}, ValueError, r"window must lie within the dense raster's \(16, 25\) .* 0 to 17"),
        ({"window": ((3, 3), (0, 3))}, ValueError, "window must be half-open pairs"),
        ({"mask_out_values": "reasons"}, ValueError, "a pair .valid, invalid. or 'causes'"),
        ({"dtype": np.int32}, TypeError, "dtype must be a floating data type"),
        ({"dtype": np.float16}, TypeError, "dtype must be float32 or float64"),
        ({"fill": np.inf}, ValueError, "fill must be finite"),
        ({"fill": 1e39, "dtype": np.float32}, ValueError, "must fit in float32"),
        ({"threads": 0}, ValueError, "threads must be at least 1"),
        ({"creation_options": {"NBITS": 16}}, ValueError, "NBITS=16 would lose digits"),
        ({"creation_options": {"discard_lsb": 3}}, ValueError, "DISCARD_LSB=3 would lose digits"),
        ({"creation_options": {"COMPRESS": "LERC", "MAX_Z_ERROR": 0.1}}, ValueError, "MAX_Z_ERROR=0.1 would lose"),
        ({"creation_options": {"COMPRESS": "jpeg"}}, ValueError, "COMPRESS=jpeg would lose digits"),
        ({"creation_options": ["TILED"]}, TypeError, "creation_options must be a dict"),
        (
            {"creation_options": {"BLOCKYSIZE": "1e3"}},
            ValueError,
            r"creation_options\['BLOCKYSIZE'\] must be a positive",
        ),
        ({"creation_options": {"TFW": "YES"}}, ValueError, "creation_options: TFW is of a second file"),
        ({"creation_options": {"ALPHA": "YES"}}, ValueError, "creation_options: ALPHA=YES would change what the bands"),
        ({"creation_options": {"alpha": "premultiplied"}}, ValueError, "would change what the bands are"),
        ({"creation_options": {"PHOTOMETRIC": "RGB"}}, ValueError, "PHOTOMETRIC=RGB would change what the bands are"),
        ({"creation_options": {"PHOTOMETRIC": "MINISWHITE"}}, ValueError, "would change what the bands are"),
        ({"creation_options": {"PIXELTYPE": "SIGNEDBYTE"}}, ValueError, "would change what the bands are"),
        ({"creation_options": {"ADD_ALPHA": "YES"}, "driver": "COG"}, ValueError, "would change what the bands are"),
        (
            {"creation_options": {"STREAMABLE_OUTPUT": "YES"}},
            ValueError,
            "creation_options: STREAMABLE_OUTPUT=YES is of",
        ),
        ({"out": "a.shp"}, ValueError, "^out: 'a.shp' would hold a GTiff, and the suffix .shp says another format"),
        ({"mask_out": "a.ZIP"}, ValueError, "^mask_out: 'a.ZIP' would hold a GTiff, and the suffix .zip says another"),
        ({"out": "a.tif.gz"}, ValueError, "the suffix .gz says another format"),
        ({"out": "a.json"}, ValueError, "the suffix .json says another format"),
        ({"creation_options": {"profile": "BASELINE"}}, ValueError, "PROFILE=BASELINE would lose names of bands"),
        ({"threshold": 2}, ValueError, r"threshold must .*, not 2"),
        ({"fill": 1e300, "dtype": "float32"}, ValueError, "^fill "),
        ({"mask_valid_value": 1.5}, ValueError, "^mask_valid_value "),
        ({"valid": shapely.Point(1, 1)}, TypeError, "^valid must be polygons, not a Point"),
        ({"creation_options": {"BLOCKXSIZE": 17}}, ValueError, "creation_options: GDAL refuses them: "),
        ({"memory_budget": 10}, MemoryError, "a memory_budget of .* bytes, and it is 10"),
        ({"progress": "bar"}, TypeError, "progress must be a callable"),
    ],
)
def test_refusals(job, change, kind, message):
    with pytest.raises(kind, match=message) as caught:
        gn.densify(**{**job["call"], **change})
    if isinstance(caught.value, (gn.GridrValueError, gn.GridrTypeError)):
        assert caught.value.argument in inspect.signature(gn.densify).parameters
        assert caught.value.argument in str(caught.value)
    assert os.listdir(job["folder"]) == []


def test_a_target_larger_than_the_dense_raster(job, rasters):
    image = rasters.reader(np.zeros((16, 26), np.uint8))
    with pytest.raises(ValueError, match=r"like must lie within the dense raster's \(16, 25\).*0 to 26"):
        gn.densify(**{**job["call"], "like": image.name})


def test_outputs_that_exist_or_are_inputs(job):
    gn.densify(**job["call"])
    before = read(job["call"]["out"])
    with pytest.raises(ValueError, match="exists; overwrite=True replaces it"):
        gn.densify(**job["call"])
    with pytest.raises(ValueError, match="is an input, and is not overwritten"):
        gn.densify(**{**job["call"], "out": job["call"]["grid"]}, overwrite=True)
    with pytest.raises(ValueError, match="out and mask_out must differ"):
        gn.densify(**{**job["call"], "mask_out": job["call"]["out"]}, overwrite=True)
    gn.densify(**job["call"], overwrite=True)
    assert np.array_equal(read(job["call"]["out"]), before, equal_nan=True)


def test_xml_in_a_tif_is_not_followed(job, tmp_path):
    trap = tmp_path / "trap.tif"
    trap.write_text("<VRTDataset rasterXSize='2' rasterYSize='2'></VRTDataset>")
    with pytest.raises(OSError, match="cannot be opened as GTiff or ENVI"):
        gn.densify(**{**job["call"], "grid": trap})


def vrt_of(path, source, relative):
    name = f'<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename>'
    bands = "".join(
        f'<VRTRasterBand dataType="Float64" band="{band}"><SimpleSource>{name}<SourceBand>{band}</SourceBand>'
        "</SimpleSource></VRTRasterBand>"
        for band in (1, 2)
    )
    rows, cols = NODE_SHAPE
    path.write_text(f'<VRTDataset rasterXSize="{cols}" rasterYSize="{rows}">{bands}</VRTDataset>')
    return path


def test_local_vrts_where_they_are_allowed(job, tmp_path):
    grid = job["call"]["grid"]
    relative = vrt_of(tmp_path / "relative.vrt", os.path.basename(grid), 1)
    with pytest.raises(ValueError, match="is a VRT, which may name any other file"):
        gn.densify(**{**job["call"], "grid": relative})
    gn.densify(**{**job["call"], "grid": relative}, allow_vrt=True)
    first = read(job["call"]["out"])
    gn.densify(**{**job["call"], "grid": vrt_of(tmp_path / "whole.vrt", grid, 0)}, allow_vrt=True, overwrite=True)
    assert np.array_equal(read(job["call"]["out"]), first, equal_nan=True)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text.replace("RELATIVE.tif", "/vsicurl/http://example.org/x.tif"), "only local files are read"),
        (lambda text: text.replace("SimpleSource", "KernelFilteredSource"), "holds a KernelFilteredSource"),
        (
            lambda text: text.replace('dataType="Float64"', 'dataType="Float64" subClass="VRTDerivedRasterBand"'),
            "VRTDerived",
        ),
        (lambda text: text[:50], "is not XML"),
    ],
)
def test_vrts_that_could_reach_further(job, tmp_path, spoil, message):
    path = vrt_of(tmp_path / "trap.vrt", "RELATIVE.tif", 0)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ValueError, match=message):
        gn.densify(**{**job["call"], "grid": path}, allow_vrt=True)


def test_a_file_of_one_huge_block(job, monkeypatch):
    monkeypatch.setattr("gridr_numba.files.inputs.BLOCK_BYTES_AT_MOST", 100)
    with pytest.raises(ValueError, match=r"grid: .* has blocks of .* at most 0 MB can be read"):
        gn.densify(**job["call"])


# -- what goes wrong ----------------------------------------------------------------------------------------------


class WorseThanExpectedError(BaseException):
    pass


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, WorseThanExpectedError])
def test_what_progress_raises_cancels_cleanly(job, error):
    def cancel(done, total):
        raise error

    with pytest.raises(error):
        gn.densify(**job["call"], progress=cancel)
    assert os.listdir(job["folder"]) == []


def test_a_file_that_is_not_read_back_as_written(job, monkeypatch):
    real = outputs.Checksums.verify

    def corrupt_first(self, files, *others):
        with rasterio.open(files[-1].partial, "r+") as dataset:
            values = dataset.read(1)
            values[3, 3] += 1
            dataset.write(values, 1)
        real(self, files, *others)

    monkeypatch.setattr(outputs.Checksums, "verify", corrupt_first)
    with pytest.raises(OSError, match="were not read back as written; nothing was replaced"):
        gn.densify(**job["call"])
    assert os.listdir(job["folder"]) == []


@pytest.mark.parametrize("there", [(), ("grid.tif",), ("grid.tif", "mask.tif")])
def test_if_the_second_cannot_be_replaced_the_error_names_what_was(job, monkeypatch, there):
    """What replaced nothing is removed again."""
    for name in there:
        (job["folder"] / name).write_bytes(b"old")
    real = os.replace

    def replace_once(source, target):
        if str(target).endswith("grid.tif"):
            raise OSError("no")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace_once)
    already = "'.*mask.tif' was already replaced" if "mask.tif" in there else "nothing was replaced"
    with pytest.raises(OSError, match=rf"grid.tif' cannot be replaced: no; {already}"):
        gn.densify(**job["call"], overwrite=True)
    left = {path.name: path.read_bytes() == b"old" for path in job["folder"].iterdir()}
    assert left == {name: name == "grid.tif" for name in there}


def test_a_disk_without_room(job, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(OSError, match=r"the outputs need 4 MB .* and 0 MB are free"):
        gn.densify(**job["call"])
    assert os.listdir(job["folder"]) == []


def test_truncated_input(job, rasters):
    path = rasters.reader(np.random.default_rng(0).random((2, 200, 200))).name
    with open(path, "r+b") as file:
        file.truncate(300_000)
    with pytest.raises(OSError, match=r"cannot read '.*tif'"):
        gn.densify(path, job["call"]["out"], resolution=(2, 2))
    assert os.listdir(job["folder"]) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"threshold": 1, "mask_out_values": [1, 0], "geometry_origin": np.zeros(2)}, {}),
        ({"grid_nodata": np.array(7.0)}, {"grid_nodata": 7.0}),
        ({"threshold": np.longdouble(0.5)}, {"threshold": 0.5}),
        ({"valid": np.array(shapely.box(0, 0, 50, 50), dtype=object)}, {"valid": "Polygon"}),
    ],
)
def test_the_tag_holds_what_differs_from_the_defaults_by_value(job, options, expected):
    kept = ("out", "grid", "resolution", "mask", "mask_out")
    call = {**{key: value for key, value in job["call"].items() if key in kept}, **options}
    gn.densify(**call)
    with rasterio.open(call["out"]) as dataset:
        said = json.loads(dataset.tags()["GRIDR_NUMBA_OPTIONS"])
    said.pop("resolution")
    assert said == expected


def test_the_tag_names_files_by_what_the_argument_is(job, rasters, tmp_path, monkeypatch):
    """A path is said by its name and other text as it is, whatever files there are."""
    monkeypatch.chdir(tmp_path)
    wkt = rasterio.crs.CRS.from_epsg(32631).to_wkt(version="WKT2_2019") + " " * 5000
    (tmp_path / "EPSG:32631").touch()
    (tmp_path / "clouds").mkdir()
    (tmp_path / "clouds/polygon.wkt").write_text(shapely.to_wkt(CLOUD))
    dense_place = {**PLACE, "transform": gn.dense_transform(PLACE["transform"], RESOLUTION)}
    image = rasters.reader(np.zeros(FULL, np.uint8), **dense_place).name
    call = {key: job["call"][key] for key in ("out", "grid", "resolution")} | {"overwrite": True, "like": image}
    utm = rasterio.crs.CRS.from_epsg(32631)
    for crs, named in (
        ("EPSG:32631", "EPSG:32631"),
        (wkt, wkt),
        (("pixels", "EPSG:32631"), ["pixels", "EPSG:32631"]),
        (utm, "EPSG:32631"),
        (SimpleNamespace(to_wkt=utm.to_wkt), utm.to_wkt()),
    ):
        gn.densify(
            **call, valid="clouds/polygon.wkt", invalid=[tmp_path / "clouds/polygon.wkt", CLOUD], geometry_crs=crs
        )
        with rasterio.open(call["out"]) as dataset:
            said = json.loads(dataset.tags()["GRIDR_NUMBA_OPTIONS"])
        assert said.pop("resolution") == [3, 4]
        assert said == {
            "like": os.path.basename(image),
            "valid": "polygon.wkt",
            "invalid": ["polygon.wkt", "Polygon"],
            "geometry_crs": named,
        }


def test_a_text_too_long_for_a_file_is_refused_by_the_name_of_its_argument(job):
    with pytest.raises(gn.GridrValueError, match=r"^geometry_crs must be") as caught:
        gn.densify(**{**job["call"], "geometry_crs": "x" * 5000 + "/"})
    assert caught.value.argument == "geometry_crs"
