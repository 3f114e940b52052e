"""Quick-looks: what is painted is what the file holds."""

from __future__ import annotations

import os

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st

import gridr_numba as gn
from gridr_numba.doors import preview as quicklook
from gridr_numba.files import whole_file as atomic
from gridr_numba.types import Cause


def read(path):
    with rasterio.open(path) as dataset:
        assert dataset.driver == "PNG"
        return np.moveaxis(dataset.read(), 0, -1)


def colours(picture):
    return {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}


LAYOUTS = [{}, {"tiled": True, "blockxsize": 16, "blockysize": 32}, {"blockysize": 7}, {"interleave": "band"}]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("step", [1, 2, 5, 33, 1000])
@pytest.mark.parametrize("pixels", [1, 1000, 1 << 22])
def test_every_so_manieth_pixel(rasters, monkeypatch, layout, step, pixels):
    monkeypatch.setattr(quicklook, "_PIXELS_A_READ", pixels)
    bands = np.random.default_rng(0).integers(0, 1000, (3, 71, 53)).astype(np.int16)
    dataset = rasters.reader(bands, **layout)
    assert np.array_equal(quicklook.every(dataset, [3, 1], step), bands[[2, 0], ::step, ::step])


@given(st.floats(1e-300, 1e300), st.integers(1, 50))
def test_round_steps(span, at_most):
    step = quicklook.round_step(span, at_most)
    assert span / step <= at_most * (1 + 1e-9)
    assert span / step > at_most / 2.6  # the next smaller one would be too many
    assert round(float(f"{step:.6e}".split("e")[0]), 5) in (1, 2, 5)


@pytest.mark.parametrize("span", [0.0, np.inf, np.nan])
def test_round_steps_of_nothing(span):
    assert quicklook.round_step(span, 10) == 1.0


def bent(rows, cols):
    i, j = np.meshgrid(np.arange(rows) * 1.0, np.arange(cols) * 1.0, indexing="ij")
    return np.stack([i + 0.002 * (j - cols / 2) ** 2, j])


def test_a_grid_is_coloured_by_its_displacement(rasters, tmp_path):
    nodes = bent(40, 60)
    legend = quicklook.preview(rasters.reader(nodes).name, tmp_path / "a.png", size=120)
    picture = read(tmp_path / "a.png")
    assert picture.shape == (80, 120, 3)
    assert np.array_equal(picture[::2, ::2], picture[1::2, 1::2])
    away = quicklook.displacement(*nodes)
    assert f"0 to {away.max():.3g} source pixels" in legend
    assert "Each pixel is drawn as 2 x 2." in legend
    # Equal displacements have equal colours, and a straight-line mapping has one.
    steps = np.floor(away / 0.05)
    for step in np.unique(steps):
        assert len(colours(picture[::2, ::2][steps == step])) == 1
    quicklook.preview(rasters.reader(np.stack(np.indices((9, 9)) * 3.0)).name, tmp_path / "b.png", size=18)
    assert len(colours(read(tmp_path / "b.png"))) == 1


def test_a_large_grid_is_drawn_from_every_so_manieth_pixel_with_lines(rasters, tmp_path):
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


def test_lost_coordinates_are_red(rasters, tmp_path):
    nodes = bent(20, 20)
    nodes[0, 3, 4] = np.nan
    nodes[1, 5, 6] = np.inf
    nodes[1, 7, 8] = -9999
    legend = quicklook.preview(rasters.reader(nodes, nodata=-9999).name, tmp_path / "a.png", size=20)
    red = (read(tmp_path / "a.png") == quicklook.LOST).all(axis=-1)
    assert {tuple(place) for place in np.argwhere(red).tolist()} == {(3, 4), (5, 6), (7, 8)}
    assert "Red: no coordinates, 0.75 % of the picture." in legend


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
@pytest.mark.parametrize("fill", [np.nan, 3.0])
def test_grids_with_nothing_to_see(rasters, tmp_path, shape, fill):
    quicklook.preview(rasters.reader(np.full((2, *shape), fill)).name, tmp_path / "a.png", size=16)
    assert len(colours(read(tmp_path / "a.png"))) == 1


def test_masks(rasters, tmp_path):
    mask = np.random.default_rng(0).integers(0, 3, (30, 20)).astype(np.uint8)
    legend = quicklook.preview(rasters.reader(mask).name, tmp_path / "a.png", size=30, mask_valid_value=2)
    picture = read(tmp_path / "a.png")
    assert np.array_equal((picture == quicklook.VALID).all(axis=-1), mask == 2)
    assert colours(picture) == {quicklook.VALID, quicklook.OUTSIDE}
    assert f"valid, {100 * (mask == 2).mean():.4g} %" in legend


def test_causes_are_shown_by_the_first(rasters, tmp_path):
    every = np.arange(sum(Cause) + 1, dtype=np.uint8)
    causes = every.reshape(4, -1).repeat(4, 0).repeat(4, 1)
    dataset = rasters.writer(causes.shape, np.uint8)
    dataset.write(causes, 1)
    dataset.set_band_description(1, "causes")
    dataset.close()
    legend = quicklook.preview(dataset.name, tmp_path / "a.png", size=max(causes.shape))
    picture = read(tmp_path / "a.png")
    by_first = {0: quicklook.VALID, **{int(cause): cause.colour for cause in Cause}}
    assert len({*by_first.values()}) == 1 + len(Cause)
    assert all(f"{cause.colour_name}: {cause.label}" in legend for cause in Cause)
    for place in np.ndindex(causes.shape):
        assert tuple(picture[place]) == by_first[int(causes[place]) & -int(causes[place])]


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"size": 3}, ValueError, "size must be at least 16"),
        ({"row_band": 3}, ValueError, "row_band must be a band of file, 1 to 2, not 3"),
        ({"out": "grid.png"}, ValueError, "exists; overwrite=True replaces it"),
        ({"out": "nowhere/a.png"}, OSError, "there is no folder"),
        ({"source": "/vsimem/a.tif"}, ValueError, "only local files are read"),
    ],
)
def test_refusals(rasters, tmp_path, monkeypatch, options, kind, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.png").write_text("mine")
    arguments = {"source": rasters.reader(bent(4, 5)).name, "out": "a.png", **options}
    with pytest.raises(kind, match=message):
        quicklook.preview(arguments.pop("source"), arguments.pop("out"), **arguments)
    assert (tmp_path / "grid.png").read_text() == "mine"
    assert not (tmp_path / "a.png").exists()


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
