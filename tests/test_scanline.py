"""The polygon engine against shapely, centre by centre, and what it promises of memory, strips and threads."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import oracles
import pytest
import shapely
import strategies as own
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize
from rasterio.transform import Affine

import gridr_numba as gn
from gridr_numba.polygons.edges import Layer, PolygonEdges
from gridr_numba.polygons.mask import PolygonMask
from gridr_numba.polygons.sets import PolygonSet
from gridr_numba.types import Cause
from gridr_numba.window import Window

CORNERS = Affine(1, 0, -0.5, 0, 1, -0.5)

PREDICATES = st.sampled_from(list(gn.ShapelyPredicate))
TINY_SHAPES = st.one_of(
    st.tuples(st.integers(1, 30), st.integers(1, 30)), st.sampled_from([(1, 60), (60, 1), (1, 1), (70, 20), (129, 9)])
)


def rasterized(polygons, shape, origin, step, predicate):
    return gn.grid_rasterize(
        None, shape, origin, step, None, 1, 0, 0, polygons, alg=2, dtype=bool, shapely_predicate=predicate
    )


def assert_as_shapely(polygons, shape, origin, step, predicate):
    got = rasterized(polygons, shape, origin, step, predicate)
    expected = oracles.inside_prepared(polygons, shape, predicate, origin, step)
    assert np.array_equal(got, expected), np.argwhere(got != expected)[:5]


# -- law 6 --------------------------------------------------------------------------------------------------------


@given(own.scanned(TINY_SHAPES, 12), PREDICATES)
@settings(max_examples=10 * settings.default.max_examples)
def test_a_few_centres(scanned, predicate):
    assert_as_shapely(*scanned, predicate)


@pytest.mark.large
def test_fifty_million_centres():
    """All that hypothesis finds, on windows of a megapixel: not one centre differs."""
    examples = max(64, settings.default.max_examples)
    compared = 0

    @settings(max_examples=examples)
    @given(own.scanned(st.sampled_from([(1000, 1000), (800, 1250), (1250, 800)]), 200), PREDICATES)
    def compare(scanned, predicate):
        nonlocal compared
        assert_as_shapely(*scanned, predicate)
        compared += scanned[1][0] * scanned[1][1]

    compare()
    assert compared >= 50_000_000


@st.composite
def on_centres(draw):
    """Polygons with vertices on centres of any lattice, or one float64 beside them."""
    shape = draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    origin = draw(st.tuples(*[st.one_of(st.floats(-1e3, 1e3), st.floats(-1e16, 1e16))] * 2))
    step = draw(st.tuples(*[st.one_of(st.floats(1e-3, 1e3), st.floats(1e-12, 1e3))] * 2))
    xs, ys = oracles.centre_axes(shape, origin, step)
    nudges = st.sampled_from([0.0, 0.0, -np.inf, np.inf])

    def vertex():
        return tuple(
            float(value if (to := draw(nudges)) == 0.0 else np.nextafter(value, to))
            for value in (draw(st.sampled_from(list(xs))), draw(st.sampled_from(list(ys))))
        )

    corners = [vertex() for _ in range(draw(st.integers(2, 5)))]
    polygon = shapely.Polygon(corners) if len(corners) > 2 else shapely.box(*np.ravel(np.sort(corners, axis=0)))
    return [polygon] if polygon.is_valid else [], shape, origin, step


TINY_BOX = shapely.box(-5e-324, np.nextafter(1.0, 0.0), 5e-324, np.nextafter(1.0, 2.0))  # where products underflow


@given(on_centres(), PREDICATES)
@example(([TINY_BOX], (2, 1), (0.0, 0.0), (1.0, 1.0)), gn.ShapelyPredicate.CONTAINS)
@settings(max_examples=10 * settings.default.max_examples)
def test_vertices_on_centres_of_any_lattice(scanned, predicate):
    assert_as_shapely(*scanned, predicate)


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
@pytest.mark.parametrize("width", [1e-320, 1e-200, 1e-160, 1e-100, 1e-20, 1e15, 1e29])
@pytest.mark.parametrize("height", [1e-320, 1e-200, 1e-129, 1e-100, 1.0, 1e20, 1e29])
def test_any_magnitude(width, height, predicate):
    random = np.random.default_rng(5)
    size = np.array([width, height])
    rings = [[(-1, -1), (1.25, -1), (0.75, 1)], [(0, -1), (1, 0), (0, 1), (-1, 0)], [(0, 0), (1, 0.3), (0.1, 1)]]
    # Nearly through the origin, on either side of it.
    rings += [[(-1, a), (1, -a * (1 + b)), (c, 2)] for a, b, c in random.uniform(-1, 1, (8, 3)) * (1, 1e-14, 1)]
    for ring in rings:
        polygon = shapely.Polygon(np.array(ring) * size)
        if not polygon.is_valid:
            continue
        for origin in ((-3.0, -2.0), (-height, -width), (-0.5 * height, 0.25 * width)):
            for step in ((1.0, 1.0), (height / 4, width / 4)):
                if min(step) > 0.0:
                    assert_as_shapely([polygon], (9, 9), origin, step, predicate)


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
def test_centres_that_coincide(predicate):
    """At 1e17 sixteen steps of 1 are one float64."""
    origin = (1e17, -1e17)
    for ring in ([(-8, 0), (40, 0), (40, 64), (-8, 64)], [(0, 0), (64, 32), (16, 64)], [(-16, -16), (64, 16), (0, 48)]):
        polygon = shapely.Polygon([(x + origin[1], y + origin[0]) for x, y in ring])
        assert_as_shapely([polygon], (50, 45), origin, (1.0, 1.0), predicate)


@pytest.mark.parametrize("far", [2**31, 2**40, 2**51])
def test_a_window_far_into_a_raster(far):
    polygon = shapely.Polygon([(far + 2, far), (far + 30, far + 7), (far + 11, far + 25)])
    window = ((far, far + 29), (far, far + 39))
    lattice = None, (far + 99, far + 99), (0.0, 0.0), (1.0, 1.0), window
    got = gn.grid_rasterize(*lattice, 1, 0, 0, polygon, None, 2, dtype=bool)
    assert np.array_equal(got, oracles.inside_prepared([polygon], (30, 40), 1, (float(far), float(far))))


@given(st.data(), PREDICATES)
@example(None, gn.ShapelyPredicate.CONTAINS)
def test_a_ring_through_the_same_centre_as_a_hole(data, predicate):
    """Holes that touch one another and the shell, on centres and between them, with edges along the rows."""
    y = 4.0 if data is None else data.draw(st.sampled_from([4.0, 4.5]))
    holes = [[(2, y), (4, y - 2), (6, y), (4, y + 2)], [(6, y), (8, y), (8, y + 2)], [(6, y), (7, y - 3), (9, y - 3)]]
    shell = [(2, y), (2, 9), (10, 9), (10, 0), (2, 0)]
    polygon = shapely.Polygon(shell, holes)
    assert polygon.is_valid
    assert_as_shapely([polygon], (11, 12), (0.0, 0.0), (1.0, 1.0), predicate)


# -- law 10 -------------------------------------------------------------------------------------------------------


def part_of(axis, start, stop):
    return (*axis[:2], start, stop)


def assert_windows_are_parts_of_the_whole(polygons, shape, origin, step, predicate, windows, threads=None):
    """Any window in any order: shapely's answer for its centres, and the same bits as that part of the whole."""
    row_axis, col_axis = ((o, s, 0, n) for o, s, n in zip(origin, step, shape, strict=True))
    edges = PolygonEdges.of([Layer(PolygonSet.of(polygons), 0xFF, 1)], row_axis, col_axis)
    whole = np.empty(shape, np.uint8)
    edges.write(row_axis, col_axis, predicate, 2, whole, threads)
    small = [polygon for polygon in polygons if np.abs(polygon.bounds).max() <= 1e30]
    if len(small) == len(polygons):
        assert np.array_equal(whole & 1, oracles.inside_prepared(polygons, shape, predicate, origin, step))
    for row_start, row_stop, col_start, col_stop in windows:
        part = np.empty((row_stop - row_start, col_stop - col_start), np.uint8)
        axes = part_of(row_axis, row_start, row_stop), part_of(col_axis, col_start, col_stop)
        edges.write(*axes, predicate, 2, part, threads)
        expected = whole[row_start:row_stop, col_start:col_stop]
        assert np.array_equal(part, expected), np.argwhere(part != expected)[:5]


