"""Polygons from files and in a CRS, against shapely asked in map coordinates."""

from __future__ import annotations

import json
import logging
import struct
import sys
from itertools import pairwise

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.warp import transform as warp

import gridr_numba as gn
from gridr_numba.polygons import files as vector
from gridr_numba.polygons import projected

RESOLUTION, NODE_SHAPE = (10, 8), (10, 13)
FULL = gn.grid_full_resolution_shape(NODE_SHAPE, RESOLUTION)  # (91, 97)
UTM = "EPSG:32631"
TURNED = Affine.translation(430_000, 5_400_000) @ Affine.rotation(-27) @ Affine.scale(640, -800)
STRAIGHT = Affine(640, 0, 430_000, 0, -800, 5_400_000)
HOLED = shapely.Polygon([(3, 5), (80, 20), (60, 85), (10, 60)], [[(30, 30), (50, 35), (40, 50)]])
ROOF = shapely.Polygon([(60, 10), (95, 30), (70, 70)])


def coarse_grid(rasters, transform=TURNED, crs=UTM):
    nodes = np.stack(np.meshgrid(np.arange(NODE_SHAPE[0]) * 10.0, np.arange(NODE_SHAPE[1]) * 8.0, indexing="ij"))
    return rasters.reader(nodes, crs=crs, transform=transform).name


def dense_place(transform=TURNED):
    return gn.dense_transform(transform, RESOLUTION)


def in_utm(polygon, transform=TURNED):
    """Bring a polygon of dense pixels to the map."""

    def place(points):
        xs, ys = gn.pixel_to_map(dense_place(transform), points[:, 1], points[:, 0])
        return np.column_stack([xs, ys])

    return shapely.transform(polygon, place)


def in_degrees(polygon, transform=TURNED):
    """Bring a polygon of dense pixels to longitudes and latitudes, vertices alone."""

    def place(points):
        return np.column_stack(warp(UTM, "EPSG:4326", *points.T.tolist()))

    return shapely.transform(in_utm(polygon, transform), place)


def expected_inside(polygons, crs, *, window=((0, FULL[0]), (0, FULL[1])), transform=TURNED):
    """Ask shapely, in the polygons' own CRS, of each pixel centre: the mask that is right to the bit but for edges.

    Returns the answer, and where the edge is further than 0.02 pixels: there nobody may differ.
    """
    i, j = np.meshgrid(np.arange(*window[0]), np.arange(*window[1]), indexing="ij")
    xs, ys = gn.pixel_to_map(dense_place(transform), i, j)
    shape = xs.shape
    if crs != UTM:
        xs, ys = (np.reshape(part, shape) for part in warp(UTM, crs, xs.ravel().tolist(), ys.ravel().tolist()))
    union = shapely.union_all(polygons)
    step = np.hypot(xs[0, 1] - xs[0, 0], ys[0, 1] - ys[0, 0])
    far = shapely.distance(union.boundary, shapely.points(xs, ys)) > 0.04 * step
    return shapely.covers(union, shapely.points(xs, ys)), far


def geojson(path, *polygons, crs=None):
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": None if polygon is None else shapely.geometry.mapping(polygon),
        }
        for polygon in polygons
    ]
    content = {"type": "FeatureCollection", "features": features}
    if crs is not None:
        content["crs"] = {"type": "name", "properties": {"name": crs}}
    path.write_text(json.dumps(content))
    return path


def mask_of(rasters, tmp_path, *, transform=TURNED, crs=UTM, **arguments):
    grid = coarse_grid(rasters, transform, crs)
    gn.densify(
        grid, tmp_path / "o.tif", mask_out=tmp_path / "m.tif", resolution=RESOLUTION, overwrite=True, **arguments
    )
    with rasterio.open(tmp_path / "m.tif") as dataset:
        return dataset.read(1) == 1


FRAME = vector.PixelFrame(rasterio.crs.CRS.from_epsg(32631), dense_place(), (0.0, 0.0), FULL)
NOWHERE = vector.PixelFrame(None, None, (0.0, 0.0), FULL)


def vector_pixels(valid, **options):
    return vector.pixel_polygons(valid, None, FRAME, **options)[0].polygons


# -- coordinates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [STRAIGHT, TURNED])
@pytest.mark.parametrize("window", [None, ((7, 60), (20, 90))])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
@pytest.mark.parametrize("origin", [(0.0, 0.0), (-12.5, 1000.25)])
def test_geojson_in_a_crs_is_shapely_in_that_crs(rasters, tmp_path, transform, window, crs, origin):
    place = in_utm if crs == UTM else in_degrees
    polygons = [place(HOLED, transform), place(ROOF, transform)]
    name = "urn:ogc:def:crs:EPSG::" + crs[5:]
    path = geojson(tmp_path / "ground.geojson", *polygons, crs=name)
    found = mask_of(rasters, tmp_path, transform=transform, valid=path, window=window, geometry_origin=origin)
    part = ((0, FULL[0]), (0, FULL[1])) if window is None else window
    inside, far = expected_inside(polygons, crs, window=part, transform=transform)
    assert far.mean() > 0.98
    assert np.array_equal(found[far], inside[far])
    assert 0.1 < found.mean() < 0.9


