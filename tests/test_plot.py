"""Figures: what is drawn is what the files hold, in colours that all can tell apart."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity
from click.testing import CliRunner

import gridr_numba as gn
from gridr_numba.cli import main
from gridr_numba.types import VALID_COLOUR, Cause

pytest.importorskip("matplotlib", reason="the extra plot is not installed")
from gridr_numba import plot


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A coarse grid that bends, a coarse mask, and what `densify` makes of them."""
    monkeypatch.chdir(tmp_path)
    i, j = np.mgrid[0:21, 0:31].astype(float)
    nodes = np.stack([20 * i + 0.02 * j**2, 20 * j - 0.03 * i * j])
    valid = (j < 25).astype(np.uint8)
    profile = {"driver": "GTiff", "height": 21, "width": 31}
    with rasterio.open("grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(nodes)
    with rasterio.open("mask.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write(valid, 1)
    (tmp_path / "cloud.wkt").write_text("POLYGON ((40 40, 90 45, 80 90, 40 40))")
    how = {"resolution": (5, 4), "mask": "mask.tif", "mask_out": "valid.tif", "invalid": "cloud.wkt"}
    return gn.densify("grid.tif", "dense.tif", mask_out_values="causes", **how)


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def images(ax):
    return [image.get_array() for image in ax.get_images()]


def test_a_grid_is_drawn_by_what_is_left_of_its_straight_part(files):
    figure = plot.plot_grid("grid.tif", resolution=(5, 4))
    with rasterio.open("grid.tif") as dataset:
        rows, cols = dataset.read()
    i, j = np.mgrid[0:21, 0:31]
    design = np.stack([np.ones(i.size), i.ravel(), j.ravel()], axis=1)
    left = [band.ravel() - design @ np.linalg.lstsq(design, band.ravel(), rcond=None)[0] for band in (rows, cols)]
    ax = figure.axes[0]
    assert np.allclose(images(ax)[0].ravel(), np.hypot(*left), atol=1e-9)
    assert ax.get_images()[0].get_extent() == [-2.0, 122.0, 102.5, -2.5]  # nodes are centres of blocks of 5 x 4
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # rows go down
    assert "source pixels from a straight-line mapping" in texts(figure)


def test_a_scale_can_be_given_so_that_grids_compare(files):
    image = plot.plot_grid("grid.tif", largest=7.5).axes[0].get_images()[0]
    assert (image.norm.vmin, image.norm.vmax) == (0.0, 7.5)
    for wrong in (0, -1.0, np.inf, np.nan):
        with pytest.raises(gn.GridrValueError, match="largest must be positive and finite") as caught:
            plot.plot_grid("grid.tif", largest=wrong)
        assert caught.value.argument == "largest"


def test_a_mask_is_drawn_by_first_cause_with_its_shares(files):
    figure = plot.plot_mask("valid.tif", size=10_000)
    with rasterio.open("valid.tif") as dataset:
        causes = dataset.read(1)
    total = causes.size
    said = " ".join(texts(figure))
    assert f"valid, {100 * files.valid_pixels / total:.3g} %" in said
    for cause in (Cause.RASTER_MASK, Cause.INSIDE_INVALID):
        assert f"{cause.label}, {100 * files.invalid_pixels[cause.key] / total:.3g} %" in said
    everywhere, masked, inside = images(figure.axes[0])
    assert np.array_equal(masked[..., 3] > 0, causes & Cause.RASTER_MASK > 0)
    assert np.array_equal(inside[..., 3] > 0, causes == Cause.INSIDE_INVALID)
    assert np.allclose(masked[masked[..., 3] > 0][0, :3] * 255, Cause.RASTER_MASK.colour)
    assert np.allclose(everywhere[0, 0, :3] * 255, VALID_COLOUR)


def test_findings_are_drawn_and_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    i, j = np.mgrid[0:40, 0:50].astype(float)
    nodes = np.stack([20 * j, 20 * i])  # (x, y), which mirrors
    nodes[0, 10:14, 20:24] += 300 * (j[10:14, 20:24] - 22)  # a fold, the other way
    nodes[1, 30:33, 5:9] = np.nan
    with rasterio.open("bad.tif", "w", driver="GTiff", height=40, width=50, count=2, dtype="float64") as dataset:
        dataset.write(nodes)
    figure = plot.plot_grid("bad.tif")
    said = " ".join(texts(figure))
    assert "the grid mirrors the source" in said
    assert "folded" in said
    assert any(text.startswith("folded, ") for text in texts(figure.legends[0]))
    away, folded = images(figure.axes[0])
    assert np.array_equal(np.isnan(np.ma.filled(away, np.nan)), np.isnan(nodes[1]))
    down, across = np.diff(nodes, axis=1)[:, :, :-1], np.diff(nodes, axis=2)[:, :-1]
    turned = down[0] * across[1] - down[1] * across[0] > 0
    assert turned.any()
    assert np.array_equal(folded[..., 3] > 0, turned)
    arrows = [each.arrow_patch.get_edgecolor() for each in figure.axes[0].texts if getattr(each, "arrow_patch", None)]
    assert len(arrows) == 2
    assert all(red > 0.7 > green for red, green, *_ in arrows)
    assert "mirrors" not in " ".join(texts(plot.plot_grid("bad.tif", findings=False)))


def test_polygons_are_drawn_where_they_lie(files):
    hole = shapely.Point(50, 60).buffer(20) - shapely.Point(50, 60).buffer(9)
    figure = plot.plot_mask("valid.tif", valid=hole, invalid="cloud.wkt", geometry_origin=(10.0, 20.0))
    valid, invalid = figure.axes[0].get_lines()
    for line, expected in ((valid, hole), (invalid, shapely.from_wkt(Path("cloud.wkt").read_text()))):
        x, y = line.get_data()
        points = shapely.points(np.column_stack([x + 20.0, y + 10.0])[np.isfinite(x)])
        assert shapely.distance(points, expected.boundary).max() < 0.1
    assert np.isnan(valid.get_xdata()).sum() == 1  # between the two rings
    assert "edge of valid polygons" in texts(figure)


def warped_grid(shape, *, exchanged=False):
    """Nodes that bend, of which some have no coordinates."""
    i, j = np.meshgrid(*(np.arange(size) * 20_000.0 / max(shape) for size in shape), indexing="ij")
    nodes = np.stack([0.97 * i + 0.05 * j + 300 * np.sin(j / 4000), 0.98 * j - 0.04 * i + 200 * np.cos(i / 3000)])
    nodes[:, shape[0] // 3 : shape[0] // 3 + 2, shape[1] // 2 : shape[1] // 2 + 3] = np.nan
    return nodes[::-1] if exchanged else nodes


def drawn_words(figure):
    """Return what is written in a figure and where, (text, artist, its box in pixels), once it is drawn."""
    from matplotlib.text import Text

    figure.draw_without_rendering()
    unseen = set()  # ticks outside of their axes, which are not drawn
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            unseen |= {tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high}
    words = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text, text.get_window_extent()) for text in words if text not in unseen]


@pytest.mark.parametrize("shape", [(21, 21), (12, 90), (90, 12)])
@pytest.mark.parametrize("stacked", [False, True])
def test_words_are_large_enough_and_none_is_cut_off(tmp_path, monkeypatch, shape, stacked):
    """A picture's width shows letters with nine pixels on a phone, and its height is that of what it shows."""
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "height": shape[0], "width": shape[1], "dtype": "float64"}
    with rasterio.open("grid.tif", "w", count=2, **profile) as dataset:
        dataset.write(warped_grid(shape))
    with rasterio.open("exchanged.tif", "w", count=2, **profile) as dataset:
        dataset.write(warped_grid(shape, exchanged=True))
    Path("cloud.wkt").write_text("POLYGON ((10 10, 45 10, 30 50, 10 10))")
    report = gn.densify(
        "grid.tif", "dense.tif", resolution=5, mask_out="c.tif", mask_out_values="causes", invalid="cloud.wkt"
    )
    figures = [
        (1 if stacked else 2, plot.overview(report, stacked=stacked)),
        (1 if stacked else 2, plot.plot_images("dense.tif", "dense.tif", mask="c.tif", stacked=stacked)),
        (1, plot.plot_grid("exchanged.tif", resolution=5)),
        (1, plot.plot_mask("c.tif", valid="cloud.wkt")),
    ]
    for across, figure in figures:
        words = drawn_words(figure)
        width, height = figure.bbox.size
        inches = figure.get_figwidth() / across
        for said, text, box in words:
            assert text.get_fontsize() / 72 * 343 / inches >= 9, said  # a screen of 390 has 343 pixels for pictures
            assert -1 < box.x0 < box.x1 < width + 1, said
            assert -1 < box.y0 < box.y1 < height + 1, said
            if said in ("rows", "columns"):  # of the arrows
                frame = text.axes.get_window_extent()
                assert frame.x0 < box.x0 < box.x1 < frame.x1, said
                assert frame.y0 < box.y0 < box.y1 < frame.y1, said
        for ax in (ax for ax in figure.axes if ax.get_subplotspec() and ax.get_images()):
            inner, outer = ax.get_position(), ax.get_position(original=True)
            assert inner.height > 0.97 * outer.height or inner.width > 0.97 * outer.width
    assert figures[0][1].get_figwidth() == (5 if stacked else 10)