WINDOWED_SHAPES = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)), st.sampled_from([(1, 60), (200, 9), (9, 200), (130, 70)])
)
HUGE = shapely.Polygon([(-1e31, 3.5), (1e31, 3.5), (0, 1e31)])


@given(own.scanned(WINDOWED_SHAPES, 60), PREDICATES, st.sampled_from([1, 2]), st.booleans(), st.data())
@settings(max_examples=4 * settings.default.max_examples)
def test_any_window_is_that_part_of_the_whole(scanned, predicate, threads, with_huge, data):
    polygons, shape, origin, step = scanned
    windows = [data.draw(own.windows_in(shape)) for _ in range(4)]
    polygons = polygons + [HUGE] * with_huge
    assert_windows_are_parts_of_the_whole(polygons, shape, origin, step, predicate, windows, threads)


@given(on_centres(), PREDICATES, st.data())
@settings(max_examples=4 * settings.default.max_examples)
def test_any_window_where_vertices_lie_on_centres(scanned, predicate, data):
    polygons, shape, origin, step = scanned
    windows = [data.draw(own.windows_in(shape)) for _ in range(4)]
    assert_windows_are_parts_of_the_whole(polygons, shape, origin, step, predicate, windows)


@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 1.0, 0.5]), PREDICATES, st.data())
def test_any_window_among_many_polygons(seed, snap, predicate, data):
    """More than a group of them: boxes that share edges, stars, and one ring around them all with a hole."""
    random = np.random.default_rng(seed)
    shape = (90, 120)
    places = random.uniform(-5, 125, (150, 2)), random.uniform(0.5, 12, (150, 2))
    corners = [place if snap is None else np.round(place / snap) * snap for place in places]
    polygons = [shapely.box(x, y, x + w, y + h) for (x, y), (w, h) in zip(*corners, strict=True) if w > 0 and h > 0]
    polygons += [polygon.centroid.buffer(4.3, quad_segs=3) for polygon in polygons[:40]]
    polygons.append(shapely.box(-50, -50, 200, 200).difference(shapely.box(3, 4, 110, 85)))
    windows = [data.draw(own.windows_in(shape)) for _ in range(6)]
    assert_windows_are_parts_of_the_whole(polygons, shape, (0.0, 0.0), (1.0, 1.0), predicate, windows)


