"""What the doors that make rasters doubt: inputs that lie elsewhere, nothing valid, options without an effect."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest
import rasterio
import shapely
import xarray as xr
from affine import Affine
from command_line import run

import gridr_numba as gn
from gridr_numba import lazy, plot
from gridr_numba.doors import preview as quicklook
from gridr_numba.types import Cause

STEP = (4, 6)
PLACE = {"crs": "EPSG:32631", "transform": Affine(60, 0, 500000, 0, -40, 4800000)}
NODES = np.stack(np.meshgrid(np.arange(9) * 4.0, np.arange(8) * 6.0, indexing="ij"))
DENSE = gn.dense_transform(PLACE["transform"], STEP)
FULL = gn.grid_full_resolution_shape(NODES.shape[1:], STEP)


@pytest.fixture
def grid(rasters):
    return rasters.reader(NODES, **PLACE).name


# -- inputs that lie elsewhere ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("down", "right", "warned"),
    [(0, 0, False), (0.009, -0.009, False), (0.02, 0, True), (0, -0.011, True), (1.9, 2.9, True), (-1.9, -2.9, True)],
)
@pytest.mark.parametrize("angle", [0, 30])
def test_an_image_that_lies_less_than_half_a_node_away_is_warned_of(rasters, tmp_path, down, right, warned, angle):
    """The warning says how far, in dense pixels."""
    turned = {**PLACE, "transform": PLACE["transform"] @ Affine.rotation(angle)}
    dense = gn.dense_transform(turned["transform"], STEP)
    image = rasters.reader(
        np.zeros((20, 30), np.uint8), crs=PLACE["crs"], transform=dense @ Affine.translation(right, down)
    )
    made = gn.densify(rasters.reader(NODES, **turned).name, tmp_path / "out.tif", resolution=STEP, like=image.name)
    words = [each for each in made.warnings if each.startswith("like: ")]
    assert len(words) == warned
    if warned:
        said = re.search(r"lies (\S+) rows and (\S+) columns of dense pixels from where", words[0])
        assert [float(each) for each in said.groups()] == pytest.approx([down, right], abs=1e-5)


def test_the_furthest_corner_of_an_image_is_what_counts(rasters, grid, tmp_path):
    image = rasters.reader(np.zeros((21, 31), np.uint8), crs=PLACE["crs"], transform=DENSE @ Affine.scale(1.05, 1.0))
    (warning,) = gn.densify(grid, tmp_path / "out.tif", resolution=STEP, like=image.name).warnings
    assert "lies +0 rows and +1.525 columns of dense pixels" in warning  # its pixels start where the grid's do
    with pytest.raises(gn.StrictError, match="lies "):
        gn.densify(grid, tmp_path / "strict.tif", resolution=STEP, like=image.name, strict=True)
    assert not (tmp_path / "strict.tif").exists()


# -- nothing valid ------------------------------------------------------------------------------------------------

AWAY = shapely.box(-30, -30, -10, -10)
NOTHING = {
    "a mask of another value": (Cause.RASTER_MASK, {"mask": np.full(NODES.shape[1:], 255, np.uint8)}),
    "no node": (Cause.NODE, {"grid": np.full(NODES.shape, np.nan)}),
    "no ground": (Cause.OUTSIDE_VALID, {"valid": AWAY}),
    "all clouds": (Cause.INSIDE_INVALID, {"invalid": shapely.box(-1, -1, 999, 999)}),
    "another source": (Cause.OUTSIDE_SOURCE, {"grid": NODES + 1000, "source": np.zeros((50, 50), np.uint8)}),
}


@pytest.mark.parametrize("with_mask_out", [False, True])
@pytest.mark.parametrize("name", NOTHING)
def test_nothing_valid_is_warned_of_with_the_largest_cause(rasters, tmp_path, name, with_mask_out):
    cause, inputs = NOTHING[name]
    call = {"grid": NODES, **inputs}
    files = {key: rasters.reader(value).name if isinstance(value, np.ndarray) else value for key, value in call.items()}
    if with_mask_out:
        files["mask_out"] = tmp_path / "mask.tif"
    made = gn.densify(**files, out=tmp_path / "out.tif", resolution=STEP)
    (warning,) = [each for each in made.warnings if each.startswith("no pixel is valid")]
    pixels = f"{FULL[0] * FULL[1]:,}"
    assert f"of {pixels} of {pixels} the first cause is {cause.label!r} ({cause.help}); {cause.advice}" in warning
    with pytest.raises(gn.StrictError, match="no pixel is valid"):
        gn.densify(**files, out=tmp_path / "out.tif", resolution=STEP, strict=True, overwrite=True)


def test_of_two_causes_the_larger_is_named(rasters, tmp_path):
    nodes = NODES.copy()
    nodes[:, 1:] = np.nan
    grid, mask = rasters.reader(nodes).name, np.ones(NODES.shape[1:], np.uint8)
    mask[0] = 0
    out = {"out": tmp_path / "out.tif", "mask_out": tmp_path / "mask.tif"}
    (warning,) = gn.densify(grid, mask=rasters.reader(mask).name, **out, resolution=STEP).warnings
    masked = STEP[0] * FULL[1]  # rows above the second one of nodes, to which the first contributes
    assert f"of {FULL[0] * FULL[1] - masked:,} of {FULL[0] * FULL[1]:,} the first cause is 'node'" in warning


def test_nothing_valid_in_a_mask_alone(rasters, tmp_path):
    mask = rasters.reader(np.full((9, 8), 255, np.uint8)).name
    call = {"grid": None, "out": None, "mask": mask, "mask_out": tmp_path / "out.tif", "resolution": STEP}
    (warning,) = gn.densify(**call).warnings
    assert "the first cause is 'raster mask'" in warning
    assert "mask_valid_value" in warning
    assert gn.densify(**call, mask_valid_value=255, overwrite=True).warnings == ()


# -- options without an effect ------------------------------------------------------------------------------------

COVERS = {"shapely_predicate": gn.ShapelyPredicate.COVERS}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_band": 2}, "^mask_band must not be given without mask"),
        ({"mask_valid_value": 0}, "^mask_valid_value must not be given without mask"),
        ({"threshold": 0.5}, "^threshold must not be given without mask"),
        ({"mask_out_values": (0, 255)}, "^mask_out_values must not be given without mask_out"),
        ({"mask_out_values": "causes"}, "^mask_out_values must not be given without mask_out"),
        ({"rasterize_kwargs": {"alg": 1, "kwargs_alg": COVERS}}, "^rasterize_kwargs: a predicate is SHAPELY's alone"),
        (
            {"rasterize_kwargs": {"alg": 1, "kwargs_alg": {"shapely_predicate": 2}}, "valid": AWAY},
            "^rasterize_kwargs: a predicate is SHAPELY's alone",
        ),
    ],
)
def test_options_that_cannot_have_an_effect_are_refused(grid, tmp_path, options, message):
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(gn.GridrValueError, match=message) as caught:
        gn.densify(grid, tmp_path / "out.tif", resolution=STEP, **options)
    assert caught.value.argument in options
    assert sorted(os.listdir(tmp_path)) == before


def test_defaults_that_are_given_are_no_error(grid, tmp_path):
    """Programs that hand all options on need not know which of them matter."""
    options = {"mask_band": np.int64(1), "mask_valid_value": 1.0, "threshold": 1, "mask_out_values": [1, 0]}
    options["rasterize_kwargs"] = {"alg": 2, "kwargs_alg": {"shapely_predicate": None}}
    options |= {"geometry_origin": [0, 0], "geometry_crs": (None, None), "geometry_layer": (None, None)}
    gn.densify(grid, tmp_path / "out.tif", resolution=STEP, **options)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--threshold", "1"), "--threshold must not be given without --mask."),
        (("--mask-band", "1"), "--mask-band must not be given without --mask."),
        (("--mask-valid-value", "255"), "--mask-valid-value must not be given without --mask."),
        (("--causes",), "--mask-values or --causes must not be given without --mask-out, of which it speaks"),
        (("--mask-values", "0", "1"), "--causes must not be given without --mask-out"),
        (("--valid", "a.wkt", "--predicate", "contains", "--alg", "rasterio"), "a predicate is SHAPELY's alone"),
        (("--valid", "a.wkt", "--predicate", "covers", "--alg", "rasterio"), "a predicate is SHAPELY's alone"),
    ],
)
def test_options_of_the_command_line_that_cannot_have_an_effect(grid, tmp_path, given, message):
    """There what is written counts, also where it is the default."""
    done = run("densify", grid, tmp_path / "out.tif", "-r", 4, 6, *given)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (tmp_path / "out.tif").exists()


OF_POLYGONS = {
    "geometry_crs": "pixels",
    "geometry_layer": "clouds",
    "geometry_origin": (0.0, 0.5),
    "rasterize_kwargs": {"kwargs_alg": {"shapely_predicate": gn.ShapelyPredicate.CONTAINS}},
    "repair_geometry": True,
}


def made_of(door, grid, folder, options):
    """Call a door that takes polygons, which are not given unless among the options."""
    (folder / "clear").mkdir()
    image, at = rasterio_image(folder / "clear" / "image.tif"), {"resolution": STEP}
    row, col = (xr.DataArray(band) for band in NODES)
    calls = {
        "densify": lambda: gn.densify(grid, folder / "out.tif", **at, **options),
        "mask": lambda: gn.densify(None, None, shape=(3, 4), mask_out=folder / "out.tif", **at, **options),
        "open_densifier": lambda: gn.open_densifier(grid, **at, **options),
        "densify_lazy": lambda: lazy.densify_lazy(grid, **at, **options),
        "densify_arrays": lambda: lazy.densify_arrays(row, col, STEP, **options),
        "resample": lambda: gn.resample(image, grid, folder / "out.tif", **at, nodata=0, **options),
        "resample_lazy": lambda: lazy.resample_lazy(image, grid, **at, **options),
        "warp": lambda: gn.warp(image, folder / "out.tif", crs=32631, nodata=0, **options),
        "resample_array": lambda: gn.resample_array(np.ones((60, 60)), NODES, STEP, **options),
        "preview": lambda: quicklook.preview(grid, folder / "out.png", **options),
        "plot_grid": lambda: plot.plot_grid(grid, **options),
        "plot_mask": lambda: plot.plot_mask(image, **options),
    }
    return calls[door]()


def rasterio_image(path):
    with rasterio.open(path, "w", driver="GTiff", count=1, height=60, width=60, dtype="uint8", **PLACE) as image:
        image.write(np.ones((60, 60), np.uint8), 1)
    return path


DRAWN = ("preview", "plot_grid", "plot_mask")
IN_FILES = ("densify", "mask", "open_densifier", "densify_lazy", "resample", "resample_lazy", "warp")
TAKEN = {
    **dict.fromkeys((*IN_FILES, "densify_arrays"), tuple(OF_POLYGONS)),
    "resample_array": ("geometry_origin", "rasterize_kwargs", "repair_geometry"),
    **dict.fromkeys(DRAWN, ("geometry_crs", "geometry_layer", "geometry_origin")),
}


@pytest.mark.parametrize(("door", "name"), [(door, name) for door, names in TAKEN.items() for name in names])
def test_what_speaks_of_polygons_needs_some(grid, tmp_path, door, name):
    with pytest.raises(gn.GridrValueError, match=f"^{name} must not be given without valid or invalid") as caught:
        made_of(door, grid, tmp_path, {name: OF_POLYGONS[name]})
    assert caught.value.argument == name
    assert not [each for each in os.listdir(tmp_path) if each.startswith("out")]


@pytest.mark.parametrize("name", ["geometry_crs", "geometry_layer"])
@pytest.mark.parametrize(("index", "kind"), [(0, "valid"), (1, "invalid")])
def test_half_of_a_pair_speaks_of_one_kind_of_polygons(grid, tmp_path, name, index, kind):
    pair = [None, None]
    pair[index] = OF_POLYGONS[name]
    other = "invalid" if kind == "valid" else "valid"
    options = {other: shapely.box(1, 1, 9, 9), name: pair}
    with pytest.raises(gn.GridrValueError, match=rf"^{name}\[{index}\] must not be given without {kind}, of") as caught:
        gn.densify(grid, tmp_path / "out.tif", resolution=STEP, **options)
    assert caught.value.argument == name


@pytest.mark.parametrize("door", TAKEN)
def test_polygons_that_there_are_may_be_spoken_of(grid, tmp_path, door):
    options = {name: value for name, value in OF_POLYGONS.items() if name in TAKEN[door] and name != "geometry_layer"}
    made_of(door, grid, tmp_path, {**options, "valid": shapely.box(1, 1, 9, 9)})


SAID_OF_POLYGONS = [
    (("--geometry-crs", "pixels"), "--valid or --invalid"),
    (("--layer", "clouds"), "--valid or --invalid"),
    (("--origin", 0, 0), "--valid or --invalid"),
    (("--valid-crs", 4326, "--invalid", "a.wkt"), "--valid"),
    (("--invalid-crs", 4326, "--valid", "a.wkt"), "--invalid"),
]
HOW_THEY_ARE_USED = [
    (("--predicate", "covers"), "--valid or --invalid"),
    (("--alg", "shapely"), "--valid or --invalid"),
    (("--repair-geometry",), "--valid or --invalid"),
]


@pytest.mark.parametrize(
    ("command", "given", "polygons"),
    [("preview", *each) for each in SAID_OF_POLYGONS]
    + [
        (command, *each)
        for command in ("densify", "mask", "resample", "warp")
        for each in SAID_OF_POLYGONS + HOW_THEY_ARE_USED
    ],
)
def test_on_the_command_line_too_what_speaks_of_polygons_needs_some(command, given, polygons):
    """There what is written counts, also where it is the default."""
    files = {"resample": ("i.tif", "g.tif", "o.tif"), "mask": ("o.tif",)}.get(command, ("i.tif", "o.tif"))
    done = run(command, *files, *given)
    assert done.exit_code == 2
    assert f"{given[0]} must not be given without {polygons}." in done.stderr


def test_the_algorithm_of_gdal_needs_no_predicate(grid, tmp_path):
    (tmp_path / "ground.wkt").write_text(shapely.to_wkt(shapely.box(1, 1, 20, 20)))
    ground = ("--valid", tmp_path / "ground.wkt", "--alg", "rasterio", "--geometry-crs", "pixels")
    done = run("densify", grid, tmp_path / "out.tif", "-r", 4, 6, *ground)
    assert (done.exit_code, done.stderr) == (0, "")