def test_numbers_of_lines_are_apart_and_on_what_is_seen(tmp_path, monkeypatch):
    """None lies over another, over the arrows' names, or where a mask hides its line."""
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "height": 201, "width": 201}
    with rasterio.open("grid.tif", "w", count=2, dtype="float64", **profile) as dataset:
        dataset.write(warped_grid((201, 201)))
    causes = np.zeros((201, 201), np.uint8)
    causes[:, :40] = causes[20:60, 90:150] = int(Cause.INSIDE_INVALID)
    with rasterio.open("m.tif", "w", count=1, dtype="uint8", **profile) as dataset:
        dataset.write(causes, 1)
        dataset.set_band_description(1, "causes")
    figure = plot.plot_grid("grid.tif", mask="m.tif")
    ax = figure.axes[0]
    figure.draw_without_rendering()
    boxes = []
    for text in ax.texts:
        if not text.get_text():
            continue  # an arrow
        turned = text.get_rotation()
        text.set_rotation(0)  # its box upright, then turned about its middle
        box = text.get_window_extent()
        text.set_rotation(turned)
        place = shapely.box(box.x0, box.y0, box.x1, box.y1).buffer(-1)
        boxes.append((text, shapely.affinity.rotate(place, turned, origin="center")))
    numbers = [text for text, _ in boxes if text.get_text().isdigit()]
    assert len(numbers) >= 12
    for (one, first), (other, second) in itertools.combinations(boxes, 2):
        assert not first.intersects(second), f"{one.get_text()} and {other.get_text()}"
    for number in numbers:
        col, row = number.get_position()
        assert causes[round(row), round(col)] == 0, number.get_text()
        assert number.get_text() != "-0"