def test_like_an_image_places_the_polygons(rasters, tmp_path):
    image = rasters.reader(np.zeros((70, 80), np.uint8), crs=UTM, transform=dense_place()).name
    path = geojson(tmp_path / "a.json", in_degrees(HOLED), crs="EPSG:4326")
    # The grid itself has no place on the map: the image's counts.
    found = mask_of(rasters, tmp_path, transform=Affine.identity(), crs=None, invalid=path, like=image)
    inside, far = expected_inside([in_degrees(HOLED)], "EPSG:4326", window=((0, 70), (0, 80)))
    assert np.array_equal(found[far], ~inside[far])


def test_a_window_is_a_part_of_the_whole_to_the_bit(rasters, tmp_path):
    # The polygon's edges pass through pixel centres, where a rounding would show.
    path = geojson(tmp_path / "a.json", in_utm(shapely.box(10, 10, 60, 70)), crs=UTM)
    whole = mask_of(rasters, tmp_path, valid=path)
    part = mask_of(rasters, tmp_path, valid=path, window=((9, 72), (5, 62)))
    assert np.array_equal(part, whole[9:72, 5:62])


def test_geojson_without_a_crs_is_in_degrees_where_the_outputs_lie_on_the_map(rasters, tmp_path):
    path = geojson(tmp_path / "a.geojson", in_degrees(HOLED), None)
    found = mask_of(rasters, tmp_path, valid=path)
    inside, far = expected_inside([in_degrees(HOLED)], "EPSG:4326")
    assert np.array_equal(found[far], inside[far])
    said = geojson(tmp_path / "b.geojson", in_degrees(HOLED), crs="urn:ogc:def:crs:OGC:1.3:CRS84")
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=said))


def test_geojson_without_a_crs_on_a_grid_in_degrees(rasters, tmp_path):
    polygon = shapely.Polygon([(2, 44), (7, 46), (4, 49)])
    place = Affine(0.5, 0, 1, 0, -0.5, 50)
    found = mask_of(rasters, tmp_path, transform=place, crs="EPSG:4326", valid=geojson(tmp_path / "a.geojson", polygon))
    i, j = np.indices(FULL)
    xs, ys = gn.pixel_to_map(dense_place(place), i, j)
    far = shapely.distance(polygon.exterior, shapely.points(xs, ys)) > 1e-9
    assert np.array_equal(found[far], shapely.covers(polygon, shapely.points(xs, ys))[far])


@pytest.mark.parametrize(
    ("transform", "crs"), [(TURNED, None), (Affine.identity(), UTM), (Affine.identity(), None)], ids=str
)
def test_geojson_without_a_crs_is_in_pixels_where_the_outputs_do_not(rasters, tmp_path, caplog, transform, crs):
    path = geojson(tmp_path / "a.geojson", HOLED, None)
    found = mask_of(rasters, tmp_path, valid=path, transform=transform, crs=crs)
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=HOLED))
    away = geojson(tmp_path / "b.geojson", shapely.box(700, 0, 800, 100))
    mask_of(rasters, tmp_path, invalid=away, transform=transform, crs=crs)
    (record,) = caplog.records
    assert record.getMessage().startswith(f"invalid: {str(away)!r} has no polygon that touches the raster")


@pytest.mark.parametrize("box", [(-181, 0, 5, 5), (0, 0, 181, 5), (0, -91, 5, 5), (0, 0, 5, 91)])
def test_geojson_without_a_crs_that_cannot_be_in_degrees(rasters, tmp_path, box):
    path = geojson(tmp_path / "a.geojson", shapely.box(1, 1, 2, 2), shapely.box(*box))
    message = (
        r"^invalid: '.*a.geojson' \(no crs member: WGS 84, unless geometry_crs=\"pixels\"\) must lie in longitudes"
    )
    with pytest.raises(gn.GridrValueError, match=message) as raised:
        mask_of(rasters, tmp_path, invalid=path)
    assert raised.value.argument == "invalid"
    assert not (tmp_path / "o.tif").exists()
    expected = mask_of(rasters, tmp_path, invalid=[shapely.box(1, 1, 2, 2), shapely.box(*box)])
    assert np.array_equal(mask_of(rasters, tmp_path, invalid=path, geometry_crs="pixels"), expected)


def test_degrees_up_to_the_ends_of_the_earth_are_degrees(tmp_path):
    frame = vector.PixelFrame(rasterio.crs.CRS.from_epsg(4326), Affine(1, 0, -180, 0, -1, 90), (0.0, 0.0), (180, 360))
    path = geojson(tmp_path / "a.geojson", shapely.box(-180, -90, 180, 90))
    found, _ = vector.pixel_polygons(path, None, frame)
    assert found.bounds.tolist() == [[-0.5, -0.5, 359.5, 179.5]]


def test_geojson_whose_crs_is_null_has_none(rasters, tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({**shapely.geometry.mapping(HOLED), "crs": None}))
    assert np.array_equal(mask_of(rasters, tmp_path, valid=path), mask_of(rasters, tmp_path, valid=HOLED))


def test_pixels_overrides_what_files_say(rasters, tmp_path):
    expected = mask_of(rasters, tmp_path, valid=HOLED)
    for given in (
        geojson(tmp_path / "a.geojson", HOLED),
        geojson(tmp_path / "b.geojson", HOLED, crs=UTM),
        geojson(tmp_path / "c.geojson", HOLED, crs="EPSG:99999"),
        write_as("wkt", tmp_path / "a.wkt", HOLED, 4326),
        write_as("wkb", tmp_path / "a.wkb", HOLED, 32631),
        HOLED,
    ):
        assert np.array_equal(mask_of(rasters, tmp_path, valid=given, geometry_crs="pixels"), expected)