def test_a_long_chain_on_the_left_of_a_window_turns_as_its_edges_do():
    """Steps up and down on rows and between them, back and forth, in more blocks than one: all left of the window."""
    random = np.random.default_rng(3)
    ys = np.concatenate([np.sort(random.integers(0, 120, 300)) / 2, np.full(5, 60.0)])
    ys += np.where(np.arange(len(ys)) % 7 == 0, 1.5, 0.0)
    left = shapely.Polygon([*zip(np.linspace(1, 9, len(ys)), ys, strict=True), (90, 60), (90, 0), (0, 0)])
    polygons = list(shapely.get_parts(shapely.make_valid(left)))
    polygons = [polygon for polygon in polygons if polygon.geom_type == "Polygon"]
    windows = [(0, 70, 12, 95), (0, 70, 9, 10), (0, 70, 4, 8), (13, 14, 50, 51), (59, 62, 10, 95)]
    for predicate in gn.ShapelyPredicate:
        assert_windows_are_parts_of_the_whole(polygons, (70, 95), (0.0, 0.0), (1.0, 1.0), predicate, windows)


# -- who decides --------------------------------------------------------------------------------------------------


@pytest.fixture
def asked(monkeypatch):
    """Counts the centres that shapely is asked about."""
    counts = []

    def counted(ask):
        return lambda polygon, xs, ys: (counts.append(np.broadcast(xs, ys).size), ask(polygon, xs, ys))[1]

    for name in ("intersects_xy", "contains_xy"):
        monkeypatch.setattr(shapely, name, counted(getattr(shapely, name)))
    return counts


@pytest.mark.parametrize("predicate", gn.ShapelyPredicate)
@pytest.mark.parametrize("unit", [1.0, 0.5])
def test_on_the_lattice_nothing_is_in_doubt(asked, predicate, unit):
    diamonds = [[(x - 9, y), (x, y - 9), (x + 9, y), (x, y + 9)] for x, y in ((20, 20), (31, 27), (90, 70))]
    steep = [[(3, 5), (90, 34), (61, 92)], [(-500, 7), (700, 207), (100, 57)], [(2**20, 0), (0, 2**20), (0, 0)]]
    polygons = [shapely.Polygon(unit * np.array(ring)) for ring in (*diamonds, *steep)]
    polygons += [shapely.box(10 * unit, 0, 60 * unit, 40), shapely.box(60 * unit, 0, 90, 40)]
    got = rasterized(polygons, (100, 100), (0.0, 0.0), (1.0, 1.0), predicate)
    assert not asked
    assert np.array_equal(got, oracles.inside_prepared(polygons, (100, 100), predicate))


def test_axis_aligned_edges_are_never_in_doubt(asked):
    xs, ys = oracles.centre_axes((40, 40), (0.1, 1 / 3), (0.3, 0.7))
    box = shapely.box(xs[3], ys[5], xs[30], ys[33])
    got = rasterized([box], (40, 40), (0.1, 1 / 3), (0.3, 0.7), gn.ShapelyPredicate.COVERS)
    assert not asked
    assert got.sum() == 28 * 29