def test_what_has_no_coordinates_is_in_the_legend_unless_a_mask_hides_it(files):
    with rasterio.open("grid.tif", "r+") as dataset:
        nodes = dataset.read()
        nodes[:, 3:5, 6:9] = np.nan
        dataset.write(nodes)
    assert f"no coordinates, {100 * 6 / nodes[0].size:.3g} %" in texts(plot.plot_grid("grid.tif"))
    mask = np.ones((21, 31), np.uint8)
    mask[3:5, 6:9] = 0
    with rasterio.open("mask.tif", "r+") as dataset:
        dataset.write(mask, 1)
    said = texts(plot.plot_grid("grid.tif", mask="mask.tif"))
    assert not any("no coordinates" in text for text in said)


def test_before_and_after_have_the_same_stretch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    after = before[:, :30, :20] + 100
    after[0, 3, 4] = 7
    for name, values in (("a.tif", before), ("b.tif", after)):
        profile = {"height": values.shape[1], "width": values.shape[2], "count": 3, "dtype": "uint16", "nodata": 7}
        with rasterio.open(name, "w", driver="GTiff", **profile) as dataset:
            dataset.write(values)
    mask = np.ones((30, 20), np.uint8)
    mask[20:] = 0
    with rasterio.open("m.tif", "w", driver="GTiff", height=30, width=20, count=1, dtype="uint8") as dataset:
        dataset.write(mask, 1)
    figure = plot.plot_images("a.tif", "b.tif", mask="m.tif")
    left, right = (images(ax)[0] for ax in figure.axes[:2])
    for band in range(3):
        low, high = np.percentile(before[band][before[band] != 7], (2, 98))
        for shown, values in ((left, before), (right, after)):
            expected = np.clip((values[band] - low) / (high - low), 0, 1)
            assert np.allclose(shown[..., band][values[band] != 7], expected[values[band] != 7])
    assert right[3, 4, 3] == 0
    assert right[..., 3].sum() == after[0].size - 1
    assert np.array_equal(images(figure.axes[1])[1][..., 3] > 0, mask == 0)
    with rasterio.open("three.tif", "w", driver="GTiff", height=30, width=20, count=3, dtype="uint8") as dataset:
        dataset.write(np.stack([mask, mask, mask]))
    with pytest.raises(gn.GridrValueError, match="mask must have one band"):
        plot.plot_images("a.tif", "b.tif", mask="three.tif")
    grey = images(plot.plot_images("a.tif", "b.tif", bands=2).axes[0])[0]
    assert np.array_equal(grey[..., 0], grey[..., 2])
    with pytest.raises(gn.GridrValueError, match="bands must be one band or three"):
        plot.plot_images("a.tif", "b.tif", bands=(1, 2))