def test_geometry_crs_may_be_a_pair(rasters, tmp_path):
    expected = mask_of(rasters, tmp_path, valid=in_degrees(HOLED), geometry_crs=4326)
    expected &= mask_of(rasters, tmp_path, invalid=ROOF)
    given = {"valid": in_degrees(HOLED), "invalid": geojson(tmp_path / "roof.geojson", ROOF)}
    assert np.array_equal(mask_of(rasters, tmp_path, **given, geometry_crs=(4326, "pixels")), expected)
    own = {"valid": in_degrees(HOLED), "invalid": geojson(tmp_path / "utm.geojson", in_utm(ROOF), crs=UTM)}
    found = mask_of(rasters, tmp_path, **own, geometry_crs=["EPSG:4326", None])
    assert (found != expected).mean() < 0.01  # where an edge that went to the map and back passes a centre


@pytest.mark.parametrize(
    ("crs", "message"),
    [
        ((4326,), r"^geometry_crs must be one or a pair .*, not 1 of them"),
        ((4326, "nonsense"), r"^geometry_crs\[1\] must be a coordinate reference system, not 'nonsense'"),
        (("Pixels", None), r"^geometry_crs\[0\] must be a coordinate reference system, not 'Pixels'"),
        ((4326, (4326, 4326)), r"^geometry_crs\[1\] must be a coordinate reference system"),
    ],
)
def test_the_pair_of_geometry_crs_is_checked(crs, message):
    with pytest.raises(gn.GridrValueError, match=message) as raised:
        vector_pixels(HOLED, crs=crs)
    assert raised.value.argument == "geometry_crs"


def test_geometry_crs_overrides_the_file_and_goes_for_objects(rasters, tmp_path):
    lying = geojson(tmp_path / "a.geojson", in_degrees(HOLED), crs=UTM)
    inside, far = expected_inside([in_degrees(HOLED)], "EPSG:4326")
    for given in (lying, in_degrees(HOLED), [in_degrees(HOLED).__geo_interface__], np.array([in_degrees(HOLED)])):
        found = mask_of(rasters, tmp_path, valid=given, geometry_crs=4326)
        assert np.array_equal(found[far], inside[far])


def test_paths_and_objects_side_by_side(rasters, tmp_path):
    path = geojson(tmp_path / "a.geojson", in_utm(HOLED), crs=UTM)
    found = mask_of(rasters, tmp_path, invalid=[path, ROOF])
    assert np.array_equal(found, mask_of(rasters, tmp_path, invalid=[vector_pixels(path), ROOF]))
    assert not found[30, 80]
    assert not found[40, 20]


@pytest.mark.parametrize("seed", range(4))
def test_long_edges_stay_straight_within_a_hundredth_of_a_pixel(seed):
    # A triangle of hundreds of kilometres in degrees: its edges bend by tens of pixels in UTM.
    corners = np.random.default_rng(seed).uniform((-1, 44), (7, 54), (3, 2))
    (mapped,) = vector_pixels(shapely.Polygon(corners), crs=4326)
    ring = np.vstack([corners, corners[:1]])
    t = np.linspace(0, 1, 5001)[:, None]
    dense = np.concatenate([(1 - t) * a + t * b for a, b in pairwise(ring)])
    rows, cols = gn.map_to_pixel(dense_place(), *warp("EPSG:4326", UTM, *dense.T.tolist()))
    truth = shapely.points(cols, rows)
    assert shapely.distance(mapped.exterior, truth).max() <= 0.01
    straight = shapely.Polygon(np.column_stack([cols, rows])[[0, 5001, 10002]]).exterior
    assert shapely.distance(straight, truth).max() > 1  # or nothing was to be done
    assert len(mapped.exterior.coords) < 5000


def test_an_affine_map_adds_no_vertex():
    (mapped,) = vector_pixels(in_utm(HOLED), crs=UTM)
    assert shapely.get_num_coordinates(mapped) == shapely.get_num_coordinates(HOLED)
    assert mapped.equals_exact(HOLED, 1e-6)


@pytest.mark.parametrize(
    ("polygon", "crs", "message"),
    [
        (shapely.box(0, 80, 10, 95), 4326, "must have an image in the outputs' EPSG:32631"),
        (shapely.box(1e30, 1e30, 2e30, 2e30), 32633, "must have an image"),
        (shapely.box(2000, 44, 2010, 46), 4326, "must have an image"),
        (shapely.box(0, 0, 10, 10), "IAU_2015:30100", "must have an image in the outputs' EPSG:32631.*Cannot find"),
    ],
)
def test_polygons_that_have_no_image(polygon, crs, message):
    with pytest.raises(gn.GridrValueError, match=message) as raised:
        vector.pixel_polygons(None, polygon, FRAME, crs=crs)
    assert str(raised.value).startswith("invalid")


def test_an_edge_that_jumps_is_lost_and_no_other():
    def jump(points, ring):
        return points + np.column_stack([1e5 * (points[:, 0] > 3.3), 0 * points[:, 1]])

    rings = np.concatenate([shapely.get_coordinates(shapely.box(x, 44, x + 1, 46)) for x in (2, 3, 4)])
    pixels, ring, lost = projected._followed(rings, np.repeat([0, 1, 2], 5), jump, (np.zeros(2), np.ones(2)))
    assert lost.tolist() == [False, True, False]
    assert np.array_equal(pixels[ring == 2], rings[10:] + np.array([1e5, 0]))


