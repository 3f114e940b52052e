"""Quick-looks: what is painted is what the file holds."""

from __future__ import annotations

import os
import re
import string

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

import gridr_numba as gn
from gridr_numba.doors import inspection, paint
from gridr_numba.doors import legend as words
from gridr_numba.doors import preview as quicklook
from gridr_numba.files import whole_file as atomic
from gridr_numba.types import Cause


def read(path):
    with rasterio.open(path) as dataset:
        assert dataset.driver == "PNG"
        return np.moveaxis(dataset.read(), 0, -1)


@pytest.fixture
def bare(monkeypatch):
    """Without words around the picture."""
    monkeypatch.setattr(quicklook, "framed", lambda picture, *words: picture)


def colours(picture):
    return {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}


LAYOUTS = [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32}, {"blockysize": 7}, {"interleave": "band"}]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [1, 2, 5, 33, 1000])
@pytest.mark.parametrize("pixels", [1, 1000, 1 << 22])
def test_every_so_manieth_pixel(rasters, monkeypatch, layout, step, pixels):
    monkeypatch.setattr(paint, "_PIXELS_A_READ", pixels)
    bands = np.random.default_rng(0).integers(0, 1000, (3, 71, 53)).astype(np.int16)
    dataset = rasters.reader(bands, **layout)
    assert np.array_equal(paint.every(dataset, [3, 1], step), bands[[2, 0], ::step, ::step])


@given(st.floats(1e-300, 1e300), st.integers(1, 50))
def test_round_steps(span, at_most):
    step = paint.round_step(span, at_most)
    assert span / step <= at_most * (1 + 1e-9)
    assert span / step > at_most / 2.6  # the next smaller one would be too many
    assert round(float(f"{step:.6e}".split("e")[0]), 5) in (1, 2, 5)


@pytest.mark.parametrize("span", [0.0, np.inf, np.nan])
def test_round_steps_of_nothing(span):
    assert paint.round_step(span, 10) == 1.0


def bent(rows, cols):
    i, j = np.meshgrid(np.arange(rows) * 1.0, np.arange(cols) * 1.0, indexing="ij")
    return np.stack([i + 0.002 * (j - cols / 2) ** 2, j])


def test_a_grid_is_coloured_by_its_displacement(bare, rasters, tmp_path):
    nodes = bent(40, 60)
    legend = quicklook.preview(rasters.reader(nodes).name, tmp_path / "a.png", size=120)
    picture = read(tmp_path / "a.png")
    assert picture.shape == (80, 120, 3)
    assert np.array_equal(picture[::2, ::2], picture[1::2, 1::2])
    away = paint.displacement(*nodes)
    assert f"0 to {away.max():.3g} source pixels" in legend
    assert "Each pixel is drawn as 2 x 2." in legend
    # Equal displacements have equal colours, and a straight-line mapping has one.
    steps = np.floor(away / 0.05)
    for step in np.unique(steps):
        assert len(colours(picture[::2, ::2][steps == step])) == 1
    quicklook.preview(rasters.reader(np.stack(np.indices((9, 9)) * 3.0)).name, tmp_path / "b.png", size=18)
    assert len(colours(read(tmp_path / "b.png"))) == 1


def test_a_large_grid_is_drawn_from_every_so_manieth_pixel_with_lines(bare, rasters, tmp_path):
    i, j = np.meshgrid(np.arange(400), np.arange(399), indexing="ij")
    rows, cols = 7 + 0.9 * i + 0.2 * j, 3 - 0.1 * i + 1.1 * j
    legend = quicklook.preview(rasters.reader(np.stack([rows, cols])).name, tmp_path / "a.png", size=150)
    picture = read(tmp_path / "a.png")
    assert picture.shape == (134, 133, 3)
    assert "each 50 source rows and columns" in legend
    assert "Drawn: each 3rd row and column." in legend
    on_line = np.zeros((134, 133), dtype=bool)
    for r, c in np.ndindex(on_line.shape):
        for band in (rows, cols):
            here = band[3 * r, 3 * c] // 50
            on_line[r, c] |= r > 0 and band[3 * r - 3, 3 * c] // 50 != here
            on_line[r, c] |= c > 0 and band[3 * r, 3 * c - 3] // 50 != here
    assert 0.05 < on_line.mean() < 0.3
    assert len(colours(picture)) == 2  # a straight-line mapping has one colour, and its lines another
    assert len(colours(picture[on_line])) == 1