def test_an_overview_is_made_from_a_report(files):
    figure = plot.overview(files)
    said = " ".join(texts(figure))
    for words in ("In: Grid and mask grid.tif, mask.tif", "Out: Grid and mask dense.tif, valid.tif"):
        assert words in said
    assert "mask.tif: 21 x 31 nodes" in said
    assert "coarse mask: invalid" in said
    assert "edge of invalid polygons" in said
    for ax in figure.axes[:2]:
        assert ax.get_xlim() == (-0.5, 120.5)
        assert ax.get_ylim() == (100.5, -0.5)
    with pytest.raises(
        gn.GridrTypeError, match="report must be a DensifyReport, a ResampleReport or a GridReport, not dict"
    ):
        plot.overview({})


def test_an_overview_of_a_window_has_its_place(files):
    report = gn.densify("grid.tif", "part.tif", resolution=(5, 4), window=((10, 60), (20, 100)))
    figure = plot.overview(report)
    assert figure.axes[1].get_images()[0].get_extent() == [19.5, 99.5, 59.5, 9.5]
    assert figure.axes[0].get_xlim() == (19.5, 99.5)


def test_a_store_is_not_drawn(files):
    pytest.importorskip("zarr", reason="the extra zarr is not installed")
    for made in ("grid.tif", "a.zarr", None), (None, None, "m.zarr"):
        grid, out, mask_out = made
        shape = {} if grid else {"shape": (3, 4)}
        report = gn.densify(grid, out, mask_out=mask_out, resolution=(5, 4), **shape)
        with pytest.raises(
            gn.GridrValueError, match=r"^report must be of rasters, and '.*zarr' is a Zarr store"
        ) as caught:
            plot.overview(report)
        assert caught.value.argument == "report"