@pytest.mark.parametrize(
    ("transform", "crs", "missing"),
    [(TURNED, None, "no CRS"), (Affine.identity(), UTM, "no transform"), (Affine.identity(), None, "no CRS and no")],
)
def test_a_crs_needs_a_georeferenced_output(rasters, tmp_path, transform, crs, missing):
    path = geojson(tmp_path / "a.geojson", in_degrees(HOLED), crs="EPSG:4326")
    with pytest.raises(ValueError, match=f"valid: .*a.geojson' is in EPSG:4326, and the outputs have {missing}"):
        mask_of(rasters, tmp_path, transform=transform, crs=crs, valid=path)
    assert not (tmp_path / "o.tif").exists()


# -- files --------------------------------------------------------------------------------------------------------


def write_as(kind, path, polygon, srid=0):
    geometry = shapely.set_srid(polygon, srid)
    if kind == "wkb":
        path.write_bytes(shapely.to_wkb(geometry, include_srid=bool(srid)))
    else:
        path.write_text((f"SRID={srid};" if srid else "") + shapely.to_wkt(geometry, rounding_precision=-1) + "\n")
    return path


@pytest.mark.parametrize("kind", ["wkt", "wkb"])
@pytest.mark.parametrize("third", [False, True])
def test_wkt_and_wkb(rasters, tmp_path, kind, third):
    polygon = shapely.force_3d(HOLED, 7.0) if third else HOLED
    found = mask_of(rasters, tmp_path, valid=write_as(kind, tmp_path / f"a.{kind}", polygon))
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=HOLED))
    placed = mask_of(rasters, tmp_path, valid=write_as(kind, tmp_path / f"b.{kind}", in_utm(polygon), 32631))
    inside, far = expected_inside([in_utm(HOLED)], UTM)
    assert np.array_equal(placed[far], inside[far])


@pytest.mark.parametrize("byte_order", [0, 1])
@pytest.mark.parametrize("flavor", ["iso", "extended"])
@pytest.mark.parametrize("dimensions", ["", "Z", "M", "ZM"])
@pytest.mark.parametrize("in_hex", [False, True])
def test_wkb_of_any_kind(tmp_path, byte_order, flavor, dimensions, in_hex):
    if shapely.geos_version < (3, 12) and "M" in dimensions:
        pytest.skip("GEOS before 3.12 writes no measures")
    corners = (
        ", ".join(" ".join(map(str, (x, y, 7, 8)[: 2 + len(dimensions)])) for x, y in ring)
        for ring in ([(1, 2), (9, 2), (9, 9), (1, 2)], [(5, 3), (8, 3), (8, 4), (5, 3)])
    )
    polygon = f"(({'), ('.join(corners)}))"
    nested = f"MULTIPOLYGON {dimensions} ({polygon}, {polygon})"
    for _ in range(40):
        nested = f"GEOMETRYCOLLECTION {dimensions} ({nested}, POLYGON {dimensions} {polygon})"
    geometry = shapely.set_srid(shapely.from_wkt(nested), 32631 if flavor == "extended" else 0)
    srid = {"include_srid": flavor == "extended", "flavor": flavor, "byte_order": byte_order}
    wkb = shapely.to_wkb(geometry, hex=in_hex, output_dimension=2 + len(dimensions), **srid)
    path = tmp_path / "a.wkb"
    path.write_bytes(f" {wkb}\n".strip().encode() if in_hex else wkb)
    assert len(vector_pixels(path, crs="pixels")) == 42
    path.write_bytes(path.read_bytes() + (b"00" if in_hex else b"\0"))
    with pytest.raises(gn.DatasetError, match="that ends after"):
        vector_pixels(path, crs="pixels")


@pytest.mark.parametrize(("depth", "refused"), [(62, False), (65, True)])
def test_how_deep_geometries_may_be_nested(tmp_path, depth, refused):
    collected, listed, mapped = HOLED, HOLED, shapely.geometry.mapping(HOLED)
    for _ in range(depth):
        collected = shapely.GeometryCollection([collected])
        listed = [listed]
        mapped = {"type": "GeometryCollection", "geometries": [mapped]}
    content = tmp_path / "a.geojson"
    content.write_text(json.dumps(mapped))
    files = [write_as("wkt", tmp_path / "a.wkt", collected), write_as("wkb", tmp_path / "a.wkb", collected), content]
    for given in (*files, collected, listed, mapped):
        if refused:
            with pytest.raises(gn.GridrValueError, match=r"^valid.* is nested more than 64 deep") as raised:
                vector_pixels(given, crs="pixels")
            assert raised.value.argument == "valid"
            assert len(str(raised.value)) < 250
        else:
            (found,) = vector_pixels(given, crs="pixels")
            assert found == HOLED


@pytest.mark.parametrize(
    "content",
    [
        shapely.geometry.mapping(HOLED),
        {"type": "Feature", "geometry": shapely.geometry.mapping(HOLED), "properties": None},
        {"type": "GeometryCollection", "geometries": [shapely.geometry.mapping(HOLED)]},
        {"type": "MultiPolygon", "coordinates": [shapely.geometry.mapping(HOLED)["coordinates"]], "crs": None},
    ],
)
def test_geojson_of_each_kind_and_with_a_byte_order_mark(tmp_path, content):
    path = tmp_path / "A.GeoJSON"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    (found,) = vector_pixels(path, crs="pixels")
    assert shapely.equals_identical(found, HOLED) if hasattr(shapely, "equals_identical") else found == HOLED