def test_lost_coordinates_are_red(bare, rasters, tmp_path):
    nodes = bent(20, 20)
    nodes[0, 3, 4] = np.nan
    nodes[1, 5, 6] = np.inf
    nodes[1, 7, 8] = -9999
    legend = quicklook.preview(rasters.reader(nodes, nodata=-9999).name, tmp_path / "a.png", size=20)
    red = (read(tmp_path / "a.png") == paint.LOST).all(axis=-1)
    assert {tuple(place) for place in np.argwhere(red).tolist()} == {(3, 4), (5, 6), (7, 8)}
    assert "Red: no coordinates, 0.75 % of the picture." in legend


def test_scale_and_offset_tags_of_a_grid_are_applied_and_those_of_a_mask_refused(rasters, tmp_path):
    bands = bent(20, 20)
    scaled = rasters.writer((20, 20), bands.dtype, 2)
    scaled.write(bands / 4 - 8)
    scaled.scales, scaled.offsets = (4.0, 4.0), (32.0, 32.0)
    scaled.close()
    plain = quicklook.preview(rasters.reader(bands).name, tmp_path / "a.png", size=20)
    assert quicklook.preview(scaled.name, tmp_path / "b.png", size=20) == plain
    mask = rasters.writer((20, 20), np.uint8)
    mask.scales = (2.0,)
    mask.close()
    with pytest.raises(gn.GridrValueError, match=r"file: band 1 of .* the scale 2 .* a mask must have 1 and 0"):
        quicklook.preview(mask.name, tmp_path / "c.png")


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("fill", [np.nan, 3.0])
def test_grids_with_nothing_to_see(bare, rasters, tmp_path, shape, fill):
    quicklook.preview(rasters.reader(np.full((2, *shape), fill)).name, tmp_path / "a.png", size=16)
    assert len(colours(read(tmp_path / "a.png"))) == 1


def test_masks(bare, rasters, tmp_path):
    mask = np.random.default_rng(0).integers(0, 3, (30, 20)).astype(np.uint8)
    legend = quicklook.preview(rasters.reader(mask).name, tmp_path / "a.png", size=30, mask_valid_value=2)
    picture = read(tmp_path / "a.png")
    assert np.array_equal((picture == paint.VALID).all(axis=-1), mask == 2)
    assert colours(picture) == {paint.VALID, paint.OUTSIDE}
    assert f"valid, {100 * (mask == 2).mean():.4g} %" in legend


def test_causes_are_shown_by_the_first(bare, rasters, tmp_path):
    every = np.arange(sum(Cause) + 1, dtype=np.uint8)
    causes = every.reshape(4, -1).repeat(4, 0).repeat(4, 1)
    dataset = rasters.writer(causes.shape, np.uint8)
    dataset.write(causes, 1)
    dataset.set_band_description(1, "causes")
    dataset.close()
    legend = quicklook.preview(dataset.name, tmp_path / "a.png", size=max(causes.shape))
    picture = read(tmp_path / "a.png")
    by_first = {0: paint.VALID, **{int(cause): cause.colour for cause in Cause}}
    assert len({*by_first.values()}) == 1 + len(Cause)
    assert all(f"{cause.colour_name.capitalize()}: {cause.label}, " in legend for cause in Cause)
    for place in np.ndindex(causes.shape):
        assert tuple(picture[place]) == by_first[int(causes[place]) & -int(causes[place])]


# -- masks over grids, polygons -----------------------------------------------------------------------------------


def test_a_mask_over_a_grid(bare, rasters, tmp_path):
    nodes = bent(20, 30)
    causes = np.zeros((20, 30), np.uint8)
    causes[:5], causes[5:8, :10] = Cause.RASTER_MASK | Cause.INSIDE_INVALID, Cause.INSIDE_INVALID
    grid = rasters.reader(nodes).name
    for mask, by_cause in ((causes, True), ((causes == 0).astype(np.uint8), False)):
        dataset = rasters.writer(mask.shape, np.uint8)
        dataset.write(mask, 1)
        dataset.set_band_description(1, "causes" if by_cause else "validity")
        dataset.close()
        legend = quicklook.preview(grid, tmp_path / "a.png", size=30, mask=dataset.name, overwrite=True)
        picture = read(tmp_path / "a.png").astype(int)
        quicklook.preview(grid, tmp_path / "b.png", size=30, overwrite=True)
        plain = read(tmp_path / "b.png").astype(int)
        assert np.array_equal(picture[causes == 0], plain[causes == 0])
        first, second = (Cause.RASTER_MASK, Cause.INSIDE_INVALID) if by_cause else (Cause.OUTSIDE_VALID,) * 2
        for where, cause in ((np.s_[:5], first), (np.s_[5:8, :10], second)):
            assert (abs(picture[where] - np.array(cause.colour)) <= 0.16 * abs(plain[where] - cause.colour) + 1).all()
        assert f"Valid: {100 * (causes == 0).mean():.4g} % of the picture." in legend
        assert ("Red: raster mask, 25 %. White: inside invalid, 5 %." in legend) is by_cause
        assert ("Dark: invalid, 30 %." in legend) is not by_cause