def test_an_overview_leaves_out_what_is_said_of_polygons_that_were_no_files(files):
    """Of a pair, the half of those that are not drawn; a CRS may be an object."""
    ground, crs = shapely.box(0, 0, 70, 90), ("EPSG:4326", "pixels")
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 5e6)}
    with rasterio.open("grid.tif", "r+") as dataset:
        dataset.crs, dataset.transform = place["crs"], place["transform"]
    how = {"resolution": (5, 4), "invalid": "cloud.wkt", "overwrite": True}
    report = gn.densify("grid.tif", "b.tif", **how, valid=shapely.box(2.9, 44, 3.1, 45.3), geometry_crs=crs)
    assert "edge of invalid polygons" in texts(plot.overview(report))
    assert "edge of valid polygons" not in texts(plot.overview(report))
    report = gn.densify("grid.tif", "b.tif", **how | {"invalid": ground}, geometry_crs="pixels")
    assert not any("polygons" in text for text in texts(plot.overview(report)))
    of_crs = {"geometry_crs": rasterio.crs.CRS.from_epsg(32631)}
    Path("utm.wkt").write_text(shapely.to_wkt(shapely.box(5e5, 4.9999e6, 5.0005e5, 5e6)))
    report = gn.densify("grid.tif", "b.tif", **how | {"invalid": "utm.wkt"}, **of_crs)
    assert "edge of invalid polygons" in texts(plot.overview(report))


@pytest.fixture
def image(files):
    """An image that the grid looks up a part of, of three bands, and a hole in it."""
    i, j = np.mgrid[0:500, 0:700]
    pixels = np.stack([(i + j) % 251, i % 200, j % 240]).astype(np.uint8) + np.uint8(3)
    pixels[:, 60:110, 450:500] = 0
    with rasterio.open("image.tif", "w", driver="GTiff", count=3, dtype="uint8", height=500, width=700) as dataset:
        dataset.write(pixels)
        dataset.nodata = 0
    return pixels


RESAMPLED = {"resolution": (5, 4), "mask_out_values": "causes", "invalid": "cloud.wkt", "window": ((10, 90), (20, 110))}


def test_an_overview_of_what_was_resampled(image):
    report = gn.resample("image.tif", "grid.tif", "out.tif", mask_out="m.tif", **RESAMPLED)
    assert report.resolution == (5, 4)
    assert report.window == RESAMPLED["window"]
    assert report.inputs == {"image": ["image.tif"], "grid": ["grid.tif"], "invalid": ["cloud.wkt"]}
    assert report.options["mask_out_values"] == "causes"
    figure = plot.overview(report)
    said = texts(figure)
    assert "In: image.tif, 500 x 700" in said
    assert "Out: out.tif, 80 x 90, and mask m.tif" in said
    assert {"edge of invalid polygons", "what was read of the image"} <= set(said)
    assert any(text.startswith("source invalid, ") for text in said)
    before, after = figure.axes
    with rasterio.open("out.tif") as dataset:
        made = dataset.read()
    low, high = np.percentile(image[0][image[0] > 0], (2, 98))
    (picture, *causes) = images(after)
    level = np.clip((made[0].astype(float) - low) / (high - low), 0, 1)
    assert np.allclose(picture[..., 0][made.all(axis=0)], level[made.all(axis=0)])
    assert np.array_equal(picture[..., 3] > 0, made.all(axis=0))
    assert len(causes) > 1
    assert after.get_xlim() == (19.5, 109.5)
    assert after.get_ylim() == (89.5, 9.5)
    (box,) = before.get_lines()
    read = [report.source_rows[0] - 0.5, report.source_rows[1] - 0.5]
    assert (min(box.get_ydata()), max(box.get_ydata())) == tuple(read)
    assert before.get_xlim() == (-0.5, 699.5)
    assert before.get_ylim() == (499.5, -0.5)