CURVED = "CURVEPOLYGON (CIRCULARSTRING (0 0, 5 5, 9 0, 5 -5, 0 0))"
# A curve polygon whose ring is a line of four points.
CURVED_WKB = struct.pack("<BIIBII8d", 1, 10, 1, 1, 2, 4, *(0, 0, 9, 9, 9, 0, 0, 0))
HUGE_SRID = struct.pack("<BIIII8d", 1, 0x20000003, 0xFFFFFFFF, 1, 4, *(0, 0, 9, 9, 9, 0, 0, 0))


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("a.geojson", None, OSError, "valid: '.*a.geojson' cannot be read: No such file"),
        ("a.geojson", "", OSError, "is empty"),
        ("a.geojson", '{"type": "Poly', OSError, "is not JSON"),
        ("a.geojson", "[" * 100_000, OSError, "is not JSON"),
        ("a.geojson", b"\xff\xfe\x00", OSError, "is not JSON"),
        ("a.geojson", "[1, 2]", ValueError, "must hold a GeoJSON object"),
        ("a.geojson", '{"type": "Topology"}', TypeError, "must be polygons, not a GeoJSON-like 'Topology'"),
        ("a.json", '{"type": "Point", "coordinates": [1, 2]}', TypeError, "'.*a.json' must be polygons"),
        ("a.json", '{"type": "Polygon", "coordinates": [[[1, 2]]]}', ValueError, "a.json' is not a well-formed"),
        ("a.json", '{"type": "Polygon", "coordinates": [], "crs": "EPSG:4326"}', ValueError, r"\['crs'\] must name"),
        (
            "a.json",
            '{"type": "Polygon", "coordinates": [], "crs": {"type": "name", "properties": {"name": [4326]}}}',
            ValueError,
            r"\['crs'\] must name",
        ),
        (
            "a.json",
            '{"type": "Polygon", "coordinates": [], "crs": {"type": "link", "properties": {"href": "http://x.org"}}}',
            ValueError,
            "must name a coordinate reference system, not be",
        ),
        (
            "a.json",
            '{"type": "Polygon", "coordinates": [], "crs": {"type": "name", "properties": {"name": "EPSG:99999"}}}',
            ValueError,
            r"\['crs'\] must be a coordinate reference system, not 'EPSG:99999'",
        ),
        ("a.wkt", "POLYGON ((0 0, 1 1", OSError, "does not hold the WKT of one geometry"),
        ("a.wkt", "SIRD=1;POLYGON EMPTY", OSError, "it starts with 'SIRD=1'"),
        ("a.wkt", "POLYGON ((0 0, 9 9, 9 0, 0 9, 0 0))", ValueError, "a.wkt' is not a valid polygon: Self-inter"),
        ("a.wkb", b"\x01\x03\x00\x00", OSError, "does not hold the WKB of one geometry"),
        ("a.wkb", shapely.to_wkb(HOLED)[:-1], OSError, "does not hold the WKB of one geometry"),
        ("a.wkb", shapely.to_wkb(HOLED) * 2, OSError, "that ends after 161 of its 322 bytes"),
        ("a.wkb", shapely.to_wkb(HOLED) + b"\n", OSError, "that ends after 161 of its 162 bytes"),
        ("a.wkb", shapely.to_wkb(HOLED, hex=True) * 2, OSError, "that ends after 161 of its 322 bytes"),
        ("a.wkb", "0x", OSError, "does not hold the WKB of one geometry"),
        ("a.wkb", b"\x07" + shapely.to_wkb(HOLED)[1:], OSError, "does not hold the WKB of one geometry"),
        ("a.wkb", b"\x01\x63" + shapely.to_wkb(HOLED)[2:], OSError, "does not hold the WKB of one geometry"),
        ("a.wkb", b"\x01\x07\0\0\0\xff\xff\xff\xff", OSError, "does not hold the WKB of one geometry"),
        ("a.wkt", "POLYGON ((0 0, 9 9, 9 0, 0 0)) POLYGON ((0 0, 9 9, 9 0, 0 0))", OSError, "the WKT of one geometry"),
        ("a.wkt", CURVED, TypeError, "must be polygons of straight edges, and holds curves"),
        ("a.wkt", f"GEOMETRYCOLLECTION ({CURVED})", TypeError, "must be polygons of straight edges, and holds curves"),
        ("a.wkt", "MULTISURFACE EMPTY", TypeError, "must be polygons of straight edges, and holds curves"),
        ("a.wkt", "TRIANGLE ((0 0, 1 1, 1 0, 0 0))", OSError, "does not hold the WKT of one geometry"),
        ("a.wkb", CURVED_WKB, TypeError, "must be polygons of straight edges, and holds curves"),
        ("a.wkb", b"\x01\x07\0\0\0\x01\0\0\0" + CURVED_WKB, TypeError, "of straight edges, and holds curves"),
        ("a.wkt", "(" * 100_000, ValueError, "a.wkt' is nested more than 64 deep"),
        ("a.wkt", "GEOMETRYCOLLECTION (" * 100_000 + "POINT (0 0)" + ")" * 100_000, ValueError, "more than 64 deep"),
        ("a.wkb", b"\x01\x07\0\0\0\x01\0\0\0" * 100_000, ValueError, "a.wkb' is nested more than 64 deep"),
        ("a.wkb", b"\0\0\0\0\x07\0\0\0\x02" * 100_000, ValueError, "a.wkb' is nested more than 64 deep"),
        (
            "a.json",
            '{"type": "GeometryCollection", "geometries": [' * 400 + "]}" * 400,
            ValueError,
            "more than 64 deep",
        ),
        ("a.json", '{"type": "GeometryCollection", "geometries": [' * 100_000, OSError, "nested more than 64 deep"),
        (
            "a.wkt",
            "SRID=" + "9" * 5000 + ";POLYGON ((0 0, 9 9, 9 0, 0 0))",
            ValueError,
            "the SRID must be an EPSG code",
        ),
        (
            "a.wkt",
            "SRID=99999;POLYGON ((0 0, 9 9, 9 0, 0 0))",
            ValueError,
            "the SRID must be a coordinate reference sys",
        ),
        (
            "a.wkt",
            "SRID=4294967295;POLYGON ((0 0, 9 9, 9 0, 0 0))",
            ValueError,
            "the SRID must be a .*, not 4294967295",
        ),
        ("a.wkt", "SRID=\u00b2;POLYGON ((0 0, 9 9, 9 0, 0 0))", OSError, "it starts with 'SRID=\u00b2'"),
        ("a.wkt", "SRID=-1;POLYGON ((0 0, 9 9, 9 0, 0 0))", OSError, "it starts with 'SRID=-1'"),
        ("a.wkb", HUGE_SRID, ValueError, "the SRID must be a coordinate reference system, not 4294967295"),
        ("a.xyz", "POLYGON ((0 0, 9 9, 9 0, 0 0))", ValueError, "must be one of GeoJSON .*GeoPackage.*FlatGeobuf"),
        ("a.gpkg", "<OGRVRTDataSource><OGRVRTLayer/></OGRVRTDataSource>", ValueError, "must be one of GeoJSON"),
        ("a.gpkg", b"SQLite format 3\0" + b"\0" * 500, OSError, "a.gpkg' cannot be read"),
    ],
)
def test_files_that_are_refused(rasters, tmp_path, name, content, kind, message):
    if name.endswith(".gpkg") and kind is OSError:
        pytest.importorskip("pyogrio")
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(kind, match=message) as raised:
        mask_of(rasters, tmp_path, valid=path)
    assert isinstance(raised.value, gn.GridrError)
    assert not (tmp_path / "o.tif").exists()