@pytest.mark.parametrize("hidden", [False, True])
def test_lost_coordinates_are_said_where_no_mask_hides_them(rasters, tmp_path, hidden):
    nodes = np.mgrid[:10.0, :20.0]
    nodes[:, 2:4, 5:10] = np.nan
    causes = np.zeros((10, 20), np.uint8)
    causes[2:4, 5 : 10 if hidden else 8] = int(Cause.NODE)
    dataset = rasters.writer(causes.shape, np.uint8)
    dataset.write(causes, 1)
    dataset.set_band_description(1, "causes")
    dataset.close()
    legend = quicklook.preview(rasters.reader(nodes).name, tmp_path / "p.png", size=20, mask=dataset.name)
    assert ("Red: no coordinates, 2 % of the picture." in legend) is not hidden
    assert ("Red" in legend) is not hidden


def test_a_cause_that_is_not_known_is_not_valid(bare, rasters, tmp_path):
    dataset = rasters.writer((20, 20), np.uint16)
    dataset.write(np.where(np.arange(400) < 100, 2 * max(Cause), 0).reshape(20, 20).astype(np.uint16), 1)
    dataset.set_band_description(1, "causes")
    dataset.close()
    legend = quicklook.preview(dataset.name, tmp_path / "a.png", size=20)
    assert legend == "Teal: valid, 75 % of the picture. Dark: of no known cause, 25 %."
    assert (read(tmp_path / "a.png")[:5] == paint.OUTSIDE).all()


