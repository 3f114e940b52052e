"""Polygons in one coordinate reference system on rasters in another, anywhere on the globe.

The oracle brings each pixel centre to the polygons' CRS and asks shapely there; a longitude and the one 360 degrees
away are one place.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.warp import transform as warp

import gridr_numba as gn
from gridr_numba import checks
from gridr_numba.polygons import footprint, projected
from gridr_numba.polygons.files import pixel_polygons
from gridr_numba.polygons.mask import Lattice, PolygonMask
from gridr_numba.polygons.projection import PixelFrame
from gridr_numba.polygons.sample import Sample
from gridr_numba.window import Window

AEQD_NORTH = "+proj=aeqd +lat_0=90 +lon_0=0 +datum=WGS84"
SOUTH = "EPSG:3031"


def over(left, bottom, right, top, shape):
    return Affine((right - left) / shape[1], 0, left, 0, (bottom - top) / shape[0], top), shape


# How far x is from itself once around.
TURNS = {"EPSG:4326": 360, "EPSG:4258": 360, "EPSG:3857": 2 * np.pi * 6378137}

# CRS, transform from pixel corners, shape.
RASTERS = {
    "laea": ("EPSG:3035", *over(2.5e6, 1.4e6, 7.0e6, 5.5e6, (96, 96))),
    "utm1": ("EPSG:32601", *over(100_000, 6.5e6, 700_000, 7.1e6, (96, 97))),
    "utm60": ("EPSG:32660", Affine.translation(3e5, -2e5) @ Affine.rotation(-27) @ Affine.scale(6e3, -5e3), (90, 96)),
    "pole": (AEQD_NORTH, *over(-1.5e6, -1.5e6, 1.5e6, 1.5e6, (97, 97))),  # a centre on the pole, a column on 180
    "polar": (AEQD_NORTH, *over(-2.1e6, -1.2e6, 1.5e6, 1.9e6, (180, 200))),
    "disc": (AEQD_NORTH, *over(-2.1e7, -2.1e7, 2.1e7, 2.1e7, (120, 120))),  # its corners are nowhere
    "south": (SOUTH, *over(-2e6, -2e6, 2e6, 2e6, (80, 90))),
    "degrees": ("EPSG:4326", *over(-180, -90, 180, 90, (90, 180))),
    "nodes": ("EPSG:4326", *over(-181, -91, 181, 91, (91, 181))),  # centres on the poles and on both 180
    "positive": ("EPSG:4326", *over(0, -90, 360, 90, (180, 360))),
    "mercator": ("EPSG:3857", *over(-20037508.34, -15e6, 20037508.34, 15e6, (90, 120))),
    "fiji": ("EPSG:3857", *over(19e6, -3e6, 21e6, -1e6, (80, 70))),
}
POLYGONS = {
    "globe": [shapely.box(-179.9, -89.9, 179.9, 89.9)],
    "whole globe": [shapely.box(-180, -90, 180, 90)],
    "half": [shapely.box(-180, 0, 180, 90)],
    "cap": [shapely.box(-180, 82, 180, 90)],
    "ring": [shapely.box(-180, 70, 180, 86), shapely.box(-180, -84, 180, -70)],
    "south cap": [shapely.box(-180, -90, 180, -80)],
    "globe with a hole": [shapely.box(-179.9, -89.9, 179.9, 89.9) - shapely.Point(12, 52).buffer(6)],
    "wedge": [shapely.box(100, -30, 170, 90), shapely.box(-20, 60, 0, 90)],
    "split at 180": [shapely.box(170, -25, 180, 65), shapely.box(-180, -25, -165, 65)],
    "split cap": [shapely.box(-180, 75, 0, 90), shapely.box(0, 75, 180, 90)],
    "beyond 180": [shapely.Polygon([(170, -30), (195, -20), (190, 66), (172, 60)])],
    "ordinary": [shapely.Polygon([(5, 45), (20, 43), (18, 57), (3, 55)]), shapely.Point(177, 1).buffer(2)],
    "overlapping": [shapely.box(-10, 40, 15, 60), shapely.box(10, 35, 30, 85)],
}


def brought(source, target, xs, ys):
    """Bring points one CRS to another; NaN where PROJ cannot."""
    try:
        return np.array(warp(source, target, xs, ys))
    except Exception:
        if len(xs) == 1:
            return np.full((2, 1), np.nan)
        half = len(xs) // 2
        parts = (brought(source, target, xs[part], ys[part]) for part in (slice(half), slice(half, None)))
        return np.concatenate(list(parts), axis=1)


@cache
def centres(crs, raster, away):
    """Bring a raster's pixel centres, or points so far away from them, to a CRS: the same for all polygons in it."""
    raster_crs, transform, shape = raster
    rows, cols = np.indices(shape, dtype=float)
    xs, ys = (part.ravel() for part in gn.pixel_to_map(transform, rows + away[0], cols + away[1]))
    return (xs, ys) if raster_crs == crs else brought(raster_crs, crs, xs, ys)