@pytest.mark.parametrize("path", ["https://example.org/a.geojson", "/vsicurl/https://x.org/a.gpkg", "/vsizip/a.zip"])
def test_only_local_files(path):
    with pytest.raises(ValueError, match=r"invalid\[0\] must be the path of a local file"):
        vector.pixel_polygons(None, [path], NOWHERE)


@pytest.mark.parametrize(("layer", "kind"), [(7, TypeError), (("a",), TypeError), (("a", 1), TypeError)])
def test_geometry_layer_is_checked(layer, kind):
    with pytest.raises(kind, match="geometry_layer must be a name"):
        vector.pixel_polygons(None, None, NOWHERE, layer=layer)


def test_a_file_without_layers_has_none_to_choose(tmp_path):
    with pytest.raises(ValueError, match="has no layers, and geometry_layer asks for 'clouds'"):
        vector_pixels(geojson(tmp_path / "a.geojson", HOLED), layer="clouds")


def test_geometry_crs_is_checked(rasters, tmp_path):
    with pytest.raises(ValueError, match="geometry_crs must be a coordinate reference system, not 'nonsense'"):
        mask_of(rasters, tmp_path, valid=HOLED, geometry_crs="nonsense")


def test_no_crs_is_looked_up_on_the_network_or_in_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(vector, "CRS", None)  # or GDAL would be asked
    for text in (
        "http://localhost:1/a.prj",
        "https://x.org/y",
        "/vsicurl/http://x.org/a",
        str(tmp_path / "a.prj"),
        "a/b",
    ):
        with pytest.raises(ValueError, match=r"geometry_crs must be .*, not an address or a path"):
            vector_pixels(HOLED, crs=text)
        with pytest.raises(ValueError, match=r"a.geojson'\['crs'\] must be .*, not an address or a path"):
            vector_pixels(geojson(tmp_path / "a.geojson", HOLED, crs=text))


@pytest.mark.parametrize(
    "text", ["EPSG:" + "9" * 5000, "9" * 5000, "EPSG:99999999999", "EPSG:-1", "EPSG:x", "EPSG:4326:1", "\ud800", "\0"]
)
def test_absurd_names_of_a_crs(tmp_path, text):
    with pytest.raises(gn.GridrValueError, match=r"^geometry_crs must be a coordinate reference system") as raised:
        vector_pixels(HOLED, crs=text)
    assert len(str(raised.value)) < 1000
    with pytest.raises(gn.GridrValueError, match=r"a.geojson'\['crs'\] must be a coordinate reference system"):
        vector_pixels(geojson(tmp_path / "a.geojson", HOLED, crs=text))


