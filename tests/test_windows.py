"""Windows of blocks: rasters that are too wide for rows of blocks come out as if they were not (laws 7 and 10)."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.windows import Window as RasterioWindow

import gridr_numba as gn

TILES = {"BLOCKXSIZE": 16, "BLOCKYSIZE": 16}
NODES = (21, 61)
RESOLUTION = (5, 7)  # neither divides a block
SHAPE = (101, 421)
# Budgets, and the windows of one thread: all; rows of blocks; from here on columns are cut: some blocks wide, one.
BUDGETS = {1 << 28: 1, 300_000: 7, 50_000: 7 * 4, 10_000: 7 * 27}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(3)
    nodes = random.normal(500.0, 200.0, (2, *NODES))
    tagged = random.random(NODES) < 0.03
    nodes[0, tagged] = -9999.0
    nodes[1, random.random(NODES) < 0.02] = np.nan
    mask = (random.random(NODES) < 0.9).astype(np.uint8)
    for name, bands, nodata in (("grid", nodes, -9999.0), ("mask", mask[np.newaxis], None)):
        profile = {"count": len(bands), "height": NODES[0], "width": NODES[1], "dtype": bands.dtype, "nodata": nodata}
        with rasterio.open(folder / f"{name}.tif", "w", driver="GTiff", **profile) as dataset:
            dataset.write(bands)
    finite = int((tagged & np.isfinite(nodes[1])).sum())
    return folder, finite


def clouds():
    random = np.random.default_rng(5)
    places = random.uniform((0, 0), SHAPE[::-1], (20, 2))
    return [shapely.Point(x, y).buffer(r) for (x, y), r in zip(places, random.uniform(2, 30, 20), strict=True)]


def make(folder, out, budget, **options):
    return gn.densify(
        folder / "grid.tif",
        out / "grid.tif",
        resolution=RESOLUTION,
        mask=folder / "mask.tif",
        mask_out=out / "mask.tif",
        valid=shapely.box(3, 5, 400, 95),
        invalid=clouds(),
        creation_options=options.pop("creation_options", TILES),
        memory_budget=budget,
        overwrite=True,
        **options,
    )


def content(folder):
    arrays = []
    for name in ("grid.tif", "mask.tif"):
        with rasterio.open(folder / name) as dataset:
            arrays.append(dataset.read())
    return arrays


def windows_in(caplog):
    return int(re.search(r"pixels in (\d+) windows", caplog.messages[-1])[1])


@pytest.mark.large
@pytest.mark.parametrize("values", [(1, 0), (-2, 700), "causes"])
@pytest.mark.parametrize("options", [{}, {"INTERLEAVE": "BAND"}, {"COMPRESS": "ZSTD"}])
@pytest.mark.parametrize("threads", [1, 2])
def test_bits_and_reports_do_not_depend_on_windows(inputs, tmp_path, caplog, values, options, threads):
    folder, _ = inputs
    seen = []
    caplog.set_level(logging.INFO, logger="gridr_numba")
    for budget, expected in BUDGETS.items():
        report = make(
            folder, tmp_path, budget, mask_out_values=values, threads=threads, creation_options={**TILES, **options}
        )
        said = (report.valid_pixels, report.invalid_pixels, report.source_rows, report.source_cols)
        seen.append((said, *content(tmp_path)))
        if values == (1, 0) and threads == 1:
            assert windows_in(caplog) == expected
    for said, grid, mask in seen[1:]:
        assert said == seen[0][0]
        assert grid.tobytes() == seen[0][1].tobytes()
        assert mask.tobytes() == seen[0][2].tobytes()


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    make(inputs[0], out, 1 << 28)
    return content(out)


@given(st.data())
def test_a_part_is_that_slice_of_the_whole_in_any_windows(inputs, whole, tmp_path_factory, data):
    folder, _ = inputs
    out = tmp_path_factory.mktemp("part")
    grid, mask = whole
    row, col = (data.draw(st.integers(0, side - 1)) for side in SHAPE)
    window = (row, data.draw(st.integers(row + 1, SHAPE[0]))), (col, data.draw(st.integers(col + 1, SHAPE[1])))
    slices = (slice(None), *(slice(*pair) for pair in window))
    make(folder, out, data.draw(st.sampled_from(list(BUDGETS))), window=window)
    part_grid, part_mask = content(out)
    assert part_grid.tobytes() == grid[slices].tobytes()
    assert part_mask.tobytes() == mask[slices].tobytes()


@pytest.mark.parametrize("budget", BUDGETS)
def test_each_tagged_node_is_counted_once(inputs, tmp_path, caplog, budget):
    folder, tagged = inputs
    make(folder, tmp_path, budget)
    assert f"{tagged} nodes are finite numbers" in caplog.text


@pytest.mark.parametrize("budget", BUDGETS)
def test_progress_counts_pixels_and_ends_with_all(inputs, tmp_path, budget):
    folder, _ = inputs
    seen = []
    make(folder, tmp_path, budget, threads=1, progress=lambda done, total: seen.append((done, total)))
    pixels = SHAPE[0] * SHAPE[1]
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert {total for _, total in seen} == {pixels}
    assert seen[-1] == (pixels, pixels)
    assert len(seen) == BUDGETS[budget]


def test_one_wrong_pixel_in_one_of_the_windows_is_found(inputs, tmp_path, monkeypatch):
    from gridr_numba.files import outputs

    folder, _ = inputs
    real = outputs.Checksums.verify

    def corrupt(self, files, *others):
        with rasterio.open(files[-1].partial, "r+") as dataset:
            window = RasterioWindow(255, 66, 1, 1)
            dataset.write(dataset.read(2, window=window) + 1, 2, window=window)
        real(self, files, *others)

    monkeypatch.setattr(outputs.Checksums, "verify", corrupt)
    with pytest.raises(gn.DatasetError, match=r"out: rows 64 to 79, columns \d+ to \d+ of band 2 of .* as written"):
        make(folder, tmp_path, 50_000)
    assert list(tmp_path.iterdir()) == []


def test_a_striped_output_keeps_the_whole_width(inputs, tmp_path, caplog):
    folder, _ = inputs
    caplog.set_level(logging.INFO, logger="gridr_numba")
    make(folder, tmp_path, 100_000, creation_options={"TILED": "NO", "BLOCKYSIZE": "1"})
    whole = content(tmp_path)
    assert 1 < windows_in(caplog) <= SHAPE[0]
    with pytest.raises(MemoryError, match="one row of the outputs' blocks, 1 x 421 pixels, needs a memory_budget of"):
        make(folder, tmp_path, 8_000, creation_options={"TILED": "NO", "BLOCKYSIZE": "1"})
    make(folder, tmp_path, 8_000, creation_options=TILES)
    assert [array.tobytes() for array in content(tmp_path)] == [array.tobytes() for array in whole]


def test_a_chain_cuts_columns_only_where_a_row_of_pixels_does_not_fit(inputs, rasters, caplog):
    caplog.set_level(logging.DEBUG, logger="gridr_numba")
    folder, _ = inputs
    masks = []
    for budget in (1 << 28, 6_000, 700, 150):
        caplog.clear()
        out = rasters.writer(SHAPE, np.uint8, tiled=True, blockxsize=16, blockysize=16)
        with rasterio.open(folder / "mask.tif") as mask:
            gn.build_mask_chain(
                NODES, RESOLUTION, out, np.uint8, mask, 1, 1, np.float64, (0.0, 0.0), None, io_strip_size=None,
                memory_budget=budget,
            )  # fmt: skip
        first = next(message for message in caplog.messages if "written" in message)
        masks.append((budget, re.findall(r"0 to (\d+)", first), rasters.content(out)))
    assert [columns for _, (_, columns), _ in masks] == ["420", "420", "31", "15"]
    assert [int(rows) + 1 for _, (rows, _), _ in masks][-1] < 16
    for *_, mask in masks[1:]:
        np.testing.assert_array_equal(mask, masks[0][2])