@pytest.mark.parametrize(
    "options",
    [
        {"bands": 2},
        {"band_validity": "each", "mask_out": "m.tif"},
        {"bands": [3, 1], "mask_out": "m.tif", "mask_out_values": (7, 200), "nodata": 9},
    ],
)
def test_an_overview_of_bands(image, options):
    report = gn.resample("image.tif", "grid.tif", "out.tif", resolution=(5, 4), **options)
    figure = plot.overview(report)
    picture = images(figure.axes[1])[0]
    alike = np.array_equal(picture[..., 0], picture[..., 2], equal_nan=True)
    assert alike == ("bands" in options)
    said = texts(figure)
    assert ("Out: out.tif, 101 x 121, and mask m.tif, band 1" in said) == ("band_validity" in options)
    if options.get("mask_out_values"):
        assert any(text.startswith("invalid, ") for text in said)


def test_an_overview_of_what_was_warped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = {"crs": "EPSG:32631", "transform": rasterio.Affine(60, 0, 5e5, 0, -60, 5e6)}
    with rasterio.open("i.tif", "w", driver="GTiff", count=1, height=90, width=80, dtype="int16", **place) as dataset:
        dataset.write(np.indices((90, 80)).sum(axis=0).astype(np.int16), 1)
    report = gn.warp("i.tif", "o.tif", crs=3857, nodata=-1, grid_out="g.tif")
    assert report.inputs == {"image": ["i.tif"]}
    assert texts(plot.overview(report)).count("In: i.tif, 90 x 80") == 1


def test_an_overview_of_a_grid_that_was_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.001, 0, 2.9, 0, -0.001, 45.1)}
    with rasterio.open("i.tif", "w", driver="GTiff", count=1, height=700, width=900, dtype="uint8", **place) as dataset:
        dataset.write(np.indices((700, 900)).sum(axis=0).astype(np.uint8), 1)
    target = {"crs": 32631, "transform": rasterio.Affine(100, 0, 4.93e5, 0, -100, 4.99e6), "shape": (400, 500)}
    report = gn.make_grid("i.tif", "g.tif", **target, tolerance=0.05)
    assert report.inputs == {"source": ["i.tif"]}
    assert report.options["tolerance"] == 0.05
    figure = plot.overview(report)
    rows, cols = report.shape
    step = "one every {} x {} pixels of 400 x 500".format(*report.resolution)
    said = [text.replace("\n", " ") for text in texts(figure)]
    assert {"In: i.tif, 700 x 900", f"Out: g.tif, {rows} x {cols} nodes, {step}"} <= set(said)
    assert "edge of the grid in the image" in said
    (edge,) = figure.axes[0].get_lines()
    with rasterio.open("g.tif") as dataset:
        nodes = dataset.read()
    around = {(row, col) for row, col in nodes.reshape(2, -1).T.tolist()}
    assert set(zip(edge.get_ydata().tolist(), edge.get_xdata().tolist(), strict=True)) <= around
    assert len(set(edge.get_ydata().tolist())) >= 2 * (rows + cols) - 4
    assert figure.axes[1].get_xlim() == (-0.5, 499.5)
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]  # rows go down


def test_an_overview_of_a_grid_with_voids_and_without_an_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def half(rows, cols):
        return rows + 0.001 * cols**2, np.where(cols > 200, np.nan, cols)

    report = gn.make_grid(half, "g.tif", shape=(300, 400), unreachable="void")
    assert report.inputs == {}
    figure = plot.overview(report)
    assert sum(text.startswith("Out: ") for text in texts(figure)) == 1
    assert not any(text.startswith("In: ") for text in texts(figure))
    assert f"void, {report.void_nodes:,} nodes" in texts(figure)
    (warning,) = report.warnings
    words = figure.legends[0].get_title().get_text()  # in the legend, which they would lie under otherwise
    assert words.replace("\n   ", " ") == f"! {warning}"
    (tmp_path / "g.tif").unlink()
    with pytest.raises(gn.DatasetError, match=r"g\.tif"):
        plot.overview(report)