def test_a_crs_may_be_said_in_many_ways(tmp_path):
    expected = vector_pixels(in_degrees(HOLED), crs=4326)
    crs = rasterio.crs.CRS.from_epsg(4326)
    wkt2 = crs.to_wkt(version="WKT2_2019")
    texts = ["EPSG:4326", "WGS84", "OGC:CRS84", "urn:ogc:def:crs:OGC:1.3:CRS84", "+proj=longlat +datum=WGS84", wkt2]
    for given in (*texts, crs, crs.to_dict(projjson=True), {"proj": "longlat", "datum": "WGS84"}):
        assert shapely.equals_exact(vector_pixels(in_degrees(HOLED), crs=given), expected, 1e-6).all()
        path = geojson(tmp_path / "a.geojson", in_degrees(HOLED), crs="EPSG:99999")
        assert shapely.equals_exact(
            vector_pixels(path, crs=given), expected, 1e-6
        ).all()  # what the file says is not asked


NOTHING = [[], (), shapely.Polygon(), [None, [shapely.MultiPolygon()]], {"type": "FeatureCollection", "features": []}]


def test_invalid_ground_without_a_polygon_is_as_if_it_were_not_given(rasters, tmp_path, caplog):
    path = geojson(tmp_path / "none.geojson", None)
    for given in (path, *NOTHING):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert mask_of(rasters, tmp_path, invalid=given).all()
        (record,) = caplog.records
        name = f"invalid: {str(path)!r}" if given is path else "invalid"
        assert record.getMessage() == f"{name} holds no polygon: as if it were not given"


def test_valid_ground_without_a_polygon_is_refused(rasters, tmp_path, caplog):
    """All would be valid: a door fails closed."""
    path = geojson(tmp_path / "none.geojson", None)
    line = shapely.Polygon([(0, 0), (9, 9), (5, 5)])  # nothing is left of it when it is mended
    for given in (path, [path, shapely.Polygon()], write_as("wkt", tmp_path / "a.wkt", line), *NOTHING):
        with pytest.raises(gn.GridrValueError, match=r"^valid.* must hold a polygon, and holds none") as raised:
            mask_of(rasters, tmp_path, valid=given, repair_geometry=True)
        assert raised.value.argument == "valid"
    assert not (tmp_path / "o.tif").exists()
    assert not caplog.records


def test_one_file_without_a_polygon_beside_valid_ground(rasters, tmp_path, caplog):
    path = geojson(tmp_path / "none.geojson", None)
    with caplog.at_level(logging.WARNING):
        found = mask_of(rasters, tmp_path, valid=[path, HOLED])
    assert [record.getMessage() for record in caplog.records] == [
        f"valid[0]: {str(path)!r} holds no polygon: as if it were not given"
    ]
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=HOLED))


ASIDE = shapely.box(200.5, -40, 250, -30.25)


@pytest.mark.parametrize("origin", [(0.0, 0.0), (-12.5, 1000.25)])
@pytest.mark.parametrize("window", [None, ((0, 5), (0, 5))])
def test_polygons_that_do_not_touch_the_raster_are_warned_of(rasters, tmp_path, caplog, origin, window):
    moved = shapely.transform(ASIDE, lambda points: points + origin[::-1])
    near = shapely.transform(HOLED, lambda points: points + origin[::-1])
    path = write_as("wkt", tmp_path / "aside.wkt", moved)
    placed = {"resolution": RESOLUTION, "mask_out": tmp_path / "m.tif", "geometry_origin": origin, "window": window}
    with caplog.at_level(logging.WARNING):
        report = gn.densify(coarse_grid(rasters), tmp_path / "o.tif", valid=near, invalid=[path, near], **placed)
    warning, nothing = report.warnings
    assert nothing.startswith("no pixel is valid")  # `near` is valid and invalid
    assert warning == (
        f"invalid[0]: {str(path)!r} has no polygon that touches the raster of 91 rows and 97 columns: they lie in rows "
        "-40 to -30.25 and columns 200.5 to 250; check that they are (x, y), and geometry_crs and geometry_origin"
    )
    assert [record.getMessage() for record in caplog.records] == [warning, nothing]
    with pytest.raises(gn.StrictError, match="has no polygon that touches the raster"):
        gn.densify(coarse_grid(rasters), tmp_path / "s.tif", invalid=path, strict=True, **placed, overwrite=True)
    assert not (tmp_path / "s.tif").exists()


@pytest.mark.parametrize(
    ("polygons", "misses"),
    [
        ([ASIDE], True),
        ([ASIDE, shapely.box(-9, -9, -1, -0.5)], True),
        ([ASIDE, shapely.box(-9, -9, 0, 0)], False),
        ([shapely.box(96, 90, 99, 99)], False),
        ([shapely.box(96.25, 0, 99, 99)], True),
        ([shapely.Polygon([(-99, 40), (40, -99), (-99, -99)])], True),  # its box does
        ([shapely.box(-9, -9, 200, 200).difference(shapely.box(-1, -1, 100, 100))], True),
        ([shapely.box(1e31, 1e31, 2e31, 2e31)], True),
        ([shapely.box(-1e31, -1e31, 2e31, 2e31)], False),
    ],
)
def test_what_touches_the_raster(polygons, misses, caplog):
    with caplog.at_level(logging.WARNING):
        vector.pixel_polygons(None, polygons, FRAME)
    assert [record.getMessage()[:39] for record in caplog.records] == [
        "invalid has no polygon that touches the"
    ] * misses