def test_a_centre_in_doubt_is_asked_and_the_others_are_not(asked):
    """Multiples of a tenth are no float64s: whether the diagonal passes through the centres is for GEOS to say."""
    diagonal = shapely.Polygon([(0.1, 0.1), (300.7, 300.7), (300.7, 0.1)])
    got = rasterized([diagonal], (300, 300), (0.0, 0.0), (1.0, 1.0), gn.ShapelyPredicate.COVERS)
    assert 0 < sum(asked) <= 300
    assert np.array_equal(got, oracles.inside_prepared([diagonal], (300, 300), 1))


def test_more_centres_in_doubt_than_there_is_room_for(asked):
    shifts = np.arange(40)
    diagonals = [shapely.Polygon([(s + 0.1, 0.1), (s + 70.7, 70.7), (s + 70.7, 0.1)]) for s in shifts]
    for _ in range(2):
        got = rasterized(diagonals, (75, 120), (0.0, 0.0), (1.0, 1.0), gn.ShapelyPredicate.CONTAINS)
        assert np.array_equal(got, oracles.inside_prepared(diagonals, (75, 120), 2))
    assert sum(asked) > 64


def test_what_lies_off_the_raster_and_between_its_rows_costs_nothing():
    """Edges to the left stay: they say that a span has begun."""
    angles = np.linspace(0, 2 * np.pi, 10_000, endpoint=False)
    ring = np.column_stack([np.cos(angles), np.sin(angles)])

    def edges(x, y, radius):
        polygon = shapely.Polygon((x, y) + radius * ring)
        table = PolygonMask.of((polygon, None), (0.0, 0.0), None, (100, 100)).edges.table
        return table.block_edges[table.polygon_blocks[-1]]

    assert edges(1e6, 0, 100) == edges(0, 1e6, 100) == edges(-1e6, 0, 100) == 0
    assert edges(50, 50, 1e6) <= 2
    assert edges(50.3, 50.3, 45) == 2 * 90  # of 10,000: 90 rows, each crossed twice


# -- strips, threads, memory --------------------------------------------------------------------------------------


def causes_in_strips(mask, shape, strip_rows, threads):
    out = np.empty(shape, np.uint8)
    for start in range(0, shape[0], strip_rows):
        stop = min(start + strip_rows, shape[0])
        mask.write_causes(Window(start, stop, 0, shape[1]), out[start:stop], threads)
    return out


@given(own.scanned(st.tuples(st.integers(1, 200), st.integers(1, 40))), PREDICATES, st.data())
def test_both_sets_in_one_pass_whatever_the_strips_and_threads(scanned, predicate, data):
    polygons, shape, origin, _ = scanned
    valid, invalid = polygons[::2], polygons[1::2]
    options = {"kwargs_alg": {"shapely_predicate": predicate}}
    mask = PolygonMask.of((valid, invalid), origin, options, shape)
    if mask is None:
        return
    before = [array.copy() for array in mask.edges.table]
    expected = oracles.inside_prepared(invalid, shape, predicate, origin) * np.uint8(Cause.INSIDE_INVALID)
    if valid:
        expected |= ~oracles.inside_prepared(valid, shape, predicate, origin) * np.uint8(Cause.OUTSIDE_VALID)
    for _ in range(2):
        strip_rows, threads = data.draw(st.integers(1, shape[0])), data.draw(st.sampled_from([1, 2, None]))
        assert np.array_equal(causes_in_strips(mask, shape, strip_rows, threads), expected)
    for array, kept in zip(mask.edges.table, before, strict=True):
        assert array.tobytes() == kept.tobytes()


@pytest.mark.parametrize(("alg", "once"), [(2, "get_rings"), (1, "buffer")])
def test_a_set_is_built_once_a_job(rasters, monkeypatch, alg, once):
    calls = []
    original = getattr(shapely, once)
    monkeypatch.setattr(shapely, once, lambda *args, **kwargs: (calls.append(once), original(*args, **kwargs))[1])
    out = rasters.writer((97, 33), np.uint8)
    gn.build_mask_chain(
        (25, 9), (4, 4), out, np.uint8, None, None, None, np.float64, (0.0, 0.0), (shapely.box(3, 3, 22, 90), None),
        {"alg": alg}, io_strip_size=1,
    )  # fmt: skip
    assert len(calls) == 1
    assert rasters.content(out).sum() == 20 * 88