def asked(polygons, crs, raster, away):
    xs, ys = centres(crs, raster, away)
    turn = TURNS.get(crs, 1e9)
    inside = np.zeros(xs.shape, bool)
    for polygon in polygons:
        shapely.prepare(polygon)
        for turns in (-1, 0, 1):
            inside |= shapely.intersects_xy(polygon, xs + turns * turn, ys)
    return inside.reshape(raster[2])


def truth(polygons, crs, raster):
    """Return what is inside, and where 0.05 pixels away all is the same: there nobody may differ."""
    inside = asked(polygons, crs, raster, (0.0, 0.0))
    around = [(-0.05, -0.05), (-0.05, 0.05), (0.05, -0.05), (0.05, 0.05)]
    clear = [asked(polygons, crs, raster, away) == inside for away in around]
    return inside, np.logical_and.reduce(clear)


def frame_of(raster, origin=(0.0, 0.0)):
    raster_crs, transform, shape = raster
    return PixelFrame(CRS.from_user_input(raster_crs), transform, origin, shape)


def mask_of(polygons, crs, raster, origin=(0.0, 0.0), alg=gn.GridRasterizeAlg.SHAPELY):
    sets = pixel_polygons(polygons, None, frame_of(raster, origin), crs=CRS.from_user_input(crs))
    shape = raster[2]
    mask = PolygonMask.of_sets(
        *sets, Lattice(shape, origin), checks.rasterize_options({"alg": alg}, "rasterize_kwargs")
    )
    out = np.empty(shape, np.uint8)
    mask.write_causes(Window.whole(shape), out)
    return out == 0


@pytest.mark.parametrize("raster", RASTERS)
@pytest.mark.parametrize("polygons", POLYGONS)
def test_pixels_are_in_the_polygons_where_their_centres_are(polygons, raster):
    found = mask_of(POLYGONS[polygons], "EPSG:4326", RASTERS[raster])
    inside, clear = truth(POLYGONS[polygons], "EPSG:4326", RASTERS[raster])
    wrong = np.argwhere((found != inside) & clear)
    assert clear.mean() > 0.9
    assert not len(wrong), f"{len(wrong)} pixels, the first at {wrong[0]}: {found[tuple(wrong[0])]}"


# In their own CRS: the polygons, the CRS and the rasters.
ELSEWHERE = {
    "mercator over 180": ("EPSG:3857", [shapely.box(19.5e6, -3e6, 20.6e6, 2e6)], ["utm1", "utm60", "degrees", "fiji"]),
    "mercator world": ("EPSG:3857", [shapely.box(-20037508.34, -2e7, 20037508.34, 2e7)], ["polar", "positive", "laea"]),
    "around the pole": (AEQD_NORTH, [shapely.Point(1e5, 2e5).buffer(1.2e6)], ["degrees", "nodes", "positive"]),
    "almost all": (AEQD_NORTH, [shapely.Point(0, 0).buffer(1.9e7)], ["degrees", "laea", "utm60", "mercator"]),
    "utm over 180": ("EPSG:32660", [shapely.box(6e5, -5e5, 12e5, 8e5)], ["degrees", "nodes", "positive", "mercator"]),
    "europe": ("EPSG:3035", [shapely.box(3e6, 2e6, 5e6, 4e6)], ["positive", "nodes", "polar", "mercator"]),
    "degrees around 0": ("EPSG:4258", [shapely.box(-10, -20, 12, 60)], ["positive", "degrees", "mercator", "laea"]),
    "one CRS": ("EPSG:4326", [shapely.box(-10, -20, 12, 60), shapely.box(150, 0, 200, 9)], ["positive", "nodes"]),
}  # fmt: skip