def test_geojson_that_is_taken_for_degrees_says_so_where_it_misses(rasters, tmp_path):
    path = geojson(tmp_path / "far.geojson", shapely.box(7, 46, 8, 47))
    report = gn.densify(coarse_grid(rasters), tmp_path / "o.tif", resolution=RESOLUTION, invalid=path)
    (warning,) = report.warnings
    assert warning.startswith(f'invalid: {str(path)!r} (no crs member: WGS 84, unless geometry_crs="pixels") has no')


def test_an_output_that_is_a_polygon_file_is_refused(rasters, tmp_path):
    path = geojson(tmp_path / "a.geojson", HOLED)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"out: .*a.geojson' is an input"):
        gn.densify(coarse_grid(rasters), path, resolution=RESOLUTION, valid=[path], overwrite=True)
    assert path.read_bytes() == before


def test_repair_goes_for_files(rasters, tmp_path):
    bow = shapely.Polygon([(5, 5), (50, 50), (50, 5), (5, 50)])
    found = mask_of(rasters, tmp_path, valid=write_as("wkt", tmp_path / "a.wkt", bow), repair_geometry=True)
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=shapely.make_valid(bow)))


# -- files with layers --------------------------------------------------------------------------------------------


def write_layer(path, polygons, *, crs=UTM, layer=None, append=False):
    raw = pytest.importorskip("pyogrio.raw")
    options = {"layer": layer} if layer else {}
    kind = "Polygon Z" if any(polygon is not None and polygon.has_z for polygon in polygons) else "Polygon"
    wkb = np.array([None if polygon is None else shapely.to_wkb(polygon) for polygon in polygons], dtype=object)
    raw.write(path, wkb, [], [], geometry_type=kind, crs=crs, append=append, **options)
    return path


@pytest.mark.parametrize("suffix", ["gpkg", "shp", "fgb"])
@pytest.mark.parametrize("crs", [UTM, "EPSG:4326"])
def test_formats_with_layers(rasters, tmp_path, suffix, crs):
    place = in_utm if crs == UTM else in_degrees
    polygons = [place(HOLED), place(ROOF)]
    path = write_layer(tmp_path / f"a.{suffix}", polygons, crs=crs)
    found = mask_of(rasters, tmp_path, valid=path)
    inside, far = expected_inside(polygons, crs)
    assert np.array_equal(found[far], inside[far])


def test_three_dimensions_missing_geometries_and_pixels(rasters, tmp_path):
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        path = write_layer(tmp_path / "a.gpkg", [shapely.force_3d(HOLED, 3.0), None], crs=None)
    found = mask_of(rasters, tmp_path, valid=path)
    assert np.array_equal(found, mask_of(rasters, tmp_path, valid=HOLED))


@pytest.mark.parametrize(
    "undefined",
    [
        None,
        "",
        'GEOGCS["Undefined geographic SRS",DATUM["unknown",SPHEROID["unknown",6378137,298.257223563]],'
        'PRIMEM["Greenwich",0],UNIT["degree",0.0174532925199433]]',
        'LOCAL_CS["any",UNIT["metre",1],AXIS["Easting",EAST],AXIS["Northing",NORTH]]',
    ],
)
def test_a_crs_that_says_nothing_of_the_earth_is_none(undefined):
    assert vector._layer_crs(undefined, "valid") is None


def test_a_curve_in_a_layer(tmp_path):
    """One alone is GDAL's to make straight; in a collection it comes as it is."""
    raw = pytest.importorskip("pyogrio.raw")
    path = tmp_path / "a.gpkg"
    wkb = np.array([b"\x01\x07\0\0\0\x01\0\0\0" + CURVED_WKB], dtype=object)
    raw.write(path, wkb, [], [], geometry_type="Unknown", crs=UTM)
    with pytest.raises(gn.GridrTypeError, match=r"^valid: '.*a.gpkg'.* must be polygons of straight edges"):
        vector_pixels(path)


def test_layers(rasters, tmp_path):
    path = write_layer(tmp_path / "a.gpkg", [in_utm(HOLED)], layer="footprint")
    write_layer(path, [in_utm(ROOF)], layer="clouds", append=True)
    expected = mask_of(rasters, tmp_path, valid=in_utm(HOLED), invalid=in_utm(ROOF), geometry_crs=UTM)
    layers = ("footprint", "clouds")
    assert np.array_equal(mask_of(rasters, tmp_path, valid=path, invalid=path, geometry_layer=layers), expected)
    with pytest.raises(ValueError, match=r"must say which layer of valid: .*; it has 'footprint', 'clouds'"):
        mask_of(rasters, tmp_path, valid=path)
    with pytest.raises(ValueError, match="not 'cloud'; it has 'footprint', 'clouds'"):
        mask_of(rasters, tmp_path, invalid=path, geometry_layer="cloud")


def test_a_file_whose_layers_hold_no_geometries(tmp_path):
    raw = pytest.importorskip("pyogrio.raw")
    path = tmp_path / "a.gpkg"
    raw.write(path, None, [np.array([1, 2])], ["n"], crs=None)
    with pytest.raises(OSError, match="holds no layer of geometries"):
        vector_pixels(path)


def test_without_pyogrio_the_error_says_what_to_install(monkeypatch, tmp_path):
    path = tmp_path / "a.gpkg"
    path.write_bytes(b"SQLite format 3\0")
    monkeypatch.setitem(sys.modules, "pyogrio", None)
    with pytest.raises(OSError, match=r"pip install 'gridr_numba\[vector\]'"):
        vector_pixels(path)