def test_a_grid_in_two_files(bare, rasters, tmp_path):
    nodes = bent(20, 30)
    legend = quicklook.preview(rasters.reader(nodes).name, tmp_path / "a.png")
    rows, cols = (rasters.reader(band).name for band in nodes)
    assert quicklook.preview((rows, cols), tmp_path / "b.png", col_band=1) == legend
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(("resolution", "size"), [(1, 20), (1, 200), (1, 16), ((6, 4), 20), ((6, 4), 100), (5, 40)])
def test_edges_of_polygons_lie_where_densify_has_them(bare, rasters, tmp_path, resolution, size):
    """A pixel of the picture is on an edge where the polygon begins or ends between its centre and a neighbour's."""
    rr, rc = (resolution, resolution) if isinstance(resolution, int) else resolution
    polygon = shapely.Polygon([(2.2 * rc, 3.3 * rr), (15.1 * rc, 4.4 * rr), (9.7 * rc, 16.5 * rr)])
    grid = rasters.reader(np.stack(np.indices((20, 20)) * 3.0)).name
    options = {"resolution": resolution, "size": size}
    legend = quicklook.preview(grid, tmp_path / "a.png", valid=polygon, **options)
    picture = read(tmp_path / "a.png")
    step, zoom = -(-20 // size), max(1, size // 20)
    centres = (np.arange(picture.shape[0]) + 0.5) * step / zoom - 0.5 if zoom > 1 else np.arange(0, 20, step)
    inside = shapely.intersects_xy(polygon, *np.meshgrid(centres * rc, centres * rr))
    around = np.pad(inside, 1, mode="edge")
    neighbours = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
    on_edge = np.any([neighbour != inside for neighbour in neighbours], axis=0)
    assert np.array_equal((picture == 255).all(axis=-1), on_edge)
    assert f"White line: edge of valid polygons, {100 * inside.mean():.3g} % of the picture inside." in legend


def test_polygons_in_a_crs_lie_where_the_file_says(bare, rasters, tmp_path):
    place = {"crs": "EPSG:32631", "transform": Affine(50, 0, 500_000, 0, -50, 5_000_000)}
    grid = rasters.reader(np.stack(np.indices((20, 20)) * 3.0), **place).name
    cloud = shapely.box(500_210, 4_999_490, 500_390, 4_999_810)
    in_map = quicklook.preview(grid, tmp_path / "a.png", invalid=cloud, geometry_crs="EPSG:32631")
    for resolution in (1, (7, 3)):  # what has a CRS does not need it
        again = quicklook.preview(
            *(grid, tmp_path / "b.png"), invalid=cloud, geometry_crs=32631, resolution=resolution, overwrite=True
        )
        assert again == in_map
        assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    pixels = shapely.box(3.7, 3.3, 7.3, 9.7)
    assert quicklook.preview(grid, tmp_path / "c.png", invalid=pixels) == in_map
    assert quicklook.preview(
        grid, tmp_path / "d.png", invalid=shapely.affinity.translate(pixels, 100, 200), geometry_origin=(200, 100)
    ).endswith(in_map[-60:])
    assert "Magenta line: edge of invalid polygons" in in_map


# -- what is wrong with the mapping as a whole --------------------------------------------------------------------

DOWN, RIGHT = np.indices((40, 30)) * 2.0


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ((DOWN, RIGHT), None),
        ((RIGHT, 90 - DOWN), None),
        ((DOWN, 90 - RIGHT), "MIRRORED: the grid mirrors the source"),
        ((RIGHT, DOWN), "MIRRORED: the grid mirrors the source"),
        ((0 * DOWN + 7, 0 * RIGHT + 3.5), "DISPLACEMENTS: on the whole the coordinates change by at most 0 source"),
        ((0 * DOWN + 7, RIGHT), "FLAT: most cells of the grid have no area in the source: source rows are 7 to 7,"),
        ((DOWN, 0 * RIGHT), "FLAT: most cells of the grid have no area in the source"),
        ((DOWN, DOWN), "FLAT: most cells of the grid have no area in the source"),
        ((np.sin(DOWN / 9), np.cos(RIGHT / 7)), "DISPLACEMENTS: on the whole the coordinates change by at most"),
        ((DOWN - 900, RIGHT - 900), "ELSEWHERE: source rows are -900 to"),
    ],
)
@pytest.mark.parametrize("every", [1, 2])
def test_trouble_is_said_and_seen(rasters, tmp_path, nodes, said, every):
    """What the survey of nodes says, of what is drawn: the same as `info` says of the grid."""
    nodes = np.stack([np.broadcast_to(band, DOWN.shape) for band in nodes])
    nodes[:, 3, 3] = np.nan
    grid = rasters.reader(nodes).name
    legend = quicklook.preview(grid, tmp_path / "a.png", size=-(-40 // every))
    shouted = re.findall(r"\b[A-Z]{4,}: ", legend)
    assert len(shouted) == (said is not None)
    assert said is None or said in legend
    assert ((225, 0, 0) in colours(read(tmp_path / "a.png"))) is (said is not None)
    if every == 1:
        found = inspection.inspect_grid(grid)
        assert bool(found.warnings) is (said is not None)
        assert all(warning in legend for warning in found.warnings)


@pytest.mark.parametrize("size", [40, 20])
def test_a_grid_is_drawn_as_it_is_meant(rasters, tmp_path, size):
    """In the order that is said, and displacements with their places in the dense raster added."""
    nodes = np.stack([5 + DOWN * 2 + RIGHT / 9, 7 + RIGHT * 2 - DOWN / 9])
    places = np.stack([DOWN * 2, RIGHT * 3])  # of nodes at a resolution of 4, 6: DOWN and RIGHT are even numbers
    plain = quicklook.preview(rasters.reader(nodes + places).name, tmp_path / "a.png", size=size)
    as_meant = {"grid_order": "xy", "displacement": True, "resolution": (4, 6)}
    moved = rasters.reader(np.ascontiguousarray(nodes[::-1])).name
    assert quicklook.preview(moved, tmp_path / "b.png", size=size, **as_meant) == plain
    rows, cols = (rasters.reader(band).name for band in nodes)
    as_meant["grid_order"] = "row_col"
    assert quicklook.preview((rows, cols), tmp_path / "c.png", size=size, **as_meant) == plain


def test_displacements_are_shown_as_they_are(bare, rasters, tmp_path):
    nodes = np.stack(
        [0.1 * DOWN + 0.25, 0 * RIGHT - 0.05 * DOWN]
    )  # straight, and so nothing beside the best affine function
    legend = quicklook.preview(rasters.reader(nodes).name, tmp_path / "a.png", size=40)
    assert f"0 to {np.hypot(*nodes).max():.3g} source pixels of displacement" in legend
    assert len(colours(read(tmp_path / "a.png"))) > 10


def test_where_the_mapping_leads_is_said(rasters, tmp_path):
    legend = quicklook.preview(
        rasters.reader(np.stack([5 + 2 * DOWN + RIGHT, 9 - DOWN / 4 + 3 * RIGHT])).name, tmp_path / "a.png"
    )
    assert (
        "Source: rows 5 to 219, columns -10.5 to 183; a pixel down is +4 rows and -0.5 columns, a pixel to the right"
        " +2 and +6."
    ) in legend


# -- words --------------------------------------------------------------------------------------------------------


def test_every_letter_has_a_form_of_its_own():
    letters = {letter: form for letter, form in words._LETTERS.items() if letter != "\xa0"}
    assert set(letters) == set(string.ascii_letters + string.digits + string.punctuation + " ")
    assert {form.shape for form in letters.values()} == {(8, 5)}
    assert len({form.tobytes() for form in letters.values()}) == len(letters)


@pytest.mark.parametrize("shape", [(1, 1), (16, 9), (300, 40), (600, 601), (20, 900)])
def test_title_bar_and_legend_are_in_the_picture(shape):
    picture = np.full((*shape, 3), 77.0)
    bar = words.Bar(np.linspace(0, 100, 30).reshape(10, 3), 3.5, "of something", 0.5)
    keys = [words.Key((1, 2, 3), "Black", "a word " * 30), words.Key(None, "Remark", "none")]
    whole = words.framed(picture, "Grid \u00e9\u00e8.tif", bar, keys, (200, 0, 0))
    rows, cols = np.nonzero((whole == 77).all(axis=-1))
    assert (np.ptp(rows) + 1, np.ptp(cols) + 1, len(rows)) == (*shape, shape[0] * shape[1])
    assert (whole[rows.min() - 1, cols] == (200, 0, 0)).all()
    assert (whole[rows, cols.max() + 1] == (200, 0, 0)).all()
    ink = (whole == words._INK).all(axis=-1)
    assert ink[: rows.min()].any()
    assert {tuple(colour) for colour in bar.colours} <= {tuple(colour) for colour in whole.reshape(-1, 3)}
    assert (whole == (1, 2, 3)).all(axis=-1).any()
    without = words.framed(picture, "Grid \u00e9\u00e8.tif", None, [])
    assert len(without) < len(whole)
    assert not np.array_equal(without, words.framed(picture, "Grid ee.tif", None, []))
    margin = np.ones(whole.shape[:2], bool)
    margin[4:-4, 4:-4] = False
    assert (whole[margin] == words._PAPER).all()


def test_what_is_drawn_has_a_title_a_bar_and_its_legend(rasters, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(quicklook, "framed", lambda picture, *given: seen.append(given) or picture)
    grid, mask = rasters.reader(bent(40, 60)).name, rasters.reader(np.ones((40, 60), np.uint8)).name
    legend = quicklook.preview(grid, tmp_path / "a.png", size=100, mask=mask, valid=shapely.box(1, 1, 9, 9))
    title, bar, keys, edge = seen.pop()
    assert title == f"Grid and mask {os.path.basename(grid)}, {os.path.basename(mask)}: 40 x 60 pixels"
    assert " ".join(map(str, (bar, *keys))) == legend
    assert edge is None
    quicklook.preview(mask, tmp_path / "b.png", size=100)
    title, bar, keys, edge = seen.pop()
    assert title == f"Mask {os.path.basename(mask)}: 40 x 60 pixels"
    assert bar is None
    assert [str(key) for key in keys] == ["Teal: valid, 100 % of the picture."]


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"out": "a.jpg"}, ValueError, r"^out: 'a.jpg' would hold a PNG, and the suffix .jpg says another format"),
        ({"out": "a.tif"}, ValueError, r"^out: 'a.tif' would hold a PNG"),
        ({"mask": "grid.png"}, OSError, "^mask: 'grid.png' cannot be opened"),
        ({"mask": "mask.tif"}, ValueError, r"^mask must have \(4, 5\) rows and columns, as the grid has"),
        ({"mask": "good.tif", "mask_band": 2}, ValueError, "^mask_band must be a band of mask, 1 to 1"),
        ({"source": "good.tif", "mask": "good.tif"}, ValueError, "^mask must be given with a grid"),
        ({"source": ("good.tif",)}, ValueError, r"^file must be a path or a pair .* not 1 of them"),
        ({"source": ("good.tif", "mask.tif"), "col_band": 1}, ValueError, r"^file\[1\] must have \(4, 5\) rows"),
        ({"source": ("good.tif", "nothing.tif")}, OSError, r"^file\[1\]: there is no file"),
        ({"source": ("good.tif", "good.tif"), "col_band": 2}, ValueError, r"^col_band must be a band of file\[1\]"),
        ({"valid": "nothing.wkt"}, OSError, "^valid: 'nothing.wkt' cannot be read"),
        ({"invalid": 7}, TypeError, "^invalid must be polygons"),
        ({"resolution": 0}, ValueError, r"^resolution\[0\] must be at least 1, not 0"),
        ({"geometry_origin": 3}, TypeError, "^geometry_origin must be a pair"),
        ({"geometry_crs": "x", "valid": shapely.box(0, 0, 1, 1)}, ValueError, "^geometry_crs must be"),
        ({"valid": "ground.png", "out": "ground.png", "overwrite": True}, ValueError, "^out: 'ground.png' is an input"),
        ({"mask": "good.tif", "out": "good.tif", "overwrite": True}, ValueError, "^out: 'good.tif' is an input"),
        ({"size": 3}, ValueError, "size must be at least 16"),
        ({"size": 10_001}, ValueError, "^size must be at most 10000, not 10001"),
        ({"size": 100_000}, ValueError, "^size must be at most 10000"),
        ({"mask_band": 2}, ValueError, "^mask_band must not be given without mask"),
        ({"mask_valid_value": 255}, ValueError, "^mask_valid_value must not be given without mask"),
        ({"displacement": True}, ValueError, "^resolution must be given with displacement=True"),
        ({"source": "good.tif", "displacement": True, "resolution": 2}, ValueError, "^displacement must be given with"),
        ({"source": "good.tif", "grid_order": "xy"}, ValueError, "^grid_order must be given with a grid"),
        ({"grid_order": "xy", "col_band": 1}, ValueError, "^col_band must not be given with grid_order='xy'"),
        ({"row_band": 3}, ValueError, "row_band must be a band of file, 1 to 2, not 3"),
        ({"out": "grid.png"}, ValueError, "exists; overwrite=True replaces it"),
        ({"out": "nowhere/a.png"}, OSError, "there is no folder"),
        ({"source": "/vsimem/a.tif"}, ValueError, "only local files are read"),
    ],
)
def test_refusals(rasters, tmp_path, monkeypatch, options, kind, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.png").write_text("mine")
    (tmp_path / "ground.png").write_text("POLYGON ((0 0, 1 0, 1 1, 0 0))")
    for name, shape in (("mask.tif", (5, 5)), ("good.tif", (4, 5))):
        dataset = rasters.reader(np.ones(shape, np.uint8))
        os.rename(dataset.name, tmp_path / name)
    arguments = {"source": rasters.reader(bent(4, 5)).name, "out": "a.png", **options}
    with pytest.raises(kind, match=message):
        quicklook.preview(arguments.pop("source"), arguments.pop("out"), **arguments)
    assert (tmp_path / "grid.png").read_text() == "mine"
    assert not (tmp_path / "a.png").exists()
    assert not (tmp_path / "a.jpg").exists()


# -- files that appear whole --------------------------------------------------------------------------------------


def test_a_whole_file_appears_at_the_end(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with atomic.whole_file(path, "report") as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_the_block_raises_leaves_the_old_file_alone(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail_halfway():
        with atomic.whole_file(path, "report") as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        fail_halfway()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_file_that_is_made_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "a.json"
    with (
        pytest.raises(gn.DatasetError, match=r"report: '.*a.json' cannot be written: File exists"),
        atomic.whole_file(path, "report", overwrite=False),
    ):
        path.write_text("theirs")
    assert path.read_text() == "theirs"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_replaced_file_keeps_its_mode_and_one_in_a_renamed_folder_is_removed(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "a.json"
    path.write_text("old")
    path.chmod(0o600)
    with atomic.whole_file(path, "report") as file:
        file.write(b"new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(gn.DatasetError, match="report: "), atomic.whole_file(path, "report"):
        folder.rename(tmp_path / "elsewhere")
    assert os.listdir(tmp_path / "elsewhere") == ["a.json"]


def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    with (
        pytest.raises(gn.DatasetError, match=r"report: '.*a.json' cannot be written: No such file"),
        atomic.whole_file(tmp_path / "nowhere" / "a.json", "report"),
    ):
        pytest.fail("the block is not to run")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(gn.DatasetError, match="cannot be written: No space"),
        atomic.whole_file(tmp_path / "a.json", "report"),
    ):
        pass
    assert os.listdir(tmp_path) == []