@given(own.scanned(st.tuples(st.integers(2, 60), st.integers(2, 60))), st.integers(1, 60))
def test_what_gdal_burns_does_not_depend_on_strips_and_cuts(scanned, strip_rows):
    """For centres further than 1e-9 of the coordinates' magnitude from the dilated boundary."""
    polygons, shape, _, _ = scanned
    polygons = [p for p in polygons if np.abs(p.bounds).max() < 1e8]
    mask = PolygonMask.of((None, polygons), (0.0, 0.0), {"alg": 1}, shape)
    if mask is None:
        return
    dilated = [p.buffer(1e-6, quad_segs=1) for p in polygons]
    burned = rasterize([*(p for p in dilated if not p.is_empty), shapely.box(-9, -9, -8, -8)], shape, transform=CORNERS)
    points = shapely.points(*oracles.centres(shape))
    tolerance = 1e-9 * max(1.0, np.abs(shapely.bounds(dilated)).max())
    near = np.min([shapely.distance(p.boundary, points) for p in dilated], axis=0) <= tolerance
    got = causes_in_strips(mask, shape, strip_rows, None) == Cause.INSIDE_INVALID
    assert np.array_equal(got[~near], burned[~near] == 1)


def run(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


SHARED = """
import sys, threading
import numpy as np, shapely
from gridr_numba.polygons.mask import PolygonMask
from gridr_numba.window import Window

angles = np.linspace(0, 2 * np.pi, 500)[:-1]
diagonals = [shapely.Polygon([(s + 0.1, 0.1), (s + 170.7, 170.7), (s + 170.7, 0.1)]) for s in range(0, 200, 5)]
huge = shapely.Polygon([(-1e17, 3), (1e17, 90), (0, 1e17)])
circle = shapely.Polygon(np.column_stack([100 + 80 * np.cos(angles), 100 + 80 * np.sin(angles)]))
pair = [circle, *diagonals[::2]], [huge, *diagonals[1::2]]
mask = PolygonMask.of(pair, (0.0, 0.0), {'alg': int(sys.argv[2])}, (200, 300))

def causes():
    out = np.empty((200, 300), np.uint8)
    for start in range(0, 200, 50):
        mask.write_causes(Window(start, start + 50, 0, 300), out[start:start + 50])
    return out

expected = causes() if sys.argv[1] == 'warm' else None
results = []
def work():
    for _ in range(10):
        results.append(causes())
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
expected = causes() if expected is None else expected
assert len(results) == 40 and all(np.array_equal(result, expected) for result in results)
assert len(np.unique(expected)) == 4
print('fine')
"""


@pytest.mark.parametrize("alg", ["1", pytest.param("2", marks=pytest.mark.large)])  # Python holds the lock all along
@pytest.mark.parametrize("start", ["cold", "warm"])
def test_four_threads_share_one_set(start, alg):
    assert run(SHARED, start, alg) == "fine"


MEMORY = """
import sys
import numpy as np, shapely
from pathlib import Path
from gridr_numba.polygons.mask import PolygonMask
from gridr_numba.window import Window

def shape_of(kind, n):
    if kind == 'comb':  # every other edge is as high as the raster
        xs = np.repeat(np.linspace(0, 5000, n // 2), 2)
        ys = np.tile([10.0, 6000.0, 6000.0, 10.0], n // 4)
        return shapely.Polygon(np.column_stack([np.append(xs, [5000, 0]), np.append(ys, [-10.0, -10.0])]))
    angles = np.linspace(0, 2 * np.pi, n, endpoint=False)
    radii = 2000 + 400 * np.sin(997 * angles)
    return shapely.Polygon(np.column_stack([2500 + radii * np.cos(angles), 2500 + radii * np.sin(angles)]))

def scan(polygon):
    mask = PolygonMask.of((None, polygon), (0.0, 0.0), None, (5000, 5000))
    mask.write_causes(Window(2000, 2100, 0, 5000), out, 2)

def memory(key):
    lines = Path('/proc/self/status').read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(key)).split()[1])

out = np.zeros((100, 5000), np.uint8)
scan(shape_of(sys.argv[1], 400))
polygon = shape_of(sys.argv[1], 1_000_000)
Path('/proc/self/clear_refs').write_text('5')
before = memory('VmRSS')
scan(polygon)
assert out.any()
print((memory('VmHWM') - before) / 1e6)
"""


@pytest.mark.large
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system does not tell the peak")
@pytest.mark.parametrize("kind", ["comb", "coastline"])
def test_a_million_vertices_cost_less_than_200_bytes_each(kind):
    assert float(run(MEMORY, kind)) < 200