@pytest.mark.parametrize("case", ELSEWHERE)
def test_polygons_in_any_crs(case):
    crs, polygons, rasters = ELSEWHERE[case]
    for raster in rasters:
        found = mask_of(polygons, crs, RASTERS[raster])
        inside, clear = truth(polygons, crs, RASTERS[raster])
        wrong = np.argwhere((found != inside) & clear)
        assert not len(wrong), f"{raster}: {len(wrong)} pixels, the first at {wrong[0]}: {found[tuple(wrong[0])]}"


@pytest.mark.parametrize("raster", ["laea", "pole", "degrees"])
@pytest.mark.parametrize("alg", list(gn.GridRasterizeAlg))
def test_by_any_algorithm_and_from_any_origin(raster, alg):
    inside, clear = truth(POLYGONS["globe with a hole"], "EPSG:4326", RASTERS[raster])
    found = mask_of(POLYGONS["globe with a hole"], "EPSG:4326", RASTERS[raster], (-12.5, 1000.25), alg)
    assert np.array_equal(found[clear], inside[clear])


def job_of(rasters, raster, resolution=(4, 5)):
    """Return a grid that lies where a raster does, and the raster that its dense nodes make."""
    crs, transform, (height, width) = raster
    shape = (height // resolution[0] + 1, width // resolution[1] + 1)
    coarse = transform @ Affine.scale(resolution[1], resolution[0])
    nodes = np.stack(np.meshgrid(np.arange(shape[0]) * 4.0, np.arange(shape[1]) * 5.0, indexing="ij"))
    grid = rasters.reader(nodes, crs=crs, transform=coarse).name
    full = gn.grid_full_resolution_shape(shape, resolution)
    return {"grid": grid, "resolution": resolution}, (crs, gn.dense_transform(coarse, resolution), full)


def densified(job, tmp_path, **options):
    paths = {"out": tmp_path / "o.tif", "mask_out": tmp_path / "m.tif"}
    gn.densify(**job, **paths, geometry_crs=4326, overwrite=True, **options)
    with rasterio.open(tmp_path / "m.tif") as dataset:
        return dataset.read(1) == 1


@pytest.mark.parametrize("raster", ["laea", "utm1", "polar", "disc"])
@pytest.mark.parametrize("polygons", POLYGONS)
def test_a_window_is_that_slice_of_the_whole(rasters, tmp_path, polygons, raster):
    job, _ = job_of(rasters, RASTERS[raster])
    whole = densified(job, tmp_path, valid=POLYGONS[polygons])
    part = densified(job, tmp_path, valid=POLYGONS[polygons], window=((50, 57), (33, 61)))
    assert np.array_equal(part, whole[50:57, 33:61])


@pytest.mark.parametrize("polygons", ["globe", "cap"])
def test_both_kinds_through_densify(rasters, tmp_path, polygons):
    job, raster = job_of(rasters, RASTERS["pole"])
    inside, clear = truth(POLYGONS[polygons], "EPSG:4326", raster)
    valid = densified(job, tmp_path, valid=POLYGONS[polygons])
    assert np.array_equal(valid[clear], inside[clear])
    # A cap is valid: to mend it changes nothing.
    assert np.array_equal(valid, densified(job, tmp_path, valid=POLYGONS[polygons], repair_geometry=True))
    assert np.array_equal(densified(job, tmp_path, invalid=POLYGONS[polygons]), ~valid)
    crs, transform, (height, width) = raster
    image = rasters.reader(np.zeros((height - 9, width - 7), np.uint8), crs=crs, transform=transform).name
    assert np.array_equal(densified(job, tmp_path, valid=POLYGONS[polygons], like=image), valid[:-9, :-7])


def test_polygons_that_lie_elsewhere_are_polygons_all_the_same():
    assert not mask_of(POLYGONS["cap"], "EPSG:4326", RASTERS["south"]).any()


def test_what_edges_say_rightly_is_not_cut(monkeypatch):
    monkeypatch.setattr(projected, "_cut", None)
    for raster in ("laea", "mercator", "degrees", "utm60"):
        inside, clear = truth(POLYGONS["ordinary"], "EPSG:4258", RASTERS[raster])
        found = mask_of(POLYGONS["ordinary"], "EPSG:4258", RASTERS[raster])
        assert np.array_equal(found[clear], inside[clear])


@pytest.mark.parametrize("raster", ["laea", "utm60"])
def test_centres_are_asked_and_the_complement_is_found(raster):
    sample = Sample.of(projected.Projection(CRS.from_epsg(4326), frame_of(RASTERS[raster])))
    globe = np.array(POLYGONS["globe"])
    height, width = RASTERS[raster][2]
    whole, nothing = shapely.box(-1, -1, width, height), shapely.box(-9, -9, -8, -8)
    half = shapely.box(-1, -1, width, height / 2)
    images = np.array([whole, nothing, half])
    assert sample.disagrees(np.repeat(globe, 3), images).tolist() == [False, True, True]


def test_a_raster_across_too_many_jumps_is_refused(monkeypatch):
    monkeypatch.setattr(footprint, "_BLOCKS_AT_MOST", 3)
    with pytest.raises(gn.GridrValueError, match=r"^valid, in EPSG:4326, cannot .* clip it to the outputs'") as raised:
        mask_of(POLYGONS["cap"], "EPSG:4326", RASTERS["disc"])
    assert raised.value.argument == "valid"


def test_what_still_disagrees_is_refused(monkeypatch):
    monkeypatch.setattr(projected, "_cut", lambda *_: np.array([shapely.box(-9, -9, -8, -8)]))
    with pytest.raises(gn.GridrValueError, match="pixel centres lie in it that do not in its image"):
        mask_of(POLYGONS["globe"], "EPSG:4326", RASTERS["laea"])


# -- when two CRS are one -----------------------------------------------------------------------------------------


def place(crs):
    return {"crs": CRS.from_user_input(crs), "transform": Affine(1, 0, 7e5, 0, -1, 6.6e6)}


@pytest.mark.parametrize(
    ("crs", "other"),
    [
        ("EPSG:4326", "EPSG:4979"),
        ("EPSG:2154", "EPSG:2154+5720"),
        ("EPSG:4979", "EPSG:4326+5773"),
        ("EPSG:4326", "OGC:CRS84"),
        ("EPSG:2263", "ESRI:102718"),
        *((code, CRS.from_user_input(code).to_wkt(version="WKT1_ESRI")) for code in ("EPSG:2263", "EPSG:4326")),
        *((code, CRS.from_user_input(code).to_wkt(version="WKT2_2019")) for code in ("EPSG:2263", "EPSG:4979")),
    ],
)
def test_one_crs_however_it_is_written(rasters, tmp_path, crs, other):
    nodes = np.zeros((2, 5, 6))
    for grid_crs, mask_crs in ((crs, other), (other, crs)):
        grid = rasters.reader(nodes, **place(grid_crs)).name
        mask = rasters.reader(np.ones((5, 6), np.uint8), **place(mask_crs)).name
        report = gn.densify(grid, tmp_path / "o.tif", mask=mask, resolution=(2, 2), overwrite=True)
        assert report.valid_pixels == 9 * 11


@pytest.mark.parametrize(
    ("crs", "other"),
    [
        ("EPSG:4326", "EPSG:4258"),
        ("EPSG:4258", "EPSG:4171"),
        ("EPSG:2263", "EPSG:32118"),
        ("EPSG:32631", "EPSG:25831"),
        ("EPSG:2154+5720", "EPSG:3857+5720"),
    ],
)
def test_another_datum_or_unit_is_another_crs(rasters, tmp_path, crs, other):
    grid = rasters.reader(np.zeros((2, 5, 6)), **place(crs)).name
    mask = rasters.reader(np.ones((5, 6), np.uint8), **place(other)).name
    with pytest.raises(gn.GridrValueError, match="mask must have the CRS of"):
        gn.densify(grid, tmp_path / "o.tif", mask=mask, resolution=(2, 2))