@pytest.mark.parametrize(
    ("suffix", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF"), ("PNG", b"\x89")]
)
def test_the_suffix_says_the_format_and_bits_repeat(files, tmp_path, suffix, begins):
    for name in ("a", "b"):
        plot.save(plot.plot_mask("valid.tif"), f"{name}.{suffix}")
    first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b"))
    assert first.startswith(begins)
    assert suffix == "svg" or first == second
    with pytest.raises(gn.GridrValueError, match="exists"):
        plot.save(plot.plot_mask("valid.tif"), f"a.{suffix}")
    plot.save(plot.plot_mask("valid.tif"), f"a.{suffix}", overwrite=True)


@pytest.mark.parametrize("file", ["grid.tif", "valid.tif"])
def test_the_command_draws_vectors_too(files, tmp_path, file):
    command = ["preview", file, "a.svg", "--invalid", "cloud.wkt"]
    done = CliRunner().invoke(main, command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    again = CliRunner().invoke(main, command, catch_exceptions=False)
    assert again.exit_code == 2
    assert "exists" in again.output


def test_another_suffix_is_refused(files):
    with pytest.raises(gn.GridrValueError, match=r"out must end with .png, .svg or .pdf, not 'a.jpg'"):
        plot.save(plot.plot_mask("valid.tif"), "a.jpg")


@pytest.mark.parametrize("call", [plot.plot_grid, plot.plot_mask])
def test_sizes_are_bounded(files, call):
    for wrong in (15, 10_001, 2.5):
        with pytest.raises((gn.GridrValueError, gn.GridrTypeError), match="size must be"):
            call("grid.tif", size=wrong)


def test_what_is_large_is_read_in_steps(tmp_path, monkeypatch):
    """A raster of 20,000 x 20,000 is drawn in 500 x 500: no array is larger than a read."""
    monkeypatch.chdir(tmp_path)
    profile = {"driver": "GTiff", "height": 20_000, "width": 20_000, "count": 1, "dtype": "uint8", "SPARSE_OK": "TRUE"}
    with rasterio.open("large.tif", "w", tiled=True, **profile) as dataset:
        dataset.write(np.ones((512, 512), np.uint8), 1, window=((0, 512), (0, 512)))
    figure = plot.plot_mask("large.tif", size=500)
    everywhere, invalid = images(figure.axes[0])
    assert everywhere.shape == (500, 500, 4)
    assert (invalid[..., 3] == 0).sum() == 13 * 13
    assert figure.axes[0].get_images()[0].get_extent() == [-20.0, 19980.0, 19980.0, -20.0]


def test_nothing_of_pyplots_is_touched():
    code = (
        "import sys, gridr_numba.plot; assert 'matplotlib.pyplot' not in sys.modules; "
        "import gridr_numba.doors.densify; print('fine')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "fine"


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "try:\n    from gridr_numba import plot\nexcept ImportError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("gridr_numba.plot needs matplotlib, which cannot be imported (")
    assert done.stdout.endswith("): pip install 'gridr_numba[plot]'\n")


def test_notebooks_show_figures_where_pyplot_was_never_imported(files):
    assert plot.plot_mask("valid.tif")._repr_png_()[:4] == b"\x89PNG"


# Linear RGB -> the same as a dichromat sees it: Vienot, Brettel and Mollon, 1999.
DICHROMATS = {
    "protan": [[0.11238, 0.88762, 0.0], [0.11238, 0.88762, 0.0], [0.00401, -0.00401, 1.0]],
    "deutan": [[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]],
}


@pytest.mark.parametrize("eyes", [None, *DICHROMATS])
def test_all_eyes_tell_the_causes_apart(eyes):
    named = {cause.key: cause.colour for cause in Cause} | {"valid": VALID_COLOUR}
    seen = {}
    for name, colour in named.items():
        linear = (np.array(colour) / 255) ** 2.2
        if eyes is not None:
            linear = np.clip(np.array(DICHROMATS[eyes]) @ linear, 0, 1)
        seen[name] = linear ** (1 / 2.2)
    for one, other in itertools.combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 0.2, f"{one} and {other} look alike to {eyes or 'all'}"
